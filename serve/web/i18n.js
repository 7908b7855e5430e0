/** Words in the visitor's language: one JSON file each, numbers and dates by Intl. */

/** Languages by their own names; a new one is a file in i18n/ and a line here. */
export const LANGUAGES = { en: "English", es: "Español", de: "Deutsch" };
const REMEMBERED = "momalisa.language";

let language = "en";
/** For numbers and dates: the browser's variant of the language, as en-GB. */
let locale = "en";
let messages = {};
/** What each element says, so that all can be said again in another language. @type {WeakMap<Element, Map>} */
const said = new WeakMap();

export const currentLanguage = () => language;

/** Loads the language that was chosen before, or the first of the browser's that there is. */
export async function begin() {
  let chosen = null;
  try { chosen = localStorage.getItem(REMEMBERED); } catch { /* storage is switched off: nothing is remembered */ }
  const wanted = [chosen, ...navigator.languages.map((tag) => tag.slice(0, 2).toLowerCase())];
  await use(wanted.find((tag) => tag in LANGUAGES) ?? "en");
}

/** Changes the language. */
export async function use(tag) {
  const reply = await fetch(`/static/i18n/${tag}.json`);
  if (!reply.ok) throw new Error(`there is no i18n/${tag}.json`);
  messages = await reply.json();
  language = tag;
  locale = navigator.languages.find((one) => one.slice(0, 2).toLowerCase() === tag) ?? tag;
  document.documentElement.lang = tag;
  translate(document.documentElement);
  document.dispatchEvent(new Event("languagechange"));
}

/**
 * A message. `{name}` takes a value: numbers and dates are written as the language does, functions are called first.
 * A message with plural forms is chosen by `count`.
 */
export function t(key, values = {}) {
  let message = messages[key];
  const given = Object.fromEntries(Object.entries(values).map(([name, v]) => [name, typeof v === "function" ? v() : v]));
  if (message && typeof message === "object") {
    message = message[new Intl.PluralRules(language).select(given.count)] ?? message.other;
  }
  if (message === undefined) return key;
  return message.replace(/\{(\w+)\}/g, (_, name) => written(given[name]));
}

/** Whether there is such a message. */
export const has = (key) => key in messages;

function written(value) {
  if (typeof value === "number") return new Intl.NumberFormat(locale).format(value);
  if (value instanceof Date) return new Intl.DateTimeFormat(locale, { dateStyle: "long" }).format(value);
  return String(value ?? "");
}

/** "5 seconds", "2 minutes". */
export function duration(seconds) {
  const [value, unit] = seconds < 90 ? [seconds, "second"] : [seconds / 60, "minute"];
  const digits = value < 10 && unit === "second" && !Number.isInteger(value) ? 1 : 0;
  const format = { style: "unit", unit, unitDisplay: "long", maximumFractionDigits: digits };
  return new Intl.NumberFormat(locale, format).format(value);
}

/** Writes a message into an element, or one of its attributes, and again whenever the language changes. */
export function say(element, key, values = {}, attribute = null) {
  if (!said.has(element)) said.set(element, new Map());
  said.get(element).set(attribute, [key, values]);
  element.setAttribute("data-i18n-said", "");
  write(element, attribute, key, values);
  return element;
}

function write(element, attribute, key, values) {
  const text = t(key, values);
  if (attribute === null) {
    if (element.textContent !== text) element.textContent = text;
  } else if (element.getAttribute(attribute) !== text) element.setAttribute(attribute, text);
}

/** Says everything below an element anew: what `say` wrote, and what the HTML marks with data-i18n. */
function translate(root) {
  for (const element of root.querySelectorAll("[data-i18n]")) write(element, null, element.dataset.i18n, {});
  for (const element of root.querySelectorAll("[data-i18n-label]")) write(element, "aria-label", element.dataset.i18nLabel, {});
  for (const element of root.querySelectorAll("[data-i18n-said]")) {
    for (const [attribute, [key, values]] of said.get(element) ?? []) write(element, attribute, key, values);
  }
}

/** Fills a <select> with the languages and lets it change them; the choice is remembered unless many share the screen. */
export function offerLanguages(select, { remembers = true } = {}) {
  for (const [tag, name] of Object.entries(LANGUAGES)) {
    const option = new Option(name, tag, false, tag === language);
    option.lang = tag;
    select.append(option);
  }
  select.addEventListener("change", () => {
    try { if (remembers) localStorage.setItem(REMEMBERED, select.value); } catch { /* as above */ }
    use(select.value);
  });
  document.addEventListener("languagechange", () => { select.value = language; });
}
