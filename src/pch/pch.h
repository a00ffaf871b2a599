// The precompiled header: the standard library and what is costly to parse. Compile time only:
// every file still includes what it uses (the lint builds without this one).
#ifndef LICTOR_PCH_H  // GCC takes no "#pragma once" here
#define LICTOR_PCH_H

#include <algorithm>
#include <array>
#include <atomic>
#include <charconv>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <deque>
#include <expected>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <variant>
#include <vector>

#endif
