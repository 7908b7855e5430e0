/** Wall labels: what a walk is, set as a museum sets it. */

import { el } from "./dom.js";
import { duration, say, t } from "./i18n.js";

/** A waypoint as words: its prompt, or that it is a visitor's picture. */
const wordsOf = ({ prompt }) => prompt || t("label.picture");

/** All stops in one line, for names and titles. */
export function title(walkView) {
  const { waypoints } = walkView.request;
  return t("label.title", { from: wordsOf(waypoints[0]), to: wordsOf(waypoints.at(-1)) });
}

/** The prompts, each on its line. */
export function stopsOf(walkView, tag = "p") {
  const { waypoints } = walkView.request;
  const parts = waypoints.map((waypoint, i) => {
    const words = el("span", { class: "label-stop", text: waypoint.prompt });
    if (!waypoint.prompt) say(words, "label.picture");
    // read as "to" between the stops; seen as an arrow
    const joint = i ? say(el("span", { class: "visually-hidden" }), "label.to") : null;
    return el("span", { class: "label-line" }, joint, words);
  });
  return el(tag, { class: "label-stops" }, ...parts);
}

/** "Latent walk, 60 pictures, 3 seconds" */
export function medium(walkView) {
  const line = el("p", { class: "label-medium" });
  const count = walkView.num_frames ?? walkView.request.num_frames;
  const seconds = walkView.duration_s ?? count / walkView.request.frames_per_second;
  return say(line, "label.medium", { count, time: () => duration(Math.round(seconds * 10) / 10) });
}

/** The particulars below: date, shape, model, seed. */
export function particulars(walkView, modelTitle) {
  const rows = [
    ["label.made", () => t("label.date", { date: new Date(walkView.created_at) })],
    ["label.shape", () => t(`settings.shape.${walkView.request.shape}`)],
    ["label.model", () => modelTitle ?? walkView.request.model],
    ["label.seed", () => String(walkView.request.seed)],
  ];
  return el("dl", { class: "particulars" }, ...rows.flatMap(([key, value]) => [
    say(el("dt"), key), say(el("dd"), "label.value", { value }),
  ]));
}
