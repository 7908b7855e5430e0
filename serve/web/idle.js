/** Notices that a visitor has left: warns, counts down, begins anew. */

import { el } from "./dom.js";
import { duration, say } from "./i18n.js";

/** The longest warning; a short idle time gives half of it. */
const WARNING_S = 15;

export class Idle {
  #timer = null;
  #ticker = null;
  #isOn = false;

  /**
   * @param {number} seconds without a touch or a key until the countdown has ended
   * @param {() => void} reset
   */
  constructor(seconds, reset) {
    this.warningS = Math.min(WARNING_S, seconds / 2);
    this.quietS = seconds - this.warningS;
    this.reset = reset;
    this.countdown = el("p", { class: "idle-countdown" });
    const stay = say(el("button", { type: "button", class: "primary", autofocus: true }), "kiosk.stay");
    const heading = say(el("h2", { id: "idle-heading" }), "kiosk.still");
    this.dialog = el("dialog", { class: "ask idle", "aria-labelledby": "idle-heading" }, heading, this.countdown, stay);
    document.body.append(this.dialog);
    for (const type of ["pointerdown", "keydown", "input"]) {
      // while it asks, only a whole click counts: a finger must not go on to press what lies beneath
      addEventListener(type, () => { if (!this.dialog.open) this.touch(); }, { capture: true, passive: true });
    }
    this.dialog.addEventListener("click", () => this.touch()); // beside the words too
    this.dialog.addEventListener("cancel", () => this.touch());
  }

  /** Watches, or waits for nothing: while a walk is drawn, looking on is what one does. */
  watch(isOn) {
    this.#isOn = isOn;
    this.touch();
  }

  /** Somebody is there. */
  touch() {
    clearTimeout(this.#timer);
    clearInterval(this.#ticker);
    if (this.dialog.open) this.dialog.close();
    if (this.#isOn) this.#timer = setTimeout(() => this.#warn(), this.quietS * 1000);
  }

  #warn() {
    const until = performance.now() + this.warningS * 1000;
    const tick = () => {
      const left = Math.ceil((until - performance.now()) / 1000);
      if (left > 0) return say(this.countdown, "kiosk.stillLead", { time: () => duration(left) });
      this.#isOn = false;
      this.touch();
      return this.reset();
    };
    this.dialog.showModal();
    this.#ticker = setInterval(tick, 200);
    tick();
  }
}
