// Requests of a filter's own to one of its services(), over the connections that ordinary requests
// use. A filter asks Call::subrequest for one, fills it, sends it, and either hears what came of it
// or asked for one that goes on by itself, whatever becomes of the request it was made for.
#pragma once

#include <cstddef>
#include <string_view>

#include "base/arena.h"
#include "base/duration.h"
#include "base/error.h"
#include "http/message.h"

namespace lictor {

struct SubrequestAnswer {
  Head& head;  // without what belongs to a connection
  std::string_view body;
  bool whole;  // false: it was longer than kMaxBody, and `body` is empty
};

// Hears one of these, once, from a later event than send's. What it is told is good until it
// returns; the subrequest is gone then.
class SubrequestUser {
 public:
  virtual void on_answer(const SubrequestAnswer& answer) = 0;
  virtual void on_failure(const Error& error) = 0;

 protected:
  ~SubrequestUser() = default;
};

class Subrequest {
 public:
  static constexpr size_t kMaxBody = 65536;

  // What is sent; its texts belong into arena(), which lives as long as this. The upstream's policy
  // says what becomes of `authority`. `body` and `length` are not the filter's business.
  virtual Head& head() = 0;
  virtual Arena& arena() = 0;
  // Before send: the body. False, and nothing of the bytes is taken, beyond kMaxBody.
  virtual bool append(std::string_view bytes) = 0;
  // `timeout` is that of the whole, the wait for a connection included; 0 = none. Without a user
  // this is the last word.
  virtual void send(Millis timeout) = 0;
  // Instead of send, or before its user has heard: nothing follows, and this is gone.
  virtual void cancel() = 0;

 protected:
  ~Subrequest() = default;
};

}  // namespace lictor
