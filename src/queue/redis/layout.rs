//! The names of every key in Redis, made from the names of the three queues.

use std::fmt::Write;

use crate::domain::idempotency::Key;
use crate::domain::tier::{Tier, TierMap};

/// Every key that the gateway touches.
///
/// Where all three queues begin with one hash tag (`{shop}:critical` ..), every other key carries it too: then all of them
/// are in one slot of a Redis Cluster, and scripts may touch several at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    tiers: TierMap<TierKeys>,
    dead_letters: String,
    key_prefix: String,
    keys: String,
    probe: String,
}

/// The keys of one tier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TierKeys {
    /// The stream or list that workers read.
    pub queue: String,
    /// A sorted set of elements by the time they are due, in milliseconds.
    pub delayed: String,
    /// The set in which a list's workers register.
    pub workers: String,
    /// What the processing list of a list's worker begins with; its name follows.
    pub processing: String,
    /// A sorted set of the ids of dead letters by the time they died, in milliseconds.
    pub dead: String,
}

impl Layout {
    /// The layout for queues of these names.
    pub fn of(queues: &TierMap<String>) -> Layout {
        let tag = common_tag(queues);
        let (jobs, own) = tag.map_or(("jobs", "tidegate"), |tag| (tag, tag));
        let dead_letters = format!("{jobs}:dead_letter");
        let tiers = TierMap::from_fn(|tier| {
            let queue = queues[tier].clone();
            TierKeys {
                delayed: format!("{queue}:delayed"),
                workers: format!("{queue}:workers"),
                processing: format!("{queue}:processing:"),
                dead: format!("{dead_letters}:{tier}"),
                queue,
            }
        });
        Layout {
            tiers,
            dead_letters,
            key_prefix: format!("{own}:key:"),
            keys: format!("{own}:keys"),
            probe: format!("{own}:probe"),
        }
    }

    /// The keys of a tier.
    pub fn tier(&self, tier: Tier) -> &TierKeys {
        &self.tiers[tier]
    }

    /// The hash of dead letters, by id.
    pub fn dead_letters(&self) -> &str {
        &self.dead_letters
    }

    /// What the name of every idempotency key begins with; its digest in hexadecimal follows.
    pub fn key_prefix(&self) -> &str {
        &self.key_prefix
    }

    /// The string that knows a job by its idempotency key.
    pub fn key(&self, key: Key) -> String {
        let mut name = String::with_capacity(self.key_prefix.len() + 2 * key.0.len());
        name.push_str(&self.key_prefix);
        write_hex(&mut name, &key.0);
        name
    }

    /// The list of idempotency keys in order of insertion.
    pub fn keys(&self) -> &str {
        &self.keys
    }

    /// A key that never exists: written to in order to see whether Redis takes writes.
    pub fn probe(&self) -> &str {
        &self.probe
    }
}

/// Writes bytes in hexadecimal.
pub(super) fn write_hex(text: &mut String, bytes: &[u8]) {
    for byte in bytes {
        // Writing into a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
}

/// The hash tag that all names begin with, braces included.
fn common_tag(queues: &TierMap<String>) -> Option<&str> {
    let first = leading_tag(&queues[Tier::P0])?;
    queues.iter().all(|(_, name)| leading_tag(name) == Some(first)).then_some(first)
}

/// The hash tag at the start of a name; an empty one is none to Redis.
fn leading_tag(name: &str) -> Option<&str> {
    let end = name.strip_prefix('{')?.find('}').filter(|end| *end > 0)?;
    name.get(..end + 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(p0: &str, p1: &str, p2: &str) -> Layout {
        Layout::of(&TierMap::from((p0.to_owned(), p1.to_owned(), p2.to_owned())))
    }

    #[test]
    fn the_names_are_those_that_workers_know() {
        let layout = layout("jobs:critical", "jobs:standard", "jobs:bulk");
        let keys = layout.tier(Tier::P2);
        assert_eq!(keys.queue, "jobs:bulk");
        assert_eq!(keys.delayed, "jobs:bulk:delayed");
        assert_eq!(format!("{}w-7", keys.processing), "jobs:bulk:processing:w-7");
        assert_eq!((layout.dead_letters(), keys.dead.as_str()), ("jobs:dead_letter", "jobs:dead_letter:p2"));
        assert_eq!(layout.key(Key([0xab; 16])), format!("tidegate:key:{}", "ab".repeat(16)));
        assert_eq!(layout.keys(), "tidegate:keys");
    }

    #[test]
    fn one_hash_tag_in_all_queues_is_in_every_key() {
        let tagged = layout("{shop}:a", "{shop}:b", "{shop}:c");
        assert_eq!(tagged.dead_letters(), "{shop}:dead_letter");
        assert_eq!(tagged.tier(Tier::P0).dead, "{shop}:dead_letter:p0");
        assert!(tagged.key(Key([0; 16])).starts_with("{shop}:key:"));
        assert_eq!((tagged.keys(), tagged.probe()), ("{shop}:keys", "{shop}:probe"));
        for (p0, p1, p2) in [
            ("{a}:x", "{a}:y", "{b}:z"),
            ("{a}:x", "{a}:y", "jobs{a}"),
            ("{}:x", "{}:y", "{}:z"),
            ("{a", "{a", "{a"),
        ] {
            assert_eq!(layout(p0, p1, p2).keys(), "tidegate:keys", "{p0}");
        }
    }
}
