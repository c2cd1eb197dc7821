//! Which test implies which: the proof that a rule can never be reached.

use crate::policy::condition::{Literal, Subject, Test};

/// The values that a test may be asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Domain {
    /// Texts, or nothing: headers, names.
    Texts,
    /// Texts without a semicolon, or nothing: the media type without its parameters.
    MediaTypes,
    /// Texts that are always there: the tenant.
    TextsThere,
    /// One of these texts: the method, the path.
    OneOf(&'static [&'static str]),
    /// Numbers, or nothing: lengths.
    Numbers,
    /// Whatever JSON has.
    Values,
}

/// How many more pairs of tests may be compared: a bound on the time that one policy can take.
#[derive(Debug)]
pub(super) struct Effort(u64);

impl Effort {
    /// Enough for a thousand rules of one test each, and for every policy written by hand.
    pub(super) const fn bounded() -> Effort {
        Effort(MOST_COMPARISONS)
    }

    /// Takes one comparison; `false` where none is left.
    pub(super) const fn spend(&mut self) -> bool {
        let some = self.0 > 0;
        self.0 = self.0.saturating_sub(1);
        some
    }
}

impl Test {
    /// Whether every value of the domain that passes this test passes the other one too. `false` where that cannot be
    /// told, or no effort is left.
    pub(super) fn implies(&self, other: &Test, domain: Domain, effort: &mut Effort) -> bool {
        if !effort.spend() {
            return false;
        }
        if let Domain::OneOf(texts) = domain
            && !self.holds_never(domain)
        {
            let passes = |test: &Test, text: &str| test.holds(Subject::Text(text));
            return texts.iter().all(|text| !passes(self, text) || passes(other, text));
        }
        match (self, other) {
            (Test::AnyOf(cases), _) => cases.iter().all(|case| case.implies(other, domain, effort)),
            (_, Test::AnyOf(cases)) => cases.iter().any(|case| self.implies(case, domain, effort)),
            (Test::Present(one), Test::Present(two)) => one == two,
            (Test::Present(_), _) => false,
            // Every other test asks for a value.
            (_, Test::Present(present)) => *present,
            (Test::Is(literal), _) => subjects(literal, domain).all(|subject| other.holds(subject)),
            (Test::Prefix(one), Test::Prefix(two)) => one.starts_with(two),
            (Test::Glob(one), Test::Glob(two)) => one.glob().glob() == two.glob().glob(),
            (Test::Glob(glob), Test::Prefix(prefix)) => literal_start(glob.glob().glob()).starts_with(prefix),
            (Test::Regex(one), Test::Regex(two)) => one.as_str() == two.as_str(),
            (
                Test::Range { at_least, at_most },
                Test::Range { at_least: other_least, at_most: other_most },
            ) => at_least >= other_least && at_most <= other_most,
            _ => false,
        }
    }

    /// Whether every value of the domain passes.
    pub(super) fn holds_always(&self, domain: Domain) -> bool {
        if let Domain::OneOf(texts) = domain {
            return texts.iter().all(|text| self.holds(Subject::Text(text)));
        }
        let asks = |wanted: bool| match self {
            Test::AnyOf(cases) => {
                cases.iter().any(|case| matches!(case, Test::Present(present) if *present == wanted))
            }
            Test::Present(present) => *present == wanted,
            _ => false,
        };
        asks(true) && (domain == Domain::TextsThere || asks(false))
    }

    /// Whether no value of the domain passes. `false` where that cannot be told.
    pub(super) fn holds_never(&self, domain: Domain) -> bool {
        match (domain, self) {
            (Domain::OneOf(texts), _) => !texts.iter().any(|text| self.holds(Subject::Text(text))),
            (_, Test::AnyOf(cases)) => cases.iter().all(|case| case.holds_never(domain)),
            (Domain::TextsThere, test) => matches!(test, Test::Present(false)),
            (Domain::MediaTypes, Test::Is(literal)) => literal.text().contains(';'),
            (Domain::MediaTypes, Test::Prefix(prefix)) => prefix.contains(';'),
            _ => false,
        }
    }
}

/// The values that a literal equals.
fn subjects(literal: &Literal, domain: Domain) -> impl Iterator<Item = Subject<'_>> {
    let text = (domain != Domain::Numbers).then_some(Subject::Text(literal.text()));
    let numbers = matches!(domain, Domain::Numbers | Domain::Values);
    let number = literal.number().filter(|_| numbers).map(Subject::Number);
    let boolean = match literal.text() {
        "true" if domain == Domain::Values => Some(Subject::Boolean(true)),
        "false" if domain == Domain::Values => Some(Subject::Boolean(false)),
        _ => None,
    };
    [text, number, boolean].into_iter().flatten()
}

/// What every text begins with that fits the glob, as far as that is plain to see.
fn literal_start(glob: &str) -> &str {
    let end = glob.find(['*', '?', '[', '{', '\\']).unwrap_or(glob.len());
    let (start, rest) = glob.split_at_checked(end).unwrap_or_default();
    // `a/**` may be `a`.
    if rest.starts_with("**") { start.strip_suffix('/').unwrap_or(start) } else { start }
}

/// See [`Effort::bounded`]; a few tens of milliseconds.
const MOST_COMPARISONS: u64 = 1_000_000;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::policy::condition::{Kind, read_test};
    use crate::yaml::decode::Field;
    use crate::yaml::fault::FaultLog;
    use crate::yaml::read::read;

    fn test(text: &str, kind: Kind) -> Test {
        let node = read(text).unwrap();
        read_test(&Field::root(&node, &FaultLog::default()), kind).unwrap()
    }

    fn implied(later: &str, earlier: &str, domain: Domain) -> bool {
        let kind = if domain == Domain::TextsThere { Kind::Path } else { Kind::Plain };
        test(later, kind).implies(&test(earlier, kind), domain, &mut Effort::bounded())
    }

    #[test]
    fn what_is_narrower_implies_what_is_wider() {
        for (later, earlier) in [
            ("a", "a"),
            ("a", "[b, a]"),
            ("[a, b]", "[c, b, a]"),
            ("[a, ab]", "{prefix: a}"),
            ("{prefix: ab}", "{prefix: a}"),
            ("abc", "{glob: 'a*c'}"),
            ("abc", "{regex: 'b'}"),
            ("{glob: 'ab*'}", "{prefix: a}"),
            ("{glob: 'a*'}", "{glob: 'a*'}"),
            ("{regex: 'a+'}", "[x, {regex: 'a+'}]"),
            ("{at_least: 2, at_most: 3}", "{at_least: 2}"),
            ("7", "{at_most: 9}"),
            ("{prefix: a}", "{present: true}"),
            ("{present: false}", "{present: false}"),
        ] {
            assert!(implied(later, earlier, Domain::Texts), "{later} is within {earlier}");
        }
    }

    #[test]
    fn what_is_wider_or_beside_implies_nothing() {
        for (later, earlier) in [
            ("a", "b"),
            ("[a, b]", "a"),
            ("{prefix: a}", "{prefix: ab}"),
            ("{prefix: a}", "a"),
            ("{glob: '*a'}", "{prefix: a}"),
            ("{glob: '/v1/**'}", "{prefix: /v1/}"),
            ("{glob: 'a*'}", "{regex: '^a'}"),
            ("{at_least: 1, at_most: 3}", "{at_least: 2}"),
            ("{present: true}", "a"),
            ("{present: false}", "a"),
            ("a", "{present: false}"),
        ] {
            assert!(!implied(later, earlier, Domain::Texts), "{later} is not within {earlier}");
        }
        // In a body 5 is the number too, which begins with nothing.
        assert!(implied("5", "{prefix: 5}", Domain::Texts));
        assert!(!implied("5", "{prefix: 5}", Domain::Values));
        assert!(!implied("true", "{regex: true}", Domain::Values));
    }

    #[test]
    fn no_effort_left_proves_nothing() {
        let (one, two) = (test("a", Kind::Plain), test("[a]", Kind::Plain));
        assert!(one.implies(&two, Domain::Texts, &mut Effort(2)));
        assert!(!one.implies(&two, Domain::Texts, &mut Effort(1)));
    }

    #[test]
    fn of_a_few_values_each_is_tried() {
        let paths = Domain::OneOf(&["/v1/jobs", "/v1/jobs/batch"]);
        let path = |text| test(text, Kind::Path);
        for always in
            ["{glob: '**'}", "{glob: '/**'}", "{glob: '/v1/**'}", "{prefix: /v1/jobs}", "{present: true}"]
        {
            assert!(path(always).holds_always(paths), "{always}");
        }
        for some in ["/v1/jobs", "{glob: '/v1/*'}", "{regex: 'h$'}", "[/v1/jobs, /]"] {
            assert!(!path(some).holds_always(paths) && !path(some).holds_never(paths), "{some}");
        }
        for never in ["/v1/job", "{glob: '*'}", "{present: false}", "[/, /v2]"] {
            assert!(path(never).holds_never(paths), "{never}");
        }
        let implies = |later, earlier| path(later).implies(&path(earlier), paths, &mut Effort::bounded());
        assert!(implies("{glob: '/v1/*'}", "/v1/jobs") && implies("{regex: batch}", "{prefix: /v1/jobs/}"));
        assert!(!implies("{prefix: /v1/}", "/v1/jobs"));
        assert!(!implies("/other", "/v1/jobs"), "what never comes is nobody's");
    }

    #[test]
    fn a_media_type_has_no_parameters_and_a_tenant_is_always_there() {
        let media = |text| test(text, Kind::MediaType).holds_never(Domain::MediaTypes);
        assert!(media("application/json; charset=utf-8") && media("[{prefix: 'text/plain;'}, 'a;b']"));
        assert!(!media("Application/JSON") && !media("[a/b, 'a/b;c']") && !media("{present: false}"));
        let tenant = |text| test(text, Kind::Plain).holds_never(Domain::TextsThere);
        assert!(tenant("{present: false}") && !tenant("{present: true}") && !tenant("x"));
    }

    fn any_test() -> impl Strategy<Value = String> {
        let leaf = prop_oneof![
            "[ab5/]{1,3}".prop_map(|text| format!("'{text}'")),
            "[ab5/]{1,2}".prop_map(|text| format!("{{prefix: '{text}'}}")),
            "[ab/]{0,2}[*][*]?[ab/]{0,2}".prop_map(|text| format!("{{glob: '{text}'}}")),
            "\\^?[ab5]{1,2}".prop_map(|text| format!("{{regex: '{text}'}}")),
            (0..9, 0..9).prop_map(|(one, two): (i32, i32)| format!(
                "{{at_least: {}, at_most: {}}}",
                one.min(two),
                one.max(two)
            )),
            any::<bool>().prop_map(|present| format!("{{present: {present}}}")),
            any::<bool>().prop_map(|value| value.to_string()),
        ];
        prop_oneof![
            leaf.clone(),
            prop::collection::vec(leaf, 1..4).prop_map(|cases| format!("[{}]", cases.join(", ")))
        ]
    }

    proptest! {
        /// Never a false alarm: what implies holds for every value.
        #[test]
        fn what_passes_the_narrower_test_passes_the_wider(
            later in any_test(),
            earlier in any_test(),
            text in "[ab5/]{0,4}",
            number in 0i32..9,
        ) {
            for (domain, kind) in [(Domain::Values, Kind::Plain), (Domain::TextsThere, Kind::Path)] {
                let (later, earlier) = (test(&later, kind), test(&earlier, kind));
                let implies = later.implies(&earlier, domain, &mut Effort::bounded());
                let mut subjects = vec![Subject::Text(&text)];
                if domain == Domain::Values {
                    let flags = [Subject::Boolean(true), Subject::Boolean(false)];
                    subjects.extend(flags.into_iter().chain([Subject::Absent, Subject::Composite]));
                    subjects.push(Subject::Number(f64::from(number)));
                }
                for subject in subjects {
                    prop_assert!(!implies || !later.holds(subject) || earlier.holds(subject));
                    prop_assert!(!earlier.holds_always(domain) || earlier.holds(subject));
                    prop_assert!(!earlier.holds_never(domain) || !earlier.holds(subject));
                }
            }
        }
    }
}
