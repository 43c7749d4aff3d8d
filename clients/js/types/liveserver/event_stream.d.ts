/**
 * Parse an event stream (WHATWG HTML §9.2.6), without I/O.
 *
 * A line ends with LF, CR or CRLF and with nothing else: U+2028, U+2029, U+0085, form feeds and the like are
 * text. Chunks may be cut anywhere, also between CR and LF.
 */
/** @typedef {{event: string, data: string, id: ?string}} Message */
export class EventStreamParser {
    /** The complete messages that `text` finishes, the last `retry` in it, and the `id` behind them that came alone. @param {string} text */
    feed(text: string): {
        messages: Message[];
        retry?: number;
        id?: string;
    };
    #private;
}
export type Message = {
    event: string;
    data: string;
    id: string | null;
};
