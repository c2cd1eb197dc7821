//! Jobs under an idempotency key of which nobody knows whether the backend has them: a job sent again under the key goes on
//! as the first one, under its id.

use std::collections::{HashMap, VecDeque};

use crate::domain::idempotency::Key;
use crate::domain::job::Job;
use crate::queue::Known;
use crate::queue::keys::KnownJob;

/// The last jobs of that kind; the oldest are forgotten first.
#[derive(Debug, Default)]
pub(super) struct Unsettled {
    jobs: HashMap<Key, KnownJob>,
    order: VecDeque<Key>,
}

impl Unsettled {
    /// Remembers those of the jobs that have a key.
    pub(super) fn note(&mut self, jobs: &[Job]) {
        for job in jobs {
            let Some(keyed) = job.keyed else { continue };
            let first = KnownJob { id: job.id, tier: job.tier, fingerprint: keyed.fingerprint };
            self.jobs.insert(keyed.key, first);
            self.order.push_back(keyed.key);
        }
        while self.order.len() > MOST {
            self.order.pop_front().and_then(|key| self.jobs.remove(&key));
        }
    }

    /// Gives each of the jobs that was sent before the id of then, and says which.
    pub(super) fn adopt(&mut self, jobs: &mut [Job]) -> Vec<Known> {
        let mut known = Vec::new();
        if self.jobs.is_empty() {
            return known;
        }
        for (index, job) in jobs.iter_mut().enumerate() {
            let Some(keyed) = job.keyed else { continue };
            let Some(first) = self.jobs.get(&keyed.key).copied() else { continue };
            if first.fingerprint == keyed.fingerprint && first.tier == job.tier {
                self.jobs.remove(&keyed.key);
                job.id = first.id;
                known.push(Known { index, job: first });
            }
        }
        known
    }
}

/// One answer of a backend cut off leaves at most a few pipelines of these: some 100 bytes each.
const MOST: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::idempotency::{Fingerprint, Keyed};
    use crate::queue::spool::tests::job;

    fn keyed(key: u8, fingerprint: u8) -> Job {
        let keyed = Keyed { key: Key([key; 16]), fingerprint: Fingerprint([fingerprint; 16]) };
        Job { keyed: Some(keyed), ..job("a", None) }
    }

    #[test]
    fn a_job_sent_again_is_the_first_one() {
        let (first, other) = (keyed(1, 1), keyed(2, 1));
        let mut unsettled = Unsettled::default();
        unsettled.note(&[first.clone(), job("b", None)]);
        let mut again = [other.clone(), keyed(1, 1)];
        let known = unsettled.adopt(&mut again);
        assert_eq!((again[0].id, again[1].id), (other.id, first.id));
        assert_eq!(
            known.iter().map(|known| (known.index, known.job.id)).collect::<Vec<_>>(),
            [(1, first.id)]
        );
        assert!(unsettled.adopt(&mut [keyed(1, 1)]).is_empty(), "once: from then on the spool knows the key");
    }

    #[test]
    fn another_job_under_the_key_stays_itself() {
        let mut unsettled = Unsettled::default();
        unsettled.note(&[keyed(1, 1)]);
        let mut other = [keyed(1, 2)];
        let id = other[0].id;
        assert!(unsettled.adopt(&mut other).is_empty() && other[0].id == id);
    }

    #[test]
    fn no_more_are_remembered_than_there_is_room_for() {
        let mut unsettled = Unsettled::default();
        let number = |number: usize| {
            let mut key = [0; 16];
            key[..8].copy_from_slice(&number.to_le_bytes());
            Job { keyed: Some(Keyed { key: Key(key), fingerprint: Fingerprint([0; 16]) }), ..job("a", None) }
        };
        for n in 0..MOST + 10 {
            unsettled.note(&[number(n)]);
        }
        assert_eq!((unsettled.jobs.len(), unsettled.order.len()), (MOST, MOST));
        assert!(unsettled.adopt(&mut [number(9)]).is_empty());
        assert_eq!(unsettled.adopt(&mut [number(10)]).len(), 1);
    }
}
