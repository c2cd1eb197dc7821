//! An index of idempotency keys: every key that is kept, in memory, in order of storing.
//!
//! On disk a key is a row beside the jobs, appended in its job's transaction and deleted when it is forgotten; memory
//! answers every question. A million keys take about 100 MB
//! (`cargo bench --bench store`).

use std::collections::VecDeque;

use hashbrown::HashTable;

use crate::domain::idempotency::{Fingerprint, Key, KeyIndex, Keyed};
use crate::domain::job::JobId;
use crate::domain::tier::Tier;
use crate::domain::time::Timestamp;
use crate::queue::keys::{KeySettings, KnownJob};

/// A key with the job that was stored under it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::queue) struct KeyEntry {
    /// The key and what came with it.
    pub keyed: Keyed,
    /// The job.
    pub id: JobId,
    /// The job's tier.
    pub tier: Tier,
    /// When it was stored, in whole seconds since the epoch.
    pub stored_at: u32,
}

/// The keys that are known. They are numbered in order of storing, as their rows are.
#[derive(Debug)]
pub(in crate::queue) struct Keys {
    settings: KeySettings,
    entries: VecDeque<KeyEntry>,
    /// The number of the oldest entry.
    first: i64,
    /// Places in `entries`, counted from the number 0, by key.
    places: HashTable<i64>,
    /// When the newest key was stored that had to go before its time.
    crowded_out: Option<u32>,
}

impl Keys {
    /// No keys yet; the next one has the number `first`.
    pub(in crate::queue) fn none(settings: KeySettings, first: i64) -> Keys {
        let (entries, places) = (VecDeque::new(), HashTable::new());
        Keys { settings, entries, first, places, crowded_out: None }
    }

    /// The job known by a key.
    pub(in crate::queue) fn find(&self, key: Key, now: Timestamp) -> Option<KnownJob> {
        let place = self.places.find(hash(key), |place| self.is_at(*place, key))?;
        let entry = self.entry(*place).filter(|entry| entry.is_kept(self.settings, now))?;
        Some(entry.job())
    }

    /// Adds a key, as number [`next`](Keys::next). It replaces an earlier one of the same name.
    pub(in crate::queue) fn add(&mut self, entry: KeyEntry) {
        let (key, number) = (entry.keyed.key, self.next());
        self.entries.push_back(entry);
        let Keys { entries, places, first, .. } = self;
        let at = |place: i64| usize::try_from(place - *first).ok().and_then(|place| entries.get(place));
        let same = |place: &i64| at(*place).is_some_and(|entry| entry.keyed.key == key);
        let rehash = |place: &i64| at(*place).map_or(0, |entry| hash(entry.keyed.key));
        match places.find_mut(hash(key), same) {
            Some(place) => *place = number,
            None => drop(places.insert_unique(hash(key), number, rehash)),
        }
    }

    /// Adds the next key of a file; a damaged one keeps its place, and nothing is known by it.
    pub(in crate::queue) fn add_again(&mut self, entry: Option<KeyEntry>) {
        match entry {
            Some(entry) => self.add(entry),
            None => {
                let nothing = Keyed { key: Key([0; 16]), fingerprint: Fingerprint([0; 16]) };
                let stored_at = self.entries.back().map_or(0, |before| before.stored_at);
                let id = JobId::from_bytes([0; 16]);
                self.entries.push_back(KeyEntry { keyed: nothing, id, tier: Tier::P2, stored_at });
            }
        }
        // A file that was full before has forgotten keys that this process never saw.
        if self.entries.len() == self.settings.most && self.first > 1 {
            self.crowded_out = self.entries.front().map(|oldest| oldest.stored_at);
        }
    }

    /// Forgets what is older than keys are kept, and the oldest beyond their number.
    pub(in crate::queue) fn forget(&mut self, now: Timestamp) {
        while let Some(oldest) = self.entries.front() {
            let crowded = self.entries.len() > self.settings.most;
            if oldest.is_kept(self.settings, now) {
                if !crowded {
                    return;
                }
                self.crowded_out = Some(oldest.stored_at);
            }
            self.forget_oldest();
        }
    }

    /// The number of the oldest key that is known.
    pub(in crate::queue) const fn first(&self) -> i64 {
        self.first
    }

    /// The number of the next key.
    pub(in crate::queue) fn next(&self) -> i64 {
        self.first.saturating_add(i64::try_from(self.entries.len()).unwrap_or(i64::MAX))
    }

    /// How many keys are known, and how far back.
    pub(in crate::queue) fn index(&self, now: Timestamp) -> KeyIndex {
        let crowded = self.crowded_out.map(|at| now.since(seconds(at)));
        let horizon = crowded.map_or(self.settings.keep, |since| since.min(self.settings.keep));
        KeyIndex { keys: self.entries.len(), horizon }
    }

    fn forget_oldest(&mut self) {
        let Some(key) = self.entries.front().map(|entry| entry.keyed.key) else { return };
        // A newer entry of the same name keeps the place.
        if let Ok(place) = self.places.find_entry(hash(key), |place| *place == self.first) {
            place.remove();
        }
        self.entries.pop_front();
        self.first += 1;
    }

    fn entry(&self, place: i64) -> Option<&KeyEntry> {
        usize::try_from(place - self.first).ok().and_then(|place| self.entries.get(place))
    }

    fn is_at(&self, place: i64, key: Key) -> bool {
        self.entry(place).is_some_and(|entry| entry.keyed.key == key)
    }
}

impl KeyEntry {
    /// The entry of a job that is being stored.
    pub(in crate::queue) fn new(keyed: Keyed, id: JobId, tier: Tier, now: Timestamp) -> KeyEntry {
        // Rounded up: a key is never forgotten before its time.
        let stored_at = u32::try_from(now.millis().div_ceil(1_000)).unwrap_or(u32::MAX);
        KeyEntry { keyed, id, tier, stored_at }
    }

    /// The job that the key stands for.
    pub(in crate::queue) const fn job(&self) -> KnownJob {
        KnownJob { id: self.id, tier: self.tier, fingerprint: self.keyed.fingerprint }
    }

    /// Whether it is kept still, by these settings.
    pub(in crate::queue) fn is_kept(&self, settings: KeySettings, now: Timestamp) -> bool {
        now.since(seconds(self.stored_at)) < settings.keep
    }

    /// The entry as a row keeps it: `key · fingerprint · id · tier · stored_at · CRC-32 of all before`.
    pub(in crate::queue) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(ENTRY_BYTES);
        bytes.extend_from_slice(&self.keyed.key.0);
        bytes.extend_from_slice(&self.keyed.fingerprint.0);
        bytes.extend_from_slice(self.id.as_bytes());
        bytes.push(self.tier.number());
        bytes.extend_from_slice(&self.stored_at.to_le_bytes());
        let checksum = crc32fast::hash(&bytes);
        bytes.extend_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// The entry of a row; `None` if it is not what was written.
    pub(in crate::queue) fn decode(bytes: &[u8]) -> Option<KeyEntry> {
        let (bytes, checksum) = bytes.split_last_chunk::<4>()?;
        if crc32fast::hash(bytes) != u32::from_le_bytes(*checksum) {
            return None;
        }
        let (key, rest) = bytes.split_first_chunk::<16>()?;
        let (fingerprint, rest) = rest.split_first_chunk::<16>()?;
        let (id, rest) = rest.split_first_chunk::<16>()?;
        let (tier, rest) = rest.split_first()?;
        Some(KeyEntry {
            keyed: Keyed { key: Key(*key), fingerprint: Fingerprint(*fingerprint) },
            id: JobId::from_bytes(*id),
            tier: Tier::from_number(*tier)?,
            stored_at: u32::from_le_bytes(rest.try_into().ok()?),
        })
    }
}

/// A key is a digest: any eight bytes of it are as good as a hash of it.
fn hash(key: Key) -> u64 {
    key.0.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

fn seconds(at: u32) -> Timestamp {
    Timestamp::from_millis(u64::from(at) * 1_000)
}

/// What a row's entry takes.
pub(in crate::queue) const ENTRY_BYTES: usize = 16 + 16 + 16 + 1 + 4 + 4;

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn entry(key: u8, id: u8, at: u32) -> KeyEntry {
        let keyed = Keyed { key: Key([key; 16]), fingerprint: Fingerprint([id; 16]) };
        KeyEntry { keyed, id: JobId::from_bytes([id; 16]), tier: Tier::P1, stored_at: at }
    }

    fn keys(keep: u64, most: usize) -> Keys {
        Keys::none(KeySettings { keep: Duration::from_secs(keep), most }, 1)
    }

    fn found(keys: &Keys, key: u8, now: u32) -> Option<u8> {
        keys.find(Key([key; 16]), seconds(now)).map(|job| job.id.as_bytes()[0])
    }

    #[test]
    fn a_key_is_known_for_its_time_and_no_longer() {
        let mut keys = keys(10, 100);
        keys.add(entry(1, 7, 100));
        assert_eq!(found(&keys, 1, 109), Some(7));
        assert_eq!(found(&keys, 1, 110), None, "also before it is forgotten");
        keys.forget(seconds(110));
        assert_eq!((keys.first(), keys.next()), (2, 2));
        assert_eq!(keys.index(seconds(110)).horizon, Duration::from_secs(10));
    }

    #[test]
    fn beyond_their_number_the_oldest_keys_go_and_the_horizon_says_so() {
        let mut keys = keys(1_000, 2);
        for (key, at) in [(1, 100), (2, 105), (3, 110), (4, 120)] {
            keys.add(entry(key, key, at));
            keys.forget(seconds(at));
        }
        assert_eq!([1, 2, 3, 4].map(|key| found(&keys, key, 130)), [None, None, Some(3), Some(4)]);
        let expected = KeyIndex { keys: 2, horizon: Duration::from_secs(25) };
        assert_eq!(keys.index(seconds(130)), expected, "what came after second 105 is known");
        assert_eq!(keys.index(seconds(5_000)).horizon, Duration::from_secs(1_000));
    }

    #[test]
    fn a_key_used_again_after_its_time_stands_for_the_new_job() {
        let mut keys = keys(10, 100);
        keys.add(entry(1, 7, 100));
        keys.add(entry(1, 8, 200));
        assert_eq!(found(&keys, 1, 200), Some(8));
        keys.forget(seconds(200));
        assert_eq!(found(&keys, 1, 200), Some(8), "forgetting the old one leaves the new one");
    }

    #[test]
    fn a_million_keys_take_the_memory_that_the_docs_say() {
        assert!(size_of::<KeyEntry>() <= 56);
    }

    proptest! {
        #[test]
        fn a_row_reads_back_and_a_damaged_one_does_not(key: u8, id: u8, at: u32, place: prop::sample::Index, flip in 1..=u8::MAX) {
            let entry = entry(key, id, at);
            let mut row = entry.encode();
            prop_assert_eq!(row.len(), ENTRY_BYTES);
            prop_assert_eq!(KeyEntry::decode(&row), Some(entry));
            let place = place.index(row.len());
            row[place] ^= flip;
            prop_assert_eq!(KeyEntry::decode(&row), None);
        }

        /// Against a list that is searched from the end.
        #[test]
        fn the_index_knows_what_a_plain_list_knows(steps in prop::collection::vec((0..6_u8, 0..4_u32), 0..60)) {
            let (mut keys, mut list, mut now) = (keys(8, 5), Vec::<(u8, u8, u32)>::new(), 1_000);
            for (number, (key, pause)) in steps.into_iter().enumerate() {
                now += pause;
                let id = u8::try_from(number).unwrap();
                keys.add(entry(key, id, now));
                list.push((key, id, now));
                keys.forget(seconds(now));
                let kept = list.split_off(list.len().saturating_sub(5));
                list = kept.into_iter().filter(|(.., at)| now - at < 8).collect();
                let known: HashMap<u8, u8> = list.iter().map(|(key, id, _)| (*key, *id)).collect();
                for key in 0..6 {
                    prop_assert_eq!(found(&keys, key, now), known.get(&key).copied());
                }
            }
        }
    }
}
