//! What the ledger holds, in memory: keys that stand for stored jobs, and open ones.

use std::collections::HashMap;
use std::time::Duration;

use crate::domain::idempotency::{Key, KeyIndex, Keyed};
use crate::domain::job::Job;
use crate::domain::time::Timestamp;
use crate::queue::Known;
use crate::queue::kafka::ledger::common::Claim;
use crate::queue::keys::index::{KeyEntry, Keys};
use crate::queue::keys::{KeySettings, KnownJob};

/// Every key that is kept.
#[derive(Debug)]
pub(super) struct Book {
    settings: KeySettings,
    /// Keys of jobs that are stored.
    pub stored: Keys,
    open: HashMap<Key, Open>,
    /// What is wrong with the file.
    pub fault: Option<String>,
}

/// A key that was written down.
#[derive(Clone, Copy, Debug)]
struct Open {
    entry: KeyEntry,
    /// The job is stored, and the file could not take that in.
    stored: bool,
}

/// A call's jobs by what the book says of their keys.
#[derive(Debug)]
pub(super) struct Sifted {
    /// What is to be sent, with the ids that hold.
    pub jobs: Vec<Job>,
    /// The place of each in the call.
    pub places: Vec<usize>,
    /// What the answer tells.
    pub known: Vec<Known>,
    /// The keys of what is sent.
    pub entries: Vec<KeyEntry>,
}

impl Book {
    /// The book of a file with these keys.
    pub(super) fn read(settings: KeySettings, stored: Keys, open: Vec<KeyEntry>) -> Book {
        let open = open.into_iter().map(|entry| (entry.keyed.key, Open { entry, stored: false })).collect();
        Book { settings, stored, open, fault: None }
    }

    /// The job that is known to be stored under a key.
    pub(super) fn find(&self, key: Key, now: Timestamp) -> Option<KnownJob> {
        let open = || self.open.get(&key).filter(|open| open.stored).map(|open| open.entry.job());
        self.stored.find(key, now).or_else(open)
    }

    /// How many keys are known and how far back.
    pub(super) fn index(&self, now: Timestamp) -> KeyIndex {
        self.stored.index(now)
    }

    /// Tells jobs that are to be sent from those that must not be. A key that is open is sent under its first id; one that
    /// stands for another content is not sent.
    pub(super) fn sift(&self, jobs: Vec<Job>, now: Timestamp) -> Sifted {
        let mut sifted = Sifted::with_room(jobs.len());
        // The keys of this very call.
        let mut own: HashMap<Key, KnownJob> = HashMap::new();
        for (index, mut job) in jobs.into_iter().enumerate() {
            if let Some(keyed) = job.keyed {
                let before = own.get(&keyed.key).copied().or_else(|| self.find(keyed.key, now));
                if let Some(before) = before.or_else(|| self.open_with_other_content(keyed)) {
                    sifted.known.push(Known { index, job: before });
                    continue;
                }
                if let Some(open) = self.open.get(&keyed.key)
                    && open.entry.id != job.id
                {
                    job.id = open.entry.id;
                    sifted.known.push(Known { index, job: open.entry.job() });
                }
                let entry = KeyEntry::new(keyed, job.id, job.tier, now);
                own.insert(keyed.key, entry.job());
                sifted.entries.push(entry);
            }
            sifted.jobs.push(job);
            sifted.places.push(index);
        }
        sifted
    }

    fn open_with_other_content(&self, keyed: Keyed) -> Option<KnownJob> {
        let open = self.open.get(&keyed.key)?;
        (open.entry.keyed.fingerprint != keyed.fingerprint).then(|| open.entry.job())
    }

    /// Notes a key as open. Gives those that had to go for it: too old to be kept, or too many.
    pub(super) fn open(&mut self, entry: KeyEntry, now: Timestamp) -> Vec<Key> {
        self.open.insert(entry.keyed.key, Open { entry, stored: false });
        if self.open.len() <= self.settings.most { Vec::new() } else { self.crowd_out(now) }
    }

    /// Notes that the job of an open key is stored, though the file does not know it.
    pub(super) fn stored_unwritten(&mut self, key: Key) {
        if let Some(open) = self.open.get_mut(&key) {
            open.stored = true;
        }
    }

    /// Forgets that a key was open.
    pub(super) fn close(&mut self, key: Key) {
        self.open.remove(&key);
    }

    /// Keys are open for a moment, or after a silence of the broker: so many were never in doubt at once in good order. The
    /// oldest tenth goes.
    fn crowd_out(&mut self, now: Timestamp) -> Vec<Key> {
        let mut by_age: Vec<KeyEntry> = self.open.values().map(|open| open.entry).collect();
        by_age.sort_unstable_by_key(|entry| entry.stored_at);
        let expired = by_age.iter().take_while(|entry| !entry.is_kept(self.settings, now)).count();
        let going = expired.max(self.settings.most / 10).max(1);
        let gone: Vec<Key> = by_age.into_iter().take(going).map(|entry| entry.keyed.key).collect();
        gone.iter().for_each(|key| self.close(*key));
        gone
    }
}

impl Sifted {
    fn with_room(jobs: usize) -> Sifted {
        let (jobs, places) = (Vec::with_capacity(jobs), Vec::with_capacity(jobs));
        Sifted { jobs, places, known: Vec::new(), entries: Vec::new() }
    }

    /// Takes in what other gateways say of the keys; one claim per entry. Gives back nothing where one of them has claimed
    /// a key within `patience`: its job is under way there.
    pub(super) fn heed(self, claims: Vec<Claim>, patience: Duration) -> Option<Sifted> {
        let mut heeded = Sifted { known: self.known, ..Sifted::with_room(self.jobs.len()) };
        let mut claimed = self.entries.into_iter().zip(claims);
        for (index, mut job) in self.places.into_iter().zip(self.jobs) {
            if job.keyed.is_some() {
                let (mut entry, claim) = claimed.next()?;
                let (theirs, open_for) = match claim {
                    Claim::Ours => (None, None),
                    Claim::Stored(theirs) => (Some(theirs), None),
                    Claim::Open(theirs, age) => (Some(theirs), Some(age)),
                };
                heeded.known.extend(theirs.map(|job| Known { index, job }));
                match (theirs, open_for) {
                    (Some(theirs), Some(age)) if theirs.fingerprint == entry.keyed.fingerprint => {
                        if age < patience {
                            return None;
                        }
                        // Whoever claimed it is gone: it is sent under the first id.
                        (job.id, entry.id) = (theirs.id, theirs.id);
                    }
                    (Some(_), _) => continue,
                    (None, _) => {}
                }
                heeded.entries.push(entry);
            }
            heeded.jobs.push(job);
            heeded.places.push(index);
        }
        // Of two words on one job, that of all gateways came last and holds.
        heeded.known.sort_by_key(|known| known.index);
        heeded.known.reverse();
        heeded.known.dedup_by_key(|known| known.index);
        heeded.known.reverse();
        Some(heeded)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::idempotency::Fingerprint;
    use crate::domain::job::JobId;
    use crate::domain::tier::Tier;

    const PATIENCE: Duration = Duration::from_secs(5);

    fn job(key: Option<u8>, id: u8) -> Job {
        let keyed = key.map(|key| Keyed { key: Key([key; 16]), fingerprint: Fingerprint([key; 16]) });
        Job { keyed, ..Job::bare(JobId::from_bytes([id; 16]), Tier::P1) }
    }

    fn theirs(content: u8, id: u8) -> KnownJob {
        let id = JobId::from_bytes([id; 16]);
        KnownJob { id, tier: Tier::P1, fingerprint: Fingerprint([content; 16]) }
    }

    fn sifted() -> Sifted {
        let keys = Keys::none(KeySettings::default(), 1);
        let book = Book::read(KeySettings::default(), keys, Vec::new());
        book.sift(
            vec![job(Some(1), 11), job(None, 12), job(Some(2), 13), job(Some(3), 14)],
            Timestamp::from_millis(1_700_000_000_000),
        )
    }

    fn first_bytes<'a>(ids: impl Iterator<Item = &'a JobId>) -> Vec<u8> {
        ids.map(|id| id.as_bytes()[0]).collect()
    }

    #[test]
    fn what_other_gateways_stored_or_gave_up_is_heeded() {
        let claims =
            vec![Claim::Stored(theirs(1, 91)), Claim::Ours, Claim::Open(theirs(3, 93), 2 * PATIENCE)];
        let heeded = sifted().heed(claims, PATIENCE).unwrap();
        assert_eq!(first_bytes(heeded.jobs.iter().map(|job| &job.id)), [12, 13, 93]);
        assert_eq!(first_bytes(heeded.entries.iter().map(|entry| &entry.id)), [13, 93]);
        assert_eq!(heeded.places, [1, 2, 3]);
        assert_eq!(heeded.known.iter().map(|known| known.index).collect::<Vec<_>>(), [0, 3]);
        assert_eq!(first_bytes(heeded.known.iter().map(|known| &known.job.id)), [91, 93]);
    }

    #[test]
    fn a_job_that_is_under_way_at_another_gateway_is_not_sent_with_any_of_its_call() {
        let claims = vec![Claim::Ours, Claim::Ours, Claim::Open(theirs(3, 93), PATIENCE / 2)];
        assert!(sifted().heed(claims, PATIENCE).is_none());
    }

    #[test]
    fn another_content_under_a_key_that_is_open_elsewhere_is_not_sent() {
        let claims = vec![Claim::Ours, Claim::Ours, Claim::Open(theirs(9, 93), Duration::ZERO)];
        let heeded = sifted().heed(claims, PATIENCE).unwrap();
        assert_eq!(first_bytes(heeded.jobs.iter().map(|job| &job.id)), [11, 12, 13]);
        assert_eq!((heeded.known[0].index, heeded.known[0].job), (3, theirs(9, 93)));
    }
}
