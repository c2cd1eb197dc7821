//! Plays a scenario: what happens in each millisecond, in order.

use std::time::Duration;

use crate::control::settings::Target;
use crate::domain::tier::{Tier, TierMap};
use crate::domain::time::Moment;
use crate::domain::units::Cost;
use crate::sim::figures::Figures;
use crate::sim::laws::answer::Answer;
use crate::sim::laws::{Law, LawName};
use crate::sim::plant::arrivals::Arrivals;
use crate::sim::plant::clients::{Client, Outside};
use crate::sim::plant::queue::PlantQueue;
use crate::sim::plant::signal::SignalLine;
use crate::sim::plant::workers::Workforce;
use crate::sim::recorder::Recorder;
use crate::sim::scenario::{Load, Scenario, Schedule};
use crate::sim::trace::Trace;

/// What came of a scenario under one law.
#[derive(Clone, Debug, PartialEq)]
pub struct Played {
    /// The law that was played.
    pub law: LawName,
    /// The figures of each tier that had anything to do.
    pub figures: TierMap<Option<Figures>>,
    /// The course of it.
    pub trace: Trace,
}

/// Plays the scenario under this law. The same scenario gives the same result.
pub fn play(scenario: &Scenario, law: LawName) -> Played {
    let end = scenario.duration.as_millis() as u64;
    let mut game = Game::new(scenario, law, end);
    for millis in 0..end {
        game.play_millisecond(millis);
    }
    game.close()
}

struct Game<'a> {
    scenario: &'a Scenario,
    name: LawName,
    law: Law,
    queues: TierMap<PlantQueue>,
    workers: Workforce,
    signal: SignalLine,
    fresh: TierMap<Arrivals>,
    beside: TierMap<Arrivals>,
    outside: TierMap<Outside>,
    quantum: u32,
    next_tick: Moment,
    /// Milliseconds at which the gateway starts anew, the last first.
    restarts: Vec<u64>,
    recorder: Recorder,
}

/// Who writes jobs.
#[derive(Clone, Copy)]
enum Writer {
    /// A client at the gate, for the first time.
    Client,
    /// Another producer, beside the gate.
    Beside,
}

impl<'a> Game<'a> {
    fn new(scenario: &'a Scenario, name: LawName, end: u64) -> Game<'a> {
        let quantum = quantum(scenario);
        let arrivals = |stream: u64| {
            TierMap::from_fn(|tier| {
                let seed = scenario.seed.wrapping_mul(31).wrapping_add(stream + u64::from(tier.number()));
                Arrivals::new(quantum, scenario.poisson, seed)
            })
        };
        let queue = |tier: Tier| {
            let load = &scenario.tiers[tier];
            PlantQueue::new(load.backlog, scenario.store_delay, load.expires_in)
        };
        let outside = |tier: Tier| {
            let longest = name.longest_retry_after(&scenario.regulator.tiers[tier]);
            let seed = scenario.seed.wrapping_add(100 + u64::from(tier.number()));
            Outside::new(scenario.clients, longest, seed, end)
        };
        let mut restarts: Vec<u64> =
            scenario.restarts.iter().map(|restart| restart.as_millis() as u64).collect();
        restarts.sort_unstable_by(|one, other| other.cmp(one));
        restarts.dedup();
        Game {
            scenario,
            name,
            law: Law::new(name, scenario, Moment::ORIGIN),
            queues: TierMap::from_fn(queue),
            workers: Workforce::new(scenario),
            signal: SignalLine::new(&scenario.signal, scenario.regulator.controller.interval),
            fresh: arrivals(0),
            beside: arrivals(10),
            outside: TierMap::from_fn(outside),
            quantum,
            next_tick: Moment::ORIGIN,
            restarts,
            recorder: Recorder::new(scenario),
        }
    }

    fn play_millisecond(&mut self, millis: u64) {
        let since_start = Duration::from_millis(millis);
        let now = Moment::after_origin(since_start);
        self.work(now);
        self.recorder.begin(millis, &self.queues, &self.outside);
        self.workers.set(self.scenario, millis.is_multiple_of(NOISE_MILLIS), since_start);
        if self.restarts.pop_if(|restart| *restart == millis).is_some() {
            self.restart(now);
        }
        if now >= self.next_tick {
            self.tick(now);
        }
        for tier in Tier::ALL {
            for group in self.outside[tier].returning(millis) {
                self.recorder.returned(tier, u64::from(group.jobs));
                self.ask(tier, Some(group.client), group.jobs, now);
            }
        }
        self.arrive(since_start, now);
    }

    /// Everything that arrives within the millisecond, each at its own moment.
    fn arrive(&mut self, since_start: Duration, begin: Moment) {
        const STREAMS: [Writer; 2] = [Writer::Client, Writer::Beside];
        let mut due: Vec<(f64, Tier, Writer)> = Vec::new();
        for tier in Tier::ALL {
            for writer in STREAMS {
                let load = &self.scenario.tiers[tier];
                let (stream, rate) = match writer {
                    Writer::Client => (&mut self.fresh[tier], load.offered.at(since_start)),
                    Writer::Beside => (&mut self.beside[tier], load.beside.at(since_start)),
                };
                if matches!(writer, Writer::Client) {
                    self.recorder.slice(tier).due += rate * STEP;
                }
                let mut into = 0.0;
                while let Some(wait) = stream.next_within(STEP - into, rate) {
                    into += wait;
                    due.push((into, tier, writer));
                }
            }
        }
        due.sort_by(|one, other| one.0.total_cmp(&other.0));
        for (into, tier, writer) in due {
            let now = begin.plus(Duration::from_secs_f64(into.max(0.0)));
            // Workers of a queue that was empty begin with the job that comes.
            if self.workers.have_done(now)
                || self.queues[tier].depth() == 0
                || !self.scenario.store_delay.is_zero()
            {
                self.work(now);
            }
            match writer {
                Writer::Client => {
                    self.recorder.slice(tier).offered += u64::from(self.quantum);
                    self.ask(tier, None, self.quantum, now);
                }
                Writer::Beside => {
                    self.recorder.slice(tier).beside += u64::from(self.quantum);
                    let jobs = u64::from(self.quantum);
                    self.fill(tier, |queue| queue.write(jobs, now));
                }
            }
        }
    }

    /// Clients that bring so many jobs ask, a quantum at a time. Where one is refused, so are the others of this instant:
    /// a crowd of them is sent away in a bounded number of turns.
    fn ask(&mut self, tier: Tier, client: Option<Client>, jobs: u32, now: Moment) {
        let (mut left, mut turn) = (jobs, self.quantum);
        let crowd = self.quantum.max(jobs / MOST_TURNS);
        while let Some(cost) = Cost::jobs(left.min(turn)) {
            left -= cost.count();
            let count = u64::from(cost.count());
            match self.law.decide(tier, cost, now) {
                Answer::Admitted => {
                    self.recorder.slice(tier).admitted += count;
                    self.fill(tier, |queue| queue.accept(count, now));
                }
                Answer::Throttled(after) => {
                    self.recorder.slice(tier).throttled += count;
                    self.send_away(tier, client, cost, after, now);
                    turn = crowd;
                }
                Answer::Shed(after) => {
                    self.recorder.slice(tier).shed += count;
                    self.send_away(tier, client, cost, after, now);
                    turn = crowd;
                }
            }
        }
    }

    fn send_away(&mut self, tier: Tier, client: Option<Client>, cost: Cost, after: Duration, now: Moment) {
        let seconds = after.as_secs_f64();
        self.recorder.slice(tier).told.add(u64::from(cost.count()), seconds);
        self.outside[tier].refused(client, cost.count(), seconds, now.nanos() / 1_000_000);
    }

    /// Puts jobs into a tier's queue, from which workers of the pool may not have taken for a while.
    fn fill(&mut self, tier: Tier, put: impl FnOnce(&mut PlantQueue)) {
        if self.queues[tier].depth() == 0 {
            self.workers.rejoined(tier);
        }
        put(&mut self.queues[tier]);
        self.recorder.note_depth(tier, self.queues[tier].depth());
    }

    /// Lets time pass: workers work, jobs on their way are stored.
    fn work(&mut self, now: Moment) {
        let worked = self.workers.work_until(now, &mut self.queues);
        self.recorder.worked(&worked, &self.workers);
        if !self.scenario.store_delay.is_zero() {
            for tier in Tier::ALL {
                self.queues[tier].store_until(now);
                self.recorder.note_depth(tier, self.queues[tier].depth());
            }
        }
    }

    fn tick(&mut self, now: Moment) {
        self.next_tick = self.next_tick.plus(self.scenario.regulator.controller.interval);
        self.queues.iter_mut().for_each(|(_, queue)| queue.expire(now));
        self.signal.read(&mut self.queues, now);
        let arrived = self.signal.arrived(now);
        let readings = TierMap::from_fn(|tier| arrived.map(|readings| readings[tier]));
        let settings = self.law.tick(readings, now);
        self.recorder.ticked(&settings, now);
        for (tier, queue) in self.queues.iter() {
            self.recorder.note_depth(tier, queue.depth());
        }
    }

    fn restart(&mut self, now: Moment) {
        self.queues.iter_mut().for_each(|(_, queue)| queue.restart(now));
        self.signal.restart();
        self.law = Law::new(self.name, self.scenario, now);
        self.next_tick = now;
    }

    fn close(mut self) -> Played {
        self.work(Moment::after_origin(self.scenario.duration));
        let trace = self.recorder.close(&self.queues, &self.outside);
        let seconds = trace.slice.as_secs_f64();
        let figures = TierMap::from_fn(|tier| {
            let slices = &trace.tiers[tier];
            let touched = slices.iter().any(|slice| slice.requests() + slice.deepest > 0);
            touched.then(|| Figures::of(slices, seconds, self.queues[tier].waits()))
        });
        Played { law: self.name, figures, trace }
    }
}

/// Steps that playing a scenario takes at least: arrivals, and what workers take one by one.
pub fn steps(scenario: &Scenario) -> f64 {
    let total = |schedule: &Schedule| schedule.total(scenario.duration);
    let arrivals = |load: &Load| total(&load.offered) + total(&load.beside);
    let taken = |load: &Load| load.drain.as_ref().map_or(0.0, total);
    let arriving: f64 = scenario.tiers.iter().map(|(_, load)| arrivals(load)).sum();
    let working =
        scenario.tiers.iter().map(|(_, load)| taken(load)).sum::<f64>() + total(&scenario.workers.rate);
    arriving / f64::from(quantum(scenario)) + if scenario.workers.irregular { working } else { 0.0 }
}

/// Jobs that move together: one, and at high rates so many that a second has no more than [`EVENTS_PER_SECOND`] events.
/// Never so many that a window would feel it.
fn quantum(scenario: &Scenario) -> u32 {
    let highest = |tier: Tier| {
        let load = &scenario.tiers[tier];
        load.offered.highest().max(load.beside.highest())
    };
    let rate: f64 = Tier::ALL.into_iter().map(highest).sum();
    let target = |tier: Tier| match scenario.regulator.tiers[tier].target {
        Target::Depth(depth) => depth,
        Target::Delay { at_least, .. } => at_least,
    };
    let offered = Tier::ALL.into_iter().filter(|tier| highest(*tier) > 0.0);
    let smallest = offered.map(target).min().unwrap_or(u64::MAX);
    let fine = (smallest as f64 / SMALLEST_PARTS).max(1.0);
    (rate / EVENTS_PER_SECOND).min(fine).max(1.0) as u32
}

/// The step of the clock, in seconds.
const STEP: f64 = 0.001;

/// The noise of the workers is redrawn at every so many milliseconds.
const NOISE_MILLIS: u64 = 100;

/// Events per simulated second from which on jobs move together.
const EVENTS_PER_SECOND: f64 = 50_000.0;

/// Turns in which the clients of one kind that return in the same millisecond are sent away.
const MOST_TURNS: u32 = 100;

/// No quantum is more than one of so many parts of the smallest target.
const SMALLEST_PARTS: f64 = 1_000.0;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::figures::Figure;
    use crate::sim::laws::rival::Method;
    use crate::sim::scenario::Workers;

    fn sale() -> Scenario {
        let seconds = Duration::from_secs;
        let mut scenario = Scenario {
            duration: seconds(400),
            workers: Workers { rate: Schedule::constant(10_000.0), ..Workers::default() },
            ..Scenario::default()
        };
        scenario.regulator.tiers[Tier::P2].target = Target::Depth(20_000);
        let offered = vec![(seconds(0), 1_000.0), (seconds(60), 100_000.0), (seconds(240), 5_000.0)];
        scenario.tiers[Tier::P2].offered = Schedule::new(offered).unwrap();
        scenario
    }

    #[test]
    fn a_flash_sale_is_played_as_it_must_be() {
        let scenario = sale();
        let figure =
            |law, figure| play(&scenario, law).figures[Tier::P2].as_ref().unwrap().value(figure).unwrap();
        assert!(figure(LawName::Tidegate, Figure::PeakDepthRatio) <= 1.05);
        assert!(figure(LawName::Tidegate, Figure::Utilisation) >= 0.995);
        for rival in Method::ALL {
            let peak = figure(LawName::Rival(rival), Figure::PeakDepthRatio);
            assert!(peak > 1.2, "{}: {peak}", rival.as_str());
        }
    }

    #[test]
    fn the_same_scenario_gives_the_same_result_to_the_last_bit_and_another_seed_another() {
        let mut scenario = Scenario { duration: Duration::from_secs(70), poisson: true, ..sale() };
        scenario.workers.noise = 0.5;
        scenario.clients.obey = 0.5;
        let once = play(&scenario, LawName::Tidegate);
        assert_eq!(once, play(&scenario, LawName::Tidegate));
        assert_ne!(once, play(&Scenario { seed: 2, ..scenario }, LawName::Tidegate));
    }
}
