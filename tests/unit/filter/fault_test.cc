#include <doctest/doctest.h>

#include "filter/fake_call.h"

using lictor::FakeCall;
using lictor::make;
using lictor::problem_of;
using lictor::Step;

TEST_CASE("fault: a request is aborted") {
  const auto fault = make(R"({"fault": {"abort": 503}})");
  CHECK(fault->answers());
  FakeCall call;
  CHECK(call.run(fault) == Step::kStop);
  CHECK(call.replied().status == 503);
  fault->on_done(call);
}

TEST_CASE("fault: a request waits, then goes on or is aborted") {
  for (const bool aborts : {false, true}) {
    const auto fault = aborts ? make(R"({"fault": {"delay": "200ms", "abort": 500}})")
                              : make(R"({"fault": {"delay": "200ms"}})");
    CHECK(fault->answers() == aborts);
    FakeCall call;
    CHECK(call.run(fault) == Step::kWait);
    call.manual_loop().pass(199);
    CHECK(call.resumes() == 0);
    call.manual_loop().pass(10);
    CHECK(call.resumes() == 1);
    CHECK(call.replies() == (aborts ? 1 : 0));
    fault->on_done(call);
    call.manual_loop().pass(1'000);
    CHECK(call.resumes() == 1);
  }
}

TEST_CASE("fault: nothing comes after a request that died while it waited") {
  const auto fault = make(R"({"fault": {"delay": "200ms"}})");
  FakeCall call;
  CHECK(call.run(fault) == Step::kWait);
  fault->on_done(call);
  call.manual_loop().pass(1'000);
  CHECK(call.resumes() == 0);
}

TEST_CASE("fault: a share of the requests, also of less than one in a hundred") {
  struct Case {
    const char* percent;
    int least;
    int most;
  };
  // Six standard deviations to both sides.
  for (const auto& [percent, least, most] :
       {Case{"0", 0, 0}, Case{"0.5", 60, 140}, Case{"50", 9'576, 10'424},
        Case{"100", 20'000, 20'000}}) {
    const auto fault =
        make(R"({"fault": {"abort": 500, "percent": )" + std::string(percent) + "}}");
    CHECK(fault->answers() == (least == 20'000));
    int hit = 0;
    FakeCall call;
    for (int i = 0; i < 20'000; ++i) hit += fault->on_request(call) == Step::kStop ? 1 : 0;
    CHECK(hit >= least);
    CHECK(hit <= most);
  }
}

TEST_CASE("what is wrong with fault") {
  CHECK(problem_of(R"({"fault": {}})") ==
        "$.fault: does nothing: give it a delay, an abort or both");
  CHECK(problem_of(R"({"fault": {"abort": 200}})") ==
        "$.fault.abort: must be a whole number from 400 to 599");
  CHECK(problem_of(R"({"fault": {"delay": "1h"}})")
            .starts_with("$.fault.delay: must be a duration "));
  CHECK(problem_of(R"({"fault": {"abort": 500, "percent": 101}})")
            .starts_with("$.fault.percent: must be a number "));
  CHECK(problem_of(R"({"fault": {"abort": 500, "precent": 5}})") ==
        R"($.fault.precent: unknown key (did you mean "percent"?))");
}
