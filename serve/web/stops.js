/** The stops of a walk that is being composed: prompts in order, each with a picture of one's own if wished. */

import { uploadPicture } from "./api.js";
import { announce, el, icon } from "./dom.js";
import { say, t } from "./i18n.js";
import { wordsFor } from "./problems.js";

const PICTURE_TYPES = ["image/png", "image/jpeg", "image/webp"];
let numMade = 0;

export class Stops {
  /**
   * @param {{max_waypoints: number, max_prompt_length: number, max_upload_bytes: number}} limits
   * @param {(count: number) => void} onCount told how many stops there are
   */
  constructor(limits, onCount) {
    this.limits = limits;
    this.onCount = onCount;
    this.list = el("ol", { class: "route" });
    this.addButton = say(el("button", { type: "button", class: "quiet add-stop", on: { click: () => this.#addBetween() } }), "compose.addStop");
    /** @type {{prompt: HTMLTextAreaElement, picture: string|null}[]} */
    this.stops = [];
  }

  /** Replaces all stops. @param {{prompt: string, picture?: string|null}[]} waypoints */
  set(waypoints) {
    this.stops = waypoints.map((waypoint) => this.#made(waypoint));
    this.#arrange();
  }

  /** As the service takes them. */
  get waypoints() {
    return this.stops.map(({ prompt, picture }) => ({ prompt: prompt.value.trim(), ...(picture ? { picture } : {}) }));
  }

  get isUploading() {
    return this.stops.some((stop) => stop.isUploading);
  }

  /** Marks what is missing and goes there; whether nothing is. */
  check() {
    this.clearErrors();
    const empty = this.stops.filter(({ prompt, picture }) => !prompt.value.trim() && !picture);
    for (const stop of empty) this.#showError(stop, t("compose.empty"));
    empty[0]?.prompt.focus();
    return empty.length === 0;
  }

  /** Shows what the service said about single fields; whether it was about stops. */
  showErrors(errors) {
    const found = errors
      .map(({ field, message }) => [this.stops[/^waypoints\.(\d+)/.exec(field)?.[1]], message])
      .filter(([stop]) => stop);
    for (const [stop, message] of found) this.#showError(stop, message, "en");
    found[0]?.[0].prompt.focus();
    return found.length > 0;
  }

  clearErrors() {
    for (const stop of this.stops) {
      stop.error.hidden = true;
      stop.prompt.removeAttribute("aria-invalid");
      stop.prompt.removeAttribute("aria-describedby");
    }
  }

  #showError(stop, message, lang = null) {
    stop.error.textContent = message;
    if (lang) stop.error.lang = lang; else stop.error.removeAttribute("lang");
    stop.error.hidden = false;
    stop.prompt.setAttribute("aria-invalid", "true");
    stop.prompt.setAttribute("aria-describedby", stop.error.id);
  }

  #made({ prompt = "", picture = null }) {
    const id = `stop-${++numMade}`;
    const stop = { picture, isUploading: false };
    stop.label = el("label", { class: "stop-label", for: id });
    stop.prompt = el("textarea", { id, class: "prompt", rows: 1, maxlength: this.limits.max_prompt_length, autocomplete: "off", spellcheck: "true", enterkeyhint: "go" });
    stop.prompt.value = prompt;
    stop.error = el("p", { class: "field-error", id: `${id}-error`, hidden: true });
    stop.chosen = el("div", { class: "stop-picture", hidden: true });
    stop.file = el("input", { type: "file", class: "visually-hidden", accept: PICTURE_TYPES.join(), tabindex: -1, "aria-hidden": "true" });
    stop.pick = el("button", { type: "button", class: "round plain small", on: { click: () => stop.file.click() } }, icon("replace"));
    stop.remove = el("button", { type: "button", class: "round plain small", on: { click: () => this.#remove(stop) } }, icon("remove"));
    stop.file.addEventListener("change", () => this.#takePicture(stop));
    stop.prompt.addEventListener("input", () => this.#grow(stop.prompt));
    stop.prompt.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.isComposing) return;
      event.preventDefault(); // a prompt is one line, however it is wrapped
      stop.prompt.form?.requestSubmit();
    });
    const tools = el("div", { class: "stop-tools" }, stop.pick, stop.remove, stop.file);
    stop.item = el("li", { class: "stop" }, stop.label, el("div", { class: "stop-line" }, stop.prompt, tools), stop.error, stop.chosen);
    if (picture) this.#showPicture(stop, null);
    return stop;
  }

  #arrange() {
    this.list.replaceChildren(...this.stops.map((stop) => stop.item));
    this.stops.forEach((stop, i) => {
      const isLast = i === this.stops.length - 1;
      const number = i + 1;
      say(stop.label, i === 0 ? "compose.from" : isLast ? "compose.to" : "compose.via");
      say(stop.prompt, i === 0 ? "compose.fromExample" : isLast ? "compose.toExample" : "compose.viaExample", {}, "placeholder");
      say(stop.pick, "compose.pick", { number }, "aria-label");
      say(stop.pick, "compose.pickShort", {}, "title");
      say(stop.remove, "compose.remove", { number }, "aria-label");
      stop.remove.hidden = i === 0 || isLast;
      this.#grow(stop.prompt);
    });
    this.onCount(this.stops.length);
    this.addButton.disabled = this.stops.length >= this.limits.max_waypoints;
  }

  #addBetween() {
    const stop = this.#made({});
    this.stops.splice(-1, 0, stop);
    this.#arrange();
    stop.prompt.focus();
  }

  #remove(stop) {
    const at = this.stops.indexOf(stop);
    this.stops.splice(at, 1);
    this.#arrange();
    this.stops[at - 1].prompt.focus();
    announce(t("compose.removed"));
  }

  /** As high as its text; `field-sizing` does so by itself where it is known. */
  #grow(prompt) {
    if (CSS.supports("field-sizing", "content")) return;
    prompt.style.height = "auto";
    prompt.style.height = `${prompt.scrollHeight + 2}px`;
  }

  async #takePicture(stop) {
    const file = stop.file.files[0];
    stop.file.value = "";
    if (!file) return;
    this.clearErrors();
    if (!PICTURE_TYPES.includes(file.type)) return this.#showError(stop, t("error.unsupported_media"));
    if (file.size > this.limits.max_upload_bytes) return this.#showError(stop, t("error.too_large"));
    stop.isUploading = true;
    this.#showPicture(stop, file);
    try {
      stop.picture = (await uploadPicture(file)).id;
      announce(t("compose.pictureThere"));
    } catch (problem) {
      this.#dropPicture(stop);
      this.#showError(stop, t(wordsFor(problem)));
    } finally {
      stop.isUploading = false;
      stop.chosen.classList.remove("is-uploading");
    }
  }

  #showPicture(stop, file) {
    stop.chosen.replaceChildren();
    if (file) {
      const url = URL.createObjectURL(file);
      const image = el("img", { src: url, alt: "", on: { load: () => URL.revokeObjectURL(url) } });
      stop.chosen.append(image);
    }
    stop.chosen.classList.toggle("is-uploading", stop.isUploading);
    const drop = el("button", { type: "button", class: "quiet", on: { click: () => { this.#dropPicture(stop); stop.prompt.focus(); } } });
    stop.chosen.append(say(el("span"), "compose.picture"), say(drop, "compose.dropPicture"));
    stop.chosen.hidden = false;
  }

  #dropPicture(stop) {
    stop.picture = null;
    stop.chosen.hidden = true;
    stop.chosen.replaceChildren();
  }
}
