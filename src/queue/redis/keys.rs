//! Idempotency keys in Redis: what is remembered under one, and what is known of all of them.

use std::fmt::Write;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::domain::idempotency::{Fingerprint, Key, KeyIndex, Keyed};
use crate::domain::job::{Job, JobId};
use crate::domain::tier::Tier;
use crate::queue::keys::{KeySettings, KnownJob};
use crate::queue::redis::layout::write_hex;

/// The key's name without its beginning: its digest in hexadecimal.
pub(in crate::queue) fn name(key: Key) -> String {
    let mut name = String::with_capacity(2 * key.0.len());
    write_hex(&mut name, &key.0);
    name
}

/// What is remembered under a key: the job's id, its tier, its fingerprint.
pub(super) fn encode(job: &Job, keyed: &Keyed) -> String {
    encode_known(&KnownJob { id: job.id, tier: job.tier, fingerprint: keyed.fingerprint })
}

/// What is remembered of a job.
pub(in crate::queue) fn encode_known(job: &KnownJob) -> String {
    let mut text = String::with_capacity(ENTRY_LENGTH);
    // Writing into a string cannot fail.
    let _ = write!(text, "{} {} ", job.id, job.tier);
    write_hex(&mut text, &job.fingerprint.0);
    text
}

/// Reads what is remembered under a key.
pub(in crate::queue) fn decode(value: &[u8]) -> Option<KnownJob> {
    let mut parts = std::str::from_utf8(value).ok()?.split(' ');
    let (id, tier, digest) = (parts.next()?, parts.next()?, parts.next()?);
    let whole = digest.len() == 32 && digest.bytes().all(|byte| byte.is_ascii_hexdigit());
    let digest = u128::from_str_radix(digest, 16).ok().filter(|_| whole && parts.next().is_none())?;
    Some(KnownJob {
        id: id.parse::<JobId>().ok()?,
        tier: tier.parse::<Tier>().ok()?,
        fingerprint: Fingerprint(digest.to_be_bytes()),
    })
}

/// What is known of the index of keys, as of the last time it was seen.
#[derive(Debug)]
pub(super) struct Index {
    settings: KeySettings,
    seen: Mutex<KeyIndex>,
}

impl Index {
    /// An index that was not seen yet.
    pub(super) const fn new(settings: KeySettings) -> Index {
        Index { settings, seen: Mutex::new(KeyIndex { keys: 0, horizon: settings.keep }) }
    }

    /// Notes what it looked like: so many keys, the oldest of them as old.
    pub(super) fn note(&self, keys: usize, oldest: Duration) {
        // Below their number no key was dropped before its time.
        let horizon =
            if keys >= self.settings.most { oldest.min(self.settings.keep) } else { self.settings.keep };
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = KeyIndex { keys, horizon };
    }

    /// What is known of it.
    pub(super) fn seen(&self) -> KeyIndex {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Characters of an id, a tier and a digest with the spaces between.
const ENTRY_LENGTH: usize = 36 + 1 + 2 + 1 + 32;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::Timestamp;

    #[test]
    fn what_is_remembered_reads_back() {
        let at = Timestamp::from_millis(1_700_000_000_000);
        let keyed = Keyed { key: Key([0x0f; 16]), fingerprint: Fingerprint([0xa0; 16]) };
        let job = Job { keyed: Some(keyed), ..Job::bare(JobId::new(at, [3; 10]), Tier::P2) };
        let text = encode(&job, &keyed);
        assert_eq!(text.len(), ENTRY_LENGTH);
        let known = KnownJob { id: job.id, tier: Tier::P2, fingerprint: keyed.fingerprint };
        assert_eq!(decode(text.as_bytes()), Some(known));
        assert_eq!(name(keyed.key), "0f".repeat(16));
        for broken in ["", "x p2 a0", &text[..60], &format!("{text} more"), &text.replace("p2", "p3")] {
            assert_eq!(decode(broken.as_bytes()), None, "{broken}");
        }
    }

    #[test]
    fn the_horizon_is_short_only_where_keys_were_dropped() {
        let settings = KeySettings { keep: Duration::from_secs(60), most: 10 };
        let index = Index::new(settings);
        index.note(9, Duration::from_secs(3));
        assert_eq!(index.seen(), KeyIndex { keys: 9, horizon: Duration::from_secs(60) });
        index.note(10, Duration::from_secs(3));
        assert_eq!(index.seen().horizon, Duration::from_secs(3));
    }
}
