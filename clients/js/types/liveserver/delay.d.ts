export class Delay {
    /** @param {(items: Item[]) => void} take what is due */
    constructor(take: (items: Item[]) => void);
    /** Whole seconds that the server is asked for. */ asked: number;
    /** Set the player's delay in seconds; return whether `asked` has changed. @param {number | undefined} seconds */
    follow(seconds: number | undefined): boolean;
    /** @param {Item[]} items in order */
    hold(items: Item[]): void;
    /** Forget what is held. */
    close(): void;
    #private;
}
/**
 * Delays behind live with fractions of a second: servers delay by whole seconds, the rest is added here.
 *
 * The server is asked for the whole seconds below the delay. What it sends is held until the rest is over, in order, with
 * one timer. A delay that changes by little changes the rest only, so that no connection begins anew.
 */
export type Item = import("./sources.js").Item;
