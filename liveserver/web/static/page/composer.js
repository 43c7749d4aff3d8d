/** Writing a comment: sent in the order written, one after the other; emoji, and how many characters are left. */

import { element, lengthOf } from "./text.js";

const MOST = 500; // characters
const WARN = 60; // that are left
const EMOJI = ["😀", "😂", "🥹", "😍", "🤩", "😎", "🤔", "😮", "😢", "👏", "👍", "🙌", "🙏", "💪", "👋", "❤️", "🔥", "⭐", "🎉", "🚀", "🎵", "☕", "🌈", "💡"];

export class Composer {
  #parts;
  #send;
  #queue = Promise.resolve();
  #heldUntil = 0;
  #ticking;

  /**
   * @param {{form: HTMLFormElement, text: HTMLInputElement, left: HTMLElement, send: HTMLButtonElement, pick: HTMLElement, emoji: HTMLElement, hold: HTMLElement}} parts
   * @param {(text: string) => {sending: () => void, run: () => Promise<void>, failed: (error: Error, again: () => void) => void}} send
   *   begins with one comment, which is not sent yet
   */
  constructor(parts, send) {
    this.#parts = parts;
    this.#send = send;
    const { form, text, pick, emoji } = parts;
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit();
    });
    text.addEventListener("input", () => this.#count());
    for (const each of EMOJI) {
      const button = element("button", "", each);
      button.type = "button";
      button.addEventListener("click", () => this.insert(each));
      emoji.append(button);
    }
    pick.addEventListener("click", () => this.#toggle(emoji.hidden));
    form.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || emoji.hidden) return;
      event.stopPropagation();
      this.#toggle(false);
      pick.focus();
    });
    document.addEventListener("click", ({ target }) => form.contains(target) || this.#toggle(false));
    this.#count();
  }

  /** Let nothing be sent for so long, and count down. @param {number} milliseconds */
  hold(milliseconds) {
    this.#heldUntil = Math.max(this.#heldUntil, performance.now() + milliseconds);
    clearInterval(this.#ticking);
    this.#ticking = setInterval(() => this.#tick(), 250);
    this.#tick();
  }

  /** Slow mode is over. */
  release() {
    this.#heldUntil = 0;
    this.#tick();
  }

  #tick() {
    const { hold } = this.#parts;
    const seconds = Math.ceil((this.#heldUntil - performance.now()) / 1_000);
    hold.hidden = seconds <= 0;
    hold.textContent = seconds > 0 ? `Wait ${seconds} s` : "";
    if (seconds <= 0) clearInterval(this.#ticking);
    this.#count();
  }

  get #isHeld() {
    return performance.now() < this.#heldUntil;
  }

  /** At the caret. @param {string} what */
  insert(what) {
    const { text } = this.#parts;
    text.setRangeText(what, text.selectionStart ?? text.value.length, text.selectionEnd ?? text.value.length, "end");
    this.#count();
    text.focus();
  }

  #toggle(isOpen) {
    const { emoji, pick } = this.#parts;
    emoji.hidden = !isOpen;
    pick.setAttribute("aria-expanded", String(isOpen));
    if (isOpen) emoji.firstElementChild.focus();
  }

  #count() {
    const { text, left, send } = this.#parts;
    const rest = MOST - lengthOf(text.value.trim());
    left.hidden = rest > WARN || this.#isHeld;
    left.textContent = String(rest);
    left.classList.toggle("over", rest < 0);
    send.disabled = rest < 0 || this.#isHeld;
  }

  #submit() {
    const { text } = this.#parts;
    const said = text.value.trim();
    if (!said || lengthOf(said) > MOST || this.#isHeld) return;
    text.value = "";
    this.#count();
    this.#toggle(false);
    const comment = this.#send(said);
    const enqueue = () => {
      comment.sending();
      this.#queue = this.#queue.then(() => comment.run()).catch((error) => comment.failed(error, enqueue));
    };
    enqueue();
  }
}
