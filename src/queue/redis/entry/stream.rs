//! A job as the fields of a stream's entry.
//!
//! The fields are `id tier type tenant accepted_at content_type ordering_key expires_at attempt traceparent tracestate ce_*
//! body`; those that a job has not are left out. The body is raw.

use std::borrow::Cow;
use std::str;
use std::str::FromStr;
use std::sync::Arc;

use bytes::Bytes;
use deadpool_redis::redis::{RedisWrite, Value};

use crate::domain::job::Job;
use crate::domain::time::Timestamp;
use crate::queue::redis::entry::Headers;
use crate::queue::redis::entry::element::{Element, field_of_header, header_of_field};
use crate::queue::redis::entry::members;
use crate::queue::tries::Tries;

/// An entry that is no job; says what is wrong, never what the entry holds.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BrokenEntry {
    /// Not a list of fields with their values.
    #[error("it is not a list of fields and values")]
    NotFields,
    /// A field that every job has is not there.
    #[error("`{0}` is missing")]
    Missing(&'static str),
    /// A field is not what it must be.
    #[error("`{name}` is not {wanted}")]
    Wrong {
        /// The field.
        name: &'static str,
        /// What it must be.
        wanted: &'static str,
    },
}

/// Arguments that [`write`] writes for this job.
pub fn arguments(job: &Job) -> usize {
    let optional = [job.job_type.is_some(), job.content_type.is_some(), job.ordering_key.is_some()];
    let optional =
        optional.into_iter().filter(|there| *there).count() + usize::from(job.expires_at.is_some());
    2 * (ALWAYS + optional + job.headers.len())
}

/// Bytes that [`write`] writes for this job, about.
pub fn size(job: &Job) -> usize {
    let text = |text: &Option<Box<str>>| text.as_ref().map_or(0, |text| text.len());
    let texts = text(&job.job_type) + text(&job.content_type) + text(&job.ordering_key) + job.tenant.len();
    let headers: usize = job.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    job.payload.len() + texts + headers + FIXED
}

/// Writes the job's fields and values as arguments, for the first attempt.
pub fn write<W: ?Sized + RedisWrite>(job: &Job, out: &mut W) {
    out.write_arg(b"id");
    out.write_arg_fmt(job.id);
    out.write_arg(b"tier");
    out.write_arg(job.tier.as_str().as_bytes());
    write_text(b"type", job.job_type.as_deref(), out);
    out.write_arg(b"tenant");
    out.write_arg(job.tenant.as_bytes());
    out.write_arg(b"accepted_at");
    out.write_arg_fmt(job.accepted_at);
    write_text(b"content_type", job.content_type.as_deref(), out);
    write_text(b"ordering_key", job.ordering_key.as_deref(), out);
    if let Some(expires_at) = job.expires_at {
        out.write_arg(b"expires_at");
        out.write_arg_fmt(expires_at);
    }
    out.write_arg(b"attempt");
    out.write_arg(b"1");
    for (name, value) in &job.headers {
        match field_of_header(name) {
            Cow::Borrowed(name) => out.write_arg(name.as_bytes()),
            Cow::Owned(name) => out.write_arg(name.as_bytes()),
        }
        out.write_arg(value.as_bytes());
    }
    out.write_arg(b"body");
    out.write_arg(&job.payload);
}

/// The job of an entry, from its fields and values in turn as Redis answers them. Fields that no job has are left out.
///
/// # Errors
/// What is wrong with it.
pub fn read(fields: &[Value]) -> Result<Element, BrokenEntry> {
    let fields = Fields(fields);
    fields.check()?;
    let text = |name| fields.text(name).map(|text| text.map(Box::from));
    let job = Job {
        id: fields.parsed("id", "a UUID")?,
        tier: fields.parsed("tier", "p0, p1 or p2")?,
        tenant: Arc::from(fields.text("tenant")?.ok_or(BrokenEntry::Missing("tenant"))?),
        job_type: text("type")?,
        ordering_key: text("ordering_key")?,
        content_type: text("content_type")?,
        accepted_at: fields.time("accepted_at")?.ok_or(BrokenEntry::Missing("accepted_at"))?,
        expires_at: fields.time("expires_at")?,
        headers: fields.headers()?,
        keyed: None,
        payload: Bytes::copy_from_slice(fields.find("body").ok_or(BrokenEntry::Missing("body"))?),
    };
    let tries = Tries {
        attempt: fields.count("attempt")?.unwrap_or(1),
        earlier: fields.count("earlier_attempts")?.unwrap_or(0),
        first_failed_at: fields.time("first_failed_at")?,
    };
    Ok(Element { job, tries })
}

fn write_text<W: ?Sized + RedisWrite>(name: &[u8], text: Option<&str>, out: &mut W) {
    if let Some(text) = text {
        out.write_arg(name);
        out.write_arg(text.as_bytes());
    }
}

/// Fields and values in turn.
struct Fields<'a>(&'a [Value]);

impl<'a> Fields<'a> {
    fn check(&self) -> Result<(), BrokenEntry> {
        let texts = self.0.iter().all(|value| matches!(value, Value::BulkString(_)));
        if texts && self.0.len().is_multiple_of(2) { Ok(()) } else { Err(BrokenEntry::NotFields) }
    }

    fn pairs(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        self.0.chunks_exact(2).filter_map(|pair| match pair {
            [Value::BulkString(name), Value::BulkString(value)] => Some((name.as_slice(), value.as_slice())),
            _ => None,
        })
    }

    fn find(&self, wanted: &str) -> Option<&'a [u8]> {
        self.pairs().find(|(name, _)| *name == wanted.as_bytes()).map(|(_, value)| value)
    }

    fn text(&self, name: &'static str) -> Result<Option<&'a str>, BrokenEntry> {
        let text = self.find(name).map(str::from_utf8).transpose();
        text.map_err(|_| BrokenEntry::Wrong { name, wanted: "a text" })
    }

    fn parsed<T: FromStr>(&self, name: &'static str, wanted: &'static str) -> Result<T, BrokenEntry> {
        let text = self.text(name)?.ok_or(BrokenEntry::Missing(name))?;
        text.parse().map_err(|_| BrokenEntry::Wrong { name, wanted })
    }

    fn time(&self, name: &'static str) -> Result<Option<Timestamp>, BrokenEntry> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        let wrong = BrokenEntry::Wrong { name, wanted: "a time of RFC 3339 that ends in Z" };
        members::time(text).map(Some).ok_or(wrong)
    }

    fn count(&self, name: &'static str) -> Result<Option<u32>, BrokenEntry> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        text.parse().map(Some).map_err(|_| BrokenEntry::Wrong { name, wanted: "a whole number" })
    }

    fn headers(&self) -> Result<Headers, BrokenEntry> {
        let wrong = || BrokenEntry::Wrong { name: "traceparent, tracestate or ce_*", wanted: "a text" };
        let mut headers = Vec::new();
        for (name, value) in self.pairs() {
            if let Some(header) = str::from_utf8(name).ok().and_then(header_of_field) {
                headers.push((header.into(), str::from_utf8(value).map_err(|_| wrong())?.into()));
            }
        }
        Ok(headers)
    }
}

/// Fields that every job has: `id tier tenant accepted_at attempt body`.
const ALWAYS: usize = 6;

/// Bytes of the names and of the values that are always as long.
const FIXED: usize = 200;

#[cfg(test)]
mod tests {
    use deadpool_redis::redis::ToRedisArgs;

    use super::*;
    use crate::domain::job::JobId;
    use crate::domain::tier::Tier;

    struct Written<'a>(&'a Job);

    impl ToRedisArgs for Written<'_> {
        fn write_redis_args<W: ?Sized + RedisWrite>(&self, out: &mut W) {
            write(self.0, out);
        }
    }

    fn fields(job: &Job) -> Vec<Value> {
        Written(job).to_redis_args().into_iter().map(Value::BulkString).collect()
    }

    fn bare() -> Job {
        let at = Timestamp::from_millis(1_700_000_000_007);
        Job {
            tenant: "acme".into(),
            accepted_at: at,
            payload: Bytes::from_static(b"\xff\x00raw\r\n"),
            ..Job::bare(JobId::new(at, [7; 10]), Tier::P2)
        }
    }

    #[test]
    fn a_job_reads_back_as_it_was() {
        let full = Job {
            job_type: Some("order".into()),
            ordering_key: Some("customer 7".into()),
            content_type: Some("application/json".into()),
            expires_at: Some(Timestamp::from_millis(1_700_000_060_000)),
            headers: vec![
                ("traceparent".into(), "00-0af7-b7ad-01".into()),
                ("ce-source".into(), "/shop".into()),
            ],
            ..bare()
        };
        for job in [bare(), full] {
            let fields = fields(&job);
            assert_eq!(fields.len(), arguments(&job));
            assert_eq!(read(&fields), Ok(Element { job, tries: Tries::NONE }));
        }
    }

    #[test]
    fn times_and_headers_are_written_as_workers_know_them() {
        let job = Job { headers: vec![("ce-type".into(), "x".into())], ..bare() };
        let fields = fields(&job);
        let text = |name: &str| str::from_utf8(Fields(&fields).find(name).unwrap()).unwrap().to_owned();
        assert_eq!(text("accepted_at"), "2023-11-14T22:13:20.007Z");
        assert_eq!((text("ce_type"), text("attempt"), text("tier")), ("x".into(), "1".into(), "p2".into()));
        assert_eq!(Fields(&fields).find("type"), None, "what a job has not is left out");
    }

    #[test]
    fn an_entry_of_another_producer_says_what_is_missing() {
        let text = |text: &str| Value::BulkString(text.into());
        assert_eq!(read(&[text("body"), text("x")]), Err(BrokenEntry::Missing("id")));
        assert_eq!(read(&[text("body")]), Err(BrokenEntry::NotFields));
        assert_eq!(read(&[Value::Int(1), Value::Nil]), Err(BrokenEntry::NotFields));
    }
}
