/**
 * The token that a viewer shows where a server asks for one: a string, or whatever a function gives, which is
 * called again when that has expired.
 *
 * @typedef {string | (() => string | Promise<string>)} Token
 */
export class Tokens {
    /** @param {Token} [token] */
    constructor(token?: Token);
    /** The headers of each request. @returns {Promise<Record<string, string>>} */
    headers(): Promise<Record<string, string>>;
    /**
     * What a token says of its user and scopes, unverified: tabs share a connection only where that is the same, since
     * moderators are sent more. Empty without a token that says so. @returns {Promise<string>}
     */
    group(): Promise<string>;
    /** A server has taken the present one. */
    worked(): void;
    /** The present one is not good any more; return whether to ask for another: not where one never worked. */
    renew(): boolean;
    #private;
}
/**
 * The token that a viewer shows where a server asks for one: a string, or whatever a function gives, which is
 * called again when that has expired.
 */
export type Token = string | (() => string | Promise<string>);
