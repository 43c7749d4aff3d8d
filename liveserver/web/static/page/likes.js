/** The likes backend, as the page uses it: told once, stored once, however often it takes to get through. */

const TRIES = 4;
const FIRST_WAIT = 400; // milliseconds

/** Why something could not be done; `message` is for people. `impossible`: nobody answers for it here. */
export class NotDone extends Error {
  constructor(message, impossible = false) {
    super(message);
    this.impossible = impossible;
  }
}

export class Likes {
  #root;
  #isThere = true;

  /** @param {string} url the backend's @param {string} video */
  constructor(url, video) {
    this.#root = new URL(`/v1/videos/${encodeURIComponent(video)}/`, url);
  }

  /** Throws `NotDone`. @returns {Promise<{id: string, total: number}>} */
  like(user, reaction) {
    return this.#post("likes", { user, reaction });
  }

  /** Throws `NotDone`. @returns {Promise<{id: string}>} */
  comment(user, text) {
    return this.#post("comments", { user, text });
  }

  /** What was before: {likes, reactions, comments}; null where nobody knows. */
  async summary() {
    if (!this.#isThere) return null;
    try {
      const response = await fetch(new URL("summary", this.#root), { cache: "no-store" });
      this.#isThere = response.status !== 404;
      return response.ok ? await response.json() : null;
    } catch {
      return null;
    }
  }

  async #post(what, body) {
    const headers = { "content-type": "application/json", "idempotency-key": key() };
    for (let tried = 1; ; tried++) {
      let response = null;
      try {
        response = await fetch(new URL(what, this.#root), { method: "POST", headers, body: JSON.stringify(body) });
      } catch {
        // The network; the same key makes it safe to try again.
      }
      if (response?.ok) return response.json();
      const status = response?.status ?? 0;
      if (status === 404 || status === 405 || status === 501)
        throw new NotDone("Taking part isn't possible at this address. You still see what the others send.", true);
      if (status && status !== 429 && status < 500) {
        const { detail } = await response.json().catch(() => ({}));
        throw new NotDone(detail ?? "That was not accepted.");
      }
      if (tried === TRIES) throw new NotDone("That did not get through. Please try again in a moment.");
      const asked = Math.min(5, Number(response?.headers.get("retry-after")) || 0) * 1000;
      await new Promise((done) => setTimeout(done, asked + Math.random() * FIRST_WAIT * 2 ** tried));
    }
  }
}

// Where the page is served without TLS to other machines, there is no randomUUID.
function key() {
  return crypto.randomUUID?.() ?? Array.from(crypto.getRandomValues(new Uint32Array(4)), (n) => n.toString(16)).join("-");
}
