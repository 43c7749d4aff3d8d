// All nodes in one view, an event's way through them, test events, and moderators' acts.

import { at, bytes, duration, percent, quantile, rate, seconds, short, whole } from "./numbers.js";

const EVERY = 2000; // ms between two looks: each node is asked
const CALM_EVERY = 10_000; // the same where reduced motion is preferred
const FIRST = 500; // between the first two, without which there are no rates
const ACTS_EVERY = 5; // looks between two askings for moderators' acts

const $ = (id) => document.getElementById(id);

export function element(name, text = "", className = "") {
  const made = document.createElement(name);
  made.textContent = text;
  if (className) made.className = className;
  return made;
}

const written = new Map();

/** Whether this differs from what stands in this place: an element that is made anew is laid out and drawn anew. */
export function isNew(place, content) {
  const text = JSON.stringify(content);
  if (written.get(place) === text) return false;
  written.set(place, text);
  return true;
}

async function ask(path, options = {}) {
  const response = await fetch(path, { cache: "no-store", ...options });
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) throw Object.assign(new Error(answer.detail || `the node answers ${response.status}`), { status: response.status });
  return answer;
}

let before = new Map(); // node → its last answer
let asked = 0;
let looks = 0;

/** Look once at all nodes. */
async function look() {
  const { nodes, more_nodes: more } = await ask("/v1/cluster");
  const time = performance.now() / 1000;
  const elapsed = time - asked;
  const rows = nodes.map((now) => {
    const last = before.get(now.node);
    const earlier = last?.uptime <= now.uptime ? last : null;
    return {
      now,
      deliveries: earlier && rate(earlier, now, "frontend.fanout.deliveries", elapsed),
      publishes: earlier && rate(earlier, now, "publish.accepted", elapsed),
      delay: earlier && quantile(earlier, now, "frontend.fanout.delay", 0.99),
      cpu: earlier && rate(earlier, now, "process.cpu", elapsed),
    };
  });
  const name = document.activeElement?.closest?.("#nodes a")?.textContent;
  const cells = rows.map(cellsOf);
  if (isNew("nodes", cells)) {
    $("nodes").replaceChildren(...cells.map(row));
    if (name) [...document.querySelectorAll("#nodes a")].find((link) => link.textContent === name)?.focus();
  }
  sums(rows);
  $("nodes-more").textContent = more ? `and ${whole.format(more)} more; see ops.max_nodes` : "";
  [before, asked] = [new Map(nodes.map((node) => [node.node, node])), time];
  if (looks++ % ACTS_EVERY === 0) await acts();
}

const word = (value, format) => (value === undefined || value === null ? "" : format(value));

/** What a row shows of a node. */
function cellsOf({ now, deliveries, publishes, delay, cpu }) {
  const isReady = now.ready && !now.trouble;
  const says = now.trouble || (isReady ? "Ready" : now.failing?.length ? `Not ready: ${now.failing.join(", ")}` : "Not ready");
  return {
    node: now.node,
    url: `//${here(now.ops)}/`,
    about: `${now.roles.join(", ")} · ${now.datacenter}`,
    state: now.trouble ? "lost" : isReady ? "ready" : "not-ready",
    says,
    others: [
      word(at(now, "frontend.viewers"), whole.format),
      word(at(now, "frontend.videos"), whole.format),
      word(deliveries, short),
      word(publishes, short),
      word(delay, seconds),
      word(at(now, "frontend.lag"), whole.format),
      word(cpu, percent),
      word(at(now, "process.memory"), bytes),
      word(now.uptime, duration),
    ],
  };
}

function row({ node, url, about, state, says, others }) {
  const made = document.createElement("tr");
  const first = document.createElement("td");
  const link = element("a", node);
  link.href = url;
  first.append(link, element("small", about));
  const second = document.createElement("td");
  const pill = element("span", "", "pill");
  pill.dataset.state = state;
  pill.append(element("span", "", "dot"), says);
  second.append(pill);
  made.append(first, second, ...others.map((words) => element("td", words)));
  return made;
}

/** The node's address as this browser reaches it: an address of the node's own machine is that of this page. */
function here(ops) {
  const port = ops.slice(ops.lastIndexOf(":") + 1);
  return /^(127\.|\[::1\])/.test(ops) ? `${location.hostname}:${port}` : ops;
}

function sums(rows) {
  const sum = (values) => values.reduce((all, value) => all + (value ?? 0), 0);
  const ready = rows.filter(({ now }) => now.ready && !now.trouble).length;
  const shown = [
    ["Nodes ready", `${ready} of ${rows.length}`],
    ["Viewers", short(sum(rows.map(({ now }) => at(now, "frontend.viewers"))))],
    ["Deliveries a second", short(sum(rows.map(({ deliveries }) => deliveries)))],
    ["Publishes a second", short(sum(rows.map(({ publishes }) => publishes)))],
  ];
  if (!isNew("sums", shown)) return;
  $("sums").replaceChildren(...shown.map(([title, value]) => {
    const made = document.createElement("div");
    made.append(element("dt", title), element("dd", value));
    return made;
  }));
}

// Moderators' acts

const CLEARED = { ban: "lift ban", pin: "unpin", waiting: "decide" };

async function acts() {
  const { acts: found, backends, missing } = await ask("/v1/cluster/acts");
  $("acts").replaceChildren(...found.slice(0, 20).map((act) => {
    const made = document.createElement("tr");
    const data = act.data ?? null;
    const what = data === null ? CLEARED[act.type] ?? `clear ${act.type}` : act.type === "audit" ? String(data.act ?? "audit") : act.type;
    const details = data === null ? act.key ?? "" : Object.entries(data).filter(([name]) => name !== "act").map(([name, value]) => `${name} ${typeof value === "string" ? value : JSON.stringify(value)}`).join(" · ");
    const when = new Date(act.at);
    const time = element("time", when.toLocaleString([], { dateStyle: "short", timeStyle: "medium" }));
    if (!Number.isNaN(when.getTime())) time.dateTime = when.toISOString();
    const second = document.createElement("td");
    second.append(time);
    const by = document.createElement("td");
    by.append(element("bdi", String(act.by ?? "")));
    const last = document.createElement("td");
    last.append(element("bdi", details.slice(0, 200)));
    made.append(element("td", act.video === "liveserver.site" ? "all videos" : act.video), second, by, element("td", what), last);
    return made;
  }));
  const lost = missing.map(({ node, trouble }) => `${node} ${trouble}`).join("; ");
  $("acts-more").textContent = lost || (found.length ? "" : backends ? "Nothing yet." : "There is no likes backend, which keeps them.");
}

// A trace, as a time line

const clock = (ms) => new Date(ms).toLocaleTimeString([], { hour12: false, hour: "2-digit", minute: "2-digit", second: "2-digit", fractionalSecondDigits: 3 });

function steps(traces) {
  const found = [];
  for (const [index, { node, datacenter, accepted, received, written, not_written: others, now }] of traces.entries()) {
    if (!index && accepted.at) found.push([accepted.at, accepted.datacenter, "accepted by a dispatcher, numbered and logged", ""]);
    if (received.at) found.push([received.at, node, `received in ${datacenter}`, ""]);
    else found.push([accepted.at, node, "read from the log, not received from the inbox", "dim"]);
    if (written.first_at) {
      const to = `${whole.format(written.viewers)} ${written.viewers === 1 ? "viewer" : "viewers"}`;
      found.push([written.first_at, node, `written to ${to}${written.is_complete ? "" : ", or more"}`, "good"]);
      if (written.last_at > written.first_at) found.push([written.last_at, node, "written to the last of them", "good"]);
    }
    if (!written.first_at && !now.viewers) found.push([received.at ?? accepted.at, node, "no viewers here", "dim"]);
    for (const { at: when, what, why, viewers } of others) found.push([when, node, `${what}: ${whole.format(viewers)} (${why})`, "warn"]);
    if (now.waiting + now.lagging) found.push([Date.now(), node, `not yet: ${whole.format(now.waiting)} waiting, ${whole.format(now.lagging)} lagging`, "warn"]);
  }
  return found.sort(([one], [other]) => one - other);
}

async function trace(video, event, patient = false) {
  const said = $("traced");
  $("line").replaceChildren();
  said.textContent = "Asking the frontends …";
  const path = `/v1/cluster/videos/${encodeURIComponent(video)}/events/${encodeURIComponent(event)}/trace`;
  try {
    let found = await ask(path);
    for (let tries = 0; patient && !found.traces.some(({ written, now }) => written.first_at || !now.viewers) && tries < 10; tries++) {
      await new Promise((done) => setTimeout(done, 150));
      found = await ask(path);
    }
    const { traces, missing } = found;
    const lost = missing.map(({ node, trouble }) => `${node} ${trouble}`).join("; ");
    if (!traces.length) {
      said.textContent = `No frontend has this event in its log: the video has no viewers, or the event is too old, or was never accepted.${lost ? ` ${lost}.` : ""}`;
      return;
    }
    const line = steps(traces);
    const start = line[0][0];
    const span = Math.max(1, line.at(-1)[0] - start);
    said.textContent = `${traces[0].type}, number ${traces[0].logged.number} of ${traces[0].accepted.datacenter}.${lost ? ` ${lost}.` : ""}`;
    $("line").replaceChildren(...line.map(([when, node, what, kind]) => {
      const made = element("li", "", kind);
      const bar = element("span", "", "when");
      bar.style.setProperty("--at", `${(100 * (when - start)) / span}%`);
      made.append(element("b", `+${whole.format(when - start)} ms`), element("span", `${node}: ${what}`), bar);
      made.title = clock(when);
      return made;
    }));
  } catch (error) {
    said.textContent = error.message;
  }
}

$("trace").addEventListener("submit", (event) => {
  event.preventDefault();
  const { video, event: id } = event.target.elements;
  void trace(video.value, id.value.trim());
});

$("publish").addEventListener("submit", async (event) => {
  event.preventDefault();
  const { video, type, data, key } = event.target.elements;
  const said = $("published");
  const body = { type: type.value };
  if (data.value.trim()) {
    try {
      body.data = JSON.parse(data.value);
    } catch {
      said.textContent = "The data is not JSON.";
      data.focus();
      return;
    }
  }
  said.textContent = "Publishing …";
  const headers = { "content-type": "application/json", ...(key.value ? { "liveserver-key": key.value } : {}) };
  try {
    const { id } = await ask(`/v1/videos/${encodeURIComponent(video.value)}/events`, { method: "POST", headers, body: JSON.stringify(body) });
    said.textContent = `Accepted as ${id}`;
    const fields = $("trace").elements;
    [fields.video.value, fields.event.value] = [video.value, id];
    void trace(video.value, id, true);
  } catch (error) {
    said.textContent = error.message;
    if (error.status === 401 || error.status === 403) {
      $("key-field").hidden = false;
      key.focus();
    }
  }
});

// Which view is shown

let isCluster = location.hash === "#cluster";
let isKnown = false; // whether the nodes have been asked

let isNodeKnown = false;

/** Show the chosen view, once there is something in it; `isLooked`: this node has answered. */
export function showView(isLooked = isNodeKnown) {
  isNodeKnown = isLooked;
  if (!isNew("view", [isCluster, isNodeKnown, isKnown])) return;
  $("node-view").hidden = isCluster || !isNodeKnown;
  $("cluster-view").hidden = !isCluster || !isKnown;
  $("foot").hidden = !(isCluster ? isKnown : isNodeKnown);
  $("to-node").toggleAttribute("aria-current", false);
  $("to-cluster").toggleAttribute("aria-current", false);
  $(isCluster ? "to-cluster" : "to-node").setAttribute("aria-current", "page");
}

const calm = matchMedia("(prefers-reduced-motion: reduce)");
let wake = () => {};
addEventListener("hashchange", () => {
  if (!["", "#node", "#cluster"].includes(location.hash)) return; // of a link inside a view
  isCluster = location.hash === "#cluster";
  showView();
  scrollTo(0, 0);
  wake();
});
document.addEventListener("visibilitychange", () => wake());

export async function runCluster() {
  for (;;) {
    if (isCluster && !document.hidden) {
      try {
        await look();
      } catch (error) {
        $("nodes-more").textContent = error.status ? error.message : "This node does not answer.";
      }
      isKnown = looks !== 1;
      showView();
    }
    await new Promise((done) => {
      wake = done;
      if (isCluster && !document.hidden) setTimeout(done, looks === 1 ? FIRST : calm.matches ? CALM_EVERY : EVERY);
    });
  }
}
