/** What can be done with a walk that is done: walk on, share, download, look at its report, delete it. */

import * as api from "./api.js";
import { announce, el } from "./dom.js";
import { say, t } from "./i18n.js";
import { title } from "./label.js";
import { showProblem } from "./problems.js";
import { qrImage } from "./qr.js";

const FORMATS = ["gif", "mp4", "webp"];

/** The elements, in order. */
export function takeHome(view, { go, walkOn }) {
  const onward = say(el("button", { type: "button", class: "primary", on: { click: () => walkOn(draftFrom(view)) } }), "done.walkOn");
  return [onward, sharing(view), downloads(view), phone(view), report(view), view.is_mine ? deleting(view, go) : null].filter(Boolean);
}

/** A walk that begins where this one ended: its last waypoint, and its seed, or the picture would be another. */
function draftFrom(view) {
  const { waypoints, seed, model } = view.request;
  const { prompt, picture } = waypoints.at(-1);
  return { waypoints: [{ prompt, picture }, { prompt: "" }], seed, model };
}

/** The walk's address for others. */
export const pageUrl = (view, site = location.origin) => new URL(view.links.page, site).href;

function sharing(view) {
  const link = el("input", { type: "text", readonly: true, class: "link-field", value: pageUrl(view), on: { focus: () => link.select() } });
  say(link, "done.link", {}, "aria-label");
  const copy = say(el("button", { type: "button", class: "outlined" }), "done.copy");
  copy.addEventListener("click", async () => {
    const done = await copied(link);
    say(copy, done ? "done.copied" : "done.copyByHand");
    announce(t(done ? "done.copied" : "done.copyByHand"));
    setTimeout(() => say(copy, "done.copy"), 3000);
  });
  const share = navigator.share ? say(el("button", { type: "button", class: "outlined" }), "done.share") : null;
  share?.addEventListener("click", () => navigator.share({ title: title(view), url: link.value }).catch(() => {})); // the visitor thought better of it
  return el("div", { class: "share" }, say(el("h2", { class: "legend" }), "done.shareHead"), el("div", { class: "share-row" }, link, copy, share));
}

async function copied(field) {
  try {
    await navigator.clipboard.writeText(field.value);
    return true;
  } catch { // not on plain http: the older way
    field.focus();
    field.select();
    return document.execCommand("copy");
  }
}

function downloads(view) {
  const links = FORMATS.filter((format) => view.links[format]).map((format) => {
    const href = `${view.links[format]}?download=1`;
    return el("li", {}, say(el("a", { href, download: true, class: "outlined button" }), "done.as", { format: format === "webp" ? "WebP" : format.toUpperCase() }));
  });
  return el("div", { class: "downloads" }, say(el("h2", { class: "legend" }), "done.download"), el("ul", { class: "download-row" }, ...links));
}

function phone(view) {
  return unfolding("done.phone", () => qrImage(pageUrl(view), t("done.qr")));
}

function report(view) {
  if (!view.links.report) return null;
  return unfolding("done.report", () => {
    const image = el("img", { src: view.links.report_picture, alt: t("done.reportAlt"), class: "report", loading: "lazy" });
    const words = say(el("p", { class: "note" }), "done.reportNote");
    image.addEventListener("error", () => image.replaceWith(say(el("p"), "done.noReport")));
    return el("div", {}, image, words, say(el("a", { href: view.links.report, target: "_blank", rel: "noopener" }), "done.reportData"));
  });
}

/** Made only when it is opened. */
function unfolding(key, make) {
  const details = el("details", {}, say(el("summary"), key));
  details.addEventListener("toggle", () => { if (details.open && details.children.length === 1) details.append(make()); });
  return details;
}

function deleting(view, go) {
  const problem = el("div", { class: "problem-place", hidden: true });
  const open = say(el("button", { type: "button", class: "quiet danger", on: { click: () => dialog.showModal() } }), "done.delete");
  const keep = say(el("button", { type: "button", class: "outlined", autofocus: true, on: { click: () => dialog.close() } }), "done.keep");
  const sure = say(el("button", { type: "button", class: "primary" }), "done.deleteSure");
  const dialog = el("dialog", { class: "ask" }, say(el("p"), "done.deleteAsk"), problem, el("div", { class: "ask-row" }, keep, sure));
  say(dialog, "done.delete", {}, "aria-label");
  sure.addEventListener("click", async () => {
    sure.disabled = true;
    try {
      await api.cancelOrDelete(view.id);
      dialog.close();
      announce(t("done.deleted"));
      go("#/mine");
    } catch (error) {
      sure.disabled = false;
      showProblem(problem, error);
    }
  });
  return el("div", { class: "deleting" }, open, dialog);
}
