//! What the state of a tier means, in words: what is wrong, why, who is refused until when, what to turn.
//!
//! Pure: a [`Scene`] of plain values goes in, a [`Diagnosis`] comes out. The dashboard and everything else that tells
//! operators of a tier says these words.

pub mod amount;
mod cause;
pub mod edge;
mod standing;
#[cfg(test)]
mod tests;

use std::time::Duration;

use crate::domain::tier::Tier;
use crate::regulator::report::TickReport;
use crate::regulator::settings::TierSettings;
use crate::telemetry::diagnosis::amount::{jobs, rate, seconds};
use crate::telemetry::flow::Flow;
use crate::telemetry::latency::Quantiles;

/// All that is known of a tier at one moment.
#[derive(Clone, Copy, Debug)]
pub struct Scene<'a> {
    /// Which tier.
    pub tier: Tier,
    /// Its queue.
    pub queue: &'a str,
    /// The last control step.
    pub report: &'a TickReport,
    /// What the policy says of it.
    pub settings: &'a TierSettings,
    /// What comes and goes.
    pub flow: Flow,
    /// The drain that its workers usually show, in jobs per second.
    pub usual_drain: Option<f64>,
    /// The Retry-After given of late.
    pub returns: Quantiles,
    /// Who asks for most of late.
    pub loudest: Option<&'a str>,
    /// The queue is the gateway's own, on its disk.
    pub is_embedded: bool,
    /// Why its backend is away.
    pub outage: Option<&'a str>,
    /// Jobs in the spool.
    pub spooled: u64,
    /// A higher tier at its bound, while this one yields.
    pub yields_to: Option<Tier>,
    /// Until unread jobs are deleted, at this pace.
    pub deleted_in: Option<Duration>,
    /// The pauses of a job that fails again and again, together: so long it waits without a worker being at fault.
    pub retries: Duration,
}

/// What it means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnosis {
    /// The state.
    pub state: State,
    /// How much it matters.
    pub severity: Severity,
    /// What is behind it, where something is wrong.
    pub cause: Option<Cause>,
    /// The state with its numbers.
    pub sentence: String,
    /// The cause with its numbers.
    pub reason: Option<String>,
    /// Who is refused, and until when.
    pub refused: Option<String>,
    /// What to turn.
    pub advice: Option<String>,
}

/// The state of a tier: the first that holds, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// The backend is away, and jobs are refused.
    Away,
    /// The backend is away, and jobs go to the spool.
    Spooling,
    /// The signal is lost, and `on_stale` rules.
    SignalLost,
    /// Jobs that the gate let in are not stored, or not in time.
    Failing,
    /// The depth is at its hard bound, or the queue at its bytes.
    Full,
    /// A threshold is crossed.
    Shed,
    /// Shed while a higher tier is at its bound.
    Yielding,
    /// Jobs wait, and no worker takes any.
    Stalled,
    /// The backend will delete unread jobs soon.
    Expiring,
    /// Held at its target: more is refused.
    Throttled,
    /// The gateway protects itself: it turns some away.
    Overloaded,
    /// Tenants ask for more than their own rates; all else is taken.
    OverQuota,
    /// The signal is late, and the law goes on by its model.
    SignalLate,
    /// No reading has come yet.
    Waiting,
    /// All that comes is taken.
    Calm,
}

/// How much a state matters; the order is that of weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Nothing to do.
    Calm,
    /// The gate does its work.
    Notice,
    /// Somebody should look.
    Warning,
    /// Somebody must act.
    Critical,
}

/// What is behind a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// More is asked for than workers take.
    Demand,
    /// Workers take less than usual, or nothing.
    Drain,
    /// What waits came in before, or past this gateway.
    Backlog,
    /// The backlog cannot be read.
    Signal,
    /// The backend is away.
    Backend,
    /// A higher tier needs the workers.
    HigherTier,
    /// The backend deletes what nobody has read.
    Retention,
    /// A tenant is beyond its own rate.
    Quota,
    /// The gateway is at one of its own limits.
    Gateway,
}

impl Scene<'_> {
    /// What workers take, in jobs per second. The law's reading is of the last moments: where a pause between two
    /// acknowledgements looks like the end of all, those of the last seconds count.
    fn drain(&self) -> f64 {
        let recent = self.report.recent_drain.jobs_per_second();
        if recent > 0.0 { recent } else { self.flow.done }
    }
}

impl Diagnosis {
    /// Says what a scene means.
    pub fn of(scene: &Scene<'_>) -> Diagnosis {
        let state = standing::state(scene);
        let cause = cause::of(scene, state);
        let severity = standing::severity(scene, state, cause);
        Diagnosis {
            state,
            severity,
            cause,
            sentence: standing::sentence(scene, state),
            reason: cause.map(|cause| cause::reason(scene, cause)),
            refused: refused(scene),
            advice: cause.map(|cause| cause::advice(scene, state, cause)),
        }
    }
}

impl State {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            State::Away => "backend away",
            State::Spooling => "spooling",
            State::SignalLost => "signal lost",
            State::Failing => "failing",
            State::Full => "full",
            State::Shed => "shed",
            State::Yielding => "yielding",
            State::Stalled => "stalled",
            State::Expiring => "expiring",
            State::Throttled => "throttled",
            State::Overloaded => "overloaded",
            State::OverQuota => "over quota",
            State::SignalLate => "signal late",
            State::Waiting => "waiting",
            State::Calm => "calm",
        }
    }

    /// Every word.
    pub const WORDS: &'static [&'static str] = &[
        State::Away.as_str(),
        State::Spooling.as_str(),
        State::SignalLost.as_str(),
        State::Failing.as_str(),
        State::Full.as_str(),
        State::Shed.as_str(),
        State::Yielding.as_str(),
        State::Stalled.as_str(),
        State::Expiring.as_str(),
        State::Throttled.as_str(),
        State::Overloaded.as_str(),
        State::OverQuota.as_str(),
        State::SignalLate.as_str(),
        State::Waiting.as_str(),
        State::Calm.as_str(),
    ];
}

impl Severity {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Severity::Calm => "calm",
            Severity::Notice => "notice",
            Severity::Warning => "warning",
            Severity::Critical => "critical",
        }
    }

    /// Every word.
    pub const WORDS: &'static [&'static str] = &[
        Severity::Calm.as_str(),
        Severity::Notice.as_str(),
        Severity::Warning.as_str(),
        Severity::Critical.as_str(),
    ];
}

impl Cause {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Cause::Demand => "demand",
            Cause::Drain => "drain",
            Cause::Backlog => "backlog",
            Cause::Signal => "signal",
            Cause::Backend => "backend",
            Cause::HigherTier => "higher tier",
            Cause::Retention => "retention",
            Cause::Quota => "quota",
            Cause::Gateway => "gateway",
        }
    }

    /// Every word.
    pub const WORDS: &'static [&'static str] = &[
        Cause::Demand.as_str(),
        Cause::Drain.as_str(),
        Cause::Backlog.as_str(),
        Cause::Signal.as_str(),
        Cause::Backend.as_str(),
        Cause::HigherTier.as_str(),
        Cause::Retention.as_str(),
        Cause::Quota.as_str(),
        Cause::Gateway.as_str(),
    ];
}

/// What a tier is for.
pub const fn name(tier: Tier) -> &'static str {
    match tier {
        Tier::P0 => "critical",
        Tier::P1 => "standard",
        Tier::P2 => "bulk",
    }
}

/// Who is refused, and until when.
fn refused(scene: &Scene<'_>) -> Option<String> {
    let Scene { flow, returns, .. } = scene;
    let refused = flow.refused();
    if refused <= 0.0 || flow.demand <= 0.0 {
        return None;
    }
    let percent = (100.0 * refused / flow.demand).clamp(1.0, 100.0);
    // Neither all nor nobody by rounding.
    let percent = if flow.admitted > 0.0 { percent.min(99.0) } else { percent };
    let asked = format!("{percent:.0} % of {} are refused", rate(flow.demand));
    if returns.count == 0 {
        return Some(asked);
    }
    let (usual, last) = (seconds(returns.p50), seconds(returns.max));
    Some(if usual == last {
        format!("{asked}, told to come back in {usual}")
    } else {
        format!("{asked}, told to come back in {usual} (median), {last} at most")
    })
}

/// How much there is, as part of a sentence.
fn waiting(scene: &Scene<'_>) -> String {
    let backlog = &scene.report.backlog;
    match backlog.oldest_age {
        Some(age) => format!("{} wait, the oldest for {}", jobs(backlog.waiting), seconds(age.as_secs_f64())),
        None => format!("{} wait", jobs(backlog.waiting)),
    }
}
