// How it works: a slot for each key holds its text, what that says (`current`) and the last version
// that was whole (`good`). A compile reads the texts that changed, links documents to each other,
// and assembles a snapshot from the good versions; parts that stay the same stay the same objects.
#include "model/compiler.h"

#include <algorithm>
#include <functional>
#include <optional>
#include <set>
#include <type_traits>
#include <utility>

#include "model/documents.h"
#include "model/fabio.h"
#include "model/link.h"

namespace lictor {
namespace {

// A document as it is now; it is in force when it has no problems.
struct SlotBase {
  std::string text;
  uint64_t modify_index = 0;
  bool seen = false;                     // in the set that is being compiled
  std::optional<std::string> good_text;  // of the good version, when that is not of `text`
  Problems unreadable;                   // what is wrong with the text alone
  Problems unlinked;                     // what is wrong with what it refers to
  std::string error;                     // as it was told

  const Problem* problem() const {
    if (!unreadable.empty()) return &unreadable.front();
    return unlinked.empty() ? nullptr : &unlinked.front();
  }
};

template <class Version>
struct Slot : SlotBase {
  std::shared_ptr<const Version> current;  // null when the text can't be read
  std::shared_ptr<const Version> good;     // null when it never had a good one

  void current_is_good() {
    good = current;
    good_text.reset();
  }
};

struct RouteSlot : Slot<RouteDocument> {
  FilterChain chain;                   // of `good`
  std::shared_ptr<const Route> route;  // what the last snapshot has
  std::shared_ptr<const RouteDocument> made_from;
};

struct GatewaySlot : Slot<GatewayDocument> {
  FilterChain chain;  // of `good`
};

struct UpstreamText {
  std::string text;
};

struct UpstreamSlot : Slot<UpstreamText> {
  std::optional<UpstreamPolicy> policy;  // of `good` over the defaults, when it is `read`
  bool read = false;
};

using FilterDocumentSlot = Slot<Filter>;
using ConsumerSlot = Slot<Consumer>;

template <class S>
using SlotMap = std::map<std::string, S, std::less<>>;

Parsed<UpstreamText> read_upstream_text(std::string_view text) {
  auto parsed = parse_upstream(text, UpstreamPolicy{});
  if (!parsed) return std::unexpected(std::move(parsed.error()));
  return UpstreamText{std::string(text)};
}

template <class T>
std::shared_ptr<const T> share(T value) {
  return std::make_shared<const T>(std::move(value));
}
std::shared_ptr<const Filter> share(FilterPtr value) { return value; }

// Routes made of tags come after all others by name, so that a document wins a tie.
std::string tagged_route_name(std::string_view key) { return "~" + std::string(key); }

}  // namespace

std::string_view document_state_name(DocumentState state) {
  switch (state) {
    case DocumentState::kActive:
      return "active";
    case DocumentState::kStale:
      return "stale";
    case DocumentState::kRejected:
      break;
  }
  return "rejected";
}

struct Compiler::Impl {
  SlotMap<GatewaySlot> gateway;  // the one key is ""
  SlotMap<RouteSlot> routes;     // by name
  SlotMap<RouteSlot> tagged;     // routes made of tags, by what is behind "fabio/"
  SlotMap<UpstreamSlot> upstreams;
  SlotMap<FilterDocumentSlot> filters;
  SlotMap<ConsumerSlot> consumers;
  SlotMap<SlotBase> others;  // by key: documents of no known kind
  // By key: the last good text of filters that are deleted and that somebody still goes on with.
  std::map<std::string, std::string> gone_filters;
  bool reread_files = false;
  UpstreamPolicy defaults;  // that upstreams[].policy was read with
  SnapshotPtr snapshot;
  std::map<std::string, std::string> warnings;  // by route, of `snapshot`

  template <class F>
  void for_each_kind(F f) {
    f("gateway", gateway);
    f("routes/", routes);
    f(std::string(kFabioKey), tagged);
    f("upstreams/", upstreams);
    f("filters/", filters);
    f("consumers/", consumers);
    f("", others);
  }

  template <class F>
  void for_each_route(F f) {
    // In the order of their names: no name of a document comes after "~".
    for (auto& [name, slot] : routes) f(slot);
    for (auto& [name, slot] : tagged) f(slot);
  }

  void take(const Document& document, std::vector<std::string>& changed);
  template <class S, class Read>
  void take_into(SlotMap<S>& slots, const std::string& name, const Document& document, Read read,
                 std::vector<std::string>& changed);
  void drop_unseen(std::vector<std::string>& changed);

  void link_and_assemble();
  void link_gateway(const SharedFilters& shared);
  void link_routes(const SharedFilters& shared);
  void link_consumers();
  const UpstreamPolicy& policy_of(const std::string& service);
  void refresh_defaults();

  std::vector<std::shared_ptr<const Upstream>> assemble_upstreams();
  std::vector<std::shared_ptr<const Route>> assemble_routes(const Snapshot& next);
  std::shared_ptr<const Consumers> assemble_consumers() const;
  void assemble();
  void tell(Outcome& outcome);
};

// --- texts ---------------------------------------------------------------------------------------

template <class S, class Read>
void Compiler::Impl::take_into(SlotMap<S>& slots, const std::string& name, const Document& document,
                               Read read, std::vector<std::string>& changed) {
  const auto [at, added] = slots.try_emplace(name);
  S& slot = at->second;
  slot.seen = true;
  slot.modify_index = document.modify_index;
  const bool reread = reread_files && document.text.find("_file\"") != std::string::npos;
  if (!added && slot.text == document.text && !reread) return;
  changed.push_back(document.key);
  if (slot.good && slot.good == slot.current) slot.good_text = std::move(slot.text);
  slot.text = document.text;
  auto parsed = read(std::string_view(slot.text));
  slot.unreadable = parsed ? Problems{} : std::move(parsed.error());
  slot.unlinked.clear();
  slot.current = parsed ? share(std::move(*parsed)) : nullptr;
}

void Compiler::Impl::take(const Document& document, std::vector<std::string>& changed) {
  // Consul's own UI makes keys like "lictor/routes/", which are folders.
  if (document.key.empty() || document.key.ends_with('/')) return;
  if (document.key.starts_with(kFabioKey)) {
    const auto read = [&](std::string_view text) {
      return parse_route(tagged_route_name(document.key), text);
    };
    return take_into(tagged, document.key.substr(kFabioKey.size()), document, read, changed);
  }
  const auto key = parse_document_key(document.key);
  if (!key) {
    const auto [at, added] = others.try_emplace(document.key);
    SlotBase& slot = at->second;
    if (added || slot.text != document.text) changed.push_back(document.key);
    slot.seen = true;
    slot.text = document.text;
    slot.modify_index = document.modify_index;
    slot.unreadable = {key.error()};
    return;
  }
  const std::string& name = key->name;
  switch (key->kind) {
    case DocumentKind::kGateway:
      return take_into(gateway, name, document, parse_gateway, changed);
    case DocumentKind::kRoute:
      return take_into(
          routes, name, document, [&](std::string_view text) { return parse_route(name, text); },
          changed);
    case DocumentKind::kUpstream:
      return take_into(upstreams, name, document, read_upstream_text, changed);
    case DocumentKind::kFilter:
      return take_into(
          filters, name, document, [&](std::string_view text) { return parse_filter(name, text); },
          changed);
    case DocumentKind::kConsumer:
      return take_into(
          consumers, name, document,
          [&](std::string_view text) { return parse_consumer(name, text); }, changed);
  }
}

void Compiler::Impl::drop_unseen(std::vector<std::string>& changed) {
  for_each_kind([&](const std::string& prefix, auto& slots) {
    for (auto at = slots.begin(); at != slots.end();) {
      if (std::exchange(at->second.seen, false)) {
        ++at;
      } else {
        changed.push_back(prefix + at->first);
        if constexpr (std::is_same_v<decltype(at->second), FilterDocumentSlot>) {
          const FilterDocumentSlot& gone = at->second;
          if (gone.good) gone_filters[changed.back()] = gone.good_text.value_or(gone.text);
        }
        at = slots.erase(at);
      }
    }
  });
}

// --- links ---------------------------------------------------------------------------------------

namespace {

// Makes the current version the good one when it links; else the good one stays, with its filters
// as new as they can be.
template <class S, class Link>
void settle(S& slot, Link link) {
  if (slot.current) {
    auto chain = link(*slot.current);
    if (chain) {
      slot.unlinked.clear();
      slot.current_is_good();
      slot.chain = std::move(*chain);
      return;
    }
    slot.unlinked = std::move(chain.error());
  }
  if (!slot.good) return;
  if (auto chain = link(*slot.good)) slot.chain = std::move(*chain);
}

}  // namespace

void Compiler::Impl::link_and_assemble() {
  SharedFilters shared;
  for (auto& [name, slot] : filters) {
    if (slot.current) slot.current_is_good();
    shared.emplace(name, slot.good);
  }
  link_gateway(shared);
  link_routes(shared);
  link_consumers();
  const auto unlinked = [](const auto& entry) { return !entry.second.unlinked.empty(); };
  if (std::none_of(gateway.begin(), gateway.end(), unlinked) &&
      std::none_of(routes.begin(), routes.end(), unlinked)) {
    gone_filters.clear();
  }
  assemble();
}

void Compiler::Impl::link_gateway(const SharedFilters& shared) {
  for (auto& [name, slot] : gateway) {
    settle(slot, [&](const GatewayDocument& one) { return link_filters(one.filters, shared); });
  }
  refresh_defaults();
}

void Compiler::Impl::link_routes(const SharedFilters& shared) {
  for_each_route([&](RouteSlot& slot) {
    settle(slot, [&](const RouteDocument& one) { return link_route(one, shared); });
  });
}

// In the order of their names: what two of them have stays with the first.
void Compiler::Impl::link_consumers() {
  TakenCredentials taken;
  for (auto& [name, slot] : consumers) {
    if (slot.current) {
      slot.unlinked = find_taken(*slot.current, taken);
      if (slot.unlinked.empty()) slot.current_is_good();
    }
    if (slot.good) taken.add(*slot.good);
  }
}

void Compiler::Impl::refresh_defaults() {
  UpstreamPolicy now;
  if (!gateway.empty() && gateway.begin()->second.good) {
    now = gateway.begin()->second.good->upstream_defaults;
  }
  const bool same = now == defaults;
  defaults = std::move(now);
  for (auto& [service, slot] : upstreams) {
    if (slot.current && slot.good != slot.current) {
      slot.current_is_good();
      slot.read = false;
    }
    if (!same) slot.read = false;
  }
}

const UpstreamPolicy& Compiler::Impl::policy_of(const std::string& service) {
  const auto found = upstreams.find(service);
  if (found == upstreams.end() || !found->second.good) return defaults;
  UpstreamSlot& slot = found->second;
  if (!slot.read) {
    // It was good, but a file that it names may be gone since: then what it said before stays.
    auto parsed = parse_upstream(slot.good->text, defaults);
    if (parsed) slot.policy = std::move(*parsed);
    slot.read = true;
  }
  return slot.policy ? *slot.policy : defaults;
}

// --- the snapshot --------------------------------------------------------------------------------

namespace {

// `f` with each backend of a route and each of their failovers.
template <class R, class F>
void for_each_target(R& route, F f) {
  for (auto& backend : route.backends) {
    f(backend);
    for (auto& target : backend.failover) f(target);
  }
}

void link_target(Destination& target, const Snapshot& snapshot) {
  const Upstream& upstream = *snapshot.find_upstream(target.upstream_key());
  const auto& subsets = upstream.subsets;
  const auto found = std::find(subsets.begin(), subsets.end(), target.subset);
  target.upstream = upstream.index;
  target.subset_index = static_cast<uint32_t>(found - subsets.begin());
}

}  // namespace

std::vector<std::shared_ptr<const Upstream>> Compiler::Impl::assemble_upstreams() {
  std::map<std::string, Upstream> wanted;
  // What filters ask are whole services of the agent's datacenter.
  const auto want = [&wanted](const Filter& filter) {
    for (const std::string& service : filter.services()) wanted[service].name = service;
  };
  if (!gateway.empty()) {
    for (const auto& filter : gateway.begin()->second.chain) want(*filter);
  }
  for_each_route([&](const RouteSlot& slot) {
    if (!slot.good) return;
    for_each_target(slot.good->route, [&](const Destination& target) {
      Upstream& upstream = wanted[target.upstream_key()];
      upstream.name = target.service;
      upstream.datacenter = target.datacenter;
      auto& subsets = upstream.subsets;
      if (std::find(subsets.begin(), subsets.end(), target.subset) == subsets.end()) {
        subsets.push_back(target.subset);
      }
    });
    for (const auto& filter : slot.chain) want(*filter);
  });
  std::vector<std::shared_ptr<const Upstream>> made;
  made.reserve(wanted.size());
  for (auto& [key, upstream] : wanted) {
    upstream.service = key;
    upstream.index = static_cast<uint32_t>(made.size());
    upstream.policy = policy_of(upstream.name);
    std::sort(upstream.subsets.begin(), upstream.subsets.end());
    const Upstream* before = snapshot ? snapshot->find_upstream(key) : nullptr;
    const bool same = before != nullptr && before->index == upstream.index &&
                      before->policy == upstream.policy && before->subsets == upstream.subsets;
    made.push_back(same ? snapshot->upstreams[upstream.index]
                        : std::make_shared<const Upstream>(std::move(upstream)));
  }
  return made;
}

std::vector<std::shared_ptr<const Route>> Compiler::Impl::assemble_routes(const Snapshot& next) {
  std::vector<std::shared_ptr<const Route>> made;
  for_each_route([&](RouteSlot& slot) {
    if (!slot.good) return;
    const auto index = static_cast<uint32_t>(made.size());
    bool same = slot.route && slot.made_from == slot.good && slot.route->index == index &&
                slot.route->filters == slot.chain;
    if (same) {
      for_each_target(*slot.route, [&](const Destination& target) {
        Destination linked = target;
        link_target(linked, next);
        same = same && linked.upstream == target.upstream &&
               linked.subset_index == target.subset_index;
      });
    }
    if (!same) {
      auto route = std::make_shared<Route>(slot.good->route);
      route->index = index;
      route->filters = slot.chain;
      for_each_target(*route, [&](Destination& target) { link_target(target, next); });
      slot.route = std::move(route);
      slot.made_from = slot.good;
    }
    made.push_back(slot.route);
  });
  return made;
}

// The one of the last snapshot when it is the same.
std::shared_ptr<const Consumers> Compiler::Impl::assemble_consumers() const {
  std::vector<ConsumerPtr> all;
  for (const auto& [name, slot] : consumers) {
    if (slot.good) all.push_back(slot.good);
  }
  if (all.empty()) return nullptr;
  const auto before = snapshot ? snapshot->consumers : nullptr;
  return before && before->all() == all ? before : std::make_shared<const Consumers>(all);
}

void Compiler::Impl::assemble() {
  auto next = std::make_shared<Snapshot>();
  next->upstreams = assemble_upstreams();
  next->routes = assemble_routes(*next);
  if (!gateway.empty()) next->filters = gateway.begin()->second.chain;
  next->consumers = assemble_consumers();
  const bool same = snapshot && next->upstreams == snapshot->upstreams &&
                    next->routes == snapshot->routes && next->filters == snapshot->filters &&
                    next->consumers == snapshot->consumers;
  if (same) return;
  next->revision = snapshot ? snapshot->revision + 1 : 1;
  next->table.build(next->routes);
  warnings = find_ties(next->routes);
  snapshot = std::move(next);
}

void Compiler::Impl::tell(Outcome& outcome) {
  for_each_kind([&](const std::string& prefix, auto& slots) {
    for (auto& [name, slot] : slots) {
      DocumentStatus status{prefix + name, DocumentState::kActive, {}, {}, slot.modify_index};
      if (const Problem* problem = slot.problem()) {
        status.error = problem->to_string();
        status.state = DocumentState::kRejected;
        if constexpr (requires { slot.good; }) {
          if (slot.good) status.state = DocumentState::kStale;
        }
      }
      if constexpr (requires { slot.route; }) {
        const std::string route = prefix == kFabioKey ? tagged_route_name(status.key) : name;
        if (warnings.contains(route)) status.warning = warnings.at(route);
      }
      if (!status.error.empty() && status.error != slot.error) {
        outcome.newly_bad.push_back(status.key);
      }
      slot.error = status.error;
      outcome.documents.push_back(std::move(status));
    }
  });
  std::sort(outcome.documents.begin(), outcome.documents.end(),
            [](const auto& a, const auto& b) { return a.key < b.key; });
  std::sort(outcome.changed.begin(), outcome.changed.end());
  std::sort(outcome.newly_bad.begin(), outcome.newly_bad.end());
}

std::vector<DocumentVersions> Compiler::versions() const {
  std::map<std::string, DocumentVersions> found;
  for (const auto& [key, text] : impl_->gone_filters) found[key] = {key, {}, text, 0};
  impl_->for_each_kind([&](const std::string& prefix, const auto& slots) {
    for (const auto& [name, slot] : slots) {
      DocumentVersions& one = found[prefix + name];
      one.key = prefix + name;
      one.text = slot.text;
      one.modify_index = slot.modify_index;
      if (slot.good_text) one.good = slot.good_text;
    }
  });
  std::vector<DocumentVersions> out;
  out.reserve(found.size());
  for (auto& [key, one] : found) out.push_back(std::move(one));
  return out;
}

Compiler::Outcome Compiler::restore(const std::vector<DocumentVersions>& versions) {
  std::vector<Document> good;
  std::vector<Document> now;
  for (const auto& [key, text, last_good, modify_index] : versions) {
    if (last_good || text) good.push_back({key, last_good ? *last_good : *text, modify_index});
    if (text) now.push_back({key, *text, modify_index});
  }
  Outcome first = compile(good);
  Outcome outcome = compile(now);
  const auto merge = [](std::vector<std::string>& into, std::vector<std::string>& from) {
    into.insert(into.end(), from.begin(), from.end());
    std::sort(into.begin(), into.end());
    into.erase(std::unique(into.begin(), into.end()), into.end());
  };
  merge(outcome.changed, first.changed);
  merge(outcome.newly_bad, first.newly_bad);
  return outcome;
}

Compiler::Compiler() : impl_(std::make_unique<Impl>()) {}
Compiler::~Compiler() = default;

void Compiler::reread_files() { impl_->reread_files = true; }

Compiler::Outcome Compiler::compile(const std::vector<Document>& documents) {
  Outcome outcome;
  for (const auto& document : documents) impl_->take(document, outcome.changed);
  impl_->drop_unseen(outcome.changed);
  impl_->reread_files = false;
  // The texts decide everything.
  if (!outcome.changed.empty() || !impl_->snapshot) impl_->link_and_assemble();
  impl_->tell(outcome);
  outcome.snapshot = impl_->snapshot;
  return outcome;
}

}  // namespace lictor
