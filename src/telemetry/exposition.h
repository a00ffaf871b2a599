// Writes the Prometheus text format 0.0.4: families with HELP and TYPE, samples with escaped
// labels. The caller writes a family's samples one after another, each set of labels once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>

namespace lictor {

class Exposition {
 public:
  struct Label {
    std::string_view name;
    std::string_view value;  // any bytes; what is not UTF-8 becomes U+FFFD
  };
  using Labels = std::initializer_list<Label>;

  explicit Exposition(std::string& out) : out_(out) {}

  // `name` and `help` must outlive the family.
  void counter(std::string_view name, std::string_view help) { family(name, "counter", help); }
  void gauge(std::string_view name, std::string_view help) { family(name, "gauge", help); }
  void histogram(std::string_view name, std::string_view help) { family(name, "histogram", help); }

  // Samples of the family begun last.
  void sample(Labels labels, uint64_t value);
  void sample(Labels labels, double value);
  void sample_seconds(Labels labels, uint64_t microseconds);
  // `buckets` are not cumulative and one more than `bounds_us`.
  void sample_histogram(Labels labels, std::span<const uint32_t> bounds_us,
                        std::span<const uint64_t> buckets, uint64_t sum_us);

 private:
  void family(std::string_view name, std::string_view type, std::string_view help);
  // The name with its suffix and labels, up to the blank before the value.
  void begin(std::string_view suffix, std::string_view labels, std::string_view le = {});
  void render_labels(Labels labels);
  void seconds(uint64_t microseconds);
  void number(uint64_t value);

  std::string& out_;
  std::string_view name_;
  std::string labels_;  // of the sample being written: a="x",b="y"
};

}  // namespace lictor
