/**
 * QR codes: ISO/IEC 18004, byte mode, versions 1 to 10, error correction level M (it survives 15 % of damage).
 * That is up to 213 bytes, more than any link of ours.
 */

import { svg } from "./dom.js";

/** For each version from 1: codewords in all, correction codewords a block, blocks. Level M, table 9 of the standard. */
const VERSIONS = [
  [26, 10, 1], [44, 16, 1], [70, 26, 1], [100, 18, 2], [134, 24, 2],
  [172, 16, 4], [196, 18, 4], [242, 22, 4], [292, 22, 5], [346, 26, 5],
];
/** Centres of the alignment patterns, annex E. */
const ALIGNMENT = [[], [6, 18], [6, 22], [6, 26], [6, 30], [6, 34], [6, 22, 38], [6, 24, 42], [6, 26, 46], [6, 28, 50]];
const LEVEL_M = 0b00;
const MASKS = [
  (x, y) => (x + y) % 2, (x, y) => y % 2, (x) => x % 3, (x, y) => (x + y) % 3,
  (x, y) => (Math.floor(x / 3) + Math.floor(y / 2)) % 2, (x, y) => (x * y) % 2 + (x * y) % 3,
  (x, y) => ((x * y) % 2 + (x * y) % 3) % 2, (x, y) => ((x + y) % 2 + (x * y) % 3) % 2,
];

/** A text's QR code as rows of 0 and 1, without the quiet zone. Raises RangeError for one that is too long. */
export function encode(text) {
  const bytes = new TextEncoder().encode(text);
  const version = VERSIONS.findIndex((_, i) => bytes.length <= capacity(i + 1)) + 1;
  if (version === 0) throw new RangeError(`a QR code of ours holds ${capacity(10)} bytes, not ${bytes.length}`);
  const codewords = interleaved(dataCodewords(bytes, version), version);
  const candidates = MASKS.map((_, mask) => drawn(codewords, version, mask));
  return candidates.reduce((best, next) => (penalty(next) < penalty(best) ? next : best));
}

/** A QR code as an SVG with its quiet zone. */
export function qrImage(text, label) {
  const rows = encode(text);
  const size = rows.length + 8;
  const path = rows.flatMap((row, y) => row.map((dark, x) => (dark ? `M${x + 4} ${y + 4}h1v1h-1z` : ""))).join("");
  return svg("svg", { viewBox: `0 0 ${size} ${size}`, class: "qr", role: "img", "aria-label": label, "shape-rendering": "crispEdges" },
    svg("rect", { width: size, height: size, fill: "#fff" }), svg("path", { d: path, fill: "#000" }));
}

const countBits = (version) => (version < 10 ? 8 : 16);
const numData = (version) => VERSIONS[version - 1][0] - VERSIONS[version - 1][1] * VERSIONS[version - 1][2];
const capacity = (version) => Math.floor((numData(version) * 8 - 4 - countBits(version)) / 8);

function dataCodewords(bytes, version) {
  const bits = [];
  const put = (value, count) => { for (let i = count - 1; i >= 0; i--) bits.push((value >> i) & 1); };
  put(0b0100, 4);
  put(bytes.length, countBits(version));
  for (const byte of bytes) put(byte, 8);
  put(0, Math.min(4, numData(version) * 8 - bits.length));
  while (bits.length % 8) bits.push(0);
  const words = [];
  for (let i = 0; i < bits.length; i += 8) words.push(Number.parseInt(bits.slice(i, i + 8).join(""), 2));
  for (let pad = 0xec; words.length < numData(version); pad ^= 0xec ^ 0x11) words.push(pad);
  return words;
}

/** The data in blocks, each with its correction, column by column. */
function interleaved(words, version) {
  const [, numCorrection, numBlocks] = VERSIONS[version - 1];
  const short = Math.floor(words.length / numBlocks);
  const numShort = numBlocks - (words.length % numBlocks);
  const blocks = [];
  for (let i = 0, at = 0; i < numBlocks; i++) {
    const length = short + (i >= numShort ? 1 : 0);
    blocks.push(words.slice(at, at + length));
    at += length;
  }
  const corrections = blocks.map((block) => correction(block, numCorrection));
  return [...columns(blocks), ...columns(corrections)];
}

function columns(blocks) {
  const longest = Math.max(...blocks.map((block) => block.length));
  const result = [];
  for (let i = 0; i < longest; i++) for (const block of blocks) if (i < block.length) result.push(block[i]);
  return result;
}

/** Product in GF(256) modulo x⁸ + x⁴ + x³ + x² + 1. */
function times(a, b) {
  let product = 0;
  for (; b; b >>= 1, a = (a << 1) ^ (a & 0x80 ? 0x11d : 0)) if (b & 1) product ^= a;
  return product;
}

/** Reed–Solomon: the remainder of the block by (x - 1)(x - α)…(x - α^(count - 1)). */
function correction(block, count) {
  let generator = [1];
  for (let i = 0, root = 1; i < count; i++, root = times(root, 2)) {
    generator = [...generator, 0].map((value, k) => value ^ (k ? times(generator[k - 1], root) : 0));
  }
  const remainder = [...block, ...Array(count).fill(0)];
  for (let i = 0; i < block.length; i++) {
    const lead = remainder[i];
    generator.forEach((factor, k) => { remainder[i + k] ^= times(factor, lead); });
  }
  return remainder.slice(block.length);
}

function drawn(codewords, version, mask) {
  const size = 17 + 4 * version;
  const rows = Array.from({ length: size }, () => Array(size).fill(null)); // null: free for data
  const set = (x, y, dark) => { if (x >= 0 && y >= 0 && x < size && y < size) rows[y][x] = dark ? 1 : 0; };
  drawPatterns(set, rows, version, size);
  drawFormat(set, size, mask);
  if (version >= 7) drawVersion(set, size, version);
  fill(rows, size, codewords, mask);
  return rows;
}

function drawPatterns(set, rows, version, size) {
  for (const [left, top] of [[0, 0], [size - 7, 0], [0, size - 7]]) {
    for (let y = -1; y <= 7; y++) for (let x = -1; x <= 7; x++) {
      const ring = Math.max(Math.abs(x - 3), Math.abs(y - 3));
      set(left + x, top + y, ring !== 2 && ring !== 4);
    }
  }
  const centres = ALIGNMENT[version - 1];
  for (const cy of centres) for (const cx of centres) {
    if (rows[cy][cx] !== null) continue; // a finder pattern is there
    for (let y = -2; y <= 2; y++) for (let x = -2; x <= 2; x++) set(cx + x, cy + y, Math.max(Math.abs(x), Math.abs(y)) !== 1);
  }
  for (let i = 8; i < size - 8; i++) { set(i, 6, i % 2 === 0); set(6, i, i % 2 === 0); }
  set(8, size - 8, true);
}

/** `value` followed by its BCH remainder. */
function withRemainder(value, generator, count) {
  let rest = value << count;
  const top = 31 - Math.clz32(generator);
  while (rest && 31 - Math.clz32(rest) >= top) rest ^= generator << (31 - Math.clz32(rest) - top);
  return (value << count) | rest;
}

function drawFormat(set, size, mask) {
  const bits = withRemainder((LEVEL_M << 3) | mask, 0b10100110111, 10) ^ 0b101010000010010;
  for (let i = 0; i < 15; i++) {
    const dark = (bits >> i) & 1;
    // around the upper left finder pattern, beside the timing patterns
    if (i < 8) set(8, i < 6 ? i : i + 1, dark); else set(i === 8 ? 7 : 14 - i, 8, dark);
    if (i < 8) set(size - 1 - i, 8, dark); else set(8, size - 15 + i, dark);
  }
}

function drawVersion(set, size, version) {
  const bits = withRemainder(version, 0b1111100100101, 12);
  for (let i = 0; i < 18; i++) {
    const [a, b] = [Math.floor(i / 3), size - 11 + (i % 3)];
    set(a, b, (bits >> i) & 1);
    set(b, a, (bits >> i) & 1);
  }
}

/** The data, in columns of two from the lower right, up and down in turns. */
function fill(rows, size, codewords, mask) {
  let at = 0;
  for (let right = size - 1, isUp = true; right >= 1; right -= 2, isUp = !isUp) {
    if (right === 6) right = 5; // the timing pattern's column is left out
    for (let step = 0; step < size; step++) {
      const y = isUp ? size - 1 - step : step;
      for (const x of [right, right - 1]) {
        if (rows[y][x] !== null) continue;
        const bit = at < codewords.length * 8 ? (codewords[at >> 3] >> (7 - (at & 7))) & 1 : 0;
        rows[y][x] = bit ^ (MASKS[mask](x, y) === 0 ? 1 : 0);
        at++;
      }
    }
  }
}

/** How hard it is to read, by the standard's four rules. */
function penalty(rows) {
  const size = rows.length;
  const lines = [...rows, ...rows.map((_, x) => rows.map((row) => row[x]))].map((line) => line.join(""));
  let score = 0;
  for (const line of lines) {
    for (const run of line.match(/0{5,}|1{5,}/g) ?? []) score += run.length - 2;
    for (const pattern of ["10111010000", "00001011101"]) {
      for (let at = line.indexOf(pattern); at >= 0; at = line.indexOf(pattern, at + 1)) score += 40;
    }
  }
  for (let y = 1; y < size; y++) for (let x = 1; x < size; x++) {
    if (rows[y][x] + rows[y - 1][x] + rows[y][x - 1] + rows[y - 1][x - 1] in { 0: 1, 4: 1 }) score += 3;
  }
  const dark = rows.flat().reduce((sum, bit) => sum + bit, 0) / size ** 2;
  return score + 10 * Math.floor(Math.abs(dark - 0.5) * 20);
}
