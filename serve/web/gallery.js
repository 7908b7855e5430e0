/** Walks to look at: those that the museum shows, and the visitor's own. */

import * as api from "./api.js";
import { announce, el, stillness } from "./dom.js";
import { say, t } from "./i18n.js";
import { medium, stopsOf } from "./label.js";
import { showProblem } from "./problems.js";

const A_PAGE = 24;
/** A loop shorter than this, repeated without end, could flash; its first picture is shown instead. */
const SHORTEST_LOOP_S = 1;

/**
 * A walk as a card: its first picture, which moves only while it is pointed at or focused.
 * The picture comes once the card is near the window (loading=lazy).
 */
export function card(walkView) {
  const still = walkView.state === "done" ? api.frameUrl(walkView, 0) : null;
  const image = el("img", { src: still, alt: "", loading: "lazy", decoding: "async", width: 256, height: 256 });
  const picture = el("div", { class: "card-picture" }, still ? image : say(el("span", { class: "card-state" }), `state.${walkView.state}`));
  const words = el("div", { class: "card-words" }, stopsOf(walkView), medium(walkView));
  const link = el("a", { class: "card-link", href: walkView.links.page.replace(/^\//, "") }, picture, words);
  image.addEventListener("error", () => image.classList.add("is-missing"));
  if (still) movesWhenPointedAt(link, image, still, walkView);
  return el("li", { class: "card" }, link);
}

function movesWhenPointedAt(link, image, still, walkView) {
  if (!(walkView.duration_s >= SHORTEST_LOOP_S)) return;
  let wanted = false;
  const start = () => {
    if (wanted || stillness.matches) return;
    wanted = true;
    const loader = new Image();
    loader.onload = () => { if (wanted) image.src = loader.src; };
    loader.src = walkView.links.webp;
  };
  const stop = () => { wanted = false; if (image.getAttribute("src") !== still) image.src = still; };
  link.addEventListener("pointerenter", (event) => { if (event.pointerType === "mouse") start(); });
  link.addEventListener("pointerleave", () => { if (!link.matches(":focus-visible")) stop(); });
  link.addEventListener("focus", () => { if (link.matches(":focus-visible")) start(); });
  link.addEventListener("blur", stop);
}

/** @param {"featured"|"mine"} list */
export async function showGallery(main, { list, signal }) {
  const cards = el("ul", { class: "cards" });
  const status = el("div", { class: "gallery-status" });
  const problem = el("div", { class: "problem-place", hidden: true });
  const more = say(el("button", { type: "button", class: "quiet more-button", hidden: true }), "gallery.more");
  const heading = say(el("h1", { tabindex: -1 }), `gallery.${list}`);
  main.replaceChildren(el("section", { class: "gallery" },
    el("header", { class: "gallery-head" }, heading, say(el("p", { class: "lead" }), `gallery.${list}Lead`)),
    cards, status, problem, more));
  let cursor = null;
  more.addEventListener("click", () => load(true));
  await load(false);

  async function load(isFurther) {
    more.disabled = true;
    if (!isFurther) cards.setAttribute("aria-busy", "true");
    try {
      const page = await api.walks(list, { limit: A_PAGE, cursor, signal });
      if (signal.aborted) return;
      const made = page.walks.map(card);
      cards.append(...made);
      cursor = page.next_cursor;
      more.hidden = !cursor;
      if (cards.children.length === 0) showEmpty();
      if (isFurther) made[0]?.querySelector("a").focus();
      announce(t("gallery.there", { count: cards.children.length }));
    } catch (error) {
      if (!signal.aborted) showProblem(problem, error, { retry: () => load(isFurther) });
    } finally {
      more.disabled = false;
      cards.removeAttribute("aria-busy");
    }
  }

  function showEmpty() {
    const link = say(el("a", { href: "#/", class: "button" }), "gallery.makeOne");
    status.replaceChildren(say(el("p", { class: "gallery-empty" }), `gallery.${list}Empty`), link);
  }
}
