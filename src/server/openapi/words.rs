//! Schemas of the words that stand in answers: closed lists taken from the types that write them, ids and times.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::domain::code::{Code, Outcome};
use crate::domain::job::JobId;
use crate::domain::tier::Tier;
use crate::domain::time::Timestamp;
use crate::domain::verdict::Verdict;
use crate::queue::embedded::lease::LeaseToken;
use crate::queue::{Durability, GroupState};
use crate::server::fields::Text;
use crate::telemetry::diagnosis::{Cause, Severity, State};

/// A tier.
pub fn tier(_: &mut SchemaGenerator) -> Schema {
    one_of(&Tier::ALL.map(Tier::as_str))
}

/// A tier, or null.
pub fn tier_or_null(_: &mut SchemaGenerator) -> Schema {
    one_of_or_null(&Tier::ALL.map(Tier::as_str))
}

/// How safely jobs are kept.
pub fn durability(_: &mut SchemaGenerator) -> Schema {
    let all = [Durability::Memory, Durability::Disk, Durability::Replicated, Durability::Spooled];
    one_of(&all.map(Durability::as_str))
}

/// The code of a refusal, by reference.
pub fn code(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<CodeWord>()
}

/// The type of a problem: its code as a name.
pub fn problem_type(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "format": "uri", "pattern": "^urn:tidegate:problem:[a-z_]+$" })
}

/// What became of a job without a receipt.
pub fn outcome(_: &mut SchemaGenerator) -> Schema {
    one_of(&[Outcome::NotStored, Outcome::Stored, Outcome::Unknown].map(Outcome::as_str))
}

/// What became of one lease.
pub fn lease_status(_: &mut SchemaGenerator) -> Schema {
    one_of(&["ok", "unknown"])
}

/// What became of one dead letter.
pub fn dead_letter_status(_: &mut SchemaGenerator) -> Schema {
    one_of(&["replayed", "purged", "refused", "unknown"])
}

/// What a group of consumers does.
pub fn group_state(_: &mut SchemaGenerator) -> Schema {
    let all = [
        GroupState::Reading,
        GroupState::Idle,
        GroupState::Stalled,
        GroupState::Rebalancing,
        GroupState::Empty,
    ];
    one_of(&all.map(GroupState::as_str))
}

/// Whether other gateways share the backend.
pub fn share_mode(_: &mut SchemaGenerator) -> Schema {
    one_of(&["alone", "redis"])
}

/// Where the gateway is in its life.
pub fn phase(_: &mut SchemaGenerator) -> Schema {
    one_of(&["starting", "running", "leaving", "draining", "stopped"])
}

/// Where a policy came from.
pub fn policy_source(_: &mut SchemaGenerator) -> Schema {
    one_of(&["start", "file", "signal", "request", "rollback"])
}

/// What became of a reload that was not refused.
pub fn reload_result(_: &mut SchemaGenerator) -> Schema {
    one_of(&["applied", "unchanged"])
}

/// What became of a reload.
pub fn reload_attempt(_: &mut SchemaGenerator) -> Schema {
    one_of(&["applied", "rejected", "unchanged"])
}

/// Whether there is a candidate.
pub fn shadow_state(_: &mut SchemaGenerator) -> Schema {
    one_of(&["off", "on", "faulty"])
}

/// What a gate says of a job.
pub fn verdict(_: &mut SchemaGenerator) -> Schema {
    one_of(&Verdict::ALL.map(Verdict::as_str))
}

/// How the law treats its signal.
pub fn signal(_: &mut SchemaGenerator) -> Schema {
    one_of(&["awaited", "fresh", "modelled", "stale"])
}

/// What held the rate, or null.
pub fn clamp_or_null(_: &mut SchemaGenerator) -> Schema {
    one_of_or_null(&["min", "max", "stale"])
}

/// The state of a tier.
pub fn state(_: &mut SchemaGenerator) -> Schema {
    one_of(State::WORDS)
}

/// How much a state matters.
pub fn severity(_: &mut SchemaGenerator) -> Schema {
    one_of(Severity::WORDS)
}

/// What is behind a state, or null.
pub fn cause_or_null(_: &mut SchemaGenerator) -> Schema {
    one_of_or_null(Cause::WORDS)
}

/// What rules without a signal.
pub fn on_stale(_: &mut SchemaGenerator) -> Schema {
    one_of(&["hold", "floor", "shut", "open"])
}

/// The closed list of codes, as one named schema.
struct CodeWord;

impl JsonSchema for CodeWord {
    fn schema_name() -> Cow<'static, str> {
        Cow::Borrowed("Code")
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let mut schema = one_of(&Code::ALL.iter().map(|code| code.as_str()).collect::<Vec<_>>());
        schema.insert("description".to_owned(), "Why a request was refused. The list is closed.".into());
        schema
    }
}

fn one_of(words: &[&str]) -> Schema {
    json_schema!({ "type": "string", "enum": words })
}

fn one_of_or_null(words: &[&str]) -> Schema {
    let words: Vec<_> = words.iter().copied().map(Some).chain([None]).collect();
    json_schema!({ "type": ["string", "null"], "enum": words })
}

/// A schema that stands where it is used, for one kind of text.
macro_rules! text {
    ($kind:ty, $schema:tt) => {
        impl JsonSchema for Text<$kind> {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                Cow::Borrowed(stringify!($kind))
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        }
    };
}

text!(JobId, { "type": "string", "format": "uuid" });
text!(LeaseToken, { "type": "string", "pattern": "^[0-9a-f]{32}$" });
text!(Timestamp, {
    "type": "string",
    "format": "date-time",
    "pattern": r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}Z$"
});
