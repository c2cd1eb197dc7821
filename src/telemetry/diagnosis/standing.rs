//! Which state a tier is in, how much that matters, and the sentence that says it with its numbers.

use std::time::Duration;

use crate::domain::tier::Tier;
use crate::regulator::report::Signal;
use crate::regulator::settings::OnStale;
use crate::telemetry::diagnosis::amount::{jobs, rate, seconds};
use crate::telemetry::diagnosis::{Cause, Scene, Severity, State, name, waiting};

/// The first state that holds.
pub(super) fn state(scene: &Scene<'_>) -> State {
    let report = scene.report;
    if report.spooling {
        State::Spooling
    } else if scene.outage.is_some() {
        State::Away
    } else if report.signal == Signal::Stale {
        State::SignalLost
    } else if scene.flow.unstored > 0.0 {
        State::Failing
    } else if report.full || scene.flow.queue_full > 0.0 {
        State::Full
    } else if report.shedding {
        State::Shed
    } else if scene.yields_to.is_some() {
        State::Yielding
    } else if is_stalled(scene) {
        State::Stalled
    } else if scene.deleted_in.is_some_and(|time| time < DELETED_SOON) {
        State::Expiring
    } else if scene.flow.throttled > 0.0 || is_held(scene) {
        State::Throttled
    } else if scene.flow.overloaded > 0.0 {
        State::Overloaded
    } else if scene.flow.over_quota > 0.0 {
        State::OverQuota
    } else if report.signal == Signal::Modelled {
        State::SignalLate
    } else if report.signal == Signal::Awaited {
        State::Waiting
    } else {
        State::Calm
    }
}

/// Nobody asks at this moment, but who asked of late was told to come back, and there is still no room.
fn is_held(scene: &Scene<'_>) -> bool {
    let report = scene.report;
    scene.returns.count > 0
        && scene.flow.refused() <= 0.0
        && report.target_depth > 0.0
        && report.backlog.depth() as f64 >= report.target_depth
}

/// Jobs wait, and none was taken for longer than pauses between polls and attempts explain.
fn is_stalled(scene: &Scene<'_>) -> bool {
    let report = scene.report;
    let patience = match scene.tier {
        Tier::P0 => STALLED_AFTER,
        Tier::P1 => 3 * STALLED_AFTER,
        Tier::P2 => 12 * STALLED_AFTER,
    };
    let old = report.backlog.oldest_age.is_some_and(|age| age >= patience.saturating_add(scene.retries));
    old && scene.drain() <= 0.0
}

/// Critical work matters more, work that waits by design less.
pub(super) fn severity(scene: &Scene<'_>, state: State, cause: Option<Cause>) -> Severity {
    let refuses = scene.flow.refused() > 0.0;
    match (state, scene.tier) {
        (State::Away | State::Full, _) => Severity::Critical,
        (State::Failing, Tier::P2) => Severity::Warning,
        (State::Failing, _) | (State::Overloaded, Tier::P0) => Severity::Critical,
        (State::Overloaded, _) => Severity::Warning,
        (State::SignalLost, Tier::P2) if scene.settings.on_stale != OnStale::Open => Severity::Warning,
        (State::SignalLost, _) => Severity::Critical,
        (State::Shed | State::Stalled, Tier::P2) => Severity::Warning,
        (State::Shed | State::Stalled, _) => Severity::Critical,
        (State::Expiring, _) if scene.deleted_in.is_some_and(|time| time < DELETED_AT_ONCE) => {
            Severity::Critical
        }
        (State::Spooling | State::Yielding | State::Expiring, _) => Severity::Warning,
        (State::Throttled, Tier::P0) if refuses => Severity::Critical,
        // More demand is what the gate is for; less drain is somebody's business.
        (State::Throttled, _) if cause == Some(Cause::Drain) => Severity::Warning,
        (State::Throttled | State::OverQuota | State::SignalLate | State::Waiting, _) => Severity::Notice,
        (State::Calm, _) if refuses => Severity::Notice,
        (State::Calm, _) => Severity::Calm,
    }
}

/// The state with its numbers.
pub(super) fn sentence(scene: &Scene<'_>, state: State) -> String {
    let (tier, report) = (name(scene.tier), scene.report);
    let depth = jobs(report.backlog.depth());
    let target = jobs(report.target_depth.round() as u64);
    match state {
        State::Away if scene.is_embedded => {
            format!("{tier} refused: the queue's file cannot be written; {depth} wait in it")
        }
        State::Away => {
            format!("{tier} refused: the backend is away; {depth} were waiting when it was last read")
        }
        State::Spooling => format!(
            "{tier} spooling: the backend is away; jobs are taken onto this machine's disk, {} so far",
            jobs(scene.spooled)
        ),
        State::SignalLost => lost(scene),
        State::Full => full(scene),
        State::Shed => shed(scene),
        State::Yielding => {
            let higher = scene.yields_to.map_or("a higher tier", name);
            format!("{tier} yields: refused while {higher} is at its bound; depth {depth}, target {target}")
        }
        State::Stalled => format!("{tier} stalled: {}, and no worker takes any", waiting(scene)),
        State::Expiring => {
            let time = scene.deleted_in.map_or(0.0, |time| time.as_secs_f64());
            format!("{tier} expiring: the backend deletes unread jobs in {} at this pace", seconds(time))
        }
        State::Throttled => format!(
            "{tier} throttled: depth {depth} of target {target}; {} asked for, {} let in",
            rate(scene.flow.demand),
            rate(scene.flow.admitted)
        ),
        State::Failing => {
            let failing = rate(scene.flow.unstored);
            format!("{tier} failing: {failing} of {} could not be stored", rate(scene.flow.demand))
        }
        State::Overloaded => format!(
            "{tier} overloaded: the gateway protects itself and turns {} of {} away",
            rate(scene.flow.overloaded),
            rate(scene.flow.demand)
        ),
        State::OverQuota => format!(
            "{tier} over quota: {} of {} are beyond their tenant's own rate; all else is taken",
            rate(scene.flow.over_quota),
            rate(scene.flow.demand)
        ),
        State::SignalLate => format!(
            "{tier} on its model: the backlog was read {} ago; depth about {}",
            age(scene),
            jobs(report.predicted_depth.round() as u64)
        ),
        State::Waiting => format!("{tier} waiting: the backlog has not been read yet"),
        State::Calm => format!(
            "{tier} calm: depth {depth} of target {target}; {} let in, workers take {}",
            rate(scene.flow.admitted),
            rate(scene.drain())
        ),
    }
}

fn age(scene: &Scene<'_>) -> String {
    scene.report.signal_age.map_or_else(|| "never".to_owned(), |age| seconds(age.as_secs_f64()))
}

fn lost(scene: &Scene<'_>) -> String {
    let rule = match scene.settings.on_stale {
        OnStale::Hold => format!(
            "hold: {} let in at most, as workers last took",
            rate(scene.report.rate.jobs_per_second())
        ),
        OnStale::Floor => format!("floor: {} let in at most", rate(scene.report.rate.jobs_per_second())),
        OnStale::Shut => "shut: every job is refused".to_owned(),
        OnStale::Open => "open: every job is let in up to the hard bound".to_owned(),
    };
    let when = match scene.report.signal_age {
        Some(_) => format!("the backlog was last read {} ago", age(scene)),
        None => "the backlog was never read".to_owned(),
    };
    format!("{} without a signal: {when}; on_stale is {rule}", name(scene.tier))
}

fn full(scene: &Scene<'_>) -> String {
    if !scene.report.full {
        let depth = jobs(scene.report.backlog.depth());
        return format!("{} full: the queue holds as many bytes as it may; depth {depth}", name(scene.tier));
    }
    let bound = scene.settings.max_depth;
    format!(
        "{} full: depth {} at the hard bound {}; {}",
        name(scene.tier),
        jobs(scene.report.backlog.depth()),
        jobs(bound),
        when_below(scene, "reopens below it", bound)
    )
}

fn shed(scene: &Scene<'_>) -> String {
    let (tier, depth) = (name(scene.tier), scene.report.backlog.depth());
    match scene.settings.shed {
        Some(thresholds) if depth >= thresholds.until => {
            let place = if depth >= thresholds.at { "above" } else { "once above" };
            let reopens = format!("reopens below {}", jobs(thresholds.until));
            let when = when_below(scene, &reopens, thresholds.until);
            format!("{tier} shed: depth {} {place} {}; {when}", jobs(depth), jobs(thresholds.at))
        }
        _ => {
            let headroom = scene.report.backlog.headroom.map_or(0.0, |time| time.as_secs_f64());
            let until = scene.settings.retention.map_or(0.0, |thresholds| thresholds.until.as_secs_f64());
            format!(
                "{tier} shed: the oldest unread job is deleted in {}; reopens with {} left",
                seconds(headroom),
                seconds(until)
            )
        }
    }
}

/// When the depth will be below a mark, while nothing is let in.
fn when_below(scene: &Scene<'_>, what: &str, mark: u64) -> String {
    let drain = scene.drain();
    let above = scene.report.backlog.depth().saturating_sub(mark).saturating_add(1);
    if drain <= 0.0 {
        return format!("{what}, and no worker takes any");
    }
    format!("{what}, in about {} at this drain", seconds((above as f64 / drain).max(1.0)))
}

/// Unread jobs that are deleted within this time are somebody's business now.
const DELETED_SOON: Duration = Duration::from_secs(2 * 3_600);
const DELETED_AT_ONCE: Duration = Duration::from_secs(600);

/// Workers that poll take longer pauses than a control step, and shorter ones than this; those of work that may wait
/// longer ones.
const STALLED_AFTER: Duration = Duration::from_secs(10);
