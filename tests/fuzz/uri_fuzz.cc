// Targets, authorities and paths. The first byte chooses the method.
#include "http/uri.h"
#include "messages.h"

namespace {

using namespace lictor;
using fuzz::require;

void check_path(std::string_view path) {
  Arena arena;
  const auto once = normalise_path(path, arena);
  if (!once) return;
  require(once->starts_with('/'), "a path begins at the root", *once);
  require(once->find("//") == std::string_view::npos, "no empty segment", *once);
  require(once->size() <= path.size() + 1, "a path does not grow", *once);
  const std::string closed = std::string(*once) + "/";
  require(closed.find("/../") == std::string::npos, "no segment climbs", *once);
  require(closed.find("/./") == std::string::npos, "no segment is a dot", *once);
  const auto twice = normalise_path(*once, arena);
  require(twice && *twice == *once, "a normal path is normal", *once);
  // As it is sent it must mean the same to who reads it.
  const auto target = parse_target(Method::kGet, *once);
  require(
      target && target->form == TargetForm::kOrigin && target->path == *once && !target->has_query,
      "a normal path is a target", *once);
}

void check_authority(std::string_view text) {
  if (!valid_authority(text)) return;
  require(text.find_first_of("@/?#\\ ,") == std::string_view::npos, "an authority is a host", text);
  Arena arena;
  const std::string host(normalise_host(text, arena));
  require(!host.empty(), "a host has a name", text);
  require(normalise_host(host, arena) == host || host.ends_with('.'), "a normal host is normal",
          text);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  const auto method = static_cast<Method>(data[0] % 10);
  const std::string text(reinterpret_cast<const char*>(data) + 1, size - 1);
  check_authority(text);
  const auto target = parse_target(method, text);
  if (!target) return 0;
  if (target->form == TargetForm::kOrigin || target->form == TargetForm::kAbsolute) {
    require(target->path.starts_with('/'), "a target has a path", text);
    check_path(target->path);
  }
  if (target->form == TargetForm::kAbsolute || target->form == TargetForm::kAuthority) {
    require(valid_authority(target->authority), "a target's authority is valid", text);
  }
  return 0;
}
