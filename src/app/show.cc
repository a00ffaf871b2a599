#include "app/show.h"

#include <signal.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <optional>
#include <sstream>
#include <utility>

#include "app/admin_client.h"
#include "app/show_table.h"
#include "base/duration.h"

namespace lictor {
namespace {

using Json = nlohmann::ordered_json;

constexpr time_t kWatchSeconds = 2;

// --- asking --------------------------------------------------------------------------------------

std::string from_environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

std::optional<std::string> read_token(const std::string& path, std::ostream& err) {
  if (path.empty()) return "";
  std::ifstream file(path);
  if (!file) {
    err << "lictor: can't read the token file " << path << "\n";
    return std::nullopt;
  }
  std::string token(std::istreambuf_iterator<char>(file), {});
  while (!token.empty() && token.find_last_of(" \t\r\n") == token.size() - 1) token.pop_back();
  token.erase(0, std::min(token.find_first_not_of(" \t\r\n"), token.size()));
  return token;
}

std::string problem_in(const AdminAnswer& answer) {
  const Json json = Json::parse(answer.body, nullptr, false);
  if (json.is_object() && json.contains("detail") && json["detail"].is_string()) {
    return json["detail"].get<std::string>();
  }
  return "the admin port answered with status " + std::to_string(answer.status);
}

std::optional<std::string> ask(const ShowOptions& options, const std::string& target,
                               std::ostream& err) {
  std::string admin = options.admin.empty() ? from_environment("LICTOR_ADMIN") : options.admin;
  if (admin.empty()) admin = kDefaultAdmin;
  const auto token = read_token(
      options.token_file.empty() ? from_environment("LICTOR_ADMIN_TOKEN_FILE") : options.token_file,
      err);
  if (!token) return std::nullopt;
  auto answer = AdminClient(admin, *token).get(target);
  if (!answer || answer->status != 200) {
    err << "lictor: " << printable(answer ? problem_in(*answer) : answer.error()) << "\n";
    return std::nullopt;
  }
  return std::move(answer->body);
}

using Print = std::string (*)(std::string_view, bool);

bool color_on(const std::ostream& out) {
  return &out == &std::cout && isatty(STDOUT_FILENO) == 1 && from_environment("NO_COLOR").empty() &&
         from_environment("TERM") != "dumb";
}

int show_as(const ShowOptions& options, const std::string& target, Print print, bool color,
            std::ostream& out, std::ostream& err) {
  const auto body = ask(options, target, err);
  if (!body) return 1;
  out << (options.json ? *body : print(*body, color)) << std::flush;
  return out ? 0 : 1;
}

volatile sig_atomic_t interrupted = 0;

// The screen anew each time on a terminal; elsewhere one after the other. A gateway that is away
// may come back.
int show_again_and_again(const ShowOptions& options, const std::string& target, Print print,
                         std::ostream& out, std::ostream& err) {
  struct sigaction action{};
  action.sa_handler = [](int) { interrupted = 1; };
  action.sa_flags = static_cast<int>(SA_RESETHAND);  // a second one ends at once
  sigaction(SIGINT, &action, nullptr);
  const bool screen = &out == &std::cout && isatty(STDOUT_FILENO) == 1;
  bool first = true;
  while (interrupted == 0) {
    std::ostringstream text;
    std::ostringstream wrong;
    show_as(options, target, print, color_on(out), text, wrong);
    if (screen) {
      out << "\x1b[H\x1b[2J" << text.str() << wrong.str();
    } else {
      out << (first || options.json ? "" : "\n") << text.str();
      err << wrong.str() << std::flush;
    }
    if (!(out << std::flush)) return 1;
    first = false;
    const timespec pause{.tv_sec = kWatchSeconds, .tv_nsec = 0};
    if (interrupted == 0) nanosleep(&pause, nullptr);
  }
  return 0;
}

int show(const ShowOptions& options, const std::string& target, Print print, std::ostream& out,
         std::ostream& err) {
  if (options.watch) return show_again_and_again(options, target, print, out, err);
  return show_as(options, target, print, color_on(out), out, err);
}

// --- printing ------------------------------------------------------------------------------------

// Values of the gateway's own answers, and of any other version's: what is missing is "-".
std::string cell(const Json& json, const char* key) {
  const auto found = json.find(key);
  if (found == json.end() || found->is_null()) return "-";
  if (found->is_string()) return found->get<std::string>();
  if (found->is_boolean()) return found->get<bool>() ? "yes" : "no";
  return found->dump();
}

const Json& member(const Json& json, const char* key) {
  static const Json kNone;
  const auto found = json.find(key);
  return found == json.end() ? kNone : *found;
}

std::string joined(const Json& list, const std::string& none) {
  std::string out;
  for (const Json& item : list) {
    out += (out.empty() ? "" : ", ") + (item.is_string() ? item.get<std::string>() : item.dump());
  }
  return out.empty() ? none : out;
}

Json parse(std::string_view text) { return Json::parse(text, nullptr, false); }

bool flag(const Json& json, const char* key) {
  const Json& value = member(json, key);
  return value.is_boolean() && value.get<bool>();
}

size_t count_usable(const Json& instances) {
  return static_cast<size_t>(std::count_if(
      instances.begin(), instances.end(),
      [](const Json& instance) { return flag(instance, "usable") && !flag(instance, "ejected"); }));
}

std::string counted(size_t number, const std::string& thing) {
  return std::to_string(number) + " " + thing + (number == 1 ? "" : "s");
}

std::string line(const std::string& name, const Cell& value, bool color) {
  std::string out = toned({name, Tone::kHead}, color);
  out.append(std::max<size_t>(name.size() + 2, 11) - name.size(), ' ');
  return out + toned(value, color) + "\n";
}

// `line` with the colour that a whole answer has.
auto line_in(bool color) {
  return [color](const std::string& name, const Cell& value) { return line(name, value, color); };
}

Tone tone_of_health(const std::string& health) {
  if (health == "passing") return Tone::kGood;
  return health == "warning" ? Tone::kWarn : Tone::kBad;
}

std::string backends_text(const Json& backends, bool color) {
  Table table({"BACKEND", "WEIGHT", "INSTANCES"});
  for (const Json& backend : backends) {
    const Json& instances = member(backend, "instances");
    table.add({cell(backend, "service"), cell(backend, "weight"),
               std::to_string(instances.size()) + ", " + std::to_string(count_usable(instances)) +
                   " usable"});
  }
  return table.empty() ? "" : "\n" + table.text(color);
}

std::string matched_text(const Json& json, bool color) {
  const auto line = line_in(color);
  std::string out = line("route", cell(json, "route"));
  for (const auto& [name, value] : member(json, "captures").items()) {
    out += line("", name + " = " + (value.is_string() ? value.get<std::string>() : value.dump()));
  }
  if (member(json, "answered_by").is_string()) {
    out += line("answer", cell(json, "status") + " by the filter " + cell(json, "answered_by"));
  } else {
    out += line("upstream", cell(json, "upstream_path"));
  }
  const Json& filters = member(json, "filters");
  if (!filters.empty()) out += line("filters", joined(filters, ""));
  const Json& not_run = member(json, "filters_not_run");
  if (!not_run.empty()) out += line("", "not tried here: " + joined(not_run, ""));
  return out + backends_text(member(json, "backends"), color);
}

}  // namespace

std::string print_explain(std::string_view text, bool color) {
  const Json json = parse(text);
  if (!json.is_object()) return std::string(text);
  const auto line = line_in(color);
  std::string out;
  if (flag(json, "matched")) {
    out = matched_text(json, color);
  } else {
    const Json& allow = member(json, "allow");
    out = line("route", {"none: " + cell(json, "status"), Tone::kBad});
    if (!allow.empty()) out += line("allow", joined(allow, ""));
  }
  Table table({"PASSED OVER", "WHY"});
  const Json& passed_over = member(json, "passed_over");
  for (const Json& one : passed_over) table.add({cell(one, "route"), cell(one, "why")});
  if (!table.empty()) out += "\n" + table.text(color);
  const Json& total = member(json, "passed_over_total");
  if (total.is_number_unsigned() && total.get<size_t>() > passed_over.size()) {
    out += "and " + std::to_string(total.get<size_t>() - passed_over.size()) + " more\n";
  }
  return out;
}

std::string print_status(std::string_view text, bool color) {
  const Json json = parse(text);
  if (!json.is_object()) return std::string(text);
  const auto line = line_in(color);
  const Json& uptime = member(json, "uptime_s");
  const std::string state = cell(json, "state");
  std::string out = line("state", {state, state == "ready" ? Tone::kGood : Tone::kWarn});
  out += line("version", cell(json, "version"));
  if (uptime.is_number()) {
    out +=
        line("uptime", format_duration(Millis{static_cast<int64_t>(uptime.get<double>()) * 1000}));
  }
  out += line("workers", cell(json, "workers"));
  out += line("revision", cell(json, "config_revision"));
  out += line("source", cell(json, "source"));
  for (const Json& one : member(json, "listeners")) {
    out += line("listener", cell(one, "name") + " on " + cell(one, "address") + ", " +
                                cell(one, "connections") + " connections");
  }
  const Json& consul = member(json, "consul");
  if (!consul.is_object()) return out;
  const bool connected = flag(consul, "connected");
  out += line("consul", {cell(consul, "address") + (connected ? "" : ", away"),
                         connected ? Tone::kGood : Tone::kBad});
  out += line("", "leader known: " + cell(consul, "known_leader") + ", data " +
                      cell(consul, "staleness_s") + " s old");
  out += line("", cell(consul, "queries") + " queries, " + cell(consul, "connections") +
                      " connections, " + cell(consul, "errors_total") + " errors");
  if (member(consul, "last_error").is_string()) {
    out += line("", "last error: " + cell(consul, "last_error"));
  }
  return out;
}

std::string print_routes(std::string_view text, bool color) {
  const Json json = parse(text);
  if (!json.is_array()) return std::string(text);
  if (json.empty()) return "no routes\n";
  Table table({"ROUTE", "HOSTS", "PATHS", "METHODS", "BACKENDS", "FILTERS", "REQUESTS"});
  for (const Json& route : json) {
    std::string backends;
    const Json& list = member(route, "backends");
    for (const Json& backend : list) {
      backends += (backends.empty() ? "" : ", ") + cell(backend, "service");
      if (list.size() > 1) backends += ":" + cell(backend, "weight");
    }
    table.add({cell(route, "name"), joined(member(route, "hosts"), "any"),
               joined(member(route, "paths"), "-"), joined(member(route, "methods"), "any"),
               backends.empty() ? "-" : backends, joined(member(route, "filters"), "-"),
               cell(route, "requests_total")});
  }
  return table.text(color);
}

namespace {

Cell state_cell(const Json& instance) {
  if (flag(instance, "ejected")) return {"ejected", Tone::kBad};
  return flag(instance, "usable") ? Cell{"in"} : Cell{"out", Tone::kWarn};
}

}  // namespace

std::string print_upstreams(std::string_view text, bool color) {
  const Json json = parse(text);
  if (!json.is_array()) return std::string(text);
  if (json.empty()) return "no upstreams\n";
  std::string out;
  for (const Json& upstream : json) {
    const Json& instances = member(upstream, "instances");
    if (!out.empty()) out += "\n";
    out += toned({cell(upstream, "service"), Tone::kHead}, color) + "  " +
           cell(upstream, "balance") + ", " + counted(instances.size(), "instance") + ", " +
           std::to_string(count_usable(instances)) + " usable\n";
    Table table(
        {"INSTANCE", "ADDRESS", "HEALTH", "STATE", "WEIGHT", "ACTIVE", "REQUESTS", "FAILED"});
    for (const Json& one : instances) {
      const std::string health = cell(one, "health");
      table.add({cell(one, "id"),
                 cell(one, "address"),
                 {health, tone_of_health(health)},
                 state_cell(one),
                 cell(one, "weight"),
                 cell(one, "active_requests"),
                 cell(one, "requests_total"),
                 cell(one, "failures_total")});
    }
    if (!table.empty()) out += table.text(color, "  ");
  }
  return out;
}

int show_explain(const ShowOptions& options, const std::string& method, const std::string& url,
                 const std::vector<std::string>& headers, std::ostream& out, std::ostream& err) {
  std::string target =
      "/v1/explain?method=" + percent_encode(method) + "&url=" + percent_encode(url);
  for (const auto& header : headers) target += "&header=" + percent_encode(header);
  if (options.watch) return show(options, target, print_explain, out, err);
  const auto body = ask(options, target, err);
  if (!body) return 2;
  out << (options.json ? *body : print_explain(*body, color_on(out)));
  const Json json = parse(*body);
  return json.is_object() && flag(json, "matched") ? 0 : 1;
}

int show_status(const ShowOptions& options, std::ostream& out, std::ostream& err) {
  return show(options, "/v1/status", print_status, out, err);
}
int show_routes(const ShowOptions& options, std::ostream& out, std::ostream& err) {
  return show(options, "/v1/routes", print_routes, out, err);
}
int show_upstreams(const ShowOptions& options, std::ostream& out, std::ostream& err) {
  return show(options, "/v1/upstreams", print_upstreams, out, err);
}

}  // namespace lictor
