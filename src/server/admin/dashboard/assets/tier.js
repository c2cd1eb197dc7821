// One tier: its state in words, where the depth stands between target and bounds, its numbers, its charts.

import { byId, element, mark, say } from "./elements.js";
import { jobs, number, percent, rate, seconds, unbroken } from "./amounts.js";
import { Chart } from "./chart.js";

const NAMES = { p0: "critical", p1: "standard", p2: "bulk" };

/** A shape beside each severity's colour. */
const SHAPES = { calm: "●", notice: "◆", warning: "▲", critical: "■" };

const CHARTS = [
  { title: "Depth", text: jobs, least: 10, lines: [
    { name: "depth", label: "jobs", area: true }, { name: "target", label: "target" }] },
  { title: "Jobs per second", text: rate, lines: [
    { name: "demand", label: "asked" }, { name: "admitted", label: "let in" }, { name: "drain", label: "drain" },
    { name: "rate", label: "may come in", off: true }] },
  { title: "Answers per second", text: rate, stack: true, lines: [
    { name: "admitted", label: "admitted" }, { name: "throttled", label: "throttled" }, { name: "shed", label: "shed" },
    { name: "refused_otherwise", label: "otherwise" }] },
  { title: "Waits", text: seconds, axis: seconds, lines: [
    { name: "oldest_age_seconds", label: "oldest job" }, { name: "retry_after_seconds", label: "Retry-After" }] },
];

const MORE = [
  { title: "Time to answer", text: seconds, axis: seconds, least: 0.001, lines: [
    { name: "latency_p50_seconds", label: "p50" }, { name: "latency_p99_seconds", label: "p99" }] },
  { title: "Lost per second", text: rate, lines: [
    { name: "expired", label: "expired" }, { name: "dead", label: "dead" }] },
  { title: "Age of the signal", text: seconds, axis: seconds, least: 0.5, lines: [{ name: "signal_age_seconds", label: "age" }] },
];

/** The numbers of this moment: what they are called, and what they are made of. */
const NUMBERS = [
  ["Depth", (tier) => jobs(tier.depth)],
  ["Target", (tier) => jobs(tier.target)],
  ["Oldest job", (tier) => seconds(tier.oldest_age_seconds)],
  // A pause between two acknowledgements is no end of all work: then those of the last seconds count, as in the sentence.
  ["Drain", (tier) => rate(tier.recent_drain || tier.flow.done)],
  ["Asked for", (tier) => rate(tier.flow.demand)],
  ["Let in", (tier) => rate(tier.flow.admitted)],
  ["May come in", (tier) => (tier.shedding || tier.full || (tier.outage !== null && !tier.spooling) ? "nothing" : rate(tier.rate))],
  ["Refused", (tier) => percent(tier.flow.demand > 0 ? refused(tier) / tier.flow.demand : 0)],
  ["Retry-After", (tier) => (tier.retry_after_seconds.count ? range(tier.retry_after_seconds) : "none given")],
  ["Signal", (tier) => `${tier.signal}, ${seconds(tier.signal_age_seconds)}`],
  ["Answered in", (tier) => (tier.latency_seconds.count ? `p50 ${seconds(tier.latency_seconds.p50)}` : "–")],
  ["p99 / slowest", (tier) => (tier.latency_seconds.count ? `${seconds(tier.latency_seconds.p99)} / ${seconds(tier.latency_seconds.max)}` : "–")],
  ["Expired", (tier) => `${rate(tier.flow.expired)}, ${jobs(tier.jobs.expired)} in all`],
  ["Dead letters", (tier) => `${rate(tier.flow.dead)}, ${jobs(tier.jobs.dead)} now`],
];

/** The median and the longest, or one where they are alike. */
function range({ p50, max }) {
  const [usual, longest] = [seconds(p50), seconds(max)];
  return usual === longest ? usual : `${usual} to ${longest}`;
}

/** Jobs refused each second. */
const refused = (tier) => tier.flow.throttled + tier.flow.shed + tier.flow.refused_otherwise;

/** The panel of one tier. */
export class TierPanel {
  constructor(tier, looking) {
    this.tier = tier;
    this.state = element("span", { class: "state" });
    this.sentence = element("p", { class: "sentence" });
    this.reason = element("p", { class: "reason" });
    this.refused = element("p", { class: "refused" });
    this.advice = element("p", { class: "advice" });
    this.gauge = new Gauge();
    this.numbers = NUMBERS.map(([name]) => [name, element("dd", {})]);
    this.charts = CHARTS.map((chart) => new Chart(chart));
    this.more = MORE.map((chart) => new Chart(chart));
    for (const chart of this.#all()) chart.looking = looking;
    const title = `${tier}-title`;
    this.node = element("article", { class: "tier", id: tier, "aria-labelledby": title },
      element("header", {},
        element("h2", { id: title }, element("span", { class: "tier-name" }, tier.toUpperCase()), ` ${NAMES[tier]} `, this.state),
        this.queue = element("p", { class: "soft" })),
      element("div", { class: "words" }, this.sentence, this.reason, this.refused, this.advice),
      this.gauge.node,
      element("dl", { class: "numbers" }, ...this.numbers.map(([name, node]) => element("div", {}, element("dt", {}, name), node))),
      ...this.charts.map(({ node }) => node),
      element("details", {}, element("summary", {}, "Time to answer, lost jobs, signal"), ...this.more.map(({ node }) => node)));
  }

  /** Shows a tier of a status. */
  show(tier) {
    const { word, severity, sentence, reason, refused: who, advice } = tier.state;
    mark(this.node, "data-severity", severity);
    say(this.state, `${SHAPES[severity]} ${word}`);
    say(this.queue, `${tier.queue}, ${tier.durability}${tier.spooling ? `, ${jobs(tier.spool_depth)} in the spool` : ""}`);
    say(this.sentence, unbroken(sentence));
    for (const [node, text, before] of [[this.reason, reason, ""], [this.refused, who, ""], [this.advice, advice, "Turn: "]]) {
      say(node, text ? before + unbroken(text) : "");
      node.hidden = !text;
    }
    this.gauge.show(tier);
    NUMBERS.forEach(([, of], index) => say(this.numbers[index][1], of(tier)));
    this.bounds = tier.bounds;
  }

  /** Draws the charts. */
  draw(view) {
    const { shed_at: at, shed_until: until, max_depth: most } = this.bounds;
    const marks = [
      { name: "shed-at", label: "shed", value: at },
      { name: "shed-until", label: "reopens", value: until, low: true },
      { name: "bound", label: "bound", value: most },
    ];
    const columns = view.tiers[this.tier];
    this.charts.forEach((chart, index) => chart.draw({ ...view, columns, marks: index === 0 ? marks : [] }));
    for (const chart of this.more) chart.draw({ ...view, columns });
  }

  #all() {
    return [...this.charts, ...this.more];
  }
}

/** Where the depth stands between nothing and the hard bound, the target and the thresholds between. */
class Gauge {
  constructor() {
    this.fill = element("span", { class: "fill" });
    this.ticks = Object.fromEntries(["target", "shed-until", "shed-at"].map((name) => [name, element("span", { class: `tick-mark ${name}` })]));
    this.bar = element("div", { class: "bar", role: "meter", "aria-label": "Depth", "aria-valuemin": 0 }, this.fill, ...Object.values(this.ticks));
    this.scale = element("p", { class: "scale soft" });
    this.node = element("div", { class: "gauge" }, this.bar, this.scale);
  }

  show({ depth, target, bounds }) {
    const { max_depth: most, shed_at: at, shed_until: until } = bounds;
    const part = (value) => `${Math.min(100, (100 * value) / most)}%`;
    // Through the style object, which the content security policy allows; attributes it would not.
    this.fill.style.width = part(depth);
    for (const [name, value] of [["target", target], ["shed-until", until], ["shed-at", at]]) {
      this.ticks[name].hidden = value === null;
      if (value !== null) this.ticks[name].style.left = part(value);
    }
    mark(this.bar, "aria-valuemax", most);
    mark(this.bar, "aria-valuenow", Math.min(depth, most));
    const shed = at === null ? "" : `reopens ${jobs(until)} · shed ${jobs(at)} · `;
    mark(this.bar, "aria-valuetext", `${jobs(depth)} jobs; target ${jobs(target)}, ${shed.replaceAll(" ·", ",")}bound ${jobs(most)}`);
    say(this.scale, `target ${jobs(target)} · ${shed}bound ${jobs(most)}`);
  }
}

/** The line of a tier in the summary: a link to its panel. */
export class SummaryLine {
  constructor(tier) {
    this.words = element("span", {});
    this.shape = element("b", {});
    this.node = element("li", {}, element("a", { href: `#${tier}` }, this.shape, " ", this.words));
    this.tier = tier;
  }

  show({ state, flow }) {
    mark(this.node, "data-severity", state.severity);
    say(this.shape, `${SHAPES[state.severity]} ${this.tier.toUpperCase()} ${state.word}`);
    const cause = state.cause ? `by ${state.cause}` : `${number(flow.admitted)}/s let in`;
    say(this.words, state.refused ? `${cause} · ${state.refused}` : cause);
  }
}

/** Says a state aloud when its word changes, not each second. */
export class Announcer {
  #last = {};

  show(tier, { word, sentence }) {
    const before = this.#last[tier];
    this.#last[tier] = word;
    if (before !== undefined && before !== word) say(byId("announcer"), `${tier.toUpperCase()} is ${word}. ${sentence}`);
  }
}
