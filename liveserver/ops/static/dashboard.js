// The dashboard: fetches this node's status once a second, and draws the changes between two answers.

import { Chart } from "./chart.js";
import { element, isNew, runCluster, showView } from "./cluster.js";
import { at, bytes, duration, percent, quantile, rate, seconds, short, whole } from "./numbers.js";

const EVERY = 1000; // ms between two looks
const CALM_EVERY = 10_000; // the same where reduced motion is preferred
const CHECKS_EVERY = 3; // looks between two askings for readiness, which costs the node a ping

const $ = (id) => document.getElementById(id);

// What is drawn: each returns its chart's values, or nothing where this node has no such part.
const CHARTS = [
  [{ title: "Viewers", format: short, least: 5, wide: true }, ({ now }) => [at(now, "frontend.viewers")], "frontend"],
  [{ title: "Deliveries", unit: "a second", format: short, least: 10 }, (two) => [two.rate("frontend.fanout.deliveries")], "frontend"],
  [{ title: "Publishes", unit: "a second", format: short, least: 10 }, (two) => [two.rate("publish.accepted")], "publish"],
  [
    { title: "Fan-out delay", lines: ["p50", "p99"], format: seconds, least: 0.01, wide: true },
    (two) => [two.quantile("frontend.fanout.delay", 0.5), two.quantile("frontend.fanout.delay", 0.99)],
    "frontend",
  ],
  [
    { title: "From publisher to write", lines: ["p50", "p99"], format: seconds, least: 0.01, wide: true },
    (two) => [two.quantile("frontend.fanout.publish_to_write", 0.5), two.quantile("frontend.fanout.publish_to_write", 0.99)],
    "frontend",
  ],
  [{ title: "Events in a write", format: short, least: 2 }, (two) => [two.ratio("frontend.fanout.deliveries", "frontend.fanout.writes")], "frontend"],
  [{ title: "Furthest behind", unit: "events", format: short, least: 10 }, ({ now }) => [at(now, "frontend.lag")], "frontend"],
  [
    { title: "Slow viewers", lines: ["lagging", "gaps sent/s"], format: short, least: 2, wide: true },
    (two) => [at(two.now, "frontend.lagging"), two.rate("frontend.fanout.gaps")],
    "frontend",
  ],
  [{ title: "Group commit p99", format: seconds, least: 0.005 }, (two) => [two.quantile("publish.commit_time", 0.99)], "publish"],
  [{ title: "Redis round trip p99", format: seconds, least: 0.005 }, (two) => [two.quantile("redis.round_trips", 0.99)], "redis"],
  [{ title: "Canary's round trip", format: seconds, least: 0.005 }, ({ now }) => [at(now, "frontend.canary.round_trip") ?? at(now, "canary.round_trip")]],
  [{ title: "Stored", unit: "a second", format: short, least: 5 }, (two) => [two.rate("backend.write.stored")], "backend"],
  [{ title: "Waiting for a dispatcher", unit: "events", format: short, least: 10 }, ({ now }) => [at(now, "backend.outbox.waiting")], "backend"],
  [{ title: "Processor", unit: "of a core", format: percent, least: 1 }, (two) => [two.rate("process.cpu")]],
  [{ title: "Memory", format: bytes, least: 64 * 1024 ** 2, size: 1024 ** 2 }, ({ now }) => [at(now, "process.memory")]],
];

const FIRST = new Set(["Viewers", "Deliveries", "Publishes", "Fan-out delay", "From publisher to write", "Processor"]);

// Counted since the start; only what this node has is shown.
const FACTS = [
  ["Deliveries", "frontend.fanout.deliveries"],
  ["Events accepted", "publish.accepted"],
  ["Duplicates", "publish.duplicates"],
  ["Commits that failed", "publish.failures"],
  ["Requests shed", "publish.shed"],
  ["Holes mended", "frontend.intake.holes"],
  ["Gaps sent", "frontend.fanout.gaps"],
  ["Viewers let go as slow", "frontend.fanout.slow"],
  ["Withheld", "frontend.fanout.withheld"],
  ["Canaries lost", "frontend.canary.lost"],
  ["Stored", "backend.write.stored"],
  ["Requests refused", ({ edge }) => edge && Object.values(edge.refused).reduce((sum, count) => sum + count, 0)],
  ["Defects", "edge.failures"],
];

/** Two answers, and how much time was between them. */
class Two {
  constructor(before, now, elapsed) {
    this.before = before;
    this.now = now;
    this.elapsed = elapsed;
  }
  rate(path) {
    return rate(this.before, this.now, path, this.elapsed);
  }
  ratio(path, through) {
    const [above, below] = [this.rate(path), this.rate(through)];
    return above && below ? above / below : null;
  }
  quantile(path, share) {
    return quantile(this.before, this.now, path, share);
  }
}

// The first are always shown, where the node has that part; of the others, those that are not flat.
const charts = CHARTS.map(([options, values, part = ""]) => ({ chart: new Chart(options), values, part, isFirst: FIRST.has(options.title) }));
let shown = "";

/** Put each chart where it belongs; the flat ones of the second part are a line of text each. */
function arrange(now) {
  const present = charts.filter(({ part }) => !part || at(now, part) !== undefined);
  // Of three beside each other; where one is left over, another keeps the last row full.
  const first = present.filter(({ isFirst }) => isFirst);
  if (first.length % 3 === 2) first.push(present.find(({ chart }) => chart.title === "Memory"));
  const others = present.filter((one) => !first.includes(one));
  const live = others.filter(({ chart }) => !chart.isFlat);
  const order = [first, live].map((some) => some.map(({ chart }) => chart.title).join()).join(";");
  if (order !== shown) {
    shown = order;
    $("charts").replaceChildren(...first.map(({ chart }) => chart.element));
    $("more-charts").replaceChildren(...live.map(({ chart }) => chart.element));
    for (const { chart } of [...present]) chart.draw();
  }
  const quiet = others.filter((one) => !live.includes(one)).map(({ chart }) => [chart.title, chart.words]);
  if (!isNew("quiet", quiet)) return;
  $("quiet").replaceChildren(...quiet.map(([title, words]) => {
    const line = element("li", title);
    line.append(element("b", words));
    return line;
  }));
}

let before = null;
let asked = 0;
let looks = 0;

function say(state, word) {
  $("state").dataset.state = state;
  if ($("state-word").textContent !== word) $("state-word").textContent = word;
}

async function look() {
  const now = await (await fetch("/v1/status", { cache: "no-store" })).json();
  const time = performance.now() / 1000;
  const two = new Two(before?.uptime <= now.uptime ? before : null, now, time - asked);
  for (const { chart, values } of charts) chart.add(time, ...values(two).map((value) => value ?? null));
  arrange(now);
  showView(true);
  name(now);
  videos(two);
  facts(now);
  [before, asked] = [now, time];
  if (looks++ % CHECKS_EVERY === 0) await checks();
}

function name(now) {
  if ($("node").textContent !== now.node) $("node").textContent = now.node;
  if (document.title !== `${now.node} · liveserver`) document.title = `${now.node} · liveserver`;
  const about = `${now.roles.join(", ")} · ${now.datacenter} · ${now.bus} bus · version ${now.version} · up ${duration(now.uptime)}`;
  if ($("about").textContent !== about) $("about").textContent = about;
}

function videos({ before: earlier, now, elapsed }) {
  $("videos-card").hidden = !now.videos;
  if (!now.videos) return;
  const offsets = new Map((earlier?.videos ?? []).map((video) => [video.video + video.epoch, video.offset]));
  const most = Math.max(1, ...now.videos.map((video) => video.viewers));
  const rows = now.videos.map((video) => {
    const from = offsets.get(video.video + video.epoch);
    const by = Object.entries(video.transports).map(([how, count]) => `${how} ${short(count)}`).join(", ");
    return [
      video.video,
      (100 * video.viewers) / most,
      whole.format(video.viewers),
      by,
      from === undefined ? "–" : short(Math.max(0, video.offset - from) / elapsed),
      whole.format(video.offset),
      video.mending ? "mending" : whole.format(video.lag),
    ];
  });
  if (isNew("videos", rows)) $("videos").replaceChildren(...rows.map(videoRow));
  const more = !now.videos.length
    ? "No viewers here just now."
    : now.more_videos ? `and ${whole.format(now.more_videos)} more, with ${whole.format(now.more_viewers)} viewers` : "";
  if ($("more").textContent !== more) $("more").textContent = more;
}

function videoRow([title, width, viewers, by, ...others]) {
  const row = document.createElement("tr");
  const first = element("td", title);
  const share = element("span", "", "share");
  share.style.width = `${width}%`;
  first.append(share);
  first.title = title;
  row.append(first, element("td", viewers), element("td", by, "by"), ...others.map((words) => element("td", words)));
  return row;
}

function facts(now) {
  const known = FACTS.map(([title, where]) => [title, typeof where === "string" ? at(now, where) : where(now)]);
  const shown = known.filter(([, value]) => value !== undefined);
  if (!isNew("facts", shown)) return;
  $("facts").replaceChildren(...shown.map(([title, value]) => {
    const line = document.createElement("div");
    line.append(element("dt", title), element("dd", whole.format(value)));
    return line;
  }));
}

async function checks() {
  const result = await (await fetch("/readyz", { cache: "no-store" })).json();
  say(result.ready ? "ready" : "not-ready", result.ready ? "Ready" : "Not ready");
  if (!isNew("checks", result.checks)) return;
  $("checks").replaceChildren(...Object.entries(result.checks).map(([title, check]) => {
    const line = element("li", "", check.ok ? "ok" : "fails");
    const sign = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    sign.setAttribute("viewBox", "0 0 24 24");
    sign.setAttribute("role", "img");
    sign.setAttribute("aria-label", check.ok ? "works" : "fails");
    const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
    path.setAttribute("d", check.ok ? "M4 13l5 5L20 6" : "M5 5l14 14M19 5L5 19");
    sign.append(path);
    const words = element("span", title);
    if (check.detail) words.append(element("small", check.detail));
    line.append(sign, words);
    return line;
  }));
}

const calm = matchMedia("(prefers-reduced-motion: reduce)");

/** Return when it is time for the next look: not while the page is hidden. */
function nextLook() {
  return new Promise((done) => {
    if (document.hidden) document.addEventListener("visibilitychange", done, { once: true });
    else setTimeout(done, calm.matches && before ? CALM_EVERY : EVERY);
  });
}

async function run() {
  for (;;) {
    if (!document.hidden) {
      try {
        await look();
      } catch {
        say("lost", "No answer");
        looks = 0;
        before = null;
      }
    }
    await nextLook();
  }
}

run();
void runCluster();
