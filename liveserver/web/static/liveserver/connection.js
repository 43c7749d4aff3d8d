/**
 * Keep one viewer connected: one connection after another, each from the cursor of the last item received.
 *
 * 1. The stream is preferred. One that gives nothing in time is followed by long-polls, and while these
 *    work a stream is tried beside them. A WebSocket has to be asked for.
 * 2. A lost connection is followed by one attempt at each other known address at once; then after the time
 *    the server asked for, or with a full-jitter back-off where no connection came about.
 * 3. A connection without a heartbeat in time is reported as `stalled`, and soon given up.
 *
 * The stream is read with fetch. EventSource would hide the heartbeats, and with them whether a quiet
 * stream still lives; and `retry`, which is needed to reconnect to another address.
 *
 * @typedef {import("./sources.js").Item} Item
 * @typedef {import("./sources.js").Received} Received
 * @typedef {"auto"|"sse"|"poll"|"ws"} Transport
 * @typedef {{urls: string[], video: string, transport: Transport, replay: number,
 *   tokens: import("./tokens.js").Tokens, credentials?: RequestCredentials, behind?: () => number, types?: string[], rate?: number}} Target `urls`: the next one first
 * @typedef {{cursor: ?string, receive: (items: Item[]) => void, synchronize: (offset: number, error: number) => void,
 *   report: (name: "connecting"|"live"|"stalled"|"waiting", more?: object) => void}} Host
 */

import { Disconnected, polls, socket, stream } from "./sources.js";
import { childOf, sleep } from "./timing.js";

// Milliseconds.
const HEARTBEAT = 15_000; // until a server has said otherwise
const HEARTBEAT_MOST = 300_000;
const STALLED_AFTER = 2_000; // behind a heartbeat that did not come
const LOST_AFTER = 5_000;
const READY_WITHIN = 5_000; // a stream's first item, where long-polls may do instead
const ANSWER_WITHIN = 10_000; // where not
const STREAM_AGAIN = 60_000;
const RETRY = 1_000; // until a server has said otherwise
const RETRY_LEAST = 100; // whatever a server says
const RETRY_MOST = 30_000; // of a back-off
const ASKED_MOST = 600_000; // of what a server asks for
const SPREAD = 250; // of those whom one frontend has lost, before they ask the next

export class Connection {
  #target;
  #host;
  #streaming;
  #retry = RETRY;
  #heartbeat = HEARTBEAT;
  #failures = 0;
  #untried;
  /** When something was heard, an attempt began, or is to begin. */ #heardAt = 0;
  /** When a stream may be tried again, by address. @type {Map<string, number>} */ #streamAgainAt = new Map();
  #attempt = new AbortController();
  #pause = new AbortController();

  /** @param {Target} target @param {Host} host */
  constructor(target, host) {
    this.#target = target;
    this.#host = host;
    this.#streaming = target.transport !== "poll";
    this.#untried = target.urls.length - 1;
  }

  /** @returns {"sse"|"poll"|"ws"} */
  get transport() {
    return !this.#streaming ? "poll" : this.#target.transport === "ws" ? "ws" : "sse";
  }

  /** Stay connected until aborted (null), or until refused for good. @param {AbortSignal} signal @returns {Promise<?Disconnected>} */
  async run(signal) {
    for (;;) {
      const { lost, wait } = await this.#connect(signal);
      if (signal.aborted) return null;
      if (lost.final) return lost;
      this.#heardAt = Date.now() + wait;
      if (wait > SPREAD) this.#host.report("waiting", { reason: lost.message, wait });
      this.#pause = childOf(signal);
      await sleep(wait, this.#pause.signal);
      this.#pause.abort();
      if (signal.aborted) return null;
    }
  }

  /** The longest quiet of a connection that lives, in milliseconds. */
  get quiet() {
    return this.#heartbeat + STALLED_AFTER;
  }

  /** Whether it is quiet for longer, as in a frozen tab, whose timers stand still. */
  get isSilent() {
    return Date.now() - this.#heardAt > this.quiet;
  }

  /** Stop waiting; give up a connection that has been silent for longer than a heartbeat interval. */
  wake() {
    this.#pause.abort();
    if (this.isSilent) this.interrupt("nothing received");
  }

  /** Give up the present connection, or attempt. @param {string} reason */
  interrupt(reason) {
    this.#attempt.abort(new Disconnected(reason));
  }

  /** Restart a stream at another delay; polls and WebSockets change to it by themselves. */
  onDelayChanged() {
    if (this.transport === "sse") this.#attempt.abort(new Handover("delay"));
  }

  /** One connection, from its opening to its end. @param {AbortSignal} signal */
  async #connect(signal) {
    const { urls, transport } = this.#target;
    const attempt = (this.#attempt = childOf(signal));
    const isAuto = transport === "auto";
    const isStream = this.#streaming;
    const [url] = urls;
    const request = { ...this.#target, url, cursor: this.#host.cursor, heartbeat: this.#heartbeat, signal: attempt.signal };
    const begun = Date.now();
    let isReady = false;
    /** @type {any} */ let bye = null;
    /** @type {any} */ let timer;
    const give = (/** @type {number} */ ms) => {
      clearTimeout(timer);
      timer = setTimeout(() => attempt.abort(new Disconnected("nothing received", { blocked: !isReady })), ms);
    };
    const expectHeartbeat = () => {
      clearTimeout(timer);
      timer = setTimeout(() => {
        this.#host.report("stalled", { reason: "nothing received" });
        give(LOST_AFTER - STALLED_AFTER);
      }, this.quiet);
    };
    let lost;
    this.#heardAt = begun;
    this.#host.report("connecting", { node: null, url });
    give(isStream && isAuto ? READY_WITHIN : ANSWER_WITHIN);
    try {
      for await (const { items, retry } of (isStream ? (transport === "ws" ? socket : stream) : polls)(request)) {
        if (attempt.signal.aborted) throw attempt.signal.reason;
        if (retry !== undefined) this.#retry = Math.max(RETRY_LEAST, Math.min(retry, ASKED_MOST));
        this.#heardAt = Date.now();
        const first = items.find(({ kind }) => kind === "control");
        if (!isReady && first?.type === "ready") {
          isReady = true;
          this.#onReady(first.data, begun);
          this.#host.report("live", { node: first.data.node });
          if (!isStream && isAuto) void this.#tryStream(request, attempt);
        } else if (isReady) {
          this.#host.report("live");
        }
        if (isReady) expectHeartbeat();
        bye ??= items.find(({ kind, type }) => kind === "control" && type === "bye")?.data ?? null;
        this.#host.receive(items);
        if (attempt.signal.aborted) throw attempt.signal.reason;
      }
      lost = new Disconnected("the server closed", { blocked: !isReady });
    } catch (error) {
      const reason = attempt.signal.aborted ? attempt.signal.reason : error;
      lost = reason instanceof Disconnected ? reason : new Disconnected(String(/** @type {any} */ (reason)?.message ?? reason));
    }
    clearTimeout(timer);
    attempt.abort(lost);
    if (signal.aborted) return { lost, wait: 0 }; // by now another may have begun
    return { lost, wait: this.#next(lost, isStream, isReady, bye) };
  }

  /** @param {any} ready @param {number} begun */
  #onReady(ready, begun) {
    this.#failures = 0;
    this.#untried = this.#target.urls.length - 1;
    if (ready.heartbeat > 0) this.#heartbeat = Math.min(Math.max(ready.heartbeat, 1_000), HEARTBEAT_MOST);
    this.#target.tokens.worked();
    const now = Date.now();
    // NTP's estimate: the server's clock was read between the request and its answer.
    if (typeof ready.at === "number") this.#host.synchronize(ready.at - (begun + now) / 2, (now - begun) / 2);
  }

  /** Choose the next address and transport; return how long to wait before. */
  #next(/** @type {Disconnected} */ lost, /** @type {boolean} */ isStream, /** @type {boolean} */ isReady, /** @type {any} */ bye) {
    const { urls, transport, tokens } = this.#target;
    if (lost instanceof Handover) return 0;
    if (transport === "auto") {
      // Refused connections do not show that streams are blocked: another may be tried as soon as polls work.
      if (isStream && !isReady && !bye && lost.blocked) this.#streamAgainAt.set(urls[0], Date.now() + STREAM_AGAIN);
      this.#streaming = isStream ? isReady || !!bye : !isReady;
    }
    if (lost.status === 401 && tokens.renew()) lost.final = false;
    else if (bye?.reason === "expired" && tokens.renew()) return 0;
    urls.push(/** @type {string} */ (urls.shift()));
    const isElsewhereBetter = !bye || bye.reason === "drain" || bye.reason === "overload";
    if (isElsewhereBetter && this.#untried > 0) {
      this.#untried -= 1;
      return Math.random() * SPREAD;
    }
    const backOff = (/** @type {number} */ failures) => Math.random() * Math.min(RETRY_MOST, this.#retry * 2 ** failures);
    return lost.after > 0 ? Math.min(lost.after, ASKED_MOST) + backOff(0) : isReady || bye ? this.#retry : backOff(this.#failures++);
  }

  /** While polls work, try streams; change to one that delivers. */
  async #tryStream(/** @type {import("./sources.js").Request} */ request, /** @type {AbortController} */ attempt) {
    const { signal } = attempt;
    await sleep((this.#streamAgainAt.get(request.url) ?? 0) - Date.now(), signal);
    while (!signal.aborted) {
      const trial = childOf(signal);
      const timer = setTimeout(() => trial.abort(), READY_WITHIN);
      try {
        for await (const { items } of stream({ ...request, cursor: this.#host.cursor, replay: 0, signal: trial.signal }))
          if (items[0]?.type === "ready") {
            this.#streaming = true;
            return attempt.abort(new Handover("stream"));
          } else if (items.length) break;
      } catch {
        // The polls continue.
      } finally {
        clearTimeout(timer);
        trial.abort();
      }
      await sleep(STREAM_AGAIN, signal);
    }
  }
}

/** A connection is given up for a better one at the same address. */
class Handover extends Disconnected {}
