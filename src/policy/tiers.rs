//! Reading what the document says of tiers and of the controller.

use std::time::Duration;

use crate::admission::settings::{RetentionSettings, RetryAfterBounds, ShedSettings};
use crate::control::settings::{ControllerSettings, RateBounds, Target};
use crate::domain::tier::Tier;
use crate::policy::{Ordering, Requirement, RetryPolicy, TierPolicy, defaults};
use crate::regulator::settings::{OnStale, TierSettings};
use crate::yaml::decode::{Field, Mapping};

/// Reads one tier. Keys that are wrong keep their defaults; the faults are noted.
pub(super) fn read_tier(field: &Field<'_>, tier: Tier) -> (TierSettings, TierPolicy) {
    // A tier that is written at all sheds and yields only where it says so.
    let mut law = TierSettings { shed: None, retention: None, yields: false, ..defaults::law(tier) };
    let mut policy = defaults::tier(tier);
    let Some(mut map) = field.mapping() else { return (law, policy) };
    map.set("queue", &mut policy.queue, queue_name);
    if let Some(target) = map.required("target").as_ref().and_then(read_target) {
        law.target = target;
    }
    if let Some(depth) = map.required("max_depth").as_ref().and_then(depth) {
        law.max_depth = depth;
    }
    map.set("weight", &mut policy.weight, |field| whole(field, 1, MAX_WEIGHT));
    map.set("on_stale", &mut law.on_stale, on_stale);
    map.set("shed", &mut law.shed, |field| read_shed(field, tier));
    map.set("retention", &mut law.retention, |field| read_retention(field, tier));
    map.set("yields", &mut law.yields, |field| read_yields(field, tier));
    map.set("rate", &mut law.rate, read_rate);
    map.set("retry", &mut policy.retry, read_retry);
    map.set("ordering", &mut policy.ordering, |field| {
        field.word(&[("pass", Ordering::Pass), ("block", Ordering::Block)])
    });
    map.set("expires_in", &mut policy.expires_in, |field| field.some_duration().map(Some));
    map.set("require", &mut policy.require, |field| {
        field.word(&[("disk", Some(Requirement::Disk)), ("replicated", Some(Requirement::Replicated))])
    });
    map.set("retry_after", &mut law.retry_after, read_retry_after);
    map.set("spool", &mut policy.spool, Field::boolean);
    map.not_available("scale");
    map.close();
    (law, policy)
}

/// Reads the controller. Keys that are wrong keep their defaults; the faults are noted.
pub(super) fn read_controller(field: &Field<'_>) -> ControllerSettings {
    let mut controller = ControllerSettings::DEFAULT;
    let Some(mut map) = field.mapping() else { return controller };
    let gain = |field: &Field<'_>| field.number_within(0.0, MAX_GAIN);
    map.set("interval", &mut controller.interval, |field| field.duration_within(MIN_INTERVAL, MAX_INTERVAL));
    map.set("kp", &mut controller.kp, gain);
    map.set("ki", &mut controller.ki, gain);
    map.set("kd", &mut controller.kd, gain);
    map.set("drain_memory", &mut controller.drain_memory, |field| {
        field.duration_within(MIN_INTERVAL, MAX_DRAIN_MEMORY)
    });
    map.set("window", &mut controller.window, |field| field.number_within(1.0, MAX_WINDOW));
    map.close();
    controller
}

fn read_target(field: &Field<'_>) -> Option<Target> {
    let mut map = field.mapping()?;
    if let Some(fixed) = map.field("depth") {
        for key in ["delay", "at_least", "at_most"] {
            if let Some(field) = map.field(key) {
                field.refuse_key("a target is either `depth` or `delay` with `at_least` and `at_most`");
            }
        }
        map.close();
        return depth(&fixed).map(Target::Depth);
    }
    if let Some(problem) = missing_in_target(&mut map) {
        field.refuse(problem);
    }
    let delay = map.field("delay").as_ref().and_then(Field::some_duration);
    let at_least = map.field("at_least").as_ref().and_then(depth);
    let at_most = map.field("at_most").as_ref().and_then(depth);
    if let (Some(least), Some(most)) = (at_least, at_most)
        && least > most
    {
        field.at(&["at_least"]).refuse(format!("must not be above at_most ({most})"));
    }
    map.close();
    Some(Target::Delay { delay: delay?, at_least: at_least?, at_most: at_most? })
}

fn missing_in_target(map: &mut Mapping<'_>) -> Option<&'static str> {
    let missing = ["delay", "at_least", "at_most"].into_iter().any(|key| map.field(key).is_none());
    missing.then_some("expects { depth: 10000 } or { delay: 5s, at_least: 1000, at_most: 8000 }")
}

fn read_shed(field: &Field<'_>, tier: Tier) -> Option<Option<ShedSettings>> {
    if tier == Tier::P0 {
        field.refuse_key("p0 takes no shed: critical work is bounded by max_depth, never shed");
        return None;
    }
    let mut map = field.mapping()?;
    let at = map.required("at").as_ref().and_then(depth);
    let until = map.required("until").as_ref().and_then(depth);
    let mut unavailable = false;
    map.set("status", &mut unavailable, |field| field.word(&[("429", false), ("503", true)]));
    map.close();
    Some(Some(ShedSettings { at: at?, until: until?, unavailable }))
}

fn read_retention(field: &Field<'_>, tier: Tier) -> Option<Option<RetentionSettings>> {
    if tier == Tier::P0 {
        field.refuse_key("p0 takes no retention: critical work is bounded by max_depth, never shed");
        return None;
    }
    let mut map = field.mapping()?;
    let shed_at = map.required("shed_at").as_ref().and_then(Field::some_duration);
    let until = map.required("until").as_ref().and_then(Field::some_duration);
    map.close();
    let (shed_at, until) = (shed_at?, until?);
    if until <= shed_at {
        let shed_at = humantime::format_duration(shed_at);
        field
            .at(&["until"])
            .refuse(format!("must be above shed_at ({shed_at}): headroom is time that is left"));
    }
    Some(Some(RetentionSettings { shed_at, until }))
}

fn read_yields(field: &Field<'_>, tier: Tier) -> Option<bool> {
    let yields = field.boolean()?;
    if yields && tier == Tier::P0 {
        field.refuse("p0 cannot yield: there is no tier above it");
        return None;
    }
    Some(yields)
}

fn read_rate(field: &Field<'_>) -> Option<RateBounds> {
    let mut rate = defaults::law(Tier::P1).rate;
    let mut map = field.mapping()?;
    map.set("min", &mut rate.min, Field::rate);
    map.set("max", &mut rate.max, |field| field.rate().map(Some));
    map.set("burst", &mut rate.burst, |field| field.duration_within(MIN_INTERVAL, MAX_BURST));
    map.close();
    match rate.max {
        Some(max) if max.jobs_per_second() <= 0.0 => {
            field.at(&["max"]).refuse("expects a rate above 0");
        }
        Some(max) if rate.min > max => {
            field.at(&["min"]).refuse("must not be above max");
        }
        _ => {}
    }
    Some(rate)
}

fn read_retry(field: &Field<'_>) -> Option<RetryPolicy> {
    let mut retry = defaults::tier(Tier::P1).retry;
    let mut map = field.mapping()?;
    map.set("attempts", &mut retry.attempts, |field| whole(field, 1, MAX_ATTEMPTS));
    map.set("backoff", &mut retry.backoff, Field::duration);
    map.set("max_backoff", &mut retry.max_backoff, Field::duration);
    map.close();
    if retry.backoff > retry.max_backoff {
        let max = retry.max_backoff;
        field.at(&["backoff"]).refuse(format!("must not be above max_backoff ({max:?})"));
    }
    Some(retry)
}

fn read_retry_after(field: &Field<'_>) -> Option<RetryAfterBounds> {
    let mut bounds = defaults::law(Tier::P1).retry_after;
    let mut map = field.mapping()?;
    let within = |field: &Field<'_>| field.duration_within(MIN_RETRY_AFTER, MAX_RETRY_AFTER);
    map.set("min", &mut bounds.min, within);
    map.set("max", &mut bounds.max, within);
    map.close();
    if bounds.min > bounds.max {
        field.at(&["min"]).refuse(format!("must not be above max ({:?})", bounds.max));
    }
    Some(bounds)
}

fn on_stale(field: &Field<'_>) -> Option<OnStale> {
    field.word(&[
        ("hold", OnStale::Hold),
        ("floor", OnStale::Floor),
        ("shut", OnStale::Shut),
        ("open", OnStale::Open),
    ])
}

fn queue_name(field: &Field<'_>) -> Option<std::sync::Arc<str>> {
    let expected = "a name of at most 200 letters, digits and : . _ - { }";
    field.scalar(expected, |text| {
        let fits = text.len() <= MAX_QUEUE_NAME
            && text.bytes().all(|byte| {
                byte.is_ascii_alphanumeric() || matches!(byte, b':' | b'.' | b'_' | b'-' | b'{' | b'}')
            });
        fits.then(|| text.into())
    })
}

fn depth(field: &Field<'_>) -> Option<u64> {
    field.integer_within(1, MAX_JOBS)
}

fn whole(field: &Field<'_>, least: u32, most: u32) -> Option<u32> {
    field.integer_within(least.into(), most.into()).and_then(|number| u32::try_from(number).ok())
}

/// Depths are counted in `f64` by the law, which knows every whole number up to 2^53.
pub(super) const MAX_JOBS: u64 = 1_000_000_000_000;

/// Shares of the workers; what is further apart than this leaves a tier nothing.
pub(super) const MAX_WEIGHT: u32 = 1_000;

/// A job that failed so often fails for ever.
pub(super) const MAX_ATTEMPTS: u32 = 1_000;

/// Kafka takes topic names of up to 249 characters, of which suffixes such as `.retry` need some.
pub(super) const MAX_QUEUE_NAME: usize = 200;

/// Gains are in 1/s and 1/s²: beyond this the law is an on/off switch.
pub(super) const MAX_GAIN: f64 = 100.0;

/// A window beyond twice the target bounds nothing.
pub(super) const MAX_WINDOW: f64 = 2.0;

const MIN_INTERVAL: Duration = Duration::from_millis(10);
const MAX_INTERVAL: Duration = Duration::from_secs(10);
const MAX_DRAIN_MEMORY: Duration = Duration::from_secs(600);
const MAX_BURST: Duration = Duration::from_secs(3_600);

/// Retry-After counts whole seconds and is never 0.
const MIN_RETRY_AFTER: Duration = Duration::from_secs(1);
const MAX_RETRY_AFTER: Duration = Duration::from_secs(86_400);
