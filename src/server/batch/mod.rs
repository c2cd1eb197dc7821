//! `POST /v1/jobs/batch`: many jobs in one request, each classified, admitted and answered for itself.

mod array;
mod ndjson;
mod stage;
pub(super) mod tally;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::response::Response;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderMap, HeaderValue};
use tokio::select;

use crate::domain::time::Moment;
use crate::runtime::lifecycle::Phase;
use crate::server::access::Scope;
use crate::server::batch::array::ArrayError;
use crate::server::batch::ndjson::{LineTooLong, Lines};
use crate::server::batch::stage::Stage;
use crate::server::body::{BodyError, Intake};
use crate::server::budget::Reservation;
use crate::server::draft::Draft;
use crate::server::event;
use crate::server::event::media_type;
use crate::server::fields::{IDEMPOTENCY_KEY, JSON};
use crate::server::framing;
use crate::server::job_head;
use crate::server::limits::SizeLimit;
use crate::server::problem::{Accepts, Problem};
use crate::server::spans;
use crate::server::state::Ingest;
use crate::telemetry::trace::spans::RequestSpan;

/// Takes a batch.
pub async fn submit(State(ingest): State<Arc<Ingest>>, request: Request) -> Response {
    let arrived = ingest.gateway.clock.now();
    let (parts, body) = request.into_parts();
    let bound = SizeLimit::BatchBytes(ingest.limits.max_batch_bytes);
    let mut intake = ingest.coded_intake(&parts, body, arrived, bound);
    let span = spans::begin(&ingest.gateway, &parts, "POST /v1/jobs/batch");
    let answer = match accept(&ingest, parts, &mut intake, &span, arrived).await {
        Ok(answer) => {
            span.answered(answer.status().as_u16(), None, None);
            answer
        }
        Err(problem) => {
            span.answered(problem.status().as_u16(), problem.tier(), Some(problem.code()));
            ingest.refused(problem, arrived)
        }
    };
    intake.answered(answer).await
}

/// The form a batch comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// One job a line.
    Lines,
    /// A JSON array, one job an element.
    Array,
    /// A JSON array of events, one job an element, each with attributes of its own.
    Events,
}

impl Form {
    /// The media type of one job.
    const fn item(self) -> HeaderValue {
        match self {
            Form::Lines | Form::Array => JSON,
            Form::Events => EVENT_JSON,
        }
    }
}

async fn accept(
    ingest: &Ingest,
    mut parts: Parts,
    intake: &mut Intake,
    span: &RequestSpan,
    arrived: Moment,
) -> Result<Response, Problem> {
    ingest.check_taking_jobs()?;
    let caller = ingest.access.enter(&parts, Scope::Submit)?;
    let _open = ingest.open_batch()?;
    let whole = intake.declared().unwrap_or(0).min(ingest.limits.max_batch_bytes);
    // Lines are let go as they are stored; an array is in memory as a whole.
    let form = check_head(&mut parts, intake.declared(), ingest.limits.max_batch_bytes);
    let at_once = if form.as_ref().is_ok_and(|(form, _)| *form != Form::Lines) { whole } else { 0 };
    let mut held = ingest.bodies.reserve(at_once + intake.held()).map_err(|_| Problem::overloaded())?;
    held.yield_to_critical().map_err(|_| Problem::overloaded())?;
    let (form, expires_in) = form?;

    become_item(&mut parts, form);
    let draft = Draft {
        caller,
        content_type: job_head::content_type(&parts.headers)?.map(Box::from),
        expires_in,
        carried: job_head::carried(&parts.headers),
    };
    let mut stage = Stage::new(ingest, &parts, form, draft, span, arrived);
    stage.check_no_key_in_head()?;
    let ended = match form {
        Form::Lines => read_lines(ingest, intake, &mut stage, &mut held).await,
        Form::Array | Form::Events => read_array(ingest, intake, &mut stage, &mut held).await,
    };
    let tally = stage.finish().await;
    let accepted = tally.accepted();
    let verdict = tally.into_verdict(ended.err());
    span.batch(accepted, verdict.problems.iter().map(Problem::code));
    verdict.problems.iter().for_each(|problem| ingest.count_problem(problem, arrived));
    ingest.record(verdict.tier, verdict.response.status().as_u16(), arrived);
    Ok(verdict.response)
}

/// To the rules an item is a job of its own: of the items' media type, of its own length.
pub fn become_item(parts: &mut Parts, form: Form) {
    parts.headers.insert(CONTENT_TYPE, form.item());
    parts.headers.remove(CONTENT_LENGTH);
}

/// What must be well formed before anything is read; an event in the head, which stands for every item, is decoded.
/// Gives the batch's form and the lifetime that the client asks for.
///
/// # Errors
/// 400, 413 and 415, with what is wrong.
pub fn check_head(
    parts: &mut Parts,
    declared: Option<u64>,
    limit: u64,
) -> Result<(Form, Option<Duration>), Problem> {
    if declared.is_some_and(|declared| declared > limit) {
        return Err(Problem::too_large(SizeLimit::BatchBytes(limit)));
    }
    framing::check(parts)?;
    let expires_in = job_head::check(&parts.headers)?;
    if parts.headers.contains_key(IDEMPOTENCY_KEY) {
        return Err(Problem::malformed("an Idempotency-Key names one job: a batch takes none"));
    }
    let form = form(&parts.headers)?;
    match form {
        Form::Lines | Form::Array => event::open_head(&mut parts.headers)?,
        // Each has its own; what the head says of them does not count.
        Form::Events => event::drop_attributes(&mut parts.headers),
    }
    Ok((form, expires_in))
}

fn form(headers: &HeaderMap) -> Result<Form, Problem> {
    let unsupported = |detail: &'static str| Err(Problem::unsupported(detail, Accepts::BatchTypes));
    match event::form(headers)? {
        media_type::Form::Batch => return Ok(Form::Events),
        media_type::Form::Event => return unsupported("a single event goes to POST /v1/jobs"),
        media_type::Form::Opaque => {}
    }
    let content_type = job_head::content_type(headers)?.unwrap_or_default();
    match job_head::essence(content_type).to_ascii_lowercase().as_str() {
        "application/x-ndjson" => Ok(Form::Lines),
        "application/json" => Ok(Form::Array),
        _ => unsupported(
            "a batch is application/x-ndjson, application/json or application/cloudevents-batch+json",
        ),
    }
}

/// Takes lines as they come, until the stream ends or passes a limit.
async fn read_lines(
    ingest: &Ingest,
    intake: &mut Intake,
    stage: &mut Stage<'_>,
    held: &mut Reservation<'_>,
) -> Result<(), Problem> {
    let limits = &ingest.limits;
    let mut lines = Lines::new(usize::try_from(limits.max_job_bytes).unwrap_or(usize::MAX));
    let mut left = limits.max_batch_bytes;
    while let Some(chunk) = next_chunk(ingest, intake, stage).await? {
        let taken = chunk.get(..usize::try_from(left).unwrap_or(usize::MAX)).unwrap_or(&chunk);
        let wanted = length(lines.held() + stage.held() + taken.len()) + intake.held();
        held.resize(wanted).map_err(|_| Problem::overloaded())?;
        lines.push(taken);
        while let Some(line) = lines.next().map_err(|LineTooLong| stage.job_too_large())? {
            take_line(stage, line).await?;
        }
        if taken.len() < chunk.len() {
            return Err(stage.too_large(SizeLimit::BatchBytes(limits.max_batch_bytes)));
        }
        left -= length(taken.len());
        held.resize(length(lines.held() + stage.held()) + intake.held())
            .map_err(|_| Problem::overloaded())?;
    }
    match lines.finish().map_err(|LineTooLong| stage.job_too_large())? {
        Some(line) => take_line(stage, line).await,
        None => Ok(()),
    }
}

async fn take_line(stage: &mut Stage<'_>, line: bytes::Bytes) -> Result<(), Problem> {
    stage.check_room()?;
    if array::is_json(&line) {
        return stage.take(line).await;
    }
    stage.fail(Problem::malformed("the line is no JSON"));
    Ok(())
}

/// Reads the whole array first, so that one that is too long is refused whole.
async fn read_array(
    ingest: &Ingest,
    intake: &mut Intake,
    stage: &mut Stage<'_>,
    held: &mut Reservation<'_>,
) -> Result<(), Problem> {
    let limits = &ingest.limits;
    let body = intake.whole(SizeLimit::BatchBytes(limits.max_batch_bytes), held).await;
    let body = body.map_err(|error| Problem::body(&error))?;
    let elements = array::elements(&body, limits.max_batch_jobs).map_err(|error| match error {
        ArrayError::TooLong(most) => Problem::too_large(SizeLimit::BatchJobs(most)),
        ArrayError::Malformed(_) => Problem::malformed(error.to_string()),
    })?;
    for element in elements {
        if length(element.len()) > limits.max_job_bytes {
            stage.job_too_large();
        } else {
            stage.take(element).await?;
        }
    }
    Ok(())
}

/// The next bytes of a stream that may last. While its client pauses, what it sent is stored; when the gateway
/// begins to drain, it ends.
async fn next_chunk(
    ingest: &Ingest,
    intake: &mut Intake,
    stage: &mut Stage<'_>,
) -> Result<Option<bytes::Bytes>, Problem> {
    let waited = if stage.held_jobs() > 0 {
        unless_stopping(ingest, intake.chunk_within(PAUSE)).await
    } else {
        Ok(None)
    };
    let read = match waited {
        Ok(Some(chunk)) => Ok(chunk),
        Ok(None) => {
            stage.store_all().await;
            unless_stopping(ingest, intake.chunk()).await
        }
        Err(error) => Err(error),
    };
    read.map_err(|error| match error {
        BodyError::TooLarge(bound) => stage.too_large(bound),
        other => Problem::body(&other),
    })
}

async fn unless_stopping<T>(
    ingest: &Ingest,
    reading: impl Future<Output = Result<T, BodyError>>,
) -> Result<T, BodyError> {
    select! {
        biased;
        read = reading => read,
        () = ingest.gateway.lifecycle.reached(Phase::Draining) => Err(BodyError::Stopping),
    }
}

const EVENT_JSON: HeaderValue = HeaderValue::from_static(media_type::EVENT);

/// A client that sends nothing for this long may send nothing for seconds: its jobs do not wait for that.
const PAUSE: Duration = Duration::from_millis(5);

fn length(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}
