// A chart over time as SVG: lines, stacked areas, marks; its legend says the numbers of the moment looked at.

import { drawn, element, mark, say } from "./elements.js";
import { clock, short } from "./amounts.js";

/**
 * One chart. `lines` are `{ name, label, area?, off? }`, each the name of a column; an `off` line does not stretch
 * the axis. `stack` draws areas one upon the other. `text` says a number,
 * `axis` one beside the axis.
 */
export class Chart {
  constructor({ title, lines, stack = false, text, axis = short, least = 1 }) {
    Object.assign(this, { title, lines, stack, text, axis, least });
    this.width = 320;
    this.values = new Map(lines.map(({ name }) => [name, element("b", {}, "–")]));
    const legend = lines.map(({ name, label }) =>
      element("li", {}, element("i", { class: `key ${name}`, "aria-hidden": "true" }), `${label} `, this.values.get(name)));
    this.svg = drawn("svg", { role: "img", height: HEIGHT, width: "100%" });
    this.node = element("figure", { class: "chart" },
      element("figcaption", {}, element("span", { class: "chart-title" }, title), element("ul", { class: "legend" }, ...legend)),
      this.svg);
    this.#parts();
    this.looking = null;
    this.svg.addEventListener("pointermove", (event) => this.looking?.(this.#timeAt(event.offsetX)));
    this.svg.addEventListener("pointerleave", () => this.looking?.(null));
    new ResizeObserver(([entry]) => {
      this.width = Math.max(120, Math.round(entry.contentRect.width));
      this.again?.();
    }).observe(this.svg);
  }

  /** Draws the columns from `from` to `to` (milliseconds); `at` is the index looked at, `marks` are `{ name, label, value, low? }`. */
  draw({ times, columns, from, to, at, marks = [] }) {
    this.again = () => this.draw({ times, columns, from, to, at, marks });
    Object.assign(this, { from, to });
    const first = firstAfter(times, from);
    const top = nice(Math.max(this.least, this.#most(columns, first, marks)));
    const x = (time) => LEFT + ((time - from) / (to - from)) * (this.width - LEFT - RIGHT);
    const y = (value) => HEIGHT - BELOW - (value / top) * (HEIGHT - ABOVE - BELOW);
    this.#frame(top, y);
    this.#curves(times, columns, first, top, x, y);
    this.#marks(marks.filter(({ value }) => value !== null && value <= top), y);
    const index = at ?? times.length - 1;
    const here = times[index];
    mark(this.cursor, "d", at !== null && here >= from ? `M${x(here).toFixed(1)} ${ABOVE}V${HEIGHT - BELOW}` : "");
    for (const [name, node] of this.values) say(node, this.text(columns[name][index] ?? null));
    this.#describe(columns, first, index);
  }

  #parts() {
    const path = (className) => drawn("path", { class: className });
    this.grid = path("grid");
    this.cursor = path("cursor");
    this.areas = new Map(this.lines.filter(({ area }) => area || this.stack).map(({ name }) => [name, path(`area ${name}`)]));
    this.paths = new Map(this.lines.filter(() => !this.stack).map(({ name }) => [name, path(`line ${name}`)]));
    this.markGroup = drawn("g");
    this.labels = [0, 1, 2].map(() => drawn("text", { class: "tick", "text-anchor": "end", x: LEFT - 5 }));
    this.begin = drawn("text", { class: "tick", x: LEFT, y: HEIGHT - 2 });
    this.end = drawn("text", { class: "tick", "text-anchor": "end", y: HEIGHT - 2 });
    this.svg.append(this.grid, ...this.areas.values(), ...this.paths.values(), this.markGroup, this.cursor, ...this.labels, this.begin, this.end);
  }

  #most(columns, first, marks) {
    let most = 0;
    const counted = this.lines.filter(({ off }) => !off);
    const length = columns[this.lines[0].name].length;
    for (let index = first; index < length; index += 1) {
      const numbers = counted.map(({ name }) => columns[name][index] ?? 0);
      most = Math.max(most, this.stack ? numbers.reduce((sum, number) => sum + number, 0) : Math.max(...numbers));
    }
    // A threshold is shown once the curve has come half the way to it.
    return Math.max(most, ...marks.map(({ value }) => (value !== null && value <= 2 * most ? value : 0)));
  }

  #frame(top, y) {
    const values = [0, top / 2, top];
    mark(this.grid, "d", values.map((value) => `M${LEFT} ${y(value).toFixed(1)}H${this.width - RIGHT}`).join(""));
    this.labels.forEach((label, index) => {
      mark(label, "y", (y(values[index]) + 4).toFixed(1));
      say(label, this.axis(values[index]));
    });
    mark(this.end, "x", this.width - RIGHT);
    say(this.begin, clock(this.from));
    say(this.end, clock(this.to));
  }

  #curves(times, columns, first, top, x, y) {
    const base = times.map(() => 0);
    for (const { name } of this.lines) {
      const column = columns[name];
      // What is beyond the axis is left out: at its edge it would be read as its value.
      const shown = (value) => value !== null && value <= top;
      const upper = column.map((value, index) => (shown(value) ? (this.stack ? base[index] : 0) + value : null));
      const line = this.paths.get(name);
      if (line) mark(line, "d", runs(times, upper, first).map((run) => curve(run, x, y)).join(""));
      const area = this.areas.get(name);
      if (area) {
        const lower = (index) => (this.stack ? base[index] : 0);
        mark(area, "d", runs(times, upper, first).map((run) => closed(run, lower, x, y)).join(""));
      }
      if (this.stack) upper.forEach((value, index) => { if (value !== null) base[index] = value; });
    }
  }

  #marks(marks, y) {
    const heights = marks.map(({ value }) => y(value).toFixed(1));
    const lines = marks.map(({ name }, index) =>
      drawn("path", { class: `line ${name}`, d: `M${LEFT} ${heights[index]}H${this.width - RIGHT}` }));
    // At one end the way up, at the other the way down: they may be close to each other. The words stand before all lines.
    const words = marks.map(({ label, low }, index) => drawn("text", {
      class: "tick threshold", y: Number(heights[index]) + (heights[index] < 14 ? 11 : -3),
      x: low ? LEFT + 4 : this.width - RIGHT, "text-anchor": low ? "start" : "end",
    }, label));
    this.markGroup.replaceChildren(...lines, ...words);
  }

  #describe(columns, first, index) {
    const words = this.lines.map(({ name, label }) => {
      const seen = columns[name].slice(first).filter((value) => value !== null);
      const most = seen.length ? `, at most ${this.text(Math.max(...seen))}` : "";
      return `${label} ${this.text(columns[name][index] ?? null)}${most}`;
    });
    mark(this.svg, "aria-label", `${this.title}: ${words.join("; ")}`);
  }

  #timeAt(offset) {
    const part = (offset - LEFT) / (this.width - LEFT - RIGHT);
    return this.from + Math.min(1, Math.max(0, part)) * (this.to - this.from);
  }
}

/** The next round number from here up. */
export function nice(value) {
  const size = 10 ** Math.floor(Math.log10(value));
  return [1, 1.5, 2, 3, 4, 5, 6, 8, 10].map((step) => step * size).find((step) => step >= value * 0.999) ?? value;
}

function firstAfter(times, from) {
  const index = times.findIndex((time) => time >= from);
  // One point before the edge, so that lines come in from it.
  return index < 0 ? times.length : Math.max(0, index - 1);
}

/** Stretches of `[time, value, index]` without a gap; where nothing was measured, or the process stood still, is a gap. */
function runs(times, values, first) {
  const all = [];
  let run = null;
  for (let index = first; index < times.length; index += 1) {
    if (values[index] === null) { run = null; continue; }
    if (run === null || times[index] - times[index - 1] > GAP) { run = []; all.push(run); }
    run.push([times[index], values[index], index]);
  }
  return all;
}

const at = (time, value, x, y) => `${Math.max(LEFT, x(time)).toFixed(1)} ${y(value).toFixed(1)}`;

function curve(run, x, y) {
  const line = run.map(([time, value]) => at(time, value, x, y)).join("L");
  // A point alone is a dot.
  return run.length === 1 ? `M${line}h.1` : `M${line}`;
}

function closed(run, lower, x, y) {
  const back = [...run].reverse().map(([time, , index]) => at(time, lower(index), x, y));
  return `M${run.map(([time, value]) => at(time, value, x, y)).join("L")}L${back.join("L")}Z`;
}

const HEIGHT = 104;
const LEFT = 44;
const RIGHT = 6;
const ABOVE = 8;
const BELOW = 16;

/** Points further apart, in milliseconds, are not joined. */
const GAP = 16000;
