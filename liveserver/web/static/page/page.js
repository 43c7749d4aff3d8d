/**
 * The page's conductor: what is watched goes to the stage, the counter and the comments; what is tapped
 * or typed goes to the likes backend. What is on the screen comes from the stream, one's own like as well.
 *
 *     /?video=demo&frontends=http://127.0.0.1:8101,http://127.0.0.1:8102&likes=http://…&src=film.mp4
 */

import { LiveVideo } from "../liveserver.js";
import { Comments } from "./comments.js";
import { Likes } from "./likes.js";
import { ownName } from "./name.js";
import { Floating, icon, REACTIONS } from "./reactions.js";
import { Scene } from "./scene.js";

// Milliseconds.
const SETTLE_SOON = 2_000; // looks at the backend's totals
const SETTLE_EVERY = 20_000;
const NOTE_FOR = 6_000;

const $ = (id) => document.getElementById(id);
const parameters = new URLSearchParams(location.search);
const video = parameters.get("video") || "demo";
const frontends = (parameters.get("frontends") || location.origin).split(",").filter(Boolean);
const number = new Intl.NumberFormat();

const live = new LiveVideo(frontends, video);
const likes = new Likes(parameters.get("likes") || location.origin, video);
const comments = new Comments({ list: $("comments"), scroll: $("scroll"), empty: $("empty"), fresh: $("fresh") });
const floating = new Floating($("reactions"));
const myName = ownName($("me"));
const startedAt = Date.now();

// What is counted: the backend's total when last asked, and the likes seen since.
const tally = { before: 0, since: 0, seen: 0, perSecond: 0, lastSecond: 0, dirty: true };
const mine = new Map(); // reaction → taps whose likes have not come back yet
const delays = [];
let received = 0;
let reconnects = -1;

$("title").textContent = parameters.get("title") || video;
document.title = `${$("title").textContent} · live`;
const scene = startStage();
const buttons = makeButtons();
listen();
settle();
setTimeout(settle, SETTLE_SOON);
setInterval(settle, SETTLE_EVERY);
setInterval(everySecond, 1000);

function startStage() {
  const source = parameters.get("src");
  if (!source) return new Scene($("scene"));
  $("film").src = source;
  $("film").hidden = false;
  $("scene").hidden = true;
  return null;
}

function makeButtons() {
  const made = {};
  for (const [index, [reaction, { name }]] of Object.entries(REACTIONS).entries()) {
    const button = document.createElement("button");
    button.type = "button";
    button.dataset.reaction = reaction;
    button.title = `${name} (${index ? index + 1 : "L"})`;
    button.setAttribute("aria-label", name);
    button.setAttribute("aria-keyshortcuts", index ? String(index + 1) : "L 1");
    button.append(icon(reaction));
    button.addEventListener("click", () => like(reaction));
    $("buttons").append(button);
    made[reaction] = button;
  }
  return made;
}

function listen() {
  live.addEventListener("*", ({ detail }) => {
    received += 1;
    if (detail.at >= startedAt && delays.push(Math.max(0, Date.now() - detail.at)) > 60) delays.shift();
  });
  live.addEventListener("like", ({ detail }) => onLike(detail));
  live.addEventListener("comment", ({ detail }) => onComment(detail));
  live.addEventListener("retract", ({ detail }) => comments.remove(detail?.data?.id));
  live.addEventListener("viewers", ({ detail }) => {
    $("viewers").hidden = false;
    $("viewer-count").textContent = number.format(detail.total);
  });
  live.addEventListener("ready", ({ detail }) => {
    reconnects += 1;
    if (!detail.resumed) settle({ anew: true });
  });
  live.addEventListener("gap", () => settle({ anew: true }));
  live.addEventListener("refused", ({ detail }) => note(`This video can't be watched: ${detail.detail}`, true));
  live.addEventListener("bye", ({ detail }) => detail.reconnect || note("The show is over. Thank you for watching."));
  live.addEventListener("connection", showLine);
  showLine();
  for (const input of $("choice").querySelectorAll("input"))
    input.addEventListener("change", () => live.setTransport(input.value));
  $("form").addEventListener("submit", say);
  document.addEventListener("keydown", onKey);
  document.addEventListener("click", ({ target }) => $("line").contains(target) || ($("line").open = false));
  $("stage").addEventListener("dblclick", ({ target }) => target.closest(".top") || like("heart"));
}

function onLike({ user, data }) {
  const reaction = data?.reaction ?? "heart";
  tally.since += 1;
  tally.lastSecond += 1;
  showCount();
  scene?.cheer();
  const own = user === myName() && mine.get(reaction) > 0;
  if (own) mine.set(reaction, mine.get(reaction) - 1); // it floated when it was tapped
  else floating.add(reaction);
}

function onComment({ id, user, at, data }) {
  const text = typeof data === "string" ? data : data?.text;
  if (text) comments.add({ id, user, at, text }, user === myName());
}

async function like(reaction) {
  floating.add(reaction, true);
  scene?.cheer();
  const button = buttons[reaction];
  button.classList.add("tapped");
  setTimeout(() => button.classList.remove("tapped"), 90);
  mine.set(reaction, (mine.get(reaction) ?? 0) + 1);
  if (!(await attempt(() => likes.like(myName(), reaction)))) mine.set(reaction, Math.max(0, mine.get(reaction) - 1));
}

async function say(event) {
  event.preventDefault();
  const text = $("text").value.trim();
  if (!text) return;
  $("text").value = "";
  if (!(await attempt(() => likes.comment(myName(), text))) && !$("text").value) $("text").value = text;
}

async function attempt(act) {
  try {
    await act();
    delete $("buttons").dataset.off;
    return true;
  } catch (error) {
    if (error.impossible) $("buttons").dataset.off = "";
    note(error.message);
    return false;
  }
}

/**
 * What was before, by the backend's word. Whatever has been delivered was stored earlier, so its total is
 * never below what is counted here: the least difference ever seen is the one with nothing on its way.
 */
async function settle({ anew = false } = {}) {
  const since = tally.since;
  const summary = await likes.summary();
  if (!summary) return;
  const before = summary.likes - since;
  tally.before = anew || !tally.settled ? before : Math.min(tally.before, before);
  tally.settled = true;
  showCount();
  for (const comment of summary.comments.toReversed()) comments.add(comment, comment.user === myName());
}

function showCount() {
  if (tally.dirty) return;
  tally.dirty = true; // many in one frame are one change on the screen
  requestAnimationFrame(writeCount);
}

function writeCount() {
  const total = tally.before + tally.since;
  tally.dirty = false;
  $("count").textContent = number.format(total);
  $("count").dataset.exact = total;
  $("count-word").textContent = total === 1 ? "like" : "likes";
}

function everySecond() {
  tally.perSecond = tally.perSecond * 0.4 + tally.lastSecond * 0.6;
  tally.lastSecond = 0;
  $("rate").hidden = tally.perSecond < 1.5;
  $("rate").textContent = `${number.format(Math.round(tally.perSecond))} / s`;
  if ($("line").open) showFigures();
}

function showLine() {
  const { name, transport } = live.connection;
  $("live").dataset.state = name;
  $("live-word").textContent = { live: "Live", connecting: "Connecting", waiting: "Reconnecting", closed: "Ended" }[name];
  $("line-word").textContent = { sse: "Stream", poll: "Long-poll", ws: "WebSocket" }[transport];
  showFigures();
}

function showFigures() {
  const { transport, node, shared, url } = live.connection;
  $("transport").textContent = { sse: "Event stream", poll: "Long-poll", ws: "WebSocket" }[transport] + (shared ? ", another tab's" : "");
  $("node").textContent = $("node").title = node ?? new URL(url).host;
  const middle = delays.toSorted((a, b) => a - b)[delays.length >> 1];
  $("latency").textContent = middle === undefined ? "…" : `${number.format(middle)} ms`;
  $("received").textContent = number.format(received);
  $("reconnects").textContent = number.format(Math.max(0, reconnects));
}

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  if (event.key === "Escape") {
    if ($("line").open) $("line").open = false;
    else document.activeElement?.blur();
    return;
  }
  if (event.target.closest("input, textarea, select")) return;
  const reaction = event.key.toLowerCase() === "l" ? "heart" : Object.keys(REACTIONS)[Number(event.key) - 1];
  if (reaction) like(reaction);
  else if (event.key.toLowerCase() === "c") {
    event.preventDefault();
    $("text").focus();
  }
}

let noteTimer;
function note(text, stays = false) {
  clearTimeout(noteTimer);
  $("note").textContent = text;
  $("note").hidden = false;
  if (!stays) noteTimer = setTimeout(() => ($("note").hidden = true), NOTE_FOR);
}
writeCount();
