//! Plays a policy for a short virtual while: does its controller hold the depth, or does it swing?
//!
//! Nobody knows yet what the workers will do. So every tier is played at the drain that its own `delay` speaks of (a fixed
//! depth at ten seconds' worth of drain), scaled to a few hundred jobs: the law knows shares and times, not magnitudes.
//! Three times as much is offered as the workers drain, and in between they become slower for a while.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::cli::check::advice::{Advice, advice};
use crate::control::settings::{ControllerSettings, Target};
use crate::domain::tier::{Tier, TierMap};
use crate::domain::units::Rate;
use crate::policy::Policy;
use crate::regulator::settings::{RegulatorSettings, TierSettings};
use crate::sim::laws::LawName;
use crate::sim::play::play;
use crate::sim::scenario::{Load, Scenario, Schedule};

/// A tier whose depth the controller does not hold.
#[derive(Clone, Debug)]
pub(super) struct Unsteady {
    /// What it does.
    pub(super) course: Course,
    /// In which way it is unsteady.
    pub(super) trouble: Trouble,
    /// What would calm it, if anything was found.
    pub(super) advice: Option<Advice>,
}

/// What one tier did.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Course {
    /// The tier.
    pub(super) tier: Tier,
    /// The virtual seconds between two points.
    pub(super) every: f64,
    /// The depth over the target at each point.
    pub(super) depths: Vec<f64>,
    /// The admission rate over the drain at each point.
    rates: Vec<f64>,
}

/// How a tier is unsteady, judged long after the last disturbance.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Trouble {
    /// The depth goes up and down between these shares of the target.
    Swings {
        /// The lowest.
        low: f64,
        /// The highest.
        high: f64,
    },
    /// The rate goes up and down between these multiples of the drain.
    Slams {
        /// The lowest.
        low: f64,
        /// The highest.
        high: f64,
    },
    /// The depth stays at this share of the target.
    Misses(f64),
}

/// Plays the policy under its controller. `None` where every tier is held.
pub(super) fn played(policy: &Policy) -> Option<Unsteady> {
    let settings = &policy.regulator;
    let (course, trouble) = trouble(settings, settings.controller)?;
    Some(Unsteady { course, trouble, advice: advice(settings) })
}

/// The tier with the worst trouble under this controller, where there is any.
pub(super) fn trouble(
    settings: &RegulatorSettings,
    controller: ControllerSettings,
) -> Option<(Course, Trouble)> {
    let duration = duration(controller.interval);
    let (scenario, drains) = scenario(settings, controller, duration);
    let played = play(&scenario, LawName::Tidegate);
    let every = played.trace.slice.as_secs_f64();
    let course = |tier: Tier| {
        let slices = &played.trace.tiers[tier];
        Course {
            tier,
            every,
            depths: slices.iter().map(|slice| slice.depth as f64 / slice.target.max(1.0)).collect(),
            rates: slices.iter().map(|slice| slice.rate / drains[tier]).collect(),
        }
    };
    Tier::ALL.into_iter().map(course).find_map(|course| Some((course.clone(), course.trouble()?)))
}

impl fmt::Display for Unsteady {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (tier, seconds) = (self.course.tier, self.course.seconds());
        match self.trouble {
            Trouble::Swings { low, high } => write!(
                f,
                "unstable: played for {seconds:.0} virtual seconds, the depth of {tier} swings between {low:.2} and \
                 {high:.2} of its target"
            )?,
            Trouble::Slams { low, high } => write!(
                f,
                "unstable: played for {seconds:.0} virtual seconds, the admission rate of {tier} swings between \
                 {low:.1} and {high:.1} times the drain"
            )?,
            Trouble::Misses(mean) => write!(
                f,
                "played for {seconds:.0} virtual seconds, the depth of {tier} stays at {mean:.2} of its target"
            )?,
        }
        match &self.advice {
            Some(Advice { knob, value }) => write!(f, "; with controller.{knob}: {value} it is held"),
            None => write!(f, "; no single knob of the controller holds it"),
        }
    }
}

impl Course {
    /// How long it was played, in virtual seconds.
    pub(super) fn seconds(&self) -> f64 {
        self.every * self.depths.len() as f64
    }

    /// The course of a tier of which only the depth is known.
    #[cfg(test)]
    pub(super) const fn new(tier: Tier, every: f64, depths: Vec<f64>) -> Course {
        Course { tier, every, depths, rates: Vec::new() }
    }

    fn trouble(&self) -> Option<Trouble> {
        let (depths, rates) = (tail(&self.depths), tail(&self.rates));
        let (low, high) = ends(depths);
        if turns(depths, SWING) >= MANY_TURNS {
            return Some(Trouble::Swings { low, high });
        }
        let mean = depths.iter().sum::<f64>() / depths.len().max(1) as f64;
        if !(LEAST_HELD..=MOST_HELD).contains(&mean) {
            return Some(Trouble::Misses(mean));
        }
        let (low, high) = ends(rates);
        (turns(rates, SLAM) >= MANY_TURNS).then_some(Trouble::Slams { low, high })
    }
}

/// The tiers at their own drains, and these drains in jobs per second.
fn scenario(
    settings: &RegulatorSettings,
    controller: ControllerSettings,
    duration: Duration,
) -> (Scenario, TierMap<f64>) {
    let seconds = TierMap::from_fn(|tier| worth(settings.tiers[tier].target, controller.interval));
    let turnover: f64 = seconds.iter().map(|(_, seconds)| 1.0 / seconds).sum();
    let jobs = MOST_ARRIVALS / (OFFERED * duration.as_secs_f64() * turnover);
    let jobs = jobs.clamp(FEWEST_JOBS, MOST_JOBS);
    let drains = TierMap::from_fn(|tier| (jobs / seconds[tier]).clamp(SLOWEST_DRAIN, FASTEST_DRAIN));
    let jobs = TierMap::from_fn(|tier| (drains[tier] * seconds[tier]) as u64);
    let tiers = TierMap::from_fn(|tier| law(&settings.tiers[tier], controller.interval, jobs[tier]));
    let part = |share: f64| duration.mul_f64(share);
    let load = |tier: Tier| {
        let drain: f64 = drains[tier];
        let slower = vec![(part(0.0), drain), (part(0.3), SLOWER * drain), (part(0.5), drain)];
        Load {
            offered: Schedule::constant(OFFERED * drain),
            drain: Schedule::new(slower),
            backlog: jobs[tier],
            ..Load::default()
        }
    };
    let scenario = Scenario {
        duration,
        regulator: RegulatorSettings { controller, tiers, tenants: Arc::default() },
        tiers: TierMap::from_fn(load),
        ..Scenario::default()
    };
    (scenario, drains)
}

/// The tier's law at this magnitude, with nothing but the controller to hold it.
fn law(law: &TierSettings, interval: Duration, jobs: u64) -> TierSettings {
    let target = match law.target {
        Target::Depth(_) => Target::Depth(jobs),
        Target::Delay { delay, .. } => {
            let delay = played_delay(delay, interval);
            Target::Delay { delay, at_least: (jobs / ROOM).max(1), at_most: jobs * ROOM }
        }
    };
    let mut law = TierSettings { target, shed: None, retention: None, yields: false, ..*law };
    law.max_depth = jobs * ROOM * 2;
    (law.rate.min, law.rate.max) = (Rate::saturating(0.0), None);
    law
}

/// The delay, or the least that differs: far below the interval no delay is held, however long.
fn played_delay(delay: Duration, interval: Duration) -> Duration {
    delay.max(interval / HOPELESS).max(SHORTEST)
}

/// The time in which the workers take a target's worth of jobs, in seconds.
fn worth(target: Target, interval: Duration) -> f64 {
    match target {
        Target::Delay { delay, .. } => played_delay(delay, interval).as_secs_f64(),
        Target::Depth(_) => FIXED_SECONDS.max(FIXED_TICKS * interval.as_secs_f64()),
    }
}

/// Long enough for the controller to settle twice.
fn duration(interval: Duration) -> Duration {
    (interval * TICKS).clamp(SHORTEST_PLAY, LONGEST_PLAY)
}

/// The part that is judged.
fn tail(points: &[f64]) -> &[f64] {
    points.get(points.len() * 7 / 10..).unwrap_or_default()
}

fn ends(points: &[f64]) -> (f64, f64) {
    let low = points.iter().copied().fold(f64::INFINITY, f64::min);
    (low, points.iter().copied().fold(0.0, f64::max))
}

/// How often the course turns after it went at least this far.
fn turns(points: &[f64], far: f64) -> usize {
    let Some(first) = points.first() else { return 0 };
    let (mut extreme, mut rising, mut count) = (*first, true, 0);
    for point in points {
        if (rising && *point > extreme) || (!rising && *point < extreme) {
            extreme = *point;
        } else if (point - extreme).abs() > far {
            (extreme, rising) = (*point, !rising);
            count += 1;
        }
    }
    count
}

/// A tier is offered so many times what its workers drain.
const OFFERED: f64 = 3.0;

/// The workers' share of their rate while they are slower.
const SLOWER: f64 = 0.6;

/// A fixed depth says nothing about time: it is played at so many seconds' worth of drain, and never so few that its
/// controller would be blind.
const FIXED_SECONDS: f64 = 10.0;
const FIXED_TICKS: f64 = 40.0;

/// The shortest delay that is played, and the part of an interval below which it makes no difference.
const SHORTEST: Duration = Duration::from_millis(10);
const HOPELESS: u32 = 10;

/// So many jobs are a target's worth, as few as keep a play within these arrivals.
const MOST_JOBS: f64 = 400.0;
const FEWEST_JOBS: f64 = 40.0;
const MOST_ARRIVALS: f64 = 150_000.0;

/// Fewer jobs per second would come one by one: what looks like a swing would be counting.
const SLOWEST_DRAIN: f64 = 100.0;

/// More would take too long to play: a target of a few jobs tells enough of a delay that is so short.
const FASTEST_DRAIN: f64 = 1_000.0;

/// The target may go this many times up and down.
const ROOM: u64 = 8;

const TICKS: u32 = 40;
const SHORTEST_PLAY: Duration = Duration::from_secs(60);
const LONGEST_PLAY: Duration = Duration::from_secs(240);

/// A swing of the depth, as a share of the target; one of the rate, as a share of the drain; and so many turns of it that
/// it is none of chance.
const SWING: f64 = 0.15;
const SLAM: f64 = 1.0;
const MANY_TURNS: usize = 5;

/// The mean depth is held within these shares of the target.
const LEAST_HELD: f64 = 0.6;
const MOST_HELD: f64 = 1.3;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::compile::compile;

    fn settings(document: &str) -> RegulatorSettings {
        compile(document, "test").unwrap().policy.regulator
    }

    fn under(controller: ControllerSettings) -> Option<Trouble> {
        trouble(&settings(QUICK), controller).map(|(_, trouble)| trouble)
    }

    #[test]
    fn the_usual_controller_holds_what_is_shipped() {
        for document in [
            "",
            include_str!("../../../policies/flash-sale.yaml"),
            include_str!("../../../policies/webhooks.yaml"),
            QUICK,
        ] {
            let settings = settings(document);
            assert_eq!(trouble(&settings, settings.controller).map(|(_, trouble)| trouble), None);
        }
    }

    #[test]
    fn knobs_within_reason_are_let_pass() {
        let usual = ControllerSettings::DEFAULT;
        for kp in [0.1, 0.5, 2.0, 100.0] {
            assert_eq!(under(ControllerSettings { kp, ..usual }), None, "kp {kp}");
        }
        for ki in [0.0, 0.01, 0.25, 100.0] {
            assert_eq!(under(ControllerSettings { ki, ..usual }), None, "ki {ki}");
        }
        for kd in [0.1, 0.5, 1.0] {
            assert_eq!(under(ControllerSettings { kd, ..usual }), None, "kd {kd}");
        }
        for millis in [50, 200, 250, 500] {
            let interval = Duration::from_millis(millis);
            assert_eq!(under(ControllerSettings { interval, ..usual }), None, "interval {interval:?}");
        }
        for seconds in [1, 5, 10] {
            let drain_memory = Duration::from_secs(seconds);
            assert_eq!(under(ControllerSettings { drain_memory, ..usual }), None, "{drain_memory:?}");
        }
    }

    #[test]
    fn a_derivative_that_slams_is_told_with_what_calms_it() {
        let controller = ControllerSettings { kd: 50.0, ..ControllerSettings::DEFAULT };
        assert!(matches!(under(controller), Some(Trouble::Slams { low: 0.0, high }) if high > 2.0));
        let settings = RegulatorSettings { controller, ..settings(QUICK) };
        let advice = advice(&settings).unwrap();
        assert_eq!(advice.knob, "kd");
        let calm = ControllerSettings { kd: advice.value.parse().unwrap(), ..controller };
        assert_eq!(under(calm), None);
    }

    #[test]
    fn no_feedback_at_all_misses_the_target() {
        let controller = ControllerSettings { kp: 0.0, ..ControllerSettings::DEFAULT };
        assert!(matches!(under(controller), Some(Trouble::Misses(share)) if share < LEAST_HELD));
        let settings = RegulatorSettings { controller, ..settings(QUICK) };
        assert_eq!(advice(&settings).unwrap().knob, "kp");
    }

    #[test]
    fn a_delay_far_below_the_interval_cannot_be_held() {
        let interval = Duration::from_secs(10);
        let controller = ControllerSettings { interval, ..ControllerSettings::DEFAULT };
        assert!(under(controller).is_some());
        let settings = RegulatorSettings { controller, ..settings(QUICK) };
        assert_eq!(advice(&settings).unwrap().knob, "interval");
    }

    #[test]
    fn turns_are_counted_only_where_they_go_far() {
        let saw: Vec<f64> = (0..20).map(|point| f64::from(point % 2)).collect();
        assert_eq!(turns(&saw, 0.5), 18);
        assert_eq!(turns(&saw, 1.5), 0);
        assert_eq!(turns(&[], 0.1), 0);
    }

    /// Short delays, so that every mistake shows.
    const QUICK: &str = "rules: [{ when: { type: a }, tier: p0 }, { when: { type: b }, tier: p2 }]\n\
        tiers:\n  p0: { target: { depth: 10 }, max_depth: 100 }\n  \
        p1: { target: { delay: 1s, at_least: 10, at_most: 100 }, max_depth: 100 }\n  \
        p2: { target: { delay: 5s, at_least: 10, at_most: 100 }, max_depth: 100 }\n";
}
