// What handlers of the admin port share: making answers, and reading what was asked.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "app/admin_api.h"

namespace lictor {

// Indented: people read it with curl.
AdminResponse json_response(const nlohmann::ordered_json& json, uint16_t status = 200);
// application/problem+json, as the gateway's own answers on the data plane.
AdminResponse admin_problem(uint16_t status, std::string_view code, std::string_view title,
                            std::string_view detail);
AdminResponse bad_request(std::string_view detail);
AdminResponse not_found(std::string_view what, std::string_view name);

std::string rfc3339(int64_t time_ms);
double to_millis_precision(double seconds);
nlohmann::ordered_json text_or_null(const std::string& text);

// "%2F" to "/"; false when a '%' is not followed by two hex digits.
bool percent_decode(std::string_view text, std::string& out);
// The value of ?name=, decoded; empty when there is none.
std::string query_value(std::string_view query, std::string_view name);

}  // namespace lictor
