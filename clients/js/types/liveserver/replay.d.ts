/** Fires events by their type and as "*", "seek" with `{events}`, "ready" with the index, "error" with the reason. */
export class Replay extends EventTarget {
    /** @param {string|URL} url the recording's directory @param {HTMLVideoElement} video @param {ReplayOptions} options */
    constructor(url: string | URL, video: HTMLVideoElement, options?: ReplayOptions);
    /** The moment of the picture, in milliseconds. */
    get now(): number;
    /** When the event is shown, in milliseconds of the video. @param {LiveEvent} event */
    moment(event: LiveEvent): number;
    /** End it, and release what it holds. */
    close(): void;
    #private;
}
/**
 * Replay a recording in step with a `<video>` element: what was liked and said comes when the picture is there.
 *
 *     const replay = new Replay("https://fe1.example/v1/videos/demo/recording/", document.querySelector("video"));
 *     replay.addEventListener("comment", ({ detail }) => console.log(detail.position, detail.data.text));
 *
 * 1. The recording is its bare files: `index.json` and the segments that it names. Any web server will do.
 * 2. An event's moment is its `position`, the media time in milliseconds. Where events have none, it is `at` from
 *    `startAt` on, which is when the picture began, in milliseconds since the epoch; by default the first event's.
 * 3. Each event is fired once as the playhead passes it, paused or sped up as the video is. After seeking, "seek" is fired
 *    with all events before the new moment, as far as they are loaded: what is shown is to be shown anew.
 * 4. Segments are loaded when the playhead comes near: `LOOK_AHEAD` before it. Few are kept.
 */
export type LiveEvent = import("../liveserver.js").LiveEvent;
/**
 * Replay a recording in step with a `<video>` element: what was liked and said comes when the picture is there.
 *
 *     const replay = new Replay("https://fe1.example/v1/videos/demo/recording/", document.querySelector("video"));
 *     replay.addEventListener("comment", ({ detail }) => console.log(detail.position, detail.data.text));
 *
 * 1. The recording is its bare files: `index.json` and the segments that it names. Any web server will do.
 * 2. An event's moment is its `position`, the media time in milliseconds. Where events have none, it is `at` from
 *    `startAt` on, which is when the picture began, in milliseconds since the epoch; by default the first event's.
 * 3. Each event is fired once as the playhead passes it, paused or sped up as the video is. After seeking, "seek" is fired
 *    with all events before the new moment, as far as they are loaded: what is shown is to be shown anew.
 * 4. Segments are loaded when the playhead comes near: `LOOK_AHEAD` before it. Few are kept.
 */
export type Segment = {
    file: string;
    events: number;
    bytes: number;
    first_at: number;
    last_at: number;
    first_position?: number;
    last_position?: number;
    gap?: boolean;
};
/**
 * Replay a recording in step with a `<video>` element: what was liked and said comes when the picture is there.
 *
 *     const replay = new Replay("https://fe1.example/v1/videos/demo/recording/", document.querySelector("video"));
 *     replay.addEventListener("comment", ({ detail }) => console.log(detail.position, detail.data.text));
 *
 * 1. The recording is its bare files: `index.json` and the segments that it names. Any web server will do.
 * 2. An event's moment is its `position`, the media time in milliseconds. Where events have none, it is `at` from
 *    `startAt` on, which is when the picture began, in milliseconds since the epoch; by default the first event's.
 * 3. Each event is fired once as the playhead passes it, paused or sped up as the video is. After seeking, "seek" is fired
 *    with all events before the new moment, as far as they are loaded: what is shown is to be shown anew.
 * 4. Segments are loaded when the playhead comes near: `LOOK_AHEAD` before it. Few are kept.
 */
export type Recording = {
    video: string;
    segments: Segment[];
};
/**
 * Replay a recording in step with a `<video>` element: what was liked and said comes when the picture is there.
 *
 *     const replay = new Replay("https://fe1.example/v1/videos/demo/recording/", document.querySelector("video"));
 *     replay.addEventListener("comment", ({ detail }) => console.log(detail.position, detail.data.text));
 *
 * 1. The recording is its bare files: `index.json` and the segments that it names. Any web server will do.
 * 2. An event's moment is its `position`, the media time in milliseconds. Where events have none, it is `at` from
 *    `startAt` on, which is when the picture began, in milliseconds since the epoch; by default the first event's.
 * 3. Each event is fired once as the playhead passes it, paused or sped up as the video is. After seeking, "seek" is fired
 *    with all events before the new moment, as far as they are loaded: what is shown is to be shown anew.
 * 4. Segments are loaded when the playhead comes near: `LOOK_AHEAD` before it. Few are kept.
 */
export type Timed = {
    moment: number;
    event: LiveEvent;
};
/**
 * Replay a recording in step with a `<video>` element: what was liked and said comes when the picture is there.
 *
 *     const replay = new Replay("https://fe1.example/v1/videos/demo/recording/", document.querySelector("video"));
 *     replay.addEventListener("comment", ({ detail }) => console.log(detail.position, detail.data.text));
 *
 * 1. The recording is its bare files: `index.json` and the segments that it names. Any web server will do.
 * 2. An event's moment is its `position`, the media time in milliseconds. Where events have none, it is `at` from
 *    `startAt` on, which is when the picture began, in milliseconds since the epoch; by default the first event's.
 * 3. Each event is fired once as the playhead passes it, paused or sped up as the video is. After seeking, "seek" is fired
 *    with all events before the new moment, as far as they are loaded: what is shown is to be shown anew.
 * 4. Segments are loaded when the playhead comes near: `LOOK_AHEAD` before it. Few are kept.
 */
export type ReplayOptions = {
    startAt?: number;
    token?: string | (() => string | Promise<string>);
    credentials?: RequestCredentials;
};
