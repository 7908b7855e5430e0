/** The form in which a visitor makes a walk. */

import { createWalk, newKey } from "./api.js";
import { announce, el } from "./dom.js";
import { say, t } from "./i18n.js";
import { showProblem } from "./problems.js";
import { Settings } from "./settings.js";
import { Stops } from "./stops.js";

/** From so many walks on the page says how many are left today. */
const FEW_LEFT = 5;

/**
 * @param {{me: object, models: object[], draft: object|null, onCreated: (walk: object) => void}} options
 *   `draft`: {waypoints, seed, model, shape} to begin with
 */
export function composeForm({ me, models, draft, onCreated }) {
  const settings = new Settings(me.limits, models);
  const stops = new Stops(me.limits, (count) => settings.setNumStops(count));
  const problem = el("div", { class: "problem-place", hidden: true });
  const button = say(el("button", { type: "submit", class: "primary" }), "compose.begin");
  const surprise = say(el("button", { type: "button", class: "quiet surprise" }), "compose.surprise");
  const extras = el("div", { class: "compose-extras" }, stops.addButton, surprise);
  const form = el("form", { class: "compose", novalidate: true }, stops.list, extras, settings.element, problem, button, leftToday(me.quota));
  say(form, "compose.label", {}, "aria-label");

  let lastAsked = { body: "", key: "" };
  let clearProblem = () => {};
  let isBusy = false;

  stops.set(draft?.waypoints ?? [{ prompt: "" }, { prompt: "" }]);
  if (draft) settings.set(draft);
  surprise.hidden = !models.some((model) => model.suggestions?.length > 1);
  surprise.addEventListener("click", () => {
    const chosen = twoOf(settings.model.suggestions);
    stops.set(chosen.map((prompt) => ({ prompt })));
    stops.clearErrors();
    announce(t("compose.surprised", { from: chosen[0], to: chosen[1] }));
  });
  form.addEventListener("submit", (event) => { event.preventDefault(); send(); });
  return form;

  async function send() {
    if (isBusy || !stops.check()) return;
    if (stops.isUploading) return announce(t("compose.stillUploading"));
    clearProblem();
    setBusy(true);
    const seed = draft?.seed;
    const body = { waypoints: stops.waypoints, ...settings.request, ...(Number.isInteger(seed) ? { seed } : {}) };
    try {
      onCreated(await createWalk(body, keyFor(body)));
    } catch (error) {
      show(error);
    }
  }

  /** The same key while the same is asked after a lost answer, so that no walk is made twice. */
  function keyFor(body) {
    const text = JSON.stringify(body);
    if (lastAsked.body !== text) lastAsked = { body: text, key: newKey() };
    return lastAsked.key;
  }

  function show(error) {
    setBusy(false);
    if (error.status > 0) lastAsked = { body: "", key: "" }; // answered: the next is a new request
    const isAboutStops = error.code === "invalid_request" && stops.showErrors(error.errors);
    if (isAboutStops) return;
    const mustWait = error.retryAfterS > 0;
    button.disabled = mustWait;
    clearProblem = showProblem(problem, error, { onReady: () => { button.disabled = false; } });
    if (error.code === "refused_words") stops.stops[0].prompt.focus();
  }

  function setBusy(busy) {
    isBusy = busy;
    button.setAttribute("aria-disabled", String(busy)); // it keeps the focus
    say(button, busy ? "compose.sending" : "compose.begin");
  }
}

/** How many walks are left today, once they are few. */
function leftToday(quota) {
  if (!quota?.max_a_day) return null;
  const count = Math.max(0, quota.max_a_day - quota.today);
  return count <= FEW_LEFT ? say(el("p", { class: "summary left-today" }), "compose.left", { count }) : null;
}

/** Two different ones. */
function twoOf(suggestions) {
  const first = Math.floor(Math.random() * suggestions.length);
  const second = (first + 1 + Math.floor(Math.random() * (suggestions.length - 1))) % suggestions.length;
  return [suggestions[first], suggestions[second]];
}
