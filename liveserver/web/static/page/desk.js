/**
 * The moderator's tools beside the comments: settings with slow mode, waiting comments, the pin, bans, and the users who
 * are watching. It shows the rules of the stream's state, and requests changes at the likes backend. Hosts have only the
 * pin and the announcements.
 */

import { cleanName, cleanText, element } from "./text.js";

const ASK_AGAIN = 3_000; // milliseconds, when not all servers have answered who is here
const LIST_EVERY = 10_000; // when all have: people come and go, and counts of elsewhere are a second old
const SLOW = [1, 2, 3, 5, 10, 15, 30, 60, 120, 300, 600, 1_800, 3_600]; // seconds on the slider
const SETTINGS = { comments: "open", slow: 30, likes: "open", review: false };
const MOST = 100; // in a list

const $ = (id) => document.getElementById(id);

export class Desk {
  #live;
  #act;
  #slowTimer;
  #word = "Moderate";
  #hereTimer;
  #waiting = new Set(); // ids that are decided here, and not yet in the stream

  /**
   * @param {import("../liveserver.js").LiveVideo} live
   * @param {(act: () => Promise<any>) => Promise<any>} act does it, and tells why it could not be done; null then
   */
  constructor(live, act) {
    this.#live = live;
    this.#act = act;
    $("moderate").addEventListener("click", () => this.#toggle($("desk").hidden));
    $("desk").addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      event.stopPropagation();
      this.#toggle(false);
      $("moderate").focus();
    });
    for (const input of document.querySelectorAll("input[name=comments]"))
      input.addEventListener("change", () => this.#set(input.value === "slow" ? { comments: "slow", slow: this.#slow } : { comments: input.value }));
    $("slow").max = String(SLOW.length - 1);
    $("slow").addEventListener("input", () => this.#showSlow());
    $("slow").addEventListener("change", () => {
      clearTimeout(this.#slowTimer); // with the keys every step is a change
      this.#slowTimer = setTimeout(() => this.#set({ slow: this.#slow }), 400);
    });
    $("likes-open").addEventListener("change", () => this.#set({ likes: $("likes-open").checked ? "open" : "closed" }));
    $("review").addEventListener("change", () => this.#set({ review: $("review").checked }));
    $("pin-input").addEventListener("keydown", (event) => event.key === "Enter" && this.#pinText());
    $("pin-it").addEventListener("click", () => this.#pinText());
    $("announce-input").addEventListener("keydown", (event) => event.key === "Enter" && this.#announce());
    $("announce-it").addEventListener("click", () => this.#announce());
    $("unpin").addEventListener("click", () => this.#do("DELETE", "pin"));
    $("here").addEventListener("toggle", () => $("here").open && this.#list(""));
    $("here-more").addEventListener("click", () => this.#list($("here-more").dataset.after));
  }

  /** @param {boolean} isModerator @param {boolean} isHost */
  offer(isModerator, isHost) {
    const isNone = !isModerator && !isHost;
    $("moderate").hidden = $("unpin").hidden = isNone;
    $("desk").toggleAttribute("data-host", !isModerator);
    $("moderate-word").textContent = this.#word = isModerator ? "Moderate" : "Host";
    $("desk").setAttribute("aria-label", isModerator ? "Moderation" : "Hosting");
    if (isNone) this.#toggle(false);
  }

  /** Show the present rules. */
  update() {
    const { state } = this.#live;
    const settings = { ...SETTINGS, ...state.get("settings")?.data };
    for (const input of document.querySelectorAll("input[name=comments]")) input.checked = input.value === settings.comments;
    $("slow-field").hidden = settings.comments !== "slow";
    if (document.activeElement !== $("slow")) {
      const next = SLOW.findIndex((seconds) => seconds >= settings.slow);
      $("slow").value = String(next < 0 ? SLOW.length - 1 : next);
    }
    this.#showSlow();
    $("likes-open").checked = settings.likes !== "closed";
    $("review").checked = settings.review === true;
    const events = [...state.values()];
    this.#showWaiting(events.filter(({ key, data }) => key.startsWith("waiting/") && data));
    this.#showBanned(events.filter(({ key, data }) => key.startsWith("ban/") && data));
  }

  /** @param {{id: string}} comment */
  pin({ id }) {
    return this.#do("PUT", "pin", { comment: id });
  }

  /** @param {string} user @param {?number} until milliseconds since the epoch */
  ban(user, until) {
    return this.#do("PUT", `bans/${encodeURIComponent(user)}`, { until });
  }

  /** Retract all comments of a user. @param {string} user */
  clear(user) {
    return this.#do("DELETE", `users/${encodeURIComponent(user)}/comments`);
  }

  get #slow() {
    return SLOW[Number($("slow").value)] ?? SETTINGS.slow;
  }

  #showSlow() {
    $("slow-word").textContent = inWords(this.#slow);
    $("slow").setAttribute("aria-valuetext", inWords(this.#slow));
  }

  #toggle(isOpen) {
    $("desk").hidden = !isOpen;
    $("moderate").setAttribute("aria-expanded", String(isOpen));
  }

  #do(method, path, body) {
    return this.#act(() => this.#live.moderate(method, path, body));
  }

  async #set(settings) {
    if (!(await this.#do("PUT", "settings", settings))) this.update();
  }

  async #pinText() {
    const text = $("pin-input").value.trim();
    if (text && (await this.#do("PUT", "pin", { text }))) $("pin-input").value = "";
  }

  async #announce() {
    const text = $("announce-input").value.trim();
    if (text && (await this.#do("POST", "announcements", { text }))) $("announce-input").value = "";
  }

  #showWaiting(events) {
    const rows = events.filter(({ data }) => !this.#waiting.has(data.id)).sort((a, b) => a.at - b.at);
    $("moderate-count").hidden = $("queue").hidden = !rows.length;
    $("moderate-count").textContent = $("queue-count").textContent = String(rows.length);
    $("moderate").setAttribute("aria-label", rows.length ? `${this.#word}, ${rows.length} waiting` : this.#word);
    fill($("waiting"), rows.slice(0, MOST), ({ data }) => [
      ["bdi", cleanName(data.user) || "Guest"],
      ["p", cleanText(data.text)],
      ["button", "Approve", () => this.#decide(data.id, "approve")],
      ["button", "Reject", () => this.#decide(data.id, "reject")],
    ], ({ data }) => data.id);
  }

  async #decide(id, decision) {
    this.#waiting.add(id);
    this.update();
    if (!(await this.#do("POST", `comments/${encodeURIComponent(id)}/${decision}`))) {
      this.#waiting.delete(id);
      this.update();
    }
  }

  #showBanned(events) {
    const holds = events.filter(({ data }) => typeof data.user === "string" && (data.until ?? Infinity) > this.#live.now());
    $("banned").hidden = !holds.length;
    $("banned-count").textContent = String(holds.length);
    fill($("bans"), holds.slice(0, MOST), ({ data }) => [
      ["bdi", cleanName(data.user) || "?"],
      ["p", data.until ? `until ${new Date(data.until).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" })}` : "until lifted"],
      ["button", "Lift", () => this.#do("DELETE", `bans/${encodeURIComponent(data.user)}`)],
    ], ({ data }) => data.user);
  }

  async #list(after) {
    const query = after ? `&after=${encodeURIComponent(after)}` : "";
    clearTimeout(this.#hereTimer);
    const page = await this.#do("GET", `users?limit=50${query}`);
    if (!page) return;
    if (!after) $("users").replaceChildren();
    for (const { user, role } of page.users ?? []) {
      const item = element("li");
      item.append(element("bdi", "", cleanName(user)));
      if (role) item.append(element("span", "role", role));
      $("users").append(item);
    }
    $("here-more").hidden = !page.next;
    $("here-more").dataset.after = page.next ?? "";
    const others = page.anonymous ? `${page.anonymous} without a name. ` : "";
    $("here-note").textContent = others + (page.complete === false ? "Not all servers have answered." : "");
    const again = page.complete === false ? ASK_AGAIN : LIST_EVERY;
    if (!after) this.#hereTimer = setTimeout(() => $("here").open && this.#list(""), again);
  }
}

/** Make a list's rows anew where they have changed; the focus stays in its row, or goes to the next one. */
function fill(list, rows, parts, idOf) {
  const ids = rows.map(idOf);
  const present = [...list.children];
  if (present.length === ids.length && present.every((item, index) => item.dataset.id === ids[index])) return;
  const at = present.findIndex((item) => item.contains(document.activeElement));
  list.replaceChildren(
    ...rows.map((row, index) => {
      const item = element("li");
      item.dataset.id = ids[index];
      const made = parts(row).map(([name, text, act]) => {
        const part = element(name, "", text);
        if (act) {
          part.type = "button";
          part.addEventListener("click", act);
        } else part.dir = "auto";
        return part;
      });
      for (const part of made) if (part.type === "button") part.setAttribute("aria-label", `${part.textContent}: ${made[0].textContent}`);
      item.append(...made);
      return item;
    }),
  );
  if (at >= 0) (list.children[Math.min(at, list.children.length - 1)]?.querySelector("button") ?? $("moderate")).focus();
}

/** @param {number} seconds */
export function inWords(seconds) {
  if (seconds < 60) return `${seconds} s`;
  return seconds % 3_600 ? `${Math.round(seconds / 60)} min` : `${seconds / 3_600} h`;
}
