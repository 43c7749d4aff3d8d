/**
 * The state of a video: the newest event of each key. All clients, nodes and datacenters apply this rule, so
 * that they come to the same state whatever the order of arrival.
 *
 * @typedef {import("../liveserver.js").LiveEvent} LiveEvent
 */

const MOST_CLEARED = 1_000; // keys whose clearing is remembered, so that an older event does not bring them back

/** Whether `a` replaces `b`: the higher version; without one, the later `at`, then the greater id. @param {LiveEvent} a @param {LiveEvent} b */
export function isNewer(a, b) {
  const version = a.version ?? -1; // none is lower than any
  const other = b.version ?? -1;
  if (version !== other) return version > other;
  return a.at !== b.at ? a.at > b.at : a.id > b.id;
}

export class State {
  /** @type {Map<string, LiveEvent>} */ events = new Map();
  /** @type {Map<string, LiveEvent>} */ #cleared = new Map();

  /** Apply one event; return whether it changed the state. @param {LiveEvent} event */
  apply(event) {
    const { key } = event;
    if (typeof key !== "string") return false;
    const present = this.events.get(key) ?? this.#cleared.get(key);
    if (present && !isNewer(event, present)) return false;
    this.#cleared.delete(key);
    if (event.data === null) {
      this.events.delete(key);
      this.#cleared.set(key, event);
      if (this.#cleared.size > MOST_CLEARED) this.#cleared.delete(/** @type {string} */ (this.#cleared.keys().next().value));
    } else {
      this.events.set(key, event);
    }
    return true;
  }

  /** Set all of it, as a server tells it behind `ready` and `gap`; return what changed. @param {LiveEvent[]} events */
  replace(events) {
    const present = new Set(events.map(({ key }) => key));
    const changed = [];
    for (const [key, event] of this.events) {
      if (present.has(key)) continue;
      this.events.delete(key);
      changed.push({ ...event, data: null });
    }
    for (const event of events) if (this.apply(event)) changed.push(event);
    return changed;
  }
}

/**
 * What viewers may do, as set by moderators; the default is open.
 * @typedef {{comments: "open"|"slow"|"closed", slow: number, likes: "open"|"closed", review: boolean}} Settings `slow`: seconds
 * @param {Map<string, LiveEvent>} events @returns {Settings}
 */
export function settingsOf(events) {
  return { comments: "open", slow: 30, likes: "open", review: false, ...events.get("settings")?.data };
}

/**
 * What is pinned above all comments: one of them, or a text; null if nothing is.
 * @typedef {{text: string, comment?: ?string, user?: ?string}} Pinned `comment`: its id
 * @param {Map<string, LiveEvent>} events @returns {?Pinned}
 */
export function pinnedOf(events) {
  return events.get("pin")?.data ?? null;
}

/**
 * The likes of a video, exactly: the sum over its stores' newest totals; null before the first.
 * @param {Map<string, LiveEvent>} events @returns {?{likes: number, reactions: Map<string, number>}}
 */
export function sumLikes(events) {
  const reactions = new Map();
  let isKnown = false;
  let likes = 0;
  for (const [key, { type, data }] of events) {
    if (type !== "likes" || !key.startsWith("likes/")) continue;
    isKnown = true;
    for (const [reaction, count] of Object.entries(data?.total ?? {})) {
      if (!Number.isFinite(count)) continue;
      reactions.set(reaction, (reactions.get(reaction) ?? 0) + count);
      likes += count;
    }
  }
  return isKnown ? { likes, reactions } : null;
}
