// The bytes go over a Transport as all others do; hiredis reads the replies.
#include "filter/redis_link.h"

#include <hiredis/hiredis.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include "base/log.h"
#include "http/rules.h"
#include "io/lookup.h"

namespace lictor {
namespace {

// The same as RateTable::take, in microseconds of the clock of Redis (less an offset, so that a
// double has fractions of them; what is left of rounding is forgiven). What it returns is how long
// until the bucket is full; when nothing was taken, that negated and less one.
constexpr std::string_view kScript = R"(local time = redis.call('TIME')
local now = (time[1] - 1600000000) * 1000000 + time[2]
local interval, window = tonumber(ARGV[1]), tonumber(ARGV[2])
local full = tonumber(redis.call('GET', KEYS[1]) or now) or now
if full < now then full = now end
if full > now + window then full = now + window end
if full + interval - now > window + 0.1 then return -1 - math.floor(full - now) end
full = full + interval
redis.call('SET', KEYS[1], string.format('%.3f', full), 'PX', math.ceil((full - now) / 1000) + 1)
return math.floor(full - now)
)";

redisReader* reader_of(void* reader) { return static_cast<redisReader*>(reader); }

struct FreeReply {
  void operator()(void* reply) const { freeReplyObject(reply); }
};

void append_bulk(std::string& out, std::string_view text) {
  std::array<char, 24> digits;
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), text.size()).ptr;
  out.append(1, '$').append(digits.data(), end).append("\r\n").append(text).append("\r\n");
}

// Nanoseconds as microseconds with three decimals.
struct Micros {
  explicit Micros(int64_t ns) {
    char* end = std::to_chars(digits.data(), digits.data() + 20, ns / 1000).ptr;
    *end++ = '.';
    for (int64_t scale = 100, left = ns % 1000; scale > 0; left %= scale, scale /= 10) {
      *end++ = static_cast<char>('0' + left / scale);
    }
    size = static_cast<size_t>(end - digits.data());
  }
  std::string_view text() const { return {digits.data(), size}; }
  std::array<char, 26> digits;
  size_t size;
};

std::string_view text_of(const redisReply& reply) {
  return reply.str == nullptr ? std::string_view{} : std::string_view(reply.str, reply.len);
}

// Of an error, for the log.
std::string_view words_of(const redisReply& reply) {
  const std::string_view text = text_of(reply);
  return text.empty() || !is_field_value(text) ? "an odd answer" : text.substr(0, 200);
}

}  // namespace

// --- those who wait ------------------------------------------------------------------------------

RedisLink::Asker::~Asker() { cancel(*this); }

void RedisLink::Asker::on_timeout() { link_->give_up(*this); }

void RedisLink::cancel(Asker& asker) {
  RedisLink* link = std::exchange(asker.link_, nullptr);
  if (link == nullptr) return;
  Loop::cancel(asker.timer_);
  link->pending_[asker.number_ - link->first_number_] = nullptr;
}

bool RedisLink::ask(Asker& asker, std::string_view key, const RateLimit& limit, Millis timeout) {
  last_asked_ms_ = loop_.now_ms();
  if (state_ == State::kClosed) open();
  // While it is away nobody waits for it to come back.
  const bool usable = state_ == State::kUp || (state_ == State::kOpening && !away_);
  if (!usable || pending_.size() >= kMostPending) return false;
  asker.link_ = this;
  asker.number_ = first_number_ + pending_.size();
  asker.key_ = key;
  asker.limit_ = limit;
  pending_.push_back(&asker);
  loop_.arm(asker.timer_, static_cast<uint64_t>(timeout.count()));
  if (state_ == State::kUp) send_script(asker, false);
  return true;
}

void RedisLink::give_up(Asker& asker) {
  cancel(asker);
  tell_away("it is slow");
  if (state_ == State::kUp) {
    state_ = State::kSlow;
    arm(kSlowMs);
  }
  asker.on_answer(std::nullopt);
}

// --- its life ------------------------------------------------------------------------------------

RedisLink::RedisLink(Loop& loop, RedisTarget target, std::shared_ptr<RedisHealth> health,
                     Connect connect)
    : loop_(loop),
      target_(std::move(target)),
      health_(std::move(health)),
      connect_(std::move(connect)) {
  timer_.bind<&RedisLink::on_timer>(this);
}

RedisLink::~RedisLink() {
  for (Asker* asker : pending_) {
    if (asker != nullptr) cancel(*asker);
  }
  if (away_) --health_->links_away;
}

void RedisLink::ReaderDeleter::operator()(void* reader) const {
  redisReaderFree(reader_of(reader));
}

void RedisLink::open() {
  state_ = State::kOpening;
  arm(kOpenMs);
  if (const auto ip = IpAddress::parse(target_.host)) {
    addresses_ = {*ip};
    return connect();
  }
  lookup_ = look_up(loop_, target_.host, [this](std::vector<IpAddress> found) {
    if (found.empty()) return fall("its name has no address");
    addresses_.assign(found.rbegin(), found.rend());
    connect();
  });
}

void RedisLink::connect() {
  const IpAddress ip = addresses_.back();
  addresses_.pop_back();
  reader_.reset(redisReaderCreate());
  transport_ = connect_(loop_, SocketAddress(ip, target_.port), this);
  transport_->resume();
  greet();
}

// All of it at once; Redis reads it when the connection stands.
void RedisLink::greet() {
  greetings_ = 1;
  if (!target_.password.empty()) {
    ++greetings_;
    if (target_.user.empty()) {
      send_command({"AUTH", target_.password});
    } else {
      send_command({"AUTH", target_.user, target_.password});
    }
  }
  if (target_.db != 0) {
    ++greetings_;
    send_command({"SELECT", std::to_string(target_.db)});
  }
  send_command({"SCRIPT", "LOAD", kScript});
}

void RedisLink::go_up() {
  state_ = State::kUp;
  pause_ms_ = kLeastPauseMs;
  arm(away_ ? kCalmMs : kIdleMs);
  // Those who did not give up meanwhile.
  std::erase(pending_, nullptr);
  uint64_t number = first_number_;
  for (Asker* asker : pending_) {
    asker->number_ = number++;
    send_script(*asker, false);
  }
}

// Broken. Tries again by itself: when Redis is back, limits are the fleet's again.
void RedisLink::fall(const char* why) {
  tell_away(why);
  close();
  state_ = State::kPausing;
  arm(pause_ms_);
  pause_ms_ = std::min(pause_ms_ * 2, kMostPauseMs);
  answer_all_with_nothing();
}

void RedisLink::close() {
  lookup_.reset();
  addresses_.clear();
  transport_.reset();
  Loop::cancel(timer_);
  state_ = State::kClosed;
}

// Whoever is told may leave together with others of them, and who asks again is refused: the state
// says so.
void RedisLink::answer_all_with_nothing() {
  while (!pending_.empty()) {
    Asker* const asker = pending_.front();
    pending_.pop_front();
    ++first_number_;
    if (asker == nullptr) continue;
    asker->link_ = nullptr;
    Loop::cancel(asker->timer_);
    asker->on_answer(std::nullopt);
  }
}

void RedisLink::on_timer() {
  const uint64_t unasked_ms = loop_.now_ms() - last_asked_ms_;
  const uint64_t calm_ms = loop_.now_ms() - last_trouble_ms_;
  switch (state_) {
    case State::kOpening:
      return fall("it does not answer");
    case State::kSlow:
      return fall("it has stopped answering");
    case State::kPausing:
      if (unasked_ms < kIdleMs) return open();
      return close();
    case State::kUp:
      if (away_ && calm_ms < kCalmMs) return arm(kCalmMs - calm_ms);
      tell_back();
      if (unasked_ms >= kIdleMs && pending_.empty()) return close();
      return arm(kIdleMs);
    case State::kClosed:
      return;
  }
}

void RedisLink::on_eof() {
  // Redis closes connections that are idle for long, when it is told to.
  if (state_ == State::kUp && pending_.empty()) return close();
  fall("it closed the connection");
}

void RedisLink::on_error(const Error& error) {
  if (state_ == State::kOpening && !addresses_.empty()) return connect();
  fall(error.detail);
}

// Said once, however often it comes and goes: it is back when there was no trouble for a while.
void RedisLink::tell_away(std::string_view why) {
  last_trouble_ms_ = loop_.now_ms();
  if (std::exchange(away_, true) || health_->links_away++ != 0) return;
  log::warn("rate_limit: Redis at {} is away ({}): this gateway counts alone until it is back",
            target_.address(), why);
}

void RedisLink::tell_back() {
  if (!std::exchange(away_, false) || --health_->links_away != 0) return;
  log::info("rate_limit: Redis at {} is back: limits are the fleet's again", target_.address());
}

// --- commands and replies ------------------------------------------------------------------------

void RedisLink::send_command(std::initializer_list<std::string_view> parts) {
  command_.assign(1, '*');
  command_.append(std::to_string(parts.size())).append("\r\n");
  for (const std::string_view part : parts) append_bulk(command_, part);
  transport_->write(command_);
}

void RedisLink::send_script(const Asker& asker, bool whole) {
  const Micros interval(asker.limit_.interval_ns);
  const Micros window(asker.limit_.window_ns);
  if (whole) {
    send_command({"EVAL", kScript, "1", asker.key_, interval.text(), window.text()});
  } else {
    send_command({"EVALSHA", script_, "1", asker.key_, interval.text(), window.text()});
  }
}

void RedisLink::on_read(std::span<char> bytes) {
  redisReader* reader = reader_of(reader_.get());
  redisReaderFeed(reader, bytes.data(), bytes.size());
  while (state_ != State::kClosed && state_ != State::kPausing) {
    if (reader->pos == reader->len) break;
    // What comes is a number, a text or an error. A list could name any length, and hiredis would
    // make room for it.
    const char kind = reader->buf[reader->pos];
    const bool begins = reader->ridx == -1;
    if (begins && kind != ':' && kind != '+' && kind != '-' && kind != '$') {
      return fall("it answers what nobody asked");
    }
    void* got = nullptr;
    if (redisReaderGetReply(reader, &got) != REDIS_OK) return fall("it does not speak RESP");
    if (got == nullptr) break;
    const std::unique_ptr<void, FreeReply> reply(got);
    if (!on_reply(got)) return;
    if (reader_.get() != reader) return;  // another connection by now
  }
  if (reader->len - reader->pos > kMostReply) fall("its answer is too long");
}

// False when the link fell.
bool RedisLink::on_reply(const void* got) {
  if (greetings_ > 0) return on_greeting(got);
  if (pending_.empty()) {
    fall("it answers what nobody asked");
    return false;
  }
  const auto& reply = *static_cast<const redisReply*>(got);
  Asker* const asker = pending_.front();
  pending_.pop_front();
  ++first_number_;
  if (state_ == State::kSlow) {
    arm(kSlowMs);
    if (pending_.empty()) {
      state_ = State::kUp;
      arm(kCalmMs);
    }
  }
  if (asker == nullptr) return true;
  const bool forgotten = reply.type == REDIS_REPLY_ERROR && text_of(reply).starts_with("NOSCRIPT");
  if (forgotten) {
    asker->number_ = first_number_ + pending_.size();
    pending_.push_back(asker);
    send_script(*asker, true);
    return true;
  }
  asker->link_ = nullptr;
  Loop::cancel(asker->timer_);
  std::optional<Answer> answer;
  if (reply.type == REDIS_REPLY_INTEGER) {
    const bool allowed = reply.integer >= 0;
    const int64_t full_us = allowed ? reply.integer : -1 - reply.integer;
    answer = {allowed, std::min(full_us, asker->limit_.window_ns / 1000) * 1000};
  } else {
    tell_away(words_of(reply));
    if (state_ == State::kUp) arm(kCalmMs);
  }
  asker->on_answer(answer);
  return true;
}

bool RedisLink::on_greeting(const void* got) {
  const auto& reply = *static_cast<const redisReply*>(got);
  if (reply.type == REDIS_REPLY_ERROR) {
    tell_away(words_of(reply));
    fall("it refuses");
    return false;
  }
  if (--greetings_ > 0) return true;
  script_ = text_of(reply);
  go_up();
  return true;
}

}  // namespace lictor
