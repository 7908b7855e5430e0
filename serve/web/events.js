/** Follows a walk by server-sent events, however often the connection is lost. */

import { Problem, walk as getWalk } from "./api.js";

const ENDED = new Set(["done", "failed", "cancelled"]);
const FIRST_WAIT_S = 1;
const LONGEST_WAIT_S = 20;
/** A stream that said nothing for so long may be dead without the browser's knowing: heartbeats don't reach scripts. */
const SILENCE_S = 30;

/** Whether nothing more will happen to a walk by itself. */
export const hasEnded = (walkView) => ENDED.has(walkView.state);

/**
 * Calls the handlers until the walk has ended or the signal aborts.
 * The browser reconnects by itself with Last-Event-ID while it thinks that it can; where it gives up (an error
 * page, a machine that slept) we ask how the walk is and begin a new stream with ?last_event_id=.
 * @param {{onProgress: Function, onFrame: Function, onEnd: Function, onConnection: (isUp: boolean) => void, onProblem: (problem: Problem) => void}} handlers
 */
export function follow(walkView, handlers, signal) {
  let source = null;
  let lastId = 0;
  let wait = FIRST_WAIT_S;
  let timer = null;
  let silence = null;

  const close = () => { source?.close(); source = null; clearTimeout(timer); clearTimeout(silence); };
  const leave = () => { close(); removeEventListener("online", hurry); removeEventListener("offline", lost); };
  const finish = (view) => { leave(); handlers.onEnd(view); };
  const giveUp = (problem) => { leave(); handlers.onProblem(problem); };
  const heard = () => { wait = FIRST_WAIT_S; clearTimeout(silence); silence = setTimeout(recover, SILENCE_S * 1000); };
  const lost = () => handlers.onConnection(false);
  // a stream from before may be dead without knowing it: a new one is certain
  const hurry = () => { clearTimeout(timer); recover(); };

  signal.addEventListener("abort", leave, { once: true });
  addEventListener("online", hurry);
  addEventListener("offline", lost);
  open();

  function open() {
    close();
    source = new EventSource(`${walkView.links.events}${lastId ? `?last_event_id=${lastId}` : ""}`);
    source.addEventListener("open", () => { heard(); handlers.onConnection(true); });
    source.addEventListener("progress", (event) => { heard(); handlers.onProgress(JSON.parse(event.data)); });
    source.addEventListener("frame", (event) => {
      heard();
      const frame = JSON.parse(event.data);
      if (frame.number <= lastId) return; // sent again after a reconnection
      lastId = frame.number;
      handlers.onFrame(frame);
    });
    source.addEventListener("end", (event) => finish(JSON.parse(event.data)));
    source.addEventListener("error", () => {
      handlers.onConnection(false);
      if (source.readyState === EventSource.CLOSED) later();
    });
    heard();
  }

  function later() {
    clearTimeout(silence);
    timer = setTimeout(recover, wait * 1000 * (0.75 + Math.random() / 2)); // not all visitors in the same moment
    wait = Math.min(2 * wait, LONGEST_WAIT_S);
  }

  async function recover() {
    try {
      const view = await getWalk(walkView.id, signal);
      if (signal.aborted) return;
      // an ended walk that is not done has only its previews, which the stream still gives
      if (view.state === "done") finish(view);
      else open();
    } catch (problem) {
      if (signal.aborted) return;
      if (problem instanceof Problem && !problem.isPassing) giveUp(problem);
      else { close(); handlers.onConnection(false); later(); }
    }
  }
}
