//! The schema of rules: their conditions and the tests on values.

use serde_json::{Value, json};

use crate::domain::tier::Tier;
use crate::policy::condition::MAX_ALTERNATIVES;
use crate::policy::rules::MAX_RULES;
use crate::policy::schema::kinds::{HEADER_NAME, Keys, POINTER, size, text_of, word};

/// The list of rules.
pub(super) fn rules() -> Value {
    let tiers = Tier::ALL.map(|tier| json!(tier.as_str()));
    let rule = Keys::new()
        .key("name", text_of("What status and logs call the rule."))
        .key("when", when())
        .required("tier", word("Where matching jobs go.", &tiers))
        .mapping("Jobs for which all of `when` holds belong to the tier.");
    json!({
        "description": "Which jobs belong to which tier; the first rule that matches wins.",
        "type": ["array", "null"],
        "maxItems": MAX_RULES,
        "items": rule,
        "default": [],
    })
}

fn when() -> Value {
    Keys::new()
        .key("type", test("What `type_from` read."))
        .key("method", test("The request's method."))
        .key("path", test("The request's path; in a glob `*` stays within a segment, `**` goes beyond."))
        .key("tenant", test("The caller; `anonymous` without a key."))
        .key("content_type", test("The media type without parameters, in lower case."))
        .key(
            "content_length",
            json!({ "description": "The length declared, in bytes, as it is on the wire.", "$ref": "#/$defs/bytes_test" }),
        )
        .key("header", named("Tests by header name: any value of the header.", Some(HEADER_NAME)))
        .key("query", named("Tests by parameter name: any value of it, decoded.", None))
        .key("body", named("Tests by JSON pointer into the payload.", Some(POINTER)))
        .section("All of these must hold; without any the rule matches every job.")
}

fn test(description: &str) -> Value {
    json!({ "description": description, "$ref": "#/$defs/test" })
}

/// Tests under names of the operator's choice.
fn named(description: &str, pattern: Option<&str>) -> Value {
    let mut names = json!({
        "description": description,
        "type": "object",
        "minProperties": 1,
        "additionalProperties": { "$ref": "#/$defs/test" },
    });
    if let (Some(pattern), Some(members)) = (pattern, names.as_object_mut()) {
        members.insert("propertyNames".to_owned(), json!({ "pattern": format!("^{pattern}$") }));
    }
    names
}

/// The tests that conditions refer to.
pub(super) fn definitions() -> Value {
    let value = text_of("The text is this one; a JSON number or boolean equals it.");
    let number = json!({ "description": "An end of a range, included.", "type": "number" });
    let size_test = size("The length is this one.", 1);
    json!({
        "test": any_of(value, named_test(&number)),
        "bytes_test": any_of(size_test, named_test(&size("An end of a range, included.", 0))),
    })
}

fn any_of(value: Value, named: Value) -> Value {
    json!({
        "description": "A value, a list (any of), or one of {prefix}, {glob}, {regex}, {at_least, at_most}, {present}.",
        "anyOf": [
            value,
            named,
            { "type": "array", "minItems": 1, "maxItems": MAX_ALTERNATIVES, "items": { "anyOf": [value, named] } },
        ],
    })
}

fn named_test(end: &Value) -> Value {
    let mut test = Keys::new()
        .key("prefix", text_of("The text begins so."))
        .key("glob", text_of("The text as a whole fits the pattern, such as a*."))
        .key("regex", text_of("The pattern occurs in the text; anchor it with ^ and $."))
        .key("at_least", end.clone())
        .key("at_most", end.clone())
        .key("present", json!({ "description": "There is a value, or there is none.", "type": "boolean" }))
        .mapping("One test; a range may have both its ends.");
    if let Some(members) = test.as_object_mut() {
        members.remove("required");
        members.insert(
            "oneOf".to_owned(),
            json!([
                { "required": ["prefix"] },
                { "required": ["glob"] },
                { "required": ["regex"] },
                { "required": ["present"] },
                { "anyOf": [{ "required": ["at_least"] }, { "required": ["at_most"] }] },
            ]),
        );
    }
    test
}
