// Files that are part of the program: the OpenAPI document, and the dashboard's where it was built.
// embed.py makes the table.
#pragma once

#include <string_view>

namespace lictor {

struct Asset {
  std::string_view name;
  std::string_view content_type;
  std::string_view bytes;
};

// Null when this build has no such file.
const Asset* find_asset(std::string_view name);

}  // namespace lictor
