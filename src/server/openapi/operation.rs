//! One method of one path, and the object that describes it.

use std::collections::BTreeMap;

use http::{Method, StatusCode};
use serde_json::{Map, Value, json};

use crate::domain::code::Code;
use crate::server::openapi::header_fields::{Answered, Asked};
use crate::server::openapi::schemas::PLACE;
use crate::server::problem;

/// A listener of the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listener {
    /// Clients and workers.
    Ingest,
    /// Operators.
    Admin,
}

/// One method of one path.
#[derive(Clone, Debug)]
pub struct Operation {
    /// Where it is reached.
    pub listeners: &'static [Listener],
    /// Its method.
    pub method: Method,
    /// Its path, with names in braces.
    pub path: &'static str,
    id: &'static str,
    summary: &'static str,
    description: &'static str,
    parameters: Vec<Value>,
    body: Option<Value>,
    answers: BTreeMap<u16, Value>,
    refusals: BTreeMap<u16, Vec<Code>>,
    batch: bool,
}

impl Operation {
    /// An operation that is not described further yet.
    pub const fn new(
        listeners: &'static [Listener],
        method: Method,
        path: &'static str,
        id: &'static str,
        summary: &'static str,
    ) -> Operation {
        Operation {
            listeners,
            method,
            path,
            id,
            summary,
            description: "",
            parameters: Vec::new(),
            body: None,
            answers: BTreeMap::new(),
            refusals: BTreeMap::new(),
            batch: false,
        }
    }

    /// What a caller must know beyond the summary.
    pub fn described(self, description: &'static str) -> Operation {
        Operation { description, ..self }
    }

    /// Takes these header fields.
    pub fn asks(mut self, fields: &[Asked]) -> Operation {
        self.parameters.extend(fields.iter().map(|field| field.reference()));
        self
    }

    /// Takes a parameter in its path or query.
    pub fn parameter(mut self, parameter: Value) -> Operation {
        self.parameters.push(parameter);
        self
    }

    /// Takes a JSON body of this named schema.
    pub fn takes(self, schema: &str, required: bool) -> Operation {
        self.takes_any(json!({ "application/json": { "schema": reference(schema) } }), required)
    }

    /// Takes a body of one of these media types.
    pub fn takes_any(mut self, content: Value, required: bool) -> Operation {
        self.body = Some(json!({ "required": required, "content": content }));
        self
    }

    /// Answers with JSON of this named schema.
    pub fn answers(self, status: StatusCode, description: &str, schema: &str) -> Operation {
        let content = json!({ "application/json": { "schema": reference(schema) } });
        self.answers_with(status, description, content)
    }

    /// Answers with one of these media types.
    pub fn answers_with(mut self, status: StatusCode, description: &str, content: Value) -> Operation {
        let headers = self.headers(&[]);
        let answer = json!({ "description": description, "headers": headers, "content": content });
        self.answers.insert(status.as_u16(), answer);
        self
    }

    /// Answers without a body.
    pub fn answers_empty(mut self, status: StatusCode, description: &str) -> Operation {
        let answer = json!({ "description": description, "headers": self.headers(&[]) });
        self.answers.insert(status.as_u16(), answer);
        self
    }

    /// Adds header fields to an answer; `always`, or only where the answer is about one tier.
    pub fn with(mut self, status: StatusCode, fields: &[Answered], always: bool) -> Operation {
        let headers = self.answers.get_mut(&status.as_u16()).and_then(|answer| answer.get_mut("headers"));
        if let Some(headers) = headers.and_then(Value::as_object_mut) {
            headers.extend(fields.iter().map(|field| (field.name().to_owned(), field.reference(always))));
        }
        self
    }

    /// What an answer gives to another operation.
    pub fn link(mut self, status: StatusCode, operation: &str, mut link: Value) -> Operation {
        if let Some(link) = link.as_object_mut() {
            link.insert("operationId".to_owned(), operation.into());
        }
        if let Some(answer) = self.answers.get_mut(&status.as_u16()).and_then(Value::as_object_mut) {
            let links = answer.entry("links").or_insert_with(|| json!({}));
            if let Some(links) = links.as_object_mut() {
                links.insert(operation.to_owned(), link);
            }
        }
        self
    }

    /// Refuses with these codes, each with the status that it has.
    pub fn refuses(mut self, codes: &[Code]) -> Operation {
        for code in codes {
            for status in problem::statuses(*code) {
                self.refusals.entry(status.as_u16()).or_default().push(*code);
            }
        }
        self
    }

    /// Refusals of a whole batch may list its items.
    pub fn of_batches(self) -> Operation {
        Operation { batch: true, ..self }
    }

    /// The codes of its refusals.
    #[cfg(test)]
    pub fn codes(&self) -> impl Iterator<Item = Code> {
        self.refusals.values().flatten().copied()
    }

    /// The object that describes it.
    pub fn object(&self) -> Value {
        let mut responses: Map<_, _> =
            self.answers.iter().map(|(status, answer)| (status.to_string(), answer.clone())).collect();
        for (status, codes) in &self.refusals {
            responses.insert(status.to_string(), self.refusal(*status, codes));
        }
        let mut object = Map::new();
        object.insert("operationId".to_owned(), self.id.into());
        object.insert("tags".to_owned(), self.listeners.iter().map(|listener| listener.tag()).collect());
        object.insert("summary".to_owned(), self.summary.into());
        if !self.description.is_empty() {
            object.insert("description".to_owned(), self.description.into());
        }
        if !self.parameters.is_empty() {
            object.insert("parameters".to_owned(), self.parameters.clone().into());
        }
        if let Some(body) = &self.body {
            object.insert("requestBody".to_owned(), body.clone());
        }
        object.insert("responses".to_owned(), responses.into());
        object.into()
    }

    fn refusal(&self, status: u16, codes: &[Code]) -> Value {
        let words: Vec<_> = codes.iter().map(|code| code.as_str()).collect();
        let named: Vec<_> = words.iter().map(|word| format!("`{word}`")).collect();
        let first = match codes {
            _ if self.batch => "BatchProblem",
            [Code::InvalidPolicy] => "PolicyProblem",
            _ => "Problem",
        };
        json!({
            "description": format!("Refused: {}.", named.join(", ")),
            "headers": self.headers(codes),
            "content": {
                "application/problem+json": {
                    "schema": {
                        "allOf": [reference(first)],
                        "properties": { "status": { "const": status }, "code": { "enum": words } },
                    },
                },
            },
        })
    }

    /// What every answer of the listener carries, and what a refusal with one of these codes does.
    fn headers(&self, codes: &[Code]) -> Map<String, Value> {
        let paused = codes.iter().any(|code| problem::asks_to_wait(*code));
        let mut fields = Vec::new();
        if !codes.is_empty() {
            fields.push((Answered::RequestId, true));
        }
        if paused {
            fields.push((Answered::RetryAfter, true));
        }
        if paused || self.listeners.contains(&Listener::Admin) {
            fields.push((Answered::CacheControl, true));
        }
        if codes.contains(&Code::Unauthenticated) {
            fields.push((Answered::WwwAuthenticate, true));
        }
        if codes.contains(&Code::Throttled) {
            fields.extend(Answered::OF_ONE_TIER.map(|field| (field, false)));
        }
        fields.into_iter().map(|(field, always)| (field.name().to_owned(), field.reference(always))).collect()
    }
}

impl Listener {
    /// The tag of its operations.
    pub const fn tag(self) -> &'static str {
        match self {
            Listener::Ingest => "ingest",
            Listener::Admin => "admin",
        }
    }
}

/// The listener of clients and workers.
pub const INGEST: &[Listener] = &[Listener::Ingest];
/// That of operators.
pub const ADMIN: &[Listener] = &[Listener::Admin];
/// What both have.
pub const BOTH: &[Listener] = &[Listener::Ingest, Listener::Admin];

/// A reference to a named schema.
pub fn reference(schema: &str) -> Value {
    json!({ "$ref": format!("{PLACE}{schema}") })
}
