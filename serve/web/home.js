/** The first view: a walk from the gallery to look at, the form beside it, more walks below. */

import * as api from "./api.js";
import { composeForm } from "./compose.js";
import { el } from "./dom.js";
import { loadFrames, playedAs } from "./frames.js";
import { card } from "./gallery.js";
import { say } from "./i18n.js";
import { medium, stopsOf, title } from "./label.js";
import { showProblem } from "./problems.js";
import { Stage } from "./stage.js";

const NUM_CARDS = 4;

/** @param {{signal: AbortSignal, draft: object|null, go: (hash: string) => void}} context */
export async function showHome(main, { signal, draft, go }) {
  const place = el("div", { class: "compose-place" });
  const art = el("figure", { class: "hero-art" });
  const heading = say(el("h1", { tabindex: -1 }), draft ? "home.walkOn" : "home.heading");
  const intro = say(el("p", { class: "lead" }), draft ? "home.walkOnLead" : "home.lead");
  const more = el("section", { class: "more", hidden: true });
  main.replaceChildren(el("div", { class: "hero" }, art, el("div", { class: "hero-words" }, heading, intro, place)), more);
  await Promise.all([showForm(), showArt()]);

  async function showForm() {
    try {
      const [me, models] = await Promise.all([api.me(), api.models()]);
      if (signal.aborted) return;
      const onCreated = (walkView) => go(`#/walks/${walkView.id}`);
      place.hidden = false;
      place.replaceChildren(composeForm({ me, models, draft, onCreated }));
    } catch (problem) {
      if (!signal.aborted) showProblem(place, problem, { retry: showForm });
    }
  }

  async function showArt() {
    const stage = new Stage({ hasStrip: false, hasTools: false });
    stage.wait("stage.loading");
    signal.addEventListener("abort", () => stage.player.release(), { once: true });
    art.append(stage.element);
    try {
      const { walks } = await api.walks("featured", { limit: NUM_CARDS + 1, signal });
      if (walks.length === 0) { art.closest(".hero").classList.add("has-no-art"); art.remove(); return; }
      showMore(walks.slice(1));
      await hang(stage, walks[0]);
    } catch {
      // a view without its ornament still works; the form says what is wrong with the service
      if (!signal.aborted && stage.player.frames.length === 0) { art.closest(".hero").classList.add("has-no-art"); art.remove(); }
    }
  }

  async function hang(stage, walkView) {
    stage.describe("stage.shows", { title: () => title(walkView) });
    stage.begin({ isExact: true, numFrames: walkView.num_frames, shape: playedAs(walkView.request), framesPerSecond: walkView.request.frames_per_second });
    const link = el("a", { class: "label-link", href: walkView.links.page.replace(/^\//, "") }, stopsOf(walkView));
    art.append(el("figcaption", { class: "label" }, el("div", {}, link, medium(walkView))));
    art.querySelector(".label").append(stage.playButton);
    stage.bar.remove();
    await loadFrames(walkView, { signal, isSparing: true, onFrame: (number, bitmap) => stage.add(number, bitmap) });
  }

  function showMore(walks) {
    if (walks.length === 0) return;
    const all = say(el("a", { href: "#/gallery", class: "quiet" }), "home.all");
    const head = el("div", { class: "more-head" }, say(el("h2"), "gallery.featured"), all);
    more.append(head, el("ul", { class: "cards" }, ...walks.map(card)));
    more.hidden = false;
  }
}
