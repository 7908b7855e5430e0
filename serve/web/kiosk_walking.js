/** The wall's walk: while it is drawn, then with the code that takes it home. */

import * as api from "./api.js";
import { announce, el } from "./dom.js";
import { follow, hasEnded } from "./events.js";
import { loadBitmap, loadFrames, placesOf, playedAs } from "./frames.js";
import { duration, say, t } from "./i18n.js";
import { stopsOf, title } from "./label.js";
import { wordsFor } from "./problems.js";
import { qrImage } from "./qr.js";
import { Stage } from "./stage.js";
import { pageUrl } from "./take_home.js";

/** @param {{walkView: object, site: string, signal: AbortSignal, onLeave: Function, onAgain: Function, onEnded: Function}} options */
export function walking({ walkView, site, signal, onLeave, onAgain, onEnded }) {
  const stage = new Stage({ hasTools: false });
  signal.addEventListener("abort", () => stage.player.release(), { once: true });
  const status = el("p", { class: "status" });
  const bar = say(el("progress", { max: 1 }), "walk.progress", {}, "aria-label");
  const side = el("div", { class: "kiosk-side" });
  const heading = stopsOf(walkView, "h1");
  heading.tabIndex = -1;
  const cancel = say(el("button", { type: "button", class: "outlined" }), "walk.cancel");
  cancel.addEventListener("click", () => { api.cancelOrDelete(walkView.id).catch(() => {}); onLeave(); });
  side.append(heading, status, bar, cancel);
  const { num_frames: numFrames, frames_per_second: framesPerSecond } = walkView.request;
  const shape = playedAs(walkView.request);
  stage.describe("stage.shows", { title: () => title(walkView) });
  stage.wait("stage.soon");
  stage.begin({ isExact: false, numFrames, shape, framesPerSecond });
  showProgress(walkView);
  follow(walkView, { onProgress: showProgress, onFrame: showPreview, onEnd: ended, onConnection: () => {}, onProblem: failed }, signal);
  return el("div", { class: "kiosk-walk" }, el("div", { class: "kiosk-art" }, stage.element), side);

  function showProgress({ state, progress }) {
    if (hasEnded({ state })) return;
    const { frames_done: done, frames_total: total, queue_position: ahead, eta_s: eta } = progress;
    if (state === "queued") say(status, ahead > 0 ? "walk.queued" : "walk.next", { count: ahead });
    else if (state === "assembling") say(status, "walk.assembling");
    else if (eta) say(status, "walk.runningLeft", { done, total, left: () => duration(Math.max(1, Math.round(eta))) });
    else say(status, "walk.running", { done, total });
    if (state === "queued") bar.removeAttribute("value"); else bar.value = total ? done / total : 0;
  }

  async function showPreview({ position, url }) {
    const bitmap = await loadBitmap(url, { signal }).catch(() => null); // one picture fewer in the preview
    if (!bitmap || stage.isExact) return;
    for (const place of placesOf(walkView.request, position)) stage.add(place, bitmap);
  }

  function ended(view) {
    if (signal.aborted) return;
    announce(t(`walk.${view.state}Said`));
    if (view.state !== "done") return failed(new api.Problem({ code: view.error?.code ?? "unknown" }));
    side.replaceChildren(heading, code(view), again());
    onEnded();
    replacePreviews(view);
  }

  async function replacePreviews(view) {
    const frames = [];
    await loadFrames(view, { signal, onFrame: (place, bitmap) => frames.push({ place, bitmap }) }).catch(() => {}); // the previews play on
    if (signal.aborted || frames.length < view.num_frames) return;
    const wasPlaying = stage.player.isPlaying;
    stage.begin({ isExact: true, numFrames: view.num_frames, shape, framesPerSecond, frames });
    if (wasPlaying) stage.player.play();
  }

  function failed(problem) {
    say(status, problem.code === "render_failed" ? "walk.failed" : wordsFor(problem));
    side.replaceChildren(heading, status, again());
    onEnded();
  }

  function code(view) {
    const words = el("div", {}, say(el("h2"), "kiosk.home"), say(el("p", { class: "lead" }), "kiosk.homeLead"));
    return el("div", { class: "kiosk-code" }, qrImage(pageUrl(view, site), t("done.qr")), words);
  }

  function again() {
    const another = say(el("button", { type: "button", class: "primary", on: { click: onAgain } }), "kiosk.again");
    const leave = say(el("button", { type: "button", class: "outlined", on: { click: onLeave } }), "kiosk.leave");
    return el("div", { class: "kiosk-again" }, another, leave);
  }
}
