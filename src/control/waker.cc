#include "control/waker.h"

#include <algorithm>
#include <array>
#include <functional>
#include <string_view>
#include <utility>
#include <vector>

#include "base/log.h"
#include "control/agent.h"
#include "control/backoff.h"

namespace lictor {
namespace {

constexpr Millis kGrace{10'000};  // beyond wait x 17/16
constexpr Millis kBackoffCap{1'250};
constexpr Millis kRefusedCap{10'000};

struct Kind {
  std::string_view name;
  std::string_view path;
  std::string_view filter;
  bool by_content;
};
constexpr std::array<Kind, Waker::kQueries> kKinds{{
    {"checks", "/v1/health/state/any", R"(Status != "passing")", true},
    {"registrations", "/v1/catalog/services", {}, false},
    {"nodes", "/v1/catalog/nodes", R"(Node == "")", false},
}};

}  // namespace

class Waker::Query final : private QueryBudget::Member {
 public:
  Query(Agent& agent, const Kind& kind, std::string datacenter, Group& group)
      : agent_(agent),
        kind_(kind),
        datacenter_(std::move(datacenter)),
        group_(group),
        timer_(agent.scheduler.timer([this] { on_timer(); })) {}
  virtual ~Query() {
    fetch_.reset();
    agent_.budget.leave(this);
  }
  Query(const Query&) = delete;
  Query& operator=(const Query&) = delete;

  void ask() {
    if (agent_.budget.take(this, true)) on_slot();
  }
  bool well() const { return well_; }

 private:
  void on_slot() override;
  void on_crowded() override {}
  void on_timer();
  void end_query();
  void on_answer(const ConsulAnswer& answer);
  std::string problem_of(const ConsulAnswer& answer) const;
  void accept(const ConsulAnswer& answer);
  void fail(QueryOutcome outcome, bool by_agent, const std::string& error);

  Agent& agent_;
  const Kind& kind_;
  const std::string datacenter_;
  Group& group_;
  std::unique_ptr<ScheduledCall> timer_;  // the query's deadline while asking, else the pause's end
  std::unique_ptr<Fetch> fetch_;
  Backoff backoff_;
  Millis asked_at_{0};
  uint64_t index_ = 0;
  size_t hash_ = 0;
  bool well_ = false;
  std::string said_;  // the error that the log has
};

struct Waker::Group {
  std::set<Sleeper*> sleepers;
  std::vector<std::unique_ptr<Query>> queries;  // none: not in use
  uint64_t moves = 0;

  bool well() const {
    return !queries.empty() &&
           std::all_of(queries.begin(), queries.end(), [](const auto& q) { return q->well(); });
  }
  void tell(void (Sleeper::*what)()) const {
    for (Sleeper* sleeper : sleepers) (sleeper->*what)();
  }
};

void Waker::Query::on_slot() {
  asked_at_ = agent_.scheduler.now();
  const Millis wait = agent_.consul.config().wait;
  ConsulQuery query;
  query.endpoint = "wake";
  query.path = kind_.path;
  if (!kind_.filter.empty()) query.params = {{"filter", std::string(kind_.filter)}};
  query.datacenter = datacenter_;
  query.index = index_;
  query.wait = wait;
  timer_->start(index_ == 0 ? kGrace : wait + wait / 16 + kGrace);
  fetch_ = agent_.consul.ask(query, [this](const ConsulAnswer& answer) { on_answer(answer); });
}

void Waker::Query::on_timer() {
  if (!fetch_) {
    ask();
    return;
  }
  end_query();
  fail(QueryOutcome::kTimeout, true, "no answer in time");
}

void Waker::Query::end_query() {
  timer_->stop();
  fetch_.reset();
  agent_.budget.release(this);
}

void Waker::Query::on_answer(const ConsulAnswer& answer) {
  end_query();
  if (answer.status == 0) {
    fail(answer.timed_out ? QueryOutcome::kTimeout : QueryOutcome::kError, true, answer.error);
    return;
  }
  if (datacenter_.empty()) agent_.monitor.leader(answer.known_leader);
  if (answer.status >= 500) {
    fail(QueryOutcome::k5xx, true, answer.error);
  } else if (answer.status >= 400) {
    fail(QueryOutcome::k4xx, answer.status == 429,
         answer.error.empty() ? "HTTP 404" : answer.error);
  } else if (const auto problem = problem_of(answer); !problem.empty()) {
    fail(QueryOutcome::kMalformed, false, problem);
  } else {
    accept(answer);
  }
}

std::string Waker::Query::problem_of(const ConsulAnswer& answer) const {
  if (!answer.error.empty()) return answer.error;
  if (!answer.index) return "no X-Consul-Index: not an answer of Consul's";
  // Before 1.5, which has filters.
  if (kind_.by_content && answer.body.find(R"("Status":"passing")") != std::string::npos) {
    return "the agent doesn't filter";
  }
  return {};
}

void Waker::Query::accept(const ConsulAnswer& answer) {
  agent_.consul.count("wake", QueryOutcome::kOk);
  if (!std::exchange(said_, {}).empty()) {
    log::info("consul: wake-up by {}: answered well again", kind_.name);
  }
  backoff_.reset();
  const size_t hash = kind_.by_content ? std::hash<std::string>()(answer.body) : 0;
  const bool moved = !well_ || (kind_.by_content ? hash != hash_ : *answer.index != index_);
  index_ = *answer.index;
  hash_ = hash;
  well_ = true;
  const Millis for_size(static_cast<int64_t>(answer.body.size() / kBytesPerMilli));
  timer_->start(std::max(asked_at_ + kSpacing - agent_.scheduler.now(), for_size));
  if (!moved) return;
  ++group_.moves;
  group_.tell(&Sleeper::on_moved);
}

void Waker::Query::fail(QueryOutcome outcome, bool by_agent, const std::string& error) {
  agent_.consul.count("wake", outcome);
  if (!by_agent && said_ != error) {
    log::warn("consul: wake-up by {}: {}; services beyond max_connections are asked in turns",
              kind_.name, error);
    said_ = error;
  }
  well_ = false;
  index_ = 0;
  timer_->start(backoff_.next(agent_.scheduler, by_agent ? kBackoffCap : kRefusedCap));
  group_.tell(by_agent ? &Sleeper::on_lost : &Sleeper::on_moved);
}

Waker::Waker(Agent& agent) : agent_(agent) {}

Waker::~Waker() = default;

void Waker::join(Sleeper* sleeper, const std::string& datacenter) {
  auto& group = groups_[datacenter];
  if (!group) group = std::make_unique<Group>();
  group->sleepers.insert(sleeper);
  update();
}

void Waker::leave(Sleeper* sleeper, const std::string& datacenter) {
  const auto at = groups_.find(datacenter);
  if (at == groups_.end()) return;
  at->second->sleepers.erase(sleeper);
  if (at->second->sleepers.empty()) groups_.erase(at);
  update();
}

std::optional<uint64_t> Waker::moves(const std::string& datacenter) const {
  const auto at = groups_.find(datacenter);
  if (at == groups_.end() || !at->second->well()) return std::nullopt;
  return at->second->moves;
}

void Waker::update() {
  size_t room = agent_.budget.crowded() ? agent_.budget.slots() / 2 / kQueries : 0;
  for (auto& [datacenter, group] : groups_) {
    const bool wanted = room > 0;
    room -= wanted ? 1 : 0;
    if (wanted == !group->queries.empty()) continue;
    if (!wanted) {
      group->queries.clear();
      group->tell(&Sleeper::on_moved);
      continue;
    }
    for (const Kind& kind : kKinds) {
      group->queries.push_back(std::make_unique<Query>(agent_, kind, datacenter, *group));
    }
    for (auto& query : group->queries) query->ask();
  }
}

}  // namespace lictor
