/** Keys on the screen, for walls that have none: the letters of each language, no more. */

import { el, icon } from "./dom.js";
import { currentLanguage, say } from "./i18n.js";

const ROWS = {
  en: ["qwertyuiop", "asdfghjkl", "zxcvbnm,’"],
  es: ["qwertyuiop", "asdfghjklñ", "zxcvbnmáéíóúü"],
  de: ["qwertzuiopü", "asdfghjklöä", "yxcvbnmß,"],
};

/**
 * @param {() => HTMLTextAreaElement|null} target where letters go
 * @param {() => void} done
 */
export function keyboard(target, done) {
  const keys = el("div", { class: "keys" });
  const element = el("div", { class: "keyboard", role: "group" }, keys);
  say(element, "kiosk.keyboard", {}, "aria-label");
  // the text keeps the focus, so that its caret is seen and real keys work too
  element.addEventListener("pointerdown", (event) => event.preventDefault());
  document.addEventListener("languagechange", draw);
  draw();
  return element;

  function draw() {
    const rows = ROWS[currentLanguage()].map((row) => el("div", { class: "key-row" }, ...[...row].map((letter) => key(letter, letter))));
    const erase = say(el("button", { type: "button", class: "key wide", on: { click: erased } }, icon("erase")), "kiosk.backspace", {}, "aria-label");
    const space = say(el("button", { type: "button", class: "key space", on: { click: () => type(" ") } }), "kiosk.space");
    const ready = say(el("button", { type: "button", class: "key wide", on: { click: done } }), "kiosk.done");
    keys.replaceChildren(...rows, el("div", { class: "key-row" }, erase, space, ready));
  }

  function key(letter, text) {
    return el("button", { type: "button", class: "key", text, on: { click: () => type(letter) } });
  }

  function type(text) {
    const field = target();
    if (!field || field.value.length >= field.maxLength) return;
    change(field, (start, end) => [field.value.slice(0, start) + text + field.value.slice(end), start + text.length]);
  }

  function erased() {
    const field = target();
    if (!field) return;
    change(field, (start, end) => {
      const from = start === end ? Math.max(0, start - 1) : start;
      return [field.value.slice(0, from) + field.value.slice(end), from];
    });
  }

  function change(field, edit) {
    const [value, caret] = edit(field.selectionStart, field.selectionEnd);
    field.value = value;
    field.setSelectionRange(caret, caret);
    field.dispatchEvent(new Event("input", { bubbles: true }));
  }
}
