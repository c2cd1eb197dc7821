//! Stored jobs: whatever bytes lie in a queue, reading them fails quietly or gives a job that is written and read back as it is.

use arbitrary::{Arbitrary, Unstructured};
use bytes::Bytes;
use deadpool_redis::redis::Value;
use rdkafka::Timestamp as RecordTime;
use rdkafka::message::{Header, OwnedHeaders, OwnedMessage};
use std::sync::Arc;
use tidegate::domain::idempotency::{Fingerprint, Key, Keyed};
use tidegate::domain::job::{Job, JobId};
use tidegate::domain::tier::Tier;
use tidegate::domain::time::Timestamp;
use tidegate::queue::embedded::record::{self, History};
use tidegate::queue::kafka::record::read::{dead_id, read, read_dead};
use tidegate::queue::kafka::record::write::{Record, write_again, write_dead};
use tidegate::queue::redis::entry::element::{self, Element};
use tidegate::queue::redis::entry::{again, stream};
use tidegate::queue::spool::envelope;
use tidegate::queue::tries::Tries;

/// The first byte says what the rest lies in.
pub fn run(data: &[u8]) {
    let Some((kind, rest)) = data.split_first() else { return };
    match kind % 6 {
        0 => embedded(rest),
        1 => history(rest),
        2 => redis_json(rest),
        3 => redis_fields(rest),
        4 => kafka(rest),
        _ => drop(AnyJob::arbitrary(&mut Unstructured::new(rest)).map(|any| written(&any))),
    }
}

fn embedded(bytes: &[u8]) {
    let damaged = Bytes::copy_from_slice(bytes);
    let _ = record::salvage(Tier::P1, &damaged);
    // Bytes with the right checksum are taken for a record.
    let mut sealed = bytes.to_vec();
    sealed.extend(crc32fast::hash(bytes).to_le_bytes());
    let Some(job) = record::decode(Tier::P1, &Bytes::from(sealed)) else { return };
    assert_eq!(record::decode(Tier::P1, &record::record(&job)), Some(job));
}

fn history(bytes: &[u8]) {
    let Some(history) = History::decode(bytes) else { return };
    assert_eq!(History::decode(&history.encode()), Some(history));
}

fn redis_json(json: &[u8]) {
    let came_in = element::came_in(json);
    let _ = std::str::from_utf8(json).map(element::told_time);
    if let Ok(element) = element::decode(json) {
        assert_eq!(came_in, Some(element.job.accepted_at));
        assert_eq!(element::decode(&element::encode(&element.job, element.tries)), Ok(element));
    }
    if let Ok(letter) = element::decode_dead(json) {
        assert!(letter.death.reason.len() <= json.len());
    }
}

/// Names and values in turn, each ended by a record separator; the last value is what is left.
fn redis_fields(bytes: &[u8]) {
    let fields: Vec<_> =
        bytes.split(|byte| *byte == SEPARATOR).map(|field| Value::BulkString(field.to_vec())).collect();
    let Ok(element) = stream::read(&fields) else { return };
    assert_eq!(read_again(&element), Ok(element));
}

fn read_again(element: &Element) -> Result<Element, stream::BrokenEntry> {
    let fields: Vec<_> = again::fields(element).into_iter().map(Value::BulkString).collect();
    stream::read(&fields)
}

/// Key, payload, then headers as names and values in turn, each ended by a record separator. An empty key or payload is none.
fn kafka(bytes: &[u8]) {
    let mut parts = bytes.split(|byte| *byte == SEPARATOR);
    let mut some = || parts.next().filter(|part| !part.is_empty()).map(<[u8]>::to_vec);
    let (key, payload) = (some(), some());
    let mut headers = OwnedHeaders::new();
    while let (Some(name), Some(value)) = (parts.next(), parts.next()) {
        // The client takes no other names.
        if let Some(key) = std::str::from_utf8(name).ok().filter(|name| !name.contains('\0')) {
            headers = headers.insert(Header { key, value: Some(value) });
        }
    }
    let time = RecordTime::CreateTime(i64::from(bytes.len() as u32) - 3);
    let message = OwnedMessage::new(payload, key, "t".to_owned(), time, 0, 0, Some(headers));
    let _ = dead_id(&message);
    if let Ok((job, tries)) = read(&message) {
        assert_eq!(read(&sent(write_again(&job, tries))), Ok((job, tries)));
    }
    if let Ok(letter) = read_dead(&message) {
        assert_eq!(read_dead(&sent(write_dead(&letter))), Ok(letter));
    }
}

fn sent(record: Record) -> OwnedMessage {
    let key = record.key.map(|key| key.as_bytes().to_vec());
    let payload = Some(record.payload.to_vec());
    OwnedMessage::new(payload, key, "t".to_owned(), RecordTime::NotAvailable, 0, 0, Some(record.headers))
}

/// Whatever a job is, each way of storing it gives it back.
fn written(any: &AnyJob) {
    let job = any.job();
    assert_eq!(record::decode(job.tier, &record::record(&job)).as_ref(), Some(&job));
    let first_failed_at = any.first_failed_at.map(|millis| Timestamp::from_millis(millis.into()));
    let tries = Tries { attempt: any.attempt.max(1), earlier: any.earlier, first_failed_at };
    let element = Element { job: job.clone(), tries };
    assert_eq!(element::decode(&element::encode(&job, tries)), Ok(element.clone()));
    assert_eq!(read_again(&element), Ok(element));
    assert_eq!(read(&sent(write_again(&job, tries))), Ok((job.clone(), tries)));
    let mut sealed = Job { keyed: any.keyed(), ..job.clone() };
    envelope::seal(&mut sealed);
    let mut back =
        record::decode(job.tier, &record::record(&sealed)).unwrap_or_else(|| panic!("a sealed job is one"));
    envelope::unseal(&mut back);
    assert_eq!(back.keyed.is_some_and(|keyed| Some(keyed) == any.keyed()), any.keyed().is_some());
    assert_eq!(Job { keyed: None, ..back }, job);
}

/// A job out of a fuzzer's bytes.
#[derive(Arbitrary, Debug)]
struct AnyJob {
    id: [u8; 16],
    tier: u8,
    tenant: String,
    texts: [Option<String>; 3],
    accepted_at: u64,
    expires_at: Option<u64>,
    trace: [Option<String>; 2],
    attributes: Vec<(String, String)>,
    keyed: Option<([u8; 16], [u8; 16])>,
    attempt: u32,
    earlier: u32,
    first_failed_at: Option<u32>,
    payload: Vec<u8>,
}

impl AnyJob {
    fn job(&self) -> Job {
        let text = |place: usize| self.texts[place].as_deref().map(Box::from);
        Job {
            id: JobId::from_bytes(self.id),
            tier: Tier::ALL[usize::from(self.tier % 3)],
            tenant: Arc::from(self.tenant.as_str()),
            job_type: text(0),
            ordering_key: text(1),
            content_type: text(2),
            accepted_at: Timestamp::from_millis(self.accepted_at),
            // The first millisecond of all is no expiry in a record.
            expires_at: self.expires_at.map(|millis| Timestamp::from_millis(millis.max(1))),
            headers: self.headers(),
            keyed: None,
            payload: Bytes::from(self.payload.clone()),
        }
    }

    /// Each name once, as HTTP gives them.
    fn headers(&self) -> Vec<(Box<str>, Box<str>)> {
        let mut headers: Vec<(Box<str>, Box<str>)> = Vec::new();
        for (name, value) in ["traceparent", "tracestate"].iter().zip(&self.trace) {
            headers.extend(value.as_deref().map(|value| ((*name).into(), value.into())));
        }
        for (name, value) in &self.attributes {
            let name: String =
                name.chars().filter(|letter| matches!(letter, 'a'..='z' | '0'..='9')).collect();
            let name = format!("ce-{name}").into_boxed_str();
            if headers.iter().all(|(other, _)| *other != name) {
                headers.push((name, value.as_str().into()));
            }
        }
        headers
    }

    fn keyed(&self) -> Option<Keyed> {
        self.keyed.map(|(key, fingerprint)| Keyed { key: Key(key), fingerprint: Fingerprint(fingerprint) })
    }
}

const SEPARATOR: u8 = 0x1e;
