/**
 * The token that a viewer shows where a server asks for one: a string, or whatever a function gives, which is
 * called again when that has expired.
 *
 * @typedef {string | (() => string | Promise<string>)} Token
 */
export class Tokens {
  #token;
  /** @type {?string} */ #current = null;
  #hasWorked = false;

  /** @param {Token} [token] */
  constructor(token) {
    this.#token = token;
  }

  /** The headers of each request. @returns {Promise<Record<string, string>>} */
  async headers() {
    if (!this.#token) return {};
    if (this.#current === null) {
      this.#current = typeof this.#token === "function" ? await this.#token() : this.#token;
      this.#hasWorked = false;
    }
    return { authorization: `Bearer ${this.#current}` };
  }

  /**
   * What a token says of its user and scopes, unverified: tabs share a connection only where that is the same, since
   * moderators are sent more. Empty without a token that says so. @returns {Promise<string>}
   */
  async group() {
    const token = (await this.headers()).authorization?.split(".")[1];
    try {
      const { sub, scope, videos } = token ? JSON.parse(atob(token.replace(/-/g, "+").replace(/_/g, "/"))) : {};
      return sub || scope || videos ? JSON.stringify([sub, scope, videos]) : "";
    } catch {
      return "";
    }
  }

  /** A server has taken the present one. */
  worked() {
    this.#hasWorked = true;
  }

  /** The present one is not good any more; return whether to ask for another: not where one never worked. */
  renew() {
    if (typeof this.#token !== "function" || !this.#hasWorked) return false;
    this.#current = null;
    return true;
  }
}
