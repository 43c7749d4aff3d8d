/**
 * The number of likes. Where the servers tell sums it is theirs, exactly. Otherwise it is the backend's total when
 * asked last, and the likes received since.
 *
 * All likes of a connection that does not resume exactly are counted anew, replayed ones too: whatever was received
 * had been stored before. So of the differences between the backend's total and what was received until it was asked,
 * the least one ever seen is the one with nothing under way. Until the first one is known, the number stays.
 */

const LATE = 2_000; // milliseconds: an older like was replayed, and tells nothing of the rate

export class Counter {
  #live;
  #before = 0;
  #since = 0;
  #isSettled = false;
  #marks = 0;
  #perSecond = 0;
  #lastSecond = 0;
  #shown = null;

  /** @param {import("../liveserver.js").LiveVideo} live */
  constructor(live) {
    this.#live = live;
  }

  get total() {
    const sum = this.#live.total?.likes;
    if (sum !== undefined) return sum;
    return this.#isSettled || this.#shown === null ? this.#before + this.#since : Math.max(this.#shown, this.#since);
  }

  get needsSummary() {
    return this.#live.total === null;
  }

  get perSecond() {
    return this.#perSecond;
  }

  /** A connection is ready and does not resume exactly: what follows may be older. */
  restart() {
    this.#isSettled = false;
    this.#since = 0;
    this.#before = 0;
    this.#marks += 1;
  }

  /** @param {import("../liveserver.js").LiveEvent} event */
  like({ at }) {
    this.#since += 1;
    if (at > this.#live.now() - LATE) this.#lastSecond += 1;
  }

  /** @param {number} count that came as a sum */
  add(count) {
    this.#lastSecond += count;
  }

  /** What `settle` needs to know of the time before the backend is asked. */
  mark() {
    return { since: this.#since, marks: this.#marks };
  }

  /** @param {number} total the backend's @param {{since: number, marks: number}} mark */
  settle(total, { since, marks }) {
    if (marks !== this.#marks) return; // it was restarted meanwhile
    const before = total - since;
    this.#before = this.#isSettled ? Math.min(this.#before, before) : before;
    this.#isSettled = true;
  }

  /** Each second. */
  tick() {
    this.#perSecond = this.#perSecond * 0.4 + this.#lastSecond * 0.6;
    this.#lastSecond = 0;
  }

  /** The rate begins anew: seconds have not been counted. */
  forgetRate() {
    this.#perSecond = this.#lastSecond = 0;
  }

  /** What is on the screen. @returns {?number} */
  get shown() {
    return this.#shown;
  }

  /** @param {number} total is on the screen */
  showed(total) {
    this.#shown = total;
  }
}
