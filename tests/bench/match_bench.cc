// What finding a route costs, with 10 routes and with 10,000 (issue: at most 1.3 times as much).
//
//   meson compile -C build match_bench && build/tests/match_bench
//
// Both tables are asked the same way, in turns, round after round, so that what else the machine
// does hits both; the medians count. "hot" asks for ten routes of the table, as traffic does for
// most of a second; "spread" asks for all of them evenly, which costs cache misses besides.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <random>
#include <string>
#include <vector>

#include "model/route_table.h"

namespace {

using namespace lictor;  // NOLINT: many names, one program

constexpr size_t kRounds = 51;
constexpr size_t kRequests = 100'000;
constexpr double kMostRatio = 1.3;

struct Request {
  std::string host;
  std::string path;
  std::string query;
};

// Requests one after the other in memory, so that reading them is no cost: the gateway has just
// parsed what it asks for.
class Sequence {
 public:
  void add(const Request& request) {
    for (const auto* part : {&request.host, &request.path, &request.query}) {
      text_ += *part;
      ends_.push_back(text_.size());
    }
  }
  size_t size() const { return ends_.size() / 3; }
  template <class F>
  void for_each(F f) const {
    const std::string_view text(text_);
    size_t at = 0;
    for (size_t i = 0; i < ends_.size(); i += 3) {
      f(text.substr(at, ends_[i] - at), text.substr(ends_[i], ends_[i + 1] - ends_[i]),
        text.substr(ends_[i + 1], ends_[i + 2] - ends_[i + 1]));
      at = ends_[i + 2];
    }
  }

 private:
  std::string text_;
  std::vector<size_t> ends_;
};

// Routes with and without host, captures, conditions; most as a service has them.
class Table {
 public:
  explicit Table(size_t count) {
    for (size_t i = 0; i < count; ++i) {
      auto route = std::make_shared<Route>();
      const std::string name = "service-" + std::to_string(i);
      route->name = name;
      route->paths = {i % 3 == 0 ? "/api/" + name + "/{id}/items" : "/api/" + name + "/*"};
      if (i % 2 == 0) route->hosts = {"host-" + std::to_string(i % 100) + ".example.com"};
      if (i % 5 == 0) {
        Condition condition;
        condition.source = Condition::Source::kQuery;
        condition.kind = Condition::Kind::kExact;
        condition.name = "v";
        condition.text = "2";
        route->conditions.push_back(condition);
      }
      routes_.push_back(route);
      requests_.push_back({route->hosts.empty() ? "other.example.com" : route->hosts[0],
                           "/api/" + name + (i % 3 == 0 ? "/42/items" : "/42"), "a=1&v=2"});
    }
    table_.build(routes_);
    std::mt19937 random(7);
    std::uniform_int_distribution<size_t> any(0, count - 1);
    // Ten routes as unlike each other as the first ten are.
    const auto hot = [count](size_t i) { return count == 10 ? i : i * (count / 10) + i; };
    for (size_t i = 0; i < kRequests; ++i) spread_.add(requests_[any(random)]);
    for (size_t i = 0; i < kRequests; ++i) hot_.add(requests_[hot(i % 10)]);
  }

  double hot() const { return run(hot_); }
  double spread() const { return run(spread_); }

 private:
  // Nanoseconds a request.
  double run(const Sequence& requests) const {
    Match match;
    size_t found = 0;
    const auto start = std::chrono::steady_clock::now();
    requests.for_each([&](std::string_view host, std::string_view path, std::string_view query) {
      table_.match({"GET", host, path, {nullptr, query}}, match);
      found += match.route != nullptr ? 1 : 0;
    });
    const std::chrono::duration<double, std::nano> took = std::chrono::steady_clock::now() - start;
    if (found != requests.size()) std::puts("a request found no route");
    return took.count() / static_cast<double>(requests.size());
  }

  std::vector<std::shared_ptr<const Route>> routes_;
  std::vector<Request> requests_;
  Sequence spread_;
  Sequence hot_;
  RouteTable table_;
};

double median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + static_cast<long>(values.size() / 2),
                   values.end());
  return values[values.size() / 2];
}

bool compare(const char* what, double (Table::*run)() const, const Table& few, const Table& many) {
  std::vector<double> with_few;
  std::vector<double> with_many;
  for (size_t i = 0; i < kRounds; ++i) {
    with_few.push_back((few.*run)());
    with_many.push_back((many.*run)());
  }
  const double ratio = median(with_many) / median(with_few);
  std::printf("%-7s 10 routes %6.1f ns   10,000 routes %6.1f ns   ratio %.2f\n", what,
              median(with_few), median(with_many), ratio);
  return ratio <= kMostRatio;
}

}  // namespace

int main() {
  const Table few(10);
  const Table many(10'000);
  const bool hot = compare("hot", &Table::hot, few, many);
  compare("spread", &Table::spread, few, many);
  if (!hot) std::printf("above %.1f\n", kMostRatio);
  return hot ? 0 : 1;
}
