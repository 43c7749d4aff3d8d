// One chart: up to two lines over the last two minutes, drawn as SVG, with the values under the pointer as text.

export const SPAN = 120; // seconds
const KEEP = SPAN + 10;
const NAMES = ["first", "second"];
const EMPTY = 40; // pixels at the left where the axis stands

const svg = (name, attributes = {}) => {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
};
const html = (name, className, text = "") => {
  const made = document.createElement(name);
  made.className = className;
  made.textContent = text;
  return made;
};

/** The least "round" number that is not under this one: 1, 2, 2.5 or 5 times a power of ten. */
function round(number) {
  const power = 10 ** Math.floor(Math.log10(number));
  return [1, 2, 2.5, 5, 10].map((step) => step * power).find((step) => step >= number * 0.999);
}

export class Chart {
  /** `lines` are the names of one or two lines; `format` makes text of a value; `least` is the scale's least top;
      `size` what its values are multiples of, where they are. */
  constructor({ title, lines = [""], unit = "", format, least = 1, size = 1, wide = false }) {
    this.element = html("figure", wide ? "chart wide" : "chart");
    this.#format = format;
    this.#least = least;
    this.#lines = lines;
    this.#size = size;
    this.#points = []; // [time, values…]
    const caption = html("figcaption", "");
    this.#title = html("h3", "", title);
    caption.append(this.#title);
    if (lines.length > 1) {
      const legend = html("div", "legend");
      lines.forEach((name, index) => legend.append(html("span", NAMES[index], name)));
      caption.append(legend);
    }
    this.#value = html("p", "value");
    this.#number = document.createTextNode("–");
    this.#unit = html("small", "", unit);
    this.#value.append(this.#number, this.#unit);
    this.#plot = svg("svg", { class: "plot", role: "img", "aria-label": title });
    this.#tip = html("div", "tip");
    this.#tip.hidden = true;
    this.element.append(caption, this.#value, this.#plot, this.#tip);
    this.#plot.addEventListener("pointermove", (event) => this.#point(event.offsetX));
    this.#plot.addEventListener("pointerleave", () => this.#point(null));
    this.#plot.append(this.#frame, this.#moving);
    // Its size is remembered: to ask for it would lay the page out, once for each chart and look.
    new ResizeObserver(([{ contentRect }]) => {
      this.#area = contentRect;
      this.draw();
    }).observe(this.#plot);
  }

  #area = { width: 0, height: 0 };
  #format;
  #frame = svg("g"); // the grid and its numbers
  #framed = "";
  #least;
  #lines;
  #moving = svg("g"); // the lines, and what is under the pointer
  #number;
  #plot;
  #pointed = null;
  #size;
  #points;
  #tip;
  #title;
  #unit;
  #value;

  /** What is known now, a value for each line; null is a break. */
  add(time, ...values) {
    this.#points.push([time, ...values]);
    while (this.#points[0][0] < time - KEEP) this.#points.shift();
    const known = values.filter((value) => value !== null);
    const words = known.length ? values.map((value) => (value === null ? "–" : this.#format(value))).join(" / ") : "–";
    if (this.#number.data !== words) this.#number.data = words;
    this.draw();
  }

  get title() {
    return this.#title.textContent;
  }

  /** The value now, as text. */
  get words() {
    return `${this.#number.data} ${this.#unit.textContent}`.trim();
  }

  /** Whether no value has changed in the last two minutes. */
  get isFlat() {
    return this.#lines.every((_, index) => {
      const known = this.#points.map((point) => point[index + 1]).filter((value) => value !== null);
      return known.every((value) => value === known[0]);
    });
  }

  draw() {
    const { width, height } = this.#area;
    if (!this.#plot.isConnected || !width || !this.#points.length) return;
    const end = this.#points.at(-1)[0];
    const left = width > 220 && height > 60 ? EMPTY : 0;
    const most = Math.max(this.#least, ...this.#points.flatMap(([, ...values]) => values.filter((value) => value !== null)));
    const top = this.#size * round(most / this.#size);
    const [upper, lower] = [8, height - (left ? 18 : 4)];
    const x = (time) => left + (width - left - 4) * (1 - (end - time) / SPAN);
    const y = (value) => lower - (lower - upper) * (value / top);
    this.#drawFrame(width, height, left, top, y);
    const drawn = this.#lines.flatMap((_, index) => this.#line(index, x, y, lower));
    if (this.#pointed !== null) drawn.push(...this.#mark(x, y, upper, lower, width));
    this.#moving.replaceChildren(...drawn);
    const spoken = this.#spoken(most);
    if (this.#plot.getAttribute("aria-label") !== spoken) this.#plot.setAttribute("aria-label", spoken);
  }

  /** The grid and its numbers, if they are others than those that stand there. */
  #drawFrame(width, height, left, top, y) {
    const framed = [width, height, top].join(" ");
    if (framed === this.#framed) return;
    this.#framed = framed;
    const drawn = [];
    for (const share of left ? [0, 0.5, 1] : [0]) {
      drawn.push(svg("line", { class: "grid", x1: left, x2: width, y1: y(top * share), y2: y(top * share) }));
      if (left) drawn.push(this.#text(left - 7, y(top * share) + 4, share ? this.#format(top * share) : "0", "end"));
    }
    if (left) {
      drawn.push(this.#text(left, height - 2, "2 min ago", "start"), this.#text(width - 4, height - 2, "now", "end"));
    }
    this.#frame.replaceChildren(...drawn);
  }

  #text(x, y, words, anchor) {
    const made = svg("text", { x, y, "text-anchor": anchor, class: "axis" });
    made.textContent = words;
    return made;
  }

  #line(index, x, y, lower) {
    const runs = [[]];
    const oldest = this.#points.at(-1)[0] - SPAN;
    for (const point of this.#points) {
      if (point[0] < oldest) continue;
      if (point[index + 1] === null) runs.push([]);
      else runs.at(-1).push([x(point[0]), y(point[index + 1])]);
    }
    return runs.filter((run) => run.length).flatMap((run) => {
      const path = `M${run.map(([px, py]) => `${px.toFixed(1)} ${py.toFixed(1)}`).join("L")}`;
      const stroke = svg("path", { class: `stroke ${NAMES[index]}`, d: run.length > 1 ? path : `${path}h.1` });
      if (index) return [stroke];
      const [from, to] = [run[0][0].toFixed(1), run.at(-1)[0].toFixed(1)];
      return [svg("path", { class: `fill ${NAMES[index]}`, d: `${path}L${to} ${lower}L${from} ${lower}Z` }), stroke];
    });
  }

  #point(offset) {
    this.#pointed = offset;
    if (offset === null) this.#tip.hidden = true;
    this.draw();
  }

  #mark(x, y, upper, lower, width) {
    const nearest = this.#points.reduce((best, point) =>
      Math.abs(x(point[0]) - this.#pointed) < Math.abs(x(best[0]) - this.#pointed) ? point : best);
    const [time, ...values] = nearest;
    const ago = Math.round(this.#points.at(-1)[0] - time);
    const texts = values.map((value) => (value === null ? "–" : this.#format(value))).join(" / ");
    this.#tip.textContent = `${texts}  ·  ${ago ? `${ago} s ago` : "now"}`;
    this.#tip.style.left = `${Math.min(Math.max(x(time) + 18, 80), width - 40)}px`;
    this.#tip.hidden = false;
    const marks = [svg("line", { class: "rule", x1: x(time), x2: x(time), y1: upper, y2: lower })];
    values.forEach((value, index) => {
      if (value !== null) marks.push(svg("circle", { class: NAMES[index], cx: x(time), cy: y(value), r: 4 }));
    });
    return marks;
  }

  /** The chart in words, for screen readers. */
  #spoken(most) {
    const names = this.#lines.length > 1 ? ` (${this.#lines.join(" / ")})` : "";
    return `${this.#title.textContent}${names}: now ${this.#number.data} ${this.#unit.textContent}, at most ${this.#format(most)} in the last two minutes`;
  }
}
