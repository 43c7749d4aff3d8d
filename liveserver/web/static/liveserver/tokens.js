/**
 * The token that a viewer shows where a server asks who watches: one, or whatever a function gives, asked
 * again when that has expired.
 *
 * @typedef {string | (() => string | Promise<string>)} Token
 */
export class Tokens {
  #token;
  #current = null;
  #hasWorked = false;

  /** @param {?Token} token */
  constructor(token) {
    this.#token = token;
  }

  /** What goes with each request. @returns {Promise<Object<string, string>>} */
  async headers() {
    if (!this.#token) return {};
    if (this.#current === null) {
      this.#current = typeof this.#token === "function" ? await this.#token() : this.#token;
      this.#hasWorked = false;
    }
    return { authorization: `Bearer ${this.#current}` };
  }

  /** A server has taken the present one. */
  worked() {
    this.#hasWorked = true;
  }

  /** The present one is not good any more; whether to ask for another: not where one never worked. */
  renew() {
    if (typeof this.#token !== "function" || !this.#hasWorked) return false;
    this.#current = null;
    return true;
  }
}
