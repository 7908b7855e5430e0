/**
 * Keeps the playing of walks below three flashes a second: WCAG 2.3.1, general and red flashes.
 * https://www.w3.org/TR/WCAG22/#dfn-general-flash-and-red-flash-thresholds
 *
 * A flash is a pair of opposing changes, so three a second are six changes. We look at a grid of cells; the rate is
 * lowered until no more cells than the allowed share of the picture change more often.
 */

const CELLS = 12;
const LUMINANCE_STEP = 0.1;
const RED_STEP = 20 / 320;
const CHANGES_A_SECOND = 6;
/** A quarter of ten degrees of the visual field, as WCAG counts it on a screen, px². */
const SAFE_AREA = 341 * 256 / 4;
/** Cycles looked at: enough for seven changes in a loop that changes twice. */
const CYCLES = 4;

const sheet = document.createElement("canvas");
sheet.width = sheet.height = CELLS;
const pen = sheet.getContext("2d", { willReadFrequently: true });

/** Of each cell its relative luminance, then of each its redness (0 where red is not saturated). */
export function measure(bitmap) {
  pen.drawImage(bitmap, 0, 0, CELLS, CELLS);
  return measurePixels(pen.getImageData(0, 0, CELLS, CELLS).data);
}

/** The same from RGBA bytes. */
export function measurePixels(bytes) {
  const count = bytes.length / 4;
  const values = new Float32Array(2 * count);
  for (let i = 0; i < count; i++) {
    const [r, g, b] = [bytes[4 * i] / 255, bytes[4 * i + 1] / 255, bytes[4 * i + 2] / 255];
    values[i] = 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
    values[count + i] = r >= 0.8 * (r + g + b) ? Math.max(0, r - g - b) : 0;
  }
  return values;
}

const linear = (v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);

/**
 * The highest rate up to `wanted`, in frames a second, at which a cycle of frames can be repeated.
 * @param {Float32Array[]} cycle what `measure` gave, in the order in which the frames are shown
 * @param {number} area of the picture on the screen, px²
 */
export function safeRate(cycle, wanted, area) {
  if (cycle.length < 2) return wanted;
  const count = cycle[0].length / 2;
  const allowed = Math.floor(Math.min(0.25, SAFE_AREA / Math.max(area, 1)) * count);
  const rates = [];
  for (let cell = 0; cell < count; cell++) {
    const bright = shortestBurst(cycle, cell, LUMINANCE_STEP);
    const red = shortestBurst(cycle, count + cell, RED_STEP);
    rates.push(Math.min(bright, red));
  }
  rates.sort((a, b) => a - b);
  return Math.min(wanted, rates[Math.min(allowed, count - 1)]);
}

/** The fewest frames in which a cell changes once more than a second may hold: shown in a second, that is the limit. */
function shortestBurst(cycle, cell, step) {
  const changes = [];
  let extreme = cycle[0][cell];
  let direction = 0;
  for (let i = 1; i < cycle.length * CYCLES; i++) {
    const change = cycle[i % cycle.length][cell] - extreme;
    if (direction === 0 ? Math.abs(change) >= step : -direction * change >= step) {
      changes.push(i);
      direction = Math.sign(change);
      extreme += change;
    } else if (direction * change > 0) {
      extreme += change; // goes on in the same direction
    }
  }
  let shortest = Infinity;
  for (let k = CHANGES_A_SECOND; k < changes.length; k++) {
    shortest = Math.min(shortest, changes[k] - changes[k - CHANGES_A_SECOND]);
  }
  return shortest;
}
