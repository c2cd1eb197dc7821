//! The leases that are out: who holds which job until when. In memory only; a restart ends them all.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use crate::domain::tier::Tier;
use crate::domain::time::{Moment, Timestamp};
use crate::queue::embedded::lease::LeaseToken;
use crate::queue::embedded::record::{History, KeyHash};

/// A leased job, without its payload.
#[derive(Clone, Debug)]
pub(super) struct Held {
    /// Its tier.
    pub tier: Tier,
    /// Its place in the tier's table.
    pub seq: i64,
    /// Its ordering key.
    pub key: Option<KeyHash>,
    /// From when on it is dropped in place of a retry.
    pub expires_at: Option<Timestamp>,
    /// What it has been through.
    pub history: Option<Box<History>>,
    /// When the lease ends.
    pub until: Moment,
}

/// Every lease that is out.
#[derive(Debug, Default)]
pub(super) struct Leases {
    held: HashMap<LeaseToken, Held>,
    ends: BTreeSet<(Moment, u128)>,
}

impl Leases {
    /// How many more may go out.
    pub(super) fn room(&self) -> usize {
        MAX_LEASES.saturating_sub(self.held.len())
    }

    pub(super) fn insert(&mut self, token: LeaseToken, held: Held) {
        self.ends.insert((held.until, token.0));
        self.held.insert(token, held);
    }

    pub(super) fn remove(&mut self, token: LeaseToken) -> Option<Held> {
        let held = self.held.remove(&token)?;
        self.ends.remove(&(held.until, token.0));
        Some(held)
    }

    /// Lets the lease end this long from now; false if there is no such lease.
    pub(super) fn extend(&mut self, token: LeaseToken, period: Duration, now: Moment) -> bool {
        let Some(held) = self.held.get_mut(&token) else { return false };
        self.ends.remove(&(held.until, token.0));
        held.until = now.plus(period);
        self.ends.insert((held.until, token.0));
        true
    }

    /// Takes out one lease that has ended by now.
    pub(super) fn take_ended(&mut self, now: Moment) -> Option<Held> {
        let (until, token) = *self.ends.first()?;
        if until > now {
            return None;
        }
        self.remove(LeaseToken(token))
    }

    /// When the next lease ends.
    pub(super) fn next_end(&self) -> Option<Moment> {
        self.ends.first().map(|(until, _)| *until)
    }
}

/// Leases out at once: with 300 bytes each, 60 MB at most.
const MAX_LEASES: usize = 200_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn held(until: u64) -> Held {
        let until = Moment::from_nanos(until);
        Held { tier: Tier::P0, seq: 1, key: None, expires_at: None, history: None, until }
    }

    #[test]
    fn leases_end_in_order_of_their_ends_and_an_extended_one_later() {
        let mut leases = Leases::default();
        leases.insert(LeaseToken(1), held(10));
        leases.insert(LeaseToken(2), held(20));
        assert!(leases.extend(LeaseToken(1), Duration::from_nanos(25), Moment::from_nanos(5)));
        assert_eq!(leases.next_end(), Some(Moment::from_nanos(20)));
        assert!(leases.take_ended(Moment::from_nanos(19)).is_none());
        assert!(leases.take_ended(Moment::from_nanos(20)).is_some());
        assert!(leases.remove(LeaseToken(2)).is_none());
        assert!(!leases.extend(LeaseToken(2), Duration::from_secs(1), Moment::ORIGIN));
        assert!(leases.remove(LeaseToken(1)).is_some());
        assert_eq!((leases.next_end(), leases.room()), (None, MAX_LEASES));
    }
}
