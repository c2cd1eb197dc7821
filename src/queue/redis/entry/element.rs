//! A job as one JSON object: an element of a list, a job delayed for a retry, a dead letter.
//!
//! The members are the fields of a stream's entry: `id tier type tenant accepted_at content_type ordering_key expires_at
//! attempt traceparent tracestate ce_* body`, where `body_base64` stands for a body that is no UTF-8. `_enqueued_at` and
//! `_retry_count` repeat the acceptance and the attempts before for workers that know no others. A job that was a dead
//! letter before has `earlier_attempts` and `first_failed_at` beside.

use std::borrow::Cow;
use std::fmt;
use std::str;
use std::sync::Arc;

use base64::display::Base64Display;
use base64::engine::general_purpose::STANDARD;
use serde::ser::{SerializeMap, Serializer};

use crate::domain::job::Job;
use crate::domain::time::Timestamp;
use crate::queue::dead_letter::{DeadLetter, Death};
use crate::queue::redis::entry::members::{self, Members};
use crate::queue::tries::Tries;

/// A job read from Redis, with what its workers know of its attempts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Element {
    /// The job.
    pub job: Job,
    /// Its attempts.
    pub tries: Tries,
}

/// A text that is no job; says what is wrong, never what the text holds.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BrokenElement {
    /// Not one JSON object with each member once.
    #[error("it is not a JSON object of a job: {0}")]
    NotAnObject(&'static str),
    /// A member that every job has is not there.
    #[error("`{0}` is missing")]
    Missing(&'static str),
    /// A member is not what it must be.
    #[error("`{name}` is not {wanted}")]
    Wrong {
        /// The member.
        name: &'static str,
        /// What it must be.
        wanted: &'static str,
    },
}

/// The JSON of a job.
pub fn encode(job: &Job, tries: Tries) -> Vec<u8> {
    let mut json = Vec::with_capacity(job.payload.len() + job.payload.len() / 8 + OVERHEAD);
    // Cannot fail: a growing buffer, and keys that are texts.
    let _ = write(job, tries, &mut json);
    json
}

/// The job of a JSON object. Members that no job has are left out.
///
/// An `attempt` that is behind `_retry_count` comes from a worker that knows only the latter: the larger counts. Numbers
/// may be texts, as the fields of a stream are.
///
/// # Errors
/// What is wrong with it.
pub fn decode(json: &[u8]) -> Result<Element, BrokenElement> {
    element(Members::read(json)?).map(|(element, _)| element)
}

/// The dead letter of a JSON object: a job with `attempts` (over all lives), `reason`, `first_failed_at` and `died_at`.
///
/// # Errors
/// What is wrong with it.
pub fn decode_dead(json: &[u8]) -> Result<DeadLetter, BrokenElement> {
    let (Element { job, tries }, members) = element(Members::read(json)?)?;
    let died_at = members.time("died_at")?.ok_or(BrokenElement::Missing("died_at"))?;
    let death = Death {
        attempts: members.count("attempts")?.unwrap_or(tries.in_all()),
        reason: members.required("reason")?.to_owned(),
        first_failed_at: tries.first_failed_at.unwrap_or(died_at),
        died_at,
    };
    Ok(DeadLetter { job, death })
}

/// When the job of an element came in, whatever else the element holds: `accepted_at`, or the `_enqueued_at` of other
/// producers.
pub fn came_in(json: &[u8]) -> Option<Timestamp> {
    let members = Members::read(json).ok()?;
    let enqueued = || members.seconds("_enqueued_at").map(at_seconds);
    members.time("accepted_at").ok().flatten().or_else(enqueued)
}

/// The time of a text that is `accepted_at` or `_enqueued_at` of an element.
pub fn told_time(text: &str) -> Option<Timestamp> {
    let seconds = || text.parse().ok().filter(|seconds: &f64| seconds.is_finite() && *seconds >= 0.0);
    members::time(text).or_else(|| seconds().map(at_seconds))
}

fn at_seconds(seconds: f64) -> Timestamp {
    Timestamp::from_millis((seconds * 1000.0).round() as u64)
}

/// The name under which Redis keeps a header that is carried to the worker: `ce-source` is `ce_source`, others are as
/// they are.
pub fn field_of_header(header: &str) -> Cow<'_, str> {
    match header.strip_prefix(EVENT_HEADER) {
        Some(attribute) => Cow::Owned(format!("{EVENT_FIELD}{attribute}")),
        None => Cow::Borrowed(header),
    }
}

/// The header that a field stands for, if it is one.
pub fn header_of_field(field: &str) -> Option<Cow<'_, str>> {
    match field.strip_prefix(EVENT_FIELD) {
        Some(attribute) => Some(Cow::Owned(format!("{EVENT_HEADER}{attribute}"))),
        None => TRACE.contains(&field).then_some(Cow::Borrowed(field)),
    }
}

fn write(job: &Job, tries: Tries, json: &mut Vec<u8>) -> serde_json::Result<()> {
    let mut writer = serde_json::Serializer::new(json);
    let mut object = writer.serialize_map(None)?;
    object.serialize_entry("id", &Written(job.id))?;
    object.serialize_entry("tier", job.tier.as_str())?;
    object.serialize_entry("tenant", &*job.tenant)?;
    let texts =
        [("type", &job.job_type), ("content_type", &job.content_type), ("ordering_key", &job.ordering_key)];
    for (name, text) in texts {
        if let Some(text) = text {
            object.serialize_entry(name, &**text)?;
        }
    }
    object.serialize_entry("accepted_at", &Written(job.accepted_at))?;
    if let Some(expires_at) = job.expires_at {
        object.serialize_entry("expires_at", &Written(expires_at))?;
    }
    object.serialize_entry("attempt", &tries.attempt)?;
    if tries.earlier > 0 {
        object.serialize_entry("earlier_attempts", &tries.earlier)?;
    }
    if let Some(first) = tries.first_failed_at {
        object.serialize_entry("first_failed_at", &Written(first))?;
    }
    for (name, value) in &job.headers {
        object.serialize_entry(&*field_of_header(name), &**value)?;
    }
    object.serialize_entry("_enqueued_at", &(job.accepted_at.millis() as f64 / 1000.0))?;
    object.serialize_entry("_retry_count", &tries.attempt.saturating_sub(1))?;
    match str::from_utf8(&job.payload) {
        Ok(text) => object.serialize_entry("body", text)?,
        Err(_) => {
            object.serialize_entry("body_base64", &Written(Base64Display::new(&job.payload, &STANDARD)))?;
        }
    }
    object.end()
}

/// A value written as its text.
struct Written<T>(T);

impl<T: fmt::Display> serde::Serialize for Written<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

fn element(mut members: Members) -> Result<(Element, Members), BrokenElement> {
    let job = Job {
        id: members.parsed("id", "a UUID")?,
        tier: members.parsed("tier", "p0, p1 or p2")?,
        tenant: Arc::from(members.required("tenant")?),
        job_type: members.text("type")?.map(Box::from),
        ordering_key: members.text("ordering_key")?.map(Box::from),
        content_type: members.text("content_type")?.map(Box::from),
        accepted_at: members.time("accepted_at")?.ok_or(BrokenElement::Missing("accepted_at"))?,
        expires_at: members.time("expires_at")?,
        headers: members.take_headers()?,
        keyed: None,
        payload: members.take_payload()?,
    };
    let retries = members.count("_retry_count")?.unwrap_or(0);
    let attempt = members.count("attempt")?.unwrap_or(1).max(retries.saturating_add(1));
    let earlier = members.count("earlier_attempts")?.unwrap_or(0);
    let first_failed_at = members.time("first_failed_at")?;
    Ok((Element { job, tries: Tries { attempt, earlier, first_failed_at } }, members))
}

/// Headers carried beside the attributes of events.
const TRACE: [&str; 2] = ["traceparent", "tracestate"];

const EVENT_HEADER: &str = "ce-";
const EVENT_FIELD: &str = "ce_";

/// Room for everything but the payload of a usual job, so that encoding allocates once.
const OVERHEAD: usize = 400;

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;
    use crate::domain::job::JobId;
    use crate::domain::tier::Tier;

    fn any_tries() -> impl Strategy<Value = Tries> {
        let first = prop::option::of(0..=Timestamp::MAX.millis());
        (1..=u32::MAX, any::<u32>(), first).prop_map(|(attempt, earlier, first)| Tries {
            attempt,
            earlier,
            first_failed_at: first.map(Timestamp::from_millis),
        })
    }

    fn any_job() -> impl Strategy<Value = Job> {
        let texts =
            (any::<String>(), any::<Option<String>>(), any::<Option<String>>(), any::<Option<String>>());
        let times = (0..=Timestamp::MAX.millis(), prop::option::of(0..=Timestamp::MAX.millis()));

        let headers = prop::collection::btree_map("traceparent|tracestate", any::<String>(), 0..3)
            .prop_flat_map(move |trace| {
                prop::collection::btree_map("ce-[a-z0-9-]{1,8}", any::<String>(), 0..3)
                    .prop_map(move |events| trace.clone().into_iter().chain(events).collect::<Vec<_>>())
            });

        let payload = prop_oneof![
            prop::collection::vec(any::<u8>(), 0..200),
            any::<String>().prop_map(String::into_bytes)
        ];
        (any::<[u8; 10]>(), 0..3_u8, texts, times, headers, payload).prop_map(
            |(random, tier, texts, times, headers, payload)| Job {
                id: JobId::new(Timestamp::from_millis(times.0), random),
                tier: Tier::from_number(tier).unwrap(),
                tenant: Arc::from(texts.0),
                job_type: texts.1.map(Box::from),
                ordering_key: texts.2.map(Box::from),
                content_type: texts.3.map(Box::from),
                accepted_at: Timestamp::from_millis(times.0),
                expires_at: times.1.map(Timestamp::from_millis),
                headers: headers.into_iter().map(|(name, value)| (name.into(), value.into())).collect(),
                keyed: None,
                payload: Bytes::from(payload),
            },
        )
    }

    proptest! {
        #[test]
        fn a_job_reads_back_as_it_was(job in any_job(), tries in any_tries()) {
            let json = encode(&job, tries);
            prop_assert_eq!(came_in(&json), Some(job.accepted_at));
            prop_assert_eq!(decode(&json), Ok(Element { job, tries }));
        }

        #[test]
        fn no_bytes_make_reading_fail_loudly(bytes in prop::collection::vec(any::<u8>(), 0..100), cut: prop::sample::Index, job in any_job()) {
            let _ = (decode(&bytes).is_ok(), decode_dead(&bytes).is_ok(), came_in(&bytes));
            let json = encode(&job, Tries::NONE);
            prop_assert!(decode(&json[..cut.index(json.len())]).is_err());
        }
    }

    const ID: &str = "018bcfe5-6800-7b2f-8c1d-000000000001";

    fn json(members: &str) -> String {
        format!(
            r#"{{"id":"{ID}","tier":"p1","tenant":"acme","accepted_at":"2023-11-14T22:13:20.007Z"{members}}}"#
        )
    }

    #[test]
    fn older_workers_find_what_they_know() {
        let element = decode(json(r#","body":"{\"type\":\"x\"}","attempt":3"#).as_bytes()).unwrap();
        let text = String::from_utf8(encode(&element.job, element.tries)).unwrap();
        assert!(
            text.contains(r#""_enqueued_at":1700000000.007,"_retry_count":2,"body":"{\"type\":\"x\"}""#),
            "{text}"
        );
    }

    #[test]
    fn the_larger_of_attempt_and_retry_count_counts() {
        let attempt = |members: &str| decode(json(members).as_bytes()).unwrap().tries.attempt;
        assert_eq!(attempt(r#","body":"""#), 1);
        assert_eq!(attempt(r#","body":"","attempt":"4""#), 4);
        assert_eq!(attempt(r#","body":"","attempt":1,"_retry_count":1"#), 2);
        assert_eq!(attempt(r#","body":"","attempt":5,"_retry_count":1"#), 5);
    }

    #[test]
    fn what_is_no_member_of_a_job_is_left_out() {
        let element =
            decode(json(r#","body":"","type":null,"_last_error":{"a":[1]},"ce_id":"7""#).as_bytes()).unwrap();
        assert_eq!(element.job.job_type, None);
        assert_eq!(element.job.headers, [("ce-id".into(), "7".into())]);
    }

    #[test]
    fn a_broken_element_says_what_is_wrong_and_nothing_of_its_content() {
        let cases = [
            ("[1]".to_owned(), "it is another value"),
            ("{".to_owned(), "ends too early"),
            (json(r#","body":"" x"#), "no JSON"),
            (json(r#","body":"","body":"""#), "a member twice"),
            (json(r#","body":"","ce_id":"1","ce_id":"2""#), "a member twice"),
            (json(r#","body":"","tenant":"again""#), "a member twice"),
            (json(""), "`body` is missing"),
            (json(r#","body":"","body_base64":"""#), "one text"),
            (json(r#","body":{"secret":1}"#), "one text"),
            (json(r#","body_base64":"secret!""#), "`body_base64` is not base64"),
            (json(r#","body":"","expires_at":"secret""#), "`expires_at` is not a time"),
            (json(r#","body":"","expires_at":5"#), "`expires_at` is not a text"),
            (json(r#","body":"","attempt":-1"#), "`attempt` is not a whole number"),
            (json(r#","body":"","attempt":1.5"#), "`attempt` is not a whole number"),
            (json(r#","body":"","attempt":4294967296"#), "`attempt` is not a whole number"),
            (json(r#","body":"","ce_id":7"#), "ce_*` is not a text"),
            (r#"{"id":"secret","body":""}"#.to_owned(), "`id` is not a UUID"),
            (r#"{"body":""}"#.to_owned(), "`id` is missing"),
        ];
        for (json, wanted) in cases {
            let error = decode(json.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(wanted) && !error.contains("secret"), "{json}: {error}");
        }
    }

    #[test]
    fn other_producers_elements_have_an_age_too() {
        let at = Some(Timestamp::from_millis(1_700_000_000_250));
        assert_eq!(came_in(br#"{"_enqueued_at": 1700000000.25, "type": "payment"}"#), at);
        assert_eq!(came_in(br#"{"_enqueued_at": "1700000000.25"}"#), at);
        assert_eq!(came_in(br#"{"_enqueued_at": -1}"#), None);
        assert_eq!(came_in(b"payment"), None);
    }

    #[test]
    fn a_dead_letter_has_its_death() {
        let dead = json(
            r#","body":"x","attempt":2,"earlier_attempts":3,"first_failed_at":"2023-11-14T22:13:21.000Z","attempts":5,"reason":"boom","died_at":"2023-11-14T22:13:22.000Z""#,
        );
        let letter = decode_dead(dead.as_bytes()).unwrap();
        let at = Timestamp::from_millis;
        let death = Death {
            attempts: 5,
            reason: "boom".into(),
            first_failed_at: at(1_700_000_001_000),
            died_at: at(1_700_000_002_000),
        };
        assert_eq!(letter.death, death);
        let missing = decode_dead(json(r#","body":"x","reason":"r""#).as_bytes());
        assert_eq!(missing, Err(BrokenElement::Missing("died_at")));
    }
}
