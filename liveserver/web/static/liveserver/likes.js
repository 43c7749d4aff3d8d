/**
 * The likes backend: each request takes effect once, however many attempts it needs, within a time limit.
 *
 * @typedef {{likes: number, reactions: Record<string, number>, comments: {id: string, user?: string, at: number, text: string}[]}} Summary
 * @typedef {{user?: string, scopes: string[], signed_in: boolean}} Me
 */

import { childOf, sleep } from "./timing.js";

// Milliseconds.
const WITHIN = 10_000; // all attempts
const ATTEMPT_WITHIN = 4_000;
const FIRST_WAIT = 400;
const TRIES = 5;

/**
 * Why a request failed; `message` is for people. `status` is the last answer's, 0 without one; `reason` is the
 * server's ("closed", "banned", "slow"); `retryAfter` in milliseconds; `unsupported`: there is no likes backend;
 * `uncertain`: an attempt may have taken effect, so send it again with the same `key` as before, if at all.
 */
export class LiveError extends Error {
  status = 0;
  unsupported = false;
  /** @type {boolean|undefined} */ uncertain;
  /** @type {string|undefined} */ reason;
  /** @type {number|undefined} */ retryAfter;

  /** @param {string} message @param {{status?: number, reason?: string, retryAfter?: number, unsupported?: boolean}} [more] */
  constructor(message, more) {
    super(message);
    this.name = "LiveError";
    Object.assign(this, more);
  }
}

export class Likes {
  #root;
  #tokens;
  #credentials;

  /** @param {string} url the backend's @param {string} video @param {import("./tokens.js").Tokens} tokens @param {RequestCredentials} [credentials] */
  constructor(url, video, tokens, credentials) {
    this.#root = new URL(`v1/videos/${encodeURIComponent(video)}/`, url);
    this.#tokens = tokens;
    this.#credentials = credentials;
  }

  /** @param {string} what @param {object} body @param {string} key makes it safe to do it again */
  post(what, body, key = newKey()) {
    return this.#ask("POST", what, body, key);
  }

  /** @param {string} id */
  async retract(id) {
    await this.#ask("DELETE", `comments/${encodeURIComponent(id)}`);
  }

  /** @param {string} method @param {string} path below the video's @param {object} [body] @returns {Promise<any>} */
  call(method, path, body) {
    return this.#ask(method, path, body, body && newKey());
  }

  /** @param {string} what */
  get(what) {
    return this.#ask("GET", what);
  }

  /** @param {string} method @param {string} path @param {object} [body] @param {string} [key] @returns {Promise<any>} */
  async #ask(method, path, body, key) {
    const limit = new AbortController();
    const timer = setTimeout(() => limit.abort(), WITHIN);
    const headers = /** @type {Record<string, string>} */ (body && { "content-type": "application/json", "idempotency-key": key });
    let last = new LiveError("No answer.");
    let uncertain;
    try {
      for (let tried = 1; tried <= TRIES; tried++) {
        const answer = await this.#attempt(new URL(path, this.#root), { method, headers, body: body && JSON.stringify(body) }, limit.signal);
        if (answer && !(answer instanceof LiveError)) return answer.document;
        if (answer) last = answer;
        const status = answer?.status ?? 500;
        uncertain ||= status >= 500;
        if (status === 401 && this.#tokens.renew()) continue;
        const asked = answer?.retryAfter ?? 0;
        if (answer?.reason || asked > WITHIN / 2 || (status < 500 && ![408, 429].includes(status))) break;
        await sleep(asked + Math.random() * FIRST_WAIT * 2 ** tried, limit.signal);
        if (limit.signal.aborted) break;
      }
      throw Object.assign(last, { uncertain });
    } finally {
      clearTimeout(timer);
      limit.abort();
    }
  }

  /** Make one request: return the answer or the refusal, or null without an answer. @param {URL} url @param {RequestInit} request @param {AbortSignal} limit */
  async #attempt(url, request, limit) {
    const attempt = childOf(limit);
    const timer = setTimeout(() => attempt.abort(), ATTEMPT_WITHIN);
    const credentials = this.#credentials;
    try {
      const headers = { ...request.headers, .../** @type {any} */ (await this.#tokens.headers()) };
      const response = await fetch(url, { ...request, headers, cache: "no-store", signal: attempt.signal, ...(credentials && { credentials }) });
      if (response.ok) {
        if (request.method === "POST") this.#tokens.worked();
        const document = response.status === 204 ? null : await response.json();
        return { document: response.status === 202 ? { ...document, waiting: true } : document };
      }
      const { status } = response;
      const { detail, reason } = await response.json().catch(() => ({}));
      const retryAfter = Number(response.headers.get("retry-after")) * 1_000 || undefined;
      if (request.method === "POST" && request.body && !reason && (status === 404 || status === 405 || status === 501))
        return new LiveError("Not accepted.", { status, unsupported: true });
      return new LiveError(detail ?? "Not accepted.", { status, reason, retryAfter });
    } catch {
      return null; // the network; the same key makes it safe to try again
    } finally {
      clearTimeout(timer);
      attempt.abort();
    }
  }
}

// Where a page is served without TLS to other machines, there is no randomUUID.
function newKey() {
  return crypto.getRandomValues(new Uint32Array(4)).join();
}
