//! What workers send: parsed, with defaults filled in and every number within its range.

use std::time::Duration;

use crate::domain::tier::{Tier, TierSet};
use crate::queue::embedded::lease::{LeaseRequest, Nack};
use crate::server::json_object::{self, JsonObject};
use crate::server::limits::SizeLimit;
use crate::server::problem::Problem;

/// Reads the body of `POST /v1/leases`; an empty one asks for all defaults.
///
/// # Errors
/// 400: not JSON, an unknown key, or a number out of its range.
pub fn lease(body: &[u8]) -> Result<LeaseRequest, Problem> {
    let mut object = if body.is_empty() { JsonObject::empty() } else { JsonObject::parse(body)? };
    let max = object.number("max", 1..=MOST_JOBS)?.unwrap_or(USUAL_JOBS);
    let period = object.number("lease_seconds", 1..=LONGEST_LEASE)?.unwrap_or(USUAL_LEASE);
    let wait = object.number("wait_seconds", 0..=LONGEST_WAIT)?.unwrap_or(0);
    let tiers = tiers(object.texts("tiers")?)?;
    let worker = object.text("worker")?;
    object.close()?;
    if worker.is_some_and(|worker| !(1..=LONGEST_WORKER).contains(&worker.chars().count())) {
        return Err(json_object::expected("worker", "a text of 1 to 128 characters"));
    }
    Ok(LeaseRequest {
        max: usize::try_from(max).unwrap_or(usize::MAX),
        period: Duration::from_secs(period),
        wait: Duration::from_secs(wait),
        tiers,
    })
}

/// Reads the body of `POST /v1/leases/ack`: the leases to finish, as the worker wrote them.
///
/// # Errors
/// As [`lease`]; 413: more than [`MOST_LEASES`].
pub fn ack(body: &[u8]) -> Result<Vec<String>, Problem> {
    let mut object = JsonObject::parse(body)?;
    let leases = leases(&mut object)?;
    object.close()?;
    Ok(leases)
}

/// Reads the body of `POST /v1/leases/nack`: the leases and how their attempts failed.
///
/// # Errors
/// As [`ack`].
pub fn nack(body: &[u8]) -> Result<(Vec<String>, Nack), Problem> {
    let mut object = JsonObject::parse(body)?;
    let leases = leases(&mut object)?;
    let delay = object.number("delay_seconds", 0..=LONGEST_DELAY)?.map(Duration::from_secs);
    let reason = object.text("reason")?;
    let dead = object.flag("dead")?.unwrap_or(false);
    object.close()?;
    if reason.as_ref().is_some_and(|reason| reason.len() > LONGEST_REASON) {
        return Err(json_object::expected("reason", &format!("a text of at most {LONGEST_REASON} bytes")));
    }
    Ok((leases, Nack { delay, reason, dead }))
}

/// Reads the body of `POST /v1/leases/extend`: the leases and how long to keep them from now.
///
/// # Errors
/// As [`ack`].
pub fn extend(body: &[u8]) -> Result<(Vec<String>, Duration), Problem> {
    let mut object = JsonObject::parse(body)?;
    let leases = leases(&mut object)?;
    let period = object.number("lease_seconds", 1..=LONGEST_LEASE)?.unwrap_or(USUAL_LEASE);
    object.close()?;
    Ok((leases, Duration::from_secs(period)))
}

fn leases(object: &mut JsonObject<'_>) -> Result<Vec<String>, Problem> {
    let leases = object.required_texts("leases")?;
    if u64::try_from(leases.len()).is_ok_and(|named| named <= MOST_LEASES) {
        return Ok(leases);
    }
    Err(Problem::too_large(SizeLimit::CallLeases(MOST_LEASES)))
}

fn tiers(words: Option<Vec<String>>) -> Result<TierSet, Problem> {
    let Some(words) = words else {
        return Ok(Tier::ALL.into_iter().fold(TierSet::EMPTY, TierSet::with));
    };
    if words.is_empty() {
        return Err(json_object::expected("tiers", "a list of p0, p1, p2, at least one of them"));
    }
    words.iter().try_fold(TierSet::EMPTY, |set, word| {
        let tier = word.parse::<Tier>().map_err(|error| Problem::malformed(format!("tiers: {error}")))?;
        Ok(set.with(tier))
    })
}

/// The number of jobs that is not said.
pub(in crate::server) const USUAL_JOBS: u64 = 100;

/// The lease time that is not said, in seconds.
pub(in crate::server) const USUAL_LEASE: u64 = 30;

/// One answer holds all of them in memory.
pub(in crate::server) const MOST_JOBS: u64 = 1_000;

/// Of ack, nack and extend. A mebibyte has no room for so many real ones, but for eight times as many texts that are none,
/// and each is answered with its own words and thirty bytes more.
pub(in crate::server) const MOST_LEASES: u64 = 30_000;

/// In seconds, as those below it.
pub(in crate::server) const LONGEST_LEASE: u64 = 3_600;
pub(in crate::server) const LONGEST_WAIT: u64 = 30;
pub(in crate::server) const LONGEST_DELAY: u64 = 86_400;

/// In characters.
pub(in crate::server) const LONGEST_WORKER: usize = 128;

/// It is kept with the dead letter.
pub(in crate::server) const LONGEST_REASON: usize = 4_096;

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
        assert_eq!(lease(br#"{"lease_seconds":161.0,"max":1e2}"#).unwrap().period, Duration::from_secs(161));
    }

    #[test]
    fn what_is_out_of_its_range_or_unknown_is_refused() {
        let long_worker = format!(r#"{{"worker":"{}"}}"#, "w".repeat(129));
        let wrong = [
            r#"{"max":0}"#,
            r#"{"max":1001}"#,
            r#"{"max":-1}"#,
            r#"{"max":1.5}"#,
            r#"{"max":1e300}"#,
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
