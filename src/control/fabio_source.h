// Documents from Consul KV and, beside them, the routes that services ask for with tags as fabio
// reads them ("urlprefix-/path"). One more blocking query: /v1/catalog/services has the tags of
// all.
#pragma once

#include <expected>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "control/kv_source.h"
#include "control/source.h"
#include "control/watch.h"

namespace lictor {

using TagsByService = std::map<std::string, std::vector<std::string>>;

// The answer of /v1/catalog/services, understood whole or not at all.
std::expected<TagsByService, std::string> parse_services(std::string_view body);

class FabioSource final : public Source {
 public:
  FabioSource(Agent& agent, const std::string& prefix, Sink sink);
  void start() override;
  void restore(const std::vector<Document>& documents) override;
  std::string_view name() const override { return kv_.name(); }
  std::string prefix() const override { return kv_.prefix(); }
  std::string describe() const override { return kv_.describe() + " and urlprefix- tags"; }

 private:
  Watch::Verdict on_answer(const ConsulAnswer& answer, Watch::Trust trust);
  // Nothing before both were read, or restored.
  void merge();

  const Sink sink_;
  KvSource kv_;
  Watch watch_;
  std::optional<DocumentSet> written_;
  std::optional<DocumentSet> tagged_;
  bool answered_ = false;  // the tags
};

}  // namespace lictor
