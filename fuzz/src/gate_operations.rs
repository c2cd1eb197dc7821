//! Sequences of everything that can happen to the gates, beside a queue that is simple enough to be right.

use std::time::Duration;

use arbitrary::{Arbitrary, Unstructured};
use tidegate::admission::decision::Decision;
use tidegate::domain::backlog::{Backlog, Flows, Reading};
use tidegate::domain::tier::{Tier, TierMap, TierSet};
use tidegate::domain::time::Moment;
use tidegate::domain::units::Cost;
use tidegate::regulator::Regulator;
use tidegate::regulator::report::Signal;
use tidegate::regulator::settings::RegulatorSettings;
use tidegate::regulator::share::part::Part;

use super::law::{self, Knobs};

#[derive(Arbitrary, Debug)]
struct Play {
    seed: u64,
    knobs: Knobs,
}

#[derive(Arbitrary, Debug)]
enum Deed {
    Ask {
        tier: u8,
        cost: u16,
        times: u8,
    },
    /// A request of a great many jobs.
    AskMuch {
        tier: u8,
        cost: u32,
    },
    /// What was admitted is stored.
    Store {
        tier: u8,
        jobs: u16,
    },
    /// What was admitted is not stored.
    GiveBack {
        tier: u8,
        jobs: u16,
    },
    Work {
        tier: u8,
        jobs: u32,
    },
    /// Another producer, whom the gate does not see before the next reading.
    Others {
        tier: u8,
        jobs: u16,
    },
    /// A step of the law; without a tier's reading where its bit is not set.
    Tick {
        readings: u8,
        spooling: u8,
    },
    /// A step with a reading that is made up.
    Lie {
        tier: u8,
        counts: [u64; 7],
        headroom: Option<u32>,
        taken: u64,
    },
    Pass {
        millis: u16,
    },
    /// The clock jumps, back too.
    Leap {
        nanos: u64,
    },
    Apply(Knobs),
    Hear {
        tier: u8,
        share: Option<u8>,
        others: u64,
        presumed: u32,
        doubt: u32,
        integral: Option<i32>,
    },
    AllShut {
        tiers: u8,
    },
    /// As [`Deed::Ask`], by a tenant.
    AskAs {
        tenant: u8,
        tier: u8,
        cost: u16,
        times: u8,
    },
}

/// A law, and what happens to its gates.
pub fn run(data: &[u8]) {
    let mut bytes = Unstructured::new(data);
    let Ok(play) = Play::arbitrary(&mut bytes) else { return };
    let mut world = World::new(&play);
    for deed in law::deeds(bytes).take(MOST_DEEDS) {
        world.see(&deed);
    }
}

struct World {
    regulator: Regulator,
    settings: RegulatorSettings,
    now: Moment,
    queues: TierMap<Queue>,
    /// Tenants have asked, and have shares of their own.
    divided: bool,
}

/// What is true of a tier, and what the gate has been told.
#[derive(Clone, Copy, Debug, Default)]
struct Queue {
    waiting: u64,
    /// Admitted and not stored yet.
    pending: u64,
    /// When the first of them was admitted, or an earlier one.
    pending_since: Moment,
    stored: u64,
    entered: u64,
    /// The gate knows all of the depth, but for what it let in itself.
    known: bool,
    /// It was told what is not so: no bound can be held to.
    deceived: bool,
    last_taken: Option<Moment>,
    window: Option<Window>,
}

/// What may come in until the next step.
#[derive(Clone, Copy, Debug)]
struct Window {
    room: f64,
    drain: f64,
    slack: f64,
    since: Moment,
    admitted: u64,
    given_back: u64,
}

impl World {
    fn new(play: &Play) -> World {
        let settings = play.knobs.settings();
        let now = Moment::from_nanos(play.seed >> 8).plus(UP_FOR);
        let regulator = Regulator::new(&settings, play.seed, now);
        let queues = TierMap::from_fn(|_| Queue { known: true, ..Queue::default() });
        World { regulator, settings, now, queues, divided: false }
    }

    fn see(&mut self, deed: &Deed) {
        match *deed {
            Deed::Ask { tier, cost, times } => {
                (0..times.clamp(1, 50)).for_each(|_| self.ask(which(tier), cost.into(), None));
            }
            Deed::AskAs { tenant, tier, cost, times } => {
                (0..times.clamp(1, 50)).for_each(|_| self.ask_as(tenant, which(tier), cost.into()));
            }
            Deed::AskMuch { tier, cost } => self.ask(which(tier), cost, None),
            Deed::Store { tier, jobs } => {
                self.queues[which(tier)].store(jobs.into());
            }
            Deed::GiveBack { tier, jobs } => self.give_back(which(tier), jobs),
            Deed::Work { tier, jobs } => {
                let queue = &mut self.queues[which(tier)];
                queue.waiting = queue.waiting.saturating_sub(jobs.into());
            }
            Deed::Others { tier, jobs } => {
                let queue = &mut self.queues[which(tier)];
                queue.waiting += u64::from(jobs);
                queue.known &= jobs == 0;
            }
            Deed::Tick { readings, spooling } => self.tick(readings, spooling),
            Deed::Lie { tier, counts, headroom, taken } => self.lie(which(tier), counts, headroom, taken),
            Deed::Pass { millis } => self.go_to(self.now.plus(Duration::from_millis(millis.into()))),
            Deed::Leap { nanos } => self.go_to(Moment::from_nanos(nanos)),
            Deed::Apply(knobs) => {
                self.settings = knobs.settings();
                self.regulator.apply(&self.settings, self.now);
                self.queues.iter_mut().for_each(|(_, queue)| queue.window = None);
            }
            Deed::Hear { tier, share, others, presumed, doubt, integral } => {
                let part = Part {
                    share: share.map(|share| (f64::from(share) + 1.0) / 256.0),
                    others,
                    presumed: presumed.into(),
                    besides: doubt.into(),
                    doubt: doubt.into(),
                    held_back: others % 2 == 0,
                    integral: integral.map(f64::from),
                    lateness: Duration::from_millis(300),
                };
                let heard = which(tier);
                self.regulator
                    .hear(TierMap::from_fn(|tier| if tier == heard { part } else { Part::WHOLE }), self.now);
                self.queues.iter_mut().for_each(|(_, queue)| queue.deceived = true);
            }
            Deed::AllShut { tiers } => self.all_shut(set(tiers)),
        }
    }

    /// Asks before the body: a refusal of all promises a return as one of them would.
    fn all_shut(&mut self, tiers: TierSet) {
        let Some(refusal) = self.regulator.all_shut(tiers, None, self.now) else { return };
        let within = |tier: Tier| {
            let bounds = self.settings.tiers[tier].retry_after;
            (bounds.min..=bounds.max).contains(&refusal.retry_after)
        };
        assert!(tiers.iter().any(within), "{refusal:?}");
    }

    /// Lets time pass, or go back. What is on its way is stored in time: the gate counts on that.
    fn go_to(&mut self, now: Moment) {
        let back = now < self.now;
        self.now = now;
        for (_, queue) in self.queues.iter_mut() {
            queue.deceived |= back;
            if now.since(queue.pending_since) > LONGEST_PENDING {
                queue.store(queue.pending);
            }
        }
    }

    /// Asks, and holds the answer to what the checks said before, to the hard bound and to the window.
    fn ask(&mut self, tier: Tier, cost: u32, tenant: Option<&str>) {
        let (cost, now) = (Cost::jobs(cost).unwrap_or(Cost::ONE), self.now);
        let told = self.regulator.checks(tier, cost, tenant, now).refusal();
        let left = self.regulator.allowance(tier, tenant, now);
        let decision = law::decide(&mut self.regulator, tier, cost, tenant, now);
        let bounds = self.settings.tiers[tier];
        law::check_decision(decision, bounds.retry_after);
        // Where others have a share, a job weighs more than itself, and less than one more may be told as none.
        if cost == Cost::ONE && !self.queues[tier].deceived && !self.divided {
            assert_eq!(
                left.remaining > 0,
                matches!(decision, Decision::Admitted(_)),
                "{left:?} {decision:?}"
            );
        }
        // Each question deals some of a tier's tokens to its tenants: among several, the next one finds more.
        if !self.divided {
            let reason = match decision {
                Decision::Refused(refusal) => Some(refusal.reason),
                Decision::Admitted(_) => None,
            };
            assert_eq!(told, reason);
        }
        let queue = &mut self.queues[tier];
        match decision {
            Decision::Refused(_) => {}
            Decision::Admitted(_) => {
                if queue.pending == 0 {
                    queue.pending_since = now;
                }
                queue.pending += u64::from(cost.count());
                queue.entered += u64::from(cost.count());
                let depth = queue.waiting + queue.pending;
                assert!(
                    queue.deceived || !queue.known || depth <= bounds.max_depth,
                    "{tier} has {depth} jobs, its bound is {}",
                    bounds.max_depth
                );
                if let Some(window) = queue.window.as_mut().filter(|_| !queue.deceived) {
                    window.admit(cost, now);
                }
            }
        }
        assert_eq!(self.regulator.intake()[tier].entered, queue.entered);
    }

    /// A tenant asks; half of what it is let in with is not stored.
    fn ask_as(&mut self, tenant: u8, tier: Tier, cost: u32) {
        let tenant = law::TENANTS[usize::from(tenant) % law::TENANTS.len()];
        self.divided = true;
        let before = self.queues[tier].entered;
        self.ask(tier, cost, Some(tenant));
        let queue = &mut self.queues[tier];
        let admitted = queue.entered - before;
        let unused = admitted / 2;
        queue.pending -= admitted;
        queue.entered -= unused;
        queue.stored += admitted - unused;
        queue.waiting += admitted - unused;
        if let Some(window) = &mut queue.window {
            window.given_back += unused;
        }
        if let Some(cost) = u32::try_from(unused).ok().and_then(Cost::jobs) {
            self.regulator.give_back(tier, cost, Some(tenant), self.now);
        }
    }

    fn give_back(&mut self, tier: Tier, jobs: u16) {
        let queue = &mut self.queues[tier];
        let jobs = queue.pending.min(jobs.into());
        let Some(cost) = u32::try_from(jobs).ok().and_then(Cost::jobs) else { return };
        queue.pending -= jobs;
        queue.entered -= jobs;
        if let Some(window) = &mut queue.window {
            window.given_back += jobs;
        }
        self.regulator.give_back(tier, cost, None, self.now);
    }

    fn tick(&mut self, given: u8, spooling: u8) {
        let (now, spooling) = (self.now, set(spooling));
        let readings = TierMap::from_fn(|tier| {
            let queue = &self.queues[tier];
            let backlog = Backlog { waiting: queue.waiting, ..Backlog::default() };
            let flows = Flows { stored: queue.stored, ..Flows::default() };
            set(given).contains(tier).then_some(Reading { backlog, flows, taken: now })
        });
        self.step(readings, spooling);
    }

    fn lie(&mut self, tier: Tier, counts: [u64; 7], headroom: Option<u32>, taken: u64) {
        let [waiting, leased, stored, replayed, expired, dead, lost] = counts;
        let headroom = headroom.map(|millis| Duration::from_millis(millis.into()));
        let reading = Reading {
            backlog: Backlog { waiting, leased, headroom, ..Backlog::default() },
            flows: Flows { stored, replayed, expired, dead, lost },
            taken: Moment::from_nanos(taken),
        };
        self.queues[tier].deceived = true;
        self.step(TierMap::from_fn(|each| (each == tier).then_some(reading)), TierSet::EMPTY);
    }

    fn step(&mut self, readings: TierMap<Option<Reading>>, spooling: TierSet) {
        let now = self.now;
        let reports = self.regulator.tick_beside_spool(readings, spooling, now);
        for tier in Tier::ALL {
            let (report, queue) = (&reports[tier], &mut self.queues[tier]);
            law::check_report(report, self.settings.tiers[tier].rate);
            // The spool's jobs are not bounded here, and they are in no queue that is read.
            queue.deceived |= spooling.contains(tier);
            let news = readings[tier].is_some() && queue.last_taken.is_none_or(|last| last < now);
            if news {
                queue.known = true;
                queue.last_taken = Some(now);
            }
            let room = self.settings.controller.window * report.target_depth - report.predicted_depth;
            queue.window = (news && report.signal == Signal::Fresh).then_some(Window {
                room: room.max(0.0),
                drain: report.drain.jobs_per_second(),
                slack: 1e-6 * report.target_depth,
                since: now,
                admitted: 0,
                given_back: 0,
            });
        }
    }
}

impl Queue {
    fn store(&mut self, jobs: u64) {
        let stored = jobs.min(self.pending);
        self.pending -= stored;
        self.stored += stored;
        self.waiting += stored;
    }
}

impl Window {
    fn admit(&mut self, cost: Cost, now: Moment) {
        self.admitted += u64::from(cost.count());
        let drained = self.drain * now.seconds_since(self.since);
        let most = self.room + drained + self.given_back as f64 + self.slack;
        assert!(self.admitted as f64 <= most, "{self:?} admits at most {most}");
    }
}

fn which(number: u8) -> Tier {
    Tier::ALL[usize::from(number % 3)]
}

fn set(bits: u8) -> TierSet {
    let tiers = Tier::ALL.into_iter().filter(|tier| bits & (1 << tier.number()) != 0);
    tiers.fold(TierSet::EMPTY, TierSet::with)
}

const MOST_DEEDS: usize = 300;

/// A gate takes what is on its way for 20 s for lost.
const LONGEST_PENDING: Duration = Duration::from_secs(15);

/// A clock that has run for a while.
const UP_FOR: Duration = Duration::from_secs(60);
