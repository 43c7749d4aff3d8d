/**
 * Text of others, made fit for one line or a few: nothing of it may leave its own place on the screen.
 * It is only ever set as `textContent`.
 */

// Embeddings, overrides and isolates, marks, and controls. Joiners stay: emoji and several scripts need them.
const INVISIBLE = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\u{e0001}]/gu;
const STACKED = /(\p{M}{4})\p{M}+/gu; // more marks on one letter than any language writes
const LINES = 6;

/** A name, or "" when nothing of it can be seen. @param {string|undefined} name @returns {string} */
export function cleanName(name) {
  const clean = String(name ?? "").replace(/\s+/gu, " ").replace(INVISIBLE, "").replace(STACKED, "$1").trim();
  return /[\p{L}\p{N}\p{P}\p{S}]/u.test(clean) ? clean : "";
}

/** A comment: at most a few lines, no empty ones. @param {string} text @returns {string} */
export function cleanText(text) {
  const lines = String(text).replace(/\r\n?|[\u2028\u2029\u0085\u000b\f]/g, "\n").split("\n");
  const clean = lines.map((line) => line.replace(INVISIBLE, "").replace(STACKED, "$1").trim()).filter(Boolean);
  return [...clean.slice(0, LINES - 1), clean.slice(LINES - 1).join(" ")].filter(Boolean).join("\n");
}

/** How many characters a server counts. @param {string} text */
export const lengthOf = (text) => [...text].length;

/** The first character as it is seen. @param {string} text */
export function initial(text) {
  const [first] = Intl.Segmenter ? [...new Intl.Segmenter().segment(text)].map(({ segment }) => segment) : [...text];
  return (first ?? "?").toUpperCase();
}

/** @param {string} name @param {string} kind @param {string} text @returns {HTMLElement} */
export function element(name, kind = "", text = "") {
  const made = document.createElement(name);
  if (kind) made.className = kind;
  made.textContent = text;
  return made;
}

/** Set the text of an element, if it is another: writing it has it drawn again, changed or not. @param {Element} node @param {string} text */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}
