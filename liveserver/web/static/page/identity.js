/**
 * The viewer's identity: a token's user, or a chosen name, stored in this browser.
 *
 * The token comes from `#token=…` (then kept for this tab, and taken out of the address), from a site's own
 * `window.liveserver = { token: "…" or (() => …) }`, or stays in a cookie, which only the server sees.
 */

const KINDS = ["Quiet", "Merry", "Brave", "Gentle", "Curious", "Sunny", "Nimble", "Dreamy", "Bright", "Witty"];
const ANIMALS = ["Otter", "Heron", "Lynx", "Puffin", "Marmot", "Fox", "Seal", "Owl", "Hare", "Dolphin"];
const NAME = "liveserver.name";
const TOKEN = "liveserver.token";
const OWN = "liveserver.own";
const MOST_OWN = 200;

const any = (words) => words[Math.floor(Math.random() * words.length)];

/** The token for `LiveVideo`, if this page has one. @returns {import("../liveserver.js").Token | undefined} */
export function findToken() {
  const given = new URLSearchParams(location.hash.slice(1)).get("token");
  if (given) {
    write(sessionStorageOrNull(), TOKEN, given);
    history.replaceState(history.state, "", location.pathname + location.search);
    return given;
  }
  return globalThis.liveserver?.token ?? read(sessionStorageOrNull(), TOKEN) ?? undefined;
}

export class Identity {
  /** The token's grant; null until it is known, or without a token. @type {?{user: ?string, scopes: Set<string>, isSignedIn: boolean}} */ grant = null;
  #name;
  #own;

  /** @param {HTMLInputElement} field shows the chosen name, and may change it */
  constructor(field) {
    this.#name = read(localStorageOrNull(), NAME) || `${any(KINDS)} ${any(ANIMALS)}`;
    this.#own = new Set((read(sessionStorageOrNull(), OWN) ?? "").split(" ").filter(Boolean));
    field.value = this.#name;
    field.addEventListener("change", () => {
      this.#name = field.value.trim() || this.#name;
      field.value = this.#name;
      write(localStorageOrNull(), NAME, this.#name);
    });
    write(localStorageOrNull(), NAME, this.#name);
  }

  /** The name that is shown as the viewer's own. */
  get name() {
    return this.grant?.isSignedIn ? (this.grant.user ?? "") : this.#name;
  }

  /** What is sent as `user`; with a token, nothing: it has the user. */
  get user() {
    return this.grant?.isSignedIn ? undefined : this.#name;
  }

  /** @param {string} scope */
  may(scope) {
    return this.grant?.scopes.has(scope) ?? true;
  }

  /** Whether it is known to be this viewer's: by the token's user, or by the id that this tab was answered. */
  owns({ id, user }) {
    return this.#own.has(id) || !!(this.grant?.isSignedIn && this.grant.user && user === this.grant.user);
  }

  /** @param {string} id of what this tab did */
  note(id) {
    this.#own.add(id);
    if (this.#own.size > MOST_OWN) this.#own.delete(this.#own.values().next().value);
    write(sessionStorageOrNull(), OWN, [...this.#own].join(" "));
  }

  /** Take over the server's answer about this viewer. @param {any} answer */
  learn({ user, scopes, signed_in: isSignedIn }) {
    this.grant = { user: user ?? null, scopes: new Set(scopes), isSignedIn };
  }
}

// Where storage is forbidden, things last as long as the page.
const localStorageOrNull = () => storage(() => localStorage);
const sessionStorageOrNull = () => storage(() => sessionStorage);

function storage(get) {
  try {
    return get();
  } catch {
    return null;
  }
}

function read(where, key) {
  try {
    return where?.getItem(key) ?? null;
  } catch {
    return null;
  }
}

function write(where, key, value) {
  try {
    where?.setItem(key, value);
  } catch {
    // As above.
  }
}
