// The lines of the picture, drawn behind the nodes that are on the page. The wider the line, the larger
// the backend's share; what is pointed at stands out.
import { $, set } from "./dom.js";

const kSvg = "http://www.w3.org/2000/svg";

function place(element, origin) {
  const box = element.getBoundingClientRect();
  return { left: box.left - origin.left, right: box.right - origin.left, middle: box.top - origin.top + Math.min(box.height / 2, 24) };
}

function path(from, to) {
  const bend = Math.max((to.left - from.right) / 2, 8);
  return `M${from.right} ${from.middle}C${from.right + bend} ${from.middle} ${to.left - bend} ${to.middle} ${to.left} ${to.middle}`;
}

function wanted(routes) {
  const places = new Map();
  const origin = $("picture").getBoundingClientRect();
  for (const id of ["listeners", "routes", "upstreams"]) {
    for (const child of $(id).children) places.set(`${id} ${child.dataset.key}`, place(child, origin));
  }
  const lines = [];
  const add = (from, to, more) => {
    const [a, b] = [places.get(from), places.get(to)];
    if (a && b) lines.push({ key: `${from} > ${to}`, d: path(a, b), ...more });
  };
  for (const route of routes) {
    if (!places.has(`routes ${route.name}`)) continue;
    const on = (route.rate ?? 0) > 0;
    for (const listener of $("listeners").children) add(`listeners ${listener.dataset.key}`, `routes ${route.name}`, { width: 1, on, route: route.name });
    for (const backend of route.backends) {
      add(`routes ${route.name}`, `upstreams ${backend.target}`, { width: 1 + 5 * backend.share, on: on && backend.weight > 0, route: route.name });
    }
    for (const target of route.failovers) add(`routes ${route.name}`, `upstreams ${target}`, { width: 1, spare: true, route: route.name });
  }
  return lines;
}

export function drawLinks(routes) {
  const svg = $("links");
  if (getComputedStyle(svg).display === "none") return svg.replaceChildren();
  const old = new Map([...svg.children].map((child) => [child.dataset.key, child]));
  for (const line of wanted(routes)) {
    const element = old.get(line.key) ?? svg.appendChild(document.createElementNS(kSvg, "path"));
    old.delete(line.key);
    element.dataset.key = line.key;
    set(element, "d", line.d);
    set(element, "stroke-width", line.width.toFixed(1));
    set(element, "data-on", line.on);
    set(element, "data-spare", line.spare);
    set(element, "data-from", line.key.slice(0, line.key.indexOf(" ")));
  }
  for (const element of old.values()) element.remove();
}

// What a node is tied to stands out while it is pointed at or has the focus.
export function startLinks() {
  const mark = (event) => {
    const node = event.target.closest?.("#picture .node");
    const end = node && event.type !== "mouseleave" ? `${node.parentElement.id} ${node.dataset.key}` : null;
    for (const line of $("links").children) {
      const [from, to] = line.dataset.key.split(" > ");
      set(line, "data-lit", end !== null && (from === end || to === end));
    }
  };
  for (const type of ["mouseover", "focusin", "mouseleave"]) $("picture").addEventListener(type, mark);
}
