//! How a job and its history of failures become bytes and come back.
//!
//! A job is `id (16 bytes) · accepted_at · expires_at (0: none) · tenant · type · ordering key · content type ·
//! number of headers · name, value .. · payload · CRC-32 of all before (4 bytes)`. Numbers are LEB128; a text is its length, then its
//! bytes; an optional text stores its length plus one, 0 for none. The tier is the table the record lies in.

use std::sync::Arc;

use bytes::Bytes;

use crate::domain::job::{Job, JobId};
use crate::domain::tier::Tier;
use crate::domain::time::Timestamp;
use crate::queue::keys::index::{ENTRY_BYTES, KeyEntry};

/// A job ready to be stored.
#[derive(Clone, Debug)]
pub(super) struct Encoded {
    /// The record.
    pub record: Bytes,
    /// The ordering key, in short.
    pub key: Option<KeyHash>,
    /// From when on the job is dropped.
    pub expires_at: Option<Timestamp>,
    /// What the client names it by.
    pub keyed: Option<KeyEntry>,
}

/// An ordering key in eight bytes (FNV-1a). Two keys with one hash only wait for each other needlessly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct KeyHash(pub i64);

/// What a job has been through before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct History {
    /// Failed attempts of this life.
    pub failed: u32,
    /// Failed attempts of earlier lives, ended by a replay.
    pub earlier: u32,
    /// When an attempt first failed, over all lives.
    pub first_failed_at: Timestamp,
    /// Why the last attempt failed.
    pub reason: String,
}

pub(super) fn encode(job: &Job) -> Encoded {
    Encoded {
        record: record(job),
        key: job.ordering_key.as_deref().map(KeyHash::of),
        expires_at: job.expires_at,
        keyed: job.keyed.map(|keyed| KeyEntry::new(keyed, job.id, job.tier, job.accepted_at)),
    }
}

/// The record of a job: everything but its tier and what the client names it by.
pub fn record(job: &Job) -> Bytes {
    let mut record = Vec::with_capacity(job.payload.len() + RECORD_OVERHEAD);
    record.extend_from_slice(job.id.as_bytes());
    put_number(&mut record, job.accepted_at.millis());
    put_number(&mut record, job.expires_at.map_or(0, Timestamp::millis));
    put_text(&mut record, &job.tenant);
    for text in [&job.job_type, &job.ordering_key, &job.content_type] {
        put_optional(&mut record, text.as_deref());
    }
    put_number(&mut record, job.headers.len() as u64);
    for (name, value) in &job.headers {
        put_text(&mut record, name);
        put_text(&mut record, value);
    }
    record.extend_from_slice(&job.payload);
    let checksum = crc32fast::hash(&record);
    record.extend_from_slice(&checksum.to_le_bytes());
    Bytes::from(record)
}

impl Encoded {
    /// Bytes to be stored.
    pub(super) fn bytes(&self) -> usize {
        self.record.len() + self.keyed.map_or(0, |_| ENTRY_BYTES)
    }
}

/// Whether the record is what was written.
pub fn is_sound(record: &[u8]) -> bool {
    record.split_last_chunk().is_some_and(|(body, sum)| crc32fast::hash(body) == u32::from_le_bytes(*sum))
}

/// The job of a record; `None` if the record is damaged. The payload shares the record's memory.
pub fn decode(tier: Tier, record: &Bytes) -> Option<Job> {
    is_sound(record).then(|| salvage(tier, record)).flatten()
}

/// What can be read of a record that may be damaged: its fields may be wrong.
pub fn salvage(tier: Tier, record: &Bytes) -> Option<Job> {
    let body = record.slice(..record.len().checked_sub(CHECKSUM_BYTES)?);
    let mut rest = Rest(&body);
    let id = JobId::from_bytes(rest.take(16)?.try_into().ok()?);
    let accepted_at = Timestamp::from_millis(rest.number()?);
    let expires_at = Some(rest.number()?).filter(|millis| *millis > 0).map(Timestamp::from_millis);
    let tenant = Arc::from(rest.text()?);
    let (job_type, ordering_key, content_type) = (rest.optional()?, rest.optional()?, rest.optional()?);
    let count = rest.number()?;
    let mut headers = Vec::new();
    for _ in 0..count {
        headers.push((Box::from(rest.text()?), Box::from(rest.text()?)));
    }
    let payload = body.slice(body.len() - rest.0.len()..);
    Some(Job {
        id,
        tier,
        tenant,
        job_type,
        ordering_key,
        content_type,
        accepted_at,
        expires_at,
        headers,
        keyed: None,
        payload,
    })
}

impl KeyHash {
    fn of(key: &str) -> KeyHash {
        let hash = key.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        KeyHash(hash.cast_signed())
    }
}

impl History {
    /// The history after one more failed attempt.
    pub(super) fn after(before: Option<&History>, reason: String, now: Timestamp) -> History {
        let (failed, earlier, first) =
            before.map_or((0, 0, now), |h| (h.failed, h.earlier, h.first_failed_at));
        History { failed: failed.saturating_add(1), earlier, first_failed_at: first, reason }
    }

    /// The history of a dead letter that lives again.
    pub(super) fn replayed(&self) -> History {
        History { failed: 0, earlier: self.attempts(), ..self.clone() }
    }

    /// Failed attempts over all lives.
    pub(super) const fn attempts(&self) -> u32 {
        self.earlier.saturating_add(self.failed)
    }

    /// The history as it is stored.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.reason.len() + 16);
        put_number(&mut bytes, u64::from(self.failed));
        put_number(&mut bytes, u64::from(self.earlier));
        put_number(&mut bytes, self.first_failed_at.millis());
        bytes.extend_from_slice(self.reason.as_bytes());
        bytes
    }

    /// The history of these bytes; `None` if they are none.
    pub fn decode(bytes: &[u8]) -> Option<History> {
        let mut rest = Rest(bytes);
        Some(History {
            failed: u32::try_from(rest.number()?).ok()?,
            earlier: u32::try_from(rest.number()?).ok()?,
            first_failed_at: Timestamp::from_millis(rest.number()?),
            reason: String::from_utf8(rest.0.to_vec()).ok()?,
        })
    }
}

fn put_number(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    bytes.push(number.to_le_bytes()[0]);
}

fn put_text(bytes: &mut Vec<u8>, text: &str) {
    put_number(bytes, text.len() as u64);
    bytes.extend_from_slice(text.as_bytes());
}

fn put_optional(bytes: &mut Vec<u8>, text: Option<&str>) {
    put_number(bytes, text.map_or(0, |text| text.len() as u64 + 1));
    bytes.extend_from_slice(text.unwrap_or_default().as_bytes());
}

/// What of a record has not been read yet.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    fn number(&mut self) -> Option<u64> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            let bits = u64::from(byte & 0x7f);
            if (bits << shift) >> shift != bits {
                return None;
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    fn text(&mut self) -> Option<&'a str> {
        let len = usize::try_from(self.number()?).ok()?;
        std::str::from_utf8(self.take(len)?).ok()
    }

    fn optional(&mut self) -> Option<Option<Box<str>>> {
        let Some(len) = usize::try_from(self.number()?).ok()?.checked_sub(1) else { return Some(None) };
        Some(Some(Box::from(std::str::from_utf8(self.take(len)?).ok()?)))
    }
}

const CHECKSUM_BYTES: usize = 4;
/// Why a job died whose record is not what was written.
pub(super) const DAMAGED: &str = "the stored record is damaged";
/// Room for everything but the payload of a usual job, so that encoding allocates once.
const RECORD_OVERHEAD: usize = 160;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_job() -> impl Strategy<Value = Job> {
        let texts =
            (any::<String>(), any::<Option<String>>(), any::<Option<String>>(), any::<Option<String>>());
        let times = (0..=Timestamp::MAX.millis(), prop::option::of(1..=Timestamp::MAX.millis()));
        let headers = prop::collection::vec((any::<String>(), any::<String>()), 0..4);
        let payload = prop::collection::vec(any::<u8>(), 0..300);
        (any::<[u8; 10]>(), texts, times, headers, payload).prop_map(
            |(random, texts, times, headers, payload)| Job {
                id: JobId::new(Timestamp::from_millis(times.0), random),
                tier: Tier::P1,
                tenant: Arc::from(texts.0),
                job_type: texts.1.map(Box::from),
                ordering_key: texts.2.map(Box::from),
                content_type: texts.3.map(Box::from),
                accepted_at: Timestamp::from_millis(times.0),
                expires_at: times.1.map(Timestamp::from_millis),
                headers: headers
                    .into_iter()
                    .map(|(name, value)| (Box::from(name), Box::from(value)))
                    .collect(),
                keyed: None,
                payload: Bytes::from(payload),
            },
        )
    }

    proptest! {
        #[test]
        fn a_job_reads_back_as_it_was(job in any_job()) {
            prop_assert_eq!(decode(job.tier, &encode(&job).record), Some(job));
        }

        #[test]
        fn a_history_reads_back_as_it_was(failed: u32, earlier: u32, millis in 0..1_u64 << 40, reason: String) {
            let history = History { failed, earlier, first_failed_at: Timestamp::from_millis(millis), reason };
            prop_assert_eq!(History::decode(&history.encode()), Some(history));
        }

        #[test]
        fn no_bytes_make_decoding_fail_loudly(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = History::decode(&bytes);
            let _ = salvage(Tier::P0, &Bytes::from(bytes));
        }

        #[test]
        fn a_record_with_a_wrong_byte_is_no_job(job in any_job(), at: prop::sample::Index, flip in 1..=u8::MAX) {
            let mut record = encode(&job).record.to_vec();
            let at = at.index(record.len());
            record[at] ^= flip;
            prop_assert_eq!(decode(job.tier, &Bytes::from(record)), None);
        }
    }

    #[test]
    fn a_second_life_counts_its_own_attempts_and_remembers_the_first() {
        let first = History::after(None, "a".into(), Timestamp::from_millis(5));
        let second = History::after(Some(&first.replayed()), "b".into(), Timestamp::from_millis(9));
        assert_eq!((second.failed, second.attempts()), (1, 2));
        assert_eq!(second.first_failed_at, Timestamp::from_millis(5));
    }
}
