"use strict";
// What the page's scripts share. Text from data reaches the page as text only: textContent, never markup.

const data = JSON.parse(document.getElementById("data").textContent);
const root = document.documentElement;
const byId = (id) => document.getElementById(id);

/** An element with attributes and children; strings become text. */
function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined && value !== false) element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** Fill a select with [value, text] pairs. */
function fill(select, options, chosen) {
  select.replaceChildren(...options.map(([value, text]) => make("option", { value }, text)));
  if (chosen !== undefined && options.some(([value]) => value === chosen)) select.value = chosen;
}

const dark = window.matchMedia("(prefers-color-scheme: dark)");
const paper = window.matchMedia("print");
const shade = () => (paper.matches ? "light" : byId("theme").value || (dark.matches ? "dark" : "light"));
const shadeListeners = [];
function shadeChanged() {
  root.style.colorScheme = byId("theme").value;
  for (const listener of shadeListeners) listener();
}
byId("theme").addEventListener("change", shadeChanged);
dark.addEventListener("change", shadeChanged);
paper.addEventListener("change", shadeChanged);
