/**
 * Watch a live video: one exact sequence of events, however many connections it takes. In browsers, workers, Node.
 *
 *     import { LiveVideo } from "/liveserver.js";
 *     const live = new LiveVideo(["https://fe1.example", "https://fe2.example"], "demo");
 *     live.addEventListener("like", ({ detail }) => console.log(detail.user, detail.data));
 *     await live.like("heart");
 *
 * 1. Nothing is lost or doubled: every connection resumes from the cursor of the last item received.
 * 2. Streams, long-polls, reconnecting: `liveserver/connection.js`. Tabs that share: `liveserver/tabs.js`.
 * 3. Nothing begins before the task of `new` is over, and nothing is fired or held after `close()`.
 *
 * @typedef {{id: string, video: string, type: string, at: number, user?: string, key?: string, version?: number,
 *   accepted?: number, position?: number, role?: string, by?: string}} BareEvent
 * @typedef {BareEvent & {data?: any}} LiveEvent
 * @typedef {BareEvent & {data: {reaction: string}}} LikeEvent
 * @typedef {BareEvent & {data: {text: string}}} CommentEvent
 * @typedef {BareEvent & {data: {id: string}}} RetractEvent
 * @typedef {BareEvent & {key: string, data: {added: Record<string, number>, total: Record<string, number>, users?: string[]}}} LikesEvent
 * @typedef {{video: string, node: ?string, cursor: string, resumed: boolean, gap: boolean, skipped?: string}} Ready
 * @typedef {{video: string, cursor: string}} Gap
 * @typedef {{video: string, here: number, datacenter: number, total: number}} Viewers
 * @typedef {{video: string, cursor: string, omitted: number}} Omitted comments that `rate` left out
 * @typedef {{reason: string, reconnect: boolean}} Bye
 * @typedef {{name: "connecting"|"live"|"stalled"|"waiting"|"closed", transport: "sse"|"poll"|"ws", url: string,
 *   node: ?string, shared: boolean, reason?: string, wait?: number}} ConnectionState
 * @typedef {{status: number, detail: string}} Refused
 * @typedef {{events: LiveEvent[]}} StateChange `events`: what changed `live.state`
 * @typedef {{"*": LiveEvent, like: LikeEvent, likes: LikesEvent, comment: CommentEvent, retract: RetractEvent, ready: Ready,
 *   gap: Gap, viewers: Viewers, omitted: Omitted, bye: Bye, state: StateChange, connection: ConnectionState, refused: Refused}} LiveVideoEvents
 *
 * @typedef {import("./liveserver/tokens.js").Token} Token
 * @typedef {{transport?: "auto"|"sse"|"poll"|"ws", cursor?: ?string, replay?: number, share?: boolean, token?: Token,
 *   credentials?: RequestCredentials, likes?: string|URL, user?: string | (() => string | undefined),
 *   behind?: number | (() => number), types?: string[], rate?: number}} Options `behind`: seconds behind live, as far as the
 *   picture is; `types`: only events of these types, and retractions; `rate`: at most so many comments a second
 * @typedef {{user?: string, key?: string, position?: number}} Deed `position`: media time in milliseconds
 * @typedef {import("./liveserver/likes.js").Summary} Summary
 * @typedef {import("./liveserver/likes.js").Me} Me
 * @typedef {import("./liveserver/state.js").Settings} Settings
 * @typedef {import("./liveserver/state.js").Pinned} Pinned
 *
 * @typedef {object} Target
 * @property {{
 *   <K extends keyof LiveVideoEvents>(type: K, listener: ((event: CustomEvent<LiveVideoEvents[K]>) => void) | null, options?: boolean | AddEventListenerOptions): void;
 *   <T extends string>(type: T extends keyof LiveVideoEvents ? never : T, listener: ((event: CustomEvent<LiveEvent>) => void) | null, options?: boolean | AddEventListenerOptions): void;
 * }} addEventListener
 * @property {{
 *   <K extends keyof LiveVideoEvents>(type: K, listener: ((event: CustomEvent<LiveVideoEvents[K]>) => void) | null, options?: boolean | EventListenerOptions): void;
 *   <T extends string>(type: T extends keyof LiveVideoEvents ? never : T, listener: ((event: CustomEvent<LiveEvent>) => void) | null, options?: boolean | EventListenerOptions): void;
 * }} removeEventListener
 * @property {(event: Event) => boolean} dispatchEvent
 */

import { Connection } from "./liveserver/connection.js";
import { Likes, LiveError } from "./liveserver/likes.js";
import { Replay } from "./liveserver/replay.js";
import { CONTROLS } from "./liveserver/sources.js";
import { State, pinnedOf, settingsOf, sumLikes } from "./liveserver/state.js";
import { Tabs } from "./liveserver/tabs.js";
import { Delay } from "./liveserver/delay.js";
import { childOf } from "./liveserver/timing.js";
import { Tokens } from "./liveserver/tokens.js";

export { LiveError, Replay };

// Events of the client itself. A published event with such a type is fired as "*" only.
const OWN_WORDS = new Set([...CONTROLS, "*", "connection", "refused", "error", "open", "close", "message"]);

const DELAY_EVERY = 1_000; // milliseconds between two looks at how far behind live the picture is

const CLOCK_FOR = 600_000; // milliseconds that a measurement of the servers' clock is better than a worse one

/**
 * Fires published events by their type and as "*", with the `LiveEvent` as `detail`; "ready", "gap", "viewers"
 * and "bye" with what API.md says; "state" with what changed `state`; "connection" with a `ConnectionState`;
 * "refused", after which it is closed, with {status, detail}.
 */
export class LiveVideo extends /** @type {new () => Target} */ (/** @type {unknown} */ (EventTarget)) {
  /** Where to resume so that nothing after the last item is missed. @type {?string} */ cursor;
  /** @type {ConnectionState} */ connection;
  #urls;
  #video;
  #options;
  #tokens;
  #likes;
  #state = new State();
  /** Whether the state is sent next, if it has any events. */ #isAnew = false;
  /** @type {?Viewers} */ #viewers = null;
  #clock = { offset: 0, error: Infinity, at: 0 };
  /** Until `close()`. */ #life = new AbortController();
  /** From a start to the next. */ #running = new AbortController();
  #isStarting = false;
  #delay = new Delay((items) => this.#take(items));
  /** The cursor of the last item received, which may be held still. @type {?string} */ #received;
  /** @type {?Connection} */ #present = null;
  /** @type {?Tabs} */ #tabs = null;

  /**
   * @param {string|URL|(string|URL)[]} urls the frontends' @param {string} video
   * @param {Options} options `likes` is the likes backend's URL, where it is not the first frontend's
   */
  constructor(urls, video, options = {}) {
    super();
    const [first, ...others] = [urls].flat().map(base);
    // The viewers of a lost frontend should not all go to the same other one.
    this.#urls = [first, ...others.map((url) => ({ url, by: Math.random() })).sort((a, b) => a.by - b.by).map(({ url }) => url)];
    this.#video = video;
    this.#options = { transport: /** @type {"auto"|"sse"|"poll"|"ws"} */ ("auto"), replay: 0, share: !options.cursor && options.behind === undefined, ...options };
    this.#tokens = new Tokens(options.token);
    this.#likes = new Likes(options.likes === undefined ? first : base(options.likes), video, this.#tokens, options.credentials);
    this.cursor = this.#received = options.cursor ?? null;
    this.connection = { name: "connecting", transport: "sse", url: first, node: null, shared: false };
    const { signal } = this.#life;
    const on = (/** @type {EventTarget|undefined} */ target, /** @type {string} */ type, /** @type {(event: any) => void} */ act) =>
      target?.addEventListener?.(type, act, { signal });
    const wake = (/** @type {any} */ event) => this.#wake(event);
    if (options.behind !== undefined) {
      this.#followDelay(); // the first time before anything is asked for
      const timer = setInterval(() => this.#followDelay() && this.#present?.onDelayChanged(), DELAY_EVERY);
      signal.addEventListener("abort", () => (clearInterval(timer), this.#delay.close()));
    }
    on(globalThis, "online", wake);
    on(globalThis, "offline", () => this.#present?.interrupt("offline"));
    on(globalThis, "pageshow", wake);
    on(globalThis, "pagehide", () => this.#running.abort());
    on(globalThis.document, "visibilitychange", wake);
    this.#start();
  }

  /** The newest event of each key. @returns {ReadonlyMap<string, LiveEvent>} */
  get state() {
    return this.#state.events;
  }

  /** What viewers may do just now; "state" is fired when it changes. @returns {Settings} */
  get settings() {
    return settingsOf(this.#state.events);
  }

  /** What a moderator or host has pinned; else null. @returns {?Pinned} */
  get pinned() {
    return pinnedOf(this.#state.events);
  }

  /** The exact number of likes, if the servers publish sums; else null. @returns {?{likes: number, reactions: Map<string, number>}} */
  get total() {
    return sumLikes(this.#state.events);
  }

  /** The servers' clock, in milliseconds, as far as it could be measured: `live.now() - event.at` is the latency. */
  now() {
    return Date.now() + this.#clock.offset;
  }

  /** Connect by `transport` from now on; without a connection shared with other tabs, unless it is "auto". @param {"auto"|"sse"|"poll"|"ws"} transport */
  setTransport(transport) {
    this.#options.transport = transport;
    this.#start();
  }

  /** End and release everything; it cannot be started again. */
  close() {
    if (this.#life.signal.aborted) return;
    this.#life.abort();
    this.#running.abort();
    this.#present = this.#tabs = null;
    this.#report("closed");
  }

  /** Throws `LiveError`. The same `key` again is the same like. @param {string} reaction @param {Deed} options @returns {Promise<{id: string, total: number}>} */
  like(reaction = "heart", { user = this.#user(), key, position } = {}) {
    return this.#likes.post("likes", { user, reaction, position }, key);
  }

  /** Throws `LiveError`. The same `key` again is the same comment. @param {string} text @param {Deed} options `waiting`: for a moderator. @returns {Promise<{id: string, waiting?: boolean}>} */
  comment(text, { user = this.#user(), key, position } = {}) {
    return this.#likes.post("comments", { user, text, position }, key);
  }

  /** Retract a comment. Throws `LiveError`. @param {string} id @returns {Promise<void>} */
  retract(id) {
    return this.#likes.retract(id);
  }

  /**
   * Request a moderator's act: `moderate("PUT", "settings", { comments: "slow", slow: 30 })`; the path is below the video's.
   * Throws `LiveError`. @param {string} method @param {string} path @param {object} [body] @returns {Promise<any>}
   */
  moderate(method, path, body) {
    return this.#likes.call(method, path, body);
  }

  /** The totals, and the newest comments. Throws `LiveError`. @returns {Promise<Summary>} */
  summary() {
    return this.#likes.get("summary");
  }

  /** This viewer's user and permissions, according to the server. Throws `LiveError`. @returns {Promise<Me>} */
  me() {
    return this.#likes.get("me");
  }

  /** Stand as far behind live as the picture; return whether the server is to be asked for another delay. */
  #followDelay() {
    const { behind } = this.#options;
    return this.#delay.follow(typeof behind === "function" ? behind() : behind);
  }

  #user() {
    const { user } = this.#options;
    return typeof user === "function" ? user() : user;
  }

  /** Start or restart, once the present task is over. */
  #start() {
    this.#running.abort();
    this.#present = this.#tabs = null;
    if (this.#isStarting || this.#life.signal.aborted) return;
    this.#isStarting = true;
    queueMicrotask(() => {
      this.#isStarting = false;
      if (this.#life.signal.aborted) return;
      this.#running = childOf(this.#life.signal);
      this.#begin(this.#running.signal);
    });
  }

  async #begin(/** @type {AbortSignal} */ signal) {
    const { transport, share, replay, types = [], rate } = this.#options;
    const canShare = globalThis.location && globalThis.navigator?.locks; // which came later than BroadcastChannel
    if (!share || transport !== "auto" || !canShare) return void this.#connect(signal);
    const group = this.#options.token ? await this.#tokens.group() : "";
    if (signal.aborted) return;
    const name = `liveserver ${[this.#video, [...this.#urls].sort(), [...types].sort(), rate, group]}`;
    const self = this;
    this.#tabs = new Tabs(name, replay, signal, {
      get cursor() { return self.cursor; },
      set cursor(cursor) { self.cursor = cursor; },
      get connection() { return self.connection; },
      get present() { return self.#present; },
      lead: (reign) => this.#connect(reign),
      detour: (until) => this.#connect(until),
      take: (items) => this.#take(items),
      greeting: () => ({ node: this.connection.node, cursor: this.cursor, state: [...this.state.values()], viewers: this.#viewers, clock: this.#clock }),
      greet: (greeting) => this.#greet(greeting),
      report: (connection) => this.#report(connection.name, { ...connection, shared: true }),
    });
  }

  /** @param {AbortSignal} signal */
  async #connect(signal) {
    const self = this;
    const target = { ...this.#options, urls: this.#urls, video: this.#video, tokens: this.#tokens, behind: () => this.#delay.asked };
    const connection = (this.#present = new Connection(target, {
      get cursor() { return self.#received ?? self.cursor; },
      receive: (items) => this.#receive(items),
      synchronize: (offset, error) => {
        const at = Date.now();
        if (error < this.#clock.error || at - this.#clock.at > CLOCK_FOR) this.#clock = { offset, error, at };
      },
      report: (name, more) => this.#report(name, { shared: false, transport: connection.transport, ...more }),
    }));
    const refused = await connection.run(signal);
    if (this.#present === connection) this.#present = null;
    if (!refused) return;
    this.#fire("refused", { status: refused.status, detail: refused.message });
    this.close();
  }

  /** After sleep, in a tab shown again or with the network back: stop waiting, and give up a silent connection. A page that comes back starts even while hidden. */
  #wake(/** @type {Event} */ { type }) {
    if (globalThis.document?.hidden && type !== "pageshow") return;
    if (this.#running.signal.aborted) return this.#start();
    this.#present?.wake();
    this.#tabs?.check();
  }

  /** Process what this tab's own connection has received. @param {import("./liveserver/sources.js").Item[]} items */
  #receive(items) {
    const tabs = this.#tabs;
    // An end may be this viewer's alone: another tab asks for itself.
    tabs?.post(this.cursor, items.filter((item) => !isEnd(item)));
    for (const { cursor } of items) this.#received = cursor || this.#received;
    if (tabs) this.#take(items);
    else this.#delay.hold(items);
    tabs?.arrived();
  }

  /** @param {import("./liveserver/sources.js").Item[]} items in order, each for the first time */
  #take(items) {
    for (const item of items) {
      if (this.#life.signal.aborted) return;
      const { kind, type, data, cursor } = item;
      this.cursor = cursor || this.cursor;
      if (this.#tabs) this.#received = this.cursor;
      if (this.#isAnew && type !== "state") this.#replaceState([]); // none follows: it is empty
      this.#isAnew = type === "gap" || (type === "ready" && (!data.resumed || data.skipped));
      if (kind === "event") {
        this.#tabs?.remember(item);
        if (this.#state.apply(data)) this.#fire("state", { events: [data] });
        if (!OWN_WORDS.has(type)) this.#fire(type, data);
        this.#fire("*", data);
        continue;
      }
      if (type === "cursor") continue;
      if (type === "gap" || type === "state") this.#tabs?.remember(item);
      if (type === "viewers") this.#viewers = data;
      if (type === "state") this.#replaceState(data.events);
      else this.#fire(type, data);
      if (isEnd(item)) this.close();
    }
  }

  #replaceState(/** @type {LiveEvent[]} */ present) {
    const events = this.#state.replace(present);
    if (events.length) this.#fire("state", { events });
  }

  /** What this tab sends to another that has nothing yet. */
  #greet(/** @type {any} */ { node, cursor, state, viewers, clock }) {
    this.#clock = clock;
    const ready = { video: this.#video, node, cursor, resumed: false, gap: false };
    const items = [["ready", ready], ...(state.length ? [["state", { events: state }]] : []), ...(viewers ? [["viewers", viewers]] : [])];
    this.#take(items.map(([type, data]) => ({ kind: "control", type, data, cursor: null })));
  }

  /** @param {ConnectionState["name"]} name @param {Partial<ConnectionState>} more */
  #report(name, more = {}) {
    const next = { ...this.connection, reason: undefined, wait: undefined, ...more, name };
    if (name === "live" && JSON.stringify(next) === JSON.stringify(this.connection)) return;
    this.connection = next;
    if (!next.shared) this.#tabs?.tell(next);
    this.#fire("connection", next);
  }

  /** @param {string} type @param {any} detail */
  #fire(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}

/** Whether the server ends this viewer's watching for good. @param {import("./liveserver/sources.js").Item} item */
function isEnd({ kind, type, data }) {
  return kind === "control" && type === "bye" && !data.reconnect;
}

/** A server's address, with its path, to which `v1/…` is added. @param {string|URL} url */
function base(url) {
  const address = new URL(url, globalThis.location?.href);
  address.search = address.hash = "";
  if (!address.pathname.endsWith("/")) address.pathname += "/";
  return address.href;
}
