//! What a policy says and probably does not mean: each a warning, the policy is used.

use crate::control::settings::Target;
use crate::domain::tier::{Tier, TierMap};
use crate::policy::TierPolicy;
use crate::policy::rules::Rule;
use crate::regulator::settings::{RegulatorSettings, TierSettings};
use crate::yaml::decode::Field;
use crate::yaml::scalar::written;

/// Warns of tiers that are written, and that neither a rule nor `default_tier` leads to. Where there are no rules at all,
/// it is the senders who choose.
pub(super) fn warn_of_tiers_without_rules(root: &Field<'_>, rules: &[Rule], default_tier: Tier) {
    if rules.is_empty() {
        return;
    }
    for tier in Tier::ALL {
        let field = root.at(&["tiers", tier.as_str()]);
        if field.is_written() && tier != default_tier && rules.iter().all(|rule| rule.tier != tier) {
            field.warn(
                "no rule leads here, and it is not the default_tier: it gets only the jobs whose sender wishes for it \
                 (header Tidegate-Tier)",
            );
        }
    }
}

/// Warns of weights that leave a tier next to nothing of the workers, and of delays that its share cannot hold.
pub(super) fn warn_of_starving(root: &Field<'_>, laws: &TierMap<TierSettings>, tiers: &TierMap<TierPolicy>) {
    let sum: u32 = tiers.iter().map(|(_, tier)| tier.weight).sum();
    for (tier, policy) in tiers.iter() {
        let share = f64::from(policy.weight) / f64::from(sum);
        if share < LEAST_SHARE {
            let others = f64::from(sum - policy.weight);
            let needed = (LEAST_SHARE / (1.0 - LEAST_SHARE) * others).ceil();
            root.at(&["tiers", tier.as_str(), "weight"]).warn(format!(
                "{tier} gets {:.2} % of the workers while the other tiers have work (a weight of {} among {sum}): it \
                 starves; 1 % takes a weight of {needed}",
                share * 100.0,
                policy.weight,
            ));
        }
    }
    let spans = TierMap::from_fn(|tier| {
        let written = root.at(&["tiers", tier.as_str(), "target", "delay"]).is_written();
        let share = f64::from(tiers[tier].weight) / f64::from(sum);
        written.then(|| Span::of(laws[tier].target, share)).flatten()
    });
    for (tier, span) in spans.iter() {
        let others = spans.iter().filter(|(other, _)| *other != tier);
        let Some(span) = span else { continue };
        let Some(beyond) = others.filter_map(|(_, span)| span.map(|span| span.to)).reduce(f64::max) else {
            continue;
        };
        if span.from > beyond {
            let share = f64::from(tiers[tier].weight) / f64::from(sum) * 100.0;
            root.at(&["tiers", tier.as_str(), "target", "delay"]).warn(format!(
                "with {share:.2} % of the workers, at_least jobs are worked off in this time only where all workers \
                 together take {:.0} jobs/s; the other tiers are at their at_most from {beyond:.0} jobs/s on: \
                 {tier} needs more weight, a smaller at_least or a longer delay",
                span.from,
            ));
        }
    }
}

/// The rates of all workers together, in jobs per second, between which a delay shapes the target: below `from` jobs
/// wait longer, above `to` the target stays at its most.
#[derive(Clone, Copy)]
struct Span {
    from: f64,
    to: f64,
}

impl Span {
    fn of(target: Target, share: f64) -> Option<Span> {
        let Target::Delay { delay, at_least, at_most } = target else { return None };
        let rate = |depth: u64| depth as f64 / delay.as_secs_f64() / share;
        Some(Span { from: rate(at_least), to: rate(at_most) })
    }
}

/// Warns of jobs that expire before their turn comes.
pub(super) fn warn_of_expiry(root: &Field<'_>, laws: &TierMap<TierSettings>, tiers: &TierMap<TierPolicy>) {
    for (tier, policy) in tiers.iter() {
        if let Target::Delay { delay, .. } = laws[tier].target
            && let Some(expires_in) = policy.expires_in
            && expires_in <= delay
        {
            root.at(&["tiers", tier.as_str(), "expires_in"]).warn(format!(
                "while the queue is at its target, a job waits {} (target.delay): all of them expire before their turn",
                written(delay)
            ));
        }
    }
}

/// Warns of gains that are larger than the interval allows: the law does not take them as they are written.
pub(super) fn warn_of_gains(root: &Field<'_>, settings: &RegulatorSettings) {
    let controller = settings.controller;
    let interval = written(controller.interval);
    let held = |key: &'static str, most: f64, why: &str| {
        let field = root.at(&["controller", key]);
        if field.is_written() {
            field.warn(format!("unstable at an interval of {interval}, held to {}: {why}", rounded(most)));
        }
    };
    if controller.kp > controller.most_kp() {
        let why = "a correction must not be repeated before its effect shows (at most 1 / (4 x interval))";
        held("kp", controller.most_kp(), why);
    }
    if controller.ki > controller.most_ki() {
        held("ki", controller.most_ki(), "a faster integral swings (at most kp x kp / 4)");
    }
}

/// Three digits that count.
fn rounded(value: f64) -> String {
    let places = (2.0 - value.abs().max(1e-9).log10().floor()).clamp(0.0, 9.0) as usize;
    let text = format!("{value:.places$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// A tier with less than this of the workers starves while the others have work.
const LEAST_SHARE: f64 = 0.01;

#[cfg(test)]
mod tests {
    use crate::policy::compile::compile;

    /// The warnings of a document, each without its place.
    fn said(document: &str) -> Vec<String> {
        let compiled = compile(document, "test").unwrap_or_else(|faults| panic!("{faults}"));
        compiled.warnings.list.iter().map(|fault| format!("{}: {}", fault.key, fault.message)).collect()
    }

    fn assert_one(document: &str, key: &str, words: &str) {
        let told = said(document);
        assert_eq!(told.len(), 1, "{document}: {told:?}");
        assert!(told[0].starts_with(key) && told[0].contains(words), "{told:?}");
    }

    #[test]
    fn a_tier_that_is_tuned_and_that_nothing_leads_to_is_warned_about() {
        let tuned = "tiers: { p2: { target: { depth: 10 }, max_depth: 20 } }\n";
        let rule = |tier| format!("{tuned}rules: [{{ when: {{ type: a }}, tier: {tier} }}]\n");
        assert_one(&rule("p0"), "tiers.p2:", "no rule leads here");
        assert_eq!(said(&format!("{}default_tier: p2", rule("p0"))), [""; 0]);
        assert_eq!(said(&rule("p2")), [""; 0]);
        assert_eq!(said(tuned), [""; 0], "the senders choose");
        assert_eq!(said("rules: [{ when: { type: a }, tier: p0 }]"), [""; 0], "p2 is not written");
    }

    #[test]
    fn a_weight_below_a_hundredth_of_all_starves() {
        let tier = |weight| {
            format!("tiers: {{ p1: {{ target: {{ depth: 10 }}, max_depth: 20, weight: {weight} }} }}\n")
        };
        // p0 has 60 and p2 10.
        assert_eq!(said(&tier(1)), [""; 0]);
        assert_one(&tier(1000), "tiers.p2:", "0.93 % of the workers");
        assert_one(&tier(1000), "tiers.p2:", "1 % takes a weight of 11");
    }

    #[test]
    fn a_delay_that_its_share_cannot_hold_is_warned_about() {
        let tiers = |weight| {
            format!(
                "rules: [{{ when: {{ type: a }}, tier: p0 }}]\ntiers:\n  \
                 p0: {{ target: {{ delay: 5s, at_least: 1000, at_most: 8000 }}, max_depth: 10000, weight: {weight} }}\n  \
                 p1: {{ target: {{ delay: 60s, at_least: 10000, at_most: 80000 }}, max_depth: 100000, weight: 100 }}\n"
            )
        };
        assert_eq!(said(&tiers(60)), [""; 0]);
        // 200 jobs/s of p0 are 11,200/s of all workers at 2 of 112; p1 is at its most from 1,493/s on.
        assert_one(&tiers(2), "tiers.p0.target.delay:", "together take 11200 jobs/s");
    }

    #[test]
    fn jobs_that_expire_before_their_turn_are_warned_about() {
        let tier = |expires_in| {
            format!(
                "tiers: {{ p1: {{ target: {{ delay: 60s, at_least: 100, at_most: 200 }}, max_depth: 300, \
                 expires_in: {expires_in} }} }}\n"
            )
        };
        assert_eq!(said(&tier("2min")), [""; 0]);
        assert_one(&tier("30s"), "tiers.p1.expires_in:", "a job waits 1min (target.delay)");
    }

    #[test]
    fn gains_beyond_the_interval_are_named_with_what_the_law_takes() {
        assert_eq!(said("controller: { interval: 1s }"), [""; 0], "nobody wrote the gains");
        assert_eq!(said("controller: { interval: 250ms, kp: 1.0, ki: 0.05 }"), [""; 0]);
        assert_one("controller: { kp: 40 }", "controller.kp:", "interval of 100ms, held to 2.5:");
        assert_one("controller: { ki: 1 }", "controller.ki:", "held to 0.25:");
        assert_one("controller: { interval: 10s, kp: 1 }", "controller.kp:", "held to 0.025:");
    }
}
