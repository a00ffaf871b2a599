// Documents as people write them: "key\ntext", divided by the byte 0xFE. The key "bootstrap" is the
// bootstrap file, "tags" a service's tags, one a line, "request" a request to be routed:
// "METHOD host path?query".
#include <algorithm>
#include <map>

#include "messages.h"
#include "model/bootstrap.h"
#include "model/compiler.h"
#include "model/explain.h"
#include "model/fabio.h"
#include "records.h"

namespace {

using namespace lictor;
using fuzz::require;

void read_tags(const std::string& text) {
  std::vector<std::string> tags(1);
  for (const char c : text) {
    if (c == '\n') {
      tags.emplace_back();
    } else {
      tags.back() += c;
    }
  }
  Compiler compiler;
  std::vector<Document> documents;
  for (const FabioRoute& route : read_fabio_tags({{"web", tags}})) {
    if (route.error.empty()) documents.push_back({route.key, route.text, 1});
  }
  compiler.compile(documents);
}

void ask(const Snapshot& snapshot, const std::string& request) {
  const size_t method_end = std::min(request.find(' '), request.size());
  const size_t host_end = std::min(request.find(' ', method_end + 1), request.size());
  if (host_end == request.size()) return;
  const std::string method = request.substr(0, method_end);
  const std::string host = request.substr(method_end + 1, host_end - method_end - 1);
  const std::string target = request.substr(host_end + 1);
  const size_t mark = std::min(target.find('?'), target.size());
  Match match;
  RouteKey key{method, host, std::string_view(target).substr(0, mark), {}};
  if (mark < target.size()) key.data.query = std::string_view(target).substr(mark + 1);
  snapshot.table.match(key, match);
  require(match.capture_count <= Match::kMaxCaptures, "captures are few");
  if (match.route == nullptr) snapshot.table.allowed_methods(key);
  explain(snapshot, {method, target, {{"Host", host}}});
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::map<std::string, std::string> texts;
  std::vector<std::string> requests;
  for (const std::string& part : fuzz::parts_of(data, size)) {
    const size_t end = std::min(part.find('\n'), part.size());
    const std::string key = part.substr(0, end);
    const std::string text = end == part.size() ? "" : part.substr(end + 1);
    if (key == "bootstrap") {
      const auto read = parse_bootstrap(text, {});
      require(read || !read.error().empty(), "a refusal says why");
    } else if (key == "tags") {
      read_tags(text);
    } else if (key == "request") {
      requests.push_back(text);
    } else {
      texts[key] = text;
    }
  }
  std::vector<Document> documents;
  for (const auto& [key, text] : texts) documents.push_back({key, text, documents.size() + 1});
  Compiler compiler;
  const auto first = compiler.compile(documents);
  require(first.snapshot != nullptr, "there is always a snapshot");
  for (const DocumentStatus& status : first.documents) {
    require(status.error.empty() == (status.state == DocumentState::kActive), "a refusal says why",
            status.key);
  }
  const auto second = compiler.compile(documents);
  require(second.snapshot == first.snapshot && second.changed.empty(), "the same again is no news");
  for (const std::string& request : requests) ask(*first.snapshot, request);

  Compiler restored;
  const auto back = restored.restore(compiler.versions());
  require(back.snapshot->routes.size() == first.snapshot->routes.size(), "a restart keeps routes");
  return 0;
}
