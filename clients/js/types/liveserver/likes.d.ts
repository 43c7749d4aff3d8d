/**
 * Why a request failed; `message` is for people. `status` is the last answer's, 0 without one; `reason` is the
 * server's ("closed", "banned", "slow"); `retryAfter` in milliseconds; `unsupported`: there is no likes backend;
 * `uncertain`: an attempt may have taken effect, so send it again with the same `key` as before, if at all.
 */
export class LiveError extends Error {
    /** @param {string} message @param {{status?: number, reason?: string, retryAfter?: number, unsupported?: boolean}} [more] */
    constructor(message: string, more?: {
        status?: number;
        reason?: string;
        retryAfter?: number;
        unsupported?: boolean;
    });
    status: number;
    unsupported: boolean;
    /** @type {boolean|undefined} */ uncertain: boolean | undefined;
    /** @type {string|undefined} */ reason: string | undefined;
    /** @type {number|undefined} */ retryAfter: number | undefined;
}
export class Likes {
    /** @param {string} url the backend's @param {string} video @param {import("./tokens.js").Tokens} tokens @param {RequestCredentials} [credentials] */
    constructor(url: string, video: string, tokens: import("./tokens.js").Tokens, credentials?: RequestCredentials);
    /** @param {string} what @param {object} body @param {string} key makes it safe to do it again */
    post(what: string, body: object, key?: string): Promise<any>;
    /** @param {string} id */
    retract(id: string): Promise<void>;
    /** @param {string} method @param {string} path below the video's @param {object} [body] @returns {Promise<any>} */
    call(method: string, path: string, body?: object): Promise<any>;
    /** @param {string} what */
    get(what: string): Promise<any>;
    #private;
}
/**
 * The likes backend: each request takes effect once, however many attempts it needs, within a time limit.
 */
export type Summary = {
    likes: number;
    reactions: Record<string, number>;
    comments: {
        id: string;
        user?: string;
        at: number;
        text: string;
    }[];
};
/**
 * The likes backend: each request takes effect once, however many attempts it needs, within a time limit.
 */
export type Me = {
    user?: string;
    scopes: string[];
    signed_in: boolean;
};
