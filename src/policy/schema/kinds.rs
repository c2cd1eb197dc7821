//! The kinds of values in a schema, each with its units, and mappings of keys.

use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::domain::tier::Tier;
use crate::yaml::scalar::written;

/// The keys of one mapping, while they are put together.
#[derive(Debug, Default)]
pub(super) struct Keys {
    properties: Map<String, Value>,
    required: Vec<&'static str>,
}

impl Keys {
    pub(super) fn new() -> Keys {
        Keys::default()
    }

    /// A key that may be left out.
    pub(super) fn key(mut self, name: &'static str, value: Value) -> Keys {
        self.properties.insert(name.to_owned(), value);
        self
    }

    /// A key that must be written.
    pub(super) fn required(mut self, name: &'static str, value: Value) -> Keys {
        self.required.push(name);
        self.key(name, value)
    }

    /// A mapping of these keys and no others, none of which must be written: it may be empty.
    pub(super) fn section(self, description: &str) -> Value {
        json!({
            "description": description,
            "type": ["object", "null"],
            "properties": self.properties,
            "additionalProperties": false,
        })
    }

    /// A mapping of these keys and no others.
    pub(super) fn mapping(self, description: &str) -> Value {
        json!({
            "description": description,
            "type": "object",
            "properties": self.properties,
            "required": self.required,
            "additionalProperties": false,
        })
    }
}

/// A whole number, both ends included.
pub(super) fn whole(description: &str, least: u64, most: u64) -> Value {
    json!({ "description": description, "type": "integer", "minimum": least, "maximum": most })
}

/// A number, both ends included.
pub(super) fn number(description: &str, least: f64, most: f64, default: f64) -> Value {
    let kind = json!({ "description": description, "type": "number", "minimum": least, "maximum": most });
    with_default(kind, default)
}

/// A time with its unit; what is beyond the number and its unit is in the description.
pub(super) fn duration(description: &str) -> Value {
    json!({
        "description": format!("{description} A duration: a number with ms, s, min, h or d."),
        "type": "string",
        "pattern": format!("^{AMOUNT} ?(ms|s|min|h|d)$"),
        "examples": ["100ms", "5s", "30min"],
    })
}

/// A duration with what it is when it is left out.
pub(super) fn duration_else(description: &str, default: Duration) -> Value {
    with_default(duration(description), written(default))
}

/// Jobs per time.
pub(super) fn rate(description: &str) -> Value {
    json!({
        "description": format!("{description} A rate: a number with /s, /min or /h."),
        "type": "string",
        "pattern": format!("^{AMOUNT} ?/(s|min|h)$"),
        "examples": ["500/s", "30/min"],
    })
}

/// Bytes: `least` is the fewest that may be written as a bare number.
pub(super) fn size(description: &str, least: u64) -> Value {
    json!({
        "description": format!("{description} A size: bytes, or a number with B, KB, MB, GB, TB, KiB, MiB, GiB or TiB."),
        "anyOf": [
            { "type": "integer", "minimum": least },
            { "type": "string", "pattern": format!("^{AMOUNT} ?(B|[KMGT]B|[KMGT]iB)$") },
        ],
    })
}

/// One of these words, or numbers that stand for words.
pub(super) fn word(description: &str, words: &[Value]) -> Value {
    json!({ "description": description, "enum": words })
}

/// One of these words, with what it is when it is left out.
pub(super) fn word_else(description: &str, words: &[&str], default: &str) -> Value {
    let words: Vec<Value> = words.iter().map(|word| json!(word)).collect();
    with_default(word(description, &words), default)
}

/// The name of a tier.
pub(super) fn tier_word(description: &str, default: Tier) -> Value {
    word_else(description, &Tier::ALL.map(Tier::as_str), default.as_str())
}

/// `true` or `false`.
pub(super) fn flag(description: &str, default: bool) -> Value {
    with_default(json!({ "description": description, "type": "boolean" }), default)
}

/// Any text that is not empty; what looks like a number is text too.
pub(super) fn text_of(description: &str) -> Value {
    json!({ "description": description, "type": ["string", "number", "boolean"], "minLength": 1 })
}

/// Where a name is read.
pub(super) fn sources(description: &str, default: &[&str]) -> Value {
    json!({
        "description": description,
        "type": ["array", "null"],
        "maxItems": 16,
        "items": {
            "type": "string",
            "pattern": format!("^(header:{HEADER_NAME}|ce-[a-z0-9]+|body:{POINTER})$"),
        },
        "default": default,
    })
}

/// A key that is known and refused.
pub(super) fn refused(description: &str) -> Value {
    json!({ "description": description, "not": {} })
}

/// The same with what the key means when it is left out.
pub(super) fn with_default(mut kind: Value, default: impl Into<Value>) -> Value {
    if let Some(members) = kind.as_object_mut() {
        members.insert("default".to_owned(), default.into());
    }
    kind
}

/// A decimal number without sign.
const AMOUNT: &str = r"[0-9]+(\.[0-9]*)?";

/// A header field's name (RFC 9110).
pub(super) const HEADER_NAME: &str = "[!#$%&'*+.^_`|~0-9A-Za-z-]+";

/// A JSON pointer (RFC 6901) of as many levels as are read.
pub(super) const POINTER: &str = "(/([^~/]|~[01])*){0,16}";
