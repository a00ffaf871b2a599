// What the flow shows, made of the answers of /v1/routes and /v1/upstreams: rates, states, who leads
// where. Knows nothing of the page.

const kTroubleFirst = ["critical", "ejected", "maintenance", "warning", "passing"];

export function stateOf(instance) {
  const healthy = instance.health === "passing" || instance.health === "warning";
  return healthy && instance.ejected ? "ejected" : instance.health;
}

export const isIn = (instance) => instance.usable && !instance.ejected;

export const instanceKey = (instance) => [instance.node, instance.id, instance.address].join(" ");

export const targetOf = (backend) => (backend.datacenter ? `${backend.service}@${backend.datacenter}` : backend.service);

// Requests a second since the last answer: of counters that begin anew, what they have now.
export class Rates {
  #last = new Map();

  // `counters`: [key, count]. Returns a Map of rates; of those that are new, null.
  update(counters, nowMs) {
    const next = new Map();
    const rates = new Map();
    for (const [key, count] of counters) {
      const before = this.#last.get(key);
      if (before && nowMs - before.at < 500) {
        next.set(key, before);
        rates.set(key, before.rate);
        continue;
      }
      const grown = before && count >= before.count ? count - before.count : count;
      const rate = before ? (grown * 1000) / (nowMs - before.at) : null;
      next.set(key, { count, at: nowMs, rate });
      rates.set(key, rate);
    }
    this.#last = next;
    return rates;
  }
}

const lower = (words) => words.join("\n").toLowerCase();

function routeNode(route, rate, upstreams) {
  const backends = route.backends.map((backend) => ({ ...backend, target: targetOf(backend) }));
  const total = backends.reduce((sum, backend) => sum + backend.weight, 0);
  for (const backend of backends) backend.share = total ? backend.weight / total : 0;
  const failovers = route.backends.flatMap((backend) => (backend.failover ?? []).map(targetOf));
  const dead = backends.filter((backend) => backend.weight > 0 && (upstreams.get(backend.target)?.usable ?? 0) === 0);
  return {
    ...route,
    backends,
    failovers,
    rate,
    trouble: dead.length > 0 && backends.length > 0,
    words: lower([route.name, ...route.hosts, ...route.paths, ...route.methods, ...route.filters, ...backends.map((b) => b.target)]),
  };
}

function upstreamNode(upstream, rates) {
  const instances = upstream.instances.map((instance) => ({
    ...instance,
    key: instanceKey(instance),
    state: stateOf(instance),
    rate: rates.get(`${upstream.service} ${instanceKey(instance)}`),
  }));
  const usable = instances.filter(isIn).length;
  const worst = kTroubleFirst.findIndex((state) => instances.some((instance) => instance.state === state));
  return {
    ...upstream,
    instances,
    usable,
    rate: instances.some((one) => one.rate !== null) ? instances.reduce((sum, one) => sum + (one.rate ?? 0), 0) : null,
    // 0 = none at all, then the worst state that one of them is in.
    rank: usable === 0 ? -1 : worst,
    trouble: usable === 0 || worst < kTroubleFirst.length - 1,
    words: lower([upstream.service, upstream.balance, ...instances.flatMap((one) => [one.id, one.address, one.node, one.state, ...one.tags])]),
  };
}

export class Model {
  routes = [];
  upstreams = [];
  #routeRates = new Rates();
  #instanceRates = new Rates();

  update(routes, upstreams, nowMs) {
    const instanceRates = this.#instanceRates.update(
      upstreams.flatMap((one) => one.instances.map((instance) => [`${one.service} ${instanceKey(instance)}`, instance.requests_total])),
      nowMs,
    );
    this.upstreams = upstreams.map((upstream) => upstreamNode(upstream, instanceRates));
    const byName = new Map(this.upstreams.map((upstream) => [upstream.service, upstream]));
    const routeRates = this.#routeRates.update(routes.map((route) => [route.name, route.requests_total]), nowMs);
    this.routes = routes.map((route) => routeNode(route, routeRates.get(route.name), byName));
  }

  // What is to be seen: { routes, upstreams }, sorted. A route that is found brings its upstreams along,
  // and the other way round.
  view({ search, sort, troubleOnly }) {
    const wanted = search.toLowerCase().split(/\s+/).filter(Boolean);
    const found = (node) => (!troubleOnly || node.trouble) && wanted.every((word) => node.words.includes(word));
    let { routes, upstreams } = this;
    if (wanted.length > 0 || troubleOnly) {
      const hitRoutes = new Set(routes.filter(found));
      const hitUpstreams = new Set(upstreams.filter(found).map((one) => one.service));
      const led = new Set([...hitRoutes].flatMap((route) => route.backends.map((backend) => backend.target)));
      routes = routes.filter((route) => hitRoutes.has(route) || route.backends.some((backend) => hitUpstreams.has(backend.target)));
      upstreams = upstreams.filter((one) => hitUpstreams.has(one.service) || led.has(one.service));
    }
    return { routes: sortRoutes(routes, sort), upstreams: sortUpstreams(upstreams, routes, sort) };
  }
}

const byName = (a, b) => (a.name ?? a.service).localeCompare(b.name ?? b.service);
const byRate = (a, b) => (b.rate ?? 0) - (a.rate ?? 0) || byName(a, b);

function sortRoutes(routes, sort) {
  if (sort === "rate") return [...routes].sort(byRate);
  if (sort === "trouble") return [...routes].sort((a, b) => b.trouble - a.trouble || byName(a, b));
  return [...routes].sort(byName);
}

function sortUpstreams(upstreams, routes, sort) {
  if (sort === "rate") return [...upstreams].sort(byRate);
  if (sort === "trouble") return [...upstreams].sort((a, b) => a.rank - b.rank || byName(a, b));
  if (sort === "name") return [...upstreams].sort(byName);
  // Beside the routes that lead there, so that the lines run level.
  const place = new Map();
  sortRoutes(routes, sort).forEach((route, index) => {
    for (const name of [...route.backends.map((backend) => backend.target), ...route.failovers]) {
      if (!place.has(name)) place.set(name, index);
    }
  });
  const at = (one) => place.get(one.service) ?? routes.length;
  return [...upstreams].sort((a, b) => at(a) - at(b) || byName(a, b));
}
