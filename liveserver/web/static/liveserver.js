/**
 * Watch a live video from a browser: one exact sequence of events, however many connections it takes.
 *
 *     import { LiveVideo } from "/liveserver.js";
 *     const live = new LiveVideo(["https://fe1.example", "https://fe2.example"], "demo");
 *     live.addEventListener("like", ({ detail }) => console.log(detail.user, detail.data));
 *
 * 1. Nothing is lost or doubled: every connection resumes from the cursor of the last item received.
 * 2. The stream is preferred. One that gives nothing in time is followed by long-polls, and while these
 *    work a stream is tried beside them now and then. A WebSocket has to be asked for.
 * 3. Who is lost comes back at the next address: after the time the server asked for, or with a
 *    full-jitter back-off where no connection came about.
 * 4. Tabs share a connection: who holds the Web Lock has it, and tells the others. The lock ends with its
 *    tab, and the next one goes on from the last item it was told.
 *
 * The stream is read with fetch. EventSource would hide the heartbeats, and with them whether a quiet
 * stream still lives; and `retry`, which is needed to come back at another address.
 *
 * @typedef {{id: string, video: string, type: string, user?: string, at: number, data?: any}} LiveEvent
 * @typedef {{type: string, data: any, cursor: ?string}} Item
 * @typedef {{name: "connecting"|"live"|"waiting"|"closed", transport: "sse"|"poll"|"ws", url: string,
 *   node: ?string, shared: boolean, reason?: string, wait?: number}} State
 * @typedef {{transport?: "auto"|"sse"|"poll"|"ws", cursor?: string, replay?: number, share?: boolean,
 *   token?: import("./liveserver/tokens.js").Token}} Options
 */

import { Lost, polls, socket, stream } from "./liveserver/sources.js";
import { Tokens } from "./liveserver/tokens.js";
import { Tabs } from "./liveserver/tabs.js";

// Milliseconds.
const SILENCE = 2.5 * 15_000; // heartbeats come every 15 s
const READY_WITHIN = 5_000; // a stream's first item, where long-polls may do instead
const STREAM_AGAIN = 60_000;
const RETRY = 1_000; // until a server has said otherwise
const RETRY_MOST = 30_000;
const MUTE = 30_000; // after a sleep: longer than a heartbeat or a poll takes
const REMEMBERED = 1_000; // items, for tabs that come later or missed some

const sleep = (ms, signal) =>
  new Promise((resolve) => {
    if (signal.aborted) return resolve();
    const timer = setTimeout(resolve, ms);
    signal.addEventListener("abort", () => (clearTimeout(timer), resolve()), { once: true });
  });

/**
 * Fires what the server sends: events by their type and as "*", with the `LiveEvent` as `detail`; "ready",
 * "gap", "viewers", "bye" with what API.md says; "state" with a `State`; "refused" with {status, detail}.
 */
export class LiveVideo extends EventTarget {
  /** @type {State} */ state;
  /** @type {?string} where to resume so that nothing after the last item is missed */ cursor;
  #urls;
  #video;
  #options;
  /** @type {Tokens} */ #tokens;
  /** @type {Item[]} */ #recent = [];
  /** @type {Item[]} the newest count of viewers, for tabs that come later */ #viewers = [];
  // Of coming back:
  #streaming = true;
  #retry = RETRY;
  #failures = 0;
  #streamAgainAt = 0;
  // Of the time from starting to stopping, of a connection, of a wait between two:
  #running = new AbortController();
  #attempt = new AbortController();
  #pause = new AbortController();
  #heardAt = 0;
  /** @type {?Tabs} */ #tabs = null;

  /** @param {string|string[]} urls the frontends' @param {string} video @param {Options} options */
  constructor(urls, video, options = {}) {
    super();
    const [first, ...others] = [urls].flat().map((url) => new URL(url, location.href).origin);
    // Whom one frontend has lost should not all go to the same other one.
    this.#urls = [first, ...others.map((url) => [Math.random(), url]).sort().map(([, url]) => url)];
    this.#video = video;
    this.#options = { transport: "auto", replay: 0, share: !options.cursor, ...options };
    this.#tokens = new Tokens(options.token);
    this.cursor = options.cursor ?? null;
    this.#tell("connecting");
    for (const [target, type] of [[window, "online"], [window, "pageshow"], [document, "visibilitychange"]])
      target.addEventListener(type, () => this.#wake());
    window.addEventListener("pagehide", () => this.#running.abort());
    queueMicrotask(() => this.#start()); // listeners come first
  }

  /** @param {"auto"|"sse"|"poll"|"ws"} transport from now on; whoever insists on one has a connection of its own */
  setTransport(transport) {
    this.#running.abort();
    this.#options.transport = transport;
    this.#start();
  }

  close() {
    this.#running.abort();
    this.#tell("closed");
  }

  #start() {
    const { transport, share } = this.#options;
    const { signal } = (this.#running = new AbortController());
    this.#streaming = transport !== "poll";
    this.#streamAgainAt = 0;
    this.#tabs = null;
    if (!share || transport !== "auto" || !navigator.locks || !window.BroadcastChannel)
      return void this.#run(signal);
    const name = `liveserver ${this.#video} ${this.#urls.slice().sort().join(" ")}`;
    this.#tabs = new Tabs(name, signal, {
      lead: (reign) => this.#run(reign),
      catchUp: () => this.#tabs.ask(this.cursor, this.#options.replay),
      answer: (cursor, replay) => this.#answer(cursor, replay),
      hear: (message) => this.#hear(message),
    });
    this.#tabs.ask(this.cursor, this.#options.replay);
  }

  /** Connect, and come back, until told to stop. */
  async #run(signal) {
    this.#tell("connecting");
    while (!signal.aborted) {
      const lost = await this.#connect(signal);
      if (signal.aborted) return;
      if (lost.final) return this.#receive([{ type: "refused", data: { status: lost.status, detail: lost.message } }]);
      if (lost.wait > 0) this.#tell("waiting", { reason: lost.message, wait: lost.wait });
      this.#pause = new AbortController();
      await sleep(lost.wait, AbortSignal.any([signal, this.#pause.signal]));
    }
  }

  /** One connection, from its opening to its end; why it ended, and how long to wait. */
  async #connect(signal) {
    const attempt = (this.#attempt = new AbortController());
    const { transport } = this.#options;
    const auto = transport === "auto";
    const streaming = this.#streaming;
    const url = this.#urls[0];
    const both = AbortSignal.any([signal, attempt.signal]);
    let ready = false, bye = false, lost, timer;
    const limit = (ms) => {
      clearTimeout(timer);
      timer = setTimeout(() => attempt.abort(new Lost("nothing was heard for too long", { blocked: !ready })), ms);
    };
    limit(streaming && auto ? READY_WITHIN : SILENCE);
    this.#tell("connecting", { node: null });
    try {
      const source = !streaming ? polls : transport === "ws" ? socket : stream;
      for await (const { items, retry } of source(url, this.#video, this.cursor, this.#options.replay, both, this.#tokens)) {
        if (retry !== undefined) this.#retry = retry;
        this.#heardAt = Date.now();
        if (!ready && items.length) {
          ready = items[0].type === "ready";
          this.#failures = 0;
          if (ready) this.#tokens.worked();
          if (ready) this.#tell("live", { node: items[0].data.node });
          if (!streaming && auto) this.#tryStream(url, attempt, both);
        }
        if (ready) limit(SILENCE);
        if (items.some(({ type, data }) => type === "bye" && data.reason === "expired")) this.#tokens.renew();
        bye ||= items.some(({ type }) => type === "bye");
        this.#receive(items);
      }
      lost = new Lost("the server ended the connection", { blocked: !ready });
    } catch (error) {
      const reason = attempt.signal.aborted ? attempt.signal.reason : error;
      lost = reason instanceof Lost ? reason : new Lost(String(reason?.message ?? reason));
    }
    clearTimeout(timer);
    attempt.abort(lost);
    if (lost.status === 401 && this.#tokens.renew()) lost.final = false;
    if (signal.aborted) return lost; // by now another may have begun
    if (lost.message === "again") return Object.assign(lost, { wait: 0 });
    if (auto) {
      // Refused connections say nothing about streams: the next one may be tried as soon as polls work.
      if (streaming && !ready && !bye) this.#streamAgainAt = Date.now() + (lost.blocked ? STREAM_AGAIN : 0);
      this.#streaming = ready || bye || !streaming;
      if (!streaming && ready) this.#streaming = false;
    }
    const backOff = (failures) => Math.random() * Math.min(RETRY_MOST, this.#retry * 2 ** failures);
    lost.wait = lost.after ? lost.after + backOff(0) : ready || bye ? this.#retry : backOff(this.#failures++);
    this.#urls.push(this.#urls.shift());
    return lost;
  }

  /** Beside polls that work: change over to a stream once one is found to come through. */
  async #tryStream(url, attempt, signal) {
    await sleep(this.#streamAgainAt - Date.now(), signal);
    while (!signal.aborted) {
      const enough = new AbortController();
      const timer = setTimeout(() => enough.abort(), READY_WITHIN);
      try {
        const trial = stream(url, this.#video, this.cursor, 0, AbortSignal.any([signal, enough.signal]), this.#tokens);
        for await (const { items } of trial)
          if (items[0]?.type === "ready") {
            this.#streaming = true;
            return attempt.abort(new Lost("again"));
          } else if (items.length) break;
      } catch {
        // Then not; the polls go on.
      } finally {
        clearTimeout(timer);
        enough.abort();
      }
      await sleep(STREAM_AGAIN, signal);
    }
  }

  /** After sleep, in a tab shown again or with the network back, nobody waits, and a mute line is not trusted. */
  #wake() {
    if (this.state.name === "closed" || document.hidden) return;
    if (this.#running.signal.aborted) return this.#start();
    this.#pause.abort();
    this.#tabs?.check();
    if (this.#heardAt && Date.now() - this.#heardAt > MUTE) this.#attempt.abort(new Lost("again"));
  }

  /** What this tab's own connection has brought. @param {Item[]} items */
  #receive(items) {
    this.#tabs?.post({ before: this.cursor, items });
    this.#take(items);
  }

  /** @param {Item[]} items in order, each for the first time */
  #take(items) {
    for (const item of items) {
      this.cursor = item.cursor || this.cursor;
      const isEvent = typeof item.data?.id === "string" && typeof item.data.at === "number";
      if (isEvent && this.#recent.push(item) > 2 * REMEMBERED) this.#recent.splice(0, REMEMBERED);
      if (item.type === "viewers") this.#viewers = [{ ...item, cursor: null }];
      this.dispatchEvent(new CustomEvent(item.type, { detail: item.data }));
      if (isEvent) this.dispatchEvent(new CustomEvent("*", { detail: item.data }));
      if (item.type === "refused" || (item.type === "bye" && !item.data.reconnect)) this.close();
    }
  }

  /** To a tab that has everything up to a cursor, or nothing yet: what it lacks. */
  #answer(cursor, replay) {
    if (!this.cursor) return null; // it will be told with the others
    const at = this.#recent.findLastIndex((item) => item.cursor === cursor);
    const gap = !!cursor && cursor !== this.cursor && at < 0;
    const from = gap || cursor === this.cursor ? Infinity : cursor ? at + 1 : Math.max(0, this.#recent.length - replay);
    const { node } = this.state;
    const ready = { video: this.#video, node, cursor: this.cursor, resumed: !!cursor && !gap, gap };
    const items = [...this.#recent.slice(from), { type: "ready", data: ready, cursor: this.cursor }, ...this.#viewers];
    return { before: cursor, items, state: this.state };
  }

  /** What the tab with the connection says. */
  #hear({ before, items, state }) {
    if (state) this.#tell(state.name, { ...state, shared: true });
    if (!items) return;
    if (before !== this.cursor) {
      // After a change of hands one may be told what one has; after a sleep, what does not follow.
      const had = items.findLastIndex(
        ({ data, cursor }) => (cursor && cursor === this.cursor) || this.#recent.some((item) => item.data.id === data?.id),
      );
      if (had < 0) return this.#tabs.ask(this.cursor, this.#options.replay);
      items = items.slice(had + 1);
    }
    this.#take(items);
  }

  #tell(name, more = {}) {
    const transport = !this.#streaming ? "poll" : this.#options.transport === "ws" ? "ws" : "sse";
    const before = { node: null, ...this.state, reason: undefined, wait: undefined };
    this.state = { ...before, transport, url: this.#urls[0], shared: false, ...more, name };
    if (!this.state.shared) this.#tabs?.post({ state: this.state });
    this.dispatchEvent(new CustomEvent("state", { detail: this.state }));
  }
}
