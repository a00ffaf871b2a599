#include "model/bootstrap.h"

#include <doctest/doctest.h>

using lictor::Bootstrap;
using lictor::Consistency;
using lictor::Environment;
using lictor::IpAddress;
using lictor::Millis;
using lictor::parse_bootstrap;

namespace {

Bootstrap good(std::string_view text, const Environment& environment = {}) {
  auto parsed = parse_bootstrap(text, environment);
  if (!parsed) {
    FAIL(parsed.error().front().to_string());
    return {};
  }
  return std::move(*parsed);
}

std::string bad(std::string_view text, const Environment& environment = {}) {
  const auto parsed = parse_bootstrap(text, environment);
  return parsed ? "valid" : parsed.error().front().to_string();
}

std::string source(const char* rest) {
  return R"({"source": {"directory": "d"}, "consul": )" + std::string(rest) + "}";
}

}  // namespace

TEST_CASE("an empty file is one that is not written yet, not the defaults") {
  CHECK(bad("").starts_with("$: line 1, column 1: "));
}

TEST_CASE("without a file there are the defaults") {
  for (const auto* text : {"{}", "// nothing\n{}"}) {
    const Bootstrap b = good(text);
    REQUIRE(b.consul);
    CHECK(b.consul->url == "http://127.0.0.1:8500");
    CHECK(b.consul->unix_socket.empty());
    CHECK(b.consul->wait == Millis{300'000});
    CHECK(b.consul->max_connections == 100);
    CHECK(b.consul->consistency == Consistency::kDefault);
    CHECK(b.source.kv_prefix == "lictor");
    CHECK(b.source.directory.empty());
    REQUIRE(b.listeners.size() == 1);
    CHECK(b.listeners[0].name == "http");
    CHECK(b.listeners[0].address.to_string() == "0.0.0.0:8080");
    CHECK(b.admin.address.to_string() == "127.0.0.1:9900");
    CHECK(b.workers == 0);
    CHECK(b.trusted_proxies.empty());
    CHECK(b.limits.connections == 10'000);
    CHECK(b.limits.header_bytes == 65'536);
    CHECK(b.limits.uri_bytes == 16'384);
    CHECK(b.limits.body_bytes == 0);
    CHECK(b.limits.idle_timeout == Millis{75'000});
    CHECK(b.log.level == lictor::log::Level::kInfo);
    CHECK(b.log.access.path == "-");
    CHECK(b.log.access.sample == 1.0);
    CHECK(b.drain.lead == Millis{5'000});
    CHECK(b.drain.timeout == Millis{30'000});
  }
}

TEST_CASE("every key of this version") {
  const Bootstrap b = good(R"({
    // the agent
    "consul": {"address": "https://consul.example:8501/", "token_file": "/t", "datacenter": "dc2",
               "namespace": "n", "partition": "p", "ca_file": "/ca", "cert_file": "/c", "key_file": "/k",
               "consistency": "stale", "wait": "10m", "max_connections": 7},
    "source": {"kv_prefix": "edge/lictor/"},
    "register": null, "snapshot": null, "tracing": null,
    "listeners": [{"name": "a", "address": "127.0.0.1:80", "proxy_protocol": false, "tls": null},
                  {"name": "b", "address": "[::]:80"}],
    "admin": {"address": "0.0.0.0:9900", "token_file": "/a"},
    "workers": 4,
    "trusted_proxies": ["10.0.0.0/8", "192.0.2.1", "2001:db8::/32"],
    "limits": {"connections": 5, "header_bytes": "32KiB", "header_count": 10, "uri_bytes": 4096,
               "body_bytes": "10MiB", "header_timeout": "1s", "idle_timeout": "0s",
               "body_timeout": "2s", "requests_per_connection": 100},
    "log": {"level": "debug", "format": "json", "access": {"path": "/var/log/a", "format": "text",
            "sample": 0.25}},
    "drain": {"lead": "0s", "timeout": "1m"}
  })");
  CHECK(b.consul->url == "https://consul.example:8501");
  CHECK(b.consul->token_file == "/t");
  CHECK(b.consul->datacenter == "dc2");
  CHECK(b.consul->name_space == "n");
  CHECK(b.consul->partition == "p");
  CHECK(b.consul->key_file == "/k");
  CHECK(b.consul->consistency == Consistency::kStale);
  CHECK(b.consul->wait == Millis{600'000});
  CHECK(b.source.kv_prefix == "edge/lictor");
  REQUIRE(b.listeners.size() == 2);
  CHECK(b.listeners[1].address.to_string() == "[::]:80");
  CHECK(b.admin.token_file == "/a");
  CHECK(b.workers == 4);
  REQUIRE(b.trusted_proxies.size() == 3);
  CHECK(b.trusted_proxies[1].contains(*IpAddress::parse("192.0.2.1")));
  CHECK(b.limits.body_bytes == 10'485'760);
  CHECK(b.limits.idle_timeout == Millis{0});
  CHECK(b.limits.requests_per_connection == 100);
  CHECK(b.log.format == lictor::log::Format::kJson);
  CHECK(b.log.access.format == lictor::AccessFormat::kText);
  CHECK(b.log.access.sample == 0.25);
  CHECK(b.drain.timeout == Millis{60'000});
}

TEST_CASE("registration and the snapshot file: as they are without a word, off, and told") {
  const Bootstrap silent = good("{}");
  REQUIRE(silent.registration);
  CHECK(silent.registration->service == "lictor");
  CHECK(silent.registration->tags.empty());
  CHECK(silent.snapshot_file.path == "/var/lib/lictor/snapshot.json");
  CHECK_FALSE(silent.snapshot_file.asked);

  const Bootstrap off = good(R"({"register": null, "snapshot": null})");
  CHECK_FALSE(off.registration);
  CHECK(off.snapshot_file.path.empty());

  const Bootstrap told =
      good(R"({"register": {"service": "edge", "tags": ["a", "b"]}, "snapshot": "s.json"})");
  CHECK(told.registration->service == "edge");
  CHECK(told.registration->tags == std::vector<std::string>{"a", "b"});
  CHECK(told.snapshot_file.path == "s.json");
  CHECK(told.snapshot_file.asked);
}

TEST_CASE("what can't be registered or written is told") {
  CHECK(bad(R"({"register": {"service": "a b"}})").starts_with("$.register.service: "));
  CHECK(bad(R"({"register": true})").starts_with("$.register: "));
  CHECK(bad(R"({"snapshot": ""})").starts_with("$.snapshot: "));
}

TEST_CASE("without a Consul there is nobody to register with") {
  CHECK_FALSE(good(R"({"source": {"directory": "d"}})").registration);
  CHECK_FALSE(good(R"({"source": {"directory": "d"}, "register": null})").registration);
  CHECK(good(source("{}").c_str()).registration);
}

TEST_CASE("a directory without a consul key means no Consul, whatever the environment says") {
  const Environment environment{{"CONSUL_HTTP_ADDR", "10.0.0.1:8500"}};
  CHECK_FALSE(good(R"({"source": {"directory": "config"}})", environment).consul);
  CHECK_FALSE(good(R"({"source": {"directory": "config"}, "consul": null})", environment).consul);
  CHECK(good(R"({"source": {"directory": "config"}, "consul": {}})", environment).consul);
  CHECK(good(R"({"consul": null})", environment).consul);
}

TEST_CASE("Consul's addresses are those that its CLI takes") {
  struct Case {
    const char* address;
    const char* url;
    const char* unix_socket;
  };
  for (const auto& [address, url, unix_socket] : {
           Case{"127.0.0.1:8500", "http://127.0.0.1:8500", ""},
           Case{"consul.service:8500", "http://consul.service:8500", ""},
           Case{"consul", "http://consul", ""},
           Case{"http://consul:8500", "http://consul:8500", ""},
           Case{"https://consul:8501", "https://consul:8501", ""},
           Case{"https://proxy.example/consul/", "https://proxy.example/consul", ""},
           Case{"http://[::1]:8500", "http://[::1]:8500", ""},
           Case{"[2001:db8::1]", "http://[2001:db8::1]", ""},
           Case{"unix:///run/consul.sock", "http://localhost", "/run/consul.sock"},
       }) {
    CAPTURE(address);
    const Bootstrap file = good(R"({"consul": {"address": ")" + std::string(address) + "\"}}");
    CHECK(file.consul->url == url);
    CHECK(file.consul->unix_socket == unix_socket);
    const Bootstrap env = good("{}", {{"CONSUL_HTTP_ADDR", address}});
    CHECK(env.consul->url == url);
    CHECK(env.consul->address == address);
  }
  for (const auto* address :
       {"tcp://consul:8500", "http://", "unix://consul.sock", "http://a b:1",
        "http://user@consul:8500", "http://consul:8500?x", "http://consul:port",
        "http://consul:99999", ":8500", "http://::1:8500", "[::1", "http://[x]:1"}) {
    CAPTURE(address);
    CHECK(bad(source((R"({"address": ")" + std::string(address) + "\"}").c_str()))
              .starts_with("$.consul.address: "));
  }
}

TEST_CASE("the environment fills what the file leaves out") {
  const Environment environment{{"CONSUL_HTTP_ADDR", "10.0.0.1:8500"},
                                {"CONSUL_HTTP_TOKEN", "secret"},
                                {"CONSUL_HTTP_TOKEN_FILE", "/env/token"},
                                {"CONSUL_HTTP_SSL_VERIFY", "false"},
                                {"CONSUL_CACERT", "/env/ca"},
                                {"CONSUL_CAPATH", "/env/cas"},
                                {"CONSUL_CLIENT_CERT", "/env/cert"},
                                {"CONSUL_CLIENT_KEY", "/env/key"},
                                {"CONSUL_TLS_SERVER_NAME", "server.dc1.consul"},
                                {"CONSUL_NAMESPACE", "edge"},
                                {"CONSUL_PARTITION", "blue"}};
  const Bootstrap b = good("{}", environment);
  CHECK(b.consul->url == "http://10.0.0.1:8500");
  CHECK(b.consul->token == "secret");
  CHECK(b.consul->token_file == "/env/token");
  CHECK_FALSE(b.consul->tls_verify);
  CHECK(b.consul->ca_file == "/env/ca");
  CHECK(b.consul->ca_path == "/env/cas");
  CHECK(b.consul->tls_server_name == "server.dc1.consul");
  CHECK(b.consul->name_space == "edge");
  CHECK(b.consul->partition == "blue");
  const Bootstrap over =
      good(R"({"consul": {"address": "http://file:1", "token_file": "", "namespace": "mine"}})",
           environment);
  CHECK(over.consul->url == "http://file:1");
  CHECK(over.consul->token_file == "/env/token");  // empty = not said
  CHECK(over.consul->name_space == "mine");
}

TEST_CASE("CONSUL_HTTP_SSL") {
  CHECK(good("{}", {{"CONSUL_HTTP_SSL", "true"}}).consul->url == "https://127.0.0.1:8500");
  CHECK(good("{}", {{"CONSUL_HTTP_SSL", "1"}, {"CONSUL_HTTP_ADDR", "c:1"}}).consul->url ==
        "https://c:1");
  CHECK(good("{}", {{"CONSUL_HTTP_SSL", "T"}, {"CONSUL_HTTP_ADDR", "http://c:1"}}).consul->url ==
        "https://c:1");
  CHECK(good("{}", {{"CONSUL_HTTP_SSL", "0"}, {"CONSUL_HTTP_ADDR", "c:1"}}).consul->url ==
        "http://c:1");
  CHECK(good("{}", {{"CONSUL_HTTP_SSL", ""}}).consul->url == "http://127.0.0.1:8500");
  // What the file says in full is what happens.
  CHECK(
      good(R"({"consul": {"address": "http://f:1"}})", {{"CONSUL_HTTP_SSL", "true"}}).consul->url ==
      "http://f:1");
  CHECK(good(R"({"consul": {"address": "f:1"}})", {{"CONSUL_HTTP_SSL", "true"}}).consul->url ==
        "https://f:1");
  CHECK(bad("{}", {{"CONSUL_HTTP_SSL", "yes"}}) ==
        R"(CONSUL_HTTP_SSL: "yes" is not true or false)");
}

TEST_CASE("what is wrong with a bootstrap file is told with its place") {
  struct Case {
    const char* text;
    const char* error;
  };
  for (
      const auto& [text, error] : {
          Case{"[]", "$: must be an object, not an array"},
          Case{R"({"lisseners": []})", R"($.lisseners: unknown key (did you mean "listeners"?))"},
          Case{R"({"workers": 257})", "$.workers: must be a whole number from 0 to 256"},
          Case{R"({"consul": {"wait": "500ms"}})",
               "$.consul.wait: must be a duration from 1s to 10m"},
          Case{R"({"consul": {"wait": "11m"}})",
               "$.consul.wait: must be a duration from 1s to 10m"},
          Case{R"({"consul": {"max_connections": 0}})",
               "$.consul.max_connections: must be a whole number from 1 to 10000"},
          Case{
              R"({"consul": {"consistency": "stail"}})",
              R"($.consul.consistency: "stail" is not one of "default", "stale", "consistent" (did you mean "stale"?))"},
          Case{R"({"consul": {"cert_file": "x"}})",
               "$.consul: cert_file and key_file go together: one is missing"},
          Case{R"({"source": {"kv_prefix": "a", "directory": "b"}})",
               "$.source: has kv_prefix and directory: documents come from one of them"},
          Case{R"({"source": {"kv_prefix": "/"}})", "$.source.kv_prefix: must not be empty"},
          Case{R"({"source": {"kv_prefix": "/a"}})",
               "$.source.kv_prefix: must not begin with a slash: keys in Consul don't"},
          Case{R"({"source": {"directory": ""}})", "$.source.directory: must not be empty"},
          Case{R"({"source": {"directory": "a", "fabio_tags": true}})",
               "$.source.fabio_tags: tags are in Consul: goes with kv_prefix alone"},
          Case{R"({"listeners": []})", "$.listeners: must have 1 to 64 elements, not 0"},
          Case{R"({"listeners": [{"name": "a"}]})", "$.listeners[0]: address is missing"},
          Case{
              R"({"listeners": [{"address": "localhost:80"}]})",
              R"($.listeners[0].address: "localhost:80" is not an IP address with a port, such as "0.0.0.0:8080" or "[::]:8080")"},
          Case{R"({"listeners": [{"name": "a b", "address": "0.0.0.0:80"}]})",
               "$.listeners[0].name: a name has letters, digits, '.', '_' and '-' only, and begins "
               "with a letter or a digit"},
          Case{R"({"listeners": [{"address": "0.0.0.0:80"}, {"address": "0.0.0.0:81"}]})",
               R"($.listeners[1]: another listener has the name "http" too)"},
          Case{
              R"({"listeners": [{"name": "a", "address": "0.0.0.0:80"}, {"name": "b", "address": "0.0.0.0:80"}]})",
              "$.listeners[1]: another listener has the address 0.0.0.0:80 too"},
          Case{R"({"listeners": [{"address": "0.0.0.0:80", "tls": {}}]})",
               "$.listeners[0].tls: certificates is missing"},
          Case{R"({"listeners": [{"address": "0.0.0.0:80", "tls": {"certificate": []}}]})",
               "$.listeners[0].tls.certificate: unknown key (did you mean \"certificates\"?)"},
          Case{R"({"listeners": [{"address": "0.0.0.0:80", "tls": {"certificates": []}}]})",
               "$.listeners[0].tls.certificates: must have 1 to 256 elements, not 0"},
          Case{
              R"({"listeners": [{"address": "0.0.0.0:80", "tls": {"certificates": [{"cert": "a"}]}}]})",
              "$.listeners[0].tls.certificates[0]: key is missing"},
          Case{
              R"({"listeners": [{"address": "0.0.0.0:80", "tls": {"certificates": [{"cert": "", "key": "k"}]}}]})",
              "$.listeners[0].tls.certificates[0].cert: must not be empty"},
          Case{
              R"({"listeners": [{"address": "0.0.0.0:80", "tls": {"certificates": [{"cert": "a", "key": "k"}],
               "min_version": "1.1"}}]})",
              "$.listeners[0].tls.min_version: \"1.1\" is not one of \"1.2\", \"1.3\" (did you "
              "mean \"1.2\"?)"},
          Case{
              R"({"listeners": [{"address": "0.0.0.0:80", "tls": {"certificates": [{"cert": "a", "key": "k"}],
               "client_cert": "require"}}]})",
              "$.listeners[0].tls.client_cert: needs client_ca: the authorities whose certificates "
              "count"},
          Case{
              R"({"listeners": [{"address": "0.0.0.0:80", "tls": {"certificates": [{"cert": "a", "key": "k"}],
               "client_ca": "/ca"}}]})",
              "$.listeners[0].tls.client_ca: needs client_cert: \"request\" or \"require\""},
          Case{R"({"listeners": [{"address": "0.0.0.0:80", "proxy_protocol": true}]})",
               "$.listeners[0].proxy_protocol: not supported in this version"},
          Case{R"({"admin": {"address": "192.0.2.1:1"}})",
               "$.admin.address: 192.0.2.1:1 is not a loopback address: it needs a token_file, so "
               "that "
               "not anyone who reaches it can steer the gateway"},
          Case{
              R"({"trusted_proxies": ["10.0.0.0/33"]})",
              R"($.trusted_proxies[0]: "10.0.0.0/33" is not an address or a range such as "10.0.0.0/8")"},
          Case{R"({"limits": {"connections": 0}})",
               "$.limits.connections: must be a whole number from 1 to 10000000"},
          Case{R"({"limits": {"header_bytes": "2MiB"}})",
               "$.limits.header_bytes: must be a size from 1024 to 1048576 bytes"},
          Case{
              R"({"log": {"level": "loud"}})",
              R"($.log.level: "loud" is not one of "trace", "debug", "info", "warn", "error", "off")"},
          Case{R"({"log": {"access": {"path": ""}}})",
               R"($.log.access.path: must be "-" for stdout, "off" or a file)"},
          Case{R"({"log": {"access": {"sample": 1.01}}})",
               "$.log.access.sample: must be a number from 0.0 to 1.0"},
          Case{R"({"drain": {"lead": "2h"}})", "$.drain.lead: must be a duration from 0s to 1h"},
          Case{R"({"register": {"tags": ["a", "a"]}})",
               R"($.register.tags[1]: "a" is listed twice)"},
          Case{R"({"source": {"directory": "d"}, "register": {"service": "a"}})",
               "$.register: needs a Consul: give the key consul too"},
          Case{R"({"snapshot": "/x/"})",
               R"($.snapshot: must be a file such as "/var/lib/lictor/snapshot.json", or null)"},
          Case{R"({"snapshot": 1})", "$.snapshot: must be a string, not a number"},
          Case{
              R"({"tracing": {"otlp_endpoint": "127.0.0.1:4318"}})",
              R"($.tracing.otlp_endpoint: "127.0.0.1:4318" is not an http or https URL such as "http://127.0.0.1:4318")"},
          Case{
              R"({"tracing": {"otlp_endpoint": "http://u@h"}})",
              R"($.tracing.otlp_endpoint: "http://u@h" is not an http or https URL such as "http://127.0.0.1:4318")"},
          Case{R"({"tracing": {"sample_ratio": 2}})",
               "$.tracing.sample_ratio: must be a number from 0.0 to 1.0"},
          Case{R"({"tracing": {"sample_rate": 1}})",
               R"($.tracing.sample_rate: unknown key (did you mean "sample_ratio"?))"},
      }) {
    CAPTURE(text);
    CHECK(bad(text) == error);
  }
}

TEST_CASE("admin on loopback addresses needs no token") {
  CHECK(bad(R"({"admin": {"address": "127.0.0.2:0"}})") == "valid");
  CHECK(bad(R"({"admin": {"address": "[::1]:0", "token_file": null}})") == "valid");
  CHECK(bad(R"({"admin": {"address": "[::]:0"}})") != "valid");
}

TEST_CASE("listeners on port 0 don't clash") {
  CHECK(
      bad(R"({"listeners": [{"name": "a", "address": "127.0.0.1:0"}, {"name": "b", "address": "127.0.0.1:0"}]})") ==
      "valid");
}

TEST_CASE("all problems are found in one pass") {
  const auto parsed =
      parse_bootstrap(R"({"workers": -1, "drain": {"lead": 5}, "consul": {"wait": "x"}, "x": 1})",
                      {{"CONSUL_HTTP_SSL", "?"}});
  REQUIRE_FALSE(parsed);
  CHECK(parsed.error().size() == 5);
}

TEST_CASE("a listener under TLS") {
  const Bootstrap b = good(R"({"listeners": [
    {"name": "a", "address": "0.0.0.0:443", "tls": {"certificates": [{"cert": "c", "key": "k"}]}},
    {"name": "b", "address": "0.0.0.0:444", "tls": {
      "certificates": [{"cert": "c", "key": "k"}, {"cert": "d", "key": "l"}], "min_version": "1.3",
      "client_ca": "ca", "client_cert": "request"}},
    {"name": "c", "address": "0.0.0.0:445", "tls": {
      "certificates": [{"cert": "c", "key": "k"}], "client_ca": null, "client_cert": "off"}}]})");
  REQUIRE(b.listeners.size() == 3);
  REQUIRE(b.listeners[0].tls);
  CHECK(b.listeners[0].tls->certificates == std::vector<lictor::CertificateFiles>{{"c", "k"}});
  CHECK(b.listeners[0].tls->min_version == lictor::TlsVersion::k12);
  CHECK(b.listeners[0].tls->client_cert == lictor::ClientCert::kOff);
  CHECK(b.listeners[1].tls->certificates.size() == 2);
  CHECK(b.listeners[1].tls->min_version == lictor::TlsVersion::k13);
  CHECK(b.listeners[1].tls->client_cert == lictor::ClientCert::kRequest);
  CHECK(b.listeners[1].tls->client_ca == "ca");
}
