// Numbers as people read them, and what follows from two answers of /v1/status.

export const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const compact = new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 3 });

/** 950, 12.3K, 1.04M. */
export const short = (number) => (number < 100 ? String(Math.round(number * 10) / 10) : number < 1000 ? String(Math.round(number)) : compact.format(number));

/** Seconds: 0.8 ms, 34 ms, 1.2 s. */
export function seconds(number) {
  if (number < 0.01) return `${Math.round(number * 10000) / 10} ms`;
  return number < 1 ? `${Math.round(number * 1000)} ms` : `${Math.round(number * 10) / 10} s`;
}

/** Bytes: 87 MiB, 1.2 GiB. */
export function bytes(number) {
  const mebi = number / 1024 ** 2;
  return mebi < 1024 ? `${Math.round(mebi)} MiB` : `${Math.round(mebi / 102.4) / 10} GiB`;
}

export const percent = (share) => `${Math.round(share * 100)} %`;

/** How long: 42 s, 5 min, 3 h, 2 d. */
export function duration(number) {
  for (const [name, size] of [["d", 86400], ["h", 3600], ["min", 60]]) {
    if (number >= size) return `${Math.floor(number / size)} ${name}`;
  }
  return `${Math.floor(number)} s`;
}

/** What stands at a path of names; undefined where there is nothing. */
export const at = (object, path) => path.split(".").reduce((inner, name) => inner?.[name], object);

/** How much a counter grew a second between two answers; null when that is not known. */
export function rate(before, now, path, elapsed) {
  const [from, to] = [at(before, path), at(now, path)];
  return from === undefined || to === undefined || to < from || elapsed <= 0 ? null : (to - from) / elapsed;
}

/** Of what a distribution counted between two answers: under which value that share lies. Null of nothing. */
export function quantile(before, now, path, share) {
  const [from, to] = [at(before, path), at(now, path)];
  if (!from || !to) return null;
  const counts = to.counts.map((count, index) => count - from.counts[index]);
  const wanted = share * counts.reduce((sum, count) => sum + count, 0);
  if (!(wanted > 0)) return null;
  let count = 0;
  let lower = 0;
  for (const [index, bound] of to.bounds.entries()) {
    if (counts[index] && count + counts[index] >= wanted) return lower + ((bound - lower) * (wanted - count)) / counts[index];
    count += counts[index];
    lower = bound;
  }
  return lower;
}
