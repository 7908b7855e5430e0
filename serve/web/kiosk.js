/**
 * For a wall in a gallery: walks to look at until somebody touches it, then a walk of their own, taken home by phone.
 * ?idle=90 begins anew after that many seconds without a touch; ?site=https://… is the address in the QR code, where
 * the wall itself is served under another.
 */

import * as api from "./api.js";
import { el, sleep as pause, stillness } from "./dom.js";
import { loadFrames } from "./frames.js";
import * as i18n from "./i18n.js";
import { Idle } from "./idle.js";
import { choosing } from "./kiosk_choosing.js";
import { walking } from "./kiosk_walking.js";
import { stopsOf, title } from "./label.js";
import { showProblem } from "./problems.js";
import { Stage } from "./stage.js";

const { say } = i18n;
const IDLE_S = 90;
/** How long each walk of the attract loop is shown. */
const SHOWN_S = 14;
const NUM_SHOWN = 12;
/** When the service is away the wall looks for it again. */
const AGAIN_S = 20;
/** A walk that takes longer than this is not waited for without end. */
const LONGEST_WALK_S = 300;

const query = new URLSearchParams(location.search);
const main = document.getElementById("main");
let leaving = new AbortController();
let idle = null;
/** The wall's own: a visitor may choose another until the wall begins anew. */
let language = "en";

/** One view after another; what the last one still does ends. */
function enter(name) {
  leaving.abort(new DOMException("another view", "AbortError"));
  leaving = new AbortController();
  document.body.dataset.view = name;
  idle.watch(name === "choosing" || name === "done");
  return leaving.signal;
}

async function showAttract() {
  const signal = enter("attract");
  if (i18n.currentLanguage() !== language) i18n.use(language);
  const stage = new Stage({ hasStrip: false, hasTools: false });
  stage.wantsToPlay = !stillness.matches;
  stage.wait("stage.loading");
  signal.addEventListener("abort", () => stage.player.release(), { once: true });
  stage.playButton.classList.add("attract-play");
  const label = el("div", { class: "attract-label" });
  const begin = el("button", { type: "button", class: "attract" }, say(el("span", { class: "attract-words" }), "kiosk.touch"));
  begin.addEventListener("click", () => { fullScreen(); showChoosing(); });
  const heading = say(el("h1", { class: "visually-hidden", tabindex: -1 }), "kiosk.title");
  main.replaceChildren(el("div", { class: "attract-view" }, heading, stage.element, el("div", { class: "attract-foot" }, label, begin)));
  stage.canvas.addEventListener("click", () => begin.click()); // the whole wall can be touched
  for (;;) {
    try {
      const { walks } = await api.walks("featured", { limit: NUM_SHOWN, signal });
      for (const walkView of walks) await hang(stage, label, walkView, signal);
      if (walks.length === 0) { say(stage.empty, "kiosk.empty"); await pause(AGAIN_S, signal); }
    } catch {
      if (signal.aborted) return;
      await pause(AGAIN_S, signal).catch(() => {});
      if (signal.aborted) return;
    }
  }
}

/** Shows one walk for a while: all its frames are there before it takes the place of the last one. */
async function hang(stage, label, walkView, signal) {
  const frames = [];
  await loadFrames(walkView, { signal, onFrame: (place, bitmap) => frames.push({ place, bitmap }) });
  const shape = walkView.request.shape === "open" ? "boomerang" : "loop"; // on a wall nothing jumps
  stage.element.classList.add("is-changing");
  if (stage.player.frames.length) await pause(0.7, signal);
  stage.describe("stage.shows", { title: () => title(walkView) });
  stage.begin({ isExact: true, numFrames: walkView.num_frames, shape, framesPerSecond: walkView.request.frames_per_second, frames });
  label.replaceChildren(stopsOf(walkView));
  stage.element.classList.remove("is-changing");
  if (stage.wantsToPlay) stage.player.play();
  await pause(SHOWN_S, signal);
}

async function showChoosing(chosen = null) {
  const signal = enter("choosing");
  const place = el("div", { class: "kiosk-wait" }, say(el("p"), "stage.loading"));
  main.replaceChildren(place);
  try {
    const [me, models] = await Promise.all([api.me(), api.models()]);
    if (signal.aborted) return;
    main.replaceChildren(choosing({ me, models, chosen, onLeave: showAttract, onCreated: showWalking }));
    main.querySelector("h1").focus();
  } catch (problem) {
    if (!signal.aborted) showProblem(place, problem, { retry: () => showChoosing(chosen) });
  }
}

function showWalking(walkView) {
  const signal = enter("running");
  const site = siteOf(query.get("site"));
  main.replaceChildren(walking({
    walkView, site, signal, onLeave: showAttract, onAgain: () => showChoosing(),
    onEnded: () => { document.body.dataset.view = "done"; idle.watch(true); },
  }));
  main.querySelector("h1").focus();
  pause(LONGEST_WALK_S, signal).then(() => idle.watch(true), () => {}); // it was left before
}

/** Only an http address: the code on the wall is followed by strangers' phones. */
function siteOf(text) {
  try {
    const url = new URL(text ?? "");
    return ["http:", "https:"].includes(url.protocol) ? url.origin : location.origin;
  } catch {
    return location.origin;
  }
}

function fullScreen() {
  if (document.fullscreenElement || !document.fullscreenEnabled) return;
  document.documentElement.requestFullscreen().catch(() => {}); // a browser in kiosk mode is so already
}

async function begin() {
  await i18n.begin();
  language = i18n.currentLanguage();
  i18n.offerLanguages(document.getElementById("language"), { remembers: false });
  const seconds = Number.parseFloat(query.get("idle") ?? "");
  idle = new Idle(seconds > 0 ? seconds : IDLE_S, showAttract);
  document.title = i18n.t("kiosk.title");
  document.addEventListener("languagechange", () => { document.title = i18n.t("kiosk.title"); });
  await showAttract();
}

begin();
