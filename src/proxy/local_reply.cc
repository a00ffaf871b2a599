#include "proxy/local_reply.h"

#include <charconv>

#include "http/h1_write.h"

namespace lictor {
namespace {

std::string_view decimal(uint64_t value, Arena& arena) {
  char* out = arena.chars(20);
  return {out, static_cast<size_t>(std::to_chars(out, out + 20, value).ptr - out)};
}

// For a JSON string and an RFC 8941 one alike: what is not plain ASCII, or would end them, becomes
// '_'.
std::string_view plain(std::string_view text, Arena& arena) {
  char* out = arena.chars(text.size() + 1);
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    out[i] = c < 0x20 || c > 0x7e || c == '"' || c == '\\' ? '_' : c;
  }
  return {out, text.size()};
}

}  // namespace

LocalReply make_problem(const Error& error, std::string_view request_id, std::string_view allow,
                        Arena& arena, std::string_view trace_id) {
  const FailureInfo& info = describe(error.failure);
  const std::string_view detail = plain(error.detail, arena);
  LocalReply reply;
  reply.body = arena.concat(R"({"type":"about:blank","title":")", info.title, R"(","status":)",
                            decimal(info.status, arena), R"(,"detail":")", detail, R"(","code":")",
                            info.code, R"(","request_id":")", plain(request_id, arena),
                            trace_id.empty() ? "" : R"(","trace_id":")", trace_id, "\"}\n");
  reply.head.status = info.status;
  reply.head.reason = h1::reason_phrase(info.status);
  reply.head.body = BodyKind::kLength;
  reply.head.length = reply.body.size();
  Fields& fields = reply.head.fields;
  fields.add(arena, "Content-Type", "application/problem+json");
  fields.add(arena, "Cache-Control", "no-store");
  fields.add(arena, "Proxy-Status",
             info.proxy_error.empty()
                 ? arena.concat("lictor; details=\"", detail, "\"")
                 : arena.concat("lictor; error=", info.proxy_error, "; details=\"", detail, "\""));
  if (!allow.empty()) fields.add(arena, "Allow", allow);
  return reply;
}

LocalReply make_reply(uint16_t status, const Fields& fields, std::string_view body, Arena& arena) {
  LocalReply reply;
  reply.body = arena.copy(body);
  reply.head.status = status;
  reply.head.reason = h1::reason_phrase(status);
  reply.head.body = BodyKind::kLength;
  reply.head.length = body.size();
  for (const Field& field : fields) {
    reply.head.fields.add(arena, {arena.copy(field.name), arena.copy(field.value), field.id});
  }
  return reply;
}

}  // namespace lictor
