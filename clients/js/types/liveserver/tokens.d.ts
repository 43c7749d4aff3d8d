/**
 * A viewer's token: a string, or a function that returns one and is called again when it has expired.
 *
 * @typedef {string | (() => string | Promise<string>)} Token
 */
export class Tokens {
    /** @param {Token} [token] */
    constructor(token?: Token);
    /** The headers of each request. @returns {Promise<Record<string, string>>} */
    headers(): Promise<Record<string, string>>;
    /**
     * The user and scopes in a token, unverified: tabs share a connection only if they are the same, since
     * moderators are sent more. Empty without such a token. @returns {Promise<string>}
     */
    group(): Promise<string>;
    /** Note that a server has accepted the present token. */
    worked(): void;
    /** Drop the refused token; return whether to get another, which is so if it has worked before. */
    renew(): boolean;
    #private;
}
/**
 * A viewer's token: a string, or a function that returns one and is called again when it has expired.
 */
export type Token = string | (() => string | Promise<string>);
