//! The named schemas of the document: answers derived from the structs that are serialised, request bodies beside
//! the bounds that their readers keep to.

use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use crate::domain::tier::Tier;
use crate::server::admin::dead_letters::{PageBody, ResultsBody, Shown};
use crate::server::admin::history::HistoryStatus;
use crate::server::admin::policy::{CheckBody, FaultBody, HistoryBody, PolicyBody, ReloadBody};
use crate::server::admin::{selection, status::Status};
use crate::server::batch::tally::Members;
use crate::server::ingest::ReceiptBody;
use crate::server::leases::{reply, request};
use crate::server::problem::document::{Document, NoMembers};

/// Where named schemas stand in the document.
pub const PLACE: &str = "#/components/schemas/";

/// Every named schema.
pub fn all() -> Map<String, Value> {
    let settings = SchemaSettings::draft2020_12().for_serialize();
    let mut generator = settings
        .with(|settings| {
            settings.definitions_path = PLACE.trim_end_matches('/').trim_start_matches('#').into()
        })
        .into_generator();
    answers(&mut generator);
    let mut all = generator.take_definitions(true);
    all.extend([
        ("LeaseRequest".to_owned(), lease_request()),
        ("Ack".to_owned(), ack()),
        ("Nack".to_owned(), nack()),
        ("Extend".to_owned(), extend()),
        ("DeadLetterSelection".to_owned(), selection()),
        ("PolicyRollback".to_owned(), rollback()),
        ("CloudEvent".to_owned(), cloud_event()),
    ]);
    all
}

fn answers(generator: &mut SchemaGenerator) {
    generator.subschema_for::<ReceiptBody<'_>>();
    generator.subschema_for::<Members<'_>>();
    generator.subschema_for::<Document<'_, NoMembers>>();
    generator.subschema_for::<reply::Jobs<'_>>();
    generator.subschema_for::<reply::Results>();
    generator.subschema_for::<Status<'_>>();
    generator.subschema_for::<HistoryStatus>();
    generator.subschema_for::<PolicyBody<'_>>();
    generator.subschema_for::<ReloadBody>();
    generator.subschema_for::<CheckBody<'_>>();
    generator.subschema_for::<HistoryBody<'_>>();
    generator.subschema_for::<FaultBody>();
    generator.subschema_for::<PageBody<'_>>();
    generator.subschema_for::<Shown<'_>>();
    generator.subschema_for::<ResultsBody>();
}

fn rollback() -> Value {
    json!({
        "type": "object",
        "description": "Which policy of the history.",
        "required": ["revision"],
        "additionalProperties": false,
        "properties": { "revision": { "type": "string", "examples": ["cbf29ce484222325"] } },
    })
}

fn lease_request() -> Value {
    json!({
        "type": "object",
        "description": "What a worker wants. Every key may be left out, and so may the whole body.",
        "additionalProperties": false,
        "examples": [{ "max": 100, "lease_seconds": 30, "wait_seconds": 1, "tiers": ["p0", "p1"], "worker": "w-7" }],
        "properties": {
            "max": number("Jobs at most.", 1, request::MOST_JOBS, Some(request::USUAL_JOBS)),
            "lease_seconds": number(
                "The jobs are the worker's for so long.", 1, request::LONGEST_LEASE, Some(request::USUAL_LEASE)
            ),
            "wait_seconds": number("How long to wait for the first job.", 0, request::LONGEST_WAIT, Some(0)),
            "tiers": {
                "description": "Jobs of these tiers only.",
                "type": ["array", "null"],
                "minItems": 1,
                "items": { "type": "string", "enum": tiers() },
            },
            "worker": {
                "description": "The worker's name.",
                "type": ["string", "null"],
                "minLength": 1,
                "maxLength": request::LONGEST_WORKER,
            },
        },
    })
}

fn ack() -> Value {
    of_leases("Leases whose jobs are done.", json!({}))
}

fn nack() -> Value {
    let further = json!({
        "delay_seconds": number(
            "Pause before the next attempt, in place of the policy's backoff.", 0, request::LONGEST_DELAY, None
        ),
        "reason": {
            "description": format!("Why, for the dead letter: at most {} bytes of UTF-8.", request::LONGEST_REASON),
            "type": ["string", "null"],
            "maxLength": request::LONGEST_REASON,
        },
        "dead": {
            "description": "No further attempt: straight to the dead letters.",
            "type": ["boolean", "null"],
            "default": false,
        },
    });
    of_leases("Leases whose attempts failed.", further)
}

fn extend() -> Value {
    let period = number(
        "The jobs are the worker's for so long from now.",
        1,
        request::LONGEST_LEASE,
        Some(request::USUAL_LEASE),
    );
    of_leases("Leases to keep for longer.", json!({ "lease_seconds": period }))
}

fn of_leases(description: &str, mut properties: Value) -> Value {
    let leases = json!({
        "description": format!("As they were lent, at most {}.", request::MOST_LEASES),
        "type": "array",
        "items": { "type": "string" },
    });
    if let Some(properties) = properties.as_object_mut() {
        properties.insert("leases".to_owned(), leases);
    }
    json!({
        "type": "object",
        "description": description,
        "required": ["leases"],
        "additionalProperties": false,
        "properties": properties,
    })
}

/// Exactly one of three forms; null is as good as none.
fn selection() -> Value {
    let most = selection::MOST;
    let ids = json!({ "type": "array", "minItems": 1, "maxItems": most, "items": { "type": "string" } });
    let tier = json!({ "type": "string", "enum": tiers() });
    let limit = json!({
        "description": "The oldest so many.",
        "type": ["integer", "null"],
        "minimum": 1,
        "maximum": most,
        "default": selection::USUAL,
    });
    let null = json!({ "type": "null" });
    let form = |required: &str, ids: &Value, tier: &Value, limit: &Value, every: &Value| {
        json!({
            "type": "object",
            "required": [required],
            "additionalProperties": false,
            "properties": { "ids": ids, "tier": tier, "limit": limit, "all": every },
        })
    };
    json!({
        "description": "Which dead letters: by id, the oldest of a tier, or all.",
        "oneOf": [
            form("ids", &ids, &null, &null, &null),
            form("tier", &null, &tier, &limit, &null),
            form("all", &null, &null, &null, &json!({ "const": true })),
        ],
    })
}

/// An event of CloudEvents 1.0 in its JSON format. A null attribute is as good as none.
fn cloud_event() -> Value {
    let text = |least: u64| json!({ "type": ["string", "null"], "minLength": least, "pattern": NO_CONTROLS });
    let required = || json!({ "type": "string", "minLength": 1, "pattern": NO_CONTROLS });
    json!({
        "description": "An event of CloudEvents 1.0: the payload is the event as it came, its attributes are also \
                        carried as `ce-*`. Extensions are texts, whole numbers of 32 bits written without a fraction, \
                        or true or false.",
        "type": "object",
        "required": ["specversion", "id", "source", "type"],
        "propertyNames": { "pattern": "^([a-z0-9]+|data_base64)$" },
        "properties": {
            "specversion": { "const": "1.0" },
            "id": required(),
            "source": { "type": "string", "minLength": 1, "format": "uri-reference" },
            "type": required(),
            "subject": text(1),
            "time": { "type": ["string", "null"], "format": "date-time" },
            "dataschema": { "type": ["string", "null"], "minLength": 1, "format": "uri" },
            "datacontenttype": {
                "type": ["string", "null"],
                "pattern": "^[A-Za-z0-9!#$&^_.+-]+/[A-Za-z0-9!#$&^_.+-]+(; ?[a-z]+=[a-z0-9-]+)*$",
            },
            "data": {},
            "data_base64": {
                "type": ["string", "null"],
                "contentEncoding": "base64",
                "pattern": "^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/][AQgw]==|[A-Za-z0-9+/]{2}[AEIMQUYcgkosw048]=)?$",
            },
        },
        "additionalProperties": {
            "type": ["string", "boolean", "integer", "null"],
            "minimum": i32::MIN,
            "maximum": i32::MAX,
            "pattern": NO_CONTROLS,
        },
        "not": {
            "required": ["data", "data_base64"],
            "properties": { "data_base64": { "type": "string" } },
        },
        "examples": [{
            "specversion": "1.0",
            "id": "7",
            "source": "/shop",
            "type": "com.example.sale",
            "time": "2026-01-31T12:00:00Z",
            "data": { "amount": 12 },
        }],
    })
}

/// A whole number that may be left out, or null.
fn number(description: &str, least: u64, most: u64, usual: Option<u64>) -> Value {
    let mut schema = json!({
        "description": description,
        "type": ["integer", "null"],
        "minimum": least,
        "maximum": most,
    });
    if let (Some(usual), Some(schema)) = (usual, schema.as_object_mut()) {
        schema.insert("default".to_owned(), usual.into());
    }
    schema
}

/// No control characters, and none of the code points that are no characters.
const NO_CONTROLS: &str = r"^[^\u0000-\u001f\u007f-\u009f\ufdd0-\ufdef\ufffe\uffff]*$";

/// Every tier's word.
pub fn tiers() -> [&'static str; 3] {
    Tier::ALL.map(Tier::as_str)
}
