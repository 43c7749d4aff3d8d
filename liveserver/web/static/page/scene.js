/**
 * A scene in the absence of a film: northern lights over a lake, brighter with more likes.
 *
 * By night in a dark page, at daybreak in a light one. It is the page's background, so it may cost little: the lights
 * are computed small and enlarged once, the lake is one flipped copy a frame, and there are thirty frames a second
 * only while likes arrive, six otherwise. On a slow machine there are fewer, and hardly any without likes.
 * None while it cannot be seen, and one still picture where reduced motion is preferred.
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
const WIDEST = 480; // pixels; CSS enlarges it
const SHARE = 10; // a frame's time is at most one in so many
const RAREST = 500; // ms between two frames while people like it, where that would be longer
const COSTLY = 25; // ms of a frame that would be felt: then it hardly moves but when people like it
const NOW_AND_THEN = 10_000; // ms between two such frames, which measure anew
const STEPS = 128; // of a band of light, from top to foot
const PROFILE = [[0, 0], [0.45, 0.22], [0.8, 0.75], [0.88, 1], [1, 0]]; // [where, how bright]
const LIGHTS = { width: 96, height: 64 }; // pixels
const FAST = 1000 / 30;
const SLOW = 1000 / 6;
const STILL_FOR = 6000; // ms after the first picture, in which the page loads, unless someone likes it
const LIVELY = 0.06; // the energy above which it is drawn fast

export class Scene {
  #canvas;
  #context;
  #dark = matchMedia("(prefers-color-scheme: dark)");
  #calm = matchMedia("(prefers-reduced-motion: reduce)");
  #sky = document.createElement("canvas");
  #front = document.createElement("canvas");
  #ripples = document.createElement("canvas");
  #lights = Object.assign(document.createElement("canvas"), LIGHTS);
  #pixels = new ImageData(LIGHTS.width, LIGHTS.height);
  /** @type {Float32Array[]} */ #strips = [];
  #begun = performance.now();
  #cost = 0; // ms of a frame, smoothed
  #energy = 0;
  #last = 0;
  #isSeen = true;
  #timer = 0;
  #asked = 0;

  /** @param {HTMLCanvasElement} canvas */
  constructor(canvas) {
    this.#canvas = canvas;
    this.#context = canvas.getContext("2d", { alpha: false });
    new ResizeObserver(() => this.#prepare()).observe(canvas);
    new IntersectionObserver(([entry]) => {
      this.#isSeen = entry.isIntersecting;
      this.#schedule();
    }).observe(canvas);
    for (const query of [this.#dark, this.#calm]) query.addEventListener("change", () => this.#prepare());
    document.addEventListener("visibilitychange", () => this.#schedule());
  }

  /** Brighten it, for a like. */
  cheer() {
    const wasStill = this.#energy <= LIVELY;
    this.#energy = Math.min(1, this.#energy + 0.12 * (1 - this.#energy));
    if (wasStill) this.#schedule();
  }

  #prepare() {
    const ratio = this.#canvas.clientHeight / (this.#canvas.clientWidth || 1);
    const width = Math.min(WIDEST, this.#canvas.clientWidth);
    const height = Math.round(width * ratio);
    if (!width || !height) return;
    const palette = this.#dark.matches ? NIGHT : DAYBREAK;
    for (const canvas of [this.#canvas, this.#sky, this.#front]) Object.assign(canvas, { width, height });
    Object.assign(this.#ripples, { width: width * 1.1, height: height * (1 - SHORE) });
    paintSky(this.#sky.getContext("2d"), width, height, palette);
    paintHills(this.#front.getContext("2d"), width, height, palette);
    paintRipples(this.#ripples.getContext("2d"), this.#ripples.width, this.#ripples.height);
    this.#strips = palette.lights.map((colour) => strip(colour, palette.glow));
    const begun = performance.now();
    this.#draw(this.#calm.matches ? 40 : begun / 1000);
    setTimeout(() => this.#measured(performance.now() - begun));
    this.#schedule();
  }

  /** Ask for the next frame, unless there is to be none. */
  #schedule() {
    clearTimeout(this.#timer);
    cancelAnimationFrame(this.#asked);
    if (this.#calm.matches || !this.#isSeen || document.hidden) return;
    const isLively = this.#energy > LIVELY;
    const rare = this.#cost > COSTLY && !isLively ? NOW_AND_THEN : Math.min(RAREST, SHARE * this.#cost);
    const between = Math.max(isLively ? FAST : SLOW, rare);
    // A timer first: a frame asked for is a frame composed, also when nothing is drawn in it.
    const now = performance.now();
    const still = isLively ? 0 : this.#begun + STILL_FOR - now;
    const wait = Math.max(0, still, between - (now - this.#last) - 4);
    this.#timer = setTimeout(() => (this.#asked = requestAnimationFrame((now) => this.#frame(now))), wait);
  }

  #frame(now) {
    this.#energy *= Math.exp(-Math.min(200, now - this.#last) / 2500);
    this.#last = now;
    const begun = performance.now();
    this.#draw(now / 1000);
    // Behind the frame: without a GPU, most of it is drawn after this function.
    setTimeout(() => this.#measured(performance.now() - begun));
    this.#schedule();
  }

  #measured(cost) {
    this.#cost = this.#cost ? (this.#cost + cost) / 2 : cost;
  }

  #draw(time) {
    const { width, height } = this.#canvas;
    const context = this.#context;
    const shore = Math.round(height * SHORE);
    const rows = height - shore;
    this.#drawLights(time);
    context.drawImage(this.#sky, 0, 0);
    context.globalCompositeOperation = "lighter";
    context.drawImage(this.#lights, 0, 0, width, shore);
    context.globalCompositeOperation = "source-over";
    context.drawImage(this.#front, 0, 0);
    // The lake gives back what is above it, flattened.
    context.setTransform(1, 0, 0, -1, 0, height);
    context.drawImage(this.#canvas, 0, shore - rows * 1.9, width, rows * 1.9, 0, 0, width, rows);
    context.resetTransform();
    context.drawImage(this.#ripples, (Math.sin(time * 0.5) - 1) * 0.05 * width, shore, width * 1.1, rows);
  }

  /** Three bands of light, each as tall and as bright as three slow waves make it, column by column. */
  #drawLights(time) {
    const { width, height } = LIGHTS;
    const { data } = this.#pixels;
    new Uint32Array(data.buffer).fill(0xff000000); // black adds nothing
    const lift = 0.75 + this.#energy * 0.55;
    for (const [layer, light] of this.#strips.entries()) {
      const pace = time * (0.16 + layer * 0.05);
      for (let x = 0; x < width; x++) {
        const u = (x / width) * 5 + layer * 2.3;
        const fold = Math.sin(u * 1.3 + pace) + 0.6 * Math.sin(u * 2.9 - pace * 1.7) + 0.3 * Math.sin(u * 7.1 + pace * 3);
        const shimmer = 0.5 + 0.5 * Math.sin(u * 4.3 + pace * 2.2 + Math.sin(u * 11 - pace * 4));
        const veil = 0.5 + 0.5 * Math.sin(u * 0.9 - pace * 0.8 + layer);
        const tall = height * (0.34 + 0.16 * fold * 0.5 + 0.2 * shimmer) * lift;
        const foot = height * (0.74 - layer * 0.1 + 0.07 * fold);
        const alpha = Math.min(1, veil * (0.16 + 0.5 * shimmer) * lift);
        const [top, step] = [foot - tall, STEPS / (tall * 1.12)];
        const last = Math.min(height, Math.floor(foot + tall * 0.12));
        for (let y = Math.max(0, Math.ceil(top)); y < last; y++) {
          const from = 3 * Math.floor((y - top) * step);
          const to = 4 * (y * width + x);
          data[to] += alpha * light[from];
          data[to + 1] += alpha * light[from + 1];
          data[to + 2] += alpha * light[from + 2];
        }
      }
    }
    this.#lights.getContext("2d").putImageData(this.#pixels, 0, 0);
  }
}

/** The profile of one band of light, from its soft top to its sharper foot: red, green and blue of each step. */
function strip(colour, glow) {
  const [red, green, blue] = colour.split(" ").map(Number);
  const profile = new Float32Array(3 * (STEPS + 1)); // the last one is dark
  for (let step = 0; step < STEPS; step++) {
    const at = (step + 0.5) / STEPS;
    const next = PROFILE.findIndex(([end]) => end >= at);
    const [[start, low], [end, high]] = [PROFILE[next - 1], PROFILE[next]];
    const alpha = glow * (low + ((high - low) * (at - start)) / (end - start));
    profile.set([alpha * red, alpha * green, alpha * blue], 3 * step);
  }
  return profile;
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

/** What lies over the lake's picture: shade that deepens towards us, and broken lines of light. */
function paintRipples(context, width, height) {
  const shade = context.createLinearGradient(0, 0, 0, height);
  shade.addColorStop(0, "rgb(255 255 255 / 10%)");
  shade.addColorStop(0.06, "rgb(4 10 28 / 12%)");
  shade.addColorStop(1, "rgb(4 8 24 / 62%)");
  context.clearRect(0, 0, width, height);
  context.fillStyle = shade;
  context.fillRect(0, 0, width, height);
  const random = repeatable(23);
  for (let count = 0; count < 260; count++) {
    const depth = random() ** 1.5;
    const long = width * (0.02 + 0.09 * depth) * (0.4 + random());
    context.fillStyle = random() < 0.5 ? "rgb(255 255 255 / 7%)" : "rgb(4 8 24 / 16%)";
    context.beginPath();
    context.ellipse(random() * width, depth * height, long, 0.4 + depth * 1.4, 0, 0, 7);
    context.fill();
  }
}

/** The same landscape for every viewer. */
function repeatable(seed) {
  return () => ((seed = (seed * 16807) % 2147483647) / 2147483647);
}
