// The process: its numbers, its events, its end, its log.
#include <nlohmann/json.hpp>

#include "app/admin_answers.h"
#include "app/admin_calls.h"
#include "app/admin_scrape.h"
#include "base/log.h"

namespace lictor {
namespace {

using Json = nlohmann::ordered_json;

AdminResponse log_level_response() {
  return json_response({{"level", log::level_name(log::level())}});
}

}  // namespace

AdminResponse get_metrics(AdminContext& context) {
  return {200,
          "text/plain; version=0.0.4; charset=utf-8",
          context.source.metrics().render(scrape_input(context.source)),
          {}};
}

AdminResponse post_drain(AdminContext& context) {
  log::info("admin: drain asked for by an operator");
  context.source.drain();
  return json_response({{"state", "draining"}}, 202);
}

AdminResponse get_log_level(AdminContext&) { return log_level_response(); }

AdminResponse put_log_level(AdminContext& context) {
  const Json json = Json::parse(context.request.body, nullptr, false);
  const bool right_form =
      json.is_object() && json.size() == 1 && json.contains("level") && json["level"].is_string();
  const auto level = right_form ? log::parse_level(json["level"].get<std::string>()) : std::nullopt;
  if (!level) {
    return admin_problem(400, "bad_request", "Bad Request",
                         "send {\"level\": \"trace|debug|info|warn|error|off\"}");
  }
  log::set_level(*level);
  log::info("admin: the log level is now {}", log::level_name(*level));
  return log_level_response();
}

// The server sends what comes after the head.
AdminResponse get_events(AdminContext&) {
  return {200, "text/event-stream", "retry: 2000\n\n", {}, true};
}

}  // namespace lictor
