/** The wall's form: two prompts by touch, from suggestions or letter by letter. */

import { createWalk, newKey } from "./api.js";
import { el } from "./dom.js";
import { say, t } from "./i18n.js";
import { keyboard } from "./keyboard.js";
import { showProblem } from "./problems.js";

const NUM_SUGGESTED = 6;
/** The same for everybody: a wall asks for two prompts and nothing else. Three seconds there, and three back. */
const SETTINGS = { num_frames: 120, frames_per_second: 20, shape: "boomerang" };

/** @param {{me: object, models: object[], onLeave: () => void, onCreated: (walk: object) => void}} options */
export function choosing({ me, models, onLeave, onCreated }) {
  const model = models.find(({ is_default: isDefault }) => isDefault) ?? models[0];
  const suggestions = model?.suggestions ?? [];
  const fields = ["from", "to"].map((name) => field(name));
  const problem = el("div", { class: "problem-place", hidden: true });
  const begin = say(el("button", { type: "button", class: "primary kiosk-begin", on: { click: send } }), "kiosk.begin");
  const leave = say(el("button", { type: "button", class: "outlined", on: { click: onLeave } }), "kiosk.leave");
  const others = say(el("button", { type: "button", class: "outlined", on: { click: suggest } }), "kiosk.others");
  const keys = keyboard(() => fields.map(({ prompt }) => prompt).find((prompt) => prompt.classList.contains("is-current")), () => showKeys(null));
  keys.hidden = true;
  others.hidden = suggestions.length <= NUM_SUGGESTED;
  const view = el("div", { class: "choosing" },
    el("header", { class: "choosing-head" }, say(el("h1", { tabindex: -1 }), "kiosk.choose"), say(el("p", { class: "lead" }), "kiosk.chooseLead")),
    el("div", { class: "choosing-fields" }, ...fields.map(({ element }) => element)),
    keys, problem, el("div", { class: "choosing-foot" }, leave, others, begin));
  suggest();
  fields.forEach((one) => fill(one, one.list.querySelector("button")?.textContent ?? ""));
  let key = newKey();
  let isBusy = false;
  return view;

  function field(name) {
    const id = `kiosk-${name}`;
    const prompt = el("textarea", { id, class: "kiosk-prompt prompt", rows: 1, maxlength: me.limits.max_prompt_length, autocomplete: "off", inputmode: "none" });
    const list = el("ul", { class: "suggestions" });
    const made = { prompt, list };
    say(list, `kiosk.${name}`, {}, "aria-label");
    prompt.addEventListener("focus", () => showKeys(made));
    prompt.addEventListener("input", () => mark(made));
    prompt.addEventListener("keydown", (event) => { if (event.key === "Enter") { event.preventDefault(); send(); } });
    made.element = el("section", { class: "choosing-field" }, say(el("label", { for: id, class: "stop-label" }), `kiosk.${name}`), el("div", { class: "stop-line" }, prompt), list);
    return made;
  }

  function fill(one, prompt) {
    one.prompt.value = prompt;
    mark(one);
  }

  function mark({ prompt, list }) {
    for (const button of list.querySelectorAll("button")) button.setAttribute("aria-pressed", String(button.textContent === prompt.value));
  }

  function suggest() {
    const shuffled = suggestions.map((text) => [Math.random(), text]).sort(([a], [b]) => a - b).map(([, text]) => text);
    fields.forEach((one, i) => {
      const part = shuffled.slice(i * NUM_SUGGESTED, (i + 1) * NUM_SUGGESTED);
      const texts = part.length ? part : shuffled.slice(0, NUM_SUGGESTED);
      one.list.replaceChildren(...texts.map((text) => {
        const button = el("button", { type: "button", class: "suggestion", text, on: { click: () => { showKeys(null); fill(one, text); } } });
        return el("li", {}, button);
      }));
      mark(one);
    });
  }

  function showKeys(one) {
    for (const { prompt, element } of fields) {
      prompt.classList.toggle("is-current", prompt === one?.prompt);
      element.classList.toggle("is-current", prompt === one?.prompt);
    }
    keys.hidden = one === null;
    view.classList.toggle("has-keys", one !== null);
  }

  async function send() {
    if (isBusy) return;
    const missing = fields.find(({ prompt }) => !prompt.value.trim());
    if (missing) { missing.prompt.setAttribute("aria-invalid", "true"); missing.prompt.placeholder = t("compose.empty"); missing.prompt.focus(); return; }
    isBusy = true;
    say(begin, "compose.sending");
    const waypoints = fields.map(({ prompt }) => ({ prompt: prompt.value.trim() }));
    const numFrames = Math.min(SETTINGS.num_frames, me.limits.max_frames);
    try {
      onCreated(await createWalk({ ...SETTINGS, num_frames: numFrames, ...(model ? { model: model.id } : {}), waypoints }, key));
    } catch (error) {
      if (error.status > 0) key = newKey(); // answered: the next is a new request
      isBusy = false;
      showKeys(null);
      say(begin, "kiosk.begin");
      begin.disabled = error.retryAfterS > 0;
      showProblem(problem, error, { onReady: () => { begin.disabled = false; } });
    }
  }
}
