// A worker's one connection to one Redis, where a fleet of gateways counts the requests of a limit
// together: a script does there what RateTable::take does here. Requests are pipelined; who asks
// waits for the script's answer at most his own timeout, and never while Redis is known to be away
// or slow: then he is told so at once, and the gateway counts alone.
//
// All on its loop's thread. Reconnects by itself, after growing pauses, and only while asked.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/duration.h"
#include "base/list.h"
#include "filter/rate_table.h"
#include "filter/redis_target.h"
#include "io/loop.h"
#include "io/transport.h"

namespace lictor {

// One Redis as all workers see it, so that its ups and downs are told once.
struct RedisHealth {
  std::atomic<int> links_away{0};
};

class RedisLink final : public TransportUser {
 public:
  // What the script says: as in RateVerdict.
  struct Answer {
    bool allowed;
    int64_t full_ns;
  };

  // Somebody who waits for an answer. Ends his wait by leaving the link (`cancel`) or with his
  // life.
  class Asker {
   public:
    Asker() { timer_.bind<&Asker::on_timeout>(this); }
    virtual ~Asker();
    Asker(const Asker&) = delete;
    Asker& operator=(const Asker&) = delete;
    // Once, from a later event than `ask`; nothing = count alone.
    virtual void on_answer(std::optional<Answer> answer) = 0;

   private:
    friend class RedisLink;
    void on_timeout();
    RedisLink* link_ = nullptr;  // while he waits
    uint64_t number_ = 0;        // of his place in line
    Timer timer_;
    std::string_view key_;
    RateLimit limit_;
  };

  using Connect = std::function<TransportPtr(Loop&, const SocketAddress&, TransportUser*)>;

  RedisLink(Loop& loop, RedisTarget target, std::shared_ptr<RedisHealth> health, Connect connect);
  ~RedisLink();
  RedisLink(const RedisLink&) = delete;
  RedisLink& operator=(const RedisLink&) = delete;

  // Takes one token of the bucket `key`, a text that lives as long as the asker waits. False when
  // Redis is away, slow or has too much to do: no answer comes then.
  bool ask(Asker& asker, std::string_view key, const RateLimit& limit, Millis timeout);
  static void cancel(Asker& asker);

  bool idle() const { return state_ == State::kClosed; }

  // TransportUser
  void on_connect() override {}
  void on_read(std::span<char> bytes) override;
  void on_eof() override;
  void on_drain() override {}
  void on_error(const Error& error) override;

 private:
  enum class State : uint8_t {
    kClosed,   // nobody has asked for a while
    kOpening,  // looking up the name, connecting, greeting
    kUp,
    kSlow,     // somebody waited in vain: nobody else shall, until all is answered
    kPausing,  // away: tries again when the pause is over
  };
  static constexpr size_t kMostPending = 1024;
  static constexpr size_t kMostReply = 65'536;
  static constexpr uint64_t kOpenMs = 1'000;  // connecting and greeting
  static constexpr uint64_t kSlowMs = 1'000;  // without an answer: a new connection
  static constexpr uint64_t kCalmMs = 1'000;  // without trouble: it is back
  static constexpr uint64_t kIdleMs = 60'000;
  static constexpr uint64_t kLeastPauseMs = 100;
  static constexpr uint64_t kMostPauseMs = 5'000;

  void open();
  void connect();
  void greet();
  void go_up();
  void send_command(std::initializer_list<std::string_view> parts);
  void send_script(const Asker& asker, bool whole);
  bool on_reply(const void* reply);
  bool on_greeting(const void* reply);
  void give_up(Asker& asker);
  void fall(const char* why);
  void close();
  void answer_all_with_nothing();
  void on_timer();
  void tell_away(std::string_view why);
  void tell_back();
  void arm(uint64_t ms) { loop_.arm(timer_, ms); }

  Loop& loop_;
  const RedisTarget target_;
  const std::shared_ptr<RedisHealth> health_;
  const Connect connect_;
  State state_ = State::kClosed;
  bool away_ = false;  // as the log has it
  std::shared_ptr<void> lookup_;
  std::vector<IpAddress> addresses_;  // of the host, not tried yet; the last comes first
  TransportPtr transport_;
  struct ReaderDeleter {
    void operator()(void* reader) const;
  };
  std::unique_ptr<void, ReaderDeleter> reader_;
  int greetings_ = 0;    // replies to what was said first that are still to come
  std::string script_;   // its name in Redis
  std::string command_;  // used again and again
  // Those that wait, in the order of their commands; null = gave up. Of kOpening: nothing is sent.
  std::deque<Asker*> pending_;
  uint64_t first_number_ = 0;  // of pending_.front()
  uint64_t pause_ms_ = kLeastPauseMs;
  uint64_t last_asked_ms_ = 0;
  uint64_t last_trouble_ms_ = 0;
  Timer timer_;  // what it means depends on the state
};

}  // namespace lictor
