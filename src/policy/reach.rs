//! Which rules can be reached at all: one whose jobs are all taken by earlier rules never matches.

use crate::policy::condition::Test;
use crate::policy::implication::{Domain, Effort};
use crate::policy::rules::{Condition, On, RuleDraft};
use crate::yaml::decode::Field;

/// Refuses every rule that no job can reach, and warns of values in lists that no job can bring. What cannot be told
/// for certain is let pass.
pub(super) fn refuse_unreachable(drafts: &[RuleDraft<'_>]) {
    let mut effort = Effort::bounded();
    for (position, later) in drafts.iter().enumerate() {
        let earlier = drafts.get(..position).unwrap_or_default();
        // Whatever else is wrong with the rule.
        if let Some(catch_all) = earlier.iter().find(|rule| rule.unconditional && rule.faultless) {
            let path = catch_all.field.path();
            later.field.refuse(format!("is never reached: {path} has no `when` and matches every job"));
        } else if later.faultless {
            judge(later, earlier, &mut effort);
        }
    }
}

fn judge(later: &RuleDraft<'_>, earlier: &[RuleDraft<'_>], effort: &mut Effort) {
    let conditions: Vec<(On<'_>, &Test)> = later.conditions.iter().map(Condition::parts).collect();
    if let Some(first) = shadowed_by(&conditions, earlier, effort) {
        later.field.refuse(format!("is never reached: {} takes every job that it would", called(first)));
        return;
    }
    let mut doubts: Vec<(Field<'_>, String)> = Vec::new();
    for (place, (on, test)) in conditions.iter().enumerate() {
        let Test::AnyOf(cases) = test else { continue };
        if !effort.spend() {
            return;
        }
        let mut narrowed = conditions.clone();
        let takers: Vec<Option<&RuleDraft<'_>>> = cases
            .iter()
            .map(|case| {
                if let Some(slot) = narrowed.get_mut(place) {
                    *slot = (*on, case);
                }
                shadowed_by(&narrowed, earlier, effort)
            })
            .collect();
        if takers.iter().all(Option::is_some) {
            let mut names: Vec<String> = takers.into_iter().flatten().map(called).collect();
            names.dedup();
            let message = format!("is never reached: {} take every job that it would", names.join(" and "));
            later.field.refuse(message);
            return;
        }
        let items = later.tests.get(place).and_then(Field::list).unwrap_or_default();
        let taken = items.into_iter().zip(takers).filter_map(|(item, taker)| Some((item, taker?)));
        doubts.extend(
            taken.map(|(item, taker)| (item, format!("never comes here: {} takes it before", called(taker)))),
        );
    }
    doubts.into_iter().for_each(|(item, message)| item.warn(message));
}

/// The first of the earlier rules that takes every job for which these conditions hold.
fn shadowed_by<'r, 'a>(
    later: &[(On<'_>, &Test)],
    earlier: &'r [RuleDraft<'a>],
    effort: &mut Effort,
) -> Option<&'r RuleDraft<'a>> {
    for rule in earlier.iter().filter(|rule| rule.faultless) {
        // Not only where tests are compared: without effort left the others are not even looked at.
        if !effort.spend() {
            return None;
        }
        let takes_all = rule.conditions.iter().map(Condition::parts).all(|(on, wider)| {
            let domain = domain(on);
            wider.holds_always(domain)
                || later.iter().any(|(other, test)| *other == on && test.implies(wider, domain, effort))
        });
        if takes_all {
            return Some(rule);
        }
    }
    None
}

const fn domain(on: On<'_>) -> Domain {
    match on {
        On::Method | On::Path | On::Tenant => Domain::TextsThere,
        On::Type | On::Header(_) | On::Query(_) | On::ContentType => Domain::Texts,
        On::ContentLength => Domain::Numbers,
        On::Body(_) => Domain::Values,
    }
}

fn called(rule: &RuleDraft<'_>) -> String {
    let path = rule.field.path();
    rule.name.as_ref().map_or_else(|| path.to_owned(), |name| format!("{path} ({name})"))
}

#[cfg(test)]
mod tests {
    use crate::policy::compile::compile;

    /// What is said of these rules, each without its place.
    fn said(rules: &str) -> Vec<String> {
        let document = format!("rules:\n{rules}");
        let list = match compile(&document, "test") {
            Ok(compiled) => compiled.warnings.list,
            Err(faults) => faults.list,
        };
        list.iter().map(|fault| format!("{}: {}", fault.key, fault.message)).collect()
    }

    #[test]
    fn a_rule_behind_a_weaker_one_is_never_reached() {
        for (earlier, later) in [
            ("type: [payment, auth]", "type: payment"),
            ("type: payment", "type: payment, header: { x: y }"),
            ("header: { X-Kind: bulk }", "header: { x-kind: bulk }, path: /v1/jobs"),
            ("path: { prefix: /v1 }", "path: { prefix: /v1/jobs }"),
            ("content_length: { at_least: 1KiB }", "content_length: { at_least: 2KiB, at_most: 3KiB }"),
            ("body: { /kind: { present: true } }", "body: { /kind: bulk, /x: 1 }"),
            ("tenant: { present: true }", "type: digest"),
            ("query: { a: { regex: 'x' } }", "query: { a: 'xyz' }"),
        ] {
            let told = said(&format!(
                "  - {{ name: wide, when: {{ {earlier} }}, tier: p0 }}\n  - {{ when: {{ {later} }}, tier: p2 }}\n"
            ));
            assert_eq!(
                told,
                ["rules[1]: is never reached: rules[0] (wide) takes every job that it would"],
                "{earlier} before {later}"
            );
        }
    }

    #[test]
    fn a_rule_that_some_job_reaches_is_let_pass() {
        for (earlier, later) in [
            ("type: payment", "type: [payment, auth]"),
            ("type: payment, header: { x: y }", "type: payment"),
            ("header: { x: bulk }", "query: { x: bulk }"),
            ("header: { x: bulk }", "header: { y: bulk }"),
            ("body: { /a: 1 }", "body: { /b: 1 }"),
            ("body: { /a: { prefix: '5' } }", "body: { /a: 5 }"),
            ("path: { glob: '/v1/*' }", "path: { prefix: /v1/ }"),
        ] {
            let told = said(&format!(
                "  - {{ when: {{ {earlier} }}, tier: p0 }}\n  - {{ when: {{ {later} }}, tier: p2 }}\n"
            ));
            assert!(
                told.iter().all(|line| !line.contains("is never reached")),
                "{earlier}, {later}: {told:?}"
            );
        }
    }

    #[test]
    fn several_rules_together_can_take_everything() {
        let told = said(
            "  - { when: { type: a }, tier: p0 }\n  - { when: { type: { prefix: b } }, tier: p0 }\n\
             \x20 - { when: { type: [a, bc] }, tier: p2 }\n",
        );
        assert_eq!(told, ["rules[2]: is never reached: rules[0] and rules[1] take every job that it would"]);
    }

    #[test]
    fn a_value_that_an_earlier_rule_takes_is_warned_about() {
        let told = said(
            "  - { name: first, when: { type: [a, b] }, tier: p0 }\n  - { when: { type: [c, b] }, tier: p2 }\n",
        );
        assert_eq!(told, ["rules[1].when.type[1]: never comes here: rules[0] (first) takes it before"]);
    }

    #[test]
    fn a_rule_with_a_fault_shadows_nothing() {
        let told = said(
            "  - { when: { type: a, header: { x: { regex: '(' } } }, tier: p0 }\n\
             \x20 - { when: { type: a }, tier: p2 }\n",
        );
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].contains("not a regular expression"), "{told:?}");
    }

    /// As many as are read. Without the bound this takes minutes.
    #[test]
    fn a_thousand_rules_of_a_hundred_values_are_judged_in_bounded_effort() {
        let values =
            |rule: usize| (0..100).map(|value| format!("t{rule}x{value}")).collect::<Vec<_>>().join(", ");
        let rules: String = (0..1_000)
            .map(|rule| format!("  - {{ when: {{ type: [{}] }}, tier: p1 }}\n", values(rule)))
            .collect();
        assert_eq!(said(&rules), Vec::<String>::new());
    }
}
