//! `GET /openapi.json`: both listeners described in OpenAPI 3.1, made once from the code that serves them.
//!
//! Answers are derived from the structs that are serialised ([`schemas`]), statuses from the codes by the one map of
//! [`problem`](super::problem), the rest is said per operation ([`ingest`], [`admin`]). `docs/openapi.json` is the same
//! document; tests compare it, and hold the paths against the routers.

pub mod admin;
pub mod header_fields;
pub mod ingest;
pub mod operation;
pub mod schemas;
#[cfg(test)]
mod tests;
pub mod words;

use std::sync::LazyLock;

use axum::body::{Body, Bytes};
use axum::response::Response;
use http::header::CONTENT_TYPE;
use serde_json::{Map, Value, json};

use crate::server::fields::JSON;
use crate::server::openapi::operation::{Listener, Operation, reference};

/// The document.
pub async fn show() -> Response {
    let mut response = Response::new(Body::from(TEXT.clone()));
    response.headers_mut().insert(CONTENT_TYPE, JSON);
    response
}

/// Made when it is first asked for.
static TEXT: LazyLock<Bytes> = LazyLock::new(|| {
    // Cannot fail: a value's keys are strings.
    let mut text = serde_json::to_vec_pretty(&document()).unwrap_or_default();
    text.push(b'\n');
    text.into()
});

fn document() -> Value {
    let operations = [ingest::operations(), admin::operations()].concat();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "tidegate",
            "version": env!("CARGO_PKG_VERSION"),
            "description": DESCRIPTION,
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [server(Listener::Ingest), server(Listener::Admin)],
        "security": [{}, { "bearer": [] }],
        "tags": [
            { "name": Listener::Ingest.tag(), "description": "Clients and workers (`ingest.listen`)." },
            { "name": Listener::Admin.tag(), "description": "Operators (`admin.listen`)." },
        ],
        "paths": paths(&operations),
        "components": {
            "schemas": named_schemas(),
            "parameters": header_fields::parameters(),
            "headers": header_fields::headers(),
            "securitySchemes": { "bearer": { "type": "http", "scheme": "bearer", "description": BEARER } },
        },
    })
}

/// Paths with the listeners that have them as their servers.
fn paths(operations: &[Operation]) -> Map<String, Value> {
    let mut paths = Map::new();
    for operation in operations {
        let servers: Vec<_> = operation.listeners.iter().map(|listener| server(*listener)).collect();
        let path = paths.entry(operation.path).or_insert_with(|| json!({ "servers": servers }));
        if let Some(path) = path.as_object_mut() {
            path.insert(operation.method.as_str().to_ascii_lowercase(), operation.object());
        }
    }
    paths
}

fn named_schemas() -> Map<String, Value> {
    let mut schemas = schemas::all();
    // The refusal of a batch whose jobs failed alike lists them too.
    let problem = json!({
        "description": "The refusal of a batch: as a whole, or of every job alike; then the jobs are listed too.",
        "allOf": [reference("Problem")],
        "properties": {
            "accepted": { "const": 0 },
            "refused": { "type": "integer", "minimum": 1 },
            "items": { "type": "array", "items": reference("BatchItem") },
        },
        "dependentRequired": { "items": ["accepted", "refused"] },
    });
    schemas.insert("BatchProblem".to_owned(), problem);
    let problem = json!({
        "description": "The refusal of a policy.",
        "allOf": [reference("Problem")],
        "required": ["faults"],
        "properties": { "faults": { "type": "array", "items": reference("PolicyFault") } },
    });
    schemas.insert("PolicyProblem".to_owned(), problem);
    schemas
}

fn server(listener: Listener) -> Value {
    let (url, description) = match listener {
        Listener::Ingest => ("http://127.0.0.1:8080", "ingest, where it listens unless configured otherwise"),
        Listener::Admin => ("http://127.0.0.1:9090", "admin, where it listens unless configured otherwise"),
    };
    json!({ "url": url, "description": description })
}

const DESCRIPTION: &str = "A backpressure-aware ingestion gateway. Two listeners: `ingest` for clients and workers, \
    `admin` for operators; each path names its own as its server, each operation as its tag. GET is answered for \
    HEAD too. Every refusal is a problem document whose `code` is from a closed list; 429 and 503 always say \
    `Retry-After`, and it is a promise. A path that does not exist is 404 `not_found`, a method that a path does not \
    have 405 `method_not_allowed` with `Allow`. What is no HTTP gets a 4xx without a body, or a closed connection.";

const BEARER: &str = "ingest: a caller's key, with the scope `submit` for jobs and `lease` for leases, where callers without one may not do \
    what is asked; one that is not known is 401 everywhere. admin: the \
    listener's token, once it listens beyond loopback or has one.";
