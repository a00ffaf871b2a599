#include "control/saved_state.h"

#include <doctest/doctest.h>

#include "control/catalog.h"
#include "control/support.h"

using namespace lictor;
using test::entry;
using test::list;

namespace {

InstanceListPtr instances(const std::vector<std::string>& entries) {
  return make_instance_list(parse_health(list(entries))->instances, nullptr);
}

StateToSave state() {
  StateToSave state;
  state.source = "Consul KV at lictor/";
  state.time_ms = 1'700'000'000'123;
  state.documents = std::make_shared<const std::vector<DocumentVersions>>(
      std::vector<DocumentVersions>{{"filters/gone", {}, "{}", 0},
                                    {"routes/a", "{\n \"path\": \"/\xc3\xa9\"}", {}, 7},
                                    {"routes/b", "{", R"({"path":"/b"})", 8}});
  state.services = {{"empty", instances({})},
                    {"web@dc2", instances({entry("w1"), entry("w2", "warning", 81, "fe80::1"),
                                           entry("w3", "critical"), entry("w4", "passing", 70'000),
                                           entry("w5", "passing", 80, "name.internal")})}};
  return state;
}

std::string encode(const StateToSave& state) {
  std::string text;
  CHECK(encode_state(state, [&text](std::string_view piece) {
    text += piece;
    return true;
  }));
  return text;
}

std::string error_of(std::string_view text) {
  const auto decoded = decode_state(text);
  return decoded ? "good" : decoded.error();
}

}  // namespace

TEST_CASE(
    "what is written can be read: documents with their versions, instances as Consul had them") {
  const auto decoded = decode_state(encode(state()));
  REQUIRE(decoded);
  CHECK(decoded->source == "Consul KV at lictor/");
  CHECK(decoded->time_ms == 1'700'000'000'123);
  REQUIRE(decoded->documents.size() == 3);
  for (size_t i = 0; i < 3; ++i) {
    CHECK(decoded->documents[i].key == (*state().documents)[i].key);
    CHECK(decoded->documents[i].text == (*state().documents)[i].text);
    CHECK(decoded->documents[i].good == (*state().documents)[i].good);
    CHECK(decoded->documents[i].modify_index == (*state().documents)[i].modify_index);
  }
  REQUIRE(decoded->services.size() == 2);
  CHECK(decoded->services.at("empty").empty());
  const auto list = state().services[1].second;
  const auto& before = list->instances;
  const auto& after = decoded->services.at("web@dc2");
  REQUIRE(after.size() == before.size());
  for (size_t i = 0; i < after.size(); ++i) {
    CAPTURE(before[i].id);
    CHECK(after[i].identity() == before[i].identity());
    CHECK(after[i].weight == before[i].weight);
    CHECK(after[i].health == before[i].health);
    CHECK(after[i].usable == before[i].usable);
    CHECK(after[i].datacenter == before[i].datacenter);
    CHECK(after[i].tags == before[i].tags);
    CHECK(after[i].meta == before[i].meta);
    CHECK(after[i].socket_address.to_string() == before[i].socket_address.to_string());
  }
}

TEST_CASE("a file that was cut short anywhere is no state") {
  const std::string whole = encode(state());
  for (size_t size = 0; size < whole.size(); ++size) {
    CAPTURE(size);
    CHECK(error_of(std::string_view(whole).substr(0, size)) != "good");
  }
}

TEST_CASE("a file with one bit that is another is no state") {
  const std::string whole = encode(state());
  for (size_t at = 0; at < whole.size(); ++at) {
    CAPTURE(at);
    std::string other = whole;
    other[at] = static_cast<char>(other[at] ^ 1);
    CHECK(error_of(other) != "good");
  }
}

TEST_CASE("files of another kind or version, and what follows the end") {
  CHECK(error_of("") == "cut short");
  CHECK(error_of("{}\n") == "no snapshot of lictor's");
  CHECK(error_of("not JSON\n") == "not JSON, or cut short");
  CHECK(error_of("[]\n") == "no object");
  CHECK(error_of("{\"lictor_snapshot\": 2}\n") == "written by another version (format 2)");
  CHECK(error_of(encode(state()) + "\n") == "damaged: something follows its end");
  std::string lines = encode(state());
  lines.erase(lines.find("{\"instances"),
              lines.find('\n', lines.find("{\"instances")) + 1 - lines.find("{\"instances"));
  CHECK(error_of(lines) == "damaged: its checksum is another one");
}

TEST_CASE("text that is no UTF-8 doesn't spoil the file") {
  StateToSave odd = state();
  odd.documents = std::make_shared<const std::vector<DocumentVersions>>(
      std::vector<DocumentVersions>{{"routes/a", std::string("\xff\0{", 3), {}, 7}});
  CHECK(decode_state(encode(odd)));
}

TEST_CASE("a writer that fails ends it") {
  CHECK_FALSE(encode_state(state(), [](std::string_view) { return false; }));
}
