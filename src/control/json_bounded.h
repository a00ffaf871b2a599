// Parses answers of Consul's: bounded depth, unwanted members left out while parsing (an answer's
// bulk is what health checks printed), and readers that throw Malformed with a path on a wrong
// type. For .cc files of this floor that catch it; it never leaves them.
#pragma once

#include <cstdint>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

namespace lictor::answer {

struct Malformed {
  std::string what;
};

inline constexpr int kMaxDepth = 16;

// Whether a member is kept; `depth` is that of its object, 1 = the outermost value.
using Keep = std::function<bool(int depth, const std::string& key)>;

// Throws Malformed. `keep` sees the keys in the order of the text.
nlohmann::json parse(std::string_view text, const Keep& keep);

// Of a member of `object`; `where` names the object in messages. Absent and null are one.
const nlohmann::json* find(const nlohmann::json& object, const char* key);
const nlohmann::json& need_object(const nlohmann::json& object, const char* key,
                                  const std::string& where);
std::string text(const nlohmann::json& object, const char* key, const std::string& where);
std::string need_text(const nlohmann::json& object, const char* key, const std::string& where);
// Whole numbers alone; what doesn't fit is cut down to the nearest that does.
int64_t whole(const nlohmann::json& object, const char* key, int64_t absent,
              const std::string& where);

}  // namespace lictor::answer
