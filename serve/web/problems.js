/** What went wrong, in plain words, with what can be done about it. */

import { el } from "./dom.js";
import { currentLanguage, duration, has, say, t } from "./i18n.js";

/** The message for a problem's code. */
export function wordsFor(problem) {
  const key = `error.${problem?.code}`;
  return has(key) ? key : "error.unknown";
}

/**
 * Shows a problem in a container. A problem that passes by itself counts down, then offers `retry`.
 * Returns a function that takes it away.
 * @param {HTMLElement} container
 */
export function showProblem(container, problem, { retry = null, onReady = () => {} } = {}) {
  const message = say(el("p", { role: "alert", class: "problem-words" }), wordsFor(problem));
  const box = el("div", { class: "problem" }, message);
  if (problem.detail && addsSomething(problem)) box.append(el("p", { class: "problem-detail", lang: "en", text: problem.detail }));
  container.replaceChildren(box);
  container.hidden = false;
  let timer = null;
  const clear = () => { clearInterval(timer); container.replaceChildren(); container.hidden = true; };
  const offer = () => {
    if (retry) box.append(say(el("button", { type: "button", class: "quiet", on: { click: () => { clear(); retry(); } } }), "problem.retry"));
    onReady();
  };
  if (problem.retryAfterS > 0) timer = countDown(box, problem.retryAfterS, offer);
  else offer();
  return clear;
}

/** English readers get the service's own sentence where it says more than ours; others only where ours says nothing. */
function addsSomething(problem) {
  if (problem.code === "refused_words" || !has(`error.${problem.code}`)) return true;
  return currentLanguage() === "en" && ["too_many_requests", "invalid_request", "conflict"].includes(problem.code);
}

function countDown(box, seconds, ready) {
  // outside the alert: a screen reader should not read every second
  const line = el("p", { class: "problem-countdown" });
  const until = performance.now() + seconds * 1000;
  const timer = setInterval(tick, 250);
  box.append(line);
  tick();
  return timer;

  function tick() {
    const left = Math.ceil((until - performance.now()) / 1000);
    if (left > 0) return say(line, "problem.wait", { time: () => duration(left) });
    clearInterval(timer);
    line.setAttribute("role", "status");
    line.textContent = t("problem.now");
    return ready();
  }
}
