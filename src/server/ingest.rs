//! `POST /v1/jobs`: one job, its body opaque, answered with a receipt once it is stored.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use serde::Serialize;

use crate::admission::decision::RateLimit;
use crate::domain::code::Code;
use crate::domain::job::JobId;
use crate::domain::tier::Tier;
use crate::domain::time::Moment;
use crate::policy::Policy;
use crate::policy::classify::{Head, HeadVerdict};
use crate::queue::Stored;
use crate::runtime::admission::Permit;
use crate::server::body::Intake;
use crate::server::budget::Reservation;
use crate::server::draft::{self, Draft};
use crate::server::fields;
use crate::server::job_head;
use crate::server::problem::Problem;
use crate::server::state::Ingest;

/// Takes one job.
pub async fn submit(State(ingest): State<Arc<Ingest>>, request: Request) -> Response {
    let arrived = ingest.gateway.clock.now();
    let (parts, body) = request.into_parts();
    let mut intake = ingest.intake(&parts.headers, body, arrived);
    let answer = match accept(&ingest, &parts, &mut intake, arrived).await {
        Ok(receipt) => {
            ingest.record(Some(receipt.tier), StatusCode::ACCEPTED.as_u16(), arrived);
            receipt.into_response()
        }
        Err(problem) => ingest.refused(problem, arrived),
    };
    intake.discard_rest().await;
    answer
}

/// The checks in their order; the first that fails answers. A permit that is not used gives its tokens back.
async fn accept(
    ingest: &Ingest,
    parts: &Parts,
    intake: &mut Intake,
    arrived: Moment,
) -> Result<Receipt, Problem> {
    ingest.check_taking_jobs()?;
    ingest.access.may_submit(&parts.headers)?;
    let limit = ingest.limits.max_job_bytes;
    let declared = intake.declared();
    let mut held =
        ingest.bodies.reserve(declared.unwrap_or(0).min(limit)).map_err(|_| Problem::overloaded())?;
    let expires_in = check_head(parts, declared, limit)?;

    let policy = ingest.gateway.policy.load_full();
    let head = draft::rule_head(parts, &ingest.anonymous, &policy, declared);
    let permit = admit_by_head(ingest, &policy, &head, &mut held)?;
    let payload = intake.whole(limit, &mut held).await.map_err(|error| Problem::body(&error))?;
    let classified = draft::classify(&policy, &head, &payload)?;
    let permit = match permit {
        Some(permit) => permit,
        None => ingest.admit(&policy, classified.tier)?,
    };

    let draft = Draft {
        tenant: Arc::clone(&ingest.anonymous),
        content_type: job_head::content_type(&parts.headers)?.map(Box::from),
        expires_in,
        carried: job_head::carried(&parts.headers),
    };
    let job = draft.job(&policy, classified, payload, ingest.gateway.clock.wall());
    let (id, tier, limit) = (job.id, job.tier, permit.limit());
    let stored = ingest.store(permit, vec![job], ingest.time_left(arrived)).await?;
    Ok(Receipt { id, tier, queue: Arc::clone(&policy.tiers[tier].queue), stored, limit })
}

/// What must be well formed before the gate is asked; gives the lifetime that the client asks for.
fn check_head(parts: &Parts, declared: Option<u64>, limit: u64) -> Result<Option<Duration>, Problem> {
    if declared.is_some_and(|declared| declared > limit) {
        return Err(Problem::new(Code::TooLarge, format!("a job has at most {limit} bytes")));
    }
    let expires_in = job_head::check(&parts.headers)?;
    let content_type = job_head::content_type(&parts.headers)?.unwrap_or_default();
    let essence = job_head::essence(content_type);
    if essence.get(..CLOUDEVENTS.len()).is_some_and(|start| start.eq_ignore_ascii_case(CLOUDEVENTS)) {
        let detail =
            "structured CloudEvents and batches of them are not available yet: send ce-* header fields";
        return Err(Problem::new(Code::UnsupportedMediaType, detail));
    }
    job_head::check_no_idempotency_key(&parts.headers)?;
    Ok(expires_in)
}

/// Asks the gate before the body is read, as far as the head decides the tier: a shut tier costs no body.
fn admit_by_head(
    ingest: &Ingest,
    policy: &Policy,
    head: &Head<'_>,
    held: &mut Reservation<'_>,
) -> Result<Option<Permit>, Problem> {
    let verdict = policy.classify_head(head).map_err(|error| Problem::wish(&error))?;
    let critical = match verdict {
        HeadVerdict::Decided(tier) => tier == Tier::P0,
        HeadVerdict::NeedsBody(tiers) => tiers.contains(Tier::P0),
    };
    if !critical {
        held.yield_to_critical().map_err(|_| Problem::overloaded())?;
    }
    match verdict {
        HeadVerdict::Decided(tier) => ingest.admit(policy, tier).map(Some),
        HeadVerdict::NeedsBody(tiers) => {
            match (ingest.gateway.admission.all_shut(tiers), tiers.iter().next()) {
                (Some(refusal), Some(most_critical)) => Err(Problem::refusal(most_critical, &refusal)),
                _ => Ok(None),
            }
        }
    }
}

/// What a client gets for a stored job.
struct Receipt {
    id: JobId,
    tier: Tier,
    queue: Arc<str>,
    stored: Stored,
    limit: RateLimit,
}

impl Receipt {
    fn into_response(self) -> Response {
        let body = ReceiptBody {
            id: fields::Text(self.id),
            tier: self.tier.as_str(),
            queue: &self.queue,
            durability: self.stored.durability.as_str(),
            depth: self.stored.depth,
            duplicate: false,
        };
        // Cannot fail: plain strings and numbers.
        let mut response = Response::new(Body::from(serde_json::to_vec(&body).unwrap_or_default()));
        *response.status_mut() = StatusCode::ACCEPTED;
        response.headers_mut().insert(CONTENT_TYPE, fields::JSON);
        fields::insert_limit(response.headers_mut(), self.tier, &self.limit);
        response
    }
}

#[derive(Serialize)]
struct ReceiptBody<'a> {
    id: fields::Text<JobId>,
    tier: &'static str,
    queue: &'a str,
    durability: &'static str,
    depth: u64,
    duplicate: bool,
}

const CLOUDEVENTS: &str = "application/cloudevents";
