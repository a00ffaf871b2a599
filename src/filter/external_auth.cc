// `external_auth`: {"service": "authz", "path": "/check", "timeout": "1s", "request_headers": [],
// "response_headers": [], "on_error": "deny"}. Another service is asked about each request: 2xx
// lets it through, with fields of the answer; 401, 403 and 3xx go to the client as they are.
#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "filter/makers.h"
#include "filter/subrequest.h"
#include "http/message.h"
#include "http/rules.h"
#include "http/uri.h"

namespace lictor {
namespace {

constexpr size_t kMaxNames = 64;

struct Name {
  std::string text;
  FieldId id;

  bool is(const Field& field) const {
    return field.id == id && (id != FieldId::kOther || equals_ignore_case(field.name, text));
  }
};

// Of every request, whatever the document names: what was asked, by whom, and its number.
bool is_told_always(FieldId id) {
  switch (id) {
    case FieldId::kXForwardedFor:
    case FieldId::kXForwardedHost:
    case FieldId::kXForwardedPort:
    case FieldId::kXForwardedProto:
    case FieldId::kXRequestId:
    case FieldId::kTraceparent:
    case FieldId::kTracestate:
      return true;
    default:
      return false;
  }
}

class ExternalAuth final : public Filter {
 public:
  std::string_view name() const override { return "external_auth"; }
  std::vector<std::string> services() const override { return {service}; }
  Step on_request(Call& call) const override;
  void on_done(Call& call) const override;

  std::string service;
  std::string path = "/";
  Millis timeout{1'000};
  std::vector<Name> request_headers;
  std::vector<Name> response_headers;
  bool allow_on_error = false;

 private:
  class Pending;
  void remove_own(Fields& fields) const;
  void fill(Call& call, Subrequest& asked) const;
  void pass(Call& call, const Fields& answer) const;
  void deny(Call& call, const SubrequestAnswer& answer) const;
  Step on_error(Call& call, const char* reason, const Error& error) const;
};

// A question under way; in the call's arena.
class ExternalAuth::Pending final : public SubrequestUser {
 public:
  Pending(const ExternalAuth& filter, Call& call) : filter_(filter), call_(call) {}
  void on_answer(const SubrequestAnswer& answer) override {
    request = nullptr;
    const uint16_t status = answer.head.status;
    if (status < 300) {
      filter_.pass(call_, answer.head.fields);
    } else if (status < 400 || status == 401 || status == 403) {
      filter_.deny(call_, answer);
    } else if (status >= 500) {
      filter_.on_error(call_, "external_failed",
                       {Failure::kNoInstance, true, "the authorization service failed"});
    } else {
      filter_.on_error(
          call_, "external_odd",
          {Failure::kForbidden, true, "the authorization service gave an answer that is none"});
    }
    call_.resume();
  }
  void on_failure(const Error& error) override {
    request = nullptr;
    const bool overloaded = error.status() == 503 && error.failure != Failure::kNoInstance;
    filter_.on_error(call_, "external_failed",
                     {overloaded ? Failure::kOverloaded : Failure::kNoInstance, true,
                      "the authorization service can't be asked"});
    call_.resume();
  }

  Subrequest* request = nullptr;  // until it has ended

 private:
  const ExternalAuth& filter_;
  Call& call_;
};

Step ExternalAuth::on_request(Call& call) const {
  // Whatever becomes of it: these are the service's words, never the client's.
  remove_own(call.request().fields);
  auto* pending = call.arena().make<Pending>(*this, call);
  pending->request = call.subrequest(service, pending);
  if (pending->request == nullptr) {
    return on_error(call, "external_failed",
                    {Failure::kOverloaded, false, "too many questions to authorization services"});
  }
  call.state() = pending;
  fill(call, *pending->request);
  pending->request->send(timeout);
  return Step::kWait;
}

void ExternalAuth::on_done(Call& call) const {
  auto* pending = static_cast<Pending*>(call.state());
  if (pending == nullptr || pending->request == nullptr) return;
  std::exchange(pending->request, nullptr)->cancel();
}

void ExternalAuth::remove_own(Fields& fields) const {
  if (response_headers.empty()) return;
  fields.remove_if([this](const Field& field) {
    return std::any_of(response_headers.begin(), response_headers.end(), [&](const Name& name) {
      return name.is(field) || is_underscore_twin(field.name, name.text);
    });
  });
}

void ExternalAuth::fill(Call& call, Subrequest& asked) const {
  const Head& request = call.request();
  Arena& arena = asked.arena();
  Head& head = asked.head();
  head.method = Method::kGet;
  head.method_name = "GET";
  head.target = path;  // this filter outlives its questions
  head.authority = arena.copy(request.authority);
  for (const Field& field : request.fields) {
    const bool told =
        is_told_always(field.id) || std::any_of(request_headers.begin(), request_headers.end(),
                                                [&](const Name& name) { return name.is(field); });
    if (told) head.fields.add(arena, {arena.copy(field.name), arena.copy(field.value), field.id});
  }
  // Also what the client may have sent under these names does not get there.
  const auto tell = [&](std::string_view name, std::string_view value) {
    head.fields.remove_if([&](const Field& field) {
      return equals_ignore_case(field.name, name) || is_underscore_twin(field.name, name);
    });
    head.fields.add(arena, {name, arena.copy(value), FieldId::kOther});
  };
  tell("X-Forwarded-Method", request.method_name);
  tell("X-Forwarded-Uri", request.target);
}

void ExternalAuth::pass(Call& call, const Fields& answer) const {
  Arena& arena = call.arena();
  for (const Name& name : response_headers) {
    for (const Field& field : answer) {
      if (!name.is(field)) continue;
      call.request().fields.add(arena, {name.text, arena.copy(field.value), field.id});
    }
  }
}

void ExternalAuth::deny(Call& call, const SubrequestAnswer& answer) const {
  call.count_auth_failure("external_denied");
  Fields& fields = answer.head.fields;
  fields.remove(FieldId::kDate);  // the gateway's own is put on
  call.reply(answer.head.status, fields, answer.body);
}

Step ExternalAuth::on_error(Call& call, const char* reason, const Error& error) const {
  if (allow_on_error) return Step::kNext;
  call.count_auth_failure(reason);
  call.reply(error);
  return Step::kStop;
}

void read_names(JsonObject& object, std::string_view key, std::vector<Name>& names) {
  object.array(key, 0, kMaxNames, [&](const JsonValue& item) {
    std::string name;
    if (item.read_text(name) && check_filter_field(item, name)) {
      names.push_back({name, field_id(name)});
    }
  });
}

}  // namespace

FilterPtr make_external_auth(const JsonValue& config, const FilterContext&) {
  auto made = std::make_shared<ExternalAuth>();
  config.read_object([&](JsonObject& object) {
    read_own_service(object, made->service);
    object.parsed(
        "path", made->path,
        [](std::string_view text) -> std::optional<std::string> {
          const auto target = parse_target(Method::kGet, text);
          if (!target || target->form != TargetForm::kOrigin || text.size() > 1024) return {};
          return std::string(text);
        },
        R"(a path such as "/check")");
    object.duration("timeout", made->timeout);
    read_names(object, "request_headers", made->request_headers);
    read_names(object, "response_headers", made->response_headers);
    object.choice("on_error", made->allow_on_error, {{"deny", false}, {"allow", true}});
  });
  if (made->request_headers.empty()) {
    made->request_headers = {{"Authorization", FieldId::kAuthorization},
                             {"Cookie", FieldId::kCookie}};
  }
  return made;
}

}  // namespace lictor
