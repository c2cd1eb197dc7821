//! From a record to its job.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::str;
use std::str::FromStr;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use bytes::Bytes;
use rdkafka::Message;
use rdkafka::message::Headers;

use crate::domain::job::{Job, JobId};
use crate::domain::tier::Tier;
use crate::domain::time::Timestamp;
use crate::queue::dead_letter::{DeadLetter, Death};
use crate::queue::kafka::record::name;
use crate::queue::tries::Tries;

/// A record that is no job; says what is wrong, never what the record holds.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// A header that every job has is not there.
    #[error("the header `{0}` is missing")]
    Missing(&'static str),
    /// A header is not what it must be.
    #[error("the header `{name}` is not {wanted}")]
    Wrong {
        /// The header.
        name: &'static str,
        /// What it must be.
        wanted: &'static str,
    },
    /// The name of a header is no text.
    #[error("the name of a header is no text")]
    NoText,
}

/// The job of a record, and its attempts. A record of somebody else needs an `id` and a `tier`; without `accepted-at` it was
/// accepted when it was written, without `tenant` it is of nobody in particular. Headers that no job has are left out.
///
/// # Errors
/// What is wrong with it.
pub fn read(message: &impl Message) -> Result<(Job, Tries), Unreadable> {
    let headers = Fields::of(message)?;
    let job = headers.job(message, headers.key(message)?)?;
    let tries = Tries {
        attempt: headers.count(name::ATTEMPT)?.unwrap_or(1),
        earlier: headers.count(name::EARLIER_ATTEMPTS)?.unwrap_or(0),
        first_failed_at: headers.time(name::FIRST_FAILED_AT)?,
    };
    Ok((job, tries))
}

/// The dead letter of a record: a job with `attempts` (over all lives), `reason`, `first-failed-at`, `died-at`, and
/// `ordering-key`, since its key is its id. Without `died-at` it died when it was written.
///
/// # Errors
/// What is wrong with it.
pub fn read_dead(message: &impl Message) -> Result<DeadLetter, Unreadable> {
    let headers = Fields::of(message)?;
    let ordering_key = headers.text(name::ORDERING_KEY)?.map(Box::from);
    let job = headers.job(message, ordering_key)?;
    let died_at = headers.time(name::DIED_AT)?.or_else(|| written_at(message));
    let died_at = died_at.ok_or(Unreadable::Missing(name::DIED_AT))?;
    let attempts = match headers.count(name::ATTEMPTS)? {
        Some(attempts) => attempts,
        None => headers.count(name::ATTEMPT)?.unwrap_or(1),
    };
    let death = Death {
        attempts,
        reason: headers.text(name::REASON)?.unwrap_or(NO_REASON).to_owned(),
        first_failed_at: headers.time(name::FIRST_FAILED_AT)?.unwrap_or(died_at),
        died_at,
    };
    Ok(DeadLetter { job, death })
}

/// The id of a dead letter, from its key.
pub fn dead_id(message: &impl Message) -> Option<JobId> {
    str::from_utf8(message.key()?).ok()?.parse().ok()
}

/// When a record was written, as it says itself.
pub fn written_at(message: &impl Message) -> Option<Timestamp> {
    u64::try_from(message.timestamp().to_millis()?).ok().map(Timestamp::from_millis)
}

/// The headers of a record: names and values in order.
struct Fields<'a>(Vec<(&'a str, Option<&'a [u8]>)>);

impl<'a> Fields<'a> {
    fn of(message: &'a impl Message) -> Result<Fields<'a>, Unreadable> {
        let Some(headers) = message.headers() else { return Ok(Fields(Vec::new())) };
        // The client takes every name for a text, and panics where somebody wrote one that is none.
        let fields = catch_unwind(AssertUnwindSafe(|| {
            headers.iter().map(|header| (header.key, header.value)).collect()
        }));
        fields.map(Fields).map_err(|_| Unreadable::NoText)
    }

    fn job(&self, message: &impl Message, ordering_key: Option<Box<str>>) -> Result<Job, Unreadable> {
        let text = |name| self.text(name).map(|text| text.map(Box::from));
        let accepted_at = self.time(name::ACCEPTED_AT)?.or_else(|| written_at(message));
        Ok(Job {
            id: self.parsed::<JobId>(name::ID, "a UUID")?,
            tier: self.parsed::<Tier>(name::TIER, "p0, p1 or p2")?,
            tenant: Arc::from(self.text(name::TENANT)?.unwrap_or(NOBODY)),
            job_type: text(name::TYPE)?,
            ordering_key,
            content_type: text(name::CONTENT_TYPE)?,
            accepted_at: accepted_at.ok_or(Unreadable::Missing(name::ACCEPTED_AT))?,
            expires_at: self.time(name::EXPIRES_AT)?,
            headers: self.carried()?,
            keyed: None,
            payload: Bytes::copy_from_slice(message.payload().unwrap_or_default()),
        })
    }

    fn key(&self, message: &impl Message) -> Result<Option<Box<str>>, Unreadable> {
        let key = message.key().map(str::from_utf8).transpose();
        let wrong = Unreadable::Wrong { name: "(key)", wanted: "a text" };
        key.map(|key| key.map(Box::from)).map_err(|_| wrong)
    }

    /// Of two with one name the last counts, as the newest.
    fn find(&self, wanted: &str) -> Option<&'a [u8]> {
        self.0.iter().rev().find(|(name, _)| *name == wanted).and_then(|(_, value)| *value)
    }

    fn text(&self, name: &'static str) -> Result<Option<&'a str>, Unreadable> {
        let text = self.find(name).map(str::from_utf8).transpose();
        text.map_err(|_| Unreadable::Wrong { name, wanted: "a text" })
    }

    fn parsed<T: FromStr>(&self, name: &'static str, wanted: &'static str) -> Result<T, Unreadable> {
        let text = self.text(name)?.ok_or(Unreadable::Missing(name))?;
        text.parse().map_err(|_| Unreadable::Wrong { name, wanted })
    }

    fn count(&self, name: &'static str) -> Result<Option<u32>, Unreadable> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        text.parse().map(Some).map_err(|_| Unreadable::Wrong { name, wanted: "a whole number" })
    }

    fn time(&self, name: &'static str) -> Result<Option<Timestamp>, Unreadable> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        let since_epoch =
            humantime::parse_rfc3339(text).ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        let millis = since_epoch.and_then(|since| u64::try_from(since.as_millis()).ok());
        let wrong = Unreadable::Wrong { name, wanted: "a time of RFC 3339 that ends in Z" };
        millis.map(|millis| Some(Timestamp::from_millis(millis))).ok_or(wrong)
    }

    /// The headers that came by HTTP, under their names there.
    fn carried(&self) -> Result<Carried, Unreadable> {
        let [http, kafka] = name::EVENT;
        let mut carried = Vec::new();
        for (header, value) in &self.0 {
            let header: Box<str> = match header.strip_prefix(kafka) {
                Some(attribute) => format!("{http}{attribute}").into(),
                None if name::TRACE.contains(header) => (*header).into(),
                None => continue,
            };
            let wrong = || Unreadable::Wrong { name: "traceparent, tracestate or ce_*", wanted: "a text" };
            let value = str::from_utf8(value.unwrap_or_default()).map_err(|_| wrong())?;
            carried.push((header, value.into()));
        }
        Ok(carried)
    }
}

/// Headers as a job carries them.
type Carried = Vec<(Box<str>, Box<str>)>;

/// Whose a job is that does not say.
const NOBODY: &str = "anonymous";

/// Of a letter that does not say why.
const NO_REASON: &str = "no reason was given";
