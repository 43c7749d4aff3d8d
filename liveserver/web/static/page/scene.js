/**
 * Something alive where there is no film: northern lights over a lake, brighter the more is liked.
 *
 * By night in a dark page, at daybreak in a light one. Small pictures, drawn thirty times a second and
 * only while they can be seen; one still picture for who prefers less motion.
 */

const NIGHT = {
  sky: ["#070b1f", "#0e1a3c", "#1c3a5e", "#3c6f83"],
  lights: ["60 255 170", "70 190 255", "190 110 255"],
  glow: 0.85,
  hills: ["#16294a", "#0d1a33", "#070e1f"],
  stars: 1,
};
const DAYBREAK = {
  sky: ["#3b3f86", "#8a63a8", "#ee8f8a", "#ffd9a0"],
  lights: ["120 255 215", "255 190 240", "255 225 160"],
  glow: 0.5,
  hills: ["#8d6a9c", "#5d4a80", "#372f5c"],
  stars: 0.25,
};
const SHORE = 0.72; // of the height
const SPARE = 10; // pixels beyond the edges, for the waves
const FRAME = 1000 / 30;

export class Scene {
  #canvas;
  #context;
  #dark = matchMedia("(prefers-color-scheme: dark)");
  #calm = matchMedia("(prefers-reduced-motion: reduce)");
  #sky = document.createElement("canvas");
  #hills = document.createElement("canvas");
  #strips = [];
  #energy = 0;
  #last = -Infinity;
  #asked = 0;
  #between = FRAME; // milliseconds: a machine that is late already is asked for less
  #seen = true;

  /** @param {HTMLCanvasElement} canvas */
  constructor(canvas) {
    this.#canvas = canvas;
    this.#context = canvas.getContext("2d", { alpha: false });
    new ResizeObserver(() => this.#prepare()).observe(canvas);
    new IntersectionObserver(([entry]) => (this.#seen = entry.isIntersecting)).observe(canvas);
    for (const wish of [this.#dark, this.#calm]) wish.addEventListener("change", () => this.#prepare());
    requestAnimationFrame((now) => this.#frame(now));
  }

  /** Somebody likes it. */
  cheer() {
    this.#energy = Math.min(1, this.#energy + 0.12 * (1 - this.#energy));
  }

  #prepare() {
    const ratio = this.#canvas.clientHeight / (this.#canvas.clientWidth || 1);
    const width = Math.min(900, Math.round(this.#canvas.clientWidth * Math.min(devicePixelRatio || 1, 1.5)));
    const height = Math.round(width * ratio);
    if (!width || !height) return;
    const palette = this.#dark.matches ? NIGHT : DAYBREAK;
    for (const canvas of [this.#canvas, this.#sky, this.#hills]) Object.assign(canvas, { width, height });
    paintSky(this.#sky.getContext("2d"), width, height, palette);
    paintHills(this.#hills.getContext("2d"), width, height, palette);
    this.#strips = palette.lights.map((colour) => strip(colour, palette.glow));
    this.#draw(this.#calm.matches ? 40 : performance.now() / 1000);
  }

  #frame(now) {
    requestAnimationFrame((next) => this.#frame(next));
    this.#between += (Math.min(250, Math.max(FRAME, 2 * (now - this.#asked))) - this.#between) * 0.1;
    this.#asked = now;
    if (this.#calm.matches || !this.#seen || now - this.#last < this.#between - 4) return;
    this.#energy *= Math.exp(-Math.min(200, now - this.#last) / 2500);
    this.#last = now;
    this.#draw(now / 1000);
  }

  #draw(time) {
    const { width, height } = this.#canvas;
    const context = this.#context;
    const shore = Math.round(height * SHORE);
    context.drawImage(this.#sky, 0, 0);
    context.globalCompositeOperation = "lighter";
    this.#strips.forEach((light, layer) => this.#curtain(light, layer, time, width, shore));
    context.globalCompositeOperation = "source-over";
    context.globalAlpha = 1;
    context.drawImage(this.#hills, 0, 0);
    // The lake gives back what is above it, row by row, less and less steadily.
    const rows = height - shore;
    for (let row = 0; row < rows; row += 2) {
      const depth = row / rows;
      const swell = 90 / (40 + row); // far waves look shorter
      const wave = Math.sin(row * 0.3 * swell - time * 1.6) * (0.4 + depth * 3.2) + Math.sin(row * 0.11 + time * 0.9) * depth * 5;
      const from = shore - 2 - row * 1.9;
      context.drawImage(this.#canvas, 0, from, width, 2, wave - SPARE, shore + row, width + 2 * SPARE, 2);
    }
    const water = context.createLinearGradient(0, shore, 0, height);
    water.addColorStop(0, "rgb(255 255 255 / 10%)");
    water.addColorStop(0.06, "rgb(4 10 28 / 12%)");
    water.addColorStop(1, "rgb(4 8 24 / 62%)");
    context.fillStyle = water;
    context.fillRect(0, shore, width, rows);
  }

  /** One band of light: strips side by side, each as tall and as bright as three slow waves make it. */
  #curtain(light, layer, time, width, shore) {
    const step = Math.max(2, Math.round(width / 260));
    const pace = time * (0.16 + layer * 0.05);
    const lift = 0.75 + this.#energy * 0.55;
    for (let x = 0; x < width; x += step) {
      const u = (x / width) * 5 + layer * 2.3;
      const fold = Math.sin(u * 1.3 + pace) + 0.6 * Math.sin(u * 2.9 - pace * 1.7) + 0.3 * Math.sin(u * 7.1 + pace * 3);
      const shimmer = 0.5 + 0.5 * Math.sin(u * 4.3 + pace * 2.2 + Math.sin(u * 11 - pace * 4));
      const veil = 0.5 + 0.5 * Math.sin(u * 0.9 - pace * 0.8 + layer);
      const tall = shore * (0.34 + 0.16 * fold * 0.5 + 0.2 * shimmer) * lift;
      const foot = shore * (0.74 - layer * 0.1 + 0.07 * fold);
      this.#context.globalAlpha = Math.min(1, veil * (0.16 + 0.5 * shimmer) * lift);
      this.#context.drawImage(light, x, Math.round(foot - tall), step, Math.round(tall * 1.12));
    }
  }
}

/** The profile of one band of light, from its soft top to its sharper foot. */
function strip(colour, glow) {
  const canvas = Object.assign(document.createElement("canvas"), { width: 1, height: 128 });
  const context = canvas.getContext("2d");
  const fade = context.createLinearGradient(0, 0, 0, 128);
  for (const [at, alpha] of [[0, 0], [0.45, 0.22], [0.8, 0.75], [0.88, 1], [1, 0]])
    fade.addColorStop(at, `rgb(${colour} / ${alpha * glow})`);
  context.fillStyle = fade;
  context.fillRect(0, 0, 1, 128);
  return canvas;
}

function paintSky(context, width, height, { sky, stars }) {
  const shade = context.createLinearGradient(0, 0, 0, height * SHORE);
  sky.forEach((colour, index) => shade.addColorStop(index / (sky.length - 1), colour));
  context.fillStyle = shade;
  context.fillRect(0, 0, width, height);
  const random = repeatable(7);
  context.fillStyle = "white";
  for (let count = 0; count < 170; count++) {
    const y = random() ** 1.6 * height * 0.6;
    context.globalAlpha = stars * (0.25 + random() * 0.7) * (1 - y / (height * 0.66));
    const size = (0.5 + random() ** 4 * 1.4) * (width / 700);
    context.beginPath();
    context.arc(random() * width, y, size, 0, 7);
    context.fill();
  }
}

function paintHills(context, width, height, { hills }) {
  context.clearRect(0, 0, width, height);
  const shore = height * SHORE;
  hills.forEach((colour, layer) => {
    const random = repeatable(11 + layer * 5);
    const waves = [1, 2, 4, 8, 16, 32].map((octave) => [octave, random() * 6.28, 1 / octave ** 0.95]);
    context.fillStyle = colour;
    context.beginPath();
    context.moveTo(0, shore + 1);
    for (let x = 0; x <= width; x += 2) {
      const u = (x / width) * 3.2 + layer;
      const ridge = waves.reduce((sum, [octave, phase, size]) => sum + size * (1 - Math.abs(Math.sin(u * octave + phase))), 0);
      // The nearer ones leave the middle open.
      const bowl = layer ? ((x / width - 0.5) * 2) ** 2 * 0.75 + (layer === 1 ? 0.25 : 0.04) : 1;
      context.lineTo(x, shore - ridge * bowl * height * [0.16, 0.15, 0.13][layer]);
    }
    context.lineTo(width, shore + 1);
    context.fill();
  });
}

/** The same landscape for everybody. */
function repeatable(seed) {
  return () => ((seed = (seed * 16807) % 2147483647) / 2147483647);
}
