/**
 * Replay a recording in step with a `<video>` element: what was liked and said comes when the picture is there.
 *
 *     const replay = new Replay("https://fe1.example/v1/videos/demo/recording/", document.querySelector("video"));
 *     replay.addEventListener("comment", ({ detail }) => console.log(detail.position, detail.data.text));
 *
 * 1. The recording is its bare files: `index.json` and the segments that it names. Any web server will do.
 * 2. An event's moment is its `position`, the media time in milliseconds. Where events have none, it is `at` from
 *    `startAt` on, which is when the picture began, in milliseconds since the epoch; by default the first event's.
 * 3. Each event is fired once as the playhead passes it, paused or sped up as the video is. After seeking, "seek" is fired
 *    with all events before the new moment, as far as they are loaded: what is shown is to be shown anew.
 * 4. Segments are loaded when the playhead comes near: `LOOK_AHEAD` before it. Few are kept.
 *
 * @typedef {import("../liveserver.js").LiveEvent} LiveEvent
 * @typedef {{file: string, events: number, bytes: number, first_at: number, last_at: number, first_position?: number,
 *   last_position?: number, gap?: boolean}} Segment
 * @typedef {{video: string, segments: Segment[]}} Recording
 * @typedef {{moment: number, event: LiveEvent}} Timed
 * @typedef {{startAt?: number, token?: string | (() => string | Promise<string>), credentials?: RequestCredentials}} ReplayOptions
 */

const OWN_WORDS = new Set(["*", "ready", "seek", "error"]); // events of the player itself

const LOOK_AHEAD = 1_000; // milliseconds of the video before which a segment is loaded, and then some for the network
const PREFETCH = 5_000;
const TICK = 50; // milliseconds between two looks at the playhead
const KEPT = 60; // segments in memory
const SHOWN = 200; // events fired after seeking
const RETRY = 2_000;

/** Fires events by their type and as "*", "seek" with `{events}`, "ready" with the index, "error" with the reason. */
export class Replay extends EventTarget {
  #base;
  #video;
  #options;
  #life = new AbortController();
  /** @type {?Recording} */ #index = null;
  /** @type {Map<string, Timed[]>} */ #segments = new Map();
  /** @type {Map<string, Promise<void>>} */ #loading = new Map();
  #startAt = 0;
  #byPosition = true;
  #playhead = -1;
  #seeks = 0;
  /** Of the last moments, what was fired. @type {Set<LiveEvent>} */ #fired = new Set();
  /** Events before the moment that was sought, which were fired at once. @type {Set<LiveEvent>} */ #before = new Set();
  #failedAt = -Infinity;

  /** @param {string|URL} url the recording's directory @param {HTMLVideoElement} video @param {ReplayOptions} options */
  constructor(url, video, options = {}) {
    super();
    const base = new URL(url, globalThis.location?.href);
    if (!base.pathname.endsWith("/")) base.pathname += "/";
    this.#base = base;
    this.#video = video;
    this.#options = options;
    const { signal } = this.#life;
    const again = () => this.#seek();
    video.addEventListener("seeked", again, { signal });
    const timer = setInterval(() => this.#step(), TICK);
    signal.addEventListener("abort", () => clearInterval(timer));
    void this.#open();
  }

  /** The moment of the picture, in milliseconds. */
  get now() {
    return this.#video.currentTime * 1_000;
  }

  /** When the event is shown, in milliseconds of the video. @param {LiveEvent} event */
  moment(event) {
    return this.#byPosition ? event.position ?? NaN : event.at - this.#startAt;
  }

  /** End it, and release what it holds. */
  close() {
    this.#life.abort();
    this.#segments.clear();
  }

  async #open() {
    try {
      const index = /** @type {Recording} */ (await (await this.#get("index.json")).json());
      this.#byPosition = index.segments.some((segment) => segment.first_position !== undefined);
      const first = index.segments.reduce((least, segment) => Math.min(least, segment.first_at), Infinity);
      this.#startAt = this.#options.startAt ?? (Number.isFinite(first) ? first : 0);
      if (this.#options.startAt !== undefined) this.#byPosition = false;
      this.#index = index;
      this.dispatchEvent(new CustomEvent("ready", { detail: index }));
      this.#seek();
    } catch (error) {
      this.#fail(error);
      if (!this.#life.signal.aborted) setTimeout(() => !this.#life.signal.aborted && this.#open(), RETRY);
    }
  }

  /** @param {Segment} segment @returns {[number, number]} */
  #range(segment) {
    return this.#byPosition
      ? [segment.first_position ?? Infinity, segment.last_position ?? -Infinity]
      : [segment.first_at - this.#startAt, segment.last_at - this.#startAt];
  }

  /** Load the segments between these moments. @param {number} from @param {number} to */
  async #load(from, to) {
    const wanted = (this.#index?.segments ?? []).filter((segment) => {
      const [first, last] = this.#range(segment);
      return first <= to && last >= from;
    });
    await Promise.all(wanted.map((segment) => this.#segment(segment)));
  }

  /** @param {Segment} segment @returns {Promise<void>} */
  #segment({ file }) {
    if (this.#segments.has(file)) return Promise.resolve();
    let loading = this.#loading.get(file);
    if (!loading) {
      loading = this.#fetchSegment(file)
        .catch((error) => this.#fail(error))
        .finally(() => this.#loading.delete(file));
      this.#loading.set(file, loading);
    }
    return loading;
  }

  async #fetchSegment(/** @type {string} */ file) {
    const response = await this.#get(file);
    const bytes = new Uint8Array(await response.arrayBuffer());
    // If the server declares the content as compressed, the browser has decompressed it.
    const isCompressed = bytes[0] === 0x1f && bytes[1] === 0x8b;
    const stream = new Blob([bytes]).stream();
    const text = await new Response(isCompressed ? stream.pipeThrough(new DecompressionStream("gzip")) : stream).text();
    const events = text.split("\n").filter(Boolean).map((line) => /** @type {LiveEvent} */ (JSON.parse(line)));
    const timed = events.map((event) => ({ moment: this.moment(event), event })).filter(({ moment }) => !Number.isNaN(moment));
    timed.sort((a, b) => a.moment - b.moment);
    if (this.#segments.size >= KEPT) this.#segments.delete(/** @type {string} */ (this.#segments.keys().next().value));
    this.#segments.set(file, timed);
  }

  /** @param {string} name @returns {Promise<Response>} */
  async #get(name) {
    const { token, credentials } = this.#options;
    const shown = typeof token === "function" ? await token() : token;
    const response = await fetch(new URL(name, this.#base), {
      signal: this.#life.signal,
      ...(shown && { headers: { authorization: `Bearer ${shown}` } }),
      ...(credentials && { credentials }),
    });
    if (!response.ok) throw new Error(`${name}: the server answered ${response.status}`);
    return response;
  }

  /** A segment that was rewritten has another name: the index says which. */
  #fail(/** @type {unknown} */ error) {
    if (this.#life.signal.aborted) return;
    this.dispatchEvent(new CustomEvent("error", { detail: error }));
    if (this.#index && Date.now() - this.#failedAt > RETRY) {
      this.#failedAt = Date.now();
      void this.#get("index.json")
        .then((response) => response.json())
        .then((index) => (this.#index = index))
        .catch(() => {});
    }
  }

  /** All loaded events from one moment to before another, in order. @param {number} from @param {number} to @returns {Timed[]} */
  #between(from, to) {
    const found = [];
    for (const segment of this.#index?.segments ?? [])
      for (const timed of this.#segments.get(segment.file) ?? []) if (timed.moment >= from && timed.moment < to) found.push(timed);
    return found.sort((a, b) => a.moment - b.moment);
  }

  #step() {
    if (!this.#index || this.#playhead < 0 || this.#video.seeking) return;
    const now = this.now;
    void this.#load(now - LOOK_AHEAD, now + LOOK_AHEAD + PREFETCH * Math.max(1, this.#video.playbackRate));
    if (now < this.#playhead) return void this.#seek(); // "seeked" is still to come
    if (now === this.#playhead) return;
    // Events that the network delayed are fired late, by a second at most.
    for (const { moment, event } of this.#between(Math.max(0, this.#playhead - LOOK_AHEAD), now)) {
      if (this.#fired.has(event) || (moment < this.#playhead && this.#before.has(event))) continue;
      this.#fired.add(event);
      this.#fire(event);
    }
    for (const event of this.#fired) if (this.moment(event) < now - 2 * LOOK_AHEAD) this.#fired.delete(event);
    this.#playhead = now;
  }

  async #seek() {
    if (!this.#index) return;
    const number = ++this.#seeks;
    this.#playhead = -1;
    const to = this.now;
    await this.#load(to - 60_000, to + LOOK_AHEAD);
    // Another run has begun, or will with "seeked".
    if (this.#life.signal.aborted || this.#video.seeking || number !== this.#seeks) return;
    if (this.now < to) return void this.#seek();
    const events = this.#between(0, to).slice(-SHOWN).map(({ event }) => event);
    this.#before = new Set(this.#between(to - 2 * LOOK_AHEAD, to).map(({ event }) => event));
    this.#fired.clear();
    this.dispatchEvent(new CustomEvent("seek", { detail: { events } }));
    this.#playhead = to;
  }

  #fire(/** @type {LiveEvent} */ event) {
    if (!OWN_WORDS.has(event.type)) this.dispatchEvent(new CustomEvent(event.type, { detail: event }));
    this.dispatchEvent(new CustomEvent("*", { detail: event }));
  }
}
