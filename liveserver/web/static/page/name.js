/** A name for who has not chosen one, kept in this browser. */

const KINDS = ["Quiet", "Merry", "Brave", "Gentle", "Curious", "Sunny", "Nimble", "Dreamy", "Bright", "Witty"];
const ANIMALS = ["Otter", "Heron", "Lynx", "Puffin", "Marmot", "Fox", "Seal", "Owl", "Hare", "Dolphin"];
const KEY = "liveserver.name";

const any = (words) => words[Math.floor(Math.random() * words.length)];

/** @param {HTMLInputElement} field shows it, and may change it @returns {() => string} */
export function ownName(field) {
  let name = read() || `${any(KINDS)} ${any(ANIMALS)}`;
  field.value = name;
  field.addEventListener("change", () => {
    name = field.value.trim() || name;
    field.value = name;
    write(name);
  });
  write(name);
  return () => name;
}

// Where storage is forbidden, the name lasts as long as the page.
function read() {
  try {
    return localStorage.getItem(KEY);
  } catch {
    return null;
  }
}

function write(name) {
  try {
    localStorage.setItem(KEY, name);
  } catch {
    // As above.
  }
}
