#include "app/show.h"

#include <doctest/doctest.h>

#include <sstream>

#include "app/admin_client.h"

using namespace lictor;  // NOLINT: many names, one test

TEST_CASE("an explanation for people") {
  CHECK(print_explain(R"({"matched": true, "route": "users", "captures": {"id": "7"},
      "upstream_path": "/7?x=1", "filters": ["rewrite", "jwt"], "filters_not_run": ["jwt"],
      "answered_by": null, "status": null,
      "backends": [{"service": "web", "weight": 9, "instances": [
          {"id": "a", "usable": true, "ejected": false}, {"id": "b", "usable": true, "ejected": true},
          {"id": "c", "usable": false, "ejected": false}]}],
      "passed_over": [{"route": "all", "why": "less specific path than that of users"}],
      "passed_over_total": 3})") ==
        "route      users\n"
        "           id = 7\n"
        "upstream   /7?x=1\n"
        "filters    rewrite, jwt\n"
        "           not tried here: jwt\n"
        "\n"
        "BACKEND  WEIGHT  INSTANCES\n"
        "web      9       3, 1 usable\n"
        "\n"
        "PASSED OVER  WHY\n"
        "all          less specific path than that of users\n"
        "and 2 more\n");
  CHECK(print_explain(
            R"({"matched": true, "route": "r", "answered_by": "redirect", "status": 308})") ==
        "route      r\n"
        "answer     308 by the filter redirect\n");
  CHECK(print_explain(R"({"matched": false, "status": 405, "allow": ["GET", "HEAD"]})") ==
        "route      none: 405\n"
        "allow      GET, HEAD\n");
}

TEST_CASE("tables of routes and upstreams") {
  CHECK(print_routes("[]") == "no routes\n");
  CHECK(print_routes(R"([
      {"name": "users", "hosts": [], "paths": ["/user/*"], "methods": ["GET"],
       "backends": [{"service": "web", "weight": 1}], "filters": [], "requests_total": 12},
      {"name": "b", "hosts": ["a.example"], "paths": ["/a", "/b"], "methods": [],
       "backends": [{"service": "x", "weight": 9}, {"service": "y", "weight": 1}],
       "filters": ["rewrite"], "requests_total": 0}])") ==
        "ROUTE  HOSTS      PATHS    METHODS  BACKENDS  FILTERS  REQUESTS\n"
        "users  any        /user/*  GET      web       -        12\n"
        "b      a.example  /a, /b   any      x:9, y:1  rewrite  0\n");
  CHECK(print_upstreams("[]") == "no upstreams\n");
  CHECK(print_upstreams(R"([{"service": "web", "balance": "random", "instances": [
      {"id": "web-1", "address": "10.0.0.7:80", "health": "passing", "usable": true, "ejected": true,
       "weight": 1, "active_requests": 2, "requests_total": 30, "failures_total": 4}]},
      {"service": "none", "balance": "random", "instances": []}])") ==
        "web  random, 1 instance, 0 usable\n"
        "  INSTANCE  ADDRESS      HEALTH   STATE    WEIGHT  ACTIVE  REQUESTS  FAILED\n"
        "  web-1     10.0.0.7:80  passing  ejected  1       2       30        4\n"
        "\n"
        "none  random, 0 instances, 0 usable\n");
}

TEST_CASE("the status for people") {
  const std::string text = print_status(R"({"version": "1", "uptime_s": 61.5, "state": "ready",
      "workers": 2, "config_revision": 7, "source": "consul",
      "consul": {"address": "http://a:8500", "connected": false, "known_leader": true,
                 "staleness_s": 1.5, "queries": 3, "connections": 2, "errors_total": 1,
                 "last_error": "kv: away"}})");
  CHECK(text.find("state      ready\n") != std::string::npos);
  CHECK(text.find("uptime     1m1s\n") != std::string::npos);
  CHECK(text.find("consul     http://a:8500, away\n") != std::string::npos);
  CHECK(text.find("last error: kv: away\n") != std::string::npos);
  CHECK(print_status(R"({"state": "ready", "consul": null})").find("consul") == std::string::npos);
}

TEST_CASE("what is no answer of ours is shown as it is") {
  for (const char* text : {"", "<html>", "null", "7"}) {
    CHECK(print_explain(text) == text);
    CHECK(print_status(text) == text);
    CHECK(print_routes(text) == text);
    CHECK(print_upstreams(text) == text);
  }
}

TEST_CASE("an admin port that is not there is an error in one line") {
  std::ostringstream out;
  std::ostringstream err;
  ShowOptions options;
  options.admin = "127.0.0.1:1";
  CHECK(show_status(options, out, err) == 1);
  CHECK(out.str().empty());
  CHECK(err.str().starts_with("lictor: no answer from the admin port at http://127.0.0.1:1: "));
  CHECK(show_explain(options, "GET", "/", {}, out, err) == 2);
  options.token_file = "/none/such";
  CHECK(show_routes(options, out, err) == 1);
  CHECK(err.str().find("can't read the token file /none/such") != std::string::npos);
}

TEST_CASE("percent_encode leaves URLs readable") {
  CHECK(percent_encode("http://a/b?c=d&e f\xc3\xa9") == "http://a/b%3Fc%3Dd%26e%20f%C3%A9");
}
