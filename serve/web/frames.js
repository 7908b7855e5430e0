/** Fetches a walk's frames, coarse to fine, so that one can walk up and down before all are there. */

import { frameUrl, picture } from "./api.js";
import { sleep } from "./dom.js";

const AT_ONCE = 6;
const TRIES = 4;
/** Where a walk is only ornament and its pictures are large, so many of them do; the player blends between. */
const SPARED = { width: 256, count: 32 };
/** Decoded pictures are four bytes a pixel; a phone's page is thrown out of memory at some hundreds of MiB. */
const LARGEST_MIB = 192;

/** 0 … count - 1 so that every beginning of it is spread evenly: both ends, then halves, quarters, … */
export function coarseToFine(count) {
  const order = new Set([0, count - 1]);
  let step = 1;
  while (step < count) step *= 2;
  for (; step >= 1; step /= 2) for (let i = 0; i < count; i += step) order.add(i);
  return [...order];
}

/** How a walk's frames are played: there and back is a loop of all that is shown. */
export const playedAs = ({ shape }) => (shape === "open" ? "open" : "loop");

/**
 * Where a preview lies among the frames that will be shown. Its position is along the path: that of a loop ends where
 * it began, that of a boomerang is the way there, and what is seen on it is seen again on the way back.
 */
export function placesOf({ shape, num_frames: count }, position) {
  if (shape === "open") return [position * (count - 1)];
  if (shape === "loop") return [position * count];
  const turn = Math.floor((count + 1) / 2);
  const [there, back] = [position * turn, count - position * (count - turn)];
  return there < back && back < count ? [there, back] : [there];
}

/** A picture as it can be drawn, waiting and trying again where the service asks for it or the network fails. */
export async function loadBitmap(url, { signal, width = null } = {}) {
  for (let attempt = 1; ; attempt++) {
    try {
      const blob = await picture(url, signal);
      return await (width ? createImageBitmap(blob, { resizeWidth: width, resizeQuality: "high" }) : createImageBitmap(blob));
    } catch (problem) {
      if (signal?.aborted || attempt === TRIES || problem.isPassing === false) throw problem;
      await sleep(problem.retryAfterS ?? attempt, signal);
    }
  }
}

/**
 * Loads frames of a walk that is done; `onFrame(number, bitmap)` for each as it comes.
 * `isSparing` leaves out most of the large ones.
 */
export async function loadFrames(walkView, { onFrame, signal, isSparing = false }) {
  const queue = coarseToFine(walkView.num_frames);
  const begin = queue.shift();
  const first = await loadBitmap(frameUrl(walkView, begin), { signal });
  onFrame(begin, first);
  if (isSparing && first.width > SPARED.width) queue.splice(SPARED.count);
  const width = narrower(first, queue.length + 1);
  await Promise.all(Array.from({ length: AT_ONCE }, worker));

  async function worker() {
    while (queue.length) {
      const number = queue.shift();
      onFrame(number, await loadBitmap(frameUrl(walkView, number), { signal, width }));
    }
  }
}

function narrower(bitmap, count) {
  const mib = count * bitmap.width * bitmap.height * 4 / 2 ** 20;
  return mib > LARGEST_MIB ? Math.floor(bitmap.width * Math.sqrt(LARGEST_MIB / mib)) : null;
}
