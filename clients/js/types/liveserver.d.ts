declare const LiveVideo_base: new () => Target;
/**
 * Fires published events by their type and as "*", with the `LiveEvent` as `detail`; "ready", "gap", "viewers"
 * and "bye" with what API.md says; "state" with what changed `state`; "connection" with a `ConnectionState`;
 * "refused", after which it is closed, with {status, detail}.
 */
export class LiveVideo extends LiveVideo_base {
    /**
     * @param {string|URL|(string|URL)[]} urls the frontends' @param {string} video
     * @param {Options} options `likes` is the likes backend's URL, where it is not the first frontend's
     */
    constructor(urls: string | URL | (string | URL)[], video: string, options?: Options);
    /** Where to resume so that nothing after the last item is missed. @type {?string} */ cursor: string | null;
    /** @type {ConnectionState} */ connection: ConnectionState;
    /** The newest event of each key. @returns {ReadonlyMap<string, LiveEvent>} */
    get state(): ReadonlyMap<string, LiveEvent>;
    /** What viewers may do just now; "state" is fired when it changes. @returns {Settings} */
    get settings(): Settings;
    /** What a moderator or host has pinned; else null. @returns {?Pinned} */
    get pinned(): Pinned | null;
    /** The exact number of likes, if the servers publish sums; else null. @returns {?{likes: number, reactions: Map<string, number>}} */
    get total(): {
        likes: number;
        reactions: Map<string, number>;
    } | null;
    /** The servers' clock, in milliseconds, as far as it could be measured: `live.now() - event.at` is the latency. */
    now(): number;
    /** Connect by `transport` from now on; without a connection shared with other tabs, unless it is "auto". @param {"auto"|"sse"|"poll"|"ws"} transport */
    setTransport(transport: "auto" | "sse" | "poll" | "ws"): void;
    /** End and release everything; it cannot be started again. */
    close(): void;
    /** Throws `LiveError`. The same `key` again is the same like. @param {string} reaction @param {Deed} options @returns {Promise<{id: string, total: number}>} */
    like(reaction?: string, { user, key, position }?: Deed): Promise<{
        id: string;
        total: number;
    }>;
    /** Throws `LiveError`. The same `key` again is the same comment. @param {string} text @param {Deed} options `waiting`: for a moderator. @returns {Promise<{id: string, waiting?: boolean}>} */
    comment(text: string, { user, key, position }?: Deed): Promise<{
        id: string;
        waiting?: boolean;
    }>;
    /** Retract a comment. Throws `LiveError`. @param {string} id @returns {Promise<void>} */
    retract(id: string): Promise<void>;
    /**
     * Request a moderator's act: `moderate("PUT", "settings", { comments: "slow", slow: 30 })`; the path is below the video's.
     * Throws `LiveError`. @param {string} method @param {string} path @param {object} [body] @returns {Promise<any>}
     */
    moderate(method: string, path: string, body?: object): Promise<any>;
    /** The totals, and the newest comments. Throws `LiveError`. @returns {Promise<Summary>} */
    summary(): Promise<Summary>;
    /** This viewer's user and permissions, according to the server. Throws `LiveError`. @returns {Promise<Me>} */
    me(): Promise<Me>;
    #private;
}
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
 */
export type BareEvent = {
    id: string;
    video: string;
    type: string;
    at: number;
    user?: string;
    key?: string;
    version?: number;
    accepted?: number;
    position?: number;
    role?: string;
    by?: string;
};
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
 */
export type LiveEvent = BareEvent & {
    data?: any;
};
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
 */
export type LikeEvent = BareEvent & {
    data: {
        reaction: string;
    };
};
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
 */
export type CommentEvent = BareEvent & {
    data: {
        text: string;
    };
};
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
 */
export type RetractEvent = BareEvent & {
    data: {
        id: string;
    };
};
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
 */
export type LikesEvent = BareEvent & {
    key: string;
    data: {
        added: Record<string, number>;
        total: Record<string, number>;
        users?: string[];
    };
};
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
 */
export type Ready = {
    video: string;
    node: string | null;
    cursor: string;
    resumed: boolean;
    gap: boolean;
    skipped?: string;
};
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
 */
export type Gap = {
    video: string;
    cursor: string;
};
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
 */
export type Viewers = {
    video: string;
    here: number;
    datacenter: number;
    total: number;
};
/**
 * comments that `rate` left out
 */
export type Omitted = {
    video: string;
    cursor: string;
    omitted: number;
};
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
 */
export type Bye = {
    reason: string;
    reconnect: boolean;
};
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
 */
export type ConnectionState = {
    name: "connecting" | "live" | "stalled" | "waiting" | "closed";
    transport: "sse" | "poll" | "ws";
    url: string;
    node: string | null;
    shared: boolean;
    reason?: string;
    wait?: number;
};
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
 */
export type Refused = {
    status: number;
    detail: string;
};
/**
 * `events`: what changed `live.state`
 */
export type StateChange = {
    events: LiveEvent[];
};
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
 */
export type LiveVideoEvents = {
    "*": LiveEvent;
    like: LikeEvent;
    likes: LikesEvent;
    comment: CommentEvent;
    retract: RetractEvent;
    ready: Ready;
    gap: Gap;
    viewers: Viewers;
    omitted: Omitted;
    bye: Bye;
    state: StateChange;
    connection: ConnectionState;
    refused: Refused;
};
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
 */
export type Token = import("./liveserver/tokens.js").Token;
/**
 * `behind`: seconds behind live, as far as the
 * picture is; `types`: only events of these types, and retractions; `rate`: at most so many comments a second
 */
export type Options = {
    transport?: "auto" | "sse" | "poll" | "ws";
    cursor?: string | null;
    replay?: number;
    share?: boolean;
    token?: Token;
    credentials?: RequestCredentials;
    likes?: string | URL;
    user?: string | (() => string | undefined);
    behind?: number | (() => number);
    types?: string[];
    rate?: number;
};
/**
 * `position`: media time in milliseconds
 */
export type Deed = {
    user?: string;
    key?: string;
    position?: number;
};
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
 */
export type Summary = import("./liveserver/likes.js").Summary;
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
 */
export type Me = import("./liveserver/likes.js").Me;
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
 */
export type Settings = import("./liveserver/state.js").Settings;
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
 */
export type Pinned = import("./liveserver/state.js").Pinned;
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
 */
export type Target = {
    addEventListener: {
        <K extends keyof LiveVideoEvents>(type: K, listener: ((event: CustomEvent<LiveVideoEvents[K]>) => void) | null, options?: boolean | AddEventListenerOptions): void;
        <T extends string>(type: T extends keyof LiveVideoEvents ? never : T, listener: ((event: CustomEvent<LiveEvent>) => void) | null, options?: boolean | AddEventListenerOptions): void;
    };
    removeEventListener: {
        <K extends keyof LiveVideoEvents>(type: K, listener: ((event: CustomEvent<LiveVideoEvents[K]>) => void) | null, options?: boolean | EventListenerOptions): void;
        <T extends string>(type: T extends keyof LiveVideoEvents ? never : T, listener: ((event: CustomEvent<LiveEvent>) => void) | null, options?: boolean | EventListenerOptions): void;
    };
    dispatchEvent: (event: Event) => boolean;
};
import { LiveError } from "./liveserver/likes.js";
import { Replay } from "./liveserver/replay.js";
export { LiveError, Replay };
