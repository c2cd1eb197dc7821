// The dashboard: follows the gateway, shows what it says, and never lets what is old look live.

import { byId, element, mark, say } from "./elements.js";
import { clock, seconds } from "./amounts.js";
import { Gateway, Refused } from "./gateway.js";
import { Letters } from "./letters.js";
import { Series, TIERS } from "./series.js";
import { Surroundings } from "./surroundings.js";
import { Announcer, SummaryLine, TierPanel } from "./tier.js";

/** An event comes each second; after so many seconds without one the page is not live. */
const STALE_AFTER = 3;

/** How often the connection is looked at, and the longest pause between two tries, in milliseconds. */
const WATCH = 500;
const LONGEST_PAUSE = 8000;

/** Charts show a minute at least, in milliseconds. */
const YOUNG = 60000;

const gateway = new Gateway();
const series = new Series();
const announcer = new Announcer();
const surroundings = new Surroundings();
const letters = new Letters(gateway, failed);
const panels = new Map(TIERS.map((tier) => [tier, new TierPanel(tier, (time) => { hovered = time; draw(); })]));
const lines = new Map(TIERS.map((tier) => [tier, new SummaryLine(tier)]));
const spans = [...document.querySelectorAll("input[name=span]")];

/** The last status and when it came, by this machine's clock. */
let status = null;
let heard = -Infinity;
/** The time that a pointer is at. */
let hovered = null;
let why = "";
let nextTry = 0;
let attempts = 0;
let wake = () => {};
let tokenIsAsked = false;

byId("tiers").append(...[...panels.values()].map(({ node }) => node));
byId("summary").append(...[...lines.values()].map(({ node }) => node));
byId("surroundings").append(...surroundings.nodes);
for (const input of spans) input.addEventListener("change", draw);
byId("look").addEventListener("input", draw);
byId("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  gateway.useToken(byId("token-field").value.trim());
  byId("token-field").value = "";
  tokenIsAsked = false;
  wake();
});
setInterval(watch, WATCH);
follow();

/** For ever: load the hour, follow, and when that ends try again. */
async function follow() {
  for (;;) {
    try {
      series.load(await gateway.ask("v1/history"));
      await gateway.follow(hear);
      if (why === "") why = "the gateway ended the stream";
    } catch (error) {
      failed(error);
      if (!(error instanceof Refused && error.status === 401)) why = error instanceof Refused ? error.message : "the gateway cannot be reached";
    }
    watch();
    await pause();
  }
}

function hear(name, data) {
  if (name === "dropped") {
    why = data.reason === "draining" ? "the gateway is stopping" : "this page was too slow";
    return;
  }
  if (name !== "status") return;
  status = data;
  heard = performance.now();
  attempts = 0;
  why = "";
  askForToken(false);
  byId("board").hidden = false;
  series.add(status);
  show();
  watch();
}

function show() {
  say(byId("identity"), `${location.host} · ${status.backend}, ${status.durability} · policy ${status.policy_revision.slice(0, 8)} · up ${seconds(status.uptime_seconds)}`);
  for (const tier of TIERS) {
    const shown = status.tiers[tier];
    panels.get(tier).show(shown);
    lines.get(tier).show(shown);
    announcer.show(tier, shown.state);
  }
  const surrounding = surroundings.show(status);
  notice(status.edge.sentence === null ? surrounding : [status.edge.sentence, ...surrounding]);
  letters.show(status);
  draw();
}

/** What is wrong beside the tiers stands at the top. */
function notice(texts) {
  const list = byId("notices");
  list.hidden = texts.length === 0;
  while (list.children.length > texts.length) list.lastChild.remove();
  texts.forEach((text, index) => say(list.children[index] ?? list.appendChild(element("li")), text));
}

/** Draws the span that is chosen; looks at the moment of the pointer, or of the slider. */
function draw() {
  if (status === null) return;
  const span = Number(spans.find(({ checked }) => checked).value) * 1000;
  const to = series.times.at(-1);
  const first = series.times.findIndex((time) => time >= to - span);
  const slider = byId("look");
  const wasAtEnd = slider.value === slider.max;
  mark(slider, "max", Math.max(1, series.times.length - 1 - first));
  if (wasAtEnd) slider.value = slider.max;
  const slid = slider.value === slider.max ? null : first + Number(slider.value);
  const at = hovered === null ? slid : series.nearest(hovered);
  const words = at === null ? "now" : `${clock(series.times[at])}, ${seconds(Math.round((to - series.times[at]) / 1000))} ago`;
  say(byId("looked"), words);
  mark(slider, "aria-valuetext", words);
  // A young gateway fills the charts all the same.
  const from = Math.max(to - span, Math.min(series.times[0], to - YOUNG));
  for (const panel of panels.values()) panel.draw({ times: series.times, tiers: series.tiers, from, to, at });
}

/** Says how the connection stands; what is old is marked so, on the page and in its title. */
function watch() {
  const age = (performance.now() - heard) / 1000;
  const live = age < STALE_AFTER;
  const link = live ? "live" : status === null ? "connecting" : "lost";
  mark(document.body, "data-link", tokenIsAsked ? "locked" : link);
  const wait = Math.max(0, (nextTry - performance.now()) / 1000);
  const again = wait > 0.5 ? `Next try in ${Math.ceil(wait)} s.` : "Trying again …";
  say(byId("link-words"), tokenIsAsked ? "locked" : live ? "live" : link === "lost" ? `lost ${seconds(Math.round(age))} ago` : "connecting");
  const banner = byId("banner");
  const told = !live && !tokenIsAsked && (status !== null || why !== "");
  banner.hidden = !told;
  if (told && status !== null) say(banner, `Connection lost: ${why || "no news came"}. What you see is of ${clock(status.time)} and may be wrong by now. ${again}`);
  else if (told) say(banner, `Not connected: ${why}. ${again}`);
  mark(byId("board"), "aria-busy", live ? null : "true");
  document.title = title(live);
}

function title(live) {
  if (tokenIsAsked) return "token? · tidegate";
  if (!live) return status === null ? "tidegate" : "⚠ lost · tidegate";
  const worst = ["critical", "warning"].flatMap((severity) => TIERS.filter((tier) => status.tiers[tier].state.severity === severity));
  return worst.length === 0 ? "tidegate" : `${worst.map((tier) => `${tier.toUpperCase()} ${status.tiers[tier].state.word}`).join(", ")} · tidegate`;
}

function failed(error) {
  if (error instanceof Refused && error.status === 401) askForToken(true);
}

function askForToken(asked) {
  if (asked && !tokenIsAsked) {
    // Asked again after one was given: it was wrong.
    say(byId("token-wrong"), gateway.hasToken ? "This token is not the gateway's." : "");
    gateway.useToken(null);
  }
  tokenIsAsked = asked;
  const section = byId("token");
  if (section.hidden !== asked) return;
  section.hidden = !asked;
  if (asked) {
    byId("board").hidden = true;
    byId("token-field").focus();
  }
}

/** Until the next try; without a token until one is given. */
function pause() {
  const time = Math.min(LONGEST_PAUSE, 1000 * 2 ** attempts) * (0.75 + Math.random() / 2);
  attempts += 1;
  nextTry = performance.now() + time;
  return new Promise((resolve) => {
    wake = () => { nextTry = performance.now(); resolve(); };
    if (!tokenIsAsked) setTimeout(resolve, time);
  });
}
