// The picture: listeners > routes > upstreams > instances, with what leads where.
import { $, h, keyed, set, text } from "./dom.js";
import { plural, rate } from "./format.js";
import { drawLinks } from "./links.js";
import { Model } from "./model.js";
import { instanceRow } from "./instances.js";

const kPage = 60;

const model = new Model();
let listeners = [];
let shown = { routes: kPage, upstreams: kPage };
let open = new Set();
let allOpen = false;
let view = { routes: [], upstreams: [] };

const options = () => ({
  search: $("search").value.trim(),
  sort: $("sort").value,
  troubleOnly: $("trouble-only").checked,
});

function listenerNode() {
  return h("li", { class: "node" }, h("strong"), h("div", { class: "rate" }), h("code"));
}

function showListener(element, listener) {
  const [name, connections, address] = element.children;
  text(name, listener.name);
  text(connections, plural(listener.connections, "connection"));
  text(address, listener.address);
}

// --- routes --------------------------------------------------------------------------------------

function routeNode() {
  return h(
    "li",
    { class: "node route" },
    h("div", { class: "line" }, h("strong"), h("span", { class: "rate" })),
    h("div", { class: "leads" }, h("code", { class: "match" }), h("ul", { class: "targets" })),
  );
}

const matchText = (route) =>
  [route.methods.join(" "), route.hosts.join(" "), route.paths.join(" ")].filter(Boolean).join("  ");

function targetText(route, backend) {
  const share = route.backends.length > 1 ? ` ${Math.round(backend.share * 100)} %` : "";
  const tags = backend.tags ? ` (${backend.tags.join(", ")})` : "";
  return `${backend.target}${tags}${share}`;
}

function showRoute(element, route) {
  const [line, leads] = element.children;
  const [match, targets] = leads.children;
  text(line.children[0], route.name);
  text(line.children[1], `${rate(route.rate)}/s`);
  text(match, matchText(route));
  set(match, "title", matchText(route));
  set(element, "data-trouble", route.trouble);
  set(element, "title", route.filters.length ? `filters: ${route.filters.join(", ")}` : null);
  keyed(
    targets,
    route.backends.map((backend, index) => ({ backend, index })),
    ({ index }) => String(index),
    () => h("li", {}, h("button", { type: "button", class: "link" })),
    (item, { backend }) => {
      text(item.firstChild, targetText(route, backend));
      item.firstChild.onclick = () => reveal(backend.target);
    },
  );
  const answers = route.backends.length === 0;
  set(targets, "data-answers", answers ? "answers by itself" : null);
}

// --- upstreams -----------------------------------------------------------------------------------

function upstreamNode(upstream) {
  const toggle = () => {
    if (!open.delete(upstream.service)) open.add(upstream.service);
    redraw();
  };
  return h(
    "li",
    { class: "node upstream" },
    h(
      "button",
      { type: "button", class: "head", onclick: toggle },
      h("span", { class: "line" }, h("strong"), h("span", { class: "rate" })),
      h("span", { class: "line" }, h("span", { class: "marks", "aria-hidden": "true" }), h("span", { class: "usable" })),
    ),
    h("div", { class: "instances" }),
  );
}

const kMarks = 40;

function showMarks(marks, upstream) {
  keyed(
    marks,
    upstream.instances.slice(0, kMarks),
    (instance) => instance.key,
    () => h("i", { class: "mark" }),
    (mark, instance) => {
      set(mark, "data-state", instance.state);
      set(mark, "title", `${instance.id}: ${instance.state}`);
    },
  );
}

function showUpstream(element, upstream) {
  const [head, box] = element.children;
  const [first, second] = head.children;
  const isOpen = open.has(upstream.service) !== allOpen;
  text(first.children[0], upstream.service);
  text(first.children[1], `${rate(upstream.rate)}/s`);
  showMarks(second.children[0], upstream);
  text(second.children[1], upstream.instances.length ? `${upstream.usable} of ${upstream.instances.length} in` : "no instance");
  set(second.children[1], "data-tone", upstream.usable === 0 ? "bad" : upstream.trouble ? "warn" : null);
  set(element, "data-trouble", upstream.trouble);
  set(head, "aria-expanded", String(isOpen));
  box.hidden = !isOpen;
  if (!isOpen) return box.replaceChildren();
  const note = box.firstElementChild ?? box.appendChild(h("p", { class: "muted" }));
  text(note, `balance ${upstream.balance}`);
  const list = note.nextElementSibling ?? box.appendChild(h("ul", { class: "rows" }));
  const row = instanceRow(upstream.service);
  keyed(list, upstream.instances, (instance) => instance.key, row.create, row.update);
}

// Scrolls to an upstream, whatever hides it now.
function reveal(service) {
  if (!view.upstreams.some((one) => one.service === service)) {
    $("search").value = service;
    $("trouble-only").checked = false;
    redraw();
  }
  const index = view.upstreams.findIndex((one) => one.service === service);
  if (index >= shown.upstreams) shown.upstreams = index + kPage;
  if (open.has(service) === allOpen) {
    if (!open.delete(service)) open.add(service);
  }
  redraw();
  const element = [...$("upstreams").children].find((one) => one.dataset.key === service);
  element?.scrollIntoView({ block: "nearest" });
  element?.firstElementChild.focus();
}

// --- all of it -----------------------------------------------------------------------------------

function showMore(kind) {
  const button = $(`more-${kind}`);
  const left = view[kind].length - shown[kind];
  button.hidden = left <= 0;
  text(button, `Show ${Math.min(left, kPage)} more of ${left}`);
}

export function redraw() {
  view = model.view(options());
  keyed($("listeners"), listeners, (one) => one.name, listenerNode, showListener);
  keyed($("routes"), view.routes.slice(0, shown.routes), (one) => one.name, routeNode, showRoute);
  keyed($("upstreams"), view.upstreams.slice(0, shown.upstreams), (one) => one.service, upstreamNode, showUpstream);
  showMore("routes");
  showMore("upstreams");
  const instances = model.upstreams.reduce((sum, one) => sum + one.instances.length, 0);
  const all = `${plural(model.routes.length, "route")}, ${plural(model.upstreams.length, "upstream")}, ${plural(instances, "instance")}`;
  const some = view.routes.length + view.upstreams.length < model.routes.length + model.upstreams.length;
  text($("flow-count"), some ? `${view.routes.length} and ${view.upstreams.length} of ${all}` : all);
  drawLinks(view.routes);
}

export function showFlow(routes, upstreams) {
  model.update(routes, upstreams, performance.now());
  redraw();
  return model;
}

export function showListeners(list) {
  listeners = list;
}

export function startFlow() {
  for (const [id, event] of [["search", "input"], ["sort", "change"], ["trouble-only", "change"]]) {
    $(id).addEventListener(event, () => {
      shown = { routes: kPage, upstreams: kPage };
      redraw();
    });
  }
  for (const kind of ["routes", "upstreams"]) {
    $(`more-${kind}`).addEventListener("click", () => {
      shown[kind] += kPage;
      redraw();
    });
  }
  $("expand").addEventListener("click", () => {
    allOpen = !allOpen;
    open = new Set();
    text($("expand"), allOpen ? "Collapse all" : "Expand all");
    set($("expand"), "aria-pressed", String(allOpen));
    redraw();
  });
  new ResizeObserver(() => drawLinks(view.routes)).observe($("picture"));
}
