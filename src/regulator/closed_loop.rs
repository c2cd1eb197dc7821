//! A small plant in a closed loop with the regulator: jobs one by one, workers, a signal that may be late or lost,
//! clients that come back when told. It shows that the law holds its bands; the simulator proper is a room of its own.

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
struct Scene {
    seconds: u64,
    target: Target,
    offered: fn(f64) -> f64,
    drain: fn(f64) -> f64,
    /// The drain is multiplied by uniform(1 - noise, 1 + noise), drawn anew every 100 ms.
    noise: f64,
    /// How old a reading is when it arrives.
    delay_ms: u64,
    /// Time between two moments at which consumption shows; 0 shows it at once.
    commit_ms: u64,
    lost: fn(f64) -> bool,
    on_stale: OnStale,
    /// Jobs in the queue before the regulator exists.
    backlog: u64,
    /// Whether refused clients come back when told (rounded up to whole seconds, as the header is).
    obedient: bool,
    /// Service by chance in place of an even one.
    irregular: bool,
    /// Time from admission until the backend has confirmed the job.
    store_ms: u64,
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
struct Played {
    /// Highest true depth over the largest target so far.
    peak: f64,
    /// Drained over drainable, while as much was offered as the workers can take.
    used: f64,
    /// |mean depth / target - 1| over the last tenth.
    settled_error: f64,
    requests_per_job: f64,
    /// Most returns in any second over what the workers take in one.
    return_peak: f64,
    refused: u64,
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
    fn holds(&self, name: &str, peak_at_most: f64, used_at_least: f64) -> Played {
        let played = self.play();
        println!("{name:32} {played:.4?}");
        assert!(played.peak <= peak_at_most, "{name}: {played:?}");
        assert!(played.used >= used_at_least, "{name}: {played:?}");
        played
    }

    fn play(&self) -> Played {
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
            refused: self.refused,
        }
    }
}

const fn at(ms: u64) -> Moment {
    Moment::from_nanos(ms * 1_000_000)
}

/// Prints every control step of what is played.
const SHOW: bool = false;

const fn sale(seconds: f64) -> f64 {
    match seconds {
        ..30.0 => 100.0,
        30.0..120.0 => 10_000.0,
        _ => 500.0,
    }
}

const fn one_tenth_from_40_to_80(seconds: f64) -> f64 {
    if seconds >= 40.0 && seconds < 80.0 { 100.0 } else { 1_000.0 }
}

const fn two_seconds_in_ten_idle(seconds: f64) -> f64 {
    if seconds % 10.0 < 2.0 { 0.0 } else { 1_000.0 }
}

const fn out_from_50_to_170(seconds: f64) -> bool {
    seconds >= 50.0 && seconds < 170.0
}

const TWO_SECONDS: Target =
    Target::Delay { delay: Duration::from_secs(2), at_least: 1_000, at_most: 1_000_000 };

#[test]
fn a_flash_sale_is_held_at_the_target() {
    let scene = Scene { seconds: 180, offered: sale, ..Scene::default() };
    scene.holds("flash sale 0.1x, 10x, 0.5x", 1.05, 0.999);
}

#[test]
fn a_flash_sale_with_jobs_on_their_way_for_300_ms_is_held_at_the_target() {
    let scene = Scene { seconds: 180, offered: sale, store_ms: 300, ..Scene::default() };
    scene.holds("flash sale, stores take 300 ms", 1.05, 0.995);
}

#[test]
fn a_drain_that_falls_tenfold_and_returns_overshoots_little() {
    let scene = Scene { drain: one_tenth_from_40_to_80, ..Scene::default() };
    scene.holds("drain falls 10x and returns", 1.13, 0.995);
}

#[test]
fn a_delay_target_follows_a_drain_that_falls_tenfold_and_returns() {
    let scene = Scene { target: TWO_SECONDS, drain: one_tenth_from_40_to_80, ..Scene::default() };
    // The depth can only sink as fast as workers drain: its ratio to a target that fell is no matter of the law.
    scene.holds("  with a delay of 2 s", f64::INFINITY, 0.995);
}

#[test]
fn a_noisy_drain_is_used_in_full() {
    let played = Scene { noise: 0.5, ..Scene::default() }.holds("drain noisy +-50 %", 1.10, 0.995);
    assert!(played.settled_error <= 0.05, "{played:?}");
}

#[test]
fn workers_that_pause_two_seconds_in_ten_find_work_when_they_return() {
    let scene = Scene { drain: two_seconds_in_ten_idle, ..Scene::default() };
    scene.holds("drain stops 2 s in 10", 1.16, 0.995);
    let scene = Scene { target: TWO_SECONDS, ..scene };
    scene.holds("  with a delay of 2 s", 1.16, 0.99);
}

#[test]
fn offsets_committed_every_five_seconds_are_seen_through() {
    let scene = Scene { seconds: 300, commit_ms: 5_000, ..Scene::default() };
    scene.holds("commits every 5 s", 1.05, 0.97);
    let sale = Scene { offered: sale, ..scene };
    sale.holds("  and a flash sale", 1.05, 0.95);
}

#[test]
fn a_delay_shorter_than_the_commit_interval_is_learned_from_below() {
    let scene = Scene { seconds: 600, target: TWO_SECONDS, commit_ms: 5_000, ..Scene::default() };
    scene.holds("  and a delay of 2 s", 1.05, 0.97);
}

#[test]
fn a_late_signal_costs_nothing_while_the_drain_is_steady() {
    let late = |delay_ms| Scene { seconds: 180, offered: sale, delay_ms, ..Scene::default() };
    late(1_000).holds("flash sale, signal 1 s late", 1.05, 0.999);
    late(2_000).holds("flash sale, signal 2 s late", 1.05, 0.989);
}

#[test]
fn a_late_signal_and_a_falling_drain_cost_what_the_delay_itself_costs() {
    let scene = Scene { delay_ms: 1_000, drain: one_tenth_from_40_to_80, ..Scene::default() };
    // What came in during the second before the fall could be known is half of this target.
    scene.holds("signal 1 s late, drain falls 10x", 1.6, 0.995);
}

#[test]
fn a_signal_lost_in_the_middle_of_a_spike_is_bridged_or_shut() {
    let scene = Scene { seconds: 240, lost: out_from_50_to_170, ..Scene::default() };
    scene.holds("signal lost 120 s, hold", 1.06, 0.995);
    let shut = Scene { on_stale: OnStale::Shut, ..scene };
    shut.holds("signal lost 120 s, shut", 1.06, 0.5);
}

#[test]
fn eight_jobs_a_second_are_held_as_well() {
    let slow = Scene {
        seconds: 300,
        target: Target::Depth(50),
        offered: |_| 80.0,
        drain: |_| 8.0,
        ..Scene::default()
    };
    slow.holds("8 jobs/s, target 50", 1.03, 0.999);
    Scene { irregular: true, ..slow }.holds("  served by chance", 1.10, 0.97);
}

#[test]
fn a_restart_before_a_backlog_admits_nothing_until_it_is_worked_off() {
    let scene = Scene { backlog: 10_000, ..Scene::default() };
    let played = scene.holds("restart with backlog 5x", 5.0, 0.999);
    assert!(played.settled_error <= 0.01, "{played:?}");
    let short = Scene { seconds: 5, offered: |_| 1_000.0, ..scene };
    assert_eq!(short.play().refused, 5_000);
}

#[test]
fn a_spike_after_a_long_idle_time_fills_the_queue_at_once_and_no_further() {
    let idle = |t| match t {
        ..20.0 => 100.0,
        20.0..600.0 => 0.0,
        _ => 10_000.0,
    };
    Scene { seconds: 660, offered: idle, ..Scene::default() }.holds("10 min idle, then a spike", 1.05, 0.999);
}

#[test]
fn an_empty_new_queue_simply_fills() {
    let scene = Scene { seconds: 1, offered: |_| 1_900.0, drain: |_| 0.0, ..Scene::default() };
    assert_eq!(scene.play().refused, 0);
}

#[test]
fn clients_that_obey_return_once_and_not_together() {
    let storm = Scene {
        seconds: 300,
        target: Target::Depth(6_000),
        drain: |_| 200.0,
        offered: |t| if t < 10.0 { 2_000.0 } else { 0.0 },
        obedient: true,
        ..Scene::default()
    };
    let played = storm.holds("20,000 clients in 10 s, 200/s", 1.05, 0.995);
    assert!(played.requests_per_job <= 1.75 && played.return_peak <= 1.3, "{played:?}");
}
