#include "app/show.h"

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <optional>
#include <ostream>
#include <utility>

#include "app/admin_client.h"
#include "base/duration.h"

namespace lictor {
namespace {

using Json = nlohmann::ordered_json;

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
    err << "lictor: " << (answer ? problem_in(*answer) : answer.error()) << "\n";
    return std::nullopt;
  }
  return std::move(answer->body);
}

using Print = std::string (*)(std::string_view);

int show(const ShowOptions& options, const std::string& target, Print print, std::ostream& out,
         std::ostream& err) {
  const auto body = ask(options, target, err);
  if (!body) return 1;
  out << (options.json ? *body : print(*body));
  return 0;
}

// --- printing ------------------------------------------------------------------------------------

// Rows of cells, columns aligned; the first row is the heading.
class Table {
 public:
  explicit Table(std::vector<std::string> heading) { add(std::move(heading)); }
  void add(std::vector<std::string> row) { rows_.push_back(std::move(row)); }

  std::string text(std::string_view indent = "") const {
    std::vector<size_t> widths(rows_.front().size());
    for (const auto& row : rows_) {
      for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
    }
    std::string out;
    for (const auto& row : rows_) {
      std::string line(indent);
      for (size_t i = 0; i < row.size(); ++i) {
        line += row[i];
        if (i + 1 < row.size()) line.append(widths[i] - row[i].size() + 2, ' ');
      }
      line.erase(line.find_last_not_of(' ') + 1);
      out += line + "\n";
    }
    return out;
  }
  bool empty() const { return rows_.size() == 1; }

 private:
  std::vector<std::vector<std::string>> rows_;
};

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

std::string line(const std::string& name, const std::string& value) {
  std::string out = name;
  out.append(std::max<size_t>(name.size() + 2, 11) - name.size(), ' ');
  return out + value + "\n";
}

std::string backends_text(const Json& backends) {
  Table table({"BACKEND", "WEIGHT", "INSTANCES"});
  for (const Json& backend : backends) {
    const Json& instances = member(backend, "instances");
    table.add({cell(backend, "service"), cell(backend, "weight"),
               std::to_string(instances.size()) + ", " + std::to_string(count_usable(instances)) +
                   " usable"});
  }
  return table.empty() ? "" : "\n" + table.text();
}

std::string matched_text(const Json& json) {
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
  return out + backends_text(member(json, "backends"));
}

}  // namespace

std::string print_explain(std::string_view text) {
  const Json json = parse(text);
  if (!json.is_object()) return std::string(text);
  std::string out;
  if (flag(json, "matched")) {
    out = matched_text(json);
  } else {
    const Json& allow = member(json, "allow");
    out = line("route", "none: " + cell(json, "status"));
    if (!allow.empty()) out += line("allow", joined(allow, ""));
  }
  Table table({"PASSED OVER", "WHY"});
  const Json& passed_over = member(json, "passed_over");
  for (const Json& one : passed_over) table.add({cell(one, "route"), cell(one, "why")});
  if (!table.empty()) out += "\n" + table.text();
  const Json& total = member(json, "passed_over_total");
  if (total.is_number_unsigned() && total.get<size_t>() > passed_over.size()) {
    out += "and " + std::to_string(total.get<size_t>() - passed_over.size()) + " more\n";
  }
  return out;
}

std::string print_status(std::string_view text) {
  const Json json = parse(text);
  if (!json.is_object()) return std::string(text);
  const Json& uptime = member(json, "uptime_s");
  std::string out = line("state", cell(json, "state"));
  out += line("version", cell(json, "version"));
  if (uptime.is_number()) {
    out +=
        line("uptime", format_duration(Millis{static_cast<int64_t>(uptime.get<double>()) * 1000}));
  }
  out += line("workers", cell(json, "workers"));
  out += line("revision", cell(json, "config_revision"));
  out += line("source", cell(json, "source"));
  const Json& consul = member(json, "consul");
  if (!consul.is_object()) return out;
  out += line("consul", cell(consul, "address") + (flag(consul, "connected") ? "" : ", away"));
  out += line("", "leader known: " + cell(consul, "known_leader") + ", data " +
                      cell(consul, "staleness_s") + " s old");
  out += line("", cell(consul, "queries") + " queries, " + cell(consul, "connections") +
                      " connections, " + cell(consul, "errors_total") + " errors");
  if (member(consul, "last_error").is_string()) {
    out += line("", "last error: " + cell(consul, "last_error"));
  }
  return out;
}

std::string print_routes(std::string_view text) {
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
  return table.text();
}

std::string print_upstreams(std::string_view text) {
  const Json json = parse(text);
  if (!json.is_array()) return std::string(text);
  if (json.empty()) return "no upstreams\n";
  std::string out;
  for (const Json& upstream : json) {
    const Json& instances = member(upstream, "instances");
    if (!out.empty()) out += "\n";
    out += cell(upstream, "service") + "  " + cell(upstream, "balance") + ", " +
           counted(instances.size(), "instance") + ", " + std::to_string(count_usable(instances)) +
           " usable\n";
    Table table(
        {"INSTANCE", "ADDRESS", "HEALTH", "STATE", "WEIGHT", "ACTIVE", "REQUESTS", "FAILED"});
    for (const Json& one : instances) {
      table.add({cell(one, "id"), cell(one, "address"), cell(one, "health"),
                 flag(one, "ejected") ? "ejected" : (flag(one, "usable") ? "in" : "out"),
                 cell(one, "weight"), cell(one, "active_requests"), cell(one, "requests_total"),
                 cell(one, "failures_total")});
    }
    if (!table.empty()) out += table.text("  ");
  }
  return out;
}

int show_explain(const ShowOptions& options, const std::string& method, const std::string& url,
                 const std::vector<std::string>& headers, std::ostream& out, std::ostream& err) {
  std::string target =
      "/v1/explain?method=" + percent_encode(method) + "&url=" + percent_encode(url);
  for (const auto& header : headers) target += "&header=" + percent_encode(header);
  const auto body = ask(options, target, err);
  if (!body) return 2;
  out << (options.json ? *body : print_explain(*body));
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
