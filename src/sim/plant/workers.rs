//! The workers: how much they could do, and which queue they take from.

use std::time::Duration;

use crate::domain::chance::Chance;
use crate::domain::fair::FairShare;
use crate::domain::tier::{Tier, TierMap};
use crate::domain::time::Moment;
use crate::sim::plant::arrivals::exponential;
use crate::sim::plant::queue::PlantQueue;
use crate::sim::scenario::{Load, Scenario, Workers};

/// All workers of the plant: a common pool, and for tiers with a drain of their own one each.
#[derive(Debug)]
pub struct Workforce {
    settings: Workers,
    own: TierMap<Option<Hands>>,
    pool: Hands,
    fair: FairShare,
    noise: Chance,
    speed: f64,
    /// The share of what each tier's workers take that dies now.
    dead_share: TierMap<f64>,
    advanced: Moment,
    /// Nobody finishes a job before this.
    next_done: Moment,
}

/// One pool of workers.
#[derive(Debug)]
struct Hands {
    /// Jobs per second now.
    rate: f64,
    /// Work done on the next job, in jobs.
    credit: f64,
    /// Work that the next job takes; 1 where work is regular.
    next: f64,
    chance: Chance,
}

/// What happened to one tier while time passed.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Worked {
    /// Jobs taken.
    pub drained: u64,
    /// Jobs that its workers could have taken in all; of a common pool all of it.
    pub capacity: f64,
    /// Work for which nothing was there, in jobs. Where jobs take a time by chance, what was drained and this tell the
    /// use; the capacity tells the luck too.
    pub unused: f64,
}

impl Workforce {
    /// The workers of a scenario.
    pub fn new(scenario: &Scenario) -> Workforce {
        let hands = |stream| Hands::new(Chance::from_seed(scenario.seed ^ stream));
        let own = |tier: Tier| {
            let load: &Load = &scenario.tiers[tier];
            load.drain.is_some().then(|| hands(0x1111 * (u64::from(tier.number()) + 1)))
        };
        Workforce {
            settings: scenario.workers.clone(),
            own: TierMap::from_fn(own),
            pool: hands(0x9999),
            fair: FairShare::new(scenario.weights),
            noise: Chance::from_seed(scenario.seed ^ 0x7777),
            speed: 1.0,
            dead_share: TierMap::default(),
            advanced: Moment::ORIGIN,
            next_done: Moment::ORIGIN,
        }
    }

    /// Sets what the workers do from this moment on.
    pub fn set(&mut self, scenario: &Scenario, redraw: bool, now: Duration) {
        if redraw {
            let noise = self.settings.noise;
            self.speed = 1.0 + noise * (2.0 * self.noise.fraction() - 1.0);
        }
        let paused = self.settings.pauses.is_some_and(|pauses| {
            let into = now.as_nanos() % pauses.every.as_nanos().max(1);
            into < pauses.lasting.as_nanos()
        });
        let speed = if paused { 0.0 } else { self.speed };
        self.pool.rate = self.settings.rate.at(now) * speed;
        for (tier, own) in self.own.iter_mut() {
            let load = &scenario.tiers[tier];
            self.dead_share[tier] = load.dead.at(now);
            if let (Some(hands), Some(drain)) = (own, &load.drain) {
                hands.rate = drain.at(now) * speed;
            }
        }
        self.foresee();
    }

    /// Whether a job could be finished by now; else letting time pass changes nothing.
    pub fn have_done(&self, now: Moment) -> bool {
        now >= self.next_done
    }

    fn foresee(&mut self) {
        let own = self.own.iter().filter_map(|(_, own)| own.as_ref());
        let soonest = own.chain([&self.pool]).map(Hands::seconds_to_next).fold(f64::INFINITY, f64::min);
        let wait = Duration::try_from_secs_f64(soonest).unwrap_or(Duration::MAX);
        self.next_done = self.advanced.plus(wait);
    }

    /// Lets them work until now. A queue that runs empty leaves the rest of their time unused.
    pub fn work_until(&mut self, now: Moment, queues: &mut TierMap<PlantQueue>) -> TierMap<Worked> {
        let elapsed = now.seconds_since(self.advanced);
        self.advanced = now;
        let mut worked = TierMap::<Worked>::default();
        for (tier, hands) in self.own.iter_mut() {
            let Some(hands) = hands else { continue };
            hands.credit += hands.rate * elapsed;
            worked[tier].capacity = hands.rate * elapsed;
            while let Some(jobs) = hands.ready(self.settings.irregular) {
                let taken = queues[tier].take(jobs, self.dead_share[tier], now);
                worked[tier].drained += taken;
                hands.credit -= taken as f64 * hands.next;
                hands.draw(self.settings.irregular);
                if taken < jobs {
                    break;
                }
            }
            worked[tier].unused = hands.rest(queues[tier].depth() == 0);
        }
        self.pool_until(elapsed, now, queues, &mut worked);
        self.foresee();
        worked
    }

    fn pool_until(
        &mut self,
        elapsed: f64,
        now: Moment,
        queues: &mut TierMap<PlantQueue>,
        worked: &mut TierMap<Worked>,
    ) {
        let capacity = self.pool.rate * elapsed;
        self.pool.credit += capacity;
        let shares = |tier: Tier, queues: &TierMap<PlantQueue>| queues[tier].depth() > 0;
        let common = TierMap::from_fn(|tier| self.own[tier].is_none());
        while let Some(jobs) = self.pool.ready(self.settings.irregular) {
            let next = self.fair.next(|tier| common[tier] && shares(tier, queues));
            let Some(tier) = next else { break };
            // Alone it takes all; beside others a few at a time, so that shares hold within a step.
            let alone =
                Tier::ALL.into_iter().all(|other| other == tier || !common[other] || !shares(other, queues));
            let turn = if alone { jobs } else { jobs.min((jobs / TURNS).max(1)) };
            let taken = queues[tier].take(turn, self.dead_share[tier], now);
            self.fair.handed_out(tier, taken);
            worked[tier].drained += taken;
            self.pool.credit -= taken as f64 * self.pool.next;
            self.pool.draw(self.settings.irregular);
        }
        let idle = Tier::ALL.into_iter().all(|tier| !common[tier] || !shares(tier, queues));
        let unused = self.pool.rest(idle);
        for (tier, _) in common.iter().filter(|(_, common)| **common) {
            worked[tier].capacity = capacity;
            worked[tier].unused = unused;
        }
    }

    /// Notes that a queue of the pool, empty until now, has jobs: it claims nothing for the time before.
    pub fn rejoined(&mut self, tier: Tier) {
        self.fair.rejoined(tier);
    }

    /// Whether the tier shares the common pool.
    pub fn is_common(&self, tier: Tier) -> bool {
        self.own[tier].is_none()
    }
}

impl Hands {
    const fn new(chance: Chance) -> Hands {
        Hands { rate: 0.0, credit: 0.0, next: 1.0, chance }
    }

    /// Jobs that can be finished with the work done.
    fn ready(&self, irregular: bool) -> Option<u64> {
        let jobs = if irregular { u64::from(self.credit >= self.next) } else { (self.credit + DUST) as u64 };
        (jobs > 0).then_some(jobs)
    }

    /// Seconds until the next job is finished, if there is one; infinite while nobody works.
    fn seconds_to_next(&self) -> f64 {
        let left = (self.next - self.credit - DUST).max(0.0);
        if self.rate > 0.0 { left / self.rate } else { f64::INFINITY }
    }

    fn draw(&mut self, irregular: bool) {
        if irregular {
            self.next = exponential(&mut self.chance);
        }
    }

    /// Idle hands save nothing up. Says how much work was left undone.
    const fn rest(&mut self, idle: bool) -> f64 {
        if idle { std::mem::replace(&mut self.credit, 0.0) } else { 0.0 }
    }
}

/// Turns into which one step's work is cut where several tiers share it.
const TURNS: u64 = 64;

/// A credit of all but this much of a job is a job: sums of small steps miss whole numbers by less.
const DUST: f64 = 1e-9;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::scenario::{Pauses, Schedule};

    const BACKLOG: u64 = 1_000_000;

    fn full() -> TierMap<PlantQueue> {
        TierMap::from_fn(|_| PlantQueue::new(BACKLOG, Duration::ZERO, None))
    }

    fn with(workers: Workers) -> Scenario {
        Scenario { workers, ..Scenario::default() }
    }

    fn pool(rate: f64) -> Workers {
        Workers { rate: Schedule::constant(rate), ..Workers::default() }
    }

    /// Jobs taken of each tier in so many milliseconds.
    fn taken(scenario: &Scenario, queues: &mut TierMap<PlantQueue>, millis: u64) -> [u64; 3] {
        let mut workers = Workforce::new(scenario);
        for milli in 0..millis {
            let now = Duration::from_millis(milli);
            workers.work_until(Moment::after_origin(now), queues);
            workers.set(scenario, milli.is_multiple_of(100), now);
        }
        workers.work_until(Moment::after_origin(Duration::from_millis(millis)), queues);
        Tier::ALL.map(|tier| BACKLOG - queues[tier].depth())
    }

    #[test]
    fn a_pool_is_shared_by_weight_and_what_one_leaves_goes_to_the_others() {
        let mut scenario = with(pool(10_000.0));
        scenario.weights = TierMap::from_fn(|tier| [60, 30, 10][usize::from(tier.number())]);
        let all = taken(&scenario, &mut full(), 10_000);
        assert!(
            all.iter().zip([60_000, 30_000, 10_000]).all(|(jobs, share)| jobs.abs_diff(share) <= 200),
            "{all:?}"
        );
        let mut queues = full();
        queues[Tier::P0].take(BACKLOG, 0.0, Moment::ORIGIN);
        let rest = taken(&scenario, &mut queues, 10_000);
        assert!(rest[1].abs_diff(75_000) <= 200 && rest[2].abs_diff(25_000) <= 200, "{rest:?}");
    }

    #[test]
    fn a_drain_of_its_own_takes_nothing_from_the_pool() {
        let mut scenario = with(pool(1_000.0));
        scenario.tiers[Tier::P2].drain = Some(Schedule::constant(500.0));
        let taken = taken(&scenario, &mut full(), 2_000);
        assert_eq!((taken[0] + taken[1], taken[2]), (2_000, 1_000));
    }

    #[test]
    fn noise_is_uniform_around_the_rate_and_anew_every_tenth_of_a_second() {
        let scenario = with(Workers { noise: 0.5, ..pool(1_000.0) });
        let mut workers = Workforce::new(&scenario);
        let mut rates = Vec::new();
        for milli in 0..1_000_000 {
            workers.set(&scenario, milli % 100 == 0, Duration::from_millis(milli));
            rates.push(workers.pool.rate);
        }
        assert!(rates.chunks(100).all(|tenth| tenth.iter().all(|rate| rate == &tenth[0])));
        let drawn: Vec<f64> = rates.iter().step_by(100).copied().collect();
        let mean = drawn.iter().sum::<f64>() / drawn.len() as f64;
        let variance = drawn.iter().map(|rate| (rate - mean).powi(2)).sum::<f64>() / drawn.len() as f64;
        assert!(drawn.iter().all(|rate| (500.0..1_500.0).contains(rate)));
        assert!((mean - 1_000.0).abs() < 10.0 && (variance.sqrt() - 288.7).abs() < 6.0, "{mean} {variance}");
    }

    #[test]
    fn nobody_works_in_a_pause() {
        let pauses = Pauses { every: Duration::from_secs(10), lasting: Duration::from_secs(2) };
        let scenario = with(Workers { pauses: Some(pauses), ..pool(1_000.0) });
        assert_eq!(taken(&scenario, &mut full(), 2_000).iter().sum::<u64>(), 0);
        assert_eq!(taken(&scenario, &mut full(), 20_000).iter().sum::<u64>(), 16_000);
    }

    #[test]
    fn jobs_that_take_a_time_by_chance_take_the_same_on_average() {
        let scenario = with(Workers { irregular: true, ..pool(1_000.0) });
        let total: u64 = taken(&scenario, &mut full(), 100_000).iter().sum();
        assert!((97_000..103_000).contains(&total), "{total}");
    }

    #[test]
    fn nothing_is_done_before_the_moment_foreseen() {
        for irregular in [false, true] {
            let scenario = with(Workers { irregular, ..pool(800.0) });
            let (mut workers, mut queues) = (Workforce::new(&scenario), full());
            workers.set(&scenario, true, Duration::ZERO);
            let mut done = 0;
            for micro in 1..1_000_000 {
                let now = Moment::from_nanos(micro * 1_000);
                if workers.have_done(now) {
                    let worked = workers.work_until(now, &mut queues);
                    done += worked.iter().map(|(_, worked)| worked.drained).sum::<u64>();
                }
            }
            assert!(done.abs_diff(800) <= if irregular { 100 } else { 1 }, "{done}");
        }
    }
}
