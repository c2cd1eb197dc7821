//! `OPTIONS /v1/jobs`: the handshake by which a sender of webhooks asks whether, and how fast, it may deliver
//! (HTTP 1.1 Web Hooks for Event Delivery, section 4).

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use crate::domain::units::Rate;
use crate::server::framing;
use crate::server::problem::Problem;
use crate::server::state::Ingest;

/// Grants what is asked for, at the rate at which the default tier is admitted now. A permission is no promise: each
/// delivery is asked at the gate like any other job.
pub async fn answer(State(ingest): State<Arc<Ingest>>, request: Request) -> Response {
    let arrived = ingest.gateway.clock.now();
    let (parts, body) = request.into_parts();
    let intake = ingest.intake(&parts, body, arrived);
    let answer = match check(&ingest, &parts).and_then(|()| grant(&ingest, &parts)) {
        Ok(granted) => granted,
        Err(problem) => ingest.refused(problem, arrived),
    };
    intake.answered(answer).await
}

/// It stores nothing and its answer promises nothing, so it needs no key; each delivery does.
fn check(ingest: &Ingest, parts: &Parts) -> Result<(), Problem> {
    ingest.check_taking_jobs()?;
    ingest.access.enter_unnamed(parts)
}

/// The methods of the path.
pub const ALLOW: &str = "POST, OPTIONS";

fn grant(ingest: &Ingest, parts: &Parts) -> Result<Response, Problem> {
    framing::check(parts)?;
    let asked = sole(&parts.headers, &REQUEST_RATE)?.map(per_minute).transpose()?;
    let Some(origin) = sole(&parts.headers, &REQUEST_ORIGIN)? else { return Ok(methods()) };
    let origin = checked_origin(origin)?;
    let tier = ingest.gateway.policy.load().default_tier;
    let rate = allowed(ingest.gateway.admission.reports()[tier].rate, asked);
    let mut response = methods();
    *response.status_mut() = StatusCode::OK;
    response.headers_mut().insert(ALLOWED_ORIGIN, origin.clone());
    response.headers_mut().insert(ALLOWED_RATE, HeaderValue::from(rate));
    Ok(response)
}

/// Says the methods and nothing of origins: a browser's page is not let in.
fn methods() -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response.headers_mut().insert(http::header::ALLOW, HeaderValue::from_static(ALLOW));
    response
}

/// Deliveries per minute: what the gate admits, at least 1 as the specification wants it, never more than asked for.
fn allowed(admitted: Rate, asked: Option<u64>) -> u64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rate is never negative, and one beyond all numbers is as good as the largest"
    )]
    let live = (admitted.jobs_per_second() * 60.0) as u64;
    live.max(1).min(asked.unwrap_or(u64::MAX))
}

fn sole<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a HeaderValue>, Problem> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (_, Some(_)) => Err(Problem::malformed(format!("the header field {name} is there more than once"))),
        (value, None) => Ok(value),
    }
}

fn checked_origin(origin: &HeaderValue) -> Result<&HeaderValue, Problem> {
    let visible = origin.as_bytes().iter().all(u8::is_ascii_graphic) && !origin.is_empty();
    let wrong = || {
        Problem::malformed("WebHook-Request-Origin is the sender's name in visible ASCII, such as a DNS name")
    };
    visible.then_some(origin).ok_or_else(wrong)
}

/// A positive whole number; one beyond all numbers is as good as the largest.
fn per_minute(value: &HeaderValue) -> Result<u64, Problem> {
    let digits = value.as_bytes();
    if digits.is_empty()
        || !digits.iter().all(u8::is_ascii_digit)
        || digits.iter().all(|digit| *digit == b'0')
    {
        return Err(Problem::malformed(
            "WebHook-Request-Rate is a positive whole number of requests per minute",
        ));
    }
    Ok(value.to_str().ok().and_then(|text| text.parse().ok()).unwrap_or(u64::MAX))
}

const REQUEST_ORIGIN: HeaderName = HeaderName::from_static("webhook-request-origin");
const REQUEST_RATE: HeaderName = HeaderName::from_static("webhook-request-rate");
const ALLOWED_ORIGIN: HeaderName = HeaderName::from_static("webhook-allowed-origin");
const ALLOWED_RATE: HeaderName = HeaderName::from_static("webhook-allowed-rate");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::tier::Tier;
    use crate::runtime::lifecycle::Phase;
    use crate::server::testing::{Answer, Desk, send};

    async fn options(desk: &Desk, fields: &[(&str, &str)]) -> Answer {
        send(&desk.ingest, "OPTIONS", "/v1/jobs", fields, Body::empty()).await
    }

    const ORIGIN: (&str, &str) = ("webhook-request-origin", "events.example.com");

    #[tokio::test]
    async fn a_sender_is_told_the_rate_at_which_the_default_tier_is_admitted() {
        let desk = Desk::usual();
        let before = options(&desk, &[ORIGIN]).await;
        assert_eq!(before.status, 200);
        assert_eq!(before.header("webhook-allowed-rate"), Some("1"), "nothing is known yet");
        desk.sees_depth(Tier::P1, 10);
        let live = (desk.gateway.admission.reports()[Tier::P1].rate.jobs_per_second() * 60.0).floor();
        assert!(live > 1.0);
        let free = options(&desk, &[ORIGIN]).await;
        assert_eq!((free.header("allow"), free.text.as_str()), (Some("POST, OPTIONS"), ""));
        assert_eq!(free.header("webhook-allowed-origin"), Some("events.example.com"));
        assert_eq!(free.header("webhook-allowed-rate"), Some(live.to_string().as_str()));
        for (asked, told) in [("7", "7"), ("007", "7"), (&"9".repeat(30), &live.to_string())] {
            let answer = options(&desk, &[ORIGIN, ("webhook-request-rate", asked)]).await;
            assert_eq!(answer.header("webhook-allowed-rate"), Some(told), "{asked}");
        }
        let called = ("webhook-request-callback", "https://events.example.com/confirm?key=1");
        assert_eq!(options(&desk, &[ORIGIN, called]).await.status, 200, "there is nothing to be called for");
        assert_eq!(desk.counts(), [0.0; 4]);
        assert_eq!(desk.metric("tidegate_request_duration_seconds_count", ""), 0.0);
    }

    #[tokio::test]
    async fn what_is_no_handshake_is_told_the_methods() {
        let desk = Desk::usual();
        let preflight: &[_] = &[("origin", "https://a.example"), ("access-control-request-method", "POST")];
        for fields in [&[][..], preflight, &[("webhook-request-rate", "60")]] {
            let answer = options(&desk, fields).await;
            assert_eq!((answer.status.as_u16(), answer.header("allow")), (204, Some("POST, OPTIONS")));
            let names: Vec<_> = answer.headers.keys().map(|name| name.as_str()).collect();
            let other = names.iter().find(|name| !["allow", "content-length"].contains(name));
            assert_eq!(other, None, "{fields:?}");
        }
        assert_eq!(desk.counts(), [0.0; 4]);
    }

    #[tokio::test]
    async fn a_handshake_that_is_none_counts_as_one_invalid_request() {
        let desk = Desk::usual();
        let rate = |text| [ORIGIN, ("webhook-request-rate", text)];
        let cases = [
            vec![("webhook-request-origin", "")],
            vec![("webhook-request-rate", "nonsense")],
            vec![("webhook-request-origin", "two words")],
            vec![("webhook-request-origin", "käufer.example")],
            vec![ORIGIN, ORIGIN],
            rate("0").to_vec(),
            rate("").to_vec(),
            rate("-1").to_vec(),
            rate("1.5").to_vec(),
            rate("*").to_vec(),
            vec![ORIGIN, ("webhook-request-rate", "1"), ("webhook-request-rate", "1")],
            vec![ORIGIN, ("host", "a b")],
        ];
        for (count, fields) in (1_u32..).zip(cases) {
            let answer = options(&desk, &fields).await;
            assert_eq!(answer.code(), (400, "malformed_request".to_owned()), "{fields:?}");
            assert_eq!(answer.header("webhook-allowed-origin"), None);
            assert_eq!(desk.counts(), [count.into(), 0.0, 0.0, count.into()]);
        }
    }

    #[tokio::test]
    async fn a_stopping_gateway_invites_nobody() {
        let desk = Desk::usual();
        desk.gateway.lifecycle.advance(Phase::Draining);
        assert_eq!(options(&desk, &[ORIGIN]).await.code(), (503, "draining".to_owned()));
    }

    #[tokio::test]
    async fn other_methods_are_told_these_two() {
        let desk = Desk::usual();
        for (path, allow) in [("/v1/jobs", "POST, OPTIONS"), ("/v1/jobs/batch", "POST")] {
            let answer = send(&desk.ingest, "PUT", path, &[], Body::empty()).await;
            assert_eq!((answer.status.as_u16(), answer.header("allow")), (405, Some(allow)));
        }
        let batches = send(&desk.ingest, "OPTIONS", "/v1/jobs/batch", &[ORIGIN], Body::empty()).await;
        assert_eq!(batches.status, 405, "webhooks deliver one by one");
    }
}
