/**
 * Delays behind live with fractions of a second: servers delay by whole seconds, the rest is added here.
 *
 * The server is asked for the whole seconds below the delay. What it sends is held until the rest is over, in order, with
 * one timer. A delay that changes by little changes the rest only, so that no connection begins anew.
 *
 * @typedef {import("./sources.js").Item} Item
 */

const MOST_BEHIND = 120; // seconds
const MOST_REST = 1.5; // seconds that are waited for here before the server is asked for another delay
const SLACK = 0.1; // seconds that something may be late for the same reason
const MOST_HELD = 10_000; // items; of more, the oldest come early

export class Delay {
  /** Whole seconds that the server is asked for. */ asked = 0;
  #rest = 0; // milliseconds
  #take;
  /** @type {{at: number, item: Item}[]} */ #held = [];
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #timer;

  /** @param {(items: Item[]) => void} take what is due */
  constructor(take) {
    this.#take = take;
  }

  /** Set the player's delay in seconds; return whether `asked` has changed. @param {number | undefined} seconds */
  follow(seconds) {
    // A player that does not know its delay yet returns NaN, or infinity.
    if (seconds === undefined || !isFinite(seconds)) return false;
    const wanted = Math.min(Math.max(seconds, 0), MOST_BEHIND);
    const before = this.asked;
    const rest = wanted - before;
    if (rest < -SLACK || rest > MOST_REST || (before && wanted < 0.5)) this.asked = Math.floor(wanted);
    this.#rest = Math.max(0, wanted - this.asked) * 1_000;
    this.#release();
    return this.asked !== before;
  }

  /** @param {Item[]} items in order */
  hold(items) {
    if (!this.#rest && !this.#held.length) return this.#take(items);
    const at = performance.now();
    for (const item of items) this.#held.push({ at, item });
    this.#release();
  }

  /** Forget what is held. */
  close() {
    clearTimeout(this.#timer);
    this.#held = [];
  }

  #release() {
    clearTimeout(this.#timer);
    const due = performance.now() - this.#rest;
    let count = Math.max(0, this.#held.length - MOST_HELD);
    while (count < this.#held.length && this.#held[count].at <= due) count += 1;
    const items = this.#held.splice(0, count).map(({ item }) => item);
    if (this.#held.length) this.#timer = setTimeout(() => this.#release(), Math.max(1, this.#held[0].at - due));
    if (items.length) this.#take(items);
  }
}
