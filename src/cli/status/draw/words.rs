//! The tiers in words, as the gateway says them: state, why, who is refused until when, what to turn.

use crate::cli::status::document::{State, TierStatus, Tiers};
use crate::cli::status::draw::lines::{Page, Tone};
use crate::domain::tier::Tier;
use crate::telemetry::diagnosis::Severity;

/// The worst first; those that are calm in one line.
pub(super) fn tiers(page: &mut Page, tiers: &Tiers) {
    let (calm, others): (Vec<_>, Vec<_>) =
        tiers.worst_first().into_iter().partition(|(_, status)| status.state.severity == Severity::Calm);
    for (tier, status) in others {
        headline(page, tier, status);
        told(page, &status.state);
    }
    all_calm(page, &calm);
}

/// The worst of it alone, in a line or two.
pub(super) fn worst(page: &mut Page, tiers: &Tiers) {
    let all = tiers.worst_first();
    match all.first() {
        Some((tier, status)) if status.state.severity != Severity::Calm => headline(page, *tier, status),
        _ => all_calm(page, &all),
    }
}

fn all_calm(page: &mut Page, calm: &[(Tier, &TierStatus)]) {
    let names: Vec<String> = calm.iter().map(|(tier, _)| tier.as_priority().to_owned()).collect();
    if !names.is_empty() {
        page.paragraph(Tone::Plain, &lead("calm"), &format!("{}: all that comes is taken", names.join(", ")));
    }
}

fn headline(page: &mut Page, tier: Tier, status: &TierStatus) {
    let state = &status.state;
    let word = match state.severity {
        Severity::Critical => "CRITICAL",
        Severity::Warning => "WARNING",
        Severity::Notice | Severity::Calm => state.severity.as_str(),
    };
    let sentence = format!("{} {}", tier.as_priority(), state.sentence);
    page.paragraph(Tone::from(state.severity), &lead(word), &sentence);
}

fn told(page: &mut Page, state: &State) {
    for (name, text) in [("why", &state.reason), ("refused", &state.refused), ("turn", &state.advice)] {
        if let Some(text) = text {
            page.paragraph(Tone::Plain, &lead(name), text);
        }
    }
}

/// A word in the margin.
pub(super) fn lead(word: &str) -> String {
    format!("{word:<9} ")
}
