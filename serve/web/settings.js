/** The few choices of a walk in plain words, and what they are for the service. */

import { el } from "./dom.js";
import { duration, say } from "./i18n.js";

const SECONDS = { short: 3, medium: 6, long: 10 };
const RATES = { calm: 12, smooth: 20, finest: 30 };
const SHAPES = ["open", "loop", "boomerang"];
const AT_FIRST = { length: "short", smoothness: "smooth", shape: "open" };

/** A loop of frames is never shorter than this: the ends, and something between. */
const FEWEST_FRAMES = 8;

export class Settings {
  /**
   * @param {{max_frames: number}} limits
   * @param {{id: string, title: string, description: string, is_default: boolean}[]} models
   */
  constructor(limits, models) {
    this.limits = limits;
    this.numSections = 1;
    this.models = models;
    this.chosen = { ...AT_FIRST, model: (models.find((model) => model.is_default) ?? models[0])?.id };
    this.summary = el("p", { class: "summary" });
    this.element = el("div", { class: "settings" },
      this.#group("length", Object.keys(SECONDS)), this.#group("smoothness", Object.keys(RATES)), this.#group("shape", SHAPES),
      models.length > 1 ? this.#modelChoice() : null, this.summary);
    this.#summarize();
  }

  get model() {
    return this.models.find((model) => model.id === this.chosen.model);
  }

  /** As the service takes them. */
  get request() {
    const rate = RATES[this.chosen.smoothness];
    // a further stop wants time of its own, if less than a walk of its own
    const wanted = Math.round(SECONDS[this.chosen.length] * rate * (1 + (this.numSections - 1) / 2));
    return {
      ...(this.chosen.model ? { model: this.chosen.model } : {}),
      shape: this.chosen.shape,
      num_frames: Math.max(FEWEST_FRAMES, Math.min(wanted, this.limits.max_frames)),
      frames_per_second: rate,
    };
  }

  /** How many stops there are decides how long the walk is. */
  setNumStops(count) {
    this.numSections = count - 1;
    this.#summarize();
  }

  /** Takes a walk's settings where they are among ours. */
  set({ shape, model }) {
    if (SHAPES.includes(shape)) this.#pick("shape", shape);
    if (this.models.some(({ id }) => id === model)) {
      this.chosen.model = model;
      if (this.modelSelect) this.modelSelect.value = model;
    }
  }

  #pick(name, value) {
    this.chosen[name] = value;
    this.element.querySelector(`input[name="${name}"][value="${value}"]`).checked = true;
    this.#summarize();
  }

  #group(name, values) {
    const choices = values.map((value) => {
      const input = el("input", { type: "radio", name, value, checked: value === AT_FIRST[name] });
      input.addEventListener("change", () => { this.chosen[name] = value; this.#summarize(); });
      return el("label", { class: "choice" }, input, say(el("span"), `settings.${name}.${value}`));
    });
    return el("fieldset", { class: "choices" }, say(el("legend"), `settings.${name}`), el("div", { class: "choice-row" }, ...choices));
  }

  #modelChoice() {
    this.modelSelect = el("select", { id: "model", on: { change: () => { this.chosen.model = this.modelSelect.value; } } });
    for (const { id, title } of this.models) this.modelSelect.append(new Option(title, id, false, id === this.chosen.model));
    return el("p", { class: "choices" }, say(el("label", { for: "model", class: "legend" }), "settings.model"), this.modelSelect);
  }

  #summarize() {
    const { num_frames: count, frames_per_second: rate } = this.request;
    say(this.summary, "settings.summary", { count, time: () => duration(Math.round(count / rate)) });
  }
}
