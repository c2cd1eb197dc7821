// What surrounds the tiers: policy, backend, replicas, tenants, retention.

import { element, mark, say } from "./elements.js";
import { clock, jobs, percent, seconds } from "./amounts.js";
import { TIERS } from "./series.js";

/** Panels of names and values. A value is a text, or `{ text, bad }` where it asks for somebody. */
const PANELS = { Policy: policy, "Backend and storage": backend, Replicas: replicas, "Who asks most": tenants, Gateway: gateway };

/** The panels below the tiers. */
export class Surroundings {
  constructor() {
    this.lists = Object.keys(PANELS).map((title) => [title, element("dl", { class: "facts" })]);
    this.nodes = this.lists.map(([title, list]) =>
      element("section", { class: "panel", "aria-label": title }, element("h2", {}, title), list));
  }

  /** Shows a status; returns what asks for somebody, as texts. */
  show(status) {
    return this.lists.flatMap(([title, list]) => {
      const facts = PANELS[title](status);
      fill(list, facts);
      return facts.filter(([, { bad }]) => bad).map(([name, { text }]) => `${name}: ${text}`);
    });
  }
}

function fill(list, facts) {
  while (list.children.length > facts.length) list.lastChild.remove();
  facts.forEach(([name, value], index) => {
    let row = list.children[index];
    if (!row) list.append((row = element("div", {}, element("dt", {}), element("dd", {}))));
    const { text, bad } = typeof value === "object" ? value : { text: value };
    say(row.firstChild, name);
    say(row.lastChild, text);
    mark(row, "class", bad ? "bad" : null);
  });
}

function policy({ policy: { revision, file, loaded_at: loaded, source, pinned, last_reload: last }, shadow }) {
  const facts = [
    ["Revision", revision],
    ["File", file],
    ["In force since", `${when(loaded)}, by ${source}`],
    ["Pinned", pinned ? { text: "yes: a rollback holds until the file changes", bad: true } : "no"],
  ];
  if (last === null) facts.push(["Last reload", "none since the start"]);
  else {
    const rejected = last.result === "rejected";
    const faults = last.faults.map(({ line, key, message }) => `${line === null ? "" : `line ${line}: `}${key ? `${key}: ` : ""}${message}`).join("; ");
    facts.push(["Last reload", { text: `${last.result} at ${when(last.at)}${rejected ? `; the policy from before stays. ${faults}` : ""}`, bad: rejected }]);
    if (last.warnings.length > 0) facts.push(["Doubts", { text: last.warnings.map(({ message }) => message).join("; "), bad: true }]);
  }
  return [...facts, ...shadowed(shadow)];
}

function shadowed({ state, file, revision, faults, disagreements, moves }) {
  if (state === "off") return [["Shadow", "none"]];
  if (state === "faulty") return [["Shadow", { text: `${file} is faulty: ${faults.map(({ message }) => message).join("; ")}`, bad: true }]];
  const count = (all) => all.reduce((sum, { count: more }) => sum + more, 0);
  return [["Shadow", `${file} (${revision}): ${jobs(count(disagreements))} answers would differ, ${jobs(count(moves))} tiers`]];
}

function backend({ backend: name, durability, tiers }) {
  const facts = [["Backend", name], ["Durability", durability]];
  const each = TIERS.map((tier) => [tier.toUpperCase(), tiers[tier]]);
  for (const [tier, { outage, spooling, spool_depth: spooled }] of each) {
    if (outage !== null) facts.push([`${tier} outage`, { text: outage, bad: true }]);
    if (spooling || spooled > 0) facts.push([`${tier} spool`, { text: `${jobs(spooled)} jobs${spooling ? ", more are going there" : ", being forwarded"}`, bad: true }]);
  }
  if (each.every(([, { spooling, spool_depth: spooled }]) => !spooling && spooled === 0)) facts.push(["Spool", "empty"]);
  for (const [tier, { groups, retention, topic, jobs: counts }] of each) {
    for (const { name: group, lag, pending, state, members } of groups) {
      const bad = state === "stalled" || (state === "empty" && lag > 0);
      facts.push([`${tier} group ${group}`, { text: `${state}: ${jobs(lag)} unread, ${jobs(pending)} under way${members === null ? "" : `, ${members} members`}`, bad }]);
    }
    if (topic?.hottest) facts.push([`${tier} hottest`, `partition ${topic.hottest.partition}: ${jobs(topic.hottest.lag)} (${percent(topic.hottest.share)})`]);
    if (retention !== null) facts.push([`${tier} retention`, headroom(retention)]);
    if (counts.lost > 0) facts.push([`${tier} lost`, { text: `${jobs(counts.lost)} deleted before they were read`, bad: true }]);
  }
  return facts;
}

function headroom({ limit_seconds: limit, headroom_seconds: left, deleted_in_seconds: deleted }) {
  if (limit === null) return "keeps jobs for ever, or it is not known";
  if (left === null) return `keeps jobs for ${seconds(limit)}; nothing waits`;
  const bad = (deleted ?? Infinity) < 7200;
  const pace = deleted === null ? "not shrinking" : `used up in ${seconds(deleted)} at this pace`;
  return { text: `${seconds(left)} of ${seconds(limit)} left, ${pace}`, bad };
}

function replicas({ share: { mode, replicas: count, fraction, age_seconds: age, unreadable } }) {
  if (mode === "alone") return [["Replicas", "this one alone"]];
  const parts = TIERS.map((tier) => `${tier.toUpperCase()} ${percent(fraction[tier])}`).join(", ");
  return [
    ["Replicas", `${count}, by ${mode}`],
    ["This one's part", parts],
    ["Others last heard", { text: age === null ? "never" : `${seconds(age)} ago`, bad: age === null || age > 5 }],
    ...(unreadable > 0 ? [["Unreadable", { text: jobs(unreadable), bad: true }]] : []),
  ];
}

function tenants({ tenants: all }) {
  if (all.length === 0) return [["Nobody", "asked of late"]];
  return all.map(({ name, asked_lately: asked, admitted, refused }) =>
    [name, `${jobs(asked)} of late; ${jobs(admitted)} let in and ${jobs(refused)} refused since it came`]);
}

function gateway({ version, phase, uptime_seconds: up, in_flight_requests: flying, event_listeners: listeners, keys, tls }) {
  return [
    ["Version", version],
    ["Phase", { text: phase, bad: phase !== "running" }],
    ["Up", seconds(up)],
    ["Requests in flight", jobs(flying)],
    ["Dashboards and scripts", jobs(listeners)],
    ...(keys === null ? [] : [["API keys", keys.fault === null ? jobs(keys.in_force) : { text: `${jobs(keys.in_force)} from before: ${keys.fault}`, bad: true }]]),
    ...certificates(tls),
  ];
}

function certificates(tls) {
  return Object.entries(tls).filter(([, it]) => it !== null).map(([listener, it]) => {
    const { not_after: until, last_reload: last } = it;
    const fault = last?.fault ?? null;
    const soon = until !== null && Date.parse(until) - Date.now() < WEEK;
    return [`Certificate of ${listener}`, { text: `${until === null ? "in force" : `until ${when(until)}`}${fault === null ? "" : `; not taken over: ${fault}`}`, bad: soon || fault !== null }];
  });
}

const when = (time) => {
  const date = new Date(time);
  return date.toDateString() === new Date().toDateString() ? clock(time) : `${time.slice(0, 16).replace("T", " ")} UTC`;
};

const WEEK = 7 * 86400 * 1000;
