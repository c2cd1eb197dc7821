// Dead letters: the oldest of them, and the button that tries them again.

import { byId, element, say } from "./elements.js";
import { clock, jobs } from "./amounts.js";
import { TIERS } from "./series.js";

/** The panel of dead letters. */
export class Letters {
  #gateway;
  #failed;
  #shown = null;
  #asking = false;

  constructor(gateway, failed) {
    this.#gateway = gateway;
    this.#failed = failed;
    this.count = element("span", {});
    this.said = element("p", { role: "status", class: "said" });
    this.buttons = element("div", { class: "buttons" });
    this.rows = element("tbody", {});
    this.table = element("table", {},
      element("caption", { class: "hidden" }, "The oldest dead letters"),
      element("thead", {}, element("tr", {}, ...["Tier", "Type", "Died", "Attempts", "Reason", "Id", ""].map((name) =>
        element("th", { scope: "col" }, name || element("span", { class: "hidden" }, "Action"))))),
      this.rows);
    byId("letters").replaceChildren(
      element("h2", { id: "letters-title" }, "Dead letters ", this.count), this.buttons, this.said, this.table);
  }

  /** Asks for the list anew when the numbers of a status are others. */
  async show({ tiers }) {
    const now = TIERS.map((tier) => tiers[tier].jobs.dead);
    say(this.count, `(${jobs(now.reduce((sum, more) => sum + more, 0))})`);
    if (this.#asking || this.#shown === now.join()) return;
    this.#asking = true;
    try {
      const page = await this.#gateway.ask(`v1/dead-letters?limit=${SHOWN}`);
      this.#shown = now.join();
      this.#list(page.dead_letters, now);
    } catch (error) {
      say(this.said, `The list could not be read: ${error.message}`);
      this.#failed(error);
    } finally {
      this.#asking = false;
    }
  }

  #list(letters, counts) {
    this.table.hidden = letters.length === 0;
    if (letters.length === 0 && this.said.textContent === "") say(this.said, "There are none.");
    if (letters.length > 0 && this.said.textContent === "There are none.") say(this.said, "");
    this.buttons.replaceChildren(...TIERS.flatMap((tier, index) => {
      const count = Math.min(MOST, counts[index]);
      if (count === 0) return [];
      const words = `the ${count === counts[index] ? `${jobs(count)}` : `oldest ${jobs(count)}`} of ${tier.toUpperCase()}`;
      return [this.#button(`Replay ${words}`, words, { tier, limit: count })];
    }));
    this.rows.replaceChildren(...letters.map((letter) => this.#row(letter)));
  }

  #row({ id, tier, type, died_at: died, attempts, reason }) {
    const cell = (label, text) => element("td", { "data-label": label }, text);
    const button = this.#button("Replay", `${type ?? "the job"} ${id}`, { ids: [id] });
    button.setAttribute("aria-label", `Replay ${id}`);
    return element("tr", {}, cell("Tier", tier.toUpperCase()), cell("Type", type ?? "–"), cell("Died", clock(died)),
      cell("Attempts", jobs(attempts)), cell("Reason", reason || "–"), cell("Id", element("code", {}, id)), element("td", {}, button));
  }

  #button(text, words, selection) {
    const button = element("button", { type: "button" }, text);
    button.addEventListener("click", async () => {
      if (await confirmed(`Try ${words} again? Each passes the gate as a new job does: a shut tier refuses it. Attempts start again.`)) {
        await this.#replay(selection);
      }
    });
    return button;
  }

  async #replay(selection) {
    say(this.said, "Replaying …");
    try {
      const { results } = await this.#gateway.ask("v1/dead-letters/replay", selection);
      say(this.said, outcome(results));
      this.#shown = null;
    } catch (error) {
      say(this.said, `Not known whether it was replayed: ${error.message}`);
      this.#failed(error);
    }
  }
}

/** What became of them: "3 replayed, 1 refused (shed)". */
export function outcome(results) {
  const counts = new Map();
  for (const { status, code } of results) {
    const word = code ? `${status} (${code})` : status;
    counts.set(word, (counts.get(word) ?? 0) + 1);
  }
  if (counts.size === 0) return "There was nothing to replay.";
  return `${[...counts].map(([word, count]) => `${jobs(count)} ${word}`).join(", ")}.`;
}

/** Asks before it is done. */
function confirmed(words) {
  const dialog = byId("confirm");
  say(byId("confirm-words"), words);
  dialog.showModal();
  byId("confirm-no").focus();
  return new Promise((answer) => {
    const done = new AbortController();
    const end = (yes) => { done.abort(); dialog.close(); answer(yes); };
    byId("confirm-yes").addEventListener("click", () => end(true), done);
    byId("confirm-no").addEventListener("click", () => end(false), done);
    dialog.addEventListener("cancel", (event) => { event.preventDefault(); end(false); }, done);
  });
}

/** Letters that are listed. */
const SHOWN = 10;

/** Letters that one button replays. */
const MOST = 100;
