// What a CORS preflight is (Fetch standard, "CORS-preflight request"): who routes requests needs to
// know as well as the filter that answers it.
#pragma once

#include <string_view>

#include "http/message.h"

namespace lictor {

// The method that a preflight asks about; empty when the request is none: not OPTIONS, or without
// one Origin and one Access-Control-Request-Method that is a method.
std::string_view preflight_method(const Head& request);

}  // namespace lictor
