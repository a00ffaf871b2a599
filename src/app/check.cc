#include "app/check.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <map>
#include <system_error>

#include "app/listener_tls.h"
#include "base/json.h"
#include "model/bootstrap.h"
#include "model/documents.h"
#include "model/link.h"

namespace lictor {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kSuffix = ".json";
constexpr std::array<std::string_view, 4> kFolders = {"routes", "upstreams", "filters",
                                                      "consumers"};

// Keys that tell a kind of document when nothing else does.
struct Telling {
  std::string_view key;  // as of a document; "bootstrap" for the bootstrap file
  std::vector<std::string_view> words;
};
const std::array<Telling, 5> kTelling = {{
    {"routes/stdin",
     {"path", "paths", "hosts", "methods", "priority", "service", "backends", "retries",
      "timeout"}},
    {"upstreams/stdin",
     {"balance", "endpoints", "health", "ejection", "connect_timeout", "idle_timeout", "host",
      "hash_on", "panic_percent", "slow_start", "max_connections", "max_pending", "max_requests",
      "retry_budget_percent", "protocol", "tls", "connect"}},
    {"gateway", {"upstream_defaults"}},
    {"consumers/stdin", {"api_keys", "basic", "groups"}},
    {"bootstrap",
     {"consul", "source", "register", "snapshot", "listeners", "admin", "workers",
      "trusted_proxies", "limits", "log", "tracing", "drain"}},
}};

// The kind that most keys speak for. What can't be read at all is taken for a route: its syntax
// error is the same in every kind.
std::string_view guess_kind(std::string_view text) {
  std::vector<std::string> keys;
  read_json(text, JsonComments::kYes, [&keys](const JsonValue& root) {
    if (!root.is_object()) return;
    root.read_map(kMaxDocumentBytes,
                  [&keys](const std::string& key, const JsonValue&) { keys.push_back(key); });
  });
  if (keys == std::vector<std::string>{"filters"}) return "gateway";
  std::string_view best = "routes/stdin";
  std::ptrdiff_t most = 0;
  for (const auto& [kind, words] : kTelling) {
    const auto count = std::count_if(keys.begin(), keys.end(), [&words](const std::string& key) {
      return std::find(words.begin(), words.end(), key) != words.end();
    });
    if (count <= most) continue;
    most = count;
    best = kind;
  }
  // {"respond": {...}}: what no other kind has.
  return most == 0 && keys.size() == 1 ? "filters/stdin" : best;
}

Problems check_bootstrap(std::string_view text) {
  auto parsed = parse_bootstrap(text, process_environment());
  return parsed ? ListenerTls().load(parsed->listeners) : std::move(parsed.error());
}

struct File {
  std::string label;  // as it is printed
  std::string key;    // as in kTelling
  std::string text;
};

class Checker {
 public:
  Checker(std::ostream& out, std::ostream& err) : out_(out), err_(err) {}

  void check_config(const std::string& path);
  void check_path(const std::string& path);
  void unusable(const std::string& what) {
    err_ << "lictor check: " << what << "\n";
    exit_code_ = 2;
  }
  int finish();

 private:
  std::optional<std::string> read(const std::string& path);
  void check_folder(const fs::path& folder);
  void check_file(const fs::path& path);
  // `shared` is null when only this file is known, so that what it refers to can't be judged.
  void check(const File& file, const SharedFilters* shared);
  Problems check_route(const File& file, std::string_view name, const SharedFilters* shared);
  Problems check_gateway(const File& file, const SharedFilters* shared);
  Problems check_consumer(const File& file, std::string_view name);
  void warn_of_ties(const std::vector<File>& files);
  void report(const std::string& label, const Problems& problems);

  std::ostream& out_;
  std::ostream& err_;
  size_t checked_ = 0;
  std::vector<std::shared_ptr<const Route>> routes_;  // of the folder that is being checked
  TakenCredentials taken_;                            // likewise, in the order of names
  int exit_code_ = 0;
};

std::optional<std::string> Checker::read(const std::string& path) {
  std::string text;
  if (path == "-") {
    text.assign(std::istreambuf_iterator<char>(std::cin), {});
    return text;
  }
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  // One byte more than a document may have: enough to see that it is too large.
  text.resize(kMaxDocumentBytes + 1);
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (!file.is_open() || file.bad()) {
    unusable(path + ": " + std::generic_category().message(errno));
    return std::nullopt;
  }
  text.resize(static_cast<size_t>(file.gcount()));
  return text;
}

void Checker::check_config(const std::string& path) {
  if (const auto text = read(path)) check({path, "bootstrap", *text}, nullptr);
}

void Checker::check_path(const std::string& path) {
  std::error_code ignored;
  if (path == "-") {
    const auto text = read(path);
    check({"-", std::string(guess_kind(*text)), *text}, nullptr);
  } else if (fs::is_directory(path, ignored)) {
    check_folder(path);
  } else {
    check_file(path);
  }
}

void Checker::check_file(const fs::path& path) {
  const auto text = read(path.string());
  if (!text) return;
  const std::string folder = fs::absolute(path).parent_path().filename().string();
  std::string key(guess_kind(*text));
  if (path.filename() == "gateway.json") key = "gateway";
  if (std::find(kFolders.begin(), kFolders.end(), folder) != kFolders.end()) {
    key = folder + "/" + path.stem().string();
  }
  check({path.string(), key, *text}, nullptr);
}

// Every .json file below a folder is looked at: one in the wrong place would never be read.
void Checker::check_folder(const fs::path& folder) {
  const std::string own = fs::canonical(folder).filename().string();
  const bool is_kind = std::find(kFolders.begin(), kFolders.end(), own) != kFolders.end();
  std::vector<fs::path> paths;
  std::error_code error;
  for (auto at = fs::recursive_directory_iterator(folder, error);
       !error && at != fs::recursive_directory_iterator(); at.increment(error)) {
    const bool hidden = at->path().filename().string().starts_with('.');
    if (hidden) at.disable_recursion_pending();
    if (!hidden && at->path().extension() == kSuffix && !at->is_directory(error)) {
      paths.push_back(at->path());
    }
  }
  if (error) return unusable(folder.string() + ": " + error.message());
  std::sort(paths.begin(), paths.end());
  std::vector<File> files;
  for (const auto& path : paths) {
    const auto text = read(path.string());
    if (!text) continue;
    std::string key = path.lexically_relative(folder).generic_string();
    key.resize(key.size() - kSuffix.size());
    if (is_kind) key.insert(0, own + "/");
    const bool top = key.find('/') == std::string::npos;
    if (top && guess_kind(*text) == "bootstrap") key = "bootstrap";
    files.push_back({path.string(), std::move(key), *text});
  }
  SharedFilters shared;
  for (const auto& file : files) {
    if (!file.key.starts_with("filters/")) continue;
    auto parsed = parse_filter(file.key.substr(8), file.text);
    shared.emplace(file.key.substr(8), parsed ? *parsed : nullptr);
  }
  routes_.clear();
  taken_ = {};
  // A folder of routes alone says nothing about shared filters.
  for (const auto& file : files) check(file, is_kind ? nullptr : &shared);
  warn_of_ties(files);
}

void Checker::warn_of_ties(const std::vector<File>& files) {
  for (const auto& [name, warning] : find_ties(routes_)) {
    const auto file = std::find_if(files.begin(), files.end(), [&name = name](const File& one) {
      return one.key == "routes/" + name;
    });
    out_ << (file == files.end() ? name : file->label) << ": $: warning: " << warning << "\n";
  }
}

Problems Checker::check_route(const File& file, std::string_view name,
                              const SharedFilters* shared) {
  auto parsed = parse_route(name, file.text);
  if (!parsed) return std::move(parsed.error());
  const bool uses_shared = std::any_of(parsed->filters.begin(), parsed->filters.end(),
                                       [](const FilterSlot& slot) { return !slot.use.empty(); });
  routes_.push_back(std::make_shared<const Route>(parsed->route));
  if (shared == nullptr && uses_shared) return {};
  auto chain = link_route(*parsed, shared == nullptr ? SharedFilters{} : *shared);
  return chain ? Problems{} : std::move(chain.error());
}

Problems Checker::check_gateway(const File& file, const SharedFilters* shared) {
  auto parsed = parse_gateway(file.text);
  if (!parsed) return std::move(parsed.error());
  if (shared == nullptr) return {};
  auto chain = link_filters(parsed->filters, *shared);
  return chain ? Problems{} : std::move(chain.error());
}

Problems Checker::check_consumer(const File& file, std::string_view name) {
  auto parsed = parse_consumer(name, file.text);
  if (!parsed) return std::move(parsed.error());
  Problems problems = find_taken(*parsed, taken_);
  if (problems.empty()) taken_.add(*parsed);
  return problems;
}

void Checker::check(const File& file, const SharedFilters* shared) {
  const auto problems_of = [](auto parsed) {
    return parsed ? Problems{} : std::move(parsed.error());
  };
  ++checked_;
  if (file.key == "bootstrap") {
    return report(file.label, check_bootstrap(file.text));
  }
  const auto parsed = parse_document_key(file.key);
  if (!parsed) return report(file.label, {parsed.error()});
  switch (parsed->kind) {
    case DocumentKind::kGateway:
      return report(file.label, check_gateway(file, shared));
    case DocumentKind::kRoute:
      return report(file.label, check_route(file, parsed->name, shared));
    case DocumentKind::kUpstream:
      return report(file.label, problems_of(parse_upstream(file.text, UpstreamPolicy{})));
    case DocumentKind::kFilter:
      return report(file.label, problems_of(parse_filter(parsed->name, file.text)));
    case DocumentKind::kConsumer:
      return report(file.label, check_consumer(file, parsed->name));
  }
}

void Checker::report(const std::string& label, const Problems& problems) {
  for (const auto& problem : problems) out_ << label << ": " << problem.to_string() << "\n";
  if (!problems.empty()) exit_code_ = std::max(exit_code_, 1);
}

int Checker::finish() {
  if (exit_code_ == 0) {
    out_ << "valid: " << checked_ << (checked_ == 1 ? " file" : " files") << "\n";
  }
  return exit_code_;
}

}  // namespace

int run_check(const std::optional<std::string>& config, const std::vector<std::string>& paths,
              std::ostream& out, std::ostream& err) {
  Checker checker(out, err);
  if (!config && paths.empty()) {
    checker.unusable("nothing to check: give it --config FILE, files, folders, or - for stdin");
  }
  if (config) checker.check_config(*config);
  for (const auto& path : paths) checker.check_path(path);
  return checker.finish();
}

}  // namespace lictor
