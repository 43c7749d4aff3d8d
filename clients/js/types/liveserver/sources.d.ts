/** @param {Request} request @returns {AsyncGenerator<Received>} */
export function stream(request: Request): AsyncGenerator<Received>;
/** @param {Request} request @returns {AsyncGenerator<Received>} */
export function polls(request: Request): AsyncGenerator<Received>;
/** @param {Request} request @returns {AsyncGenerator<Received>} */
export function socket(request: Request): AsyncGenerator<Received>;
export const CONTROLS: Set<string>;
/** A connection is over; another may do better unless it is `final`. `blocked`: polls may get through. */
export class Disconnected extends Error {
    /** @param {string} reason @param {{blocked?: boolean, final?: boolean, after?: number, status?: number}} options */
    constructor(reason: string, { blocked, final, after, status }?: {
        blocked?: boolean;
        final?: boolean;
        after?: number;
        status?: number;
    });
    blocked: boolean;
    final: boolean;
    after: number;
    status: number;
}
/**
 * One connection to one frontend: an event stream, a series of long-polls, or a WebSocket. None reconnects by
 * itself.
 *
 * All are asynchronous generators of what was received at once: the items, none for a heartbeat, and how long
 * to wait before reconnecting, if the server has sent it. They throw `Disconnected`.
 *
 * Published events and the server's control messages share no namespace here: `kind` says which an item is, and
 * it follows from where it stood (poll, WebSocket) or from its contents (stream), never from its type alone.
 */
export type Item = {
    kind: "event" | "control";
    type: string;
    data: any;
    cursor: string | null;
};
/**
 * One connection to one frontend: an event stream, a series of long-polls, or a WebSocket. None reconnects by
 * itself.
 *
 * All are asynchronous generators of what was received at once: the items, none for a heartbeat, and how long
 * to wait before reconnecting, if the server has sent it. They throw `Disconnected`.
 *
 * Published events and the server's control messages share no namespace here: `kind` says which an item is, and
 * it follows from where it stood (poll, WebSocket) or from its contents (stream), never from its type alone.
 */
export type Received = {
    items: Item[];
    retry?: number;
};
/**
 * `behind`: seconds behind live, whole ones; `types`: of events, all without; `rate`: comments a second
 */
export type Request = {
    url: string;
    video: string;
    cursor: string | null;
    replay: number;
    heartbeat: number;
    signal: AbortSignal;
    tokens: import("./tokens.js").Tokens;
    credentials?: RequestCredentials;
    behind?: () => number;
    types?: string[];
    rate?: number;
};
