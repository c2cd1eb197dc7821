//! The members of a job's JSON object, read one by one: known ones once, unknown ones not at all.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;
use std::time::UNIX_EPOCH;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::Deserializer;
use serde::de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::error::Category;

use crate::domain::time::Timestamp;
use crate::queue::redis::entry::Headers;
use crate::queue::redis::entry::element::{BrokenElement, header_of_field};

/// The members that mean something, as they came.
#[derive(Debug, Default)]
pub(super) struct Members {
    named: Vec<(&'static str, Member)>,
    headers: Vec<(Box<str>, Member)>,
}

/// What a member holds.
#[derive(Debug)]
enum Member {
    Text(String),
    Number(f64),
    /// An array, an object or a truth value: nothing of a job is one.
    Other,
}

impl Members {
    /// Reads one JSON object.
    ///
    /// # Errors
    /// It is none, or has a member twice.
    pub(super) fn read(json: &[u8]) -> Result<Members, BrokenElement> {
        let mut reader = serde_json::Deserializer::from_slice(json);
        let read = reader.deserialize_map(ObjectVisitor);
        read.and_then(|members| reader.end().map(|()| members)).map_err(|error| {
            BrokenElement::NotAnObject(match error.classify() {
                Category::Eof => "it ends too early",
                Category::Data => "it is another value, or has a member twice",
                Category::Syntax | Category::Io => "it is no JSON",
            })
        })
    }

    pub(super) fn text(&self, name: &'static str) -> Result<Option<&str>, BrokenElement> {
        match self.find(name) {
            None => Ok(None),
            Some(Member::Text(text)) => Ok(Some(text)),
            Some(_) => Err(BrokenElement::Wrong { name, wanted: "a text" }),
        }
    }

    pub(super) fn required(&self, name: &'static str) -> Result<&str, BrokenElement> {
        self.text(name)?.ok_or(BrokenElement::Missing(name))
    }

    pub(super) fn parsed<T: FromStr>(
        &self,
        name: &'static str,
        wanted: &'static str,
    ) -> Result<T, BrokenElement> {
        self.required(name)?.parse().map_err(|_| BrokenElement::Wrong { name, wanted })
    }

    pub(super) fn time(&self, name: &'static str) -> Result<Option<Timestamp>, BrokenElement> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        let wrong = BrokenElement::Wrong { name, wanted: "a time of RFC 3339 that ends in Z" };
        time(text).map(Some).ok_or(wrong)
    }

    /// A whole number, also where it is written as a text.
    pub(super) fn count(&self, name: &'static str) -> Result<Option<u32>, BrokenElement> {
        let count = match self.find(name) {
            None => return Ok(None),
            Some(Member::Number(number)) => {
                let whole = *number as u32;
                (f64::from(whole) == *number).then_some(whole)
            }
            Some(Member::Text(text)) => text.parse().ok(),
            Some(Member::Other) => None,
        };
        count.map(Some).ok_or(BrokenElement::Wrong { name, wanted: "a whole number from 0 to 4294967295" })
    }

    /// Seconds since the epoch, however they are written.
    pub(super) fn seconds(&self, name: &'static str) -> Option<f64> {
        let seconds = match self.find(name)? {
            Member::Number(seconds) => *seconds,
            Member::Text(text) => text.parse().ok()?,
            Member::Other => return None,
        };
        (seconds.is_finite() && seconds >= 0.0).then_some(seconds)
    }

    pub(super) fn take_headers(&mut self) -> Result<Headers, BrokenElement> {
        let wrong = BrokenElement::Wrong { name: "traceparent, tracestate or ce_*", wanted: "a text" };
        let text = |(name, value)| match value {
            Member::Text(value) => Ok((name, value.into_boxed_str())),
            _ => Err(wrong.clone()),
        };
        std::mem::take(&mut self.headers).into_iter().map(text).collect()
    }

    pub(super) fn take_payload(&mut self) -> Result<Bytes, BrokenElement> {
        match (self.take("body"), self.take("body_base64")) {
            (Some(Member::Text(text)), None) => Ok(Bytes::from(text)),
            (None, Some(Member::Text(text))) => {
                let wrong = BrokenElement::Wrong { name: "body_base64", wanted: "base64" };
                STANDARD.decode(text).map(Bytes::from).map_err(|_| wrong)
            }
            (None, None) => Err(BrokenElement::Missing("body")),
            _ => Err(BrokenElement::Wrong { name: "body", wanted: "one text, `body` or `body_base64`" }),
        }
    }

    fn find(&self, name: &str) -> Option<&Member> {
        self.named.iter().find(|(known, _)| *known == name).map(|(_, member)| member)
    }

    fn take(&mut self, name: &str) -> Option<Member> {
        let place = self.named.iter().position(|(known, _)| *known == name)?;
        Some(self.named.swap_remove(place).1)
    }
}

/// The time of a text as the gateway writes times: RFC 3339, UTC, `Z`.
pub(super) fn time(text: &str) -> Option<Timestamp> {
    let since_epoch = humantime::parse_rfc3339(text).ok()?.duration_since(UNIX_EPOCH).ok()?;
    Some(Timestamp::from_millis(u64::try_from(since_epoch.as_millis()).ok()?))
}

struct ObjectVisitor;

impl<'de> Visitor<'de> for ObjectVisitor {
    type Value = Members;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
        let mut members = Members::default();
        let mut seen = BTreeSet::new();
        while let Some(name) = map.next_key::<Cow<'_, str>>()? {
            let known = NAMES.iter().copied().find(|known| **known == *name);
            let header = header_of_field(&name).map(Box::from);
            if known.is_none() && header.is_none() {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            let again = match (known, &header) {
                (Some(known), _) => members.find(known).is_some(),
                (None, Some(header)) => !seen.insert(Box::<str>::clone(header)),
                (None, None) => false,
            };
            if again {
                return Err(A::Error::custom("a member twice"));
            }
            // What is null is not there.
            match (map.next_value_seed(MemberVisitor)?, known, header) {
                (Some(member), Some(known), _) => members.named.push((known, member)),
                (Some(member), None, Some(header)) => members.headers.push((header, member)),
                _ => {}
            }
        }
        Ok(members)
    }
}

struct MemberVisitor;

impl<'de> DeserializeSeed<'de> for MemberVisitor {
    type Value = Option<Member>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Option<Member>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for MemberVisitor {
    type Value = Option<Member>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_str<E>(self, text: &str) -> Result<Option<Member>, E> {
        Ok(Some(Member::Text(text.to_owned())))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Option<Member>, E> {
        Ok(Some(Member::Number(number as f64)))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Option<Member>, E> {
        Ok(Some(Member::Number(number as f64)))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Option<Member>, E> {
        Ok(Some(Member::Number(number)))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Option<Member>, E> {
        Ok(Some(Member::Other))
    }

    fn visit_unit<E>(self) -> Result<Option<Member>, E> {
        Ok(None)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Option<Member>, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Some(Member::Other))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Option<Member>, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Some(Member::Other))
    }
}

/// The members that are read, headers excepted.
const NAMES: &[&str] = &[
    "id",
    "tier",
    "type",
    "tenant",
    "accepted_at",
    "content_type",
    "ordering_key",
    "expires_at",
    "attempt",
    "body",
    "body_base64",
    "_enqueued_at",
    "_retry_count",
    "earlier_attempts",
    "first_failed_at",
    "attempts",
    "reason",
    "died_at",
];
