// `compress`: {"types": ["application/json", "text/*"], "min_bytes": 1024,
// "encodings": ["zstd", "br", "gzip"]}. Encodes response bodies on their way, for clients that ask
// for it. What a worker's responses are encoded with is kept and used again.
#include <algorithm>
#include <array>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "filter/accept_encoding.h"
#include "filter/encoder.h"
#include "filter/makers.h"
#include "http/message.h"
#include "http/rules.h"

namespace lictor {
namespace {

constexpr size_t kMaxTypes = 64;
constexpr size_t kCodings = 3;

// --- the encoders of one thread ------------------------------------------------------------------

class EncoderPool {
 public:
  // At once: each costs up to 2.1 MB. Bodies beyond that are sent as they are.
  static constexpr size_t kMost = 128;

  static EncoderPool& of_thread() {
    thread_local EncoderPool pool;
    return pool;
  }
  std::unique_ptr<Encoder> take(Coding coding) {
    if (used_ == kMost) return nullptr;
    auto& kept = kept_[static_cast<size_t>(coding)];
    std::unique_ptr<Encoder> encoder;
    if (kept.empty()) {
      encoder = make(coding);
    } else {
      encoder = std::move(kept.back());
      kept.pop_back();
    }
    if (encoder != nullptr) ++used_;
    return encoder;
  }
  void give_back(Coding coding, std::unique_ptr<Encoder> encoder) {
    --used_;
    auto& kept = kept_[static_cast<size_t>(coding)];
    if (kept.size() < kKept && encoder->reset()) kept.push_back(std::move(encoder));
  }

 private:
  static constexpr size_t kKept = 16;  // of each coding

  static std::unique_ptr<Encoder> make(Coding coding) {
    switch (coding) {
      case Coding::kZstd:
        return make_zstd_encoder();
      case Coding::kBrotli:
        return make_brotli_encoder();
      case Coding::kGzip:
        break;
    }
    return make_gzip_encoder();
  }
  std::array<std::vector<std::unique_ptr<Encoder>>, kCodings> kept_;
  size_t used_ = 0;
};

// What one request's client wants, and its response's body on the way there. In the call's arena.
class Body final : public BodyTransform {
 public:
  explicit Body(Coding wanted) : coding(wanted) {}

  bool transform(std::string_view bytes, bool end, Buffer& out) override {
    held_ = held_ || !bytes.empty();
    return encoder->encode(bytes, end ? Encoder::Until::kEnd : Encoder::Until::kMore, out);
  }
  bool flush(Buffer& out) override {
    return !std::exchange(held_, false) || encoder->encode({}, Encoder::Until::kFlush, out);
  }

  const Coding coding;
  Encoder* encoder = nullptr;  // of the thread's pool

 private:
  bool held_ = false;  // bytes came since the last flush
};

// --- the filter ----------------------------------------------------------------------------------

std::string_view media_type(std::string_view content_type) {
  content_type = content_type.substr(0, content_type.find(';'));
  while (content_type.ends_with(' ') || content_type.ends_with('\t')) {
    content_type.remove_suffix(1);
  }
  return content_type;
}

// "text/*" takes "text/html".
bool takes(std::string_view pattern, std::string_view type) {
  if (pattern == "*/*") return true;
  if (!pattern.ends_with("/*")) return equals_ignore_case(pattern, type);
  pattern.remove_suffix(1);
  return type.size() > pattern.size() &&
         equals_ignore_case(type.substr(0, pattern.size()), pattern);
}

bool has_token(const Fields& fields, std::string_view name, std::string_view token) {
  return std::any_of(fields.begin(), fields.end(), [&](const Field& field) {
    return equals_ignore_case(field.name, name) && list_has_token(field.value, token);
  });
}

void add_vary(Call& call) {
  Fields& fields = call.response().fields;
  if (has_token(fields, "Vary", "Accept-Encoding") || has_token(fields, "Vary", "*")) return;
  fields.add(call.arena(), "Vary", "Accept-Encoding");
}

// The encoded body is another one, of the same meaning (RFC 9110, section 8.8.1).
void weaken_etag(Call& call) {
  for (Field& field : call.response().fields) {
    if (!equals_ignore_case(field.name, "ETag") || !field.value.starts_with('"')) continue;
    field.value = call.arena().concat("W/", field.value);
  }
}

class Compress final : public Filter {
 public:
  std::string_view name() const override { return "compress"; }
  Step on_request(Call& call) const override;
  void on_response(Call& call) const override;
  void on_done(Call& call) const override;

  std::vector<std::string> types;
  uint64_t min_bytes = 1024;
  std::vector<Coding> encodings;

 private:
  bool suits(const Head& response) const;
};

// Here, and not with the response: a later filter may take the field away from the upstream.
Step Compress::on_request(Call& call) const {
  if (const auto coding = choose_coding(call.request().fields, encodings)) {
    call.state() = call.arena().make<Body>(*coding);
  }
  return Step::kNext;
}

// Whatever the client wants: might a response like this one be encoded?
bool Compress::suits(const Head& response) const {
  const Fields& fields = response.fields;
  if (response.status < 200 || response.status == 204 || response.status == 206) return false;
  if (response.body == BodyKind::kLength && response.length < min_bytes) return false;
  if (fields.find("Content-Encoding") != nullptr || fields.find("Content-Range") != nullptr) {
    return false;
  }
  const std::string_view type = media_type(fields.get(FieldId::kContentType));
  if (type.empty() || equals_ignore_case(type, "text/event-stream")) return false;
  if (has_token(fields, "Cache-Control", "no-transform")) return false;
  return std::any_of(types.begin(), types.end(),
                     [type](const std::string& pattern) { return takes(pattern, type); });
}

void Compress::on_response(Call& call) const {
  Head& response = call.response();
  auto* body = static_cast<Body*>(call.state());
  if (response.status == 304) {
    // It is about a response that may have been encoded; its type is not known here.
    if (body != nullptr) weaken_etag(call);
    return;
  }
  if (!suits(response)) return;
  add_vary(call);
  // A HEAD whose length nobody told says nothing of how a GET would be answered.
  if (body == nullptr || response.body == BodyKind::kNone) return;
  if (call.request().method == Method::kHead) {
    response.body = BodyKind::kNone;
    response.length = 0;
  } else {
    auto encoder = EncoderPool::of_thread().take(body->coding);
    if (encoder == nullptr) return;
    body->encoder = encoder.release();
    call.transform_response(*body);
  }
  weaken_etag(call);
  response.fields.remove_if([](const Field& field) {
    constexpr auto kOfTheOldBody = std::to_array<std::string_view>(
        {"accept-ranges", "content-digest", "content-md5", "digest", "repr-digest"});
    return field.id == FieldId::kOther &&
           std::any_of(kOfTheOldBody.begin(), kOfTheOldBody.end(),
                       [&](std::string_view name) { return equals_ignore_case(field.name, name); });
  });
  response.fields.add(call.arena(), "Content-Encoding", coding_name(body->coding));
}

void Compress::on_done(Call& call) const {
  auto* body = static_cast<Body*>(call.state());
  if (body == nullptr || body->encoder == nullptr) return;
  EncoderPool::of_thread().give_back(
      body->coding, std::unique_ptr<Encoder>(std::exchange(body->encoder, nullptr)));
}

bool is_type_pattern(std::string_view text) {
  const size_t slash = text.find('/');
  if (slash == std::string_view::npos) return false;
  const std::string_view main = text.substr(0, slash);
  const std::string_view sub = text.substr(slash + 1);
  // A token may have a '*' in it; here it stands for all, alone.
  const auto whole_star = [](std::string_view part) {
    return part == "*" || part.find('*') == std::string_view::npos;
  };
  return is_token(main) && is_token(sub) && whole_star(main) && whole_star(sub) &&
         (main != "*" || sub == "*");
}

}  // namespace

FilterPtr make_compress(const JsonValue& config, const FilterContext&) {
  auto made = std::make_shared<Compress>();
  config.read_object([&](JsonObject& object) {
    object.array("types", 1, kMaxTypes, [&](const JsonValue& item) {
      std::string type;
      if (!item.read_text(type)) return;
      if (!is_type_pattern(type)) {
        item.fail(in_quotes(type) + R"( is no media type such as "application/json" or "text/*")");
      }
      made->types.push_back(std::move(type));
    });
    object.size("min_bytes", made->min_bytes);
    object.array("encodings", 1, kCodings, [&](const JsonValue& item) {
      std::string name;
      if (!item.read_text(name)) return;
      const auto coding = parse_coding(name);
      if (!coding) {
        item.fail(in_quotes(name) + R"( is none of "zstd", "br", "gzip")" +
                  did_you_mean(name, {"zstd", "br", "gzip"}));
      } else if (std::find(made->encodings.begin(), made->encodings.end(), *coding) !=
                 made->encodings.end()) {
        item.fail(in_quotes(name) + " is listed twice");
      } else {
        made->encodings.push_back(*coding);
      }
    });
  });
  if (made->types.empty()) made->types = {"application/json", "text/*"};
  if (made->encodings.empty()) {
    made->encodings = {Coding::kZstd, Coding::kBrotli, Coding::kGzip};
  }
  return made;
}

}  // namespace lictor
