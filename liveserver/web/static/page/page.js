/**
 * Connect the parts of the page: what is watched goes to the stage, the counter and the comments; what is tapped
 * or typed goes to the likes backend. What is on the screen comes from the stream, one's own like as well.
 *
 *     /?video=demo&title=A+name&frontends=http://127.0.0.1:8101,http://127.0.0.1:8102&likes=http://…&src=film.mp4#token=…
 *     /?video=demo&src=film.mp4&replay        the recording, in step with the film: `recorded.js`
 */

import { LiveVideo } from "../liveserver.js";
import { Comments } from "./comments.js";
import { Composer } from "./composer.js";
import { Counter } from "./counter.js";
import { Desk, inWords } from "./desk.js";
import { findToken, Identity } from "./identity.js";
import { Floating, icon, REACTIONS } from "./reactions.js";
import { RecordedVideo } from "./recorded.js";
import { Scene } from "./scene.js";
import { cleanName, cleanText, setText } from "./text.js";

// Milliseconds.
const SETTLE_AFTER = [150, 1_000, 3_000]; // looks at the backend's totals behind a beginning
const SETTLE_EVERY = 20_000;
const COUNT_EVERY = 100; // between two numbers on the screen, of which each is drawn
const CALM_COUNT_EVERY = 1_000; // the same where reduced motion is preferred
const NOTE_FOR = 6_000;
const SPREAD = 500; // a sum's reactions, until the next one
const SHORT_BAN = 600_000;
const LATE = 30_000; // a like that was not answered may still arrive

const GOODBYES = new Map([
  ["removed", "You were removed by a moderator."],
  ["revoked", "You are signed out. Sign in again to go on watching."],
  ["disconnected", "You were disconnected by the site."],
]);

const WORDS = new Map([["live", "Live"], ["stalled", "No signal"], ["connecting", "Connecting"], ["waiting", "Reconnecting"], ["closed", "Ended"], ["replay", "Replay"]]);
const TRANSPORTS = new Map([["sse", ["Event stream", "Stream"]], ["poll", ["Long-poll", "Long-poll"]], ["ws", ["WebSocket", "WebSocket"]],
  ["recording", ["Recording", "Recording"]]]);

const $ = (id) => document.getElementById(id);
const parameters = new URLSearchParams(location.search);
const video = parameters.get("video") || "demo";
const named = (parameters.get("frontends") ?? "").split(",").filter((url) => url && URL.canParse(url, location.href));
const frontends = named.length ? named : [location.origin];
const number = new Intl.NumberFormat();
const calm = matchMedia("(prefers-reduced-motion: reduce)");
const reactions = [...REACTIONS.keys()];

const me = new Identity($("me"));
const isReplay = parameters.has("replay");
const live = isReplay
  ? new RecordedVideo(video, parameters.get("replay"), $("film"), findToken())
  : new LiveVideo(frontends, video, {
      likes: parameters.get("likes") || location.origin,
      token: findToken(),
      user: () => me.user,
      ...(parameters.get("credentials") === "include" && { credentials: "include" }),
    });
const counter = new Counter(live);
const comments = new Comments(
  { list: $("comments"), scroll: $("scroll"), empty: $("empty"), fresh: $("fresh") },
  {
    mention: (name) => $("form").hidden || composer.insert(`@${name} `),
    mayRemove: (own) => !!me.grant?.isSignedIn && (own || me.may("moderate")),
    remove: (id) => attempt(() => live.retract(id)),
    acts: actsOn,
    isMe: (text) => !!me.name && text.includes(`@${cleanName(me.name)}`),
  },
);
const floating = new Floating($("reactions"));
const composer = new Composer(
  { form: $("form"), text: $("text"), left: $("left"), send: $("send"), pick: $("pick"), emoji: $("emoji"), hold: $("hold") },
  say,
);
const desk = new Desk(live, attempt);

const mine = new Map(); // reaction → taps whose likes have not come back yet
const single = new Map(); // reaction → likes that came one by one since the last sum
const delays = [];
let received = 0;
let reconnects = -1;
let readyAt = Infinity;
let isDirty = false;
let countedAt = -Infinity; // when the number on the screen was written
let isAlone = false; // there is no likes backend
let isOff = false; // and it was tried
let seconds = 0; // the timer
let removed = ""; // what was said when this viewer was removed
let viewers = 0;
/** What was to be said while the page was hidden. @type {?[string, boolean]} */ let unsaid = null;

$("title-text").textContent = parameters.get("title") || video;
document.title = `${$("title-text").textContent} · live`;
$("second").href = location.href;
const scene = startStage();
const buttons = makeButtons();
listen();
void introduce().then(settle);
setInterval(() => counter.needsSummary && !document.hidden && settle(), SETTLE_EVERY);
document.addEventListener("visibilitychange", onVisibility);
countSeconds();

function startStage() {
  const source = parameters.get("src");
  if (isReplay) $("empty").hidden = $("choice").hidden = true;
  if (!source) return new Scene($("scene"));
  $("film").src = source;
  $("film").hidden = false;
  $("scene").hidden = true;
  return null;
}

function makeButtons() {
  const made = new Map();
  for (const [index, reaction] of reactions.entries()) {
    const { name } = REACTIONS.get(reaction);
    const button = document.createElement("button");
    button.type = "button";
    button.dataset.reaction = reaction;
    button.title = `${name} (${index ? index + 1 : "L"})`;
    button.setAttribute("aria-label", name);
    button.setAttribute("aria-keyshortcuts", index ? String(index + 1) : "L 1");
    button.append(icon(reaction));
    button.addEventListener("click", () => like(reaction));
    $("buttons").append(button);
    made.set(reaction, button);
  }
  return made;
}

function listen() {
  live.addEventListener("*", ({ detail }) => {
    received += 1;
    if (detail.at >= readyAt && delays.push(Math.max(0, live.now() - detail.at)) > 60) delays.shift();
  });
  live.addEventListener("like", ({ detail }) => onLike(detail));
  live.addEventListener("likes", ({ detail }) => onSum(detail));
  live.addEventListener("comment", ({ detail }) => onComment(detail));
  live.addEventListener("retract", ({ detail }) => comments.remove(detail.data?.id));
  live.addEventListener("clear", ({ detail }) => comments.removeAllOf(detail.data?.user));
  live.addEventListener("state", ({ detail }) => {
    for (const { key, data, at } of detail.events) if (key.startsWith("clear/") && data) comments.clear(data.user, at);
    if (detail.events.some(({ type }) => type !== "likes")) showState();
    showCount();
  });
  live.addEventListener("announcement", ({ detail }) => note(cleanText(detail.data?.text ?? "")));
  live.addEventListener("viewers", ({ detail }) => {
    viewers = detail.total;
    showViewers();
  });
  live.addEventListener("ready", ({ detail }) => {
    reconnects += 1;
    if (readyAt === Infinity) readyAt = live.now();
    if (!detail.resumed) restart();
  });
  live.addEventListener("gap", restart);
  live.addEventListener("seek", ({ detail }) => showAnew(detail.events));
  live.addEventListener("error", ({ detail }) => note(`The recording can't be loaded: ${detail.message}`));
  live.addEventListener("refused", ({ detail }) => refused(detail));
  live.addEventListener("bye", ({ detail }) => detail.reconnect || leave(detail.reason));
  live.addEventListener("connection", showLine);
  showLine();
  for (const input of $("choice").querySelectorAll("input"))
    input.addEventListener("change", () => live.setTransport(input.value));
  document.addEventListener("keydown", onKey);
  document.addEventListener("click", ({ target }) => $("line").contains(target) || ($("line").open = false));
  $("stage").addEventListener("dblclick", ({ target }) => target.closest(".top") || like("heart"));
}

/** Fetch the viewer's user and permissions; if no backend answers, everything is allowed here. */
async function introduce() {
  try {
    me.learn(await live.me());
  } catch (error) {
    if (error.status === 401 || error.status === 403) me.learn({ scopes: [], signed_in: true });
  }
  showState();
}

/** What a moderator or host may do about a comment. @returns {[string, () => void][]} */
function actsOn({ id, user }) {
  if (!isModerator() && !isHost()) return [];
  const pin = ["Pin", () => desk.pin({ id })];
  const acts = isModerator() || user === me.name ? [["Remove", () => attempt(() => live.retract(id))], pin] : [pin];
  if (!isModerator()) return acts;
  if (!user || user === me.name) return acts;
  const name = cleanName(user) || "this user";
  return [
    ...acts,
    [`Ban ${name} for ${inWords(SHORT_BAN / 1_000)}`, () => desk.ban(user, Math.round(live.now()) + SHORT_BAN)],
    [`Ban ${name}`, () => desk.ban(user, null)],
    [`Remove all of ${name}`, () => desk.clear(user)],
  ];
}

function isModerator() {
  return !!me.grant?.isSignedIn && me.may("moderate");
}

function isHost() {
  return !!me.grant?.isSignedIn && me.may("host");
}

/** The server ends this viewer's watching. */
function leave(reason) {
  note(GOODBYES.get(reason) ?? "The show is over. Thank you for watching.", true);
  if (!GOODBYES.has(reason)) return;
  removed = GOODBYES.get(reason);
  showState();
}

function onLike(event) {
  const reaction = reactionOf(event);
  counter.like(event);
  single.set(reaction, (single.get(reaction) ?? 0) + 1);
  showCount();
  if (!document.hidden) scene?.cheer();
  const isOwn = me.owns(event) || (event.user === me.user && mine.get(reaction) > 0);
  if (isOwn && mine.get(reaction) > 0) mine.set(reaction, mine.get(reaction) - 1); // it floated when it was tapped
  else floating.add(reaction);
}

/** Show what a recording has before the moment that was sought, and nothing behind it. @param {any[]} events */
function showAnew(events) {
  comments.reset();
  counter.restart();
  for (const event of events) {
    if (event.type === "comment") onComment(event);
    else if (event.type === "retract") comments.remove(event.data?.id);
    else if (event.type === "clear") comments.removeAllOf(event.data?.user);
  }
  writeCount();
}

/** Many likes at once: those that did not come one by one float until the next sum. */
function onSum({ at, data }) {
  if (at < readyAt || !data?.added) return showCount();
  for (const [reaction, added] of Object.entries(data.added)) {
    const rest = Math.max(0, Math.min(Number(added) || 0, 1e6) - (single.get(reaction) ?? 0));
    const own = Math.min(rest, mine.get(reaction) ?? 0);
    if (own) mine.set(reaction, mine.get(reaction) - own);
    counter.add(rest);
    const shown = document.hidden ? 0 : Math.min(rest - own, 24);
    for (let each = 0; each < shown; each++) setTimeout(() => (floating.add(reaction), scene?.cheer()), (each / shown) * SPREAD);
  }
  single.clear();
  showCount();
}

function reactionOf({ data }) {
  return typeof data?.reaction === "string" ? data.reaction : "heart";
}

function onComment(event) {
  const { id, user, at, data, role } = event;
  const text = typeof data === "string" ? data : data?.text;
  if (typeof text === "string") comments.add({ id, user, at, text, role }, me.owns(event));
}

async function like(reaction) {
  if (!mayLike()) return;
  floating.add(reaction, true);
  scene?.cheer();
  const button = buttons.get(reaction);
  button.classList.add("tapped");
  setTimeout(() => button.classList.remove("tapped"), 90);
  mine.set(reaction, (mine.get(reaction) ?? 0) + 1);
  const done = await attempt(() => live.like(reaction), (error) => {
    const forget = () => mine.set(reaction, Math.max(0, (mine.get(reaction) ?? 0) - 1));
    if (error.uncertain) setTimeout(forget, LATE); // it may have been stored
    else forget();
  });
  if (done) me.note(done.id);
}

/** @param {string} text */
function say(text) {
  const key = crypto.randomUUID?.() ?? String(Math.random()); // the same when it is sent again
  const { user } = me; // as well: a key is known by its user
  const pending = comments.pend({ user: me.name, text, now: live.now() });
  return {
    sending: () => pending.sending(),
    run: async () => {
      const { id, waiting } = await live.comment(text, { key, user });
      me.note(id);
      pending.sent(id, waiting);
      const settings = live.state.get("settings")?.data;
      if (settings?.comments === "slow" && !isModerator()) composer.hold(1_000 * (Number(settings.slow) || 30));
    },
    failed: (error, again) => {
      if (error.uncertain) pending.failed("There was no answer in time. Trying again does not send it twice.", true, again);
      else pending.failed(reasonOf(error), false, again);
      if (error.unsupported) impossible(error);
      if (error.reason === "slow") composer.hold(error.retryAfter ?? 1_000);
      if (error.reason === "banned") banned(error);
    },
  };
}

async function attempt(act, onFailure) {
  try {
    return (await act()) ?? {};
  } catch (error) {
    onFailure?.(error);
    if (error.unsupported) impossible(error);
    else note(reasonOf(error));
    if (error.reason === "banned") banned(error);
    return null;
  }
}

function banned(error) {
  removed = error.message;
  showState();
}

/** The text shown for an error: the server's, or why there is none. */
function reasonOf({ status, message, unsupported }) {
  if (unsupported) return "Taking part isn't possible at this address. You still see what the others send.";
  return status ? message : "That did not get through in time. Please try again in a moment.";
}

function impossible(error) {
  isAlone = isOff = true;
  note(reasonOf(error));
  showState();
}

function refused({ status, detail }) {
  if (detail.includes("removed by a moderator")) {
    note(GOODBYES.get("removed"), true);
    return banned({ message: GOODBYES.get("removed") });
  }
  const why = status === 401 || status === 403 ? "This video is for viewers who are signed in" : "This video can't be watched";
  note(`${why}: ${detail}`, true);
}

/** Show what moderators have set, and what this viewer may do. */
function showState() {
  if (document.hidden) return;
  const settings = live.state.get("settings")?.data ?? {};
  const mayComment = me.may("comment") && !removed;
  desk.offer(isModerator(), isHost());
  desk.update();
  comments.refresh();
  if (settings.comments !== "slow" || isModerator()) composer.release();
  $("buttons").hidden = !me.may("like") || !!removed;
  if (isOff || (settings.likes === "closed" && !isModerator())) $("buttons").dataset.off = "";
  else delete $("buttons").dataset.off;
  $("form").hidden = !mayComment || (settings.comments === "closed" && !isModerator());
  $("closed").hidden = !$("form").hidden;
  $("closed").textContent = removed ? removed : isReplay ? "This is a recording." : mayComment ? "Comments are closed." : "You can watch here, but not comment.";
  $("text").placeholder = settings.comments === "slow" && !isModerator() ? `One comment every ${inWords(Number(settings.slow) || 30)}` : "Say something nice";
  $("keys").hidden = $("form").hidden && $("buttons").hidden;
  $("me-field").hidden = !!me.grant?.isSignedIn || !mayComment;
  $("me-known").hidden = !me.grant?.isSignedIn || !me.name;
  $("me-name").textContent = cleanName(me.name);
  const pin = live.state.get("pin")?.data;
  const author = cleanName(pin?.user ?? pin?.comment?.user);
  const pinned = cleanText(typeof pin?.text === "string" ? pin.text : (pin?.comment?.text ?? ""));
  $("pin").hidden = !pinned;
  $("pin-text").textContent = author ? `${author}: ${pinned}` : pinned;
}

function mayLike() {
  const isClosed = live.state.get("settings")?.data?.likes === "closed" && !isModerator();
  if (isClosed) note("Likes are closed just now.");
  return me.may("like") && !isClosed && !removed;
}

function restart() {
  counter.restart();
  for (const after of SETTLE_AFTER) setTimeout(settle, after);
}

/** Ask the backend for its total, and for the comments from before. */
async function settle() {
  const mark = counter.mark();
  let summary;
  try {
    summary = isAlone ? null : await live.summary();
  } catch (error) {
    isAlone = error.status === 404; // otherwise it is asked again
  }
  if (!summary) return;
  counter.settle(summary.likes, mark);
  showCount();
  for (const comment of summary.comments.toReversed()) comments.add(comment, me.owns(comment));
}

function showCount() {
  if (document.hidden || isDirty || counter.total === counter.shown) return;
  isDirty = true; // many at a time are one change on the screen
  const wait = countedAt + (calm.matches ? CALM_COUNT_EVERY : COUNT_EVERY) - performance.now();
  if (wait > 0) setTimeout(() => requestAnimationFrame(writeCount), wait);
  else requestAnimationFrame(writeCount);
}

function writeCount() {
  const { total } = counter;
  isDirty = false;
  countedAt = performance.now();
  counter.showed(total);
  $("count").textContent = number.format(total);
  $("count").dataset.exact = total;
  $("count-word").textContent = total === 1 ? "like" : "likes";
  $("count").parentElement.hidden = isReplay && live.total === null; // how many there were before is not known
}

/** While the page is hidden nothing is drawn or written; all that was missed is, once, when it is seen again. */
function onVisibility() {
  countSeconds();
  if (document.hidden) return;
  comments.catchUp();
  showState();
  showViewers();
  showLine();
  showCount();
  if (unsaid) note(...unsaid);
}

function showViewers() {
  if (document.hidden) return;
  $("viewers").hidden = !(viewers > 0); // oneself, at least, is watching
  setText($("viewer-count"), number.format(viewers));
}

/** Count seconds while the page is visible. */
function countSeconds() {
  clearInterval(seconds);
  counter.forgetRate();
  if (!document.hidden) seconds = setInterval(everySecond, 1_000);
}

function everySecond() {
  counter.tick();
  const rate = counter.perSecond < 1.5 ? "" : `${number.format(Math.round(counter.perSecond))} / s`;
  if ($("rate").hidden === !!rate) $("rate").hidden = !rate;
  setText($("rate"), rate);
  if ($("line").open) showFigures();
}

function showLine() {
  if (document.hidden) return;
  const { name, transport } = live.connection;
  $("live").dataset.state = name;
  $("live-word").textContent = name === "waiting" && navigator.onLine === false ? "Offline" : WORDS.get(name);
  $("line-word").textContent = TRANSPORTS.get(transport)[1];
  showFigures();
}

function showFigures() {
  const { transport, node, shared, url } = live.connection;
  setText($("transport"), TRANSPORTS.get(transport)[0] + (shared ? ", another tab's" : ""));
  setText($("node"), ($("node").title = node ?? new URL(url).host));
  const middle = delays.toSorted((a, b) => a - b)[delays.length >> 1];
  setText($("latency"), middle === undefined ? "…" : `${number.format(Math.round(middle))} ms`);
  setText($("received"), number.format(received));
  setText($("reconnects"), number.format(Math.max(0, reconnects)));
}

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  if (event.key === "Escape") {
    if ($("line").open) $("line").open = false;
    else document.activeElement?.blur();
    return;
  }
  if (event.target.closest("input, textarea, select")) return;
  const reaction = event.key.toLowerCase() === "l" ? "heart" : reactions[Number(event.key) - 1];
  if (reaction) like(reaction);
  else if (event.key.toLowerCase() === "c") {
    event.preventDefault();
    $("text").focus();
  }
}

let noteTimer;
function note(text, stays = false) {
  unsaid = document.hidden ? [text, stays] : null;
  if (unsaid) return;
  clearTimeout(noteTimer);
  $("note").textContent = text;
  $("note").hidden = false;
  if (!stays) noteTimer = setTimeout(() => ($("note").hidden = true), NOTE_FOR);
}
if (isReplay && !parameters.get("src")) note("A recording is shown in step with its film: src=film.mp4", true);
writeCount();
