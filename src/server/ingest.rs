//! `POST /v1/jobs`: one job, its body opaque, answered with a receipt once it is stored.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use schemars::JsonSchema;
use serde::Serialize;

use crate::admission::decision::RateLimit;
use crate::domain::code::Code;
use crate::domain::job::{Job, JobId};
use crate::domain::tier::Tier;
use crate::domain::time::Moment;
use crate::policy::Policy;
use crate::queue::Stored;
use crate::queue::keys::KnownJob;
use crate::runtime::admission::Permit;
use crate::server::access::{Caller, Scope};
use crate::server::body::Intake;
use crate::server::by_head;
use crate::server::draft::{self, Draft};
use crate::server::event;
use crate::server::event::media_type::Form;
use crate::server::fields;
use crate::server::framing;
use crate::server::job_head;
use crate::server::keyed::{Route, Turn};
use crate::server::limits::SizeLimit;
use crate::server::openapi::words;
use crate::server::problem::Problem;
use crate::server::spans;
use crate::server::state::Ingest;
use crate::server::witness::Witness;
use crate::telemetry::trace::spans::RequestSpan;

/// Takes one job.
pub async fn submit(State(ingest): State<Arc<Ingest>>, request: Request) -> Response {
    let arrived = ingest.gateway.clock.now();
    let (mut parts, body) = request.into_parts();
    let bound = SizeLimit::JobBytes(ingest.limits.max_job_bytes);
    let mut intake = ingest.coded_intake(&parts, body, arrived, bound);
    let mut witness = Witness::new(&ingest.gateway);
    let span = spans::begin(&ingest.gateway, &parts, "POST /v1/jobs");
    let answer = match accept(&ingest, &mut parts, &mut intake, &mut witness, &span, arrived).await {
        Ok(receipt) => {
            ingest.record(Some(receipt.tier), StatusCode::ACCEPTED.as_u16(), arrived);
            if !receipt.duplicate {
                witness.tell_admitted(&ingest.gateway, parts, receipt.tier);
            }
            span.answered(StatusCode::ACCEPTED.as_u16(), Some(receipt.tier), None);
            receipt.into_response()
        }
        Err(problem) => {
            span.answered(problem.status().as_u16(), problem.tier(), Some(problem.code()));
            witness.tell_refused(&ingest.gateway, parts, &problem);
            ingest.refused(problem, arrived)
        }
    };
    intake.answered(answer).await
}

/// The checks in their order; the first that fails answers. A permit that is not used gives its tokens back.
async fn accept(
    ingest: &Ingest,
    parts: &mut Parts,
    intake: &mut Intake,
    witness: &mut Witness,
    span: &RequestSpan,
    arrived: Moment,
) -> Result<Receipt, Problem> {
    ingest.check_taking_jobs()?;
    let caller = ingest.access.enter(parts, Scope::Submit)?;
    let limit = ingest.limits.max_job_bytes;
    let declared = intake.declared();
    let mut held =
        ingest.bodies.reserve(declared.unwrap_or(0).min(limit)).map_err(|_| Problem::overloaded())?;
    let (form, expires_in) = check_head(parts, declared, limit)?;

    witness.sees_head(&caller, form, declared);
    let policy = ingest.policy_of(&mut parts.extensions);
    let head = draft::rule_head(parts, &caller, &policy, declared);
    let permit = by_head::admit(ingest, &policy, &caller, &head, form, &mut held, span).await?;
    let payload =
        intake.whole(SizeLimit::JobBytes(limit), &mut held).await.map_err(|error| Problem::body(&error))?;
    if form == Form::Event {
        event::open_body(&mut parts.headers, &payload)?;
    }
    witness.sees_payload(&payload);
    let head = draft::rule_head(parts, &caller, &policy, declared);
    let draft = Draft {
        caller: caller.clone(),
        content_type: job_head::content_type(&parts.headers)?.map(Box::from),
        expires_in,
        carried: job_head::carried(&parts.headers),
    };
    let turn = ingest.take_turn(&policy, &parts.headers, &draft, &payload, Route::Jobs).await?;
    if let Turn::Stored(known) = turn {
        drop(permit);
        return Ok(replay(ingest, &policy, &caller, known));
    }
    let admitted = draft::classify(&policy, &head, &payload).and_then(|classified| {
        let ask = || ingest.admit(&policy, &caller, classified.tier);
        let decide =
            || spans::decide(&ingest.gateway, span, &policy, &caller, ask, |permit| Some(permit.tier()));
        let permit = permit.map_or_else(decide, Ok)?;
        Ok((classified, permit))
    });
    let (classified, permit) = match admitted {
        Ok(admitted) => admitted,
        Err(problem) => {
            return match ingest.ask_turn(turn).await? {
                Turn::Stored(known) => Ok(replay(ingest, &policy, &caller, known)),
                turn => Err(turn.tell(problem)),
            };
        }
    };
    let job = draft.job(&policy, classified, payload, turn.keyed(), ingest.gateway.clock.wall());
    store(ingest, &policy, &caller, (permit, job), turn, span, arrived).await
}

/// Stores the job; its claim is held until its fate is known.
async fn store(
    ingest: &Ingest,
    policy: &Policy,
    caller: &Caller,
    (permit, job): (Permit, Job),
    turn: Turn,
    span: &RequestSpan,
    arrived: Moment,
) -> Result<Receipt, Problem> {
    let (id, tier, limit) = (job.id, job.tier, permit.limit());
    let fingerprint = turn.keyed().map(|keyed| keyed.fingerprint);
    let claims = turn.into_claim().into_iter().collect();
    let stored = ingest.store(policy, permit, vec![job], claims, ingest.time_left(arrived), span).await?;
    if let Some(known) = stored.known.first() {
        // Another gateway on the same backend was faster.
        let same = fingerprint == Some(known.job.fingerprint);
        return if same {
            Ok(replay(ingest, policy, caller, known.job))
        } else {
            Err(Problem::key_mismatch())
        };
    }
    draft::log_stored(policy, tier, id);
    let queue = Arc::clone(&policy.tiers[tier].queue);
    Ok(Receipt { id, tier, queue, stored, limit, duplicate: false })
}

/// The receipt of the job that an earlier request stored under the key; no token is taken.
fn replay(ingest: &Ingest, policy: &Policy, caller: &Caller, known: KnownJob) -> Receipt {
    let (id, tier) = (known.id, known.tier);
    ingest.gateway.metrics.duplicate(tier, 1);
    // Of now, as a stored job's receipt has it: the law's last reading may be older than the job.
    let totals = ingest.gateway.queue.totals()[tier];
    let depth = totals.waiting + totals.leased;
    Receipt {
        id,
        tier,
        queue: Arc::clone(&policy.tiers[tier].queue),
        stored: Stored { durability: ingest.gateway.queue.durability(tier), depth, known: Vec::new() },
        limit: ingest.gateway.admission.allowance(tier, &caller.tenant),
        duplicate: true,
    }
}

/// What must be well formed before the gate is asked; an event in the head is decoded. Gives what the body is and the
/// lifetime that the client asks for.
///
/// # Errors
/// 400, 413 and 415, with what is wrong.
pub fn check_head(
    parts: &mut Parts,
    declared: Option<u64>,
    limit: u64,
) -> Result<(Form, Option<Duration>), Problem> {
    if declared.is_some_and(|declared| declared > limit) {
        return Err(Problem::too_large(SizeLimit::JobBytes(limit)));
    }
    framing::check(parts)?;
    let expires_in = job_head::check(&parts.headers)?;
    let form = event::form(&parts.headers)?;
    match form {
        Form::Opaque => event::open_head(&mut parts.headers)?,
        // They stand in its body; what the head says of them does not count.
        Form::Event => event::drop_attributes(&mut parts.headers),
        Form::Batch => {
            let detail = "a batch of events goes to POST /v1/jobs/batch: here one event is taken, as application/cloudevents+json";
            return Err(Problem::new(Code::UnsupportedMediaType, detail));
        }
    }
    Ok((form, expires_in))
}

/// What a client gets for a stored job.
struct Receipt {
    id: JobId,
    tier: Tier,
    queue: Arc<str>,
    stored: Stored,
    limit: RateLimit,
    duplicate: bool,
}

impl Receipt {
    fn into_response(self) -> Response {
        let body = ReceiptBody {
            id: fields::Text(self.id),
            tier: self.tier.as_str(),
            queue: &self.queue,
            durability: self.stored.durability.as_str(),
            depth: self.stored.depth,
            duplicate: self.duplicate,
        };
        // Cannot fail: plain strings and numbers.
        let mut response = Response::new(Body::from(serde_json::to_vec(&body).unwrap_or_default()));
        *response.status_mut() = StatusCode::ACCEPTED;
        response.headers_mut().insert(CONTENT_TYPE, fields::JSON);
        fields::insert_limit(response.headers_mut(), self.tier, &self.limit);
        response
    }
}

/// What was stored, where, how durably.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Receipt")]
pub(super) struct ReceiptBody<'a> {
    id: fields::Text<JobId>,
    #[schemars(schema_with = "words::tier")]
    tier: &'static str,
    /// The queue's name in the policy.
    queue: &'a str,
    /// What was reached before this answer.
    #[schemars(schema_with = "words::durability")]
    durability: &'static str,
    /// The tier's depth just after.
    depth: u64,
    /// Whether an earlier request with this idempotency key stored the job; then the id is that one's.
    duplicate: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::DEFAULT_DOCUMENT;
    use crate::queue::error::StoreError;
    use crate::runtime::lifecycle::Phase;
    use crate::server::access::Access;
    use crate::server::ingest_router;
    use crate::server::limits::Limits;
    use crate::server::testing::{Desk, LIMITS, chunks, send};

    #[tokio::test]
    async fn a_stored_job_gets_a_receipt_with_its_tiers_allowance() {
        let desk = Desk::usual();
        let fields = [
            ("tidegate-type", "payment"),
            ("content-type", "text/plain"),
            ("tidegate-ordering-key", "k"),
            ("tidegate-expires-in", "60"),
            ("ce-note", "7"),
        ];
        let answer = desk.post("/v1/jobs", &fields, "\u{0}raw").await;
        assert_eq!(answer.status, 202, "{}", answer.text);
        let lease = desk.leased().await.remove(0);
        let expected = format!(
            r#"{{"id":"{}","tier":"p0","queue":"jobs:critical","durability":"disk","depth":1,"duplicate":false}}"#,
            lease.job.id
        );
        assert_eq!(answer.text, expected);
        assert_eq!(answer.header("tidegate-tier"), Some("p0"));
        assert!(answer.header("ratelimit-policy").unwrap().starts_with("\"p0\";q="));
        assert_eq!(&lease.job.payload[..], b"\0raw");
        assert_eq!(lease.job.content_type.as_deref(), Some("text/plain"));
        assert_eq!(lease.job.ordering_key.as_deref(), Some("k"));
        assert_eq!(lease.job.job_type.as_deref(), Some("payment"));
        assert_eq!(&*lease.job.tenant, "anonymous");
        let lifetime = lease.job.expires_at.unwrap().since(lease.job.accepted_at);
        assert_eq!(lifetime, Duration::from_secs(60));
        assert_eq!(lease.job.headers, [("ce-note".into(), "7".into())]);
        assert_eq!(desk.counts(), [1.0, 1.0, 0.0, 0.0]);
    }

    #[tokio::test]
    async fn a_shut_tier_refuses_before_the_body_is_read() {
        let desk = Desk::usual();
        desk.sees_depth(Tier::P2, 600_000);
        let never_ending = chunks(&["{"], false);
        let answer = desk.post("/v1/jobs", &[("tidegate-type", "digest")], never_ending).await;
        assert_eq!(answer.code(), (429, "shed".to_owned()));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert_eq!(answer.header("tidegate-tier"), Some("p2"));
        let pause = answer.header("retry-after").unwrap();
        assert!(answer.header("ratelimit").unwrap().ends_with(&format!("r=0;t={pause}")));
        assert_eq!(desk.metric("tidegate_jobs_refused_total", "code=\"shed\",tier=\"p2\""), 1.0);
        assert_eq!(desk.counts(), [1.0, 0.0, 1.0, 0.0]);
    }

    #[tokio::test]
    async fn a_body_beyond_the_limit_is_refused_whether_declared_or_not() {
        let desk = Desk::usual();
        let declared = desk.post("/v1/jobs", &[("content-length", "1001")], chunks(&[], false)).await;
        assert_eq!(declared.code(), (413, "too_large".to_owned()));
        let long: &'static str = "x".repeat(600).leak();
        let streamed = desk.post("/v1/jobs", &[], chunks(&[long, long], false)).await;
        assert_eq!(streamed.code(), (413, "too_large".to_owned()));
        let just_fits = desk.post("/v1/jobs", &[], chunks(&[long, &long[..400]], true)).await;
        assert_eq!(just_fits.status, 202);
        assert_eq!(desk.leased().await[0].job.payload.len(), 1_000);
        assert_eq!(desk.counts(), [3.0, 1.0, 0.0, 2.0]);
    }

    #[tokio::test]
    async fn a_slow_client_is_told_so() {
        let desk = Desk::usual();
        let answer = desk.post("/v1/jobs", &[], chunks(&["{"], false)).await;
        assert_eq!(answer.code(), (408, "request_timeout".to_owned()));
        assert_eq!(answer.header("connection"), Some("close"));
        assert_eq!(desk.counts(), [1.0, 0.0, 0.0, 1.0]);
    }

    #[tokio::test]
    async fn bodies_beyond_the_memory_budget_are_refused_and_bulk_first() {
        let desk = Desk::usual();
        let ingest = Ingest::new(
            desk.gateway.clone(),
            Limits { max_in_flight_bytes: 800, ..LIMITS },
            Access::without_keys(true, true),
        );
        let router = ingest_router(ingest);
        let body: &'static str = "x".repeat(750).leak();
        let sent = async |job_type| {
            let fields = [("tidegate-type", job_type), ("content-length", "750")];
            send(&router, "POST", "/v1/jobs", &fields, body.into()).await
        };
        let bulk = sent("digest").await;
        assert_eq!(bulk.code(), (503, "overloaded".to_owned()));
        assert!((1..=5).contains(&bulk.header("retry-after").unwrap().parse().unwrap()));
        assert_eq!(sent("payment").await.status, 202);
    }

    #[tokio::test]
    async fn a_draining_gateway_takes_no_job() {
        let desk = Desk::usual();
        desk.gateway.lifecycle.advance(Phase::Draining);
        let answer = desk.post("/v1/jobs", &[], "{}").await;
        assert_eq!(answer.code(), (503, "draining".to_owned()));
        assert_eq!((answer.header("retry-after"), answer.header("connection")), (Some("1"), Some("close")));
        assert_eq!(desk.counts(), [1.0, 0.0, 1.0, 0.0]);
    }

    #[tokio::test]
    async fn each_failure_of_the_queue_has_its_answer() {
        let unavailable = StoreError::Unavailable { detail: "disk full".to_owned() };
        let full = StoreError::Full { detail: "20 GiB".to_owned() };
        let cases = [
            (Some(unavailable), 503, "backend_unavailable", "not_stored"),
            (Some(full), 429, "queue_full", "not_stored"),
            (Some(StoreError::Overloaded), 503, "overloaded", "not_stored"),
            (Some(StoreError::Closed), 503, "draining", "not_stored"),
            (None, 504, "outcome_unknown", "unknown"),
        ];
        for (failure, status, code, outcome) in cases {
            let desk = Desk::failing(failure);
            let answer = desk.post("/v1/jobs", &[], "{}").await;
            assert_eq!(answer.code(), (status, code.to_owned()));
            let document = answer.json();
            assert_eq!((&document["outcome"], &document["tier"]), (&outcome.into(), &"p1".into()));
            assert_eq!(answer.header("retry-after").is_some(), status != 504);
            assert_eq!(desk.counts(), [1.0, 0.0, 1.0, 0.0], "{code}");
        }
    }

    #[tokio::test]
    async fn a_tier_that_requires_more_than_the_queue_gives_is_unavailable() {
        let queue = "queue: \"jobs:standard\"";
        let policy = DEFAULT_DOCUMENT.replace(queue, &format!("{queue}\n    require: replicated"));
        let desk = Desk::with(&policy);
        let answer = desk.post("/v1/jobs", &[("tidegate-type", "x")], chunks(&[], false)).await;
        assert_eq!(answer.code(), (503, "backend_unavailable".to_owned()));
        assert_eq!(desk.post("/v1/jobs", &[("tidegate-type", "payment")], "{}").await.status, 202);
    }
}
