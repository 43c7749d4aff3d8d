/**
 * The reactions: how they look, and how they float up over the video.
 *
 * The counter shows the number: of hundreds a second only as many float as can be seen one by one, your own always
 * among them. Where reduced motion is preferred they appear and fade.
 */

const FACE = ["#ffc93d", "M12 1.8a10.2 10.2 0 1 0 0 20.4 10.2 10.2 0 0 0 0-20.4z"];
const EYES = "M8.4 7.6a1.5 1.9 0 1 0 0 3.8 1.5 1.9 0 0 0 0-3.8zm7.2 0a1.5 1.9 0 1 0 0 3.8 1.5 1.9 0 0 0 0-3.8z";

/** Shapes in a box of 24, each [colour, path]; a Map, since names come from others. @type {Map<string, {name: string, shapes: string[][]}>} */
export const REACTIONS = new Map(Object.entries({
  heart: {
    name: "Like",
    shapes: [["#ff3d6e", "M12 21.2s-7.7-4.7-9.9-9.5C.5 8.1 2.4 4.2 6.2 3.9c2.3-.2 4.2 1 5.8 3.2 1.6-2.2 3.5-3.4 5.8-3.2 3.8.3 5.7 4.2 4.1 7.8-2.2 4.8-9.9 9.5-9.9 9.5z"]],
  },
  fire: {
    name: "Fire",
    shapes: [
      ["#ff7a2f", "M12.3 1.6c.4 3.8 6.3 6.3 6.3 12.3a6.6 6.6 0 0 1-13.2.2c0-2.9 1.5-4.9 2.7-6.1.1 1.7.8 2.7 1.8 3.2-.5-3.6.6-7.3 2.4-9.6z"],
      ["#ffd34d", "M12.2 11.9c.3 2 2.7 3 2.7 5.7a2.9 2.9 0 0 1-5.8.1c0-2.2 2-3.2 3.1-5.8z"],
    ],
  },
  star: {
    name: "Wonderful",
    shapes: [["#a78bfa", "M12 2.2c.5 0 .9.3 1.1.7l2.5 5.2 5.7.8c1 .1 1.4 1.4.7 2.1l-4.2 4 1 5.7c.2 1-.9 1.8-1.8 1.3L12 19.3 7 22c-.9.5-2-.3-1.8-1.3l1-5.7-4.2-4c-.7-.7-.3-2 .7-2.1l5.7-.8 2.5-5.2c.2-.4.6-.7 1.1-.7z"]],
  },
  laugh: {
    name: "Funny",
    shapes: [FACE, ["#4a2c0a", EYES], ["#4a2c0a", "M6.5 13.3h11c0 3.2-2.4 5.5-5.5 5.5s-5.5-2.3-5.5-5.5z"], ["#ff6b81", "M9 17.5c.8-.8 1.9-1.2 3-1.2s2.2.4 3 1.2a5.3 5.3 0 0 1-6 0z"]],
  },
  wow: {
    name: "Wow",
    shapes: [FACE, ["#4a2c0a", EYES], ["#4a2c0a", "M12 13a2.9 3.4 0 1 0 0 6.8 2.9 3.4 0 0 0 0-6.8z"]],
  },
}));
const UNKNOWN = "star";

/** A reaction as an `<svg>`; what is not known is a star. */
export function icon(reaction) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  for (const [colour, shape] of (REACTIONS.get(reaction) ?? REACTIONS.get(UNKNOWN)).shapes) {
    const path = document.createElementNS(svg.namespaceURI, "path");
    path.setAttribute("fill", colour);
    path.setAttribute("d", shape);
    svg.append(path);
  }
  return svg;
}

const MOST = 90; // on the screen at once
const PER_SECOND = 22;
const LIFE = 3.6; // seconds
const SPRITE = 128; // pixels
const CALM_EVERY = 250; // milliseconds between two frames where reduced motion is preferred: they only appear and fade

export class Floating {
  #canvas;
  #context;
  #calm = matchMedia("(prefers-reduced-motion: reduce)");
  #sprites = new Map();
  #particles = [];
  #budget = PER_SECOND;
  #at = 0;

  /** @param {HTMLCanvasElement} canvas over the stage */
  constructor(canvas) {
    this.#canvas = canvas;
    this.#context = canvas.getContext("2d");
    for (const [name, { shapes }] of REACTIONS) this.#sprites.set(name, sprite(shapes));
    new ResizeObserver(() => this.#resize()).observe(canvas);
  }

  /** One more; `own` ones are never left out, and larger. */
  add(reaction, own = false) {
    if (document.hidden || (!own && (this.#budget < 1 || this.#particles.length >= MOST))) return;
    if (!own) this.#budget -= 1;
    const small = this.#canvas.clientWidth < 560;
    this.#particles.push({
      sprite: this.#sprites.get(reaction) ?? this.#sprites.get(UNKNOWN),
      born: performance.now() / 1000,
      life: LIFE * (0.8 + Math.random() * 0.4),
      x: (small ? 0.82 : 0.88) + (Math.random() - 0.5) * (small ? 0.2 : 0.14),
      sway: (Math.random() - 0.5) * 0.09,
      phase: Math.random() * 6.28,
      turn: (Math.random() - 0.5) * 0.7,
      size: (small ? 26 : 32) * (own ? 1.5 : 0.7 + Math.random() * 0.6),
      height: 0.62 + Math.random() * 0.3,
    });
    if (this.#at) return; // a frame is asked for already: one for all that come before it
    this.#at = performance.now() / 1000;
    this.#ask();
  }

  #resize() {
    const scale = Math.min(devicePixelRatio || 1, 2);
    this.#canvas.width = this.#canvas.clientWidth * scale;
    this.#canvas.height = this.#canvas.clientHeight * scale;
  }

  #ask() {
    requestAnimationFrame((now) => this.#frame(now));
  }

  #frame(milliseconds) {
    const now = milliseconds / 1000;
    this.#budget = Math.min(PER_SECOND, this.#budget + Math.max(0, now - this.#at) * PER_SECOND);
    this.#at = now;
    const { width, height } = this.#canvas;
    const unit = width / (this.#canvas.clientWidth || 1);
    const context = this.#context;
    context.clearRect(0, 0, width, height);
    this.#particles = this.#particles.filter((one) => now - one.born < one.life);
    for (const one of this.#particles) {
      const t = Math.max(0, (now - one.born) / one.life);
      const risen = this.#calm.matches ? one.height * (one.phase / 6.28) : 1 - (1 - t) ** 1.7;
      const pop = this.#calm.matches ? 1 : Math.min(1, t * 9) * (1 + 0.35 * Math.max(0, 1 - t * 7));
      const sway = this.#calm.matches ? 0 : Math.sin(one.phase + t * 7) * one.sway * (0.3 + t);
      context.globalAlpha = Math.min(1, t * 14, (1 - t) * 2.4);
      context.translate(width * (one.x + sway), height * (0.96 - risen * one.height));
      context.rotate(this.#calm.matches ? 0 : one.turn * Math.sin(one.phase + t * 4));
      const size = one.size * unit * pop;
      context.drawImage(one.sprite, -size / 2, -size / 2, size, size);
      context.resetTransform();
    }
    context.globalAlpha = 1;
    if (!this.#particles.length) this.#at = 0;
    else if (this.#calm.matches) setTimeout(() => this.#ask(), CALM_EVERY);
    else this.#ask();
  }
}

/** Drawn once, with a soft edge of shade, so that it stands out from any picture. */
function sprite(shapes) {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = SPRITE;
  const context = canvas.getContext("2d");
  const scale = (SPRITE * 0.82) / 24;
  context.translate(SPRITE * 0.09, SPRITE * 0.07);
  context.scale(scale, scale);
  shapes.forEach(([colour, shape], index) => {
    context.shadowColor = index ? "transparent" : "rgb(0 0 0 / 35%)";
    context.shadowBlur = 8;
    context.shadowOffsetY = 3;
    context.fillStyle = colour;
    context.fill(new Path2D(shape));
  });
  return canvas;
}
