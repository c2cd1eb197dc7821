//! From a job to its record.

use std::borrow::Cow;
use std::fmt::Write;

use bytes::Bytes;
use rdkafka::message::{Header, OwnedHeaders, ToBytes};

use crate::domain::job::Job;
use crate::queue::dead_letter::DeadLetter;
use crate::queue::kafka::record::name;
use crate::queue::tries::Tries;

/// What is sent.
#[derive(Debug)]
pub struct Record {
    /// Where it is placed: the ordering key; none is placed anywhere.
    pub key: Option<Box<str>>,
    /// The value.
    pub payload: Bytes,
    /// Everything else.
    pub headers: OwnedHeaders,
}

/// The record of a job at this attempt of its first life.
pub fn write(job: &Job, attempt: u32) -> Record {
    write_again(job, Tries::of_first_life(attempt))
}

/// The record of a job that may have lived before.
pub fn write_again(job: &Job, tries: Tries) -> Record {
    let mut headers = Writer::of(job, tries.attempt);
    if tries.earlier > 0 {
        headers.put_shown(name::EARLIER_ATTEMPTS, tries.earlier);
    }
    if let Some(first_failed_at) = tries.first_failed_at {
        headers.put_shown(name::FIRST_FAILED_AT, first_failed_at);
    }
    Record { key: job.ordering_key.clone(), payload: job.payload.clone(), headers: headers.done() }
}

/// The record of a dead letter: its key is its id, so that of each only the last is kept.
pub fn write_dead(letter: &DeadLetter) -> Record {
    let DeadLetter { job, death } = letter;
    let mut headers = Writer::of(job, death.attempts);
    headers.put(name::REASON, &*death.reason);
    headers.put_shown(name::ATTEMPTS, death.attempts);
    headers.put_shown(name::FIRST_FAILED_AT, death.first_failed_at);
    headers.put_shown(name::DIED_AT, death.died_at);
    headers.put_optional(name::ORDERING_KEY, job.ordering_key.as_deref());
    let key = Some(job.id.to_string().into_boxed_str());
    Record { key, payload: job.payload.clone(), headers: headers.done() }
}

/// Bytes that the job's record takes on the wire, at most.
pub fn size(job: &Job) -> usize {
    let text = |text: &Option<Box<str>>| text.as_ref().map_or(0, |text| text.len());
    let texts = text(&job.job_type) + text(&job.content_type) + text(&job.ordering_key) + job.tenant.len();
    let of_header = |(name, value): &(Box<str>, Box<str>)| name.len() + value.len() + LENGTHS;
    let headers: usize = job.headers.iter().map(of_header).sum();
    job.payload.len() + texts + headers + FIXED
}

/// Headers while they are written.
struct Writer {
    /// Always there: taken and put back by each header that is added.
    headers: Option<OwnedHeaders>,
    text: String,
}

impl Writer {
    /// What every record of the job has.
    fn of(job: &Job, attempt: u32) -> Writer {
        let headers = OwnedHeaders::new_with_capacity(USUAL + job.headers.len());
        let mut writer = Writer { headers: Some(headers), text: String::with_capacity(LONGEST_SHOWN) };
        writer.put_shown(name::ID, job.id);
        writer.put(name::TIER, job.tier.as_str());
        writer.put_optional(name::TYPE, job.job_type.as_deref());
        writer.put(name::TENANT, &*job.tenant);
        writer.put_shown(name::ACCEPTED_AT, job.accepted_at);
        writer.put_optional(name::CONTENT_TYPE, job.content_type.as_deref());
        writer.put_shown(name::ATTEMPT, attempt);
        if let Some(expires_at) = job.expires_at {
            writer.put_shown(name::EXPIRES_AT, expires_at);
        }
        for (header, value) in &job.headers {
            writer.put(&in_kafka(header), &**value);
        }
        writer
    }

    fn put<V: ToBytes + ?Sized>(&mut self, key: &str, value: &V) {
        self.headers = self.headers.take().map(|headers| headers.insert(Header { key, value: Some(value) }));
    }

    fn done(self) -> OwnedHeaders {
        self.headers.unwrap_or_default()
    }

    fn put_optional(&mut self, key: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.put(key, value);
        }
    }

    fn put_shown(&mut self, key: &str, value: impl std::fmt::Display) {
        let mut text = std::mem::take(&mut self.text);
        text.clear();
        // Writing into a string cannot fail.
        let _ = write!(text, "{value}");
        self.put(key, text.as_str());
        self.text = text;
    }
}

/// The name in Kafka of a header that came by HTTP.
fn in_kafka(header: &str) -> Cow<'_, str> {
    let [http, kafka] = name::EVENT;
    match header.strip_prefix(http) {
        Some(attribute) => Cow::Owned(format!("{kafka}{attribute}")),
        None => Cow::Borrowed(header),
    }
}

/// Headers of a usual job.
const USUAL: usize = 8;

/// Bytes of an id, the longest of what is written down first.
const LONGEST_SHOWN: usize = 36;

/// What the lengths of a header's name and value take, at most.
const LENGTHS: usize = 10;

/// What is the same for every job: names, id, tier, attempt and times, what was there before a replay, all lengths.
const FIXED: usize = 500;
