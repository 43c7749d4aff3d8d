/** A menu at a button, as the ARIA practices have it: arrows move, Escape and a click elsewhere close it. */

import { element } from "./text.js";

let close = () => {};

/**
 * Open a menu below a button. @param {HTMLElement} button @param {[string, () => void][]} items
 */
export function openMenu(button, items) {
  const wasOpen = button.getAttribute("aria-expanded") === "true";
  close();
  if (wasOpen) return;
  const menu = element("div", "menu");
  menu.setAttribute("role", "menu");
  menu.setAttribute("aria-label", button.getAttribute("aria-label") ?? "");
  for (const [text, act] of items) {
    const item = element("button", "", text);
    item.type = "button";
    item.tabIndex = -1;
    item.setAttribute("role", "menuitem");
    item.addEventListener("click", () => {
      close();
      button.focus();
      act();
    });
    menu.append(item);
  }
  const life = new AbortController();
  const { signal } = life;
  menu.addEventListener("keydown", (event) => {
    const entries = [...menu.children];
    const at = entries.indexOf(document.activeElement);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1 + entries.length, Home: 0, End: entries.length - 1 }[event.key];
    event.stopPropagation();
    if (to !== undefined) {
      event.preventDefault();
      entries[to % entries.length].focus();
    } else if (event.key === "Escape" || event.key === "Tab") {
      close();
      button.focus();
    }
  });
  document.addEventListener("click", ({ target }) => menu.contains(target) || button.contains(target) || close(), { signal });
  button.setAttribute("aria-expanded", "true");
  button.after(menu);
  close = () => {
    life.abort();
    menu.remove();
    button.setAttribute("aria-expanded", "false");
    close = () => {};
  };
  menu.scrollIntoView({ block: "nearest" });
  menu.firstElementChild.focus();
}
