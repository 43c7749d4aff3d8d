/**
 * Parse an event stream (WHATWG HTML §9.2.6), without I/O.
 *
 * A line ends with LF, CR or CRLF and with nothing else: U+2028, U+2029, U+0085, form feeds and the like are
 * text. Chunks may be cut anywhere, also between CR and LF.
 */

/** @typedef {{event: string, data: string, id: ?string}} Message */

export class EventStreamParser {
  #rest = "";
  #afterCR = false;
  /** @type {string[]} */ #data = [];
  #event = "";
  /** @type {?string} */ #id = null;

  /** The complete messages that `text` finishes, the last `retry` in it, and the `id` behind them that came alone. @param {string} text */
  feed(text) {
    /** @type {{messages: Message[], retry?: number, id?: string}} */
    const received = { messages: [] };
    if (!text) return received;
    if (this.#afterCR && text.startsWith("\n")) text = text.slice(1);
    this.#afterCR = text.endsWith("\r");
    const lines = (this.#rest + text).split(/\r\n|\n|\r/);
    this.#rest = lines.pop() ?? "";
    for (const line of lines) {
      if (line === "") {
        this.#finish(received);
        continue;
      }
      const [, name, value] = /** @type {string[]} */ (/^([^:]*):? ?(.*)/s.exec(line)); // `s`: U+2028 is text as well
      if (name === "data") this.#data.push(value);
      else if (name === "event") this.#event = value;
      else if (name === "id" && !value.includes("\0")) this.#id = value;
      else if (name === "retry" && /^[0-9]{1,9}$/.test(value)) received.retry = Number(value);
    }
    return received;
  }

  /** @param {{messages: Message[], id?: string}} received */
  #finish(received) {
    if (this.#data.length) delete received.id;
    else if (this.#id) received.id = this.#id;
    if (this.#data.length) received.messages.push({ event: this.#event || "message", data: this.#data.join("\n"), id: this.#id });
    this.#data = [];
    this.#event = "";
    this.#id = null;
  }
}
