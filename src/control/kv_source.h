// Documents from Consul KV: one recursive blocking query over the prefix.
#pragma once

#include "control/source.h"
#include "control/watch.h"

namespace lictor {

class KvSource final : public Source {
 public:
  KvSource(Agent& agent, std::string prefix, Sink sink);
  void start() override;
  void restore(const std::vector<Document>& documents) override;
  std::string_view name() const override { return "consul"; }
  std::string prefix() const override { return prefix_.empty() ? "" : prefix_ + "/"; }
  std::string describe() const override { return "Consul KV at " + prefix(); }

 private:
  Watch::Verdict on_answer(const ConsulAnswer& answer, Watch::Trust trust);

  const std::string prefix_;
  const Sink sink_;
  std::vector<Document> documents_;
  bool answered_ = false;
  Watch watch_;
};

}  // namespace lictor
