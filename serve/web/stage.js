/** A walk on the page: its canvas, the strip to walk along, play, speed, full screen. */

import { el, icon, stillness } from "./dom.js";
import { Filmstrip } from "./filmstrip.js";
import { say, t } from "./i18n.js";
import { Player } from "./player.js";

const MOVES = /^(Arrow|Page|Home|End)/;
const SPEEDS = [0.25, 0.5, 1, 2];

export class Stage {
  /**
   * @param {{hasStrip?: boolean, hasTools?: boolean}} options without strip and tools it is a picture with a play button
   */
  constructor({ hasStrip = true, hasTools = true } = {}) {
    this.canvas = el("canvas", { class: "stage-canvas", role: "img", width: 512, height: 512 });
    this.player = new Player(this.canvas);
    this.empty = el("p", { class: "stage-empty" });
    this.playButton = el("button", { type: "button", class: "round play", on: { click: () => this.toggle() } });
    this.frame = el("div", { class: "stage-frame" }, this.canvas, this.empty);
    this.bar = el("div", { class: "stage-bar" }, this.playButton);
    this.element = el("div", { class: "stage" }, this.frame);
    this.wantsToPlay = !stillness.matches;
    this.isExact = false;
    this.canvas.addEventListener("click", () => this.toggle());
    if (hasStrip) this.#addStrip();
    if (hasTools) this.#addTools();
    this.element.append(this.bar);
    this.player.addEventListener("state", () => this.#showState());
    this.player.addEventListener("move", () => this.#showPlace());
    this.player.addEventListener("frames", () => this.#showFrames());
    this.#showState();
    this.#showFrames();
  }

  /** What the canvas shows, for those who don't see it. */
  describe(key, values) {
    say(this.canvas, key, values, "aria-label");
  }

  /** What stands in the empty frame. */
  wait(key) {
    say(this.empty, key);
  }

  /** Begins a walk's previews (not exact) or its final frames. */
  begin({ isExact, ...walk }) {
    this.isExact = isExact;
    this.player.begin(walk);
    if (this.slider) this.slider.max = isExact ? walk.numFrames - 1 : 100;
    this.#showFrames();
    this.#showPlace();
  }

  /** Adds a frame, and plays if that is wanted. */
  add(place, bitmap) {
    this.player.add(place, bitmap);
    if (this.wantsToPlay && this.player.frames.length > 1) this.player.play();
  }

  toggle() {
    this.wantsToPlay = !this.player.isPlaying;
    if (this.wantsToPlay) this.player.play(); else this.player.pause();
  }

  stop() {
    this.wantsToPlay = false;
    this.player.pause();
  }

  #addStrip() {
    this.strip = el("canvas", { class: "strip-pictures", "aria-hidden": "true" });
    this.slider = el("input", { type: "range", class: "strip-slider", min: 0, max: 100, value: 0, step: 1 });
    say(this.slider, "stage.slider", {}, "aria-label");
    this.slider.addEventListener("input", () => {
      this.wantsToPlay = false;
      this.player.seek(Number(this.slider.value) / Number(this.slider.max) * (this.player.numFrames - 1));
    });
    // also where the key changes nothing, as End at the end
    this.slider.addEventListener("keydown", (event) => { if (MOVES.test(event.key)) this.stop(); });
    this.filmstrip = new Filmstrip(this.strip, this.player);
    this.element.append(el("div", { class: "strip" }, this.strip, this.slider));
  }

  #addTools() {
    this.counter = el("span", { class: "stage-counter", "aria-hidden": "true" });
    this.calmed = say(el("span", { class: "stage-calmed", hidden: true }), "stage.calmed");
    const speed = el("select", { class: "speed", on: { change: () => { this.player.speed = Number(speed.value); this.#showState(); } } });
    for (const value of SPEEDS) speed.append(say(new Option("", value, value === 1, value === 1), "stage.times", { value }));
    say(speed, "stage.speed", {}, "aria-label");
    this.bar.append(this.counter, this.calmed, speed);
    if (document.fullscreenEnabled) {
      const full = el("button", { type: "button", class: "round plain", on: { click: () => this.#fullScreen() } }, icon("full"));
      this.bar.append(say(full, "stage.full", {}, "aria-label"));
    }
  }

  #fullScreen() {
    if (document.fullscreenElement) document.exitFullscreen();
    else this.element.requestFullscreen().catch(() => {}); // refused by the browser: nothing is lost
  }

  #showState() {
    const { isPlaying } = this.player;
    if (this.playButton.dataset.shows !== String(isPlaying)) {
      this.playButton.dataset.shows = String(isPlaying);
      this.playButton.replaceChildren(icon(isPlaying ? "pause" : "play"));
      say(this.playButton, isPlaying ? "stage.pause" : "stage.play", {}, "aria-label");
    }
    if (this.calmed) this.calmed.hidden = !this.player.isCalmed;
  }

  #showFrames() {
    const count = this.player.frames.length;
    this.empty.hidden = count > 0;
    this.playButton.disabled = count < 2;
    if (this.slider) this.slider.disabled = count < 2;
    this.element.classList.toggle("is-empty", count === 0);
  }

  #showPlace() {
    if (!this.slider) return;
    const { place, numFrames } = this.player;
    const value = this.isExact ? Math.floor(place + 1e-6) : Math.round(place / Math.max(1, numFrames - 1) * 100);
    if (Number(this.slider.value) !== value) this.slider.value = value;
    const words = this.isExact
      ? t("stage.frameOf", { number: value + 1, total: numFrames })
      : t("stage.along", { percent: value });
    // while it plays, a screen reader that stands on the slider would read without end
    if (!this.player.isPlaying) this.slider.setAttribute("aria-valuetext", words);
    if (this.counter && this.counter.textContent !== words) this.counter.textContent = words;
  }
}
