// Making and changing elements. All that the gateway tells (names from Consul, errors, addresses) may
// have been written by anybody: it gets into the page as text and never as markup.

export const $ = (id) => document.getElementById(id);

// h("p", { class: "muted", onclick: f, "aria-label": "x" }, "text", child, null)
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else set(element, name, value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

// Writes only what differs, so that a page that is redrawn each second costs nothing at rest.
export function set(element, name, value) {
  if (value === null || value === undefined || value === false) {
    if (element.hasAttribute(name)) element.removeAttribute(name);
  } else if (element.getAttribute(name) !== String(value)) {
    element.setAttribute(name, value === true ? "" : value);
  }
}

export function text(element, value) {
  const wanted = String(value);
  if (element.textContent !== wanted) element.textContent = wanted;
}

// Makes `parent` show `items`, an element each, in their order. An element stays with its key, and with
// it focus, selection and what is open.
export function keyed(parent, items, keyOf, create, update) {
  const wanted = new Set(items.map(keyOf));
  const old = new Map();
  for (const child of [...parent.children]) {
    if (wanted.has(child.dataset.key)) old.set(child.dataset.key, child);
    else child.remove();
  }
  let place = parent.firstElementChild;
  for (const item of items) {
    const key = keyOf(item);
    let element = old.get(key);
    if (!element) {
      element = create(item);
      element.dataset.key = key;
    }
    update(element, item);
    if (element === place) place = place.nextElementSibling;
    else parent.insertBefore(element, place);
  }
}

// <dt> and <dd> pairs: [name, value, tone].
export function facts(list, pairs) {
  keyed(
    list,
    pairs,
    ([name]) => name,
    ([name]) => h("div", {}, h("dt", {}, name), h("dd")),
    (element, [, value, tone]) => {
      text(element.children[1], value);
      set(element.children[1], "data-tone", tone);
    },
  );
}
