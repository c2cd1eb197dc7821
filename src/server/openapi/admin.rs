//! What operators can ask: the operations of the admin listener.

use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::domain::code::Code;
use crate::server::admin::selection;
use crate::server::openapi::operation::{ADMIN, Operation, reference};
use crate::server::openapi::schemas::tiers;

/// Every operation that only the admin listener has.
pub fn operations() -> Vec<Operation> {
    let dead_letters = [list(), show(), replay(), purge()];
    let policies = [policy(), check(), history(), reload(), roll_back()];
    let others = [metrics(), status(), events(), past(), page(), asset(), document()];
    others.into_iter().chain(policies).chain(dead_letters).collect()
}

fn metrics() -> Operation {
    get("/metrics", "metrics", "Every metric, for Prometheus")
        .answers_with(StatusCode::OK, "The text exposition format.", text("text/plain"))
        .refuses(&[Code::Overloaded])
}

fn status() -> Operation {
    get("/v1/status", "status", "Everything of this moment").answers(
        StatusCode::OK,
        "The live state.",
        "Status",
    )
}

fn events() -> Operation {
    let data = json!({
        "type": "string", "contentMediaType": "application/json", "contentSchema": reference("Status"),
    });
    let event = json!({
        "description": "Each event. The stream as a whole is no JSON.",
        "properties": { "event": { "enum": ["status", "dropped"] }, "id": { "type": "string" }, "data": data },
    });
    get("/v1/events", "followStatus", "The status once a second, as server-sent events")
        .described(
            "Events `status` with an `id` and the document of `/v1/status` as data. The stream does not end by \
             itself: one that does not read is dropped, and all are when the gateway stops, with a last event \
             `dropped` that says the reason.",
        )
        .answers_with(StatusCode::OK, "A stream of events.", json!({ "text/event-stream": { "schema": event } }))
        .refuses(&[Code::Overloaded, Code::Draining])
}

fn past() -> Operation {
    get("/v1/history", "history", "The last hour, one point per five seconds").answers(
        StatusCode::OK,
        "The points by columns, the oldest first.",
        "History",
    )
}

fn page() -> Operation {
    let summary = "The page that shows all of it to people";
    Operation::new(ADMIN, Method::GET, "/dashboard", "dashboard", summary)
        .described("It holds no data and needs no token; what it shows it asks for with the operator's.")
        .answers_with(StatusCode::OK, "HTML.", text("text/html"))
        .refuses(&[Code::OriginNotAllowed])
}

fn asset() -> Operation {
    let content = json!({
        "text/javascript": { "schema": { "type": "string" } },
        "text/css": { "schema": { "type": "string" } },
        "image/svg+xml": { "schema": { "type": "string" } },
    });
    Operation::new(ADMIN, Method::GET, "/dashboard/{asset}", "dashboardAsset", "A file of the page")
        .parameter(json!({
            "name": "asset",
            "in": "path",
            "required": true,
            "description": "The file's name.",
            "schema": { "type": "string", "examples": ["main.js"] },
        }))
        .answers_with(StatusCode::OK, "The file.", content)
        .refuses(&[Code::OriginNotAllowed, Code::NotFound])
}

fn policy() -> Operation {
    get("/v1/policy", "policy", "The policy in force").answers(
        StatusCode::OK,
        "It, as it was read.",
        "Policy",
    )
}

fn check() -> Operation {
    let yaml = json!({ "application/yaml": { "schema": { "type": "string" } } });
    Operation::new(ADMIN, Method::PUT, "/v1/policy", "checkPolicy", "Check a policy; nothing changes")
        .described("The policy's file is the source of truth: without `dry_run=true` the call is refused.")
        .parameter(json!({
            "name": "dry_run",
            "in": "query",
            "required": true,
            "description": "Only check.",
            "schema": { "type": "string", "const": "true" },
        }))
        .takes_any(yaml, true)
        .answers(StatusCode::OK, "It could take force now.", "PolicyCheck")
        .refuses(CALLER)
        .refuses(BODY)
        .refuses(&[Code::InvalidPolicy])
}

fn history() -> Operation {
    get("/v1/policy/history", "policyHistory", "The last twenty policies, each with what it changed").answers(
        StatusCode::OK,
        "They, the latest first.",
        "PolicyHistory",
    )
}

fn reload() -> Operation {
    Operation::new(ADMIN, Method::POST, "/v1/policy/reload", "reloadPolicy", "Read the policy's file now")
        .answers(StatusCode::OK, "It is in force.", "PolicyReload")
        .refuses(CALLER)
        .refuses(&[Code::InvalidPolicy, Code::Draining])
}

fn roll_back() -> Operation {
    Operation::new(
        ADMIN,
        Method::POST,
        "/v1/policy/rollback",
        "rollBackPolicy",
        "Take an earlier policy back",
    )
    .described("It holds until the content of the policy's file changes.")
    .takes("PolicyRollback", true)
    .answers(StatusCode::OK, "It is in force.", "PolicyReload")
    .refuses(CALLER)
    .refuses(BODY)
    .refuses(&[Code::NotFound, Code::InvalidPolicy, Code::Draining])
}

fn list() -> Operation {
    let first = "$response.body#/dead_letters/0/id";
    get("/v1/dead-letters", "listDeadLetters", "Jobs that will not be tried again")
        .parameter(query("tier", "Those of one tier only.", &json!({ "type": "string", "enum": tiers() })))
        .parameter(query(
            "limit",
            "So many at most.",
            &json!({
                "type": "integer", "minimum": 1, "maximum": selection::MOST, "default": selection::USUAL,
            }),
        ))
        .parameter(query(
            "after",
            "The `next` of the page before.",
            &json!({ "type": "string", "pattern": "^[1-9a-f][0-9a-f]{0,14}$" }),
        ))
        .answers(StatusCode::OK, "One page, the oldest first.", "DeadLetterPage")
        .link(StatusCode::OK, "showDeadLetter", json!({ "parameters": { "id": first } }))
        .refuses(&[Code::MalformedRequest, Code::BackendUnavailable, Code::Draining])
}

fn show() -> Operation {
    get("/v1/dead-letters/{id}", "showDeadLetter", "One dead letter with its content")
        .parameter(json!({
            "name": "id",
            "in": "path",
            "required": true,
            "description": "The job's id.",
            "schema": { "type": "string", "format": "uuid" },
        }))
        .answers(StatusCode::OK, "The dead letter.", "DeadLetter")
        .refuses(&[Code::NotFound, Code::BackendUnavailable, Code::Draining])
}

fn replay() -> Operation {
    act("/v1/dead-letters/replay", "replayDeadLetters", "Try dead letters again")
        .described("They pass the gate as new jobs do; ids and payloads stay, attempts start again.")
}

fn purge() -> Operation {
    act("/v1/dead-letters/purge", "purgeDeadLetters", "Forget dead letters")
}

fn act(path: &'static str, id: &'static str, summary: &'static str) -> Operation {
    Operation::new(ADMIN, Method::POST, path, id, summary)
        .takes("DeadLetterSelection", true)
        .answers(StatusCode::OK, "What became of each.", "DeadLetterResults")
        .refuses(CALLER)
        .refuses(&[
            Code::MalformedRequest,
            Code::RequestTimeout,
            Code::TooLarge,
            Code::UnsupportedMediaType,
            Code::BackendUnavailable,
            Code::Draining,
        ])
}

fn document() -> Operation {
    let content = json!({ "application/json": { "schema": { "type": "object" } } });
    get("/openapi.json", "openapi", "This document").answers_with(StatusCode::OK, "OpenAPI 3.1.", content)
}

fn get(path: &'static str, id: &'static str, summary: &'static str) -> Operation {
    Operation::new(ADMIN, Method::GET, path, id, summary).refuses(CALLER)
}

fn query(name: &str, description: &str, schema: &Value) -> Value {
    json!({ "name": name, "in": "query", "description": description, "schema": schema })
}

fn text(media_type: &str) -> Value {
    json!({ media_type: { "schema": { "type": "string" } } })
}

/// What a body can be refused with.
const BODY: &[Code] =
    &[Code::MalformedRequest, Code::RequestTimeout, Code::TooLarge, Code::UnsupportedMediaType];

/// What the guard answers.
const CALLER: &[Code] = &[Code::Unauthenticated, Code::OriginNotAllowed];
