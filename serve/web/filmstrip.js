/** The walk as a strip of small pictures that fills, coarse to fine; it lies beneath the slider. */

const CELL_PX = 44;
/** How strongly a picture is shown in a cell that is not its own. */
const BORROWED = 0.32;

export class Filmstrip {
  #waiting = false;

  /**
   * @param {HTMLCanvasElement} canvas
   * @param {import("./player.js").Player} player
   */
  constructor(canvas, player) {
    this.canvas = canvas;
    this.player = player;
    this.pen = canvas.getContext("2d");
    new ResizeObserver(() => this.redraw()).observe(canvas);
    player.addEventListener("frames", () => this.redraw());
  }

  /** Draws once before the next frame of the screen, however often it is called. */
  redraw() {
    if (this.#waiting) return;
    this.#waiting = true;
    requestAnimationFrame(() => { this.#waiting = false; this.#draw(); });
  }

  #draw() {
    const ratio = devicePixelRatio || 1;
    const { clientWidth, clientHeight } = this.canvas;
    if (clientWidth === 0) return;
    this.canvas.width = clientWidth * ratio;
    this.canvas.height = clientHeight * ratio;
    this.pen.scale(ratio, ratio);
    this.pen.imageSmoothingQuality = "high";
    const { frames, numFrames } = this.player;
    if (frames.length === 0) return;
    const cells = Math.max(4, Math.min(numFrames, Math.round(clientWidth / CELL_PX)));
    const wide = clientWidth / cells;
    for (let cell = 0; cell < cells; cell++) {
      const middle = (cell + 0.5) / cells * numFrames - 0.5;
      const frame = nearest(frames, middle);
      const isOwn = Math.abs(frame.place - middle) <= Math.max(0.5, numFrames / cells / 2 + 0.01);
      this.pen.globalAlpha = isOwn ? 1 : BORROWED;
      drawCovering(this.pen, frame.bitmap, cell * wide, wide, clientHeight);
    }
  }
}

function nearest(frames, place) {
  return frames.reduce((best, frame) => (Math.abs(frame.place - place) < Math.abs(best.place - place) ? frame : best));
}

/** The middle of a picture, as large as fills the cell. */
function drawCovering(pen, bitmap, left, wide, high) {
  const scale = Math.max(wide / bitmap.width, high / bitmap.height);
  const [w, h] = [wide / scale, high / scale];
  pen.drawImage(bitmap, (bitmap.width - w) / 2, (bitmap.height - h) / 2, w, h, left, 0, wide + 0.5, high);
}
