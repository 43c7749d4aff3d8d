/**
 * One connection to one frontend: an event stream, a series of long-polls, or a WebSocket. None reconnects by
 * itself.
 *
 * All are asynchronous generators of what was received at once: the items, none for a heartbeat, and how long
 * to wait before reconnecting, if the server has sent it. They throw `Disconnected`.
 *
 * Published events and the server's control messages share no namespace here: `kind` says which an item is, and
 * it follows from where it stood (poll, WebSocket) or from its contents (stream), never from its type alone.
 *
 * @typedef {{kind: "event"|"control", type: string, data: any, cursor: ?string}} Item
 * @typedef {{items: Item[], retry?: number}} Received
 * @typedef {{url: string, video: string, cursor: ?string, replay: number, heartbeat: number, signal: AbortSignal,
 *   tokens: import("./tokens.js").Tokens, credentials?: RequestCredentials, behind?: () => number, types?: string[], rate?: number}} Request
 *   `behind`: seconds behind live, whole ones; `types`: of events, all without; `rate`: comments a second
 */

import { EventStreamParser } from "./event_stream.js";

export const CONTROLS = new Set(["ready", "gap", "viewers", "bye", "state", "omitted"]);
const DELAY_EVERY = 250; // milliseconds
const TRANSIENT = new Set([408, 425, 429]);

/** A connection is over; another may do better unless it is `final`. `blocked`: polls may get through. */
export class Disconnected extends Error {
  /** @param {string} reason @param {{blocked?: boolean, final?: boolean, after?: number, status?: number}} options */
  constructor(reason, { blocked = false, final = false, after = 0, status = 0 } = {}) {
    super(reason);
    this.blocked = blocked;
    this.final = final;
    this.after = after;
    this.status = status;
  }
}

/** @param {Request} request @returns {AsyncGenerator<Received>} */
export async function* stream(request) {
  const { cursor, replay } = request;
  const response = await ask(request, "events", { ...(cursor ? { cursor } : replay && { replay }), ...filters(request) });
  if (!response.headers.get("content-type")?.startsWith("text/event-stream") || !response.body)
    throw new Disconnected("not an event stream", { blocked: true });
  const parser = new EventStreamParser();
  const decoder = new TextDecoder();
  const reader = response.body.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const { messages, retry, id } = parser.feed(decoder.decode(value, { stream: true }));
    const items = messages.flatMap(({ event, data, id }) => streamItem(event, JSON.parse(data), id));
    yield { items: id ? [...items, moved(id)] : items, retry };
  }
}

/** Parameters of a query, where types are joined by commas. @param {Request} request */
function filters(request) {
  const seconds = request.behind?.() ?? 0;
  return { ...(seconds && { behind: `${seconds}s` }), ...chosen(request) };
}

/** @param {Request} request @returns {{types?: string[], rate?: number}} */
function chosen({ types, rate }) {
  return { ...(types?.length && { types }), ...(rate && { rate }) };
}

/** A cursor that came without an item, what it moved past being filtered out. @param {string} cursor @returns {Item} */
function moved(cursor) {
  return { ...control("cursor", {}), cursor };
}

/** An event names its own type and has an id; of the rest, only known control messages. @returns {Item[]} */
function streamItem(/** @type {string} */ type, /** @type {any} */ data, /** @type {?string} */ cursor) {
  if (typeof data?.id === "string" && data.type === type) return [{ kind: "event", type, data, cursor }];
  return CONTROLS.has(type) ? [{ ...control(type, data), cursor }] : [];
}

/** @param {Request} request @returns {AsyncGenerator<Received>} */
export async function* polls(request) {
  const { video, replay, heartbeat } = request;
  const wait = Math.min(60, Math.round(heartbeat / 1_000)); // a heartbeat is a second at least
  for (let first = true, { cursor } = request; ; first = false) {
    const where = cursor ? { cursor, wait: first ? 0 : wait } : replay && { replay };
    const response = await ask(request, "poll", { ...where, ...filters(request) });
    const page = await response.json();
    const { gap, skipped } = page;
    const items = eventItems(page.events);
    if (page.state) items.unshift(control("state", { video, events: page.state }));
    const ready = { video, node: null, cursor: page.cursor, resumed: !!cursor && !gap, gap, ...(skipped && { skipped }) };
    if (first) items.unshift(control("ready", ready));
    else if (gap) items.unshift(control("gap", { video, cursor: page.cursor }));
    if (page.omitted) items.push(control("omitted", { video, cursor: page.cursor, omitted: page.omitted }));
    const last = items.at(-1);
    if (last) last.cursor = page.cursor; // a page is taken as a whole
    else if (page.cursor !== cursor) items.push(moved(page.cursor));
    cursor = page.cursor;
    yield { items };
  }
}

/** @param {Request} request @returns {AsyncGenerator<Received>} */
export async function* socket(request) {
  const { url, video, cursor, replay, heartbeat, signal, tokens, behind = () => 0 } = request;
  if (!globalThis.WebSocket) throw new Disconnected("no WebSocket", { final: true });
  const address = new URL("v1/ws", url);
  address.protocol = address.protocol.replace("http", "ws");
  const { authorization } = await tokens.headers(); // which a WebSocket cannot send from here
  if (authorization) address.searchParams.set("token", authorization.replace("Bearer ", ""));
  if (signal.aborted) throw signal.reason;
  const line = new WebSocket(address);
  /** @type {any[]} */ const messages = [];
  /** @type {any} */ let over = null;
  let opened = false;
  let heardAt = Date.now();
  let wake = () => {};
  let delay = 0;
  const say = (/** @type {object} */ message) => line.readyState === WebSocket.OPEN && line.send(JSON.stringify(message));
  const end = (/** @type {any} */ reason) => ((over ??= reason), wake());
  const onAbort = () => end(signal.reason);
  line.onopen = () => {
    opened = true;
    delay = behind();
    say({ subscribe: { video, ...(cursor ? { cursor } : replay && { replay }), ...(delay && { behind: delay }), ...chosen(request) } });
  };
  line.onmessage = ({ data }) => {
    heardAt = Date.now();
    messages.push(data);
    wake();
  };
  line.onclose = ({ code, reason }) => {
    if (!opened) tokens.renew(); // a refusal's reason is not shown to scripts; it may be this
    end(new Disconnected(reason || `closed (${code})`));
  };
  signal.addEventListener("abort", onAbort, { once: true });
  // Scripts do not see a WebSocket's own pings, so `ping` messages are sent.
  const asking = setInterval(() => Date.now() - heardAt > heartbeat * 0.7 && say({ ping: {} }), heartbeat * 0.2);
  const following = setInterval(() => {
    if (!opened || behind() === delay) return;
    delay = behind();
    say({ behind: { video, seconds: delay } });
  }, DELAY_EVERY);
  try {
    for (;;) {
      while (messages.length) yield received(JSON.parse(messages.shift()));
      if (over) throw over;
      await new Promise((/** @type {(value?: any) => void} */ resolve) => (wake = resolve));
    }
  } finally {
    clearInterval(asking);
    clearInterval(following);
    signal.removeEventListener("abort", onAbort);
    line.onopen = line.onmessage = line.onclose = null;
    line.close();
  }
}

/** What one message of a WebSocket brings; nothing, when it is one of a later version. @returns {Received} */
function received(/** @type {any} */ message) {
  const [[type, data]] = Object.entries(message);
  if (type === "error") throw refusal(data.detail, data.status);
  if (type === "events") {
    const items = eventItems(data.events);
    const last = items.at(-1);
    if (last) last.cursor = data.cursor; // a message is taken as a whole
    return { items: last ? items : [moved(data.cursor)] };
  }
  if (!CONTROLS.has(type)) return { items: [] };
  return { items: [{ ...control(type, data), cursor: data.cursor ?? null }], retry: data.retry };
}

/** @returns {Item} */
function control(/** @type {string} */ type, /** @type {any} */ data) {
  return { kind: "control", type, data, cursor: null };
}

/** @returns {Item[]} */
function eventItems(/** @type {any[]} */ events) {
  return events.map((data) => ({ kind: "event", type: data.type, data, cursor: null }));
}

/** @returns {Disconnected} */
function refusal(/** @type {string} */ detail, /** @type {number} */ status, after = 0) {
  return new Disconnected(detail, { status, after, final: status >= 400 && status < 500 && !TRANSIENT.has(status) });
}

/** @param {Request} request @param {string} what @param {Record<string, any>} parameters @returns {Promise<Response>} */
async function ask({ url, video, signal, tokens, credentials }, what, parameters) {
  const address = new URL(`v1/videos/${encodeURIComponent(video)}/${what}`, url);
  address.search = new URLSearchParams(parameters).toString();
  const accept = what === "events" ? "text/event-stream" : "application/json";
  const headers = { accept, ...(await tokens.headers()) };
  const response = await fetch(address, { headers, cache: "no-store", signal, ...(credentials && { credentials }) });
  if (response.ok) return response;
  const problem = await response.json().catch(() => ({}));
  const after = Number(response.headers.get("retry-after")) * 1_000 || 0;
  throw refusal(problem.detail ?? `status ${response.status}`, response.status, after);
}
