//! The schema of tiers, of the controller and of tenants.

use serde_json::{Value, json};

use crate::admission::tenants::terms::TenantTerms;
use crate::control::settings::{ControllerSettings, Target};
use crate::domain::tier::Tier;
use crate::policy::defaults;
use crate::policy::schema::kinds::{
    Keys, duration, duration_else, flag, number, rate, refused, text_of, tier_word, whole, with_default,
    word, word_else,
};
use crate::policy::tenants::{MOST_BURST, MOST_NAMED, MOST_WEIGHT};
use crate::policy::tiers::{MAX_ATTEMPTS, MAX_GAIN, MAX_JOBS, MAX_QUEUE_NAME, MAX_WEIGHT, MAX_WINDOW};
use crate::yaml::scalar::written;

/// One tier, with its own defaults.
pub(super) fn tier(tier: Tier) -> Value {
    let policy = defaults::tier(tier);
    let description = match tier {
        Tier::P0 => "Critical: bounded, never shed.",
        Tier::P1 => "Standard.",
        Tier::P2 => "Bulk: the first to wait.",
    };
    let keys = Keys::new()
        .key("queue", with_default(queue(), &*policy.queue))
        .required("target", target(tier))
        .required("max_depth", depth("The hard bound: beyond it 429 queue_full. In jobs."))
        .key("weight", {
            let share = whole("Share of the workers, relative to the other tiers.", 1, MAX_WEIGHT.into());
            with_default(share, policy.weight)
        })
        .key("on_stale", on_stale(tier))
        .key("rate", rates())
        .key("retry", retry())
        .key("ordering", {
            let description = "pass: a retried job may come later; block: its ordering key waits for it.";
            word_else(description, &["pass", "block"], "pass")
        })
        .key("expires_in", duration("Drop jobs older than this; not set: never. Above 0."))
        .key("require", {
            let words = [json!("disk"), json!("replicated")];
            word("The durability that a receipt must reach; not set: any.", &words)
        })
        .key("retry_after", retry_after())
        .key("spool", flag("Jobs go to the local disk while the backend is away.", policy.spool))
        .key("scale", refused("For an autoscaler. Not available yet."));
    match tier {
        Tier::P0 => keys
            .key("shed", refused("p0 takes no shed: critical work is bounded by max_depth, never shed."))
            .key("retention", refused("p0 takes no retention: critical work is bounded, never shed."))
            .key("yields", {
                let no =
                    json!({ "description": "p0 cannot yield: there is no tier above it.", "const": false });
                with_default(no, false)
            }),
        Tier::P1 | Tier::P2 => keys
            .key("shed", shed())
            .key("retention", retention())
            .key("yields", flag("Shed too while a higher tier is at its max_depth.", false)),
    }
    .mapping(description)
}

fn queue() -> Value {
    json!({
        "description": "The queue's name, in receipts and metrics too; every tier has its own.",
        "type": ["string", "number", "boolean"],
        "pattern": format!("^[A-Za-z0-9:._{{}}-]{{1,{MAX_QUEUE_NAME}}}$"),
    })
}

fn depth(description: &str) -> Value {
    whole(description, 1, MAX_JOBS)
}

fn target(tier: Tier) -> Value {
    let Target::Delay { delay: usual, at_least, at_most } = defaults::law(tier).target else {
        return Value::Null;
    };
    let usual = json!({ "delay": written(usual), "at_least": at_least, "at_most": at_most });
    let mut target = Keys::new()
        .key("depth", depth("Always this many jobs."))
        .key(
            "delay",
            duration(
                "The queueing delay that is acceptable: the target is the measured drain times it. Above 0.",
            ),
        )
        .key("at_least", depth("Never less than this many jobs; the target before any worker was seen."))
        .key("at_most", depth("Never more than this many jobs."))
        .mapping(
            "The depth that the gateway holds: a fixed `depth`, or `delay` with `at_least` and `at_most`.",
        );
    if let Some(members) = target.as_object_mut() {
        members.remove("required");
        members.insert("examples".to_owned(), json!([{ "depth": 10_000 }, usual]));
        members.insert(
            "oneOf".to_owned(),
            json!([{ "required": ["depth"] }, { "required": ["delay", "at_least", "at_most"] }]),
        );
    }
    target
}

fn on_stale(tier: Tier) -> Value {
    let usual = match tier {
        Tier::P0 => "hold",
        Tier::P1 => "floor",
        Tier::P2 => "shut",
    };
    let description = "Without a backlog signal: hold (admit as much as was drained last), floor (admit rate.min), shut \
                       (admit nothing), open (admit everything).";
    word_else(description, &["hold", "floor", "shut", "open"], usual)
}

fn shed() -> Value {
    Keys::new()
        .required("at", depth("From this depth on, in jobs."))
        .required("until", depth("Until the depth is below this one, in jobs; below `at`."))
        .key("status", with_default(word("The answer's status.", &[json!(429), json!(503)]), 429))
        .mapping("Refuse the whole tier, for what the law cannot see; not set: off.")
}

fn retention() -> Value {
    Keys::new()
        .required(
            "shed_at",
            duration("Shed while the oldest unread job is deleted in less than this. Above 0."),
        )
        .required("until", duration("Until so much is left again; above `shed_at`."))
        .mapping("Shed while the backend would delete unread jobs; only Kafka deletes. Not set: off.")
}

fn rates() -> Value {
    let usual = defaults::law(Tier::P1).rate;
    let least = format!("{}/s", usual.min.jobs_per_second());
    Keys::new()
        .key("min", with_default(rate("Never admit less than this."), least))
        .key("max", rate("Never admit more than this; not set: no limit. Above 0."))
        .key("burst", duration_else("Unused rate is kept for this long, 10ms to 1h.", usual.burst))
        .section("Bounds of the admission rate.")
}

fn retry() -> Value {
    let usual = defaults::tier(Tier::P1).retry;
    let attempts = whole("How often a job is handed out before it is a dead letter.", 1, MAX_ATTEMPTS.into());
    Keys::new()
        .key("attempts", with_default(attempts, usual.attempts))
        .key(
            "backoff",
            duration_else("Before the second attempt; doubles with each further one.", usual.backoff),
        )
        .key("max_backoff", duration_else("No pause is longer.", usual.max_backoff))
        .section("What happens to jobs that fail.")
}

fn retry_after() -> Value {
    let usual = defaults::law(Tier::P1).retry_after;
    Keys::new()
        .key("min", duration_else("No refused client is told to come back earlier, 1s to 1d.", usual.min))
        .key("max", duration_else("Nor later, 1s to 1d.", usual.max))
        .section("Bounds of Retry-After.")
}

/// The control law's knobs.
pub(super) fn controller() -> Value {
    let usual = ControllerSettings::DEFAULT;
    Keys::new()
        .key(
            "interval",
            duration_else("Time between two readings of the backlog, 10ms to 10s.", usual.interval),
        )
        .key("kp", number("Proportional gain in 1/s.", 0.0, MAX_GAIN, usual.kp))
        .key("ki", number("Integral gain in 1/s^2.", 0.0, MAX_GAIN, usual.ki))
        .key("kd", number("Derivative gain, unitless.", 0.0, MAX_GAIN, usual.kd))
        .key("drain_memory", {
            let description = "Time over which the measured drain is smoothed, 10ms to 10min.";
            duration_else(description, usual.drain_memory)
        })
        .key("window", {
            let description = "Between two readings no more than this multiple of the target.";
            number(description, 1.0, MAX_WINDOW, usual.window)
        })
        .section("The control law, the same for every tier and every magnitude.")
}

/// Who may how much.
pub(super) fn tenants() -> Value {
    let terms = || {
        Keys::new()
            .key("ceiling", tier_word("The highest tier the tenant may reach.", TenantTerms::UNLIMITED.ceiling))
            .key("weight", {
                let description = "Share of a tier under pressure, relative to the other tenants.";
                let weight = json!({ "description": description, "type": "integer", "minimum": 1, "maximum": MOST_WEIGHT });
                with_default(weight, 1)
            })
            .key("rate", rate("Never more than this in all tiers together; not set: no limit."))
            .key("burst", {
                let description = "So many jobs may come at once within the rate.";
                json!({ "description": description, "type": "integer", "minimum": 1, "maximum": MOST_BURST })
            })
    };
    let mut tenants = Keys::new()
        .key("default", terms().section("Callers without a tenant of their own, `anonymous` too."))
        .section("Tenants by name: what is not theirs is the default's.");
    let watch = json!({ "description": "Whether the metrics name it.", "type": "boolean" });
    let named = terms().key("watch", with_default(watch, false));
    if let Some(members) = tenants.as_object_mut() {
        members.insert("additionalProperties".to_owned(), named.section("A tenant of its own."));
        members.insert("maxProperties".to_owned(), json!(MOST_NAMED + 1));
        members.insert("propertyNames".to_owned(), text_of("The tenant's name, as keys say it."));
    }
    tenants
}
