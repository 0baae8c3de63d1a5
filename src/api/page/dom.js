// Making elements. Whatever comes from the outside becomes text, never markup: there is no innerHTML in this page, and its
// Content-Security-Policy (trusted types) refuses one.

const SVG = "http://www.w3.org/2000/svg";

function apply(element, props) {
  for (const [key, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue;
    if (key === "on") for (const [type, listener] of Object.entries(value)) element.addEventListener(type, listener);
    else if (key === "text") element.textContent = value;
    else if (key === "class") element.setAttribute("class", value);
    else if (key === "value" || key === "checked" || key === "disabled") element[key] = value;
    else element.setAttribute(key, value === true ? "" : String(value));
  }
}

// el("p", {class: "x", on: {click}}, "text", child, null): an element; what is null is left out.
export function el(name, props = {}, ...children) {
  const element = document.createElement(name);
  apply(element, props);
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

export function svg(name, props = {}, ...children) {
  const element = document.createElementNS(SVG, name);
  apply(element, props);
  element.append(...children.flat().filter(Boolean));
  return element;
}

// One of the shapes of page.html. Always beside words, so it says nothing to a screen reader.
export function glyph(name, tone = "") {
  return svg("svg", { class: `glyph ${tone}${name === "loading" ? " turning" : ""}`, "aria-hidden": "true" }, svg("use", { href: `#g-${name}` }));
}

// Writes only what is different: a page that is looked at all day does not lay itself out for nothing.
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export function setAttribute(element, name, value) {
  if (value === null || value === false) element.removeAttribute(name);
  else if (element.getAttribute(name) !== String(value)) element.setAttribute(name, String(value));
}

export function button(text, click, props = {}) {
  return el("button", { type: "button", on: { click }, ...props }, text);
}

export const byId = (id) => document.getElementById(id);
