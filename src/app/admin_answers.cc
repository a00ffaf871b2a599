#include "app/admin_answers.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <ctime>
#include <nlohmann/json.hpp>

namespace lictor {
namespace {

using Json = nlohmann::ordered_json;

std::string dump(const Json& json) {
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  const char lower = static_cast<char>(c | 0x20);
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

}  // namespace

AdminResponse json_response(const Json& json, uint16_t status) {
  return {status, "application/json", dump(json), {}};
}

AdminResponse admin_problem(uint16_t status, std::string_view code, std::string_view title,
                            std::string_view detail) {
  return {status,
          "application/problem+json",
          dump({{"title", title}, {"status", status}, {"code", code}, {"detail", detail}}),
          {}};
}

AdminResponse bad_request(std::string_view detail) {
  return admin_problem(400, "bad_request", "Bad Request", detail);
}

AdminResponse not_found(std::string_view what, std::string_view name) {
  return admin_problem(404, "not_found", "Not Found",
                       "no such " + std::string(what) + ": " + std::string(name));
}

std::string rfc3339(int64_t time_ms) {
  const auto time = static_cast<time_t>(time_ms / 1000);
  std::tm parts{};
  gmtime_r(&time, &parts);
  std::array<char, 48> text{};
  const size_t size = std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%S.", &parts);
  const std::string millis = std::to_string(1000 + time_ms % 1000);
  return std::string(text.data(), size) + millis.substr(1) + "Z";
}

double to_millis_precision(double seconds) { return std::round(seconds * 1000) / 1000; }

Json text_or_null(const std::string& text) { return text.empty() ? Json() : Json(text); }

bool percent_decode(std::string_view text, std::string& out) {
  out.clear();
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out += text[i];
      continue;
    }
    const int high = i + 2 < text.size() ? hex_value(text[i + 1]) : -1;
    const int low = i + 2 < text.size() ? hex_value(text[i + 2]) : -1;
    if (high < 0 || low < 0) return false;
    out += static_cast<char>(high << 4 | low);
    i += 2;
  }
  return true;
}

std::string query_value(std::string_view query, std::string_view name) {
  while (!query.empty()) {
    const std::string_view part = query.substr(0, query.find('&'));
    query.remove_prefix(std::min(part.size() + 1, query.size()));
    const size_t equals = part.find('=');
    if (equals == std::string_view::npos || part.substr(0, equals) != name) continue;
    std::string value;
    return percent_decode(part.substr(equals + 1), value) ? value : std::string();
  }
  return {};
}

}  // namespace lictor
