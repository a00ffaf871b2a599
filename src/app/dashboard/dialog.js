// One modal dialog: a question with a yes, or a prompt for the token.
import { $, h } from "./dom.js";

// Resolves with true, or false when it was dismissed.
export function confirm({ title, lines, yes, danger }) {
  return show(title, lines.map((line) => h("p", {}, line)), yes, danger, true).then((value) => value !== null);
}

export async function promptToken(refused) {
  const input = h("input", { id: "token", type: "password", autocomplete: "off", required: true });
  const words = refused
    ? "That token was not accepted. The port needs the content of admin.token_file."
    : "This port needs a token: the content of admin.token_file. It is kept until this tab is closed.";
  const body = [h("p", { id: "token-words" }, words), h("label", {}, "Token ", input)];
  await show("Who is asking?", body, "Continue", false, false);
  return input.value.trim();
}

function show(title, body, yes, danger, dismissable) {
  const dialog = $("dialog");
  return new Promise((resolve) => {
    const done = (value) => {
      dialog.onclose = null;
      dialog.close();
      dialog.replaceChildren();
      resolve(value);
    };
    const form = h(
      "form",
      {
        onsubmit: (event) => {
          event.preventDefault();
          done(true);
        },
      },
      h("h2", { id: "dialog-title" }, title),
      body,
      h(
        "div",
        { class: "buttons" },
        dismissable ? h("button", { type: "button", class: "quiet", onclick: () => done(null) }, "Cancel") : null,
        h("button", { type: "submit", class: danger ? "danger" : "primary" }, yes),
      ),
    );
    dialog.oncancel = (event) => {
      event.preventDefault();
      if (dismissable) done(null);
    };
    dialog.replaceChildren(form);
    if (!dialog.open) dialog.showModal();
    (form.querySelector("input") ?? form.querySelector("button")).focus();
  });
}
