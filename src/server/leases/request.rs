//! What workers send: parsed, with defaults filled in and every number within its range.

use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::domain::tier::{Tier, TierSet};
use crate::queue::embedded::lease::{LeaseRequest, Nack};
use crate::server::problem::Problem;

/// Reads the body of `POST /v1/leases`; an empty one asks for all defaults.
///
/// # Errors
/// 400: not JSON, an unknown key, or a number out of its range.
pub fn lease(body: &[u8]) -> Result<LeaseRequest, Problem> {
    let asked: LeaseBody = if body.is_empty() { LeaseBody::default() } else { parse(body)? };
    if let Some(worker) = &asked.worker
        && !(1..=LONGEST_WORKER).contains(&worker.chars().count())
    {
        return Err(Problem::malformed("worker has 1 to 128 characters"));
    }
    Ok(LeaseRequest {
        max: usize::try_from(within("max", asked.max.unwrap_or(100), 1, 1_000)?).unwrap_or(usize::MAX),
        period: seconds("lease_seconds", asked.lease_seconds.unwrap_or(30), 1, LONGEST_LEASE)?,
        wait: seconds("wait_seconds", asked.wait_seconds.unwrap_or(0), 0, 30)?,
        tiers: tiers(asked.tiers)?,
    })
}

/// Leases to finish or to keep, as the worker wrote them.
#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ack {
    /// The leases.
    pub leases: Vec<String>,
}

/// Reads the body of `POST /v1/leases/ack`.
///
/// # Errors
/// As [`lease`].
pub fn ack(body: &[u8]) -> Result<Ack, Problem> {
    parse(body)
}

/// Reads the body of `POST /v1/leases/nack`: the leases and how their attempts failed.
///
/// # Errors
/// As [`lease`].
pub fn nack(body: &[u8]) -> Result<(Vec<String>, Nack), Problem> {
    let asked: NackBody = parse(body)?;
    if asked.reason.as_ref().is_some_and(|reason| reason.len() > LONGEST_REASON) {
        return Err(Problem::malformed(format!("reason has at most {LONGEST_REASON} bytes")));
    }
    let delay = asked.delay_seconds.map(|delay| seconds("delay_seconds", delay, 0, 86_400)).transpose()?;
    Ok((asked.leases, Nack { delay, reason: asked.reason, dead: asked.dead.unwrap_or(false) }))
}

/// Reads the body of `POST /v1/leases/extend`: the leases and how long to keep them from now.
///
/// # Errors
/// As [`lease`].
pub fn extend(body: &[u8]) -> Result<(Vec<String>, Duration), Problem> {
    let asked: ExtendBody = parse(body)?;
    let period = seconds("lease_seconds", asked.lease_seconds.unwrap_or(30), 1, LONGEST_LEASE)?;
    Ok((asked.leases, period))
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct LeaseBody {
    max: Option<u64>,
    lease_seconds: Option<u64>,
    wait_seconds: Option<u64>,
    tiers: Option<Vec<String>>,
    worker: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NackBody {
    leases: Vec<String>,
    delay_seconds: Option<u64>,
    reason: Option<String>,
    dead: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ExtendBody {
    leases: Vec<String>,
    lease_seconds: Option<u64>,
}

/// Reads an object of known keys.
///
/// # Errors
/// 400: it is none.
pub fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    // A list would be read as the values of the keys in their order.
    if body.trim_ascii_start().first() == Some(&b'[') {
        return Err(Problem::malformed("the body: a list, expected an object"));
    }
    serde_json::from_slice(body).map_err(|error| Problem::malformed(format!("the body: {error}")))
}

fn tiers(words: Option<Vec<String>>) -> Result<TierSet, Problem> {
    let Some(words) = words else {
        return Ok(Tier::ALL.into_iter().fold(TierSet::EMPTY, TierSet::with));
    };
    if words.is_empty() {
        return Err(Problem::malformed("tiers names no tier"));
    }
    words.iter().try_fold(TierSet::EMPTY, |set, word| {
        let tier = word.parse::<Tier>().map_err(|error| Problem::malformed(format!("tiers: {error}")))?;
        Ok(set.with(tier))
    })
}

fn seconds(key: &str, asked: u64, least: u64, most: u64) -> Result<Duration, Problem> {
    within(key, asked, least, most).map(Duration::from_secs)
}

fn within(key: &str, asked: u64, least: u64, most: u64) -> Result<u64, Problem> {
    if (least..=most).contains(&asked) {
        Ok(asked)
    } else {
        Err(Problem::malformed(format!("{key} is {least} to {most}")))
    }
}

const LONGEST_WORKER: usize = 128;
const LONGEST_LEASE: u64 = 3_600;

/// It is kept with the dead letter.
const LONGEST_REASON: usize = 4_096;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::code::Code;

    #[test]
    fn what_is_not_said_has_its_default() {
        let all = TierSet::only(Tier::P0).with(Tier::P1).with(Tier::P2);
        let defaults =
            LeaseRequest { max: 100, period: Duration::from_secs(30), wait: Duration::ZERO, tiers: all };
        assert_eq!(lease(b"{}"), Ok(defaults.clone()));
        assert_eq!(lease(b""), Ok(defaults));
        let said =
            lease(br#"{"max":1,"lease_seconds":3600,"wait_seconds":30,"tiers":["p2"],"worker":"w-7"}"#);
        let expected = LeaseRequest {
            max: 1,
            period: Duration::from_secs(3600),
            wait: Duration::from_secs(30),
            tiers: TierSet::only(Tier::P2),
        };
        assert_eq!(said, Ok(expected));
    }

    #[test]
    fn what_is_out_of_its_range_or_unknown_is_refused() {
        let long_worker = format!(r#"{{"worker":"{}"}}"#, "w".repeat(129));
        let wrong = [
            r#"{"max":0}"#,
            r#"{"max":1001}"#,
            r#"{"max":-1}"#,
            r#"{"max":1.5}"#,
            r#"{"max":"7"}"#,
            r#"{"lease_seconds":0}"#,
            r#"{"lease_seconds":3601}"#,
            r#"{"wait_seconds":31}"#,
            r#"{"tiers":[]}"#,
            r#"{"tiers":["P0"]}"#,
            r#"{"tiers":"p0"}"#,
            r#"{"worker":""}"#,
            &long_worker,
            r#"{"maximum":7}"#,
            "[]",
            " [1, 30, 0, [\"p0\"], \"w-7\"]",
            "{",
            "\u{0}",
        ];
        for body in wrong {
            assert_eq!(lease(body.as_bytes()).unwrap_err().code(), Code::MalformedRequest, "{body}");
        }
    }

    #[test]
    fn a_failed_attempt_says_when_and_why() {
        let (leases, failed) =
            nack(br#"{"leases":["a"],"delay_seconds":5,"reason":"busy","dead":true}"#).unwrap();
        assert_eq!(leases, ["a"]);
        let expected =
            Nack { delay: Some(Duration::from_secs(5)), reason: Some("busy".to_owned()), dead: true };
        assert_eq!(failed, expected);
        assert_eq!(nack(br#"{"leases":[]}"#).unwrap().1, Nack::default());
        for body in [r#"{"leases":[],"delay_seconds":86401}"#, r#"{"leases":["a"],"why":1}"#, "{}"] {
            assert!(nack(body.as_bytes()).is_err(), "{body}");
        }
    }

    #[test]
    fn a_lease_is_kept_for_the_time_asked() {
        assert_eq!(extend(br#"{"leases":["a"]}"#).unwrap().1, Duration::from_secs(30));
        assert!(extend(br#"{"leases":["a"],"lease_seconds":0}"#).is_err());
        assert!(ack(br#"{"leases":["a"],"dead":true}"#).is_err());
        assert!(ack(br#"[["a"]]"#).is_err());
    }
}
