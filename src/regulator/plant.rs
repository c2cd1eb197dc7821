//! A small plant for tests of the closed loop: jobs one by one, workers, a signal that may be late or lost, clients
//! that come back when told. The simulator proper is a room of its own.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::admission::decision::Decision;
use crate::admission::settings::RetryAfterBounds;
use crate::control::settings::{ControllerSettings, RateBounds, Target};
use crate::domain::backlog::{Backlog, Flows, Reading};
use crate::domain::tier::{Tier, TierMap};
use crate::domain::time::Moment;
use crate::domain::units::{Cost, Rate};
use crate::regulator::Regulator;
use crate::regulator::settings::{OnStale, RegulatorSettings, TierSettings};

/// What is played to one tier. Times in seconds, rates in jobs per second.
pub struct Scene {
    pub seconds: u64,
    pub target: Target,
    pub offered: fn(f64) -> f64,
    pub drain: fn(f64) -> f64,
    /// The drain is multiplied by uniform(1 - noise, 1 + noise), drawn anew every 100 ms.
    pub noise: f64,
    /// How old a reading is when it arrives.
    pub delay_ms: u64,
    /// Time between two moments at which consumption shows; 0 shows it at once.
    pub commit_ms: u64,
    pub lost: fn(f64) -> bool,
    pub on_stale: OnStale,
    /// Jobs in the queue before the regulator exists.
    pub backlog: u64,
    /// Whether refused clients come back when told (rounded up to whole seconds, as the header is).
    pub obedient: bool,
    /// Service by chance in place of an even one.
    pub irregular: bool,
    /// Time from admission until the backend has confirmed the job.
    pub store_ms: u64,
}

impl Default for Scene {
    fn default() -> Scene {
        Scene {
            seconds: 120,
            target: Target::Depth(2_000),
            offered: |_| 10_000.0,
            drain: |_| 1_000.0,
            noise: 0.0,
            delay_ms: 0,
            commit_ms: 0,
            lost: |_| false,
            on_stale: OnStale::Hold,
            backlog: 0,
            obedient: false,
            irregular: false,
            store_ms: 0,
        }
    }
}

/// What came of it.
#[derive(Debug)]
pub struct Played {
    /// Highest true depth over the largest target so far.
    pub peak: f64,
    /// Drained over drainable, while as much was offered as the workers can take.
    pub used: f64,
    /// |mean depth / target - 1| over the last tenth.
    pub settled_error: f64,
    pub requests_per_job: f64,
    /// Most returns in any second over what the workers take in one.
    pub return_peak: f64,
    pub admitted: u64,
    pub refused: u64,
}

struct Plant {
    regulator: Regulator,
    depth: u64,
    stored: u64,
    consumed: u64,
    committed: u64,
    credit: f64,
    chance: u64,
    targets: Vec<f64>,
    signal: VecDeque<(u64, Reading)>,
    returns: BTreeMap<u64, u64>,
    /// When each job let in will be stored.
    storing: VecDeque<u64>,
}

impl Scene {
    /// Plays the scene and holds peak and use against their bands.
    pub fn holds(&self, name: &str, peak_at_most: f64, used_at_least: f64) -> Played {
        let played = self.play();
        println!("{name:32} {played:.4?}");
        assert!(played.peak <= peak_at_most, "{name}: {played:?}");
        assert!(played.used >= used_at_least, "{name}: {played:?}");
        played
    }

    pub fn play(&self) -> Played {
        let mut plant = Plant {
            regulator: Regulator::new(&self.settings(), 1, Moment::ORIGIN),
            depth: self.backlog,
            stored: 0,
            consumed: 0,
            committed: 0,
            credit: 0.0,
            chance: 1,
            targets: Vec::new(),
            signal: VecDeque::new(),
            returns: BTreeMap::new(),
            storing: VecDeque::new(),
        };
        let mut tally = Tally::default();
        let (mut arriving, mut speed) = (0.0, 1.0);
        for ms in 0..self.seconds * 1000 {
            let seconds = ms as f64 / 1000.0;
            if ms % 100 == 0 {
                speed = 1.0 + self.noise * (2.0 * plant.chance() - 1.0);
                plant.tick(self, ms);
            }
            arriving += (self.offered)(seconds) / 1000.0;
            let fresh = arriving as u64;
            arriving -= fresh as f64;
            let returning = plant.returns.remove(&ms).unwrap_or(0);
            let mut refused = 0;
            for _ in 0..fresh + returning {
                refused += u64::from(!plant.offer(self, ms));
            }
            plant.store(ms);
            let drainable = (self.drain)(seconds) * speed / 1000.0;
            let drained = plant.work(drainable, self.irregular);
            tally.offered(ms, fresh, returning, refused);
            tally.drained(drainable, drained);
            tally.depth(ms, plant.depth as f64 / plant.target(self));
        }
        tally.close(self)
    }

    fn settings(&self) -> RegulatorSettings {
        let tier = TierSettings {
            target: self.target,
            max_depth: 1_000_000,
            rate: RateBounds {
                min: Rate::per_second(1.0).unwrap(),
                max: None,
                burst: Duration::from_secs(1),
            },
            shed: None,
            yields: false,
            on_stale: self.on_stale,
            retry_after: RetryAfterBounds { min: Duration::from_secs(1), max: Duration::from_secs(600) },
        };
        let controller = ControllerSettings {
            interval: Duration::from_millis(100),
            kp: 1.0,
            ki: 0.05,
            kd: 0.0,
            drain_memory: Duration::from_secs(2),
            window: 1.05,
        };
        RegulatorSettings { controller, tiers: TierMap::from_fn(|_| tier) }
    }
}

impl Plant {
    fn tick(&mut self, scene: &Scene, ms: u64) {
        if scene.commit_ms == 0 || ms.is_multiple_of(scene.commit_ms) {
            self.committed = self.consumed;
        }
        let waiting = self.depth + (self.consumed - self.committed);
        let reading = Reading {
            backlog: Backlog { waiting, ..Backlog::default() },
            flows: Flows { stored: self.stored, ..Flows::default() },
            taken: at(ms),
        };
        self.signal.push_back((ms + scene.delay_ms, reading));
        let mut news = None;
        while self.signal.front().is_some_and(|(due, _)| *due <= ms) {
            news = self.signal.pop_front().map(|(_, reading)| reading);
        }
        let news = news.filter(|_| !(scene.lost)(ms as f64 / 1000.0));
        let mut readings = TierMap::default();
        readings[Tier::P2] = news;
        let report = self.regulator.tick(readings, at(ms))[Tier::P2];
        if SHOW {
            println!("{ms} true {} {report:?}", self.depth);
        }
        self.targets.push(report.target_depth);
    }

    /// The largest target of the acceptable delay: when the target falls, the depth can only follow.
    fn target(&self, scene: &Scene) -> f64 {
        let ticks = match scene.target {
            Target::Depth(_) => 1,
            Target::Delay { delay, .. } => delay.as_millis() as usize / 100,
        };
        self.targets.iter().rev().take(ticks.max(1)).copied().fold(0.0, f64::max)
    }

    /// Whether the client got in. If not and it obeys, it comes back when told.
    fn offer(&mut self, scene: &Scene, ms: u64) -> bool {
        match self.regulator.decide(Tier::P2, Cost::ONE, at(ms)) {
            Decision::Admitted(_) => {
                self.storing.push_back(ms + scene.store_ms);
                true
            }
            Decision::Refused(refusal) => {
                if scene.obedient {
                    let seconds = refusal.retry_after.as_millis().div_ceil(1000).max(1) as u64;
                    *self.returns.entry(ms + seconds * 1000).or_default() += 1;
                }
                false
            }
        }
    }

    fn store(&mut self, ms: u64) {
        while self.storing.front().is_some_and(|due| *due <= ms) {
            self.storing.pop_front();
            self.stored += 1;
            self.depth += 1;
        }
    }

    fn work(&mut self, drainable: f64, irregular: bool) -> u64 {
        self.credit += drainable;
        let mut done = self.credit as u64;
        if irregular {
            done = u64::from(self.chance() < drainable);
            self.credit = 0.0;
        }
        self.credit -= (self.credit as u64) as f64;
        let done = done.min(self.depth);
        self.depth -= done;
        self.consumed += done;
        done
    }

    fn chance(&mut self) -> f64 {
        self.chance =
            self.chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.chance >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[derive(Default)]
struct Tally {
    peak: f64,
    /// Per 100 ms: offered, drainable, drained.
    slices: Vec<(f64, f64, f64)>,
    returns: Vec<f64>,
    fresh: u64,
    requests: u64,
    refused: u64,
    depths: Vec<f64>,
}

impl Tally {
    fn offered(&mut self, ms: u64, fresh: u64, returning: u64, refused: u64) {
        if ms.is_multiple_of(100) {
            self.slices.push((0.0, 0.0, 0.0));
        }
        if ms.is_multiple_of(1000) {
            self.returns.push(0.0);
        }
        self.fresh += fresh;
        self.requests += fresh + returning;
        self.refused += refused;
        *self.returns.last_mut().unwrap() += returning as f64;
        self.slices.last_mut().unwrap().0 += (fresh + returning) as f64;
    }

    fn drained(&mut self, drainable: f64, drained: u64) {
        let slice = self.slices.last_mut().unwrap();
        slice.1 += drainable;
        slice.2 += drained as f64;
    }

    fn depth(&mut self, ms: u64, ratio: f64) {
        self.peak = self.peak.max(ratio);
        if ms.is_multiple_of(100) {
            self.depths.push(ratio);
        }
    }

    fn close(self, scene: &Scene) -> Played {
        let busy = self.slices.iter().filter(|(offered, drainable, _)| offered >= drainable);
        let (drainable, drained) = busy.fold((0.0, 0.0), |sum, slice| (sum.0 + slice.1, sum.1 + slice.2));
        let tail = &self.depths[self.depths.len() * 9 / 10..];
        let most_returns = self.returns.iter().copied().fold(0.0, f64::max);
        Played {
            peak: self.peak,
            used: drained / drainable,
            settled_error: (tail.iter().sum::<f64>() / tail.len() as f64 - 1.0).abs(),
            requests_per_job: self.requests as f64 / self.fresh as f64,
            return_peak: most_returns / (scene.drain)(9.0),
            admitted: self.requests - self.refused,
            refused: self.refused,
        }
    }
}

const fn at(ms: u64) -> Moment {
    Moment::from_nanos(ms * 1_000_000)
}

/// Prints every control step of what is played.
const SHOW: bool = false;
