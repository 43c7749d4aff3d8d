/** The comments: text, and never anything else; the newest below, followed while one is there. */

const MOST = 200; // in the list
const NEAR = 60; // pixels from the end that still count as there

export class Comments {
  #list;
  #scroll;
  #empty;
  #fresh;
  #known = new Map();
  #unread = 0;

  /** @param {{list: HTMLElement, scroll: HTMLElement, empty: HTMLElement, fresh: HTMLElement}} parts */
  constructor({ list, scroll, empty, fresh }) {
    this.#list = list;
    this.#scroll = scroll;
    this.#empty = empty;
    this.#fresh = fresh;
    fresh.addEventListener("click", () => this.#follow());
    scroll.addEventListener("scroll", () => this.#isAtEnd() && this.#seen());
    new ResizeObserver(() => this.#unread || this.#follow()).observe(scroll);
  }

  /** @param {{id: string, user?: string, at?: number, text: string}} comment @param {boolean} own */
  add({ id, user, at, text }, own = false) {
    if (this.#known.has(id)) return;
    const follows = own || this.#isAtEnd();
    const name = user || "Somebody";
    const face = element("span", "face", [...name][0].toUpperCase());
    face.setAttribute("aria-hidden", "true");
    const item = element("li", own ? "own" : "");
    item.style.setProperty("--hue", hue(name));
    const who = element("p", "who", name);
    if (at) {
      const time = element("time", "", new Date(at).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" }));
      time.dateTime = new Date(at).toISOString();
      who.append(time);
    }
    item.append(face, who, element("p", "said", text));
    this.#known.set(id, { item, at: at ?? Infinity });
    this.#list.insertBefore(item, this.#after(at));
    while (this.#list.childElementCount > MOST) this.#forget(this.#list.firstElementChild);
    this.#empty.hidden = true;
    if (follows) return this.#follow();
    this.#unread += 1;
    this.#fresh.textContent = this.#unread === 1 ? "1 new comment" : `${this.#unread} new comments`;
    this.#fresh.hidden = false;
  }

  /** Taken back by who wrote it, or by a moderator. */
  remove(id) {
    this.#known.get(id)?.item.remove();
    this.#known.delete(id);
    this.#empty.hidden = this.#list.childElementCount > 0;
  }

  /** Where a comment of that time belongs: what is told late goes where it would have been. */
  #after(at = Infinity) {
    let next = null;
    for (const { item, at: then } of [...this.#known.values()].reverse())
      if (item.isConnected && then > at) next = !next || item.compareDocumentPosition(next) & 4 ? item : next;
    return next;
  }

  #forget(item) {
    item.remove();
    for (const [id, known] of this.#known) if (known.item === item) return this.#known.delete(id);
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

function element(name, kind, text = "") {
  const made = document.createElement(name);
  if (kind) made.className = kind;
  made.textContent = text;
  return made;
}

/** The same colour for the same name. */
function hue(name) {
  return [...name].reduce((sum, character) => (sum * 31 + character.codePointAt(0)) % 360, 7);
}
