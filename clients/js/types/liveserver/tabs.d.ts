export class Tabs {
    /** @param {string} name of what is shared @param {number} replay @param {AbortSignal} signal leaves @param {Host} host */
    constructor(name: string, replay: number, signal: AbortSignal, host: Host);
    /** To all the others, when this tab leads: the items that follow the cursor `before`. @param {?string} before @param {Item[]} items */
    post(before: string | null, items: Item[]): void;
    /** How the connection stands, when this tab leads. @param {object} connection */
    tell(connection: object): void;
    /** What this tab has taken, from whichever connection. @param {Item} item */
    remember(item: Item): void;
    /** This tab's own connection has come to the host's cursor: follow again, if the leader has been there. */
    arrived(): void;
    /** Check whether the leader is alive, and whether a question is unanswered. */
    check(): void;
    #private;
}
/**
 * Tabs of one site in one browser that share a connection: browsers allow six per origin on HTTP/1.1.
 *
 * 1. The tab that holds the Web Lock leads: it has the connection, and posts all that it receives, numbered.
 *    The browser gives the lock to the next tab when this one is closed or crashes.
 * 2. A follower takes exactly the items that are next in number: what it has is dropped, a jump is asked for.
 *    Its cursor never goes back.
 * 3. A follower whose place the leader does not know, by number or by cursor, connects to the server with its own
 *    cursor. Once both stand at one cursor it follows again. So it receives `gap` only from a server.
 * 4. A leader that answers nothing for too long has its lock taken away. It then queues like the others. One that
 *    has heard nothing itself for too long does not answer: a frozen tab gets messages, but reads no stream.
 */
export type Item = import("./sources.js").Item;
/**
 * Tabs of one site in one browser that share a connection: browsers allow six per origin on HTTP/1.1.
 *
 * 1. The tab that holds the Web Lock leads: it has the connection, and posts all that it receives, numbered.
 *    The browser gives the lock to the next tab when this one is closed or crashes.
 * 2. A follower takes exactly the items that are next in number: what it has is dropped, a jump is asked for.
 *    Its cursor never goes back.
 * 3. A follower whose place the leader does not know, by number or by cursor, connects to the server with its own
 *    cursor. Once both stand at one cursor it follows again. So it receives `gap` only from a server.
 * 4. A leader that answers nothing for too long has its lock taken away. It then queues like the others. One that
 *    has heard nothing itself for too long does not answer: a frozen tab gets messages, but reads no stream.
 */
export type Post = {
    reign: string;
    number: number;
    items: Item[];
    before: string | null;
    cursor: string | null;
    replay: number;
};
/**
 * Tabs of one site in one browser that share a connection: browsers allow six per origin on HTTP/1.1.
 *
 * 1. The tab that holds the Web Lock leads: it has the connection, and posts all that it receives, numbered.
 *    The browser gives the lock to the next tab when this one is closed or crashes.
 * 2. A follower takes exactly the items that are next in number: what it has is dropped, a jump is asked for.
 *    Its cursor never goes back.
 * 3. A follower whose place the leader does not know, by number or by cursor, connects to the server with its own
 *    cursor. Once both stand at one cursor it follows again. So it receives `gap` only from a server.
 * 4. A leader that answers nothing for too long has its lock taken away. It then queues like the others. One that
 *    has heard nothing itself for too long does not answer: a frozen tab gets messages, but reads no stream.
 */
export type Host = {
    cursor: string | null;
    take: (items: Item[]) => void;
    lead: (signal: AbortSignal) => Promise<void>;
    detour: (signal: AbortSignal) => Promise<void>;
    connection: object;
    present: import("./connection.js").Connection | null;
    greeting: () => object;
    greet: (greeting: any) => void;
    report: (connection: any) => void;
};
