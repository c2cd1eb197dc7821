//! The policy in force and the candidate in its shadow, as status shows them.

use schemars::JsonSchema;
use serde::Serialize;

use crate::domain::tier::{Tier, TierMap};
use crate::domain::time::Timestamp;
use crate::regulator::report::TickReport;
use crate::runtime::reload::Outcome;
use crate::runtime::reload::board::{Attempt, Board, Candidate};
use crate::runtime::shadow::tally::Shown;
use crate::server::admin::policy::{FaultBody, all};
use crate::server::fields::Text;
use crate::server::openapi::words;

/// The policy in force.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "PolicyStatus")]
pub(super) struct PolicyStatus {
    revision: String,
    /// The file that is watched.
    file: String,
    loaded_at: Text<Timestamp>,
    #[schemars(schema_with = "words::policy_source")]
    source: &'static str,
    /// Whether a rollback holds it until the file changes.
    pinned: bool,
    /// What was tried last since the start; null where nothing was.
    last_reload: Option<LastReload>,
}

#[derive(Serialize, JsonSchema)]
struct LastReload {
    at: Text<Timestamp>,
    #[schemars(schema_with = "words::policy_source")]
    source: &'static str,
    #[schemars(schema_with = "words::reload_attempt")]
    result: &'static str,
    /// What was wrong, where it was rejected: the first few.
    faults: Vec<FaultBody>,
    /// What is doubtful, where it was applied: the first few.
    warnings: Vec<FaultBody>,
}

/// The candidate, and what it would have answered.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ShadowStatus")]
pub(super) struct ShadowStatus {
    #[schemars(schema_with = "words::shadow_state")]
    state: &'static str,
    /// The file that the policy names; null where it names none.
    file: Option<String>,
    /// The candidate's.
    revision: Option<String>,
    /// Why nothing is in the shadow although the policy names a file: the first few faults.
    faults: Vec<FaultBody>,
    /// Since when it is compared with the policy in force.
    since: Option<Text<Timestamp>>,
    decisions: Vec<Decisions>,
    disagreements: Vec<Disagreements>,
    moves: Vec<Moves>,
    /// Decisions that were not put to it, since it was behind.
    dropped: u64,
    /// Its own law, in the state that is.
    tiers: Option<Laws>,
}

/// What it would have answered; no tier where its rules could not tell one.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ShadowDecisions")]
struct Decisions {
    #[schemars(schema_with = "words::tier_or_null")]
    tier: Option<&'static str>,
    #[schemars(schema_with = "words::verdict")]
    verdict: &'static str,
    count: u64,
}

/// Where one of the two admits and the other refuses, by the tier of the policy in force.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ShadowDisagreements")]
struct Disagreements {
    #[schemars(schema_with = "words::tier")]
    tier: &'static str,
    #[schemars(schema_with = "words::verdict")]
    acting: &'static str,
    #[schemars(schema_with = "words::verdict")]
    candidate: &'static str,
    count: u64,
}

/// Jobs that it would have put into another tier.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ShadowMoves")]
struct Moves {
    #[schemars(schema_with = "words::tier")]
    from: &'static str,
    #[schemars(schema_with = "words::tier")]
    to: &'static str,
    count: u64,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ShadowLaws")]
struct Laws {
    p0: Law,
    p1: Law,
    p2: Law,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ShadowLaw")]
struct Law {
    /// In jobs per second.
    rate: f64,
    /// The depth that it would steer to, in jobs.
    target: f64,
    pressure: f64,
    shedding: bool,
    full: bool,
}

impl PolicyStatus {
    pub(super) fn of(board: &Board) -> PolicyStatus {
        PolicyStatus {
            revision: board.revision.clone(),
            file: board.file.display().to_string(),
            loaded_at: Text(board.loaded_at),
            source: board.source.as_str(),
            pinned: board.pinned,
            last_reload: board.last_reload.as_ref().map(LastReload::of),
        }
    }
}

impl LastReload {
    fn of(attempt: &Attempt) -> LastReload {
        let rejected = attempt.outcome == Outcome::Rejected;
        let shown = || first(all(&attempt.faults));
        LastReload {
            at: Text(attempt.at),
            source: attempt.source.as_str(),
            result: attempt.outcome.as_str(),
            faults: if rejected { shown() } else { Vec::new() },
            warnings: if rejected { Vec::new() } else { shown() },
        }
    }
}

impl ShadowStatus {
    pub(super) fn of(candidate: &Candidate, shown: Option<Shown>) -> ShadowStatus {
        let (state, file, revision, faults) = match candidate {
            Candidate::None => ("off", None, None, Vec::new()),
            Candidate::On { file, revision } => ("on", Some(file), Some(revision.clone()), Vec::new()),
            Candidate::Faulty { file, faults } => ("faulty", Some(file), None, first(all(faults))),
        };
        let mut status = ShadowStatus {
            state,
            file: file.map(|file| file.display().to_string()),
            revision,
            faults,
            since: None,
            decisions: Vec::new(),
            disagreements: Vec::new(),
            moves: Vec::new(),
            dropped: 0,
            tiers: None,
        };
        if let Some(shown) = shown.filter(|_| state == "on") {
            status.count(&shown);
        }
        status
    }

    fn count(&mut self, shown: &Shown) {
        let tally = &shown.tally;
        self.since = Some(Text(shown.since));
        self.dropped = tally.dropped;
        self.tiers = shown.reports.as_ref().map(Laws::of);
        self.decisions.extend(tally.decisions.iter().map(|((tier, verdict), count)| Decisions {
            tier: tier.map(Tier::as_str),
            verdict: verdict.as_str(),
            count: *count,
        }));
        let disagreements = tally.disagreements.iter();
        self.disagreements.extend(disagreements.map(|((tier, acting, candidate), count)| Disagreements {
            tier: tier.as_str(),
            acting: acting.as_str(),
            candidate: candidate.as_str(),
            count: *count,
        }));
        self.moves.extend(tally.moves.iter().map(|((from, to), count)| Moves {
            from: from.as_str(),
            to: to.as_str(),
            count: *count,
        }));
    }
}

impl Laws {
    fn of(reports: &TierMap<TickReport>) -> Laws {
        let law = |tier: Tier| Law {
            rate: reports[tier].rate.jobs_per_second(),
            target: reports[tier].target_depth,
            pressure: reports[tier].pressure,
            shedding: reports[tier].shedding,
            full: reports[tier].full,
        };
        Laws { p0: law(Tier::P0), p1: law(Tier::P1), p2: law(Tier::P2) }
    }
}

/// Status goes out every second: of very many faults the first few are enough, of a very long one its beginning.
fn first(mut faults: Vec<FaultBody>) -> Vec<FaultBody> {
    faults.truncate(MOST_SHOWN);
    faults.iter_mut().for_each(|fault| fault.shorten(LONGEST_SHOWN));
    faults
}

const MOST_SHOWN: usize = 20;

/// In characters.
const LONGEST_SHOWN: usize = 500;
