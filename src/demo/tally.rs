//! The tally of a round, as a table.

use std::fmt::Write as _;

use crate::demo::book::{Account, Balance};
use crate::domain::tier::{Tier, TierMap};
use crate::telemetry::diagnosis::amount::jobs;
use crate::telemetry::diagnosis::name;

/// What the round came to, in words and figures; `held` is what the queue says it still has.
pub fn table(round: u32, balance: &Balance, held: &TierMap<u64>) -> String {
    let lost = balance.lost(held);
    let account = |of: fn(&Account) -> u64| TierMap::from_fn(|tier| of(&balance.accounts[tier]));
    let waiting = TierMap::from_fn(|tier| balance.open[tier] - lost[tier]);
    let mut rows = vec![
        ("jobs that clients had", account(|account| account.offered)),
        ("  stored, with a receipt", account(|account| account.stored)),
        ("  given up: told a time after closing", account(|account| account.left)),
        ("  without an answer", account(|account| account.unanswered)),
        ("refusals, each with its Retry-After", account(|account| account.refused)),
        ("  of them shed", account(|account| account.shed)),
        ("came back when told", account(|account| account.returned)),
        ("  and were stored then", account(|account| account.welcomed)),
        ("receipts done by workers", account(|account| account.done)),
        ("receipts still waiting", waiting),
        ("receipts lost", lost),
    ];
    // What went wrong has a row only when it did.
    rows.retain(|(what, figures)| *what != "  without an answer" || sum(figures) > 0);
    let mut text = format!("\ntally of round {round:<24}");
    for tier in Tier::ALL {
        let _ = write!(text, "{:>10}", name(tier));
    }
    for (what, figures) in &rows {
        let _ = write!(text, "\n  {what:<37}");
        for (_, figure) in figures.iter() {
            let _ = write!(text, "{:>10}", jobs(*figure));
        }
    }
    let stored = sum(&account(|account| account.stored));
    let refused = balance.accounts[Tier::P0].refused;
    let _ = write!(
        text,
        "\n  lost: {} of {} receipts, counted by their ids; critical refused: {}",
        jobs(sum(&lost)),
        jobs(stored),
        jobs(refused)
    );
    for (count, what) in [
        (balance.again, "jobs were done at a further attempt: their first worker had died, or was too slow"),
        (balance.others, "jobs were done that are not of the demo's clients: yours?"),
    ] {
        if count > 0 {
            let _ = write!(text, "\n  {} {what}", jobs(count));
        }
    }
    text.push('\n');
    text
}

/// Of all tiers.
pub fn sum(figures: &TierMap<u64>) -> u64 {
    figures.iter().map(|(_, figure)| figure).sum()
}
