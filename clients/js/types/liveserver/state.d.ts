/** Whether `a` replaces `b`: the higher version; without one, the later `at`, then the greater id. @param {LiveEvent} a @param {LiveEvent} b */
export function isNewer(a: LiveEvent, b: LiveEvent): boolean;
/**
 * What viewers may do, as set by moderators; the default is open.
 * @typedef {{comments: "open"|"slow"|"closed", slow: number, likes: "open"|"closed", review: boolean}} Settings `slow`: seconds
 * @param {Map<string, LiveEvent>} events @returns {Settings}
 */
export function settingsOf(events: Map<string, LiveEvent>): Settings;
/**
 * What is pinned above all comments: one of them, or a text; null if nothing is.
 * @typedef {{text: string, comment?: ?string, user?: ?string}} Pinned `comment`: its id
 * @param {Map<string, LiveEvent>} events @returns {?Pinned}
 */
export function pinnedOf(events: Map<string, LiveEvent>): Pinned | null;
/**
 * The likes of a video, exactly: the sum over its stores' newest totals; null before the first.
 * @param {Map<string, LiveEvent>} events @returns {?{likes: number, reactions: Map<string, number>}}
 */
export function sumLikes(events: Map<string, LiveEvent>): {
    likes: number;
    reactions: Map<string, number>;
} | null;
export class State {
    /** @type {Map<string, LiveEvent>} */ events: Map<string, LiveEvent>;
    /** Apply one event; return whether it changed the state. @param {LiveEvent} event */
    apply(event: LiveEvent): boolean;
    /** Set all of it, as a server tells it behind `ready` and `gap`; return what changed. @param {LiveEvent[]} events */
    replace(events: LiveEvent[]): import("../liveserver.js").LiveEvent[];
    #private;
}
/**
 * `slow`: seconds
 */
export type Settings = {
    comments: "open" | "slow" | "closed";
    slow: number;
    likes: "open" | "closed";
    review: boolean;
};
/**
 * `comment`: its id
 */
export type Pinned = {
    text: string;
    comment?: string | null;
    user?: string | null;
};
/**
 * The state of a video: the newest event of each key. All clients, nodes and datacenters apply this rule, so
 * that they come to the same state whatever the order of arrival.
 */
export type LiveEvent = import("../liveserver.js").LiveEvent;
