/**
 * Tabs of one site in one browser that share a connection: browsers allow six per origin on HTTP/1.1.
 *
 * 1. The tab that holds the Web Lock leads: it has the connection, and posts all that it receives, numbered.
 *    The browser gives the lock to the next tab when this one is closed or crashes.
 * 2. A follower takes exactly the items that are next in number: what it has is dropped, a jump is asked for.
 *    Its cursor never goes back.
 * 3. A follower whose place the leader does not know, by number or by cursor, connects to the server with its own
 *    cursor. Once both stand at one cursor it follows again. So it receives `gap` only from a server.
 * 4. A leader that answers nothing for too long has its lock taken away. It then queues like the others. One that
 *    has heard nothing itself for too long does not answer: a frozen tab gets messages, but reads no stream.
 *
 * @typedef {import("./sources.js").Item} Item
 * @typedef {{reign: string, number: number, items: Item[], before: ?string, cursor: ?string, replay: number}} Post
 * @typedef {{cursor: ?string, take: (items: Item[]) => void, lead: (signal: AbortSignal) => Promise<void>,
 *   detour: (signal: AbortSignal) => Promise<void>, connection: object, present: ?import("./connection.js").Connection, greeting: () => object, greet: (greeting: any) => void,
 *   report: (connection: any) => void}} Host
 */

import { childOf } from "./timing.js";

// Milliseconds.
const CHECK_EVERY = 2_500;
const QUIET = 18_000; // a leader posts at least the heartbeats, every 15 s until it says otherwise
const ANSWER_WITHIN = 5_000;
const JOIN_WITHIN = 1_000; // the time for a leader that is a little behind to come to one's own cursor
const REMEMBERED = 1_000; // items

export class Tabs {
  #name;
  #signal;
  #host;
  #replay;
  #channel;
  #self = Math.random().toString(36).slice(2);
  // As the leader:
  #reign = "";
  #number = 0;
  // As a follower: of whose posts, up to which number, everything was taken.
  #followed = "";
  #taken = 0;
  #heardAt = Date.now();
  #quiet = QUIET;
  /** The state of the leader's connection. @type {any} */ #connection = null;
  #askedAt = 0;
  #isStalled = false;
  // Not knowing its place among the leader's posts:
  /** The leader's posts meanwhile. @type {Post[]} */ #posts = [];
  /** @type {?AbortController} */ #detour = null;
  /** @type {any} */ #joining = 0;
  // As both: the last items taken, which others may request; whether they are all since the beginning.
  /** @type {Item[]} */ #recent = [];
  #isComplete;

  /** @param {string} name of what is shared @param {number} replay @param {AbortSignal} signal leaves @param {Host} host */
  constructor(name, replay, signal, host) {
    this.#name = name;
    this.#replay = replay;
    this.#signal = signal;
    this.#host = host;
    this.#isComplete = host.cursor === null;
    this.#channel = new BroadcastChannel(name);
    this.#channel.onmessage = ({ data }) => this.#onMessage(data);
    const timer = setInterval(() => this.check(), CHECK_EVERY);
    signal.addEventListener("abort", () => {
      clearInterval(timer);
      clearTimeout(this.#joining);
      this.#channel.onmessage = null;
      this.#channel.close();
    }, { once: true });
    void this.#queue({ signal });
    this.#ask();
  }

  /** To all the others, when this tab leads: the items that follow the cursor `before`. @param {?string} before @param {Item[]} items */
  post(before, items) {
    if (!this.#isLeading) return;
    this.#number += items.length;
    const cursor = items.findLast((item) => item.cursor)?.cursor ?? before;
    this.#send({ reign: this.#reign, number: this.#number, items, before, cursor, replay: this.#replay });
  }

  /** How the connection stands, when this tab leads. @param {object} connection */
  tell(connection) {
    if (this.#isLeading) this.#send({ connection });
  }

  /** What this tab has taken, from whichever connection. @param {Item} item */
  remember(item) {
    if (this.#recent.push(item) > 2 * REMEMBERED) this.#recent.splice(0, REMEMBERED);
  }

  /** This tab's own connection has come to the host's cursor: follow again, if the leader has been there. */
  arrived() {
    if (this.#detour) this.#join();
  }

  /** Check whether the leader is alive, and whether a question is unanswered. */
  check() {
    if (this.#isLeading || this.#signal.aborted) return;
    const now = Date.now();
    const quiet = now - this.#heardAt;
    if (quiet >= this.#quiet) {
      if (!this.#detour && !this.#isStalled) this.#host.report({ name: "stalled", reason: "nothing received" });
      this.#isStalled = true;
      // Asked first: after a sleep all have been quiet.
      if (this.#askedAt <= this.#heardAt) this.#ask();
      else if (now - this.#askedAt >= ANSWER_WITHIN) void this.#queue({ steal: true });
    } else if (!this.#followed && !this.#detour && now - this.#askedAt >= ANSWER_WITHIN) {
      this.#ask();
    }
  }

  get #isLeading() {
    return this.#reign !== "" && !this.#signal.aborted;
  }

  #send(/** @type {object} */ message) {
    if (!this.#signal.aborted) this.#channel.postMessage({ ...message, quiet: this.#host.present?.quiet });
  }

  #ask() {
    this.#askedAt = Date.now();
    this.#posts = [];
    this.#send({ from: this.#self, cursor: this.#host.cursor, replay: this.#replay });
  }

  async #queue(/** @type {LockOptions} */ how) {
    this.#heardAt = Date.now();
    const reign = childOf(this.#signal);
    try {
      await navigator.locks.request(this.#name, how, async () => {
        if (this.#signal.aborted) return;
        this.#endDetour();
        this.#reign = Math.random().toString(36).slice(2);
        this.#number = 0;
        this.#followed = "";
        await this.#host.lead(reign.signal);
      });
    } catch {
      // The lock was taken away, or the wait for it is over.
    }
    const wasLeading = this.#reign !== "";
    this.#reign = "";
    reign.abort();
    if (wasLeading && !this.#signal.aborted) {
      void this.#queue({ signal: this.#signal });
      this.#ask();
    }
  }

  #onMessage(/** @type {any} */ message) {
    if (this.#isLeading) {
      if (message.from) this.#answer(message);
      return;
    }
    if (message.from || (message.to && message.to !== this.#self)) return;
    this.#heardAt = Date.now();
    if (message.connection) this.#connection = message.connection;
    if (message.quiet) this.#quiet = message.quiet;
    if ((message.connection || this.#isStalled) && this.#connection && !this.#detour) this.#host.report(this.#connection);
    this.#isStalled = false;
    if (message.to) this.#onAnswer(message);
    else if (message.items) this.#onPost(message);
  }

  /** To a tab that has everything up to a number or cursor, or nothing yet: what it lacks; `items` is null where that is not known. */
  #answer(/** @type {any} */ { from, cursor, replay }) {
    const own = this.#host.cursor;
    const { connection, present } = this.#host;
    if (!own || present?.isSilent) return; // it is sent with the others; or another tab is to lead
    const items = cursor === null ? this.#last(replay) : this.#after(cursor);
    const greeting = cursor === null && items && this.#host.greeting();
    this.#send({ to: from, asked: cursor, reign: this.#reign, number: this.#number, cursor: own, items, greeting, connection });
  }

  /** The last `count` events; null where a server may have more. */
  #last(/** @type {number} */ count) {
    if (!count) return [];
    const events = this.#recent.filter(({ kind }) => kind === "event").slice(-count);
    return events.length === count || (this.#isComplete && count <= this.#replay) ? events : null;
  }

  /** What was taken after a cursor; null where that is not known. */
  #after(/** @type {string} */ cursor) {
    if (cursor === this.#host.cursor) return [];
    const at = this.#recent.findLastIndex((item) => item.cursor === cursor);
    return at < 0 ? null : this.#recent.slice(at + 1);
  }

  #onAnswer(/** @type {any} */ { asked, reign, number, cursor, items, greeting }) {
    // A late answer, to a tab that has moved on meanwhile, is ignored.
    if (this.#followed === reign || this.#detour || asked !== this.#host.cursor) return;
    if (items) {
      if (greeting) this.#host.greet(greeting);
      this.#follow(reign, number, cursor, items);
      return;
    }
    this.#keep({ reign, number, items: [], before: cursor, cursor, replay: 0 });
    clearTimeout(this.#joining);
    this.#joining = setTimeout(() => this.#start(), this.#host.cursor ? JOIN_WITHIN : 0);
  }

  #onPost(/** @type {Post} */ post) {
    const { reign, number, items, before, cursor } = post;
    const first = number - items.length;
    if (this.#followed === reign) {
      if (number <= this.#taken) return;
      if (first <= this.#taken) return this.#follow(reign, number, cursor, items.slice(this.#taken - first));
      this.#followed = ""; // some were missed
      return this.#ask();
    }
    const isNewReign = this.#followed !== "";
    this.#followed = "";
    const isBeginning = before === null && this.#host.cursor === null && this.#replay <= post.replay;
    if (isBeginning && !this.#detour) return this.#follow(reign, number, cursor, items);
    this.#keep(post);
    if (this.#join() || this.#detour) return;
    if (isNewReign || before === null) this.#ask();
  }

  /** Posts are kept as far as they follow each other. */
  #keep(/** @type {Post} */ post) {
    const last = this.#posts.at(-1);
    if (last && (last.reign !== post.reign || last.number !== post.number - post.items.length)) this.#posts = [];
    if (this.#posts.push(post) > REMEMBERED) this.#posts.shift();
  }

  /** Everything up to `number` has been taken once these items are. */
  #follow(/** @type {string} */ reign, /** @type {number} */ number, /** @type {?string} */ cursor, /** @type {Item[]} */ items) {
    if (this.#endDetour() && this.#connection) this.#host.report(this.#connection);
    this.#posts = [];
    this.#followed = reign;
    this.#taken = number;
    this.#host.take(items);
    if (cursor && !this.#signal.aborted) this.#host.cursor = cursor;
  }

  /** Follow from where the leader was at the host's cursor, if it was. */
  #join() {
    const own = this.#host.cursor;
    if (own === null) return false;
    for (let at = this.#posts.length - 1; at >= 0; at--) {
      const { items, before, reign } = this.#posts[at];
      const found = before === own ? 0 : items.findLastIndex((item) => item.cursor === own) + 1;
      if (before !== own && !found) continue;
      const last = /** @type {Post} */ (this.#posts.at(-1));
      const rest = [...items.slice(found), ...this.#posts.slice(at + 1).flatMap((post) => post.items)];
      this.#follow(reign, last.number, last.cursor, rest);
      return true;
    }
    return false;
  }

  /** Connect with this tab's own cursor, until it follows or leads. */
  #start() {
    if (this.#followed || this.#detour || this.#isLeading || this.#signal.aborted || this.#join()) return;
    this.#detour = childOf(this.#signal);
    void this.#host.detour(this.#detour.signal);
  }

  #endDetour() {
    clearTimeout(this.#joining);
    const wasOn = !!this.#detour;
    this.#detour?.abort();
    this.#detour = null;
    return wasOn;
  }
}
