//! The part `tenants` of a policy: how far each one reaches and how much of the gateway is its.

use std::sync::Arc;

use crate::admission::tenants::terms::{QuotaTerms, TenantTerms, Terms};
use crate::policy::rules::read_tier_word;
use crate::yaml::decode::Field;
use crate::yaml::fault::nearest;

/// Reads the terms of all tenants. What a named tenant does not say is as `default` says it.
pub(super) fn read_tenants(field: &Field<'_>) -> Terms {
    let mut terms = Terms::default();
    let Some(map) = field.mapping() else { return terms };
    if let Some((_, default)) = map.all().find(|(name, _)| *name == DEFAULT) {
        terms.default = read_terms(&default, &terms.default, false);
    }
    let named: Vec<_> = map.all().filter(|(name, _)| *name != DEFAULT).collect();
    if named.len() > MOST_NAMED {
        field.refuse_key(&format!("has {} tenants, expects at most {MOST_NAMED}", named.len()));
        return terms;
    }
    let mut watched = 0;
    for (name, tenant) in named {
        if !is_name(name) {
            tenant.refuse_key(&format!(
                "a tenant's name has 1 to {MOST_NAME_BYTES} visible ASCII characters: it stands in logs and metrics"
            ));
            continue;
        }
        if nearest(name, [DEFAULT]).is_some() {
            tenant.warn("a tenant of this name gets these terms: did you mean `default`?");
        }
        let own = read_terms(&tenant, &terms.default, true);
        watched += usize::from(own.watch);
        if own.watch && watched == MOST_WATCHED + 1 {
            tenant
                .at(&["watch"])
                .refuse(format!("is one too many: metrics name at most {MOST_WATCHED} tenants"));
        }
        terms.named.insert(Arc::from(name), own);
    }
    terms
}

fn read_terms(field: &Field<'_>, unless_set: &TenantTerms, is_named: bool) -> TenantTerms {
    let mut terms = *unless_set;
    let Some(mut map) = field.mapping() else { return terms };
    map.set("ceiling", &mut terms.ceiling, read_tier_word);
    map.set("weight", &mut terms.weight, |field| {
        field.integer_within(1, MOST_WEIGHT).and_then(|weight| u32::try_from(weight).ok())
    });
    let rate = map.field("rate");
    let burst = map.field("burst");
    match (&rate, &burst) {
        (Some(rate), burst) => {
            let rate = rate.rate().filter(|number| {
                let is_some = number.jobs_per_second() > 0.0;
                if !is_some {
                    rate.refuse("expects a rate above 0; a tenant without `rate` has no limit of its own");
                }
                is_some
            });
            let burst = match burst {
                None => rate.map(|rate| (BURST_SECONDS * rate.jobs_per_second()).max(1.0)),
                Some(burst) => burst.integer_within(1, MOST_BURST).map(|jobs| jobs as f64),
            };
            if let (Some(rate), Some(burst)) = (rate, burst) {
                terms.quota = Some(QuotaTerms { rate, burst });
            }
        }
        (None, Some(burst)) => {
            burst.refuse_key("needs a `rate` beside it: it says how much of it may come at once")
        }
        (None, None) => {}
    }
    // Each of those that nobody named would be a label: without end.
    terms.watch = false;
    if is_named {
        map.set("watch", &mut terms.watch, Field::boolean);
    }
    map.close();
    terms
}

/// Whether a text can be a tenant's name: it stands in logs, in metrics and with each job.
fn is_name(text: &str) -> bool {
    (1..=MOST_NAME_BYTES).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// The tenant that stands for all that are not named.
const DEFAULT: &str = "default";

/// Tenants that a policy names: each has its rate and share in memory.
pub(super) const MOST_NAMED: usize = 10_000;

/// As long as the name of a worker.
const MOST_NAME_BYTES: usize = 128;

/// Tenants that the metrics name: each is a series of every family about tenants.
const MOST_WATCHED: usize = 20;

/// Shares finer than this one to another help nobody.
pub(super) const MOST_WEIGHT: u64 = 10_000;

/// More than any queue holds.
pub(super) const MOST_BURST: u64 = 1_000_000_000;

/// Unless set, so many seconds of the rate may come at once.
const BURST_SECONDS: f64 = 1.0;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::tier::Tier;
    use crate::domain::units::Rate;
    use crate::policy::compile::compile;

    fn terms(document: &str) -> Terms {
        let policy = compile(document, "p").unwrap().policy;
        Terms::clone(&policy.regulator.tenants)
    }

    fn faults(document: &str) -> String {
        compile(document, "p").unwrap_err().to_string()
    }

    fn quota(rate: f64, burst: f64) -> Option<QuotaTerms> {
        Some(QuotaTerms { rate: Rate::saturating(rate), burst })
    }

    #[test]
    fn a_tenant_has_what_it_says_and_the_rest_of_default() {
        let terms = terms(
            "tenants:\n  default: { ceiling: p1, rate: 30/min }\n  acme: { weight: 2, rate: 500/s, burst: 1000 }\n  \
             slow: { rate: 2/s, watch: true }\n  other: {}\n",
        );
        let default = TenantTerms { ceiling: Tier::P1, quota: quota(0.5, 1.0), ..TenantTerms::UNLIMITED };
        assert_eq!(terms.of("anybody"), &default);
        assert_eq!(terms.of("other"), &default);
        assert_eq!(terms.of("acme"), &TenantTerms { weight: 2, quota: quota(500.0, 1_000.0), ..default });
        assert_eq!(terms.of("slow"), &TenantTerms { quota: quota(2.0, 2.0), watch: true, ..default });
        assert_eq!(terms.watched().map(|name| &**name).collect::<Vec<_>>(), ["slow"]);
    }

    #[test]
    fn without_tenants_nobody_is_limited() {
        assert_eq!(terms("tenants: {}"), Terms::default());
        assert_eq!(terms("").of("anonymous"), &TenantTerms::UNLIMITED);
    }

    #[test]
    fn ten_thousand_tenants_are_taken_and_one_more_is_a_fault() {
        let document = |count: usize| {
            let lines: String = (0..count).map(|tenant| format!("  t{tenant}: {{ weight: 2 }}\n")).collect();
            format!("tenants:\n  default: {{ ceiling: p0 }}\n{lines}")
        };
        assert_eq!(terms(&document(10_000)).named.len(), 10_000);
        assert_eq!(faults(&document(10_001)), "p:1:1: tenants: has 10001 tenants, expects at most 10000");
    }

    #[test]
    fn the_metrics_name_twenty_tenants_and_no_more() {
        let document = |count: usize| {
            let lines: String =
                (0..count).map(|tenant| format!("  t{tenant}: {{ watch: true }}\n")).collect();
            format!("tenants:\n{lines}")
        };
        assert_eq!(terms(&document(20)).watched().count(), 20);
        assert_eq!(
            faults(&document(22)),
            "p:22:17: tenants.t20.watch: is one too many: metrics name at most 20 tenants"
        );
    }

    #[test]
    fn names_that_could_not_stand_in_a_log_or_a_metric_are_refused() {
        for name in ["a b", "\"a\\nb\"", "\"\"", "k\u{e4}ufer", &"x".repeat(129)] {
            let document = format!("tenants:\n  {name}: {{ weight: 2 }}\n");
            assert!(faults(&document).contains("1 to 128 visible ASCII characters"), "{name}");
        }
    }
}
