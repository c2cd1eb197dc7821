//! One tier's counts of all replicas: readings summed, the share, what the others are presumed to do meanwhile.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::domain::backlog::{Flows, Reading};
use crate::domain::time::Moment;
use crate::regulator::share::curve::Curve;
use crate::regulator::share::line::{ReplicaId, Told};
use crate::regulator::share::part::{Intake, Part};
use crate::regulator::share::presence::Presence;
use crate::regulator::share::split::{self, Demand};

/// What all replicas' counts say of one tier.
#[derive(Clone, Debug, Default)]
pub struct TierShare {
    own: Course,
    demand: Demand,
    others: BTreeMap<ReplicaId, Other>,
    /// This replica's share, as of the last exchange.
    share: f64,
    /// The integral on which all agree.
    integral: Option<f64>,
    /// Readings that wait for the others' counts of their moment, oldest first.
    waiting: VecDeque<Reading>,
    /// When the last reading that was summed was taken.
    summed: Option<Moment>,
    /// What the others brought and took away since they were first heard of, until that moment.
    flows: [f64; FLOWS],
    /// Jobs by which those of the last reading may be off.
    doubt: f64,
    held_back: u64,
    others_held_back: u64,
}

/// What is known of one replica over time.
#[derive(Clone, Debug, Default)]
struct Course {
    entered: Curve<1>,
    flows: Curve<FLOWS>,
    told: Told,
}

#[derive(Clone, Debug, Default)]
struct Other {
    course: Course,
    /// Its share over this replica's: what it is presumed to do of what this one does.
    ratio: f64,
}

impl TierShare {
    /// What this replica tells the others, as of now.
    pub const fn told(&self) -> Told {
        self.own.told
    }

    /// Takes in what another replica told.
    pub fn hear(&mut self, id: ReplicaId, told: Told, at: Moment) {
        let other = self.others.entry(id).or_default();
        let news = told.intake.held_back.saturating_sub(other.course.told.intake.held_back);
        // What it held back before it was heard of is no news.
        if other.course.entered.until().is_some() {
            self.others_held_back = self.others_held_back.saturating_add(news);
        }
        other.course.note(told, at);
    }

    /// Splits anew among those who are there.
    pub fn split(&mut self, presence: &Presence) {
        self.others.retain(|id, _| presence.knows(*id));
        let all = || self.others.values().map(|other| &other.course.told).chain([&self.own.told]);
        let total = all().map(|told| told.demand).sum();
        let rate = all().map(|told| told.intake.rate).sum::<f64>() / presence.count() as f64;
        let share = |told: &Told| split::share(told.demand, total, rate, presence.count());
        let (own, shares): (f64, f64) = (share(&self.own.told), all().map(share).sum());
        let agreed = all().map(|told| share(told) * told.intake.integral).sum::<f64>() / shares;
        self.integral = (!self.others.is_empty() && agreed.is_finite()).then_some(agreed);
        let ratios: Vec<f64> = self.others.values().map(|other| share(&other.course.told) / own).collect();
        for (other, ratio) in self.others.values_mut().zip(ratios) {
            other.ratio = ratio;
        }
        self.share = own;
    }

    /// Notes what this replica did until now.
    pub fn note(&mut self, intake: Intake, now: Moment) {
        let demand = self.demand.note(intake.asked, now);
        self.own.note(Told { intake, demand, ..self.own.told }, now);
    }

    /// One step: what this replica did until now and, where one came, a new reading, with the jobs of it that stand in this
    /// replica's spool. Returns the newest reading for whose moment all counts are known, summed, and the part for the law.
    pub fn step(
        &mut self,
        reading: Option<(Reading, u64)>,
        intake: Intake,
        hold: Hold<'_>,
        now: Moment,
    ) -> (Option<Reading>, Part) {
        let last = self.own.told.taken;
        if let Some((reading, spooled)) =
            reading.filter(|(reading, _)| last.is_none_or(|last| reading.taken > last))
        {
            let stored = i128::from(reading.flows.stored) - i128::from(spooled);
            self.own.told.stored = i64::try_from(stored).unwrap_or(i64::MAX);
            self.own.told.replayed = reading.flows.replayed;
            self.own.told.taken = Some(reading.taken);
            if self.waiting.len() == MOST_WAITING {
                self.waiting.pop_front();
            }
            self.waiting.push_back(reading);
        }
        self.note(intake, now);
        let summed = self.ripe(hold, now).map(|reading| self.sum(reading));
        (summed, self.part(hold, now))
    }

    /// The newest reading for whose moment the others' counts are known, or for which they were awaited long enough. Those
    /// before it are done with.
    fn ripe(&mut self, hold: Hold<'_>, now: Moment) -> Option<Reading> {
        let counts = self.others.values().map(|other| other.course.flows.until());
        let known = if hold.presence.is_alive(now) { counts.min().flatten() } else { None };
        // The first one is used as it is: nothing is decided blindly.
        let awaits = !self.others.is_empty() && self.summed.is_some() && hold.presence.is_alive(now);
        let is_ripe = |reading: &Reading| {
            !awaits
                || known.is_some_and(|known| reading.taken <= known)
                || now.since(reading.taken) > hold.longest
        };
        let ripe = self.waiting.iter().filter(|reading| is_ripe(reading)).count();
        self.waiting.drain(..ripe).next_back()
    }

    /// Adds what the others brought and took away. What is not known yet of one is presumed in proportion.
    fn sum(&mut self, reading: Reading) -> Reading {
        if let Some(before) = self.summed {
            self.doubt = 0.0;
            for other in self.others.values() {
                let then = other.flows(before, &self.own);
                let now = other.flows(reading.taken, &self.own);
                for ((sum, then), now) in self.flows.iter_mut().zip(then).zip(now) {
                    *sum = (*sum + now - then).max(0.0);
                }
                let ([then, ..], [now, ..]) = (then, now);
                self.doubt += 1.0 + DOUBTFUL * (now - then).max(0.0);
            }
        }
        self.summed = Some(reading.taken);
        let [stored, replayed] = self.flows.map(|sum| sum as u64);
        let flows = Flows {
            stored: reading.flows.stored.saturating_add(stored),
            replayed: reading.flows.replayed.saturating_add(replayed),
            ..reading.flows
        };
        Reading { flows, ..reading }
    }

    fn part(&mut self, hold: Hold<'_>, now: Moment) -> Part {
        let summed = self.summed.unwrap_or(Moment::ORIGIN);
        let (mut unseen, mut presumed, mut most) = (0.0, 0.0, 0.0);
        for other in self.others.values() {
            unseen += other.unseen(summed);
            let heard = other.course.entered.until().map_or(summed, |heard| heard.max(summed));
            presumed += other.ratio * self.own.entered_between(heard, now);
            most += other.unseen_at_most(summed) + other.ratio * self.own.entered_at_most(heard);
        }
        let held_back = self.others_held_back > self.held_back;
        self.held_back = self.others_held_back;
        let [stored, ..] = self.flows;
        Part {
            share: hold.presence.has_share().then_some(self.share),
            others: (stored as u64).saturating_add(unseen as u64),
            presumed,
            besides: (most - unseen - presumed).max(0.0),
            doubt: self.doubt,
            held_back,
            integral: self.integral,
            lateness: if self.others.is_empty() { Duration::ZERO } else { hold.longest },
        }
    }
}

impl Course {
    fn note(&mut self, told: Told, at: Moment) {
        self.entered.push(at, [told.intake.entered as f64]);
        if let Some(taken) = told.taken {
            self.flows.push(taken, [told.stored as f64, told.replayed as f64]);
        }
        self.told = told;
    }

    fn entered_between(&self, from: Moment, until: Moment) -> f64 {
        let ([from], [until]) = (self.entered.at(from), self.entered.at(until));
        (until - from).max(0.0)
    }

    /// The most that it can have let in since then.
    fn entered_at_most(&self, since: Moment) -> f64 {
        let [since] = self.entered.before(since);
        (self.told.intake.entered as f64 - since).max(0.0)
    }

    fn stored_between(&self, from: Moment, until: Moment) -> f64 {
        let ([from, ..], [until, ..]) = (self.flows.at(from), self.flows.at(until));
        (until - from).max(0.0)
    }
}

impl Other {
    /// Its flows until a moment; beyond what is known it is presumed to have stored in proportion to what this one did.
    fn flows(&self, until: Moment, own: &Course) -> [f64; FLOWS] {
        let mut flows = self.course.flows.at(until);
        if let (Some(known), [stored, ..]) = (self.course.flows.until(), &mut flows) {
            *stored += self.ratio * own.stored_between(known.min(until), until);
        }
        flows
    }

    /// Jobs that it let in and that a reading of that moment cannot have shown; those on their way into the queue when it was
    /// last heard of stand for those on their way now.
    fn unseen(&self, reading: Moment) -> f64 {
        let [stored, ..] = self.course.flows.at(reading);
        (self.course.told.intake.entered as f64 - stored).max(0.0)
    }

    fn unseen_at_most(&self, reading: Moment) -> f64 {
        let [stored, ..] = self.course.flows.before(reading);
        (self.course.told.intake.entered as f64 - stored).max(0.0)
    }
}

/// For how long readings may wait, and for whom.
#[derive(Clone, Copy, Debug)]
pub struct Hold<'a> {
    /// Who is there.
    pub presence: &'a Presence,
    /// The longest that a reading waits for the others' counts of its moment.
    pub longest: Duration,
}

/// Stored and replayed: what comes in through gateways.
const FLOWS: usize = 2;

/// Part of what another replica stored between two readings by which its count may be off: between two points it is taken
/// to have grown evenly.
const DOUBTFUL: f64 = 0.25;

/// Readings that may wait; they come at every step, and none waits longer than a few.
const MOST_WAITING: usize = 16;
