/** The visitors' page: which view is shown, by the address behind the #. */

import { el } from "./dom.js";
import { showGallery } from "./gallery.js";
import { showHome } from "./home.js";
import * as i18n from "./i18n.js";
import { showWalk } from "./walk.js";

const main = document.getElementById("main");
let leaving = new AbortController();
/** What the next form begins with. */
let draft = null;
let titleOf = () => i18n.t("site.title");

const go = (hash) => {
  if (location.hash === hash) show(); else location.hash = hash;
};
const walkOn = (next) => { draft = next; go("#/"); };

function show() {
  leaving.abort(new DOMException("another view", "AbortError"));
  leaving = new AbortController();
  const { signal } = leaving;
  const [, id] = /^#\/walks\/([\w.~-]+)$/.exec(location.hash) ?? [];
  const given = draft;
  draft = null;
  if (id) return enter("walk", () => showWalk(main, { id, signal, go, walkOn }));
  if (location.hash === "#/gallery") return enter("gallery", () => showGallery(main, { list: "featured", signal }));
  if (location.hash === "#/mine") return enter("mine", () => showGallery(main, { list: "mine", signal }));
  return enter("home", () => showHome(main, { signal, draft: given, go }));
}

const TITLES = {
  home: () => i18n.t("site.title"),
  gallery: () => i18n.t("site.titled", { title: i18n.t("gallery.featured") }),
  mine: () => i18n.t("site.titled", { title: i18n.t("gallery.mine") }),
};
let isFirst = true;

function enter(name, view) {
  document.body.dataset.view = name;
  for (const link of document.querySelectorAll("nav a")) {
    if (link.dataset.view === name) link.setAttribute("aria-current", "page"); else link.removeAttribute("aria-current");
  }
  if (name in TITLES) setTitle(TITLES[name]); // a walk's own comes with the walk
  const shown = view();
  if (!isFirst) {
    scrollTo(0, 0);
    // the browser did not load a page, so nobody else tells where one is now
    focusHeading();
  }
  isFirst = false;
  return shown;
}

function focusHeading() {
  const heading = main.querySelector("h1");
  if (heading) return heading.focus({ preventScroll: true });
  const { signal } = leaving;
  const watcher = new MutationObserver(() => {
    const late = main.querySelector("h1");
    if (!late) return;
    watcher.disconnect();
    late.focus({ preventScroll: true });
  });
  watcher.observe(main, { childList: true, subtree: true });
  return signal.addEventListener("abort", () => watcher.disconnect(), { once: true });
}

function setTitle(make) {
  titleOf = make;
  document.title = make();
}

async function begin() {
  await i18n.begin();
  i18n.offerLanguages(document.getElementById("language"));
  document.addEventListener("languagechange", () => setTitle(titleOf));
  document.addEventListener("walktitle", ({ detail }) => setTitle(() => i18n.t("site.titled", { title: detail })));
  // a link to #main would be taken for a view
  document.getElementById("skip").addEventListener("click", (event) => { event.preventDefault(); main.focus(); });
  addEventListener("hashchange", show);
  document.body.classList.add("is-ready");
  await show();
}

begin().catch((error) => {
  main.replaceChildren(el("p", { role: "alert", text: "This page could not be loaded. Please load it again." }));
  throw error;
});
