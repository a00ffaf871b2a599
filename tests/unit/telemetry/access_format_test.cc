#include <doctest/doctest.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <vector>

#include "base/utf8.h"
#include "telemetry/access_log.h"

namespace lictor {
namespace {

using Json = nlohmann::ordered_json;
using namespace std::string_view_literals;

constexpr int64_t kTime = 1'738'367'999'123'456;  // 2025-01-31T23:59:59.123456Z

std::string line(const AccessRecord& record, AccessFormat format = AccessFormat::kJson) {
  std::string out;
  format_access_line(record, format, out);
  return out;
}

AccessRecord full_record() {
  AccessRecord record;
  record.time_us = kTime;
  record.request_id = "id-1";
  record.client_ip = "10.0.0.1";
  record.user = "ann";
  record.method = "GET";
  record.host = "api.example.com";
  record.path = "/user/1";
  record.query = "a=b";
  record.protocol = "HTTP/1.1";
  record.listener = "http";
  record.status = 502;
  record.code = "upstream_failed";
  record.bytes_in = 3;
  record.bytes_out = 120;
  record.duration_us = 12'345;
  record.upstream_us = 11'006;
  record.route = "users";
  record.service = "user-service";
  record.instance = "user-1";
  record.retries = 1;
  record.user_agent = "curl/8";
  record.referer = "https://example.com/";
  record.trace_id = "4bf92f3577b34da6a3ce929d0e0e4736";
  return record;
}

constexpr std::string_view AccessRecord::* kTexts[] = {
    &AccessRecord::request_id, &AccessRecord::client_ip,  &AccessRecord::user,
    &AccessRecord::method,     &AccessRecord::host,       &AccessRecord::path,
    &AccessRecord::query,      &AccessRecord::protocol,   &AccessRecord::listener,
    &AccessRecord::code,       &AccessRecord::route,      &AccessRecord::service,
    &AccessRecord::instance,   &AccessRecord::user_agent, &AccessRecord::referer,
    &AccessRecord::trace_id};

// One line end, at the end, and nothing that a terminal or a splitter of lines takes for more than
// text.
bool is_one_clean_line(const std::string& text) {
  if (text.empty() || text.back() != '\n') return false;
  std::string_view rest = std::string_view(text).substr(0, text.size() - 1);
  while (!rest.empty()) {
    const Utf8Char found = first_utf8_char(rest);
    if (found.length == 0 || found.code < 0x20 || found.code == 0x2028 || found.code == 0x2029 ||
        (found.code >= 0x7f && found.code < 0xa0)) {
      return false;
    }
    rest.remove_prefix(found.length);
  }
  return true;
}

TEST_CASE("access line: JSON with everything") {
  CHECK(line(full_record()) ==
        R"({"time":"2025-01-31T23:59:59.123456Z","request_id":"id-1","client_ip":"10.0.0.1",)"
        R"("user":"ann","method":"GET","host":"api.example.com","path":"/user/1","query":"a=b",)"
        R"("protocol":"HTTP/1.1","listener":"http","status":502,"code":"upstream_failed",)"
        R"("bytes_in":3,"bytes_out":120,"duration_ms":12.345,"upstream_ms":11.006,)"
        R"("route":"users","service":"user-service","instance":"user-1","retries":1,)"
        R"("user_agent":"curl/8","referer":"https://example.com/",)"
        R"("trace_id":"4bf92f3577b34da6a3ce929d0e0e4736"})"
        "\n");
}

TEST_CASE("access line: absent values are left out") {
  AccessRecord record;
  record.time_us = 0;
  record.status = 400;
  CHECK(line(record) ==
        R"({"time":"1970-01-01T00:00:00.000000Z","status":400,"bytes_in":0,"bytes_out":0,)"
        R"("duration_ms":0.000,"retries":0})"
        "\n");
  CHECK(line(record, AccessFormat::kText) ==
        "- - - [01/Jan/1970:00:00:00 +0000] \"  \" 400 0 \"-\" \"-\" bytes_in=0 "
        "duration_ms=0.000 retries=0\n");
}

TEST_CASE("access line: the text form is the combined format and more") {
  CHECK(line(full_record(), AccessFormat::kText) ==
        "10.0.0.1 - ann [31/Jan/2025:23:59:59 +0000] \"GET /user/1?a=b HTTP/1.1\" 502 120 "
        "\"https://example.com/\" \"curl/8\" bytes_in=3 duration_ms=12.345 upstream_ms=11.006 "
        "retries=1 code=\"upstream_failed\" request_id=\"id-1\" host=\"api.example.com\" "
        "listener=\"http\" route=\"users\" service=\"user-service\" instance=\"user-1\" "
        "trace_id=\"4bf92f3577b34da6a3ce929d0e0e4736\"\n");
}

TEST_CASE("access line: appends, and the time follows the record") {
  std::string out = "before\n";
  AccessRecord record;
  for (const int64_t time : {kTime, kTime + 1, kTime + 900'000, kTime}) {
    record.time_us = time;
    format_access_line(record, AccessFormat::kJson, out);
  }
  std::vector<std::string> times;
  for (size_t at = out.find("\"time\""); at != std::string::npos;
       at = out.find("\"time\"", at + 1)) {
    times.push_back(out.substr(at + 8, 27));
  }
  CHECK(out.starts_with("before\n{"));
  CHECK(times ==
        std::vector<std::string>{"2025-01-31T23:59:59.123456Z", "2025-01-31T23:59:59.123457Z",
                                 "2025-02-01T00:00:00.023456Z", "2025-01-31T23:59:59.123456Z"});
  record.time_us = -1;
  CHECK(line(record).find("1969-12-31T23:59:59.999999Z") != std::string::npos);
}

TEST_CASE("access line: the largest numbers fit") {
  AccessRecord record = full_record();
  record.time_us = INT64_MAX;
  record.status = UINT16_MAX;
  record.bytes_in = record.bytes_out = record.duration_us = UINT64_MAX;
  record.upstream_us = INT64_MAX;
  record.retries = UINT32_MAX;
  const Json json = Json::parse(line(record));
  CHECK(json["bytes_in"] == UINT64_MAX);
  CHECK(json["retries"] == UINT32_MAX);
  CHECK(is_one_clean_line(line(record, AccessFormat::kText)));
}

TEST_CASE("access line: JSON escapes") {
  const auto path = [](std::string_view text) {
    AccessRecord record;
    record.path = text;
    const std::string out = line(record);
    CHECK(is_one_clean_line(out));
    const size_t begin = out.find(R"("path":")") + 8;
    return out.substr(begin, out.find(R"(","status")") - begin);
  };
  CHECK(path("quote\"back\\slash") == R"(quote\"back\\slash)");
  CHECK(path("a\nb\rc\td\0e\x1b[31m\x7f"sv) == R"(a\u000ab\u000dc\u0009d\u0000e\u001b[31m\u007f)");
  CHECK(path("caf\xc3\xa9 \xe2\x82\xac") == "caf\xc3\xa9 \xe2\x82\xac");
  CHECK(path("bad\xff\xc3(") == R"(bad\ufffd\ufffd()");
  CHECK(path("\xc2\x85\xe2\x80\xa8\xe2\x80\xa9") == R"(\u0085\u2028\u2029)");
  CHECK(path("12345678\"2345678\"") == R"(12345678\"2345678\")");
  CHECK(path("1234567\x80") == R"(1234567\ufffd)");
}

TEST_CASE("access line: text escapes") {
  AccessRecord record;
  record.user = "a b\"c";
  record.path = "/\"\n\xff\xc2\x85";
  record.user_agent = "x\" 200 \"y\\";
  const std::string out = line(record, AccessFormat::kText);
  CHECK(is_one_clean_line(out));
  CHECK(out.starts_with(R"(- - a\x20b\"c [)"));
  CHECK(out.find(R"(" /\"\x0a\xff\xc2\x85 ")") != std::string::npos);
  CHECK(out.find(R"("x\" 200 \"y\\")") != std::string::npos);
}

TEST_CASE("access line: no byte in any field breaks it") {
  for (const auto text : kTexts) {
    for (int byte = 0; byte < 256; ++byte) {
      for (const size_t before : {0U, 3U, 8U}) {
        std::string value(before, 'a');
        value += static_cast<char>(byte);
        value += "\"}";
        AccessRecord record = full_record();
        record.*text = value;
        const std::string json = line(record);
        const bool good = is_one_clean_line(json) && Json::accept(json) &&
                          is_one_clean_line(line(record, AccessFormat::kText));
        CHECK_MESSAGE(good, json);
      }
    }
  }
}

TEST_CASE("access line: random bytes come back from JSON, or as U+FFFD") {
  std::mt19937 random(7);
  for (int round = 0; round < 2'000; ++round) {
    std::vector<std::string> values(std::size(kTexts));
    AccessRecord record;
    for (size_t i = 0; i < values.size(); ++i) {
      const size_t size = random() % 40;
      for (size_t k = 0; k < size; ++k) {
        values[i] += static_cast<char>(round % 2 == 0 ? random() % 128 : random() % 256);
      }
      record.*kTexts[i] = values[i];
    }
    const std::string out = line(record);
    REQUIRE(is_one_clean_line(out));
    const Json json = Json::parse(out);
    REQUIRE(is_one_clean_line(line(record, AccessFormat::kText)));
    if (round % 2 != 0) continue;
    for (size_t i = 0; i < values.size(); ++i) {  // ASCII: exactly what went in
      const bool there = std::any_of(json.begin(), json.end(), [&](const Json& value) {
        return value.is_string() && value.get<std::string>() == values[i];
      });
      CHECK((there || values[i].empty()));
    }
  }
}

}  // namespace
}  // namespace lictor
