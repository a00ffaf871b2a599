#include "control/jwks.h"

#include <doctest/doctest.h>

#include "control/support.h"
#include "filter/key_source.h"
#include "filter/makers.h"
#include "filter/signer.h"

using namespace lictor;
using lictor::testing::Signer;
using test::FakeFetcher;

namespace {

class FakeBell final : public Doorbell {
 public:
  explicit FakeBell(std::function<void()> answer) : answer_(std::move(answer)) {}
  void ring() override {
    ++rings;
    if (open) answer_();
  }
  void close() override { open = false; }
  int rings = 0;
  bool open = true;

 private:
  std::function<void()> answer_;
};

struct Bench {
  Bench()
      : jwks(
            scheduler, fetcher,
            [this](std::function<void()> answer) {
              return bell = std::make_shared<FakeBell>(std::move(answer));
            },
            [this] { ++answered; }) {}

  // A snapshot with a jwt filter for each URI.
  Snapshot snapshot(const std::vector<std::string>& uris) {
    Snapshot out;
    sources.clear();
    for (const auto& uri : uris) {
      const std::string text = R"({"jwks_uri": ")" + uri + "\"}";
      read_json(text, JsonComments::kNo, [&](const JsonValue& root) {
        out.filters.push_back(make_filter("jwt", root, {}));
      });
      sources.push_back(out.filters.back()->remote_keys());
    }
    return out;
  }
  // As the publisher does.
  void publish(const Snapshot& snapshot) {
    jwks.prepare(snapshot);
    jwks.keep_only(snapshot);
  }
  void answer(const Signer& signer, const std::string& cache_control = {}) {
    HttpResponse response;
    response.status = 200;
    response.headers["cache-control"] = cache_control;
    response.body = signer.jwks();
    fetcher.answer(std::move(response));
  }

  test::ManualScheduler scheduler;
  FakeFetcher fetcher;
  std::shared_ptr<FakeBell> bell;
  int answered = 0;
  std::vector<std::shared_ptr<KeySource>> sources;
  Jwks jwks;
};

const std::string kUri = "https://issuer.example/jwks.json";
const Signer kOne("one");
const Signer kTwo("two");

}  // namespace

TEST_CASE("jwks: one fetch for all who name the URI, and for those who come later none") {
  Bench b;
  const Snapshot first = b.snapshot({kUri, kUri});
  b.publish(first);
  CHECK(b.fetcher.total() == 1);
  CHECK(b.fetcher.url() == kUri);
  CHECK(b.fetcher.request().max_body == 256 << 10);
  CHECK_FALSE(b.jwks.all_answered(first));
  b.answer(kOne);
  CHECK(b.answered == 1);
  CHECK(b.jwks.all_answered(first));
  for (const auto& source : b.sources) CHECK(source->version() == 1);

  const Snapshot second = b.snapshot({kUri});
  b.publish(second);
  CHECK(b.sources[0]->version() == 1);  // at once
  CHECK(b.fetcher.total() == 1);
}

TEST_CASE("jwks: asked again as Cache-Control says, within bounds") {
  CHECK(jwks_age("max-age=120") == Millis(120'000));
  CHECK(jwks_age("public, MAX-AGE=120, must-revalidate") == Millis(120'000));
  CHECK(jwks_age("max-age=0") == Jwks::kLeastAge);
  CHECK(jwks_age("no-store") == Jwks::kLeastAge);
  CHECK(jwks_age("no-cache, max-age=900") == Jwks::kLeastAge);
  CHECK(jwks_age("max-age=999999") == Jwks::kMostAge);
  CHECK(jwks_age("max-age=99999999999999999999") == Jwks::kMostAge);
  CHECK(jwks_age("max-age=-1") == Jwks::kUsualAge);
  CHECK(jwks_age("max-age=1x") == Jwks::kUsualAge);
  CHECK(jwks_age("") == Jwks::kUsualAge);
  CHECK(jwks_age("s-maxage=5") == Jwks::kUsualAge);

  Bench b;
  const Snapshot snapshot = b.snapshot({kUri});
  b.publish(snapshot);
  b.answer(kOne, "max-age=300");
  b.scheduler.advance(Millis(299'000));
  CHECK(b.fetcher.total() == 1);
  b.scheduler.advance(Millis(1'000));
  CHECK(b.fetcher.total() == 2);
  b.answer(kOne, "max-age=300");
  CHECK(b.sources[0]->version() == 1);  // the same keys are no news
  b.scheduler.chance = 1;
  b.scheduler.advance(Millis(300'000));
  b.answer(kTwo, "max-age=300");
  CHECK(b.sources[0]->version() == 2);
  b.scheduler.advance(Millis(270'000));  // a tenth sooner, by chance
  CHECK(b.fetcher.total() == 4);
}

TEST_CASE("jwks: the last good keys stay through every fault; pauses grow") {
  Bench b;
  const Snapshot snapshot = b.snapshot({kUri});
  b.publish(snapshot);
  b.answer(kOne);
  b.scheduler.advance(Jwks::kUsualAge);
  const auto fault = [&b](HttpResponse response) { b.fetcher.answer(std::move(response)); };
  for (const char* body :
       {"", "[]", "{}", R"({"keys": []})", R"({"keys": [{"kty": "oct"}]})", "{"}) {
    fault(FakeFetcher::status(200, body));
    b.scheduler.advance(Jwks::kLongestPause);
  }
  fault(FakeFetcher::status(500));
  b.scheduler.advance(Jwks::kLongestPause);
  fault(FakeFetcher::status(301));
  b.scheduler.advance(Jwks::kLongestPause);
  CHECK(b.sources[0]->version() == 1);
  const auto status = b.jwks.status();
  REQUIRE(status.size() == 1);
  CHECK(status[0].ok == 1);
  CHECK(status[0].failed == 8);
  CHECK(status[0].keys == 1);
  CHECK(status[0].last_error == "HTTP 301: redirects are not followed");
  CHECK(status[0].age_s == doctest::Approx(600 + 8 * 60));
  b.answer(kTwo);
  CHECK(b.sources[0]->version() == 2);
  CHECK(b.jwks.status()[0].last_error.empty());
}

TEST_CASE("jwks: a failure before the first keys is told, and soon tried again") {
  Bench b;
  const Snapshot snapshot = b.snapshot({kUri});
  b.publish(snapshot);
  b.fetcher.fail("refused");
  CHECK(b.jwks.all_answered(snapshot));
  CHECK(b.answered == 1);
  CHECK(b.sources[0]->version() == 0);
  b.scheduler.advance(Millis(100));
  CHECK(b.fetcher.total() == 2);
  b.answer(kOne);
  CHECK(b.sources[0]->version() == 1);
}

TEST_CASE("jwks: keys of other kinds are left out, the rest is used") {
  Bench b;
  const Snapshot snapshot = b.snapshot({kUri});
  b.publish(snapshot);
  std::string body = kOne.jwks();
  body.insert(body.find('[') + 1, R"({"kty": "EC", "crv": "secp256k1", "x": "AA", "y": "AA"}, 7,)");
  b.fetcher.answer(FakeFetcher::status(200, body));
  CHECK(b.sources[0]->version() == 1);
  CHECK(b.sources[0]->current().keys->keys.size() == 1);
}

TEST_CASE("jwks: an unknown key is asked for at once, and then once in ten seconds") {
  Bench b;
  const Snapshot snapshot = b.snapshot({kUri});
  b.publish(snapshot);
  b.answer(kOne);
  b.sources[0]->want_fresh();
  CHECK(b.fetcher.total() == 2);
  b.answer(kOne);
  for (int i = 0; i < 99; ++i) {
    for (int j = 0; j < 100; ++j) b.sources[0]->want_fresh();
    b.scheduler.advance(Millis(100));
    CHECK(b.fetcher.total() == 2);
  }
  CHECK(b.bell->rings == 2);  // those who come meanwhile say nothing
  b.scheduler.advance(Millis(100));
  CHECK(b.fetcher.total() == 3);
  b.answer(kTwo);
  CHECK(b.sources[0]->version() == 2);
}

TEST_CASE("jwks: a URI that nobody names any more is forgotten, with its fetch") {
  Bench b;
  const Snapshot snapshot = b.snapshot({kUri, "https://other.example/"});
  b.publish(snapshot);
  CHECK(b.fetcher.pending() == 2);
  b.publish(b.snapshot({}));
  CHECK(b.fetcher.pending() == 0);
  CHECK(b.scheduler.armed() == 0);
  CHECK(b.jwks.status().empty());
}

TEST_CASE("jwks: nothing is left after stop, and a late bell is heard by nobody") {
  Bench b;
  const Snapshot snapshot = b.snapshot({kUri});
  b.publish(snapshot);
  b.answer(kOne);
  b.jwks.stop();
  CHECK(b.scheduler.armed() == 0);
  b.sources[0]->want_fresh();
  CHECK(b.fetcher.total() == 1);
}
