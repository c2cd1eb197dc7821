//! Dead letters: listed, shown, replayed through admission, purged.

use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::response::Response;
use http::Uri;
use schemars::JsonSchema;
use serde::Serialize;

use crate::domain::code::Code;
use crate::domain::job::JobId;
use crate::domain::tier::Tier;
use crate::domain::time::Timestamp;
use crate::domain::units::Cost;
use crate::policy::Policy;
use crate::queue::dead_letter::{
    DeadLetter, DeadLetterQuery, DeadLetterSummary, Death, PurgeResult, ReplayResult,
};
use crate::queue::error::QueueError;
use crate::runtime::gateway::Gateway;
use crate::server::admin::selection::{self, MOST, Selection};
use crate::server::admin::{Admin, call};
use crate::server::fields::Text;
use crate::server::leases::reply::{Content, json};
use crate::server::limits::SizeLimit;
use crate::server::openapi::words;
use crate::server::problem::Problem;

/// `GET /v1/dead-letters`.
pub async fn list(State(admin): State<Arc<Admin>>, uri: Uri) -> Response {
    let listed = async {
        let query = selection::query(uri.query().unwrap_or_default())?;
        let page = admin.gateway.queue.dead_letters(query).await.map_err(|error| Problem::queue(&error))?;
        let policy = admin.gateway.policy.load();
        let dead_letters = page.dead_letters.iter().map(|summary| Listed::of(summary, &policy)).collect();
        Ok(json(&PageBody { dead_letters, next: page.next.as_deref() }))
    };
    listed.await.unwrap_or_else(Problem::into_response)
}

/// `GET /v1/dead-letters/{id}`.
pub async fn show(State(admin): State<Arc<Admin>>, id: Result<Path<String>, PathRejection>) -> Response {
    let shown = async {
        let unknown = || Problem::new(Code::NotFound, "there is no dead letter with this id");
        // What is no text is no id either.
        let Path(id) = id.map_err(|_| unknown())?;
        let id = id.parse::<JobId>().map_err(|_| unknown())?;
        let letter = admin.gateway.queue.dead_letter(id).await.map_err(|error| Problem::queue(&error))?;
        let letter = letter.ok_or_else(unknown)?;
        let policy = admin.gateway.policy.load();
        let summary = summary(&letter);
        let content = Content::of(&letter.job);
        Ok(json(&Shown { listed: Listed::of(&summary, &policy), tenant: &letter.job.tenant, content }))
    };
    shown.await.unwrap_or_else(Problem::into_response)
}

/// `POST /v1/dead-letters/replay`.
pub async fn replay(State(admin): State<Arc<Admin>>, request: Request) -> Response {
    act(&admin, request, Act::Replay).await.unwrap_or_else(Problem::into_response)
}

/// `POST /v1/dead-letters/purge`.
pub async fn purge(State(admin): State<Arc<Admin>>, request: Request) -> Response {
    act(&admin, request, Act::Purge).await.unwrap_or_else(Problem::into_response)
}

/// What is done to the dead letters selected.
#[derive(Clone, Copy)]
enum Act {
    Replay,
    Purge,
}

/// One dead letter selected: its id, if the text is one, and its tier, if there is such a letter.
struct Selected {
    text: String,
    found: Option<(JobId, Tier)>,
}

async fn act(admin: &Admin, request: Request, act: Act) -> Result<Response, Problem> {
    let selection = Selection::parse(&call::body(admin, request, SizeLimit::CallBytes(LONGEST_BODY)).await?)?;
    let gateway = &admin.gateway;
    let mut results = Vec::new();
    let failed = |error| Problem::queue(&error);
    match selection {
        Selection::Ids(ids) => {
            let selected = find(gateway, ids).await.map_err(failed)?;
            results.extend(act.on(gateway, selected).await.map_err(failed)?);
        }
        Selection::Oldest { tier, limit } => {
            let query = DeadLetterQuery { tier: Some(tier), limit, after: None };
            let (selected, _) = page(gateway, query).await.map_err(failed)?;
            results.extend(act.on(gateway, selected).await.map_err(failed)?);
        }
        Selection::All => {
            let mut after = None;
            loop {
                let (selected, next) = page(gateway, DeadLetterQuery { tier: None, limit: MOST, after })
                    .await
                    .map_err(failed)?;
                results.extend(act.on(gateway, selected).await.map_err(failed)?);
                after = next;
                if after.is_none() || results.len() >= MOST_RESULTS {
                    break;
                }
            }
        }
    }
    Ok(json(&ResultsBody { results }))
}

impl Act {
    async fn on(self, gateway: &Gateway, selected: Vec<Selected>) -> Result<Vec<ResultBody>, QueueError> {
        match self {
            Act::Replay => replay_selected(gateway, selected).await,
            Act::Purge => purge_selected(gateway, selected).await,
        }
    }
}

/// A replay moves a job into the queue, so it passes the gate as a new job does; it is the operators', and no tenant's. The permits are given back
/// afterwards: the depth shows the jobs, and the law counts replays by themselves.
async fn replay_selected(gateway: &Gateway, selected: Vec<Selected>) -> Result<Vec<ResultBody>, QueueError> {
    let mut permits = Vec::new();
    let mut results = Vec::with_capacity(selected.len());
    let mut admitted = Vec::new();
    for Selected { text, found } in selected {
        let (status, code) =
            match found.map(|(id, tier)| (id, gateway.admission.admit(tier, Cost::ONE, None), tier)) {
                None => ("unknown", None),
                Some((_, Err(refusal), tier)) => {
                    ("refused", Some(Problem::refusal(tier, &refusal).code().as_str()))
                }
                Some((id, Ok(permit), _)) => {
                    permits.push(permit);
                    admitted.push((results.len(), id));
                    ("replayed", None)
                }
            };
        results.push(ResultBody { id: text, status, code });
    }
    let answers = gateway.queue.replay(admitted.iter().map(|(_, id)| *id).collect()).await?;
    for ((place, _), answer) in admitted.into_iter().zip(answers) {
        if let (ReplayResult::Unknown, Some(result)) = (answer, results.get_mut(place)) {
            result.status = "unknown";
        }
    }
    drop(permits);
    Ok(results)
}

async fn purge_selected(gateway: &Gateway, selected: Vec<Selected>) -> Result<Vec<ResultBody>, QueueError> {
    let ids = selected.iter().filter_map(|selected| selected.found.map(|(id, _)| id)).collect();
    let mut answers = gateway.queue.purge(ids).await?.into_iter();
    let result = |Selected { text, found }: Selected| {
        let status = match found.and_then(|_| answers.next()) {
            Some(PurgeResult::Purged) => "purged",
            Some(PurgeResult::Unknown) | None => "unknown",
        };
        ResultBody { id: text, status, code: None }
    };
    Ok(selected.into_iter().map(result).collect())
}

async fn find(gateway: &Gateway, ids: Vec<String>) -> Result<Vec<Selected>, QueueError> {
    let mut selected = Vec::with_capacity(ids.len());
    for text in ids {
        let found = match text.parse::<JobId>() {
            Ok(id) => gateway.queue.dead_letter_tier(id).await?.map(|tier| (id, tier)),
            Err(_) => None,
        };
        selected.push(Selected { text, found });
    }
    Ok(selected)
}

async fn page(
    gateway: &Gateway,
    query: DeadLetterQuery,
) -> Result<(Vec<Selected>, Option<String>), QueueError> {
    let page = gateway.queue.dead_letters(query).await?;
    let selected = page
        .dead_letters
        .into_iter()
        .map(|summary| Selected { text: summary.id.to_string(), found: Some((summary.id, summary.tier)) });
    Ok((selected.collect(), page.next))
}

fn summary(letter: &DeadLetter) -> DeadLetterSummary {
    DeadLetterSummary {
        id: letter.job.id,
        tier: letter.job.tier,
        job_type: letter.job.job_type.clone(),
        accepted_at: letter.job.accepted_at,
        size: u64::try_from(letter.job.payload.len()).unwrap_or(u64::MAX),
        death: letter.death.clone(),
    }
}

/// One page of dead letters.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "DeadLetterPage")]
pub(in crate::server) struct PageBody<'a> {
    dead_letters: Vec<Listed<'a>>,
    /// What `after` takes to list the next page; null on the last one.
    next: Option<&'a str>,
}

/// A job that will not be tried again.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "DeadLetterSummary")]
struct Listed<'a> {
    id: Text<JobId>,
    #[schemars(schema_with = "words::tier")]
    tier: &'static str,
    #[serde(rename = "type")]
    job_type: Option<&'a str>,
    queue: &'a str,
    attempts: u32,
    reason: &'a str,
    accepted_at: Text<Timestamp>,
    first_failed_at: Text<Timestamp>,
    died_at: Text<Timestamp>,
    /// Of the payload, in bytes.
    size: u64,
}

impl<'a> Listed<'a> {
    fn of(summary: &'a DeadLetterSummary, policy: &'a Policy) -> Listed<'a> {
        let Death { attempts, reason, first_failed_at, died_at } = &summary.death;
        Listed {
            id: Text(summary.id),
            tier: summary.tier.as_str(),
            job_type: summary.job_type.as_deref(),
            queue: &policy.tiers[summary.tier].queue,
            attempts: *attempts,
            reason,
            accepted_at: Text(summary.accepted_at),
            first_failed_at: Text(*first_failed_at),
            died_at: Text(*died_at),
            size: summary.size,
        }
    }
}

/// A dead letter with its content.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "DeadLetter")]
pub(in crate::server) struct Shown<'a> {
    #[serde(flatten)]
    listed: Listed<'a>,
    tenant: &'a str,
    #[serde(flatten)]
    content: Content<'a>,
}

/// What became of each dead letter selected.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "DeadLetterResults")]
pub(in crate::server) struct ResultsBody {
    results: Vec<ResultBody>,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "DeadLetterResult")]
struct ResultBody {
    id: String,
    #[schemars(schema_with = "words::dead_letter_status")]
    status: &'static str,
    /// Why a replay was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "words::code")]
    code: Option<&'static str>,
}

/// Room for a thousand ids.
const LONGEST_BODY: u64 = 256 * 1024;

/// What one answer lists at most; whoever has more dead letters asks again.
const MOST_RESULTS: usize = 100_000;
