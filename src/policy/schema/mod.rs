//! The JSON Schema of policies: what editors complete and underline by, and `policies/schema.json` holds.
//!
//! One description of every key, made with the decoder's own bounds and defaults. Tests hold it against the decoder:
//! the same keys in the same places, the same single values taken and refused. What lies between keys (a target above
//! its bound), and ranges of durations and rates, a schema cannot say: that is `tidegate check`'s.

mod kinds;
mod rules;
#[cfg(test)]
mod tests;
mod tiers;

use serde_json::{Value, json};

use crate::domain::tier::Tier;
use crate::policy::defaults;
use crate::policy::schema::kinds::{Keys, sources, text_of, tier_word};

/// The schema as it is kept in a file.
pub fn text() -> String {
    format!("{:#}\n", schema())
}

/// The schema.
pub fn schema() -> Value {
    let mut root = Keys::new()
        .key("type_from", names("a job's type", &defaults::TYPE_FROM))
        .key("ordering_key_from", names("a job's ordering key", &defaults::ORDERING_KEY_FROM))
        .key("idempotency_key_from", names("a job's idempotency key", &defaults::IDEMPOTENCY_KEY_FROM))
        .key("rules", rules::rules())
        .key(
            "default_tier",
            tier_word(
                "The tier of jobs that no rule matches and whose sender wishes for none (header Tidegate-Tier).",
                defaults::DEFAULT_TIER,
            ),
        )
        .key("tiers", all_tiers())
        .key("controller", tiers::controller())
        .key("tenants", tiers::tenants())
        .key(
            "shadow",
            text_of("The file of a candidate policy that is tried on live traffic without acting: a path."),
        )
        .section("What operators of tidegate tune while it runs: tiers, rules, thresholds, the controller, tenants.");
    if let Some(members) = root.as_object_mut() {
        members.insert("$schema".to_owned(), json!("https://json-schema.org/draft/2020-12/schema"));
        members.insert("title".to_owned(), json!("A policy of tidegate"));
        members.insert("$defs".to_owned(), rules::definitions());
    }
    root
}

fn names(what: &str, default: &[&str]) -> Value {
    sources(
        &format!(
            "Where {what} is read; the first source that has one wins. Sources: header:NAME, ce-NAME (CloudEvents), \
             body:/JSON/pointer."
        ),
        default,
    )
}

fn all_tiers() -> Value {
    let mut keys = Keys::new();
    for tier in Tier::ALL {
        keys = keys.key(tier.as_str(), tiers::tier(tier));
    }
    keys.section("The three tiers. One that is left out is the default one as a whole.")
}
