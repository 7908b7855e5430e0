/** The service's REST contract, v1. Everything that goes wrong becomes a `Problem`. */

const TIMEOUT_S = 30;

/** A refusal as the service words it, or `network` when there was no answer. */
export class Problem extends Error {
  /** @param {{status?: number, code: string, detail?: string, retry_after_s?: number, errors?: {field: string, message: string}[]}} body */
  constructor({ status = 0, code, detail = "", retry_after_s = null, errors = [] }) {
    super(detail || code);
    Object.assign(this, { status, code, detail, retryAfterS: retry_after_s, errors });
  }

  /** Whether the same request may go well a little later. */
  get isPassing() {
    return this.status === 0 || this.status === 429 || this.status >= 500;
  }
}

async function request(path, { method = "GET", body, headers = {}, signal, timeoutS = TIMEOUT_S } = {}) {
  const limit = AbortSignal.timeout(timeoutS * 1000);
  // X-Momalisa cannot be sent from another site without its being asked first: it keeps forged requests out
  const options = { method, body, headers: { ...headers, ...(method === "GET" ? {} : { "X-Momalisa": "1" }) } };
  let reply;
  try {
    reply = await fetch(path, { ...options, signal: signal ? anyOf(signal, limit) : limit });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Problem({ code: navigator.onLine === false ? "offline" : "network" });
  }
  if (!reply.ok) throw await problemOf(reply);
  return reply;
}

function anyOf(...signals) {
  const controller = new AbortController();
  for (const signal of signals) {
    if (signal.aborted) controller.abort(signal.reason);
    else signal.addEventListener("abort", () => controller.abort(signal.reason), { once: true });
  }
  return controller.signal;
}

async function problemOf(reply) {
  const after = Number.parseFloat(reply.headers.get("Retry-After") ?? "");
  const fallback = { status: reply.status, code: reply.status >= 500 ? "unavailable" : "unknown" };
  let body = {};
  try { body = await reply.json(); } catch { /* something between us and the service answered */ }
  return new Problem({ ...fallback, retry_after_s: Number.isNaN(after) ? null : after, ...body });
}

const json = async (path, options) => (await request(path, options)).json();
const walkPath = (id) => `/v1/walks/${encodeURIComponent(id)}`;

export const me = () => json("/v1/me");
export const models = async () => (await json("/v1/models")).models;
export const walk = (id, signal) => json(walkPath(id), { signal });
export const cancelOrDelete = (id) => json(walkPath(id), { method: "DELETE" });

/** @param {"featured"|"mine"} list */
export function walks(list, { limit = 24, cursor = null, signal } = {}) {
  const query = new URLSearchParams({ list, limit, ...(cursor ? { cursor } : {}) });
  return json(`/v1/walks?${query}`, { signal });
}

/** Asks for a walk. The same key with the same body gives the same walk, so that a lost answer can be asked for again. */
export function createWalk(body, idempotencyKey) {
  const headers = { "Content-Type": "application/json", "Idempotency-Key": idempotencyKey };
  return json("/v1/walks", { method: "POST", headers, body: JSON.stringify(body) });
}

/** A key for `createWalk`; crypto.randomUUID is not there on plain http. */
export function newKey() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Uploads a picture as it is. @param {Blob} file */
export function uploadPicture(file) {
  return json("/v1/pictures", { method: "POST", headers: { "Content-Type": file.type }, body: file, timeoutS: 120 });
}

/** A picture of a walk, as a blob. */
export const picture = async (url, signal) => (await request(url, { signal })).blob();

/** Where a frame lies. */
export const frameUrl = (walkView, number) => walkView.links.frame.replace("{n}", number);
