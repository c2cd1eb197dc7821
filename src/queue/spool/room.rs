//! How much of the spool each tier may fill, so that bulk never stands in the way of critical work.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use crate::domain::tier::Tier;

/// The spool's bytes: those in its file, and those on the way into it.
#[derive(Debug)]
pub(super) struct Room {
    max_bytes: u64,
    entering: AtomicU64,
}

impl Room {
    /// Room for so many bytes.
    pub(super) const fn new(max_bytes: u64) -> Room {
        Room { max_bytes, entering: AtomicU64::new(0) }
    }

    /// Takes room for jobs on their way in while the file holds `used`; false where the tier's share has none.
    pub(super) fn take(&self, tier: Tier, bytes: u64, used: u64) -> bool {
        let taken = self.entering.fetch_add(bytes, Relaxed).saturating_add(bytes);
        let fits = used.saturating_add(taken) <= self.share(tier);
        if !fits {
            self.give(bytes);
        }
        fits
    }

    /// The jobs are in the file, or will not come.
    pub(super) fn give(&self, bytes: u64) {
        self.entering.fetch_sub(bytes, Relaxed);
    }

    /// Whether the tier's share is used up while the file holds `used`.
    pub(super) fn is_full(&self, tier: Tier, used: u64) -> bool {
        used.saturating_add(self.entering.load(Relaxed)).saturating_add(LEAST) > self.share(tier)
    }

    /// Up to where the tier may fill the spool, whosoever filled the rest.
    pub(super) const fn share(&self, tier: Tier) -> u64 {
        match tier {
            Tier::P0 => self.max_bytes,
            Tier::P1 => self.max_bytes / 4 * 3,
            Tier::P2 => self.max_bytes / 2,
        }
    }
}

/// With less room than a small job takes, clients are told before they send.
const LEAST: u64 = 512;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bulk_fills_half_standard_three_quarters_critical_all() {
        let room = Room::new(100_000);
        assert!(room.take(Tier::P2, 50_000, 0));
        assert!(!room.take(Tier::P2, 1, 0) && room.is_full(Tier::P2, 0));
        assert!(room.take(Tier::P1, 25_000, 0) && room.is_full(Tier::P1, 0));
        assert!(!room.is_full(Tier::P0, 0) && room.take(Tier::P0, 25_000, 0));
        assert!(!room.take(Tier::P0, 1, 0) && room.is_full(Tier::P0, 0));
    }

    #[test]
    fn what_did_not_fit_takes_nothing_and_what_is_given_back_can_be_taken() {
        let room = Room::new(100_000);
        assert!(!room.take(Tier::P0, 100_001, 0));
        assert!(!room.take(Tier::P0, 50_001, 50_000));
        assert!(room.take(Tier::P0, 50_000, 50_000));
        room.give(50_000);
        assert!(room.take(Tier::P0, 100_000, 0));
    }
}
