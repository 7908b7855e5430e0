/** One walk: while it is drawn, and when it is done. */

import * as api from "./api.js";
import { announce, el } from "./dom.js";
import { follow, hasEnded } from "./events.js";
import { loadBitmap, loadFrames, placesOf, playedAs } from "./frames.js";
import { duration, say, t } from "./i18n.js";
import { medium, particulars, stopsOf, title } from "./label.js";
import { showProblem, wordsFor } from "./problems.js";
import { Stage } from "./stage.js";
import { takeHome } from "./take_home.js";

/** Screen readers hear of the progress this often. */
const ANNOUNCED_SHARE = 0.25;

/** @param {{id: string, signal: AbortSignal, go: Function, walkOn: (draft: object) => void}} context */
export async function showWalk(main, context) {
  const { id, signal } = context;
  main.replaceChildren(say(el("p", { class: "loading" }), "walk.loading"));
  try {
    const walkView = await api.walk(id, signal);
    if (signal.aborted) return;
    await new WalkPage(main, walkView, context).show();
  } catch (problem) {
    if (signal.aborted) return;
    showMissing(main, problem, () => showWalk(main, context));
  }
}

function showMissing(main, problem, retry) {
  const place = el("div");
  const home = say(el("a", { href: "#/", class: "button" }), "walk.another");
  main.replaceChildren(el("section", { class: "missing" }, say(el("h1", { tabindex: -1 }), "walk.missing"), place, home));
  showProblem(place, problem, { retry: problem.isPassing ? retry : null });
  main.querySelector("h1").focus();
}

class WalkPage {
  #announced = 0;

  constructor(main, walkView, context) {
    this.main = main;
    this.view = walkView;
    this.context = context;
    this.stage = new Stage();
    context.signal.addEventListener("abort", () => this.stage.player.release(), { once: true });
    this.stage.describe("stage.shows", { title: () => title(this.view) });
    this.heading = stopsOf(walkView, "h1");
    this.heading.tabIndex = -1;
    this.medium = el("div", {}, medium(walkView));
    this.panel = el("div", { class: "panel" });
    this.below = el("div", { class: "below" });
    const words = el("div", { class: "walk-words label" }, this.heading, this.medium, this.panel, this.below);
    main.replaceChildren(el("article", { class: "walk" }, el("div", { class: "walk-art" }, this.stage.element), words));
  }

  async show() {
    const { view } = this;
    document.dispatchEvent(new CustomEvent("walktitle", { detail: title(view) }));
    this.stage.wait(hasEnded(view) ? "stage.nothing" : "stage.soon");
    if (view.state === "done") return this.#showDone(view);
    this.#beginPreviews();
    this.#showRunning();
    return follow(view, {
      onProgress: (progress) => this.#showProgress(progress),
      onFrame: (frame) => this.#showPreview(frame),
      onEnd: (ended) => this.#ended(ended),
      onConnection: (isUp) => { this.connection.hidden = isUp; },
      onProblem: (problem) => showMissing(this.main, problem, null),
    }, this.context.signal);
  }

  #beginPreviews() {
    const { num_frames: numFrames, frames_per_second: framesPerSecond } = this.view.request;
    this.stage.begin({ isExact: false, numFrames, shape: playedAs(this.view.request), framesPerSecond });
  }

  #showRunning() {
    this.status = el("p", { class: "status" });
    this.bar = say(el("progress", { max: 1 }), "walk.progress", {}, "aria-label");
    this.connection = say(el("p", { class: "connection", role: "status", hidden: true }), "walk.reconnecting");
    this.problem = el("div", { class: "problem-place", hidden: true });
    this.cancel = say(el("button", { type: "button", class: "quiet" }), "walk.cancel");
    this.cancel.hidden = !this.view.is_mine;
    this.cancel.addEventListener("click", () => this.#cancel());
    this.panel.replaceChildren(this.status, this.bar, this.connection, this.cancel, this.problem);
    this.#showProgress({ state: this.view.state, progress: this.view.progress });
  }

  #showProgress({ state, progress }) {
    if (hasEnded({ state })) return;
    const { frames_done: done, frames_total: total, queue_position: ahead, eta_s: eta } = progress;
    const share = total ? Math.min(1, done / total) : 0;
    const left = eta === null || eta === undefined ? null : () => duration(Math.max(1, Math.round(eta)));
    if (state === "queued") say(this.status, ahead > 0 ? "walk.queued" : "walk.next", { count: ahead });
    else if (state === "assembling") say(this.status, "walk.assembling");
    else say(this.status, left ? "walk.runningLeft" : "walk.running", { done, total, left });
    if (state === "queued") this.bar.removeAttribute("value"); else this.bar.value = share;
    this.#announceProgress(state, share);
  }

  #announceProgress(state, share) {
    const step = state === "running" ? Math.floor(share / ANNOUNCED_SHARE) : state;
    if (step === this.#announced) return;
    this.#announced = step;
    announce(this.status.textContent);
  }

  async #showPreview({ position, url }) {
    try {
      const bitmap = await loadBitmap(url, { signal: this.context.signal });
      if (this.stage.isExact) return;
      for (const place of placesOf(this.view.request, position)) this.stage.add(place, bitmap);
    } catch { /* one picture fewer in the preview; the walk itself is not touched */ }
  }

  async #cancel() {
    this.cancel.disabled = true;
    try {
      await api.cancelOrDelete(this.view.id);
    } catch (problem) {
      this.cancel.disabled = false;
      showProblem(this.problem, problem);
    }
  }

  #ended(view) {
    if (this.context.signal.aborted) return;
    const hadFocus = this.panel.contains(document.activeElement);
    this.view = view;
    announce(t(`walk.${view.state}Said`));
    if (view.state === "done") this.#showDone(view); else this.#showEnded(view);
    if (hadFocus) this.heading.focus();
  }

  #showEnded(view) {
    const words = say(el("p", { class: "status" }), view.state === "failed" ? "walk.failed" : "walk.cancelled");
    const again = say(el("button", { type: "button", class: "primary", on: { click: () => this.context.walkOn(this.#sameAgain()) } }), "walk.tryAgain");
    const detail = view.error?.detail ? el("p", { class: "problem-detail", lang: "en", text: view.error.detail }) : null;
    this.stage.wait("stage.nothing");
    this.panel.replaceChildren(words, detail ?? "", again);
  }

  #sameAgain() {
    const { waypoints, model, shape } = this.view.request;
    return { waypoints, model, shape };
  }

  #showDone(view) {
    this.medium.replaceChildren(medium(view));
    this.panel.replaceChildren(...takeHome(view, this.context));
    this.below.replaceChildren(particulars(view));
    this.#nameModel(view);
    const { num_frames: numFrames, request } = view;
    const walk = { isExact: true, numFrames, shape: playedAs(request), framesPerSecond: request.frames_per_second };
    return this.#replacePreviews(view, walk);
  }

  async #nameModel(view) {
    const models = await api.models().catch(() => []); // its id stands there already
    const model = models.find(({ id }) => id === view.request.model);
    if (model) this.below.replaceChildren(particulars(view, model.title));
  }

  /** The previews play on until all final frames are there; without previews frames are shown as they come. */
  async #replacePreviews(view, walk) {
    const { stage } = this;
    const hasPreviews = stage.player.frames.length > 1;
    const frames = [];
    if (!hasPreviews) stage.begin(walk);
    try {
      await loadFrames(view, {
        signal: this.context.signal,
        onFrame: (place, bitmap) => { if (hasPreviews) frames.push({ place, bitmap }); else stage.add(place, bitmap); },
      });
      if (!hasPreviews) return;
      const wasPlaying = stage.player.isPlaying;
      stage.begin({ ...walk, frames });
      if (wasPlaying) stage.player.play();
    } catch (problem) {
      if (this.context.signal.aborted) return;
      const place = el("div");
      this.panel.prepend(place);
      showProblem(place, problem, { retry: () => this.#replacePreviews(view, walk) });
      announce(t(wordsFor(problem)));
    }
  }
}
