//! The gate's part of an explanation: its checks with their numbers, the law behind them, and what Retry-After is based on.

use serde_json::{Value, json};

use crate::admission::checks::{Check, Numbers};
use crate::admission::decision::{Reason, Refusal};
use crate::cli::explain::course::{Case, Course};
use crate::cli::explain::model::Model;
use crate::cli::explain::text::number;
use crate::cli::explain::told::Law;
use crate::domain::tier::Tier;
use crate::regulator::report::Signal;
use crate::server::problem::Problem;

/// Adds the checks of the tier's gate, and where the request comes to its refusal, what that promises. `refusal` comes
/// with the earliest and latest return that chance gives.
pub(super) fn tell(case: &Case<'_>, course: &mut Course, tier: Tier, refusal: Option<(Refusal, [u64; 2])>) {
    let mut model = Model::at(&case.policy.regulator, case.queues, &case.request.tenant, 0);
    let checks = model.checks(tier);
    let answers = !course.is_over();
    course.tier = Some(tier);
    for (check, reason) in checks.verdicts {
        let says = words(case, &model, tier, check, &checks.numbers);
        let outcome = match (reason, &refusal) {
            (Some(_), Some((refusal, _))) => Err(Problem::refusal(tier, refusal)),
            _ => Ok(String::new()),
        };
        course.step(name(check), outcome, numbers(check, &checks.numbers));
        course.say(says);
    }
    let report = &model.reports[tier];
    if let Some(drain) = case.queues.drains[tier]
        && report.drain.jobs_per_second() <= 0.0
        && drain.jobs_per_second() > 0.0
    {
        course.note(format!(
            "a drain of {}/s shows too seldom to be learned: a gateway would not know it either",
            number(drain.jobs_per_second())
        ));
    }
    course.told.law = Some(Law {
        tier: tier.as_str(),
        depth: report.backlog.depth(),
        target: report.target_depth,
        pressure: report.pressure,
        drain: report.drain.jobs_per_second(),
        drain_given: case.queues.drains[tier].map(|drain| drain.jobs_per_second()),
        rate: report.rate.jobs_per_second(),
    });
    if let (true, Some((refusal, chance))) = (answers, refusal) {
        course.told.answer.retry_after_ms_by_chance = Some(chance);
        course.told.answer.retry_after_from = Some(basis(&refusal, &checks.numbers));
    }
}

const fn name(check: Check) -> &'static str {
    match check {
        Check::Signal => "signal",
        Check::Bound => "bound",
        Check::Shed => "shed",
        Check::Retention => "retention",
        Check::Yields => "yields",
        Check::Tenant => "tenant",
        Check::Window => "window",
        Check::Rate => "rate",
    }
}

fn words(case: &Case<'_>, model: &Model, tier: Tier, check: Check, numbers: &Numbers) -> String {
    let law = &case.policy.regulator;
    let depth = numbers.depth;
    match check {
        Check::Signal => match model.reports[tier].signal {
            Signal::Fresh => format!("fresh: the backlog is read every {:?}", law.controller.interval),
            Signal::Awaited | Signal::Modelled | Signal::Stale => "the backlog is not seen".to_owned(),
        },
        Check::Bound => format!("depth {depth} + 1 job, max_depth {}", numbers.max_depth),
        Check::Shed => match numbers.shed {
            None => format!("{tier} has no threshold"),
            Some(shed) if depth >= shed.at => {
                format!(
                    "depth {depth} reached shed.at {}; taken again below shed.until {}",
                    shed.at, shed.until
                )
            }
            Some(shed) if depth >= shed.until => format!(
                "depth {depth} is below shed.at {}, and not below shed.until {}: once shed, the tier would stay shed",
                shed.at, shed.until
            ),
            Some(shed) => format!("depth {depth} is below shed.until {} and shed.at {}", shed.until, shed.at),
        },
        Check::Retention => retention(tier, numbers),
        Check::Yields if !law.tiers[tier].yields => format!("{tier} does not yield to higher tiers"),
        Check::Yields => {
            let full = Tier::ALL.into_iter().filter(|above| *above < tier && model.reports[*above].full);
            let full =
                full.map(|above| format!("{above} is at its max_depth {}", law.tiers[above].max_depth));
            let full: Vec<_> = full.collect();
            if full.is_empty() { "no higher tier is at its max_depth".to_owned() } else { full.join(", ") }
        }
        Check::Tenant => tenant(&case.request.tenant, numbers),
        Check::Window => format!(
            "predicted depth {} + 1 job, window {} = {} x target {}",
            number(numbers.predicted_depth),
            number(numbers.window),
            number(law.controller.window),
            number(model.reports[tier].target_depth)
        ),
        Check::Rate if numbers.predicted_depth < numbers.paced_from => {
            format!("not paced below a predicted depth of {}", number(numbers.paced_from))
        }
        Check::Rate => {
            format!("tokens {}, filled at {}/s", number(numbers.tokens), number(numbers.rate))
        }
    }
}

fn retention(tier: Tier, numbers: &Numbers) -> String {
    let Some(thresholds) = numbers.retention else { return format!("{tier} has no threshold") };
    let [shed_at, until] = [thresholds.shed_at, thresholds.until].map(humantime::format_duration);
    let Some(headroom) = numbers.headroom.map(|headroom| headroom.left) else {
        return format!(
            "no headroom is given; the tier is shed while less than retention.shed_at {shed_at} is left"
        );
    };
    let left = humantime::format_duration(headroom);
    if headroom < thresholds.shed_at {
        format!(
            "headroom {left} is below retention.shed_at {shed_at}; taken again from retention.until {until} on"
        )
    } else if headroom < thresholds.until {
        format!(
            "headroom {left} is not below retention.shed_at {shed_at}, and below retention.until {until}: once shed, the \
             tier would stay shed"
        )
    } else {
        format!("headroom {left} is above retention.until {until} and retention.shed_at {shed_at}")
    }
}

fn tenant(name: &str, numbers: &Numbers) -> String {
    let weight = numbers.weight;
    let Some(quota) = numbers.quota else {
        return format!("`{name}` has no rate of its own, and weight {weight} beside other tenants");
    };
    format!(
        "1 job, `{name}` has {} of the {} jobs that may come at once, filled at {}/s, and weight {weight} beside other tenants",
        number(quota.tokens),
        number(quota.burst),
        number(quota.rate.jobs_per_second())
    )
}

fn numbers(check: Check, numbers: &Numbers) -> Value {
    let depth = numbers.depth;
    match check {
        Check::Signal => Value::Null,
        Check::Bound => json!({ "depth": depth, "max_depth": numbers.max_depth }),
        Check::Shed => match numbers.shed {
            Some(shed) => json!({ "depth": depth, "at": shed.at, "until": shed.until }),
            None => Value::Null,
        },
        Check::Retention => match numbers.retention {
            Some(thresholds) => json!({
                "headroom_seconds": numbers.headroom.map(|headroom| headroom.left.as_secs_f64()),
                "shed_at_seconds": thresholds.shed_at.as_secs_f64(),
                "until_seconds": thresholds.until.as_secs_f64(),
            }),
            None => Value::Null,
        },
        Check::Yields => Value::Null,
        Check::Tenant => json!({
            "weight": numbers.weight,
            "rate": numbers.quota.map(|quota| quota.rate.jobs_per_second()),
            "burst": numbers.quota.map(|quota| quota.burst),
            "tokens": numbers.quota.map(|quota| quota.tokens),
        }),
        Check::Window => json!({ "predicted_depth": numbers.predicted_depth, "limit": numbers.window }),
        Check::Rate => json!({
            "tokens": numbers.tokens,
            "rate": numbers.rate,
            "paced": numbers.predicted_depth >= numbers.paced_from,
            "paced_from": numbers.paced_from,
        }),
    }
}

/// What the time to return is based on, in words.
fn basis(refusal: &Refusal, numbers: &Numbers) -> String {
    let wait = number(numbers.not_before);
    let unknown = numbers.capacity <= 0.0;
    let known = number(numbers.capacity);
    let by_depth = numbers.shed.is_some_and(|shed| numbers.depth >= shed.at);
    let from = match (refusal.reason, numbers.yields) {
        (Reason::Shed { .. }, None) if !by_depth && !numbers.not_before.is_finite() => {
            let max = numbers.retry_after.max;
            return format!(
                "how fast the headroom grows is not known: returns are spread over the longer half of retry_after.max {max:?}"
            );
        }
        (Reason::QueueFull | Reason::Shed { .. }, _) if !numbers.not_before.is_finite() => {
            let max = numbers.retry_after.max;
            return format!(
                "no drain is known: returns are spread over the longer half of retry_after.max {max:?}"
            );
        }
        (Reason::Throttled, _) => {
            let excess = numbers.predicted_depth + 1.0 - numbers.window;
            if excess > 0.0 {
                let expected = number(numbers.expected);
                let source =
                    if unknown { "a drain assumed from the target, none is known" } else { "the drain" };
                format!("not before {wait} s: {} over the window at {expected}/s, {source}", jobs(excess))
            } else {
                format!("not before {wait} s: the next token at {}/s", number(numbers.rate))
            }
        }
        (Reason::Shed { .. }, Some(_)) => {
            format!(
                "not before {wait} s: until the higher tier is below its max_depth, and this one below shed.until"
            )
        }
        (Reason::Shed { .. }, None) => {
            let until = numbers.shed.map_or(0, |shed| shed.until);
            let surplus = jobs(numbers.depth.saturating_add(1).saturating_sub(until) as f64);
            format!("not before {wait} s: {surplus} down to below shed.until at a drain of {known}/s")
        }
        (Reason::QueueFull, _) => {
            let surplus = jobs(numbers.depth.saturating_add(1).saturating_sub(numbers.max_depth) as f64);
            format!("not before {wait} s: {surplus} to a free place at a drain of {known}/s")
        }
        (Reason::TenantQuota { rate }, _) => {
            format!("not before {wait} s: the tenant's next token at {}/s", number(rate.jobs_per_second()))
        }
        (Reason::SignalStale, _) => "retry_after.min: when the signal comes back is not known".to_owned(),
    };
    let bounds = numbers.retry_after;
    format!("{from}; within retry_after {:?} to {:?}", bounds.min, bounds.max)
}

fn jobs(count: f64) -> String {
    let unit = if count == 1.0 { "job" } else { "jobs" };
    format!("{} {unit}", number(count))
}
