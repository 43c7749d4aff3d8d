/**
 * One connection to one frontend: an event stream, a series of long-polls, or a WebSocket. None comes back by
 * itself.
 *
 * All are asynchronous generators of what was received at once: the items, none when the server only
 * showed that it lives, and how long to wait before coming back where it said so. They throw `Lost`.
 *
 * @typedef {import("../liveserver.js").Item} Item
 * @typedef {{items: Item[], retry?: number}} Received
 */

const POLL_WAIT = 25; // seconds
const ASK_AFTER = 15_000; // ms of quiet; scripts are not shown a WebSocket's own pings

/** A connection is over; another may do better unless it is `final`. `blocked`: polls may get through. */
export class Lost extends Error {
  constructor(reason, { blocked = false, final = false, after = 0, status = 0 } = {}) {
    super(reason);
    Object.assign(this, { blocked, final, after, status });
  }
}

/** @param {?string} cursor @returns {AsyncGenerator<Received>} */
export async function* stream(url, video, cursor, replay, signal, tokens) {
  const response = await ask(url, video, "events", cursor ? { cursor } : replay ? { replay } : {}, signal, tokens);
  if (!response.headers.get("content-type")?.startsWith("text/event-stream") || !response.body)
    throw new Lost("the answer is not an event stream", { blocked: true });
  const parser = new EventStreamParser();
  const decoder = new TextDecoder();
  const reader = response.body.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    yield parser.feed(decoder.decode(value, { stream: true }));
  }
}

/** @param {?string} cursor @returns {AsyncGenerator<Received>} */
export async function* polls(url, video, cursor, replay, signal, tokens) {
  for (let first = true; ; first = false) {
    const wish = cursor ? { cursor, wait: first ? 0 : POLL_WAIT } : replay ? { replay } : {};
    const response = await ask(url, video, "poll", wish, signal, tokens);
    const page = await response.json();
    const items = page.events.map((data) => ({ type: data.type, data, cursor: null }));
    const gap = page.gap;
    if (first) {
      const data = { video, node: null, cursor: page.cursor, resumed: !!cursor && !gap, gap };
      items.unshift({ type: "ready", data, cursor: null });
    } else if (gap) {
      items.unshift({ type: "gap", data: { video, cursor: page.cursor }, cursor: null });
    }
    if (items.length) items.at(-1).cursor = page.cursor; // what a page brings, it brings as a whole
    cursor = page.cursor;
    yield { items };
  }
}

/** @param {?string} cursor @returns {AsyncGenerator<Received>} */
export async function* socket(url, video, cursor, replay, signal, tokens) {
  const address = new URL("/v1/ws", url);
  address.protocol = address.protocol.replace("http", "ws");
  const { authorization } = await tokens.headers(); // which a WebSocket cannot send from here
  if (authorization) address.searchParams.set("token", authorization.replace("Bearer ", ""));
  const line = new WebSocket(address);
  const messages = [];
  let over = signal.aborted ? signal.reason : null;
  let opened = false;
  let quiet = false;
  let wake = () => {};
  const say = (message) => line.readyState === WebSocket.OPEN && line.send(JSON.stringify(message));
  const end = (reason) => ((over ??= reason), wake());
  line.onopen = () => (opened = true) && say({ subscribe: { video, ...(cursor ? { cursor } : replay ? { replay } : {}) } });
  line.onmessage = ({ data }) => ((quiet = false), messages.push(JSON.parse(data)), wake());
  line.onclose = ({ code, reason }) => {
    if (!opened) tokens.renew(); // a refusal's reason is not shown to scripts; it may be this
    end(new Lost(reason || `the WebSocket was closed (${code})`));
  };
  signal.addEventListener("abort", () => end(signal.reason), { once: true });
  const asking = setInterval(() => (quiet ? say({ ping: {} }) : (quiet = true)), ASK_AFTER);
  try {
    for (;;) {
      while (messages.length) yield received(messages.shift());
      if (over) throw over;
      await new Promise((resolve) => (wake = resolve));
    }
  } finally {
    clearInterval(asking);
    line.close();
  }
}

/** What one message of a WebSocket brings; nothing, when it is one of a later version. @returns {Received} */
function received(message) {
  const [[type, data]] = Object.entries(message);
  if (type === "error") {
    const { status, detail } = data;
    throw new Lost(detail, { status, final: status < 500 && ![408, 425, 429].includes(status) });
  }
  if (type === "events") {
    const items = data.events.map((event) => ({ type: event.type, data: event, cursor: null }));
    items.at(-1).cursor = data.cursor; // a message is taken as a whole
    return { items };
  }
  if (!["ready", "gap", "viewers", "bye"].includes(type)) return { items: [] };
  return { items: [{ type, data, cursor: data.cursor ?? null }], retry: data.retry };
}

async function ask(url, video, what, wish, signal, tokens) {
  const address = new URL(`/v1/videos/${encodeURIComponent(video)}/${what}`, url);
  address.search = new URLSearchParams(wish);
  const accept = what === "events" ? "text/event-stream" : "application/json";
  const response = await fetch(address, { headers: { accept, ...(await tokens.headers()) }, cache: "no-store", signal });
  if (response.ok) return response;
  const { status } = response;
  const final = status >= 400 && status < 500 && ![408, 425, 429].includes(status);
  const problem = await response.json().catch(() => ({}));
  const after = Number(response.headers.get("retry-after")) * 1_000 || 0;
  throw new Lost(problem.detail ?? `the server answered ${status}`, { final, status, after });
}

/** Bytes arrive as they please; what is whole of them comes out (WHATWG HTML §9.2.6, in the server's dialect). */
export class EventStreamParser {
  #rest = "";
  #fields = { id: null, event: "message", data: [] };

  /** @param {string} text @returns {Received} */
  feed(text) {
    const lines = (this.#rest + text).split("\n");
    this.#rest = lines.pop();
    const received = { items: [] };
    for (const line of lines) {
      const [, name, value] = /^([^:]*):? ?(.*)$/.exec(line.replace(/\r$/, ""));
      if (line === "" || line === "\r") this.#finish(received.items);
      else if (name === "retry" && /^\d+$/.test(value)) received.retry = Number(value);
      else if (name === "data") this.#fields.data.push(value);
      else if (name === "id" || name === "event") this.#fields[name] = value;
    }
    return received;
  }

  #finish(items) {
    const { id, event, data } = this.#fields;
    this.#fields = { id: null, event: "message", data: [] };
    if (data.length) items.push({ type: event, data: JSON.parse(data.join("\n")), cursor: id });
  }
}
