/** Waiting and ending: timers and signals that leave nothing behind. */

/** Return after `ms`, or when `signal` is aborted. @param {number} ms @param {AbortSignal} signal @returns {Promise<void>} */
export function sleep(ms, signal) {
  return new Promise((resolve) => {
    if (signal.aborted || ms <= 0) return resolve();
    const done = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal.addEventListener("abort", done);
  });
}

/** A controller that is aborted with its parent. Abort it in the end: that also lets go of the parent. @param {AbortSignal} parent */
export function childOf(parent) {
  const child = new AbortController();
  if (parent.aborted) child.abort(parent.reason);
  else parent.addEventListener("abort", () => child.abort(parent.reason), { signal: child.signal });
  return child;
}
