/**
 * Plays frames on a canvas: those that are there, wherever they lie, blended where there are gaps.
 * A *place* is a frame's number along the walk, from 0 to numFrames - 1; previews may lie between two numbers.
 */

import { measure, safeRate } from "./flash.js";

/** How long an open walk rests at its end, and fades back to its beginning, seconds. */
const REST_S = 0.9;
const FADE_S = 0.7;
/** Below this rate neighbours are blended, or one would see the single frames. */
const BLEND_BELOW = 14;

/** @typedef {{place: number, bitmap: ImageBitmap, light: Float32Array}} Frame */

export class Player extends EventTarget {
  /** @type {Frame[]} ordered by place */
  frames = [];
  numFrames = 1;
  /** "open" rests and fades back, "loop" goes on to the first frame, "boomerang" turns round. */
  shape = "open";
  framesPerSecond = 20;
  speed = 1;
  isPlaying = false;
  #cursor = 0;
  #restS = 0;
  #lastTime = null;
  #drawn = "";
  #safe = Infinity;
  #safeTimer = null;

  /** @param {HTMLCanvasElement} canvas */
  constructor(canvas) {
    super();
    this.canvas = canvas;
    this.pen = canvas.getContext("2d", { alpha: false });
    new ResizeObserver(() => this.#fit()).observe(canvas);
  }

  /** Starts anew: another walk, or its final frames instead of the previews. The place along the way is kept. */
  begin({ numFrames, shape, framesPerSecond, frames = [] }) {
    const along = this.numFrames > 1 ? this.#folded() / (this.numFrames - 1) : 0;
    Object.assign(this, { numFrames, shape, framesPerSecond });
    this.#forget();
    this.#cursor = along * (numFrames - 1);
    this.#restS = 0;
    this.#safe = Infinity;
    for (const { place, bitmap } of frames) this.add(place, bitmap);
    if (frames.length) this.#measureRate();
    this.#draw();
  }

  /** Adds a frame at its place. */
  add(place, bitmap) {
    const at = this.#firstAfter(place);
    this.frames.splice(at, 0, { place, bitmap, light: measure(bitmap) });
    clearTimeout(this.#safeTimer);
    this.#safeTimer = setTimeout(() => this.#measureRate(), 120); // many come at once
    if (this.frames.length === 1) this.#fit();
    if (!this.isPlaying) { this.#drawn = ""; this.#draw(); }
    this.dispatchEvent(new Event("frames"));
  }

  /** Gives the pictures' memory back: a wall shows walks for days. */
  release() {
    this.isPlaying = false;
    clearTimeout(this.#safeTimer);
    this.#forget();
  }

  play() {
    if (this.isPlaying || this.frames.length === 0) return;
    if (this.shape === "open" && this.#cursor >= this.numFrames - 1) this.#cursor = 0;
    this.isPlaying = true;
    this.#lastTime = null;
    requestAnimationFrame((time) => this.#tick(time));
    this.dispatchEvent(new Event("state"));
  }

  pause() {
    if (!this.isPlaying) return;
    this.isPlaying = false;
    this.#cursor = Math.round(this.#folded());
    this.#restS = 0;
    this.#draw();
    this.dispatchEvent(new Event("state"));
    this.dispatchEvent(new Event("move"));
  }

  /** Goes to a place and stays there. */
  seek(place) {
    this.pause();
    this.#cursor = Math.max(0, Math.min(this.numFrames - 1, place));
    this.#draw();
    this.dispatchEvent(new Event("move"));
  }

  /** Where it is, 0 … numFrames - 1. */
  get place() {
    return Math.min(this.numFrames - 1, this.#folded());
  }

  /** Frames a second as they are shown: as asked, or fewer where they would flash. */
  get rate() {
    return Math.min(this.framesPerSecond * this.speed, this.#safe);
  }

  /** Whether it is slowed down so as not to flash. */
  get isCalmed() {
    return this.rate < this.framesPerSecond * this.speed - 0.01;
  }

  #forget() {
    for (const { bitmap } of this.frames) bitmap.close();
    this.frames = [];
    this.#drawn = "";
  }

  #tick(time) {
    if (!this.isPlaying || !this.canvas.isConnected) { this.isPlaying = false; return; }
    const passed = this.#lastTime === null ? 0 : Math.min(0.25, (time - this.#lastTime) / 1000);
    this.#lastTime = time;
    this.#advance(passed);
    this.#draw();
    requestAnimationFrame((next) => this.#tick(next));
  }

  #advance(passed) {
    const last = this.numFrames - 1;
    if (this.shape === "open" && this.#cursor >= last) {
      this.#restS += passed;
      if (this.#restS >= REST_S + FADE_S) { this.#cursor = 0; this.#restS = 0; }
    } else {
      const cycle = this.shape === "loop" ? this.numFrames : this.shape === "boomerang" ? 2 * last : Infinity;
      this.#cursor += passed * this.rate;
      if (cycle > 0) this.#cursor %= cycle;
      if (this.shape === "open") this.#cursor = Math.min(this.#cursor, last);
    }
    this.dispatchEvent(new Event("move"));
  }

  #folded() {
    const last = this.numFrames - 1;
    return this.shape === "boomerang" && this.#cursor > last ? 2 * last - this.#cursor : this.#cursor;
  }

  #firstAfter(place) {
    let [low, high] = [0, this.frames.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.frames[middle].place > place) high = middle; else low = middle + 1;
    }
    return low;
  }

  /** The two frames that a place lies between, and the second's share. */
  #around(place) {
    const after = this.#firstAfter(place);
    const first = this.frames[after - 1] ?? this.frames[0];
    let second = this.frames[after] ?? first;
    let width = second.place - first.place;
    if (after === this.frames.length && this.shape === "loop") {
      second = this.frames[0];
      width = second.place + this.numFrames - first.place;
    }
    const share = width > 0 ? Math.max(0, Math.min(1, (place - first.place) / width)) : 0;
    return { first, second, share, width };
  }

  #draw() {
    if (this.frames.length === 0) return;
    if (this.#restS > REST_S) return this.#paint(this.frames.at(-1), this.frames[0], (this.#restS - REST_S) / FADE_S);
    const { first, second, share, width } = this.#around(this.#folded());
    const isDense = width <= 1.01;
    if (!this.isPlaying) return this.#paint(share < 0.5 ? first : second, first, 0);
    return this.#paint(first, second, isDense && this.rate >= BLEND_BELOW ? 0 : share);
  }

  #paint(first, second, share) {
    const what = `${first.place} ${second.place} ${share.toFixed(2)}`;
    if (what === this.#drawn) return;
    this.#drawn = what;
    const { width, height } = this.canvas;
    this.pen.imageSmoothingQuality = "high";
    this.pen.globalAlpha = 1;
    this.pen.drawImage(first.bitmap, 0, 0, width, height);
    if (share > 0.005) {
      this.pen.globalAlpha = share;
      this.pen.drawImage(second.bitmap, 0, 0, width, height);
    }
  }

  /** As many pixels as are seen, so that small pictures are enlarged smoothly; the walk's own proportions. */
  #fit() {
    const first = this.frames[0]?.bitmap;
    if (!first) return;
    const wide = Math.round(Math.min(1400, Math.max(64, this.canvas.clientWidth * (devicePixelRatio || 1))));
    const high = Math.round(wide * first.height / first.width);
    if (this.canvas.width !== wide || this.canvas.height !== high) Object.assign(this.canvas, { width: wide, height: high });
    this.#drawn = "";
    this.#draw();
    this.#measureRate();
  }

  #measureRate() {
    if (this.frames.length < 2) return;
    const there = Array.from({ length: this.numFrames }, (_, place) => this.#lightAt(place));
    const cycle = this.shape === "boomerang" ? [...there, ...there.slice(1, -1).reverse()] : there;
    const area = this.canvas.clientWidth * this.canvas.clientHeight;
    this.#safe = safeRate(cycle, Infinity, area);
    this.dispatchEvent(new Event("state"));
  }

  #lightAt(place) {
    const { first, second, share } = this.#around(place);
    return share === 0 ? first.light : first.light.map((value, i) => value + share * (second.light[i] - value));
  }
}
