export class Connection {
    /** @param {Target} target @param {Host} host */
    constructor(target: Target, host: Host);
    /** @returns {"sse"|"poll"|"ws"} */
    get transport(): "sse" | "poll" | "ws";
    /** Stay connected until aborted (null), or until refused for good. @param {AbortSignal} signal @returns {Promise<?Disconnected>} */
    run(signal: AbortSignal): Promise<Disconnected | null>;
    /** The longest quiet of a connection that lives, in milliseconds. */
    get quiet(): number;
    /** Whether it is quiet for longer, as in a frozen tab, whose timers stand still. */
    get isSilent(): boolean;
    /** Stop waiting; give up a connection that has been silent for longer than a heartbeat interval. */
    wake(): void;
    /** Give up the present connection, or attempt. @param {string} reason */
    interrupt(reason: string): void;
    /** Restart a stream at another delay; polls and WebSockets change to it by themselves. */
    onDelayChanged(): void;
    #private;
}
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
 */
export type Item = import("./sources.js").Item;
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
 */
export type Received = import("./sources.js").Received;
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
 */
export type Transport = "auto" | "sse" | "poll" | "ws";
/**
 * `urls`: the next one first
 */
export type Target = {
    urls: string[];
    video: string;
    transport: Transport;
    replay: number;
    tokens: import("./tokens.js").Tokens;
    credentials?: RequestCredentials;
    behind?: () => number;
    types?: string[];
    rate?: number;
};
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
 */
export type Host = {
    cursor: string | null;
    receive: (items: Item[]) => void;
    synchronize: (offset: number, error: number) => void;
    report: (name: "connecting" | "live" | "stalled" | "waiting", more?: object) => void;
};
import { Disconnected } from "./sources.js";
