//! Replicas that steer one queue: each computes the one law on the sum of all counts and applies its share.
//!
//! A replica publishes a [`Line`](line::Line) ten times a second and reads those of the others. Their counts are known at
//! moments of their own; a reading of the backlog waits until all are known at its moment, so that depth and counts are of
//! one instant and no delay passes for drain. What others let in since they were last heard of is presumed in proportion to
//! what this replica let in itself, by the shares: so the room is split without asking.

pub mod curve;
pub mod line;
pub mod part;
pub mod presence;
pub mod split;
#[cfg(test)]
mod tests;
pub mod tier_share;

use std::time::Duration;

use crate::domain::backlog::Reading;
use crate::domain::tier::{Tier, TierMap};
use crate::domain::time::Moment;
use crate::regulator::share::line::{Line, ReplicaId};
use crate::regulator::share::part::{Intake, Part};
use crate::regulator::share::presence::Presence;
use crate::regulator::share::tier_share::{Hold, TierShare};

/// All replicas of one queue, as one of them sees them.
#[derive(Clone, Debug)]
pub struct Replicas {
    id: ReplicaId,
    interval: Duration,
    presence: Presence,
    tiers: TierMap<TierShare>,
}

impl Replicas {
    /// Knows only itself; `interval` is the time between two readings.
    pub fn new(id: ReplicaId, interval: Duration) -> Replicas {
        Replicas { id, interval, presence: Presence::default(), tiers: TierMap::default() }
    }

    /// Takes in the lines that an exchange brought: all that there are, with their moments on this replica's clock.
    pub fn hear(&mut self, lines: &[Line], now: Moment) {
        self.presence.hear(self.id, lines, now);
        for line in lines.iter().filter(|line| self.presence.knows(line.id)) {
            for tier in Tier::ALL {
                self.tiers[tier].hear(line.id, line.tiers[tier], line.at);
            }
        }
        self.tiers.iter_mut().for_each(|(_, tier)| tier.split(&self.presence));
    }

    /// One step before the law's own: what this replica did until now and the readings that came. Returns, per tier, the
    /// newest reading for whose moment all counts are known, summed, and the part for the law. `spooled` are the jobs of the
    /// readings that stand in this replica's spool: in its depth, and on their way for the others.
    pub fn step(
        &mut self,
        readings: TierMap<Option<Reading>>,
        spooled: TierMap<u64>,
        intake: TierMap<Intake>,
        now: Moment,
    ) -> TierMap<(Option<Reading>, Part)> {
        let longest = self.interval.mul_f64(INTERVALS_HELD).saturating_add(EXCHANGE_HELD);
        let hold = Hold { presence: &self.presence, longest };
        let tiers = &mut self.tiers;
        readings.map(|tier, reading| {
            let reading = reading.map(|reading| (reading, spooled[tier]));
            tiers[tier].step(reading, intake[tier], hold, now)
        })
    }

    /// What this replica tells the others: what it did until now, and its last reading.
    pub fn line(&mut self, intake: TierMap<Intake>, now: Moment) -> Line {
        self.tiers.iter_mut().for_each(|(tier, share)| share.note(intake[tier], now));
        Line { id: self.id, at: now, leaving: false, tiers: TierMap::from_fn(|tier| self.tiers[tier].told()) }
    }

    /// From now on there is so long between two readings.
    pub const fn set_interval(&mut self, interval: Duration) {
        self.interval = interval;
    }

    /// Which one this is.
    pub const fn id(&self) -> ReplicaId {
        self.id
    }

    /// The replicas there are, this one included.
    pub fn count(&self) -> usize {
        self.presence.count()
    }

    /// When lines were last read.
    pub const fn heard(&self) -> Option<Moment> {
        self.presence.heard()
    }
}

/// A reading waits for at most so many intervals of the others' readings..
const INTERVALS_HELD: f64 = 1.5;

/// ..and for the time that an exchange takes to bring them.
const EXCHANGE_HELD: Duration = Duration::from_millis(150);
