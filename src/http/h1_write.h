// Messages to HTTP/1 bytes (RFC 9112). The head decides the framing: kLength is sent as
// Content-Length, kUnknown as chunked.
#pragma once

#include <string_view>

#include "base/buffer.h"
#include "http/message.h"

namespace lictor::h1 {

enum class Framing : uint8_t { kNone, kLength, kChunked, kUntilClose };
enum class Connection : uint8_t { kDefault, kClose, kKeepAlive };

// Host comes first, from `head.authority`; an upgrade gets its Connection field.
void write_request_head(Buffer& out, const Head& head, Framing framing);

// How the body of this response is framed for a client of that version.
Framing response_framing(const Head& head, Method request_method, Version client);
// `bodiless` responses (HEAD, 304) keep the Content-Length of a kLength head.
void write_response_head(Buffer& out, const Head& head, Framing framing, Connection connection);

void write_chunk_start(Buffer& out, size_t size);
inline constexpr std::string_view kChunkEnd = "\r\n";
void write_last_chunk(Buffer& out, const Fields* trailers);

std::string_view reason_phrase(uint16_t status);  // "OK"; empty when unknown

}  // namespace lictor::h1
