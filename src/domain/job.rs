//! A job: opaque payload bytes with what is known about them.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use bytes::Bytes;
use uuid::Uuid;

use crate::domain::idempotency::Keyed;
use crate::domain::tier::Tier;
use crate::domain::time::Timestamp;

/// A job's identity: a version 7 UUID, so that ids sort by the time of acceptance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId(Uuid);

impl JobId {
    /// The id made at this time with these random bits (RFC 9562 section 5.7).
    pub fn new(at: Timestamp, random: [u8; 10]) -> JobId {
        JobId(uuid::Builder::from_unix_timestamp_millis(at.millis(), &random).into_uuid())
    }

    /// The id's 16 bytes, as records store it.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }

    /// The id that a record stored as these bytes.
    pub const fn from_bytes(bytes: [u8; 16]) -> JobId {
        JobId(Uuid::from_bytes(bytes))
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_hyphenated().fmt(f)
    }
}

/// A text that is no job id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a job id: a job id is a UUID")]
pub struct NotAJobId;

impl FromStr for JobId {
    type Err = NotAJobId;

    fn from_str(text: &str) -> Result<JobId, NotAJobId> {
        Uuid::try_parse(text).map(JobId).map_err(|_| NotAJobId)
    }
}

/// One unit of work, as accepted and as handed to a worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// Identity, given by the gateway at acceptance.
    pub id: JobId,
    /// The tier it was classified into.
    pub tier: Tier,
    /// The authenticated caller, or `anonymous`.
    pub tenant: Arc<str>,
    /// The type read by the policy's `type_from`, if any source had one.
    pub job_type: Option<Box<str>>,
    /// Jobs of one key are handed out in order of acceptance.
    pub ordering_key: Option<Box<str>>,
    /// The payload's media type as the client said it.
    pub content_type: Option<Box<str>>,
    /// When the gateway accepted it.
    pub accepted_at: Timestamp,
    /// From this time on the job is dropped and counted, not delivered.
    pub expires_at: Option<Timestamp>,
    /// Headers carried to the consumer: `traceparent`, `tracestate` and `ce-*`, in lower case.
    pub headers: Vec<(Box<str>, Box<str>)>,
    /// What the client names it by, on its way into the queue; a job read back has none.
    pub keyed: Option<Keyed>,
    /// The payload, opaque.
    pub payload: Bytes,
}

#[cfg(test)]
impl Job {
    /// A job with nothing but what every job has, to begin a test's own with.
    pub fn bare(id: JobId, tier: Tier) -> Job {
        Job {
            id,
            tier,
            tenant: Arc::from("anonymous"),
            job_type: None,
            ordering_key: None,
            content_type: None,
            accepted_at: Timestamp::from_millis(1),
            expires_at: None,
            headers: Vec::new(),
            keyed: None,
            payload: Bytes::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_back_and_says_version_seven() {
        let id = JobId::new(Timestamp::from_millis(1_700_000_000_000), [0xab; 10]);
        let text = id.to_string();
        assert_eq!(text.parse(), Ok(id));
        assert_eq!(text.as_bytes()[14], b'7');
        assert_eq!(JobId::from_bytes(*id.as_bytes()), id);
    }

    #[test]
    fn ids_sort_by_time() {
        let early = JobId::new(Timestamp::from_millis(1), [0xff; 10]);
        let late = JobId::new(Timestamp::from_millis(2), [0x00; 10]);
        assert!(early < late);
    }
}
