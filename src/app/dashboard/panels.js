// The panels beside the picture: Consul, documents, events, and what needs attention above all.
import { $, facts, h, keyed, set, text } from "./dom.js";
import { age, clock, count, plural } from "./format.js";

// --- Consul --------------------------------------------------------------------------------------

export function showConsul(status) {
  const box = $("consul");
  const { consul } = status;
  if (!consul) {
    box.replaceChildren(h("p", { class: "muted" }, `Not used: documents come from a ${status.source}.`));
    return;
  }
  if (box.firstElementChild?.tagName !== "DL") box.replaceChildren(h("dl", { class: "pairs" }));
  const stale = consul.staleness_s > 0;
  facts(box.firstElementChild, [
    ["agent", consul.address],
    ["connection", consul.connected ? "connected" : "away", consul.connected ? "good" : "bad"],
    ["leader", consul.known_leader ? "known" : "unknown", consul.known_leader ? null : "warn"],
    ["data", stale ? `${age(consul.staleness_s)} old` : "current", stale ? "warn" : null],
    ["documents from", status.source, status.source === "snapshot" ? "warn" : null],
    ["queries", `${count(consul.queries)} on ${plural(consul.connections, "connection")}`],
    ["errors", count(consul.errors_total)],
    ["last error", consul.last_error ?? "none"],
  ]);
}

// --- documents -----------------------------------------------------------------------------------

const kHistory = 8;

function documentRow() {
  return h("li", {}, h("div", { class: "line" }, h("code"), h("span", { class: "pill" })), h("p", { class: "error" }));
}

const kTones = { active: "good", stale: "warn", rejected: "bad" };

function showDocument(element, item) {
  const [line, error] = element.children;
  text(line.children[0], item.key);
  text(line.children[1], item.state);
  set(line.children[1], "data-tone", kTones[item.state] ?? "none");
  const words = item.error ?? item.warning ?? "";
  text(error, words);
  error.hidden = words === "";
}

const isOdd = (item) => item.state !== "active" || item.warning !== undefined;

export function showDocuments({ revision, documents, history }) {
  const box = $("documents");
  if (box.childElementCount === 0) {
    box.append(
      h("p"),
      h("ul", { class: "documents" }),
      h("details", {}, h("summary", {}, "All documents"), h("ul", { class: "documents scroll", tabindex: "0", "aria-label": "All documents" })),
      h("details", {}, h("summary", {}, "Last changes"), h("ol", { class: "history" })),
    );
  }
  const [sum, odd, all, changes] = box.children;
  const bad = documents.filter(isOdd);
  text(sum, bad.length ? `${bad.length} of ${plural(documents.length, "document")} not as they should be` : `${plural(documents.length, "document")}, all in force, revision ${revision}`);
  set(sum, "class", bad.length ? null : "muted");
  keyed(odd, bad, (item) => item.key, documentRow, showDocument);
  keyed(all.lastChild, documents, (item) => item.key, documentRow, showDocument);
  keyed(
    changes.lastChild,
    history.slice(-kHistory).reverse(),
    (change) => String(change.revision),
    () => h("li", {}, h("time"), h("code")),
    (element, change) => {
      text(element.children[0], clock(new Date(change.time)));
      text(element.children[1], change.changed.join(", "));
    },
  );
}

// --- events --------------------------------------------------------------------------------------

const kEvents = 40;

function eventText({ event, data }) {
  switch (event) {
    case "config":
      return `revision ${data.revision}: ${data.changed.join(", ") || "no document changed"}`;
    case "health":
      return `${data.service}: ${data.id} ${data.change === "changed" ? `is ${data.health}` : data.change}`;
    case "ejection":
      return `${data.service}: ${data.id} ${data.ejected ? "ejected" : "back in"}${data.by_operator ? " by an operator" : ""}`;
    case "state":
      return `the gateway is ${data.state}`;
    default:
      return event;
  }
}

function eventTone({ event, data }) {
  if (event === "ejection") return data.ejected ? "bad" : "good";
  if (event === "health" && data.change !== "removed") return data.usable ? "good" : "warn";
  return "none";
}

export function showEvent(event) {
  $("events").prepend(
    h("p", { "data-tone": eventTone(event) }, h("time", {}, clock(new Date())), h("span", {}, eventText(event))),
  );
  while ($("events").childElementCount > kEvents) $("events").lastElementChild.remove();
}

// --- what needs attention ------------------------------------------------------------------------

export function showAttention(status, config, model) {
  const lines = [];
  const add = (key, tone, words) => lines.push({ key, tone, words });
  if (status?.state === "draining") add("drain", "bad", "The gateway drains and will end.");
  if (status?.state === "starting") add("start", "warn", "The gateway is not ready yet.");
  if (status?.consul && !status.consul.connected) add("consul", "bad", `Consul does not answer; traffic goes on with what is known. ${status.consul.last_error ?? ""}`);
  for (const item of config?.documents ?? []) {
    if (item.state !== "active") add(`document ${item.key}`, kTones[item.state], `${item.key} is ${item.state}: ${item.error}`);
  }
  const empty = model.upstreams.filter((one) => one.usable === 0);
  if (empty.length) add("empty", "bad", `No usable instance: ${names(empty.map((one) => one.service))}`);
  const ejected = model.upstreams.flatMap((one) => one.instances.filter((instance) => instance.ejected).map((instance) => `${one.service} ${instance.id}`));
  if (ejected.length) add("ejected", "warn", `Ejected: ${names(ejected)}`);
  $("attention").hidden = lines.length === 0;
  keyed(
    $("attention-list"),
    lines.slice(0, 12),
    (line) => line.key,
    () => h("li"),
    (element, line) => {
      text(element, line.words);
      set(element, "data-tone", line.tone);
    },
  );
}

function names(list) {
  const some = list.slice(0, 5).join(", ");
  return list.length > 5 ? `${some} and ${list.length - 5} more` : some;
}
