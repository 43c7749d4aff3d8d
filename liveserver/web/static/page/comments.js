/**
 * The comments: text, and never anything else; the newest below, followed while one is there.
 *
 * The viewer's own comment is shown at once, as pending; if sending fails, it stays with the reason and a button to
 * send it again. Without an answer it may have been stored: when it seems to arrive, it becomes the sent one and is sent
 * again with the same key, so the answer says whether it was. Consecutive comments of one author within a minute are shown under one name.
 * What comes while the page is hidden is shown when it is seen again, at once.
 */

import { openMenu } from "./menu.js";
import { cleanName, cleanText, element, initial } from "./text.js";

const MOST = 200; // in the list
const NEAR = 60; // pixels from the end that still count as there
const MINUTE = 60_000;
const CLOCKS = 60_000; // milliseconds that clocks may differ by
const ROLES = new Map([["host", "Host"], ["moderator", "Moderator"]]);

export class Comments {
  #list;
  #scroll;
  #empty;
  #fresh;
  #on;
  /** In the order of the list. */ #entries = [];
  /** What was taken back, also before it was seen. */ #removed = new Set();
  #unread = 0;
  /** What came while the page was hidden, and is still to be shown. @type {{act: () => void, isComment: boolean}[]} */ #missed = [];

  /**
   * @param {{list: HTMLElement, scroll: HTMLElement, empty: HTMLElement, fresh: HTMLElement}} parts
   * @param {{mention: (name: string) => void, mayRemove: (own: boolean) => boolean, remove: (id: string) => void,
   *   isMe: (text: string) => boolean, acts: (comment: {id: string, user?: string}) => [string, () => void][]}} on
   *   `acts`: what a moderator may do about a comment; none for others
   */
  constructor({ list, scroll, empty, fresh }, on) {
    this.#list = list;
    this.#scroll = scroll;
    this.#empty = empty;
    this.#fresh = fresh;
    this.#on = on;
    fresh.addEventListener("click", () => this.#follow());
    scroll.addEventListener("scroll", () => this.#isAtEnd() && this.#seen());
    new ResizeObserver(() => this.#unread || this.#follow()).observe(scroll);
  }

  /** @param {{id: string, user?: string, at?: number, text: string, role?: string}} comment @param {boolean} own */
  add(comment, own = false) {
    this.#whenSeen(() => this.#add(comment, own), true);
  }

  #add({ id, user, at, text, role }, own) {
    if (this.#removed.has(id) || !cleanText(text)) return;
    const known = this.#entries.find((entry) => entry.id === id);
    if (known?.state === "waiting") return this.#settle(known, at); // a moderator has approved it
    if (known) {
      this.#showRole(known, role);
      return void (known.at === Infinity && at && this.#place(known, at));
    }
    const isAwaited = (entry) => entry.at === Infinity && isOpen(entry, at) && entry.raw === text && entry.user === cleanName(user);
    const awaited = this.#entries.find(isAwaited);
    if (awaited) {
      // The same words under the same name: one's own, unless the answer says, or has said, another id.
      const { state } = awaited;
      this.#own(awaited, own || state !== "sent");
      awaited.id = id;
      this.#showRole(awaited, role);
      this.#settle(awaited, at);
      if (state === "failed") awaited.again();
      return;
    }
    this.#insert(this.#make({ id, user, at: at ?? Infinity, text, own, role }), own);
  }

  /** Add the viewer's own comment, which is not accepted yet; `now` is the servers' clock. @param {{user?: string, text: string, now: number}} comment */
  pend({ user, text, now }) {
    const entry = this.#make({ id: null, user, at: Infinity, text, own: true });
    const status = element("p", "status");
    entry.item.append(status);
    Object.assign(entry, { state: "sending", status, begun: now, isUncertain: false, again: () => {} });
    this.#mark(entry, "pending", "Sending…");
    this.#insert(entry, true);
    return {
      sending: () => entry.id || this.#mark(Object.assign(entry, { state: "sending" }), "pending", "Sending…"),
      /** @param {string} id @param {boolean} isWaiting for a moderator */
      sent: (id, isWaiting = false) => {
        if (!isWaiting || this.#entries.some((each) => each.id === id)) return this.#accepted(entry, id);
        entry.id ??= id;
        entry.state = "waiting";
        this.#mark(entry, "pending", "Waiting for a moderator");
      },
      /** @param {string} why @param {boolean} isUncertain it may have been stored @param {() => void} again */
      failed: (why, isUncertain, again) => {
        entry.isUncertain ||= isUncertain;
        if (entry.id && entry.isUncertain) return; // it has arrived
        if (entry.id) this.#disown(entry);
        Object.assign(entry, { state: "failed", again });
        this.#mark(entry, "failed", entry.isUncertain ? `Not confirmed. ${why} ` : `Not sent. ${why} `);
        const retry = element("button", "", "Try again");
        const drop = element("button", "", "Discard");
        retry.type = drop.type = "button";
        retry.addEventListener("click", again);
        drop.addEventListener("click", () => this.#drop(entry));
        status.append(retry, drop);
        this.#follow();
      },
    };
  }

  /** Remove a comment that its author or a moderator has retracted. @param {string} id */
  remove(id) {
    if (typeof id === "string") this.#whenSeen(() => this.#remove(id));
  }

  #remove(id) {
    this.#removed.add(id);
    if (this.#removed.size > 2 * MOST) this.#removed.delete(this.#removed.values().next().value);
    const entry = this.#entries.find((each) => each.id === id);
    if (entry) this.#drop(entry);
  }

  /** Remove the comments of a user up to a time. @param {string} user @param {number} at */
  clear(user, at) {
    this.#whenSeen(() => {
      for (const entry of this.#entries.filter((each) => each.from === user && each.at <= at)) this.#remove(entry.id);
    });
  }

  /** Show none: what is to be shown follows. */
  reset() {
    this.#missed = [];
    this.#whenSeen(() => this.#reset());
  }

  #reset() {
    for (const entry of [...this.#entries]) this.#drop(entry);
    this.#removed.clear();
    this.#empty.hidden = true;
    this.#seen();
  }

  /** What this viewer may do is known now, or has changed. */
  refresh() {
    for (const entry of this.#entries) if (entry.id && entry.state === "sent") this.#offerRemoval(entry);
  }

  /** Remove all comments of a user. @param {string} user */
  removeAllOf(user) {
    if (typeof user === "string") this.#whenSeen(() => this.#removeAllOf(user));
  }

  #removeAllOf(user) {
    for (const entry of this.#entries.filter((each) => each.from === user)) {
      if (entry.id) this.#remove(entry.id);
      else this.#drop(entry);
    }
  }

  /** Show what came while the page was hidden. */
  catchUp() {
    for (const { act } of this.#missed.splice(0)) act();
  }

  /** Of many comments, those are kept that would be in the list. */
  #whenSeen(act, isComment = false) {
    if (!document.hidden) return act();
    this.#missed.push({ act, isComment });
    if (this.#missed.length <= 3 * MOST) return;
    let older = this.#missed.filter((one) => one.isComment).length - MOST;
    this.#missed = this.#missed.filter((one) => !one.isComment || --older < 0);
    if (this.#missed.length > 2 * MOST) this.catchUp(); // so many were taken back
  }

  #own(entry, isOwn) {
    entry.own = isOwn;
    entry.item.classList.toggle("own", isOwn);
    this.#group(this.#entries.indexOf(entry));
    this.#group(this.#entries.indexOf(entry) + 1);
  }

  #accepted(entry, id) {
    if (this.#removed.has(id)) return this.#drop(entry);
    const twin = this.#entries.find((each) => each !== entry && each.id === id);
    if (entry.id && entry.id !== id) {
      // It was another's; one's own comes by the stream, or has come.
      this.#own(entry, false);
      if (twin) this.#own(twin, true);
      return;
    }
    if (twin) this.#drop(twin);
    entry.id = id;
    this.#settle(entry, twin?.at);
  }

  /** What arrived in the place of one's own comment was another's, and this one has not been stored. */
  #disown(entry) {
    const { id, from, at, raw, role } = entry;
    Object.assign(entry, { id: null, at: Infinity });
    entry.item.querySelector(".remove, .more")?.remove();
    entry.item.append(entry.status);
    this.#own(entry, true);
    this.#place(entry, Infinity);
    this.#insert(this.#make({ id, user: from, at, text: raw, own: false, role }), false);
  }

  #showRole(entry, role) {
    if (entry.role || !ROLES.has(role)) return;
    entry.role = role;
    entry.time.before(element("span", `role ${role}`, ROLES.get(role)));
  }

  #settle(entry, at) {
    entry.state = "sent";
    entry.status?.remove();
    entry.item.classList.remove("pending", "failed");
    this.#offerRemoval(entry);
    if (at) this.#place(entry, at);
  }

  #mark(entry, kind, text) {
    entry.item.classList.remove("pending", "failed");
    entry.item.classList.add(kind);
    entry.status.textContent = text;
  }

  #make({ id, user, at, text, own, role }) {
    const name = cleanName(user) || "Guest";
    const said = cleanText(text);
    const item = element("li", own ? "own" : "");
    item.style.setProperty("--hue", hue(name));
    const face = element("span", "face", initial(name));
    face.setAttribute("aria-hidden", "true");
    const who = element("p", "who");
    const mention = element("button", "name");
    mention.type = "button";
    mention.tabIndex = -1; // one may as well write it
    mention.append(element("bdi", "", name));
    mention.addEventListener("click", () => this.#on.mention(name));
    const time = element("time");
    who.append(mention);
    who.append(time);
    const line = element("p", "said", said);
    line.dir = "auto";
    if (!own && this.#on.isMe(said)) item.classList.add("mentioned");
    item.append(face, who, line);
    const entry = { id, user: cleanName(user), from: user, raw: text, own, item, time, at, state: "sent" };
    this.#showRole(entry, role);
    if (id) this.#offerRemoval(entry);
    return entry;
  }

  #offerRemoval(entry) {
    if (entry.item.querySelector(".remove, .more")) return;
    if (this.#on.acts({ id: "", user: "" }).length) return this.#offerMenu(entry);
    if (!this.#on.mayRemove(entry.own)) return;
    const button = element("button", "remove", "Remove");
    button.type = "button";
    button.addEventListener("click", () => this.#on.remove(entry.id));
    entry.item.append(button);
  }

  #offerMenu(entry) {
    const button = element("button", "more", "⋯");
    button.type = "button";
    button.setAttribute("aria-haspopup", "menu");
    button.setAttribute("aria-expanded", "false");
    button.setAttribute("aria-label", `Moderate ${entry.user || "this comment"}`);
    button.addEventListener("click", () => openMenu(button, this.#on.acts({ id: entry.id, user: entry.from })));
    entry.item.append(button);
  }

  #insert(entry, own) {
    const follows = own || this.#isAtEnd();
    this.#put(entry);
    while (this.#entries.length > MOST) this.#drop(this.#entries[0]);
    this.#empty.hidden = true;
    if (follows) return this.#follow();
    this.#unread += 1;
    this.#fresh.textContent = this.#unread === 1 ? "1 new comment" : `${this.#unread} new comments`;
    this.#fresh.hidden = false;
  }

  /** Where a comment of that time belongs: one that comes late goes where it would have been. */
  #put(entry) {
    let index = this.#entries.length;
    while (index && this.#entries[index - 1].at > entry.at) index -= 1;
    this.#list.insertBefore(entry.item, this.#entries[index]?.item ?? null);
    this.#entries.splice(index, 0, entry);
    this.#group(index);
    this.#group(index + 1);
  }

  #place(entry, at) {
    entry.at = at;
    const index = this.#entries.indexOf(entry);
    this.#entries.splice(index, 1);
    const follows = this.#isAtEnd();
    this.#put(entry);
    this.#group(index);
    if (follows) this.#follow();
  }

  #drop(entry) {
    const index = this.#entries.indexOf(entry);
    if (index < 0) return;
    const hadFocus = entry.item.contains(document.activeElement);
    this.#entries.splice(index, 1);
    entry.item.remove();
    this.#group(index);
    this.#empty.hidden = this.#entries.length > 0;
    if (hadFocus) this.#scroll.focus();
  }

  /** Show name and time where they differ from those before. */
  #group(index) {
    const entry = this.#entries[index];
    if (!entry) return;
    const before = this.#entries[index - 1];
    const at = Number.isFinite(entry.at) ? entry.at : Date.now();
    const then = before && (Number.isFinite(before.at) ? before.at : Date.now());
    const isSameMinute = before && Math.floor(at / MINUTE) === Math.floor(then / MINUTE);
    entry.item.classList.toggle("grouped", !!isSameMinute && before.user === entry.user && before.own === entry.own && entry.user !== "");
    entry.time.dateTime = new Date(at).toISOString();
    entry.time.textContent = isSameMinute ? "" : new Date(at).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  }

  #isAtEnd() {
    const { scrollHeight, scrollTop, clientHeight } = this.#scroll;
    return scrollHeight - scrollTop - clientHeight < NEAR;
  }

  #follow() {
    this.#scroll.scrollTop = this.#scroll.scrollHeight;
    this.#seen();
  }

  #seen() {
    this.#unread = 0;
    this.#fresh.hidden = true;
  }
}

/** Whether a comment of this time may be the entry's: one that failed without an answer may have been stored since. */
function isOpen({ state, isUncertain, begun }, at) {
  return state !== "failed" || (isUncertain && !(at < begun - CLOCKS));
}

/** The same colour for the same name. */
function hue(name) {
  return [...name].reduce((sum, character) => (sum * 31 + character.codePointAt(0)) % 360, 7);
}
