/**
 * A recording in the place of a live video: the page shows its likes and comments in step with the film.
 *
 *     /?video=demo&src=film.mp4&replay                                   the recording that this server has
 *     /?video=demo&src=film.mp4&replay=https://fe1.example/recordings/demo/
 *
 * It has what the page asks of `LiveVideo`, and "seek", after which what is on the screen is shown anew.
 * A token is sent to this server only, whatever address a link names.
 */

import { Replay } from "../liveserver.js";
import { sumLikes } from "../liveserver/state.js";

// Names of the client's own events: a published event of such a type fires "*" only.
const WORDS = ["*", "ready", "gap", "viewers", "bye", "state", "connection", "refused", "error", "seek"];

export class RecordedVideo extends EventTarget {
  #replay;
  #newest = 0;
  /** @type {Map<string, any>} */ state = new Map();
  connection;

  /** @param {string} video @param {string} place of the recording, if not here @param {HTMLVideoElement} film @param {any} token */
  constructor(video, place, film, token) {
    super();
    const url = new URL(place || `/v1/videos/${encodeURIComponent(video)}/recording/`, location.href);
    this.connection = { name: "connecting", transport: "recording", node: null, shared: false, url: url.href };
    film.loop = false;
    film.controls = true;
    this.#replay = new Replay(url, film, url.origin === location.origin ? { token } : {});
    this.#replay.addEventListener("ready", () => {
      this.#report("replay");
      this.#tell("ready", { resumed: false });
    });
    this.#replay.addEventListener("error", ({ detail }) => {
      if (this.connection.name === "connecting") this.#report("waiting");
      this.#tell("error", detail);
    });
    this.#replay.addEventListener("seek", ({ detail }) => {
      this.state = new Map();
      this.#keep(detail.events);
      this.#tell("seek", detail);
      this.#tell("state", { events: [...this.state.values()] });
    });
    this.#replay.addEventListener("*", ({ detail }) => {
      this.#newest = detail.at;
      this.#keep([detail]);
      if (!WORDS.includes(detail.type)) this.#tell(detail.type, detail);
      this.#tell("*", detail);
      if (detail.key !== undefined) this.#tell("state", { events: [detail] });
    });
  }

  get total() {
    return sumLikes(this.state);
  }

  /** The time of what is shown. */
  now() {
    return this.#newest;
  }

  me = async () => ({ scopes: ["watch"], signed_in: true });
  summary = () => this.#refuse();
  like = () => this.#refuse();
  comment = () => this.#refuse();
  retract = () => this.#refuse();
  moderate = () => this.#refuse();
  setTransport() {}

  async #refuse() {
    throw Object.assign(new Error("This is a recording."), { status: 404 });
  }

  #keep(events) {
    for (const event of events) {
      if (event.key === undefined) continue;
      if (event.data === null) this.state.delete(event.key);
      else this.state.set(event.key, event);
    }
  }

  #report(name) {
    this.connection = { ...this.connection, name };
    this.#tell("connection", this.connection);
  }

  #tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}
