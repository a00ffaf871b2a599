// routes/<name>: {"path": "/user/*", "service": "user-service"} and all that goes with it.
#include <algorithm>
#include <charconv>
#include <set>

#include "filter/names.h"
#include "model/documents.h"
#include "model/path_pattern.h"

namespace lictor {
namespace {

constexpr size_t kMaxHosts = 64;
constexpr size_t kMaxPaths = 64;
constexpr size_t kMaxBackends = 64;
constexpr size_t kMaxMethods = 32;
constexpr size_t kMaxConditions = 32;
constexpr size_t kMaxFailovers = 8;
constexpr uint32_t kMaxWeight = 1'000'000;

// An array of strings, none twice; `parse` returns what is wrong with one, or changes it.
template <class Parse>
void read_names(JsonObject& object, std::string_view key, size_t most,
                std::vector<std::string>& out, Parse parse) {
  std::vector<std::string> read;
  const bool found = object.array(key, 1, most, [&](const JsonValue& item) {
    std::string text;
    if (!item.read_text(text)) return;
    const std::string wrong = parse(text);
    if (!wrong.empty()) return item.fail(wrong);
    if (std::find(read.begin(), read.end(), text) != read.end()) {
      return item.fail(in_quotes(text) + " is listed twice");
    }
    read.push_back(std::move(text));
  });
  if (found) out = std::move(read);
}

std::string take_host(std::string& text) {
  auto host = parse_host_pattern(text);
  if (!host) return host.error();
  text = std::move(*host);
  return {};
}

// Collects what the path captures on the way, and regular expressions.
std::string take_path(std::string_view text, Route& route, std::vector<std::string>& captures) {
  if (is_regex_path(text)) {
    auto regex = Regex::compile(text.substr(1));
    if (!regex) return regex.error();
    const auto& names = (*regex)->captures();
    captures.insert(captures.end(), names.begin(), names.end());
    route.regexes.push_back(std::move(*regex));
    return {};
  }
  const auto pattern = parse_path_pattern(text);
  if (!pattern) return pattern.error();
  const auto names = pattern->captures();
  captures.insert(captures.end(), names.begin(), names.end());
  return {};
}

void read_paths(JsonObject& object, Route& route, std::vector<std::string>& captures) {
  const auto take = [&](const std::string& text) { return take_path(text, route, captures); };
  if (const auto path = object.find("path")) {
    std::string text;
    if (path->read_text(text)) {
      const std::string wrong = take(text);
      if (!wrong.empty()) path->fail(wrong);
      route.paths = {std::move(text)};
    }
    if (object.has("paths")) object.fail("has path and paths: give one of them");
  }
  read_names(object, "paths", kMaxPaths, route.paths, take);
  if (!object.has("path") && !object.has("paths")) {
    object.fail(R"(path is missing ("/*" takes every path))");
  }
}

void read_service(const JsonValue& at, std::string& service) {
  if (!at.read_text(service)) return;
  const std::string wrong = check_service_name(service);
  if (!wrong.empty()) at.fail(wrong);
}

void read_datacenter(JsonObject& object, std::string& datacenter) {
  const auto at = object.find("datacenter");
  if (!at || !at->read_text(datacenter)) return;
  const std::string wrong = check_service_name(datacenter);
  if (!wrong.empty()) at->fail("datacenter: " + wrong);
}

void read_meta(JsonObject& object, std::map<std::string, std::string>& meta) {
  object.map("meta", kMaxConditions, [&](const std::string& key, const JsonValue& value) {
    std::string text;
    if (value.read_text(text)) meta[key] = std::move(text);
  });
}

void read_target(JsonObject& object, Destination& target) {
  if (const auto service = object.find("service")) {
    read_service(*service, target.service);
  } else {
    object.fail("service is missing");
  }
  read_datacenter(object, target.datacenter);
  read_names(object, "tags", kMaxConditions, target.subset.tags,
             [](const std::string&) { return std::string(); });
  std::sort(target.subset.tags.begin(), target.subset.tags.end());
  read_meta(object, target.subset.meta);
}

void read_backend(JsonObject& object, Backend& backend) {
  read_target(object, backend);
  object.whole("weight", backend.weight, 0, kMaxWeight);
  object.choice("host", backend.instance_host, {{"preserve", false}, {"instance", true}});
  object.array("failover", 1, kMaxFailovers, [&](const JsonValue& item) {
    Destination target;
    if (item.read_object([&](JsonObject& one) { read_target(one, target); })) {
      backend.failover.push_back(std::move(target));
    }
  });
}

void read_backends(JsonObject& object, Route& route) {
  if (const auto service = object.find("service")) {
    read_service(*service, route.backends.emplace_back().service);
    if (object.has("backends")) object.fail("has service and backends: give one of them");
  }
  std::set<std::pair<std::string, Subset>> targets;
  const bool found = object.array("backends", 1, kMaxBackends, [&](const JsonValue& item) {
    Backend backend;
    if (!item.read_object([&](JsonObject& one) { read_backend(one, backend); })) return;
    if (!targets.insert({backend.upstream_key(), backend.subset}).second) {
      item.fail("service " + in_quotes(backend.service) + " is listed twice");
    }
    route.backends.push_back(std::move(backend));
  });
  for (const auto& backend : route.backends) route.total_weight += backend.weight;
  if (found && route.total_weight == 0) object.fail("backends", "every weight is 0");
}

// One element of retries.on: a word, or a status as a string or a number.
void read_retry_reason(const JsonValue& item, RetryPolicy& retries) {
  const std::vector<std::string_view> words{"connect", "reset", "timeout", "refused_stream"};
  std::string text;
  if (item.is_text()) item.read_text(text);
  if (text == "connect") {
    retries.on_connect = true;
  } else if (text == "reset") {
    retries.on_reset = true;
  } else if (text == "timeout") {
    retries.on_timeout = true;
  } else if (text == "refused_stream") {
    retries.on_refused_stream = true;
  } else {
    uint64_t status = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), status);
    const bool number = item.is_text() ? error == std::errc() && end == text.data() + text.size()
                                       : item.is_whole(status);
    if (number && status >= 400 && status <= 599) {
      retries.on_status.push_back(static_cast<uint16_t>(status));
      return;
    }
    item.fail(
        R"(must be "connect", "reset", "timeout", "refused_stream" or a status from 400 to 599)" +
        (text.empty() ? std::string() : did_you_mean(text, words)));
  }
}

void read_retries(JsonObject& object, RetryPolicy& retries) {
  object.whole("attempts", retries.attempts, 0, 10);
  object.duration("per_try_timeout", retries.per_try_timeout);
  retries.on_timeout = retries.per_try_timeout.count() > 0;
  if (const auto on = object.find("on")) {
    retries.on_connect = retries.on_timeout = false;
    on->read_array(0, 64, [&](const JsonValue& item) { read_retry_reason(item, retries); });
  }
  read_names(object, "methods", kMaxMethods, retries.methods, check_method);
}

void read_route(JsonObject& object, RouteDocument& document) {
  Route& route = document.route;
  read_names(object, "hosts", kMaxHosts, route.hosts, take_host);
  std::vector<std::string> captures;
  read_paths(object, route, captures);
  read_names(object, "methods", kMaxMethods, route.methods, check_method);
  read_conditions(object, route.conditions);
  if (const auto priority = object.find("priority")) {
    int64_t value = 0;
    priority->read_signed(value, -1'000'000, 1'000'000);
    route.priority = static_cast<int32_t>(value);
  }
  read_backends(object, route);
  read_filters(object, FilterContext{&captures, "routes/" + route.name}, document.filters);
  object.duration("timeout", route.timeout);
  object.object("retries", [&](JsonObject& retries) { read_retries(retries, route.retries); });
}

}  // namespace

Parsed<RouteDocument> parse_route(std::string_view name, std::string_view text) {
  RouteDocument document;
  document.route.name = name;
  Problems problems = read_json(text, JsonComments::kNo, [&](const JsonValue& root) {
    root.read_object([&](JsonObject& object) { read_route(object, document); });
  });
  if (!problems.empty()) return std::unexpected(std::move(problems));
  return document;
}

}  // namespace lictor
