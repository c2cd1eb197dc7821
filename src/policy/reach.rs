//! Which rules can be reached at all: one whose jobs are all taken by earlier rules never matches, nor does one that asks
//! for what no job has.

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
            warn_of_what_no_job_has(later);
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
    if let Some((with, without)) = shadowed_in_halves(&conditions, earlier, effort) {
        let (with, without) = (called(with), called(without));
        later.field.refuse(format!("is never reached: {with} and {without} take every job that it would"));
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

/// Two of the earlier rules of which one takes every such job that has some value, the other every one that has it not.
fn shadowed_in_halves<'r, 'a>(
    later: &[(On<'_>, &Test)],
    earlier: &'r [RuleDraft<'a>],
    effort: &mut Effort,
) -> Option<(&'r RuleDraft<'a>, &'r RuleDraft<'a>)> {
    let mut asked: Vec<On<'r>> = Vec::new();
    let parts = earlier.iter().filter(|rule| rule.faultless).flat_map(|rule| rule.conditions.iter());
    for (on, test) in parts.map(Condition::parts) {
        // Only who asks for the want of a value parts the jobs so.
        if !matches!(test, Test::Present(false)) || asked.contains(&on) {
            continue;
        }
        if asked.len() >= MOST_PARTINGS || !effort.spend() {
            return None;
        }
        asked.push(on);
        let mut half = |present: bool| {
            let test = Test::Present(present);
            let conditions: Vec<_> = later.iter().copied().chain([(on, &test)]).collect();
            shadowed_by(&conditions, earlier, effort)
        };
        if let Some(without) = half(false)
            && let Some(with) = half(true)
        {
            let first = std::ptr::from_ref(with) <= std::ptr::from_ref(without);
            return Some(if first { (with, without) } else { (without, with) });
        }
    }
    None
}

/// A test that no job passes, or one value of a list: the rest of the list may.
fn warn_of_what_no_job_has(rule: &RuleDraft<'_>) {
    for (condition, field) in rule.conditions.iter().zip(&rule.tests) {
        let (on, test) = condition.parts();
        let why = || format!("no job has it: {}", possible(on));
        if test.holds_never(domain(on)) {
            field.warn(format!("never matches, {}", why()));
        } else if let Test::AnyOf(cases) = test {
            let items = field.list().unwrap_or_default();
            let never = items.iter().zip(cases).filter(|(_, case)| case.holds_never(domain(on)));
            never.for_each(|(item, _)| item.warn(format!("never matches, {}", why())));
        }
    }
}

/// What the values are among which one that no job has is not.
const fn possible(on: On<'_>) -> &'static str {
    match on {
        On::Method => "jobs come by POST",
        On::Path => "jobs come to /v1/jobs and /v1/jobs/batch",
        On::Tenant => "there is always a tenant, `anonymous` without a key",
        On::ContentType => "the media type is tested without its parameters",
        On::Type | On::Header(_) | On::Query(_) | On::ContentLength | On::Body(_) => "it cannot be",
    }
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
        On::Method => Domain::OneOf(&JOB_METHODS),
        On::Path => Domain::OneOf(&JOB_PATHS),
        On::Tenant => Domain::TextsThere,
        On::ContentType => Domain::MediaTypes,
        On::Type | On::Header(_) | On::Query(_) => Domain::Texts,
        On::ContentLength => Domain::Numbers,
        On::Body(_) => Domain::Values,
    }
}

fn called(rule: &RuleDraft<'_>) -> String {
    let path = rule.field.path();
    rule.name.as_ref().map_or_else(|| path.to_owned(), |name| format!("{path} ({name})"))
}

/// The methods of requests that bring jobs: any other is answered before a rule is asked.
const JOB_METHODS: [&str; 1] = ["POST"];

/// The paths to which jobs come, letter by letter: any other is answered before a rule is asked.
const JOB_PATHS: [&str; 2] = ["/v1/jobs", "/v1/jobs/batch"];

/// By so many values the jobs are parted: no policy written by hand asks for the want of more.
const MOST_PARTINGS: usize = 16;

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
    fn what_takes_every_job_there_is_leaves_nothing_to_the_next_rule() {
        for all in [
            "path: { glob: '**' }",
            "path: { glob: '/**' }",
            "path: { glob: '/v1/**' }",
            "path: { prefix: /v1/jobs }",
            "path: [/v1/jobs, /v1/jobs/batch]",
            "method: POST",
            "tenant: { present: true }, method: { present: true }",
        ] {
            let told = said(&format!(
                "  - {{ when: {{ {all} }}, tier: p0 }}\n  - {{ when: {{ type: x }}, tier: p2 }}\n"
            ));
            assert_eq!(told, ["rules[1]: is never reached: rules[0] takes every job that it would"], "{all}");
        }
        for some in ["path: /v1/jobs", "path: { glob: '/v1/*' }", "path: { glob: '*' }", "method: GET"] {
            let told = said(&format!(
                "  - {{ when: {{ {some} }}, tier: p0 }}\n  - {{ when: {{ type: x }}, tier: p2 }}\n"
            ));
            assert!(told.iter().all(|line| !line.contains("is never reached")), "{some}: {told:?}");
        }
    }

    #[test]
    fn one_rule_for_a_value_and_one_for_its_want_leave_nothing() {
        let rules = |first: &str, second: &str, third: &str| {
            said(&format!(
                "  - {{ when: {{ {first} }}, tier: p0 }}\n  - {{ when: {{ {second} }}, tier: p1 }}\n  - {{ when: {{ {third} }}, tier: p2 }}\n"
            ))
        };
        let (there, wanting) = ("{ present: true }", "{ present: false }");
        for on in ["type", "content_type"] {
            for (first, second) in [(there, wanting), (wanting, there)] {
                let told = rules(&format!("{on}: {first}"), &format!("{on}: {second}"), "header: { x: y }");
                let expected =
                    "rules[2]: is never reached: rules[0] and rules[1] take every job that it would";
                assert_eq!(told, [expected], "{on}");
            }
        }
        for (first, second) in [
            ("type: { present: true }", "content_type: { present: false }"),
            ("type: { prefix: a }", "type: { present: false }"),
            ("header: { a: { present: true } }", "header: { b: { present: false } }"),
            ("type: { present: true }, query: { q: 1 }", "type: { present: false }"),
        ] {
            let told = rules(first, second, "header: { x: y }");
            assert_eq!(told, Vec::<String>::new(), "{first}, {second}");
        }
    }

    #[test]
    fn what_no_job_has_is_warned_about_and_not_refused() {
        for (when, key, why) in [
            ("method: GET", "method", "jobs come by POST"),
            ("method: post", "method", "jobs come by POST"),
            ("method: { present: false }", "method", "jobs come by POST"),
            ("path: /v1/job", "path", "jobs come to /v1/jobs and /v1/jobs/batch"),
            ("path: { prefix: /v1/jobs/ba/ }", "path", "jobs come to /v1/jobs and /v1/jobs/batch"),
            ("path: [/v1/jobs, /]", "path[1]", "jobs come to /v1/jobs and /v1/jobs/batch"),
            ("tenant: { present: false }", "tenant", "there is always a tenant, `anonymous` without a key"),
            ("content_type: 'a/b; c=d'", "content_type", "the media type is tested without its parameters"),
        ] {
            // Also behind a rule that takes something else.
            let told = said(&format!(
                "  - {{ when: {{ path: /v1/jobs, type: x }}, tier: p0 }}\n  - {{ when: {{ {when} }}, tier: p2 }}\n"
            ));
            assert_eq!(told, [format!("rules[1].when.{key}: never matches, no job has it: {why}")], "{when}");
        }
        for when in [
            "method: POST",
            "path: { regex: batch }",
            "content_type: Application/JSON",
            "type: { present: false }",
        ] {
            assert_eq!(
                said(&format!("  - {{ when: {{ {when} }}, tier: p2 }}\n")),
                Vec::<String>::new(),
                "{when}"
            );
        }
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
