/** Building and finding elements. No strings of HTML anywhere: what visitors write is only ever text. */

const SVG = "http://www.w3.org/2000/svg";

/**
 * A new element. `on` holds listeners, `text` its text; true and false set and leave out attributes.
 * @param {string} tag
 * @param {Record<string, any>} [attributes]
 * @param {...(Node|string|null)} children
 */
export function el(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

/** The same for SVG. */
export function svg(tag, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), attributes, children);
}

function filled(element, { on = {}, text, ...attributes }, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
  }
  for (const [type, listener] of Object.entries(on)) element.addEventListener(type, listener);
  if (text !== undefined) element.textContent = text;
  element.append(...children.filter((child) => child !== null));
  return element;
}

const ICONS = {
  play: "M7 4.5v15l12.5-7.5z",
  pause: "M6 4.5h4v15H6zM14 4.5h4v15h-4z",
  replace: "M4 5h16v14H4zM4 16l5-5 4 4 3-3 4 4",
  remove: "M6 6l12 12M18 6L6 18",
  erase: "M9 5h12v14H9l-6-7zM12 9.5l5 5M17 9.5l-5 5",
  full: "M4 9V4h5M15 4h5v5M20 15v5h-5M9 20H4v-5",
};
const OUTLINED = new Set(["replace", "remove", "erase", "full"]);

/** A small drawing for a button; the button carries the words. */
export function icon(name) {
  const look = OUTLINED.has(name) ? "icon outlined" : "icon";
  return svg("svg", { class: look, viewBox: "0 0 24 24", "aria-hidden": "true" }, svg("path", { d: ICONS[name] }));
}

/** Says something to screen readers once they have finished what they are reading. */
export function announce(text) {
  const region = document.getElementById("announcer");
  if (!region) return;
  region.textContent = "";
  // a region that is filled in the same moment in which it is emptied is not read by all of them
  setTimeout(() => { region.textContent = text; }, 60);
}

/** Whether movement may start by itself. */
export const stillness = matchMedia("(prefers-reduced-motion: reduce)");

/** Waits; ends at once, as rejected, when the signal aborts. */
export function sleep(seconds, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, seconds * 1000);
    signal?.addEventListener("abort", () => { clearTimeout(timer); reject(signal.reason); }, { once: true });
  });
}
