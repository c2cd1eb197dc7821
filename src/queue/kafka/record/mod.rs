//! Jobs as records of Kafka.
//!
//! The key is the ordering key, the value the payload; an empty payload is an empty value, never none: that would be a
//! tombstone. The headers are `id tier type tenant accepted-at content-type attempt expires-at traceparent tracestate ce_*`,
//! those that a job has not are left out. An event's attributes are texts already, as the Kafka binding of CloudEvents wants
//! them. A job that was a dead letter before has `earlier-attempts` and `first-failed-at` beside.

pub mod read;
pub mod write;

/// Names of headers.
mod name {
    pub const ID: &str = "id";
    pub const TIER: &str = "tier";
    pub const TYPE: &str = "type";
    pub const TENANT: &str = "tenant";
    pub const ACCEPTED_AT: &str = "accepted-at";
    pub const CONTENT_TYPE: &str = "content-type";
    pub const ATTEMPT: &str = "attempt";
    pub const EXPIRES_AT: &str = "expires-at";
    pub const EARLIER_ATTEMPTS: &str = "earlier-attempts";
    pub const FIRST_FAILED_AT: &str = "first-failed-at";
    /// Of dead letters alone, whose key is their id.
    pub const ORDERING_KEY: &str = "ordering-key";
    pub const REASON: &str = "reason";
    pub const ATTEMPTS: &str = "attempts";
    pub const DIED_AT: &str = "died-at";

    /// Carried as they are.
    pub const TRACE: [&str; 2] = ["traceparent", "tracestate"];
    /// What the headers of an event begin with in HTTP, and in Kafka.
    pub const EVENT: [&str; 2] = ["ce-", "ce_"];
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use proptest::prelude::*;
    use rdkafka::Timestamp as RecordTime;
    use rdkafka::message::{OwnedMessage, ToBytes};

    use super::read::{Unreadable, read, read_dead};
    use super::write::{Record, size, write, write_again, write_dead};
    use crate::domain::job::{Job, JobId};
    use crate::domain::tier::Tier;
    use crate::domain::time::Timestamp;
    use crate::queue::dead_letter::{DeadLetter, Death};
    use crate::queue::tries::Tries;

    fn message(record: Record) -> OwnedMessage {
        let key = record.key.map(|key| key.as_bytes().to_vec());
        let payload = Some(record.payload.to_vec());
        OwnedMessage::new(payload, key, "t".to_owned(), RecordTime::NotAvailable, 0, 0, Some(record.headers))
    }

    fn header() -> impl Strategy<Value = (Box<str>, Box<str>)> {
        let name =
            prop_oneof![Just("traceparent".to_owned()), Just("tracestate".to_owned()), "ce-[a-z0-9]{1,20}"];
        (name, any::<String>()).prop_map(|(name, value)| (name.into(), value.into()))
    }

    fn any_job() -> impl Strategy<Value = Job> {
        let texts =
            (any::<String>(), any::<Option<String>>(), any::<Option<String>>(), any::<Option<String>>());
        let times = (0..=Timestamp::MAX.millis(), prop::option::of(0..=Timestamp::MAX.millis()));
        let headers = prop::collection::vec(header(), 0..4);
        let payload = prop::collection::vec(any::<u8>(), 0..300);
        (any::<[u8; 16]>(), 0..3_u8, texts, times, headers, payload).prop_map(
            |(id, tier, texts, times, headers, payload)| Job {
                id: JobId::from_bytes(id),
                tier: Tier::from_number(tier).unwrap(),
                tenant: Arc::from(texts.0),
                job_type: texts.1.map(Box::from),
                ordering_key: texts.2.map(Box::from),
                content_type: texts.3.map(Box::from),
                accepted_at: Timestamp::from_millis(times.0),
                expires_at: times.1.map(Timestamp::from_millis),
                headers,
                keyed: None,
                payload: Bytes::from(payload),
            },
        )
    }

    /// Bytes of a record in a batch: a length, key and value with theirs, each header with the lengths of both.
    fn on_the_wire(record: &Record) -> usize {
        use rdkafka::message::Headers;
        let headers: usize = record
            .headers
            .iter()
            .map(|header| header.key.len() + header.value.map_or(0, <[u8]>::len) + 2)
            .sum();
        record.payload.len() + record.key.as_ref().map_or(0, |key| key.to_bytes().len()) + headers + 3
    }

    proptest! {
        #[test]
        fn a_job_reads_back_as_it_was(job in any_job(), attempt in 1..u32::MAX) {
            prop_assert_eq!(read(&message(write(&job, attempt))), Ok((job, Tries::of_first_life(attempt))));
        }

        #[test]
        fn a_second_life_knows_of_the_first(job in any_job(), earlier in 1..u32::MAX, millis in 0..1_u64 << 40) {
            let first_failed_at = Some(Timestamp::from_millis(millis));
            let tries = Tries { attempt: 1, earlier, first_failed_at };
            prop_assert_eq!(read(&message(write_again(&job, tries))), Ok((job, tries)));
        }

        #[test]
        fn a_dead_letter_reads_back_as_it_was(job in any_job(), attempts: u32, reason: String, times: [u32; 2]) {
            let [first_failed_at, died_at] = times.map(|time| Timestamp::from_millis(time.into()));
            let letter = DeadLetter { job, death: Death { attempts, reason, first_failed_at, died_at } };
            let record = write_dead(&letter);
            prop_assert_eq!(record.key.as_deref(), Some(&*letter.job.id.to_string()));
            prop_assert_eq!(read_dead(&message(record)), Ok(letter));
        }

        #[test]
        fn no_record_is_larger_than_its_size(job in any_job()) {
            let (record, size) = (write(&job, u32::MAX), size(&job));
            prop_assert!(on_the_wire(&record) <= size, "{} {size}", on_the_wire(&record));
            prop_assert!(size <= on_the_wire(&record) + 1000);
        }
    }

    #[test]
    fn long_texts_are_in_the_size() {
        let long = || Some("é".repeat(5_000).into());
        let job = Job {
            tenant: "t".repeat(5_000).into(),
            job_type: long(),
            ordering_key: long(),
            content_type: long(),
            headers: vec![("ce-subject".into(), "é".repeat(5_000).into())],
            payload: Bytes::from(vec![0; 5_000]),
            ..Job::bare(JobId::from_bytes([7; 16]), Tier::P2)
        };
        assert!(on_the_wire(&write(&job, 1)) <= size(&job));
    }

    #[test]
    fn a_record_is_as_workers_know_it() {
        use rdkafka::message::Headers;
        let id: JobId = "018bcfe5-6800-7b2f-8c1d-000000000001".parse().unwrap();
        let job = Job {
            job_type: Some("payment".into()),
            ordering_key: Some("customer-7".into()),
            content_type: Some("application/json".into()),
            accepted_at: Timestamp::from_millis(1_700_000_000_007),
            expires_at: Some(Timestamp::from_millis(1_700_000_060_007)),
            headers: vec![
                ("traceparent".into(), "00-ab-cd-01".into()),
                ("ce-subject".into(), "Zoë 100%".into()),
            ],
            ..Job::bare(id, Tier::P0)
        };
        let record = write(&job, 2);
        assert_eq!((record.key.as_deref(), &*record.payload), (Some("customer-7"), &b""[..]));
        let text = |value: Option<&[u8]>| String::from_utf8(value.unwrap().to_vec()).unwrap();
        let headers: Vec<_> =
            record.headers.iter().map(|header| (header.key.to_owned(), text(header.value))).collect();
        let expected = [
            ("id", "018bcfe5-6800-7b2f-8c1d-000000000001"),
            ("tier", "p0"),
            ("type", "payment"),
            ("tenant", "anonymous"),
            ("accepted-at", "2023-11-14T22:13:20.007Z"),
            ("content-type", "application/json"),
            ("attempt", "2"),
            ("expires-at", "2023-11-14T22:14:20.007Z"),
            ("traceparent", "00-ab-cd-01"),
            ("ce_subject", "Zoë 100%"),
        ];
        assert_eq!(headers, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }

    #[test]
    fn what_is_no_job_says_what_is_missing_or_wrong() {
        use rdkafka::message::{Header, OwnedHeaders};
        let of = |headers: &[(&str, Option<&str>)]| {
            let start = OwnedHeaders::new();
            let headers = headers
                .iter()
                .fold(start, |headers, (key, value)| headers.insert(Header { key, value: *value }));
            OwnedMessage::new(None, None, "t".to_owned(), RecordTime::CreateTime(7), 0, 0, Some(headers))
        };
        let id = ("id", Some("018bcfe5-6800-7b2f-8c1d-000000000001"));
        let tier = ("tier", Some("p1"));
        assert_eq!(read(&of(&[tier])), Err(Unreadable::Missing("id")));
        assert_eq!(read(&of(&[id])), Err(Unreadable::Missing("tier")));
        assert_eq!(read(&of(&[("id", None), tier])), Err(Unreadable::Missing("id")));
        assert!(matches!(read(&of(&[("id", Some("x")), tier])), Err(Unreadable::Wrong { name: "id", .. })));
        assert!(matches!(
            read(&of(&[id, ("tier", Some("p3"))])),
            Err(Unreadable::Wrong { name: "tier", .. })
        ));
        let attempt = ("attempt", Some("two"));
        assert!(matches!(read(&of(&[id, tier, attempt])), Err(Unreadable::Wrong { name: "attempt", .. })));
        let (job, tries) = read(&of(&[id, tier, ("colour", Some("red"))])).unwrap();
        assert_eq!((job.accepted_at, &*job.tenant), (Timestamp::from_millis(7), "anonymous"));
        assert_eq!((job.payload.len(), tries), (0, Tries::of_first_life(1)));
        let letter = read_dead(&of(&[id, tier])).unwrap();
        assert_eq!((letter.death.died_at, letter.death.attempts), (Timestamp::from_millis(7), 1));
        assert_eq!(letter.death.reason, "no reason was given");
        let nothing = OwnedMessage::new(None, None, "t".to_owned(), RecordTime::NotAvailable, 0, 0, None);
        assert_eq!(read(&nothing), Err(Unreadable::Missing("id")));
    }
}
