//! The policy: shown, checked, read again, taken back.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::response::Response;
use schemars::JsonSchema;
use serde::Serialize;
use tokio::task::spawn_blocking;

use crate::domain::code::Code;
use crate::domain::time::Timestamp;
use crate::policy::Policy;
use crate::policy::compile::Compiled;
use crate::runtime::reload::history::{self, Entry};
use crate::runtime::reload::terms::LONGEST_DOCUMENT;
use crate::runtime::reload::{Done, ReloadError};
use crate::runtime::shadow::candidate;
use crate::server::admin::{Admin, call};
use crate::server::fields::Text;
use crate::server::json_object::{JsonObject, expected};
use crate::server::leases::reply::json;
use crate::server::limits::SizeLimit;
use crate::server::openapi::words;
use crate::server::problem::Problem;
use crate::server::unread;
use crate::yaml::fault::{Fault, Faults};
use crate::yaml::node::Place;

/// `GET /v1/policy`.
pub async fn show(State(admin): State<Arc<Admin>>) -> Response {
    let policy = admin.gateway.policy.load();
    let board = admin.policy.board();
    json(&PolicyBody {
        revision: &policy.revision,
        loaded_at: Text(board.loaded_at),
        source: board.source.as_str(),
        pinned: board.pinned,
        document: &policy.document,
    })
}

/// `GET /v1/policy/history`.
pub async fn list(State(admin): State<Arc<Admin>>) -> Response {
    let board = admin.policy.board();
    let history = board.history.entries().map(HistoryEntry::of).collect();
    json(&HistoryBody { revision: &board.revision, pinned: board.pinned, history })
}

/// `POST /v1/policy/reload`: reads the file now.
pub async fn reload(State(admin): State<Arc<Admin>>, request: Request) -> Response {
    let answer = match admin.policy.reload().await {
        Ok(done) => json(&ReloadBody::of(&done, &admin)),
        Err(error) => refused(&error),
    };
    unread(request, answer).await
}

/// `POST /v1/policy/rollback`: puts a policy of the history in force until the file changes.
pub async fn roll_back(State(admin): State<Arc<Admin>>, request: Request) -> Response {
    let asked = call::body(&admin, request, SizeLimit::CallBytes(LONGEST_CALL)).await;
    let revision = match asked.and_then(|body| revision(&body)) {
        Ok(revision) => revision,
        Err(problem) => return problem.into_response(),
    };
    match admin.policy.roll_back(revision).await {
        Ok(done) => json(&ReloadBody::of(&done, &admin)),
        Err(error) => refused(&error),
    }
}

/// `PUT /v1/policy?dry_run=true`: checks a document; nothing changes.
pub async fn check(State(admin): State<Arc<Admin>>, request: Request) -> Response {
    if request.uri().query() != Some("dry_run=true") {
        return unread(request, Problem::malformed(FILE_RULES).into_response()).await;
    }
    let bound = SizeLimit::PolicyBytes(u64::try_from(LONGEST_DOCUMENT).unwrap_or(u64::MAX));
    let body = match call::body(&admin, request, bound).await {
        Ok(body) => body,
        Err(problem) => return problem.into_response(),
    };
    if body.is_empty() {
        return Problem::malformed("the body is empty: it is the policy to be checked").into_response();
    }
    let (terms, acting) = (admin.policy.terms().clone(), admin.gateway.policy.load_full());
    let board = admin.policy.board();
    let checked = spawn_blocking(move || {
        let compiled = terms.policy(body.to_vec(), BODY, &acting)?;
        let shadow = compiled.policy.shadow.as_ref();
        let shadow = shadow.and_then(|named| candidate::read(&candidate::path(named, &board.file)).err());
        Ok(Checked { diff: changes(&acting, &compiled), compiled, shadow })
    });
    match checked.await {
        Ok(Ok(checked)) => json(&CheckBody::of(&checked)),
        Ok(Err(faults)) => refused(&ReloadError::Faulty(faults)),
        Err(_) => {
            let fault = Fault::error(Place::Document, "", "the compiler failed on it: please report this");
            refused(&ReloadError::Faulty(Faults { document: BODY.to_owned(), list: vec![fault] }))
        }
    }
}

/// A document that could take force.
struct Checked {
    compiled: Compiled,
    diff: String,
    /// What is wrong with the candidate that it names.
    shadow: Option<Faults>,
}

fn changes(acting: &Policy, compiled: &Compiled) -> String {
    if acting.revision == compiled.policy.revision {
        return String::new();
    }
    history::diff(&acting.document, &acting.revision, &compiled.policy)
}

fn revision(body: &Bytes) -> Result<String, Problem> {
    let mut object = JsonObject::parse(body)?;
    let revision = object.text("revision")?;
    object.close()?;
    revision.ok_or_else(|| expected("revision", "one of the history, as a text"))
}

fn refused(error: &ReloadError) -> Response {
    match error {
        ReloadError::Faulty(faults) => {
            let first = faults.list.first().map(|fault| FaultBody::of(fault, &faults.document).text);
            let detail = format!("{error}: {}", first.unwrap_or_default());
            let faults = all(faults);
            Problem::new(Code::InvalidPolicy, detail).into_response_with(&FaultsBody { faults })
        }
        ReloadError::Unknown => Problem::new(Code::NotFound, error.to_string()).into_response(),
        ReloadError::Stopping => Problem::draining().into_response(),
    }
}

/// The policy in force.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Policy")]
pub(in crate::server) struct PolicyBody<'a> {
    /// Names the document: another document has another one.
    revision: &'a str,
    loaded_at: Text<Timestamp>,
    #[schemars(schema_with = "words::policy_source")]
    source: &'static str,
    /// Whether a rollback holds it until the file changes.
    pinned: bool,
    /// The YAML as it was read.
    document: &'a str,
}

/// What became of a reload or a rollback.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "PolicyReload")]
pub(in crate::server) struct ReloadBody {
    #[schemars(schema_with = "words::reload_result")]
    result: &'static str,
    /// What is in force now.
    revision: String,
    /// Whether a rollback holds it until the file changes.
    pinned: bool,
    warnings: Vec<FaultBody>,
}

impl ReloadBody {
    fn of(done: &Done, admin: &Admin) -> ReloadBody {
        let file = admin.policy.board().file.display().to_string();
        ReloadBody {
            result: done.outcome.as_str(),
            revision: done.revision.clone(),
            pinned: done.pinned,
            warnings: done.warnings.iter().map(|warning| FaultBody::of(warning, &file)).collect(),
        }
    }
}

/// A document that could take force.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "PolicyCheck")]
pub(in crate::server) struct CheckBody<'a> {
    /// What its revision would be.
    revision: &'a str,
    warnings: Vec<FaultBody>,
    /// What it would change of the policy in force, as a unified diff; empty where that is nothing.
    diff: &'a str,
}

impl<'a> CheckBody<'a> {
    fn of(checked: &'a Checked) -> CheckBody<'a> {
        let mut warnings = all(&checked.compiled.warnings);
        warnings.extend(checked.shadow.iter().flat_map(all));
        CheckBody { revision: &checked.compiled.policy.revision, warnings, diff: &checked.diff }
    }
}

/// The policies that were in force, the latest first.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "PolicyHistory")]
pub(in crate::server) struct HistoryBody<'a> {
    /// What is in force.
    revision: &'a str,
    /// Whether a rollback holds it until the file changes.
    pinned: bool,
    history: Vec<HistoryEntry<'a>>,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "PolicyHistoryEntry")]
struct HistoryEntry<'a> {
    revision: &'a str,
    /// When it took force.
    at: Text<Timestamp>,
    #[schemars(schema_with = "words::policy_source")]
    source: &'static str,
    /// What it changed of the one before, as a unified diff; empty for the first.
    diff: &'a str,
}

impl<'a> HistoryEntry<'a> {
    fn of(entry: &'a Entry) -> HistoryEntry<'a> {
        let Entry { at, source, revision, diff, document: _ } = entry;
        HistoryEntry { revision, at: Text(*at), source: source.as_str(), diff }
    }
}

/// Something wrong, or doubtful, in a document.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "PolicyFault")]
pub(in crate::server) struct FaultBody {
    /// Null where it is about the document as a whole.
    line: Option<usize>,
    column: Option<usize>,
    /// The key, such as `tiers.p2.shed.at`; empty where it is about none.
    key: String,
    message: String,
    /// All of it, as `tidegate check` says it.
    text: String,
}

impl FaultBody {
    /// A fault of the document of this name.
    pub(super) fn of(fault: &Fault, document: &str) -> FaultBody {
        let (line, column) = match fault.place {
            Place::Text { line, column } => (Some(line), Some(column)),
            Place::Document | Place::Beside(_) => (None, None),
        };
        let (key, message) = (fault.key.clone(), fault.message.clone());
        let text = Faults { document: document.to_owned(), list: vec![fault.clone()] }.to_string();
        FaultBody { line, column, key, message, text }
    }

    /// Keeps so many characters of each text.
    pub(super) fn shorten(&mut self, most: usize) {
        for text in [&mut self.key, &mut self.message, &mut self.text] {
            if let Some((end, _)) = text.char_indices().nth(most) {
                text.truncate(end);
                text.push_str("..");
            }
        }
    }
}

/// Each fault of a document.
pub(super) fn all(faults: &Faults) -> Vec<FaultBody> {
    faults.list.iter().map(|fault| FaultBody::of(fault, &faults.document)).collect()
}

/// Every fault, beside what every problem says.
#[derive(Serialize)]
struct FaultsBody {
    faults: Vec<FaultBody>,
}

/// What faults call a document that came with a request.
const BODY: &str = "body";

const FILE_RULES: &str = "the policy's file is the source of truth: change it there, it is watched; \
    PUT /v1/policy?dry_run=true only checks a document";

/// Room for a revision.
const LONGEST_CALL: u64 = 4 * 1024;
