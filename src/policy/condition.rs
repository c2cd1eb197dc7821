//! One test of a rule's `when`, and what it says of a value.

use globset::{GlobBuilder, GlobMatcher};
use regex::{Regex, RegexBuilder};

use crate::policy::pointer::JsonValue;
use crate::yaml::decode::{Field, Mapping};
use crate::yaml::node::Value;
use crate::yaml::scalar;

/// A test on one value.
#[derive(Clone, Debug)]
pub(super) enum Test {
    /// One of these tests holds.
    AnyOf(Vec<Test>),
    /// The value is this one.
    Is(Literal),
    /// The text starts so.
    Prefix(String),
    /// The text as a whole fits the pattern.
    Glob(GlobMatcher),
    /// The pattern occurs in the text.
    Regex(Regex),
    /// The number lies within, both ends included.
    Range {
        /// No less than this.
        at_least: f64,
        /// No more than this.
        at_most: f64,
    },
    /// There is a value, or there is none.
    Present(bool),
}

/// A value written in a policy: as text, and as a number where it is one.
#[derive(Clone, Debug)]
pub(super) struct Literal {
    text: String,
    number: Option<f64>,
}

impl Literal {
    /// As text.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// As a number, where it is one.
    pub(super) const fn number(&self) -> Option<f64> {
        self.number
    }
}

/// The value that is tested.
#[derive(Clone, Copy, Debug)]
pub(super) enum Subject<'a> {
    /// There is none.
    Absent,
    /// A text: a header, a path, a JSON string.
    Text(&'a str),
    /// A number: a length, a JSON number.
    Number(f64),
    /// A JSON boolean.
    Boolean(bool),
    /// A JSON object or array.
    Composite,
}

impl<'a> From<Option<&'a JsonValue>> for Subject<'a> {
    fn from(value: Option<&'a JsonValue>) -> Subject<'a> {
        match value {
            None => Subject::Absent,
            Some(JsonValue::Text(text)) => Subject::Text(text),
            Some(JsonValue::Number(number)) => number.as_f64().map_or(Subject::Composite, Subject::Number),
            Some(JsonValue::Boolean(value)) => Subject::Boolean(*value),
            Some(JsonValue::Composite) => Subject::Composite,
        }
    }
}

impl<'a> From<Option<&'a str>> for Subject<'a> {
    fn from(text: Option<&'a str>) -> Subject<'a> {
        text.map_or(Subject::Absent, Subject::Text)
    }
}

impl Test {
    /// Whether the value passes.
    pub(super) fn holds(&self, subject: Subject<'_>) -> bool {
        match (self, subject) {
            (Test::AnyOf(tests), _) => tests.iter().any(|test| test.holds(subject)),
            (Test::Present(present), _) => *present != matches!(subject, Subject::Absent),
            (Test::Is(literal), Subject::Text(text)) => literal.text == text,
            (Test::Is(literal), Subject::Number(number)) => literal.number == Some(number),
            (Test::Is(literal), Subject::Boolean(value)) => {
                literal.text == if value { "true" } else { "false" }
            }
            (Test::Prefix(prefix), Subject::Text(text)) => text.starts_with(prefix),
            (Test::Glob(glob), Subject::Text(text)) => glob.is_match(text),
            (Test::Regex(regex), Subject::Text(text)) => regex.is_match(text),
            (Test::Range { at_least, at_most }, Subject::Number(number)) => {
                (*at_least..=*at_most).contains(&number)
            }
            (Test::Range { at_least, at_most }, Subject::Text(text)) => {
                scalar::number(text).is_some_and(|number| (*at_least..=*at_most).contains(&number))
            }
            _ => false,
        }
    }

    /// Whether one of several values passes; none at all is tested as absent.
    pub(super) fn holds_for_any<'s>(&self, values: impl Iterator<Item = Subject<'s>>) -> bool {
        let mut empty = true;
        for subject in values {
            empty = false;
            if self.holds(subject) {
                return true;
            }
        }
        empty && self.holds(Subject::Absent)
    }
}

/// What is particular about the values a test is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Texts as they are.
    Plain,
    /// Paths: in a glob, `*` stays within one segment and `**` goes beyond.
    Path,
    /// Media types: compared in lower case.
    MediaType,
    /// Byte counts: sizes such as `64KiB` are numbers too.
    Bytes,
}

/// Reads a test: a value, a list, or one of `{prefix}`, `{glob}`, `{regex}`, `{at_least, at_most}`, `{present}`.
pub(super) fn read_test(field: &Field<'_>, kind: Kind) -> Option<Test> {
    match field.value() {
        Value::List(_) => {
            let list = field.list()?;
            if list.is_empty() || list.len() > MAX_ALTERNATIVES {
                field.refuse(format!("expects 1 to {MAX_ALTERNATIVES} values"));
                return None;
            }
            // A list within a list says nothing new.
            let item = |field: &Field<'_>| match field.value() {
                Value::List(_) => field.scalar("a value", |_| None),
                _ => read_test(field, kind),
            };
            Some(Test::AnyOf(list.iter().filter_map(item).collect()))
        }
        Value::Mapping(_) => read_named_test(field, field.mapping()?, kind),
        Value::Scalar { .. } => read_literal(field, kind).map(Test::Is),
    }
}

fn read_literal(field: &Field<'_>, kind: Kind) -> Option<Literal> {
    if kind == Kind::Bytes {
        let number = field.size()? as f64;
        return Some(Literal { text: number.to_string(), number: Some(number) });
    }
    let text = folded(field.text()?, kind);
    let number = scalar::number(&text);
    Some(Literal { text, number })
}

fn read_named_test(field: &Field<'_>, mut map: Mapping<'_>, kind: Kind) -> Option<Test> {
    let prefix = map.field("prefix").map(|field| Some(Test::Prefix(folded(field.text()?, kind))));
    let glob = map.field("glob").map(|field| read_glob(&field, kind));
    let regex = map.field("regex").map(|field| read_regex(&field));
    let range = read_range(&mut map, kind);
    let present = map.field("present").map(|field| field.boolean().map(Test::Present));
    map.close();
    let mut written: Vec<Option<Test>> =
        [prefix, glob, regex, range, present].into_iter().flatten().collect();
    if written.len() == 1 {
        return written.pop().flatten();
    }
    field.refuse("expects one of prefix, glob, regex, present, or at_least with at_most");
    None
}

fn read_glob(field: &Field<'_>, kind: Kind) -> Option<Test> {
    let text = folded(field.text()?, kind);
    match GlobBuilder::new(&text).literal_separator(kind == Kind::Path).build() {
        Ok(glob) => Some(Test::Glob(glob.compile_matcher())),
        Err(error) => {
            field.refuse(format!("not a glob: {}", error.kind()));
            None
        }
    }
}

fn read_regex(field: &Field<'_>) -> Option<Test> {
    let text = field.text()?;
    match RegexBuilder::new(&text).size_limit(MAX_REGEX_BYTES).build() {
        Ok(regex) => Some(Test::Regex(regex)),
        Err(error) => {
            // The last line says what is wrong; those before it draw the place.
            let all = error.to_string();
            let last = all.lines().last().unwrap_or_default().trim().trim_start_matches("error: ");
            field.refuse(format!("not a regular expression: {last}"));
            None
        }
    }
}

/// The range, if one of its ends is written; `Some(None)` is a wrong one.
fn read_range(map: &mut Mapping<'_>, kind: Kind) -> Option<Option<Test>> {
    let ends = [map.field("at_least"), map.field("at_most")];
    let [None, None] = &ends else {
        let [least, most] = ends.map(|end| end.map(|field| (read_end(&field, kind), field)));
        return Some(range(least, most));
    };
    None
}

fn range(least: Option<(Option<f64>, Field<'_>)>, most: Option<(Option<f64>, Field<'_>)>) -> Option<Test> {
    let at_least = least.as_ref().map_or(Some(f64::NEG_INFINITY), |(number, _)| *number)?;
    let at_most = most.map_or(Some(f64::INFINITY), |(number, _)| number)?;
    if at_least > at_most {
        least?.1.refuse(format!("must not be above at_most ({at_most})"));
        return None;
    }
    Some(Test::Range { at_least, at_most })
}

fn read_end(field: &Field<'_>, kind: Kind) -> Option<f64> {
    if kind == Kind::Bytes {
        return field.scalar("a size such as 64KiB or 1048576", scalar::size).map(|bytes| bytes as f64);
    }
    field.scalar("a number", scalar::number)
}

fn folded(text: String, kind: Kind) -> String {
    if kind == Kind::MediaType { text.to_ascii_lowercase() } else { text }
}

/// Enough for any list written by hand.
pub(super) const MAX_ALTERNATIVES: usize = 1_000;

/// The compiled size of one pattern.
const MAX_REGEX_BYTES: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml::fault::FaultLog;
    use crate::yaml::read::read;

    fn test(text: &str, kind: Kind) -> Result<Test, String> {
        let node = read(text).unwrap();
        let log = FaultLog::default();
        let test = read_test(&Field::root(&node, &log), kind);
        let faults = log.into_list();
        match test {
            Some(test) if faults.is_empty() => Ok(test),
            _ => Err(faults.iter().map(|fault| fault.message.clone()).collect::<Vec<_>>().join("; ")),
        }
    }

    fn holds(yaml: &str, text: &str) -> bool {
        test(yaml, Kind::Plain).unwrap().holds(Subject::Text(text))
    }

    #[test]
    fn texts_are_tested_as_a_whole_by_prefix_glob_or_regex() {
        assert!(holds("payment", "payment") && !holds("payment", "payments"));
        assert!(holds("[auth, {prefix: pay}]", "payment") && !holds("[auth, {prefix: pay}]", "digest"));
        assert!(holds("{glob: 'order_*'}", "order_confirm") && !holds("{glob: 'order_*'}", "reorder_x"));
        assert!(holds("{regex: '^v[0-9]+$'}", "v12") && !holds("{regex: '^v[0-9]+$'}", "v"));
        assert!(holds("{present: true}", "") && !holds("{present: false}", "x"));
    }

    #[test]
    fn numbers_are_compared_as_numbers() {
        let within = test("{at_least: 10, at_most: 20}", Kind::Plain).unwrap();
        for (number, inside) in [(9.9, false), (10.0, true), (20.0, true), (20.1, false)] {
            assert_eq!(within.holds(Subject::Number(number)), inside, "{number}");
        }
        assert!(within.holds(Subject::Text("15")) && !within.holds(Subject::Text("x")));
        assert!(test("1e1", Kind::Plain).unwrap().holds(Subject::Number(10.0)));
        assert!(test("true", Kind::Plain).unwrap().holds(Subject::Boolean(true)));
        assert!(test("{at_least: 64KiB}", Kind::Bytes).unwrap().holds(Subject::Number(65_536.0)));
    }

    #[test]
    fn nothing_passes_only_where_nothing_is_asked_for() {
        for yaml in ["x", "[x, y]", "{prefix: x}", "{regex: '.*'}", "{at_most: 5}", "{present: true}"] {
            assert!(!test(yaml, Kind::Plain).unwrap().holds(Subject::Absent), "{yaml}");
        }
        let absent = test("{present: false}", Kind::Plain).unwrap();
        assert!(absent.holds(Subject::Absent) && absent.holds_for_any(std::iter::empty()));
        assert!(!absent.holds_for_any([Subject::Text("x")].into_iter()));
    }

    #[test]
    fn a_star_in_a_path_stays_within_its_segment() {
        let glob = test("{glob: '/v1/*'}", Kind::Path).unwrap();
        assert!(glob.holds(Subject::Text("/v1/jobs")) && !glob.holds(Subject::Text("/v1/jobs/batch")));
    }

    #[test]
    fn a_wrong_test_says_what_is_wrong() {
        for (yaml, said) in [
            ("{glob: '[a'}", "not a glob: unclosed character class"),
            ("{regex: '(a'}", "not a regular expression: unclosed group"),
            ("{prefix: a, glob: b}", "expects one of prefix"),
            ("{prefx: a}", "did you mean `prefix`?"),
            ("{at_least: 5, at_most: 1}", "must not be above at_most (1)"),
            ("{at_least: x}", "expects a number"),
            ("[]", "expects 1 to 1000 values"),
            ("[[a]]", "expects a value, found a list"),
            ("{}", "expects one of prefix"),
            ("{regex: '(((a{100}){100}){100}){100}'}", "not a regular expression"),
        ] {
            let found = test(yaml, Kind::Plain).unwrap_err();
            assert!(found.contains(said), "{yaml}: {found}");
        }
    }
}
