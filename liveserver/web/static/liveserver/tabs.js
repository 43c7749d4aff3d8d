/**
 * Tabs of one page, and of one browser, that share a connection: browsers allow six per origin on HTTP/1.1.
 *
 * 1. Who holds the Web Lock leads: it has the connection, and posts all that it receives. The browser gives
 *    the lock to the next tab when this one is closed or crashes.
 * 2. A tab that comes later, or notices that it missed something, asks; the leader answers with the rest.
 * 3. A leader that answers nothing for too long has its lock taken away. It then queues like the others.
 */

// Milliseconds.
const QUIET = 2.5 * 15_000; // a leader posts at least the heartbeats
const ANSWER_WITHIN = 5_000;

export class Tabs {
  #name;
  #signal;
  #channel;
  #roles;
  #self = Math.random().toString(36).slice(2);
  #isLeading = false;
  #heardAt = Date.now();
  #askedAt = 0;

  /**
   * @param {string} name of what is shared @param {AbortSignal} signal leaves
   * @param {{lead: (signal: AbortSignal) => Promise<void>, hear: (message: object) => void,
   *   catchUp: () => void, answer: (cursor: ?string, replay: number) => ?object}} roles
   */
  constructor(name, signal, roles) {
    this.#name = name;
    this.#signal = signal;
    this.#roles = roles;
    this.#channel = new BroadcastChannel(name);
    this.#channel.onmessage = ({ data }) => this.#on(data);
    const timer = setInterval(() => this.check(), ANSWER_WITHIN);
    signal.addEventListener("abort", () => (clearInterval(timer), this.#channel.close()));
    this.#queue({ signal });
  }

  /** To all the others, when this tab leads; does nothing otherwise. */
  post(message) {
    if (this.#isLeading && !this.#signal.aborted) this.#channel.postMessage(message);
  }

  /** For what comes after `cursor`, or the last `replay` events when there is none yet. */
  ask(cursor, replay) {
    if (this.#isLeading || Date.now() - this.#askedAt < ANSWER_WITHIN) return;
    this.#askedAt = Date.now();
    this.#channel.postMessage({ from: this.#self, cursor, replay });
  }

  /** Whether the leader still lives. */
  check() {
    const quiet = Date.now() - this.#heardAt;
    if (this.#isLeading || this.#signal.aborted || quiet < QUIET) return;
    // Asked first: after a sleep all have been quiet.
    if (quiet < QUIET + 2 * ANSWER_WITHIN || this.#askedAt < this.#heardAt) this.#roles.catchUp();
    else if (Date.now() - this.#askedAt >= ANSWER_WITHIN) this.#queue({ steal: true });
  }

  async #queue(how) {
    this.#heardAt = Date.now();
    const reign = new AbortController();
    try {
      await navigator.locks.request(this.#name, how, async () => {
        this.#isLeading = true;
        await this.#roles.lead(AbortSignal.any([this.#signal, reign.signal]));
      });
    } catch {
      // The lock was taken away, or the wait for it is over.
    }
    const wasLeading = this.#isLeading;
    this.#isLeading = false;
    reign.abort();
    if (wasLeading && !this.#signal.aborted) this.#queue({ signal: this.#signal });
  }

  #on(message) {
    if (this.#isLeading) {
      const answer = message.from && this.#roles.answer(message.cursor, message.replay);
      if (answer) this.post({ ...answer, to: message.from });
    } else if (!message.from && (!message.to || message.to === this.#self)) {
      this.#heardAt = Date.now();
      if (message.to) this.#askedAt = 0;
      this.#roles.hear(message);
    }
  }
}
