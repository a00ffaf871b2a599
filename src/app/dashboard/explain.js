// "Explain a request" as a form: /v1/explain for people.
import { call } from "./api.js";
import { $, h } from "./dom.js";

function query() {
  const parts = [`method=${encodeURIComponent($("explain-method").value.trim())}`, `url=${encodeURIComponent($("explain-url").value.trim())}`];
  for (const line of $("explain-headers").value.split("\n")) {
    if (line.trim()) parts.push(`header=${encodeURIComponent(line.trim())}`);
  }
  return parts.join("&");
}

const pair = (name, ...value) => h("div", {}, h("dt", {}, name), h("dd", {}, ...value));

function matched(answer) {
  const pairs = [pair("route", h("strong", {}, answer.route))];
  for (const [name, value] of Object.entries(answer.captures)) pairs.push(pair(name, value));
  if (answer.answered_by) pairs.push(pair("answer", `${answer.status} by the filter ${answer.answered_by}`));
  else pairs.push(pair("asks for", h("code", {}, answer.upstream_path)));
  if (answer.filters.length) pairs.push(pair("filters", answer.filters.join(", ")));
  if (answer.filters_not_run.length) pairs.push(pair("not tried here", answer.filters_not_run.join(", ")));
  for (const backend of answer.backends) {
    const usable = backend.instances.filter((one) => one.usable && !one.ejected).length;
    pairs.push(pair("backend", `${backend.service}, weight ${backend.weight}, ${usable} of ${backend.instances.length} instances usable`));
  }
  return h("dl", { class: "pairs" }, pairs);
}

function unmatched(answer) {
  const allow = answer.allow?.length ? ` Allowed: ${answer.allow.join(", ")}.` : "";
  return h("p", { "data-tone": "bad" }, `No route takes it: ${answer.status}.${allow}`);
}

function passedOver(answer) {
  if (answer.passed_over.length === 0) return null;
  const left = answer.passed_over_total - answer.passed_over.length;
  return [
    h("h3", {}, "Passed over"),
    h("dl", { class: "pairs" }, answer.passed_over.map((one) => pair(one.route, one.why))),
    left > 0 ? h("p", { class: "muted" }, `and ${left} more`) : null,
  ];
}

export function startExplain() {
  $("explain").addEventListener("submit", async (event) => {
    event.preventDefault();
    const box = $("explanation");
    try {
      const answer = await call(`/v1/explain?${query()}`);
      box.replaceChildren(...[answer.matched ? matched(answer) : unmatched(answer), passedOver(answer)].flat().filter(Boolean));
    } catch (error) {
      box.replaceChildren(h("p", { "data-tone": "bad" }, error.message));
    }
  });
}
