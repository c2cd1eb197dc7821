//! A scenario: what is played to the law, and the bands that its figures must hold.

use std::time::Duration;

use crate::domain::tier::{Tier, TierMap};
use crate::policy::Policy;
use crate::regulator::settings::RegulatorSettings;
use crate::sim::figures::Figure;

/// Everything that is played. The same scenario gives the same figures, to the last bit.
#[derive(Clone, Debug, PartialEq)]
pub struct Scenario {
    /// What reports call it.
    pub name: String,
    /// Feeds every chance in it.
    pub seed: u64,
    /// How long it is played.
    pub duration: Duration,
    /// The law's settings.
    pub regulator: RegulatorSettings,
    /// The tiers' shares of a common pool of workers.
    pub weights: TierMap<u32>,
    /// Who drains.
    pub workers: Workers,
    /// What each tier is offered.
    pub tiers: TierMap<Load>,
    /// Whether jobs arrive by chance (Poisson) in place of evenly.
    pub poisson: bool,
    /// Time from an admission until the backend has confirmed the job.
    pub store_delay: Duration,
    /// How the backlog is seen.
    pub signal: SignalPath,
    /// What refused clients do.
    pub clients: Clients,
    /// Moments at which the gateway forgets all it has learned and starts anew before the queues as they stand.
    pub restarts: Vec<Duration>,
    /// What the figures must be.
    pub expect: Vec<Band>,
}

impl Default for Scenario {
    /// Nothing happens, under the built-in policy.
    fn default() -> Scenario {
        let policy = Policy::default();
        Scenario {
            name: String::new(),
            seed: 1,
            duration: Duration::ZERO,
            regulator: policy.regulator,
            weights: policy.tiers.map(|_, tier| tier.weight),
            workers: Workers::default(),
            tiers: TierMap::default(),
            poisson: false,
            store_delay: Duration::ZERO,
            signal: SignalPath::default(),
            clients: Clients::default(),
            restarts: Vec::new(),
            expect: Vec::new(),
        }
    }
}

/// The workers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Workers {
    /// The common pool's rate in jobs per second, shared by weight by the tiers without a drain of their own.
    pub rate: Schedule,
    /// Each rate is multiplied by uniform(1 - noise, 1 + noise), drawn anew every 100 ms.
    pub noise: f64,
    /// Whether each job takes a time by chance (exponential) in place of the same one.
    pub irregular: bool,
    /// Regular times in which nobody works.
    pub pauses: Option<Pauses>,
}

/// `lasting` out of every `every`, from its beginning on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pauses {
    /// Time from one pause to the next.
    pub every: Duration,
    /// Length of each.
    pub lasting: Duration,
}

/// What one tier is offered, and what its queue holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Load {
    /// Jobs per second posted for the first time.
    pub offered: Schedule,
    /// Workers of its own, in jobs per second; without it the tier shares the pool.
    pub drain: Option<Schedule>,
    /// Jobs per second that other producers write into the queue beside the gateway.
    pub beside: Schedule,
    /// Jobs in the queue before the scenario begins.
    pub backlog: u64,
    /// Jobs older than this are dropped when their turn comes, without a worker's time.
    pub expires_in: Option<Duration>,
    /// Share of the jobs taken by workers that end as dead letters.
    pub dead: Schedule,
}

/// How the backlog reaches the law.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SignalPath {
    /// Time between two readings; without it the controller's interval.
    pub every: Option<Duration>,
    /// How old a reading is when it arrives.
    pub delay: Duration,
    /// Time between two moments at which consumption shows; zero shows it at once.
    pub commits_every: Duration,
    /// Times in which no reading arrives, from the first moment up to the second.
    pub lost: Vec<(Duration, Duration)>,
}

/// What refused clients do, in shares of them; the rest never comes back. A client keeps its manner.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Clients {
    /// Come back when told.
    pub obey: f64,
    /// Come back after half the time told.
    pub hasty: f64,
    /// Come back after `ignore_after`, whatever they are told.
    pub ignore: f64,
    /// See `ignore`.
    pub ignore_after: Duration,
    /// Requests after which a client gives up; without it never.
    pub attempts: Option<u16>,
}

impl Default for Clients {
    fn default() -> Clients {
        Clients { obey: 0.0, hasty: 0.0, ignore: 0.0, ignore_after: Duration::from_secs(1), attempts: None }
    }
}

/// A bound of one figure of one tier.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Band {
    /// The tier.
    pub tier: Tier,
    /// The figure.
    pub figure: Figure,
    /// Not below this.
    pub at_least: Option<f64>,
    /// Not above this.
    pub at_most: Option<f64>,
}

/// A value that changes at given moments and is zero before the first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Schedule(Vec<(Duration, f64)>);

impl Schedule {
    /// Each value from its moment on. `None` where the moments do not rise, or a value is negative or no number.
    pub fn new(steps: Vec<(Duration, f64)>) -> Option<Schedule> {
        let rising = steps.iter().zip(steps.iter().skip(1)).all(|(earlier, later)| earlier.0 < later.0);
        let sane = steps.iter().all(|(_, value)| value.is_finite() && *value >= 0.0);
        (rising && sane).then_some(Schedule(steps))
    }

    /// The same value all the time.
    pub fn constant(value: f64) -> Schedule {
        Schedule(vec![(Duration::ZERO, value)])
    }

    /// The value at this moment.
    pub fn at(&self, moment: Duration) -> f64 {
        let begun = self.0.partition_point(|(from, _)| *from <= moment);
        begun.checked_sub(1).and_then(|last| self.0.get(last)).map_or(0.0, |(_, value)| *value)
    }

    /// The largest value.
    pub fn highest(&self) -> f64 {
        self.0.iter().map(|(_, value)| *value).fold(0.0, f64::max)
    }

    /// The sum over time until then.
    pub fn total(&self, until: Duration) -> f64 {
        let ends = self.0.iter().skip(1).map(|(next, _)| *next).chain(std::iter::once(until));
        let spans = self.0.iter().zip(ends);
        spans.map(|((from, value), end)| value * end.min(until).saturating_sub(*from).as_secs_f64()).sum()
    }

    /// The first value that is more than zero; zero if none is.
    pub fn first(&self) -> f64 {
        self.0.iter().map(|(_, value)| *value).find(|value| *value > 0.0).unwrap_or(0.0)
    }

    /// Whether it is zero all the time.
    pub fn is_zero(&self) -> bool {
        self.highest() == 0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    #[test]
    fn a_schedule_holds_each_value_from_its_moment_on() {
        let schedule = Schedule::new(vec![(seconds(10), 5.0), (seconds(20), 7.0)]).unwrap();
        let values = [0, 9, 10, 19, 20, 1000].map(|second| schedule.at(seconds(second)));
        assert_eq!(values, [0.0, 0.0, 5.0, 5.0, 7.0, 7.0]);
        assert_eq!(schedule.highest(), 7.0);
        assert_eq!(schedule.first(), 5.0);
        assert_eq!([5, 15, 30].map(|second| schedule.total(seconds(second))), [0.0, 25.0, 120.0]);
    }

    #[test]
    fn moments_must_rise_and_values_be_rates() {
        assert_eq!(Schedule::new(vec![(seconds(1), 1.0), (seconds(1), 2.0)]), None);
        assert_eq!(Schedule::new(vec![(seconds(1), -1.0)]), None);
        assert_eq!(Schedule::new(vec![(seconds(1), f64::NAN)]), None);
        assert_eq!(Schedule::new(Vec::new()), Some(Schedule::default()));
    }
}
