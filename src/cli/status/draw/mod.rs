//! The picture of a status: words, the worst first; tables of the three tiers; what surrounds them.

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
use crate::telemetry::diagnosis::amount::seconds;

/// All of it, in order of weight: whoever sees only the beginning sees what matters.
pub(super) fn page(status: &Status, past: &Past, url: &str, width: usize) -> Page {
    let mut page = Page::new(width);
    head(&mut page, status, url);
    page.gap();
    words::tiers(&mut page, &status.tiers);
    facts::alarms(&mut page, status);
    page.gap();
    table::tiers(&mut page, &status.tiers);
    if let Some(history) = past {
        spark::tiers(&mut page, history);
    }
    page.gap();
    facts::surroundings(&mut page, status);
    page
}

/// Which gateway, under which policy.
fn head(page: &mut Page, status: &Status, url: &str) {
    let policy = &status.policy;
    let reload = match &policy.last_reload {
        None => "never reloaded".to_owned(),
        Some(last) => format!("last reload {} {}", last.result, time_of(&last.at, &status.time)),
    };
    let replicas = match status.share.replicas {
        _ if status.share.mode == "alone" => "alone".to_owned(),
        count => format!("{count} replicas"),
    };
    page.segments(
        Tone::Strong,
        &[format!("tidegate {} at {url}", status.version), time_of(&status.time, "")],
    );
    page.segments(
        Tone::Plain,
        &[
            status.backend.clone(),
            status.durability.clone(),
            format!("up {}", seconds(status.uptime_seconds)),
            replicas,
            format!("policy {} since {}", policy.revision, time_of(&policy.loaded_at, &status.time)),
            reload,
        ],
    );
}
