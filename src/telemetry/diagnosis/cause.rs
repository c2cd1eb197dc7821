//! What is behind a state: demand, drain, a lost signal or another; and what to turn.

use crate::regulator::settings::OnStale;
use crate::telemetry::diagnosis::amount::{rate, seconds};
use crate::telemetry::diagnosis::{Cause, Scene, State, name};
use crate::telemetry::families::OVERLOADED;

/// What is behind a state; nothing where nothing is wrong.
pub(super) fn of(scene: &Scene<'_>, state: State) -> Option<Cause> {
    match state {
        State::Away | State::Spooling | State::Failing => Some(Cause::Backend),
        State::Overloaded => Some(Cause::Gateway),
        State::OverQuota => Some(Cause::Quota),
        State::SignalLost | State::SignalLate => Some(Cause::Signal),
        State::Yielding => Some(Cause::HigherTier),
        State::Expiring => Some(Cause::Retention),
        State::Stalled => Some(Cause::Drain),
        State::Full | State::Shed | State::Throttled => Some(pressed(scene)),
        State::Waiting | State::Calm => None,
    }
}

/// More than fits comes in, or less than usual goes out.
fn pressed(scene: &Scene<'_>) -> Cause {
    let drain = scene.drain();
    let has_fallen = scene.usual_drain.is_some_and(|usual| drain < FALLEN * usual);
    if has_fallen || drain <= 0.0 {
        Cause::Drain
    } else if scene.flow.demand - scene.flow.over_quota > drain {
        Cause::Demand
    } else {
        Cause::Backlog
    }
}

/// The cause with its numbers.
pub(super) fn reason(scene: &Scene<'_>, cause: Cause) -> String {
    let drain = scene.drain();
    let (demand, taken) = (rate(scene.flow.demand), rate(drain));
    match cause {
        Cause::Demand => {
            let times = scene.flow.demand / drain;
            let digits = usize::from(times < 10.0);
            format!("demand: {demand} are asked for, {times:.digits$} times what workers take ({taken})")
        }
        Cause::Drain => match scene.usual_drain {
            Some(usual) if drain > 0.0 => {
                format!("drain: workers take {taken}; in the last hour {} was usual", rate(usual))
            }
            Some(usual) => format!("drain: no worker takes jobs; in the last hour {} was usual", rate(usual)),
            None => "drain: no worker takes jobs, and none was seen yet".to_owned(),
        },
        Cause::Backlog => format!(
            "backlog: what waits came in before, or past this gateway; {demand} are asked for now, workers take {taken}"
        ),
        Cause::Signal => match scene.report.signal_age {
            Some(age) => format!("signal: the backlog was last read {} ago", seconds(age.as_secs_f64())),
            None => "signal: the backlog was never read".to_owned(),
        },
        Cause::Backend => match scene.outage {
            Some(detail) => format!("backend: {detail}"),
            None if scene.flow.unstored > 0.0 => "backend: it does not store jobs, or not in time".to_owned(),
            None => "backend: it is away".to_owned(),
        },
        Cause::HigherTier => {
            let higher = scene.yields_to.map_or("a higher tier", name);
            format!("higher tier: {higher} is at its bound and needs the workers")
        }
        Cause::Retention => "retention: workers read more slowly than the backend deletes".to_owned(),
        Cause::Quota => match scene.loudest {
            Some(tenant) => {
                format!("quota: a tenant asks for more than its own rate; {tenant} asks for most")
            }
            None => "quota: a tenant asks for more than its own rate".to_owned(),
        },
        Cause::Gateway => {
            "gateway: it holds as many connections, bytes, batches or waiting jobs as it may".to_owned()
        }
    }
}

/// What to turn.
pub(super) fn advice(scene: &Scene<'_>, state: State, cause: Cause) -> String {
    let (tier, queue) = (scene.tier, scene.queue);
    match cause {
        Cause::Demand | Cause::Drain | Cause::Backlog if state == State::Full && !scene.report.full => {
            format!("add workers for {queue}: room comes as jobs are done; or raise embedded.max_bytes")
        }
        Cause::Demand => {
            let knob = match state {
                State::Full => "max_depth",
                State::Shed => "shed",
                _ => "target",
            };
            format!(
                "add workers for {queue}, or ask its senders for less; tiers.{tier}.{knob} lets more wait, for longer"
            )
        }
        Cause::Drain => {
            format!("look at the workers of {queue}: are they running, and what do they wait for")
        }
        Cause::Backlog => {
            format!("wait, or add workers for {queue}; look for other producers, and for what was replayed")
        }
        Cause::Signal => {
            let rule = match scene.settings.on_stale {
                OnStale::Hold => "hold",
                OnStale::Floor => "floor",
                OnStale::Shut => "shut",
                OnStale::Open => "open",
            };
            format!(
                "see why the backend does not answer (the log has it); until it does, tiers.{tier}.on_stale ({rule}) rules"
            )
        }
        Cause::Quota => {
            let tenant = scene.loudest.unwrap_or("NAME");
            format!("talk to the tenant, or raise tenants.{tenant}.rate; it takes nothing from others")
        }
        Cause::Gateway => {
            format!("see which limit in {}, and raise it in limits where the machine has room", OVERLOADED.name)
        }
        Cause::Backend if state == State::Failing => {
            "look at the backend, its disk and the way to it; the log says what it answers".to_owned()
        }
        Cause::Backend if state == State::Spooling => {
            "bring the backend back; what is spooled follows in order".to_owned()
        }
        Cause::Backend if scene.is_embedded => {
            "make room on the disk of embedded.path, or mend it; nothing accepted is lost, and it goes on by itself".to_owned()
        }
        Cause::Backend => format!(
            "bring the backend back; nothing accepted is lost. tiers.{tier}.spool takes jobs meanwhile, where it is set"
        ),
        Cause::HigherTier => {
            let higher = scene.yields_to.map_or("the higher tier", name);
            format!("help {higher} first; this tier opens by itself. tiers.{tier}.yields decides")
        }
        Cause::Retention => format!("add workers for {queue}, or raise the retention of its topic"),
    }
}

/// A drain below this part of the usual one has fallen, as the control law sees it too.
const FALLEN: f64 = 0.7;
