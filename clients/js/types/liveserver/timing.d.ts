/** Waiting and ending: timers and signals that leave nothing behind. */
/** Return after `ms`, or when `signal` is aborted. @param {number} ms @param {AbortSignal} signal @returns {Promise<void>} */
export function sleep(ms: number, signal: AbortSignal): Promise<void>;
/** A controller that is aborted with its parent. Abort it in the end: that also lets go of the parent. @param {AbortSignal} parent */
export function childOf(parent: AbortSignal): AbortController;
