/**
 * A viewer's token: a string, or a function that returns one and is called again when it has expired.
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
   * The user and scopes in a token, unverified: tabs share a connection only if they are the same, since
   * moderators are sent more. Empty without such a token. @returns {Promise<string>}
   */
  async group() {
    try {
      const token = (await this.headers()).authorization?.split(".")[1];
      const { sub, scope, videos } = token ? JSON.parse(atob(token.replace(/-/g, "+").replace(/_/g, "/"))) : {};
      return sub || scope || videos ? JSON.stringify([sub, scope, videos]) : "";
    } catch {
      return "";
    }
  }

  /** Note that a server has accepted the present token. */
  worked() {
    this.#hasWorked = true;
  }

  /** Drop the refused token; return whether to get another, which is so if it has worked before. */
  renew() {
    if (typeof this.#token !== "function" || !this.#hasWorked) return false;
    this.#current = null;
    return true;
  }
}
