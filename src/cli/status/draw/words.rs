//! The tiers in words, as the gateway says them: state, why, who is refused until when, what to turn.

use crate::cli::status::document::{TierStatus, Tiers};
use crate::cli::status::draw::lines::{Page, Tone};
use crate::domain::tier::Tier;
use crate::telemetry::diagnosis::Severity;

/// The worst first; those that are calm in one line.
pub(super) fn tiers(page: &mut Page, tiers: &Tiers) {
    let (calm, others): (Vec<_>, Vec<_>) =
        tiers.worst_first().into_iter().partition(|(_, status)| status.state.severity == Severity::Calm);
    for (tier, status) in others {
        told(page, tier, status);
    }
    let names: Vec<String> = calm.iter().map(|(tier, _)| tier.as_priority().to_owned()).collect();
    if !names.is_empty() {
        page.paragraph(Tone::Plain, &lead("calm"), &format!("{}: all that comes is taken", names.join(", ")));
    }
}

fn told(page: &mut Page, tier: Tier, status: &TierStatus) {
    let state = &status.state;
    let word = match state.severity {
        Severity::Critical => "CRITICAL",
        Severity::Warning => "WARNING",
        Severity::Notice | Severity::Calm => state.severity.as_str(),
    };
    let sentence = format!("{} {}", tier.as_priority(), state.sentence);
    page.paragraph(Tone::from(state.severity), &lead(word), &sentence);
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
