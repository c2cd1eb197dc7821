//! The picture of a status: the tiers at a glance; words, the worst first; further numbers; what surrounds them.

mod amounts;
mod facts;
mod lines;
mod spark;
mod table;
mod words;

use crate::cli::status::Past;
use crate::cli::status::document::Status;
use crate::cli::status::draw::amounts::time_of;
pub(super) use crate::cli::status::draw::lines::{Line, Page, Tone};
use crate::cli::status::draw::table::Table;
use crate::telemetry::diagnosis::amount::seconds;

/// All of it, in order of weight: whoever sees only the beginning sees what matters.
pub(super) fn page(status: &Status, past: &Past, url: &str, width: usize) -> Page {
    let mut page = Page::new(width);
    let numbers = Table::of(&status.tiers, page.width());
    title(&mut page, status, url);
    terms(&mut page, status);
    page.gap();
    numbers.first(&mut page);
    page.gap();
    details(page, &numbers, status, past)
}

/// The same for a window that is too low for words below the first numbers: the worst of them stand above.
pub(super) fn low_page(status: &Status, past: &Past, url: &str, width: usize) -> Page {
    let mut page = Page::new(width);
    let numbers = Table::of(&status.tiers, page.width());
    title(&mut page, status, url);
    words::worst(&mut page, &status.tiers);
    numbers.first(&mut page);
    page.gap();
    terms(&mut page, status);
    page.gap();
    details(page, &numbers, status, past)
}

/// What stands below the tiers at a glance.
fn details(mut page: Page, numbers: &Table, status: &Status, past: &Past) -> Page {
    words::tiers(&mut page, &status.tiers);
    facts::alarms(&mut page, status);
    page.gap();
    numbers.further(&mut page);
    if let Some(history) = past {
        spark::tiers(&mut page, history);
    }
    page.gap();
    facts::surroundings(&mut page, status);
    page
}

/// Which gateway, and when.
fn title(page: &mut Page, status: &Status, url: &str) {
    let pieces = [format!("tidegate {} at {url}", status.version), time_of(&status.time, "")];
    page.segments(Tone::Strong, &pieces);
}

/// What it runs on, since when, and under which policy.
fn terms(page: &mut Page, status: &Status) {
    let policy = &status.policy;
    let reload = policy.last_reload.as_ref();
    let reload =
        reload.map(|last| format!("last reload {} {}", last.result, time_of(&last.at, &status.time)));
    let replicas = match status.share.replicas {
        _ if status.share.mode == "alone" => "alone".to_owned(),
        count => format!("{count} replicas"),
    };
    let mut pieces = vec![
        status.backend.clone(),
        status.durability.clone(),
        format!("up {}", seconds(status.uptime_seconds)),
        replicas,
        format!("policy {} since {}", policy.revision, time_of(&policy.loaded_at, &status.time)),
    ];
    pieces.extend(reload);
    page.segments(Tone::Plain, &pieces);
}

#[cfg(test)]
mod tests;
