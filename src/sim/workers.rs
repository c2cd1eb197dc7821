//! The workers: how much they could do, and which queue they take from.

use std::time::Duration;

use crate::domain::chance::Chance;
use crate::domain::fair::FairShare;
use crate::domain::tier::{Tier, TierMap};
use crate::domain::time::Moment;
use crate::sim::arrivals::exponential;
use crate::sim::queue::PlantQueue;
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
