// An instance in the picture, and an operator's hand on it.
import { call } from "./api.js";
import { confirm } from "./dialog.js";
import { h, set, text } from "./dom.js";
import { clock, rate } from "./format.js";
import { isIn } from "./model.js";

let changed = () => {};

// Called with the service when an instance was ejected or restored.
export function onInstanceChanged(listener) {
  changed = listener;
}

async function order(action, service, instance) {
  const eject = action === "eject";
  const sure = await confirm({
    title: eject ? `Eject ${instance.id}?` : `Restore ${instance.id}?`,
    lines: eject
      ? [
          `No new request goes to ${instance.address} (${service}) until somebody restores it, whatever its traffic or checks do. Requests under way go on.`,
          "This gateway alone is told, until its process ends.",
        ]
      : [`${instance.address} (${service}) gets requests again, and its failures are forgotten.`],
    yes: eject ? "Eject" : "Restore",
    danger: eject,
  });
  if (!sure) return;
  const part = encodeURIComponent;
  const node = instance.node ? `?node=${part(instance.node)}` : "";
  try {
    await call(`/v1/upstreams/${part(service)}/instances/${part(instance.id)}/${action}${node}`, "POST");
  } catch (error) {
    await confirm({ title: `${instance.id} is as it was`, lines: [error.message], yes: "Close" });
  }
  changed(service);
}

function stateText(instance) {
  if (!instance.ejected) return instance.usable ? instance.health : `${instance.health}, out`;
  const until = instance.ejected_until ? `until ${clock(new Date(instance.ejected_until))}` : "until restored";
  return `ejected ${until}${instance.health === "passing" ? "" : `, ${instance.health}`}`;
}

function details(instance) {
  const words = [instance.node, instance.datacenter, ...instance.tags, ...Object.entries(instance.meta).map(([k, v]) => `${k}=${v}`)];
  return words.filter(Boolean).join("  ");
}

// For `keyed`: the rows of one service.
export function instanceRow(service) {
  const create = () => {
    const row = h(
      "li",
      { class: "instance" },
      h("i", { class: "mark", "aria-hidden": "true" }),
      h("span", { class: "who" }, h("strong"), h("code")),
      h("span", { class: "what" }),
      h("span", { class: "numbers" }),
      h("button", { type: "button", class: "quiet small" }),
      h("span", { class: "details muted" }),
    );
    row.children[4].addEventListener("click", () => order(row.dataset.action, service, row.instance));
    return row;
  };
  const update = (row, instance) => {
    const [mark, who, what, numbers, button, more] = row.children;
    row.instance = instance;
    row.dataset.action = instance.ejected ? "restore" : "eject";
    set(mark, "data-state", instance.state);
    set(row, "data-in", String(isIn(instance)));
    text(who.children[0], instance.id);
    text(who.children[1], instance.address === instance.id ? "" : instance.address);
    text(what, stateText(instance));
    set(what, "data-state", instance.state);
    const failures = instance.consecutive_failures ? `, ${instance.consecutive_failures} failures in a row` : "";
    text(numbers, `weight ${instance.weight}, ${rate(instance.rate)}/s, ${instance.active_requests} active${failures}`);
    text(button, instance.ejected ? "Restore" : "Eject");
    set(button, "aria-label", `${instance.ejected ? "Restore" : "Eject"} ${instance.id} of ${service}`);
    text(more, details(instance));
  };
  return { create, update };
}
