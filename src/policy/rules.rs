//! A policy's rules: read from the document, and asked whether they match.

use std::borrow::Cow;

use http::HeaderName;

use crate::domain::tier::Tier;
use crate::policy::classify::Head;
use crate::policy::condition::{Kind, Subject, Test, read_test};
use crate::policy::pointer::{Found, Pointers};
use crate::policy::reach::refuse_unreachable;
use crate::policy::source::Name;
use crate::yaml::decode::Field;
use crate::yaml::node::Place;

/// Jobs for which all conditions hold belong to the tier.
#[derive(Debug)]
pub(super) struct Rule {
    /// What the operator calls it.
    pub(super) name: Option<String>,
    /// Where matching jobs go.
    pub(super) tier: Tier,
    /// Where the rule stands in the document.
    pub(super) place: Place,
    conditions: Vec<Condition>,
}

/// A rule as far as it could be read, with its fields in the document.
#[derive(Debug)]
pub(super) struct RuleDraft<'a> {
    /// The rule as a whole.
    pub(super) field: Field<'a>,
    /// What the operator calls it.
    pub(super) name: Option<String>,
    tier: Option<Tier>,
    pub(super) conditions: Vec<Condition>,
    /// The test of each condition.
    pub(super) tests: Vec<Field<'a>>,
    /// Whether it was written without any condition, right or wrong.
    pub(super) unconditional: bool,
    /// Whether all of it could be read.
    pub(super) faultless: bool,
}

/// One line of `when`.
#[derive(Debug)]
pub(super) enum Condition {
    Type(Test),
    Method(Test),
    Path(Test),
    Header(HeaderName, Test),
    Query(String, Test),
    Tenant(Test),
    ContentType(Test),
    ContentLength(Test),
    Body(usize, Test),
}

/// What a condition looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum On<'a> {
    Type,
    Method,
    Path,
    Header(&'a HeaderName),
    Query(&'a str),
    Tenant,
    ContentType,
    ContentLength,
    Body(usize),
}

/// What is known of a job while its tier is looked for.
#[derive(Clone, Debug)]
pub(super) struct Facts<'a> {
    /// The request's head.
    pub(super) head: &'a Head<'a>,
    /// The job's type.
    pub(super) job_type: Name<'a>,
    /// What the body holds; `None` while it was not read.
    pub(super) body: Option<&'a Found>,
}

/// What the facts say of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It matches.
    Matches,
    /// It does not, whatever the body holds.
    Fails,
    /// The body decides.
    Open,
}

impl Rule {
    /// Whether it matches, as far as the facts go.
    pub(super) fn verdict(&self, facts: &Facts<'_>) -> Verdict {
        let mut verdict = Verdict::Matches;
        for condition in &self.conditions {
            match condition.holds(facts) {
                Some(true) => {}
                Some(false) => return Verdict::Fails,
                None => verdict = Verdict::Open,
            }
        }
        verdict
    }
}

impl Condition {
    /// What it looks at, and the test.
    pub(super) fn parts(&self) -> (On<'_>, &Test) {
        match self {
            Condition::Type(test) => (On::Type, test),
            Condition::Method(test) => (On::Method, test),
            Condition::Path(test) => (On::Path, test),
            Condition::Header(name, test) => (On::Header(name), test),
            Condition::Query(name, test) => (On::Query(name), test),
            Condition::Tenant(test) => (On::Tenant, test),
            Condition::ContentType(test) => (On::ContentType, test),
            Condition::ContentLength(test) => (On::ContentLength, test),
            Condition::Body(slot, test) => (On::Body(*slot), test),
        }
    }

    /// Whether it holds; `None` where the body decides.
    fn holds(&self, facts: &Facts<'_>) -> Option<bool> {
        let head = facts.head;
        Some(match self {
            Condition::Type(test) => match &facts.job_type {
                Name::Unknown => return None,
                Name::Known(name) => test.holds(name.as_deref().into()),
            },
            Condition::Body(slot, test) => test.holds(facts.body?.value(*slot).into()),
            Condition::Method(test) => test.holds(Subject::Text(head.method.as_str())),
            Condition::Path(test) => test.holds(Subject::Text(head.uri.path())),
            Condition::Tenant(test) => test.holds(Subject::Text(head.tenant)),
            Condition::Header(name, test) => {
                let values = head.headers.get_all(name).iter();
                let texts = values.filter_map(|value| str::from_utf8(value.as_bytes()).ok());
                test.holds_for_any(texts.map(Subject::Text))
            }
            Condition::Query(name, test) => query_holds(head.uri.query().unwrap_or_default(), name, test),
            Condition::ContentType(test) => test.holds(media_type(head).as_deref().into()),
            Condition::ContentLength(test) => {
                test.holds(head.content_length.map_or(Subject::Absent, |bytes| Subject::Number(bytes as f64)))
            }
        })
    }
}

/// The media type without its parameters, in lower case.
fn media_type<'a>(head: &Head<'a>) -> Option<Cow<'a, str>> {
    let value = str::from_utf8(head.headers.get(http::header::CONTENT_TYPE)?.as_bytes()).ok()?;
    let essence = value.split(';').next().unwrap_or_default().trim();
    let lower = essence.bytes().any(|byte| byte.is_ascii_uppercase());
    Some(if lower { Cow::Owned(essence.to_ascii_lowercase()) } else { Cow::Borrowed(essence) })
}

fn query_holds(query: &str, name: &str, test: &Test) -> bool {
    let values: Vec<Cow<'_, str>> = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .filter(|(key, _)| percent_decoded(key) == name)
        .map(|(_, value)| percent_decoded(value))
        .collect();
    test.holds_for_any(values.iter().map(|value| Subject::Text(value)))
}

/// `%41` is `A`, `+` is a space; what is no escape stays as it is.
fn percent_decoded(text: &str) -> Cow<'_, str> {
    if !text.contains(['%', '+']) {
        return Cow::Borrowed(text);
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let escaped = match (first, after) {
            (b'%', [high, low, ..]) => hex(*high).zip(hex(*low)).map(|(high, low)| high << 4 | low),
            _ => None,
        };
        rest = if escaped.is_some() { after.get(2..).unwrap_or_default() } else { after };
        bytes.push(escaped.unwrap_or(if *first == b'+' { b' ' } else { *first }));
    }
    Cow::Owned(String::from_utf8_lossy(&bytes).into_owned())
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

/// Reads the rules. A rule that no job can reach is refused.
pub(super) fn read_rules(field: &Field<'_>, pointers: &mut Pointers) -> Vec<Rule> {
    let Some(list) = field.list() else { return Vec::new() };
    if list.len() > MAX_RULES {
        field.refuse(format!("expects at most {MAX_RULES} rules"));
        return Vec::new();
    }
    let drafts: Vec<RuleDraft<'_>> = list.iter().map(|item| read_rule(item, pointers)).collect();
    refuse_unreachable(&drafts);
    drafts.into_iter().filter_map(RuleDraft::finished).collect()
}

impl RuleDraft<'_> {
    fn finished(self) -> Option<Rule> {
        let place = self.field.place().clone();
        Some(Rule { name: self.name, tier: self.tier?, place, conditions: self.conditions })
    }
}

fn read_rule<'a>(field: &Field<'a>, pointers: &mut Pointers) -> RuleDraft<'a> {
    let before = field.errors();
    let mut draft = RuleDraft {
        field: field.clone(),
        name: None,
        tier: None,
        conditions: Vec::new(),
        tests: Vec::new(),
        unconditional: false,
        faultless: false,
    };
    let Some(mut map) = field.mapping() else { return draft };
    draft.name = map.field("name").and_then(|field| field.text());
    draft.tier = map.required("tier").and_then(|field| read_tier_word(&field));
    let when = map.field("when");
    map.close();
    draft.unconditional = match &when {
        Some(when) => read_when(when, &mut draft, pointers).is_some_and(|written| written == 0),
        None => true,
    };
    draft.faultless = field.errors() == before;
    draft
}

/// Reads the conditions and says how many were written, right or wrong.
fn read_when<'a>(field: &Field<'a>, draft: &mut RuleDraft<'a>, pointers: &mut Pointers) -> Option<usize> {
    type Make = fn(Test) -> Condition;
    let single: [(&'static str, Kind, Make); 6] = [
        ("type", Kind::Plain, Condition::Type),
        ("method", Kind::Plain, Condition::Method),
        ("path", Kind::Path, Condition::Path),
        ("tenant", Kind::Plain, Condition::Tenant),
        ("content_type", Kind::MediaType, Condition::ContentType),
        ("content_length", Kind::Bytes, Condition::ContentLength),
    ];
    let mut map = field.mapping()?;
    let written = map.all().count();
    let mut add = |field: Field<'a>, kind: Kind, make: &dyn Fn(Test) -> Condition| {
        if let Some(test) = read_test(&field, kind) {
            draft.conditions.push(make(test));
            draft.tests.push(field);
        }
    };
    for (key, kind, make) in single {
        map.field(key).into_iter().for_each(|field| add(field, kind, &make));
    }
    for (name, field) in named_tests(map.field("header")) {
        match HeaderName::try_from(name) {
            Ok(name) => add(field, Kind::Plain, &|test| Condition::Header(name.clone(), test)),
            Err(_) => field.refuse_key("expects a header name"),
        }
    }
    for (name, field) in named_tests(map.field("query")) {
        add(field, Kind::Plain, &|test| Condition::Query(name.to_owned(), test));
    }
    for (pointer, field) in named_tests(map.field("body")) {
        match pointers.slot(pointer) {
            Ok(slot) => add(field, Kind::Plain, &|test| Condition::Body(slot, test)),
            Err(error) => field.refuse_key(&error.to_string()),
        }
    }
    map.close();
    Some(written)
}

/// The tests under a key whose keys are names: headers, query parameters, pointers.
fn named_tests<'a>(field: Option<Field<'a>>) -> Vec<(&'a str, Field<'a>)> {
    let Some(field) = field else { return Vec::new() };
    let Some(map) = field.mapping() else { return Vec::new() };
    let tests: Vec<_> = map.all().collect();
    if tests.is_empty() {
        field.refuse("expects a name with a test, such as { X-Kind: bulk }");
    }
    tests
}

/// Reads a tier's name.
pub(super) fn read_tier_word(field: &Field<'_>) -> Option<Tier> {
    field.word(&Tier::ALL.map(|tier| (tier.as_str(), tier)))
}

/// Rules are asked one by one for every request.
pub(super) const MAX_RULES: usize = 1_000;
