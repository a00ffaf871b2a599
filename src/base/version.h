#pragma once

#include <string_view>

namespace lictor {

// The version of this build, as in meson.build: "0.1.0".
std::string_view version();

}  // namespace lictor
