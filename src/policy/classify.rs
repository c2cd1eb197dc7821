//! Which tier a request belongs to: first by its head alone, then, where a rule asks, by its body.

use http::{HeaderMap, Method, Uri};

use crate::domain::tier::{Tier, TierSet};
use crate::policy::Policy;
use crate::policy::pointer::{Found, Pointers};
use crate::policy::rules::{Facts, Rule, Verdict};
use crate::policy::source::{KeyText, Name, Source, first_hit, first_key};
use crate::yaml::node::Place;

/// What is known of a request before its body is read.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    /// The method.
    pub method: &'a Method,
    /// Path and query.
    pub uri: &'a Uri,
    /// The header fields.
    pub headers: &'a HeaderMap,
    /// The caller.
    pub tenant: &'a str,
    /// The highest tier the caller may reach.
    pub ceiling: Tier,
    /// The body's declared length.
    pub content_length: Option<u64>,
}

/// What the head alone says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadVerdict {
    /// The tier is decided; the body cannot change it.
    Decided(Tier),
    /// The body decides among these tiers.
    NeedsBody(TierSet),
}

/// A job's place and the names found for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Classified {
    /// The tier, not above the caller's ceiling.
    pub tier: Tier,
    /// The matched rule's position in the policy; `None` where the wish or the default tier decided.
    pub rule: Option<usize>,
    /// The type read by `type_from`.
    pub job_type: Option<Box<str>>,
    /// The key read by `ordering_key_from`.
    pub ordering_key: Option<Box<str>>,
}

/// Why the caller's wish (`Tidegate-Tier`) cannot be met.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WishError {
    /// The header names no tier.
    #[error("Tidegate-Tier names no tier: write p0, p1 or p2")]
    Unknown,
    /// The wish is above the ceiling.
    #[error("Tidegate-Tier wishes for {wish}, the caller's ceiling is {ceiling}")]
    AboveCeiling {
        /// The tier wished for.
        wish: Tier,
        /// The highest tier allowed.
        ceiling: Tier,
    },
}

/// What a policy knows about telling tiers apart.
#[derive(Debug)]
pub(super) struct Classifier {
    pub(super) type_from: Vec<Source>,
    pub(super) ordering_key_from: Vec<Source>,
    pub(super) idempotency_key_from: Vec<Source>,
    pub(super) rules: Vec<Rule>,
    pub(super) default_tier: Tier,
    /// Where `default_tier` stands in the document, if it is written there.
    pub(super) default_tier_place: Option<Place>,
    pub(super) pointers: Pointers,
}

impl Policy {
    /// What the head alone says of the tier.
    ///
    /// # Errors
    /// The wish names no tier, or one above the ceiling: whether or not a rule would beat it, so that the answer
    /// does not hang on the body.
    pub fn classify_head(&self, head: &Head<'_>) -> Result<HeadVerdict, WishError> {
        let unmatched = self.classifier.unmatched(head)?;
        let walk = self.classifier.walk(&self.classifier.facts(head, None), unmatched);
        Ok(match walk.sole_tier() {
            Some(tier) => HeadVerdict::Decided(tier),
            None => HeadVerdict::NeedsBody(walk.possible),
        })
    }

    /// Whether anything of the policy looks into payloads.
    pub fn reads_payloads(&self) -> bool {
        !self.classifier.pointers.is_empty()
    }

    /// The text of the job's idempotency key, as far as the head tells it.
    pub fn idempotency_key_in_head<'a>(&self, headers: &'a HeaderMap) -> KeyText<'a> {
        first_key(&self.classifier.idempotency_key_from, headers, None)
    }

    /// Whether an attribute of an event may be the key.
    pub fn reads_key_from_events(&self) -> bool {
        self.classifier.idempotency_key_from.iter().any(Source::is_attribute)
    }

    /// The text of the job's idempotency key, from head and payload. Agrees with what the head told.
    pub fn idempotency_key(&self, headers: &HeaderMap, payload: &[u8]) -> KeyText<'static> {
        let classifier = &self.classifier;
        let of_head = first_key(&classifier.idempotency_key_from, headers, None);
        if of_head != KeyText::InBody {
            return of_head.into_owned();
        }
        let found = classifier.pointers.find(payload);
        first_key(&classifier.idempotency_key_from, headers, Some(&found)).into_owned()
    }

    /// The job's tier and names, from head and payload. Agrees with what [`Policy::classify_head`] decided.
    ///
    /// # Errors
    /// As [`Policy::classify_head`].
    pub fn classify(&self, head: &Head<'_>, payload: &[u8]) -> Result<Classified, WishError> {
        let classifier = &self.classifier;
        let unmatched = classifier.unmatched(head)?;
        let mut facts = classifier.facts(head, None);
        let mut walk = classifier.walk(&facts, unmatched);
        let mut ordering_key = classifier.ordering_key(head, None);
        let found;
        if walk.open || facts.job_type == Name::Unknown || ordering_key == Name::Unknown {
            found = classifier.pointers.find(payload);
            facts = classifier.facts(head, Some(&found));
            walk = classifier.walk(&facts, unmatched);
            ordering_key = classifier.ordering_key(head, Some(&found));
        }
        Ok(Classified {
            tier: walk.sole_tier().unwrap_or(unmatched),
            rule: walk.matched,
            job_type: facts.job_type.into_text(),
            ordering_key: ordering_key.into_text(),
        })
    }
}

/// The rules walked from the first one, as far as the facts go.
struct Walk {
    /// The tiers that are still possible.
    possible: TierSet,
    /// The first rule that matches on the facts; it stands if the walk is not open.
    matched: Option<usize>,
    /// Whether the body has a say in which rule matches.
    open: bool,
}

impl Walk {
    fn sole_tier(&self) -> Option<Tier> {
        let mut tiers = self.possible.iter();
        tiers.next().filter(|_| tiers.next().is_none())
    }
}

impl Classifier {
    fn facts<'a>(&'a self, head: &'a Head<'a>, body: Option<&'a Found>) -> Facts<'a> {
        Facts { head, job_type: first_hit(&self.type_from, head.headers, body), body }
    }

    fn ordering_key<'a>(&self, head: &Head<'a>, body: Option<&'a Found>) -> Name<'a> {
        first_hit(&self.ordering_key_from, head.headers, body)
    }

    fn walk(&self, facts: &Facts<'_>, unmatched: Tier) -> Walk {
        let mut walk = Walk { possible: TierSet::EMPTY, matched: None, open: false };
        for (position, rule) in self.rules.iter().enumerate() {
            let verdict = rule.verdict(facts);
            if verdict == Verdict::Fails {
                continue;
            }
            walk.possible = walk.possible.with(lowered(rule.tier, facts.head.ceiling));
            if verdict == Verdict::Matches {
                walk.matched = Some(position);
                return walk;
            }
            walk.open = true;
        }
        walk.possible = walk.possible.with(unmatched);
        walk
    }

    /// Whether the sender wishes for a tier.
    pub(super) fn has_wish(&self, head: &Head<'_>) -> bool {
        head.headers.contains_key(TIER_HEADER)
    }

    /// The tier of a job that no rule matches: the wish, else the default tier.
    fn unmatched(&self, head: &Head<'_>) -> Result<Tier, WishError> {
        let mut wishes = head.headers.get_all(TIER_HEADER).iter();
        let Some(wish) = wishes.next() else { return Ok(lowered(self.default_tier, head.ceiling)) };
        if wishes.next().is_some() {
            return Err(WishError::Unknown);
        }
        let wish: Tier = wish.to_str().ok().and_then(|text| text.parse().ok()).ok_or(WishError::Unknown)?;
        if wish < head.ceiling {
            Err(WishError::AboveCeiling { wish, ceiling: head.ceiling })
        } else {
            Ok(wish)
        }
    }
}

/// The tier, or the ceiling where the tier is above it.
fn lowered(tier: Tier, ceiling: Tier) -> Tier {
    tier.max(ceiling)
}

/// The wish, in the lower case in which header maps keep their names.
const TIER_HEADER: &str = "tidegate-tier";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::policy::compile::compile;

    /// A request head that owns its parts.
    struct Request {
        method: Method,
        uri: Uri,
        headers: HeaderMap,
        ceiling: Tier,
    }

    impl Request {
        fn new(uri: &str, headers: &[(&'static str, &str)]) -> Request {
            let headers = headers.iter().map(|(name, value)| {
                (http::HeaderName::from_static(name), http::HeaderValue::from_str(value).unwrap())
            });
            Request {
                method: Method::POST,
                uri: uri.parse().unwrap(),
                headers: headers.collect(),
                ceiling: Tier::P0,
            }
        }

        fn head(&self) -> Head<'_> {
            Head {
                method: &self.method,
                uri: &self.uri,
                headers: &self.headers,
                tenant: "anonymous",
                ceiling: self.ceiling,
                content_length: Some(100),
            }
        }
    }

    fn policy(document: &str) -> Policy {
        compile(document, "test").unwrap().policy
    }

    fn needs(tiers: &[Tier]) -> Result<HeadVerdict, WishError> {
        Ok(HeadVerdict::NeedsBody(tiers.iter().fold(TierSet::EMPTY, |set, tier| set.with(*tier))))
    }

    fn decided(tier: Tier) -> Result<HeadVerdict, WishError> {
        Ok(HeadVerdict::Decided(tier))
    }

    #[test]
    fn the_default_policy_decides_by_header_and_asks_the_body_without_one() {
        let policy = Policy::default();
        let typed = Request::new("/v1/jobs", &[("tidegate-type", "payment")]);
        assert_eq!(policy.classify_head(&typed.head()), decided(Tier::P0));
        let bare = Request::new("/v1/jobs", &[]);
        assert_eq!(policy.classify_head(&bare.head()), needs(&[Tier::P0, Tier::P1, Tier::P2]));
        let job = policy.classify(&bare.head(), br#"{"user":{"type":"payment"},"type":"digest"}"#).unwrap();
        assert_eq!((job.tier, job.rule, job.job_type.as_deref()), (Tier::P2, Some(1), Some("digest")));
        assert_eq!(policy.rule_name(1), Some("bulk work"));
        for payload in [&b""[..], b"{", b"\xff\xfe", br#"{"type":"unheard of"}"#] {
            let job = policy.classify(&bare.head(), payload).unwrap();
            assert_eq!((job.tier, job.rule), (Tier::P1, None), "{payload:?}");
        }
    }

    #[test]
    fn a_rule_that_the_head_rules_out_leaves_the_body_unread() {
        let policy = policy(
            "type_from: []\nrules:\n\
             - { when: { header: { x-kind: bulk }, body: { /urgent: true } }, tier: p0 }\n\
             - { when: { header: { x-kind: bulk } }, tier: p2 }\n",
        );
        let other = Request::new("/v1/jobs", &[("x-kind", "other")]);
        assert_eq!(policy.classify_head(&other.head()), decided(Tier::P1));
        let bulk = Request::new("/v1/jobs", &[("x-kind", "bulk")]);
        assert_eq!(policy.classify_head(&bulk.head()), needs(&[Tier::P0, Tier::P2]));
        assert_eq!(policy.classify(&bulk.head(), br#"{"urgent":true}"#).unwrap().tier, Tier::P0);
        assert_eq!(policy.classify(&bulk.head(), b"{}").unwrap().tier, Tier::P2);
    }

    #[test]
    fn rules_that_agree_on_the_tier_decide_without_the_body() {
        let policy = policy("rules: [{ when: { body: { /a: 1 } }, tier: p2 }, { tier: p2 }]");
        let request = Request::new("/v1/jobs", &[]);
        assert_eq!(policy.classify_head(&request.head()), decided(Tier::P2));
        assert_eq!(policy.classify(&request.head(), br#"{"a":1}"#).unwrap().rule, Some(0));
        assert_eq!(policy.classify(&request.head(), b"{}").unwrap().rule, Some(1));
    }

    #[test]
    fn every_part_of_the_head_can_be_tested() {
        for (when, uri, headers) in [
            ("method: POST", "/", &[][..]),
            ("path: { glob: '/v1/*' }", "/v1/jobs?x=1", &[]),
            ("query: { from: 'night run', plain: { present: true } }", "/?a&from=night+r%75n&plain", &[]),
            ("tenant: anonymous", "/", &[]),
            ("content_type: Application/JSON", "/", &[("content-type", "application/Json; charset=utf-8")]),
            ("content_length: { at_least: 100, at_most: 1KiB }", "/", &[]),
            ("header: { X-A: [one, two], X-B: { present: false } }", "/", &[("x-a", "zero"), ("x-a", "two")]),
            ("type: { prefix: pay }", "/", &[("ce-type", "payment")]),
            ("header: { ce-subject: 'für Zoë' }", "/", &[("ce-subject", "für Zoë")]),
        ] {
            let policy = policy(&format!("rules: [{{ when: {{ {when} }}, tier: p0 }}]"));
            let mut request = Request::new(uri, &[]);
            for (name, value) in headers {
                request.headers.append(*name, http::HeaderValue::from_bytes(value.as_bytes()).unwrap());
            }
            assert_eq!(policy.classify(&request.head(), b"").unwrap().tier, Tier::P0, "{when}");
            let other = Request { method: Method::PUT, ..Request::new("/other", &[("x-b", "")]) };
            let other = Head { tenant: "acme", content_length: None, ..other.head() };
            assert_eq!(policy.classify(&other, b"").unwrap().tier, Tier::P1, "{when}");
        }
    }

    #[test]
    fn a_wish_replaces_the_default_tier_and_no_rule() {
        let policy = Policy::default();
        let with = |headers: &[(&'static str, &str)], ceiling| Request {
            ceiling,
            ..Request::new("/v1/jobs", headers)
        };
        let free = with(&[("tidegate-tier", "p2"), ("tidegate-type", "unheard")], Tier::P0);
        assert_eq!(policy.classify(&free.head(), b"").unwrap().tier, Tier::P2);
        let ruled = with(&[("tidegate-tier", "p2"), ("tidegate-type", "payment")], Tier::P0);
        assert_eq!(policy.classify(&ruled.head(), b"").unwrap().tier, Tier::P0);
        for wrong in ["P1", "", "p3", "p1, p2"] {
            let request = with(&[("tidegate-tier", wrong)], Tier::P0);
            assert_eq!(policy.classify_head(&request.head()), Err(WishError::Unknown), "{wrong}");
        }
        let too_high = with(&[("tidegate-tier", "p0")], Tier::P1);
        let refused = WishError::AboveCeiling { wish: Tier::P0, ceiling: Tier::P1 };
        assert_eq!(policy.classify_head(&too_high.head()), Err(refused));
        assert_eq!(policy.classify(&too_high.head(), b"{}"), Err(refused));
    }

    #[test]
    fn a_tier_above_the_ceiling_is_lowered_to_it() {
        let policy = Policy::default();
        let payment = Request { ceiling: Tier::P2, ..Request::new("/", &[("tidegate-type", "payment")]) };
        assert_eq!(policy.classify_head(&payment.head()), decided(Tier::P2));
        let bare = Request { ceiling: Tier::P2, ..Request::new("/", &[]) };
        assert_eq!(policy.classify_head(&bare.head()), decided(Tier::P2));
    }

    #[test]
    fn the_ordering_key_is_read_where_the_policy_says() {
        let policy = policy("ordering_key_from: ['header:Tidegate-Ordering-Key', 'body:/user/id']");
        let bare = Request::new("/", &[("tidegate-type", "x")]);
        let from_body = policy.classify(&bare.head(), br#"{"user":{"id":17}}"#).unwrap();
        assert_eq!(from_body.ordering_key.as_deref(), Some("17"));
        let with = Request::new("/", &[("tidegate-type", "x"), ("tidegate-ordering-key", "k")]);
        assert_eq!(policy.classify(&with.head(), b"{}").unwrap().ordering_key.as_deref(), Some("k"));
    }

    fn rule() -> impl Strategy<Value = String> {
        let condition = prop_oneof![
            "[ab]".prop_map(|word| format!("type: {word}")),
            "[ab]".prop_map(|word| format!("header: {{ x-h: {word} }}")),
            "[ab]".prop_map(|word| format!("body: {{ /k: {word} }}")),
            Just("body: { /k: { present: false } }".to_owned()),
        ];
        let unique = |lines: Vec<String>| {
            let mut kinds: Vec<String> = Vec::new();
            for line in lines {
                if !kinds.iter().any(|kind| kind.split(':').next() == line.split(':').next()) {
                    kinds.push(line);
                }
            }
            kinds.join(", ")
        };
        (prop::collection::vec(condition, 1..3), 0..3)
            .prop_map(move |(lines, tier)| format!("{{ when: {{ {} }}, tier: p{tier} }}", unique(lines)))
    }

    proptest! {
        /// What the head decides the body cannot change, and what the head leaves open the body decides within it.
        #[test]
        fn head_and_body_agree(
            rules in prop::collection::vec(rule(), 0..5),
            header in prop::option::of("[abc]"),
            typed in prop::option::of("[abc]"),
            wish in prop::option::of("p[012]"),
            ceiling in 0u8..3,
            payload in prop_oneof![
                Just(String::new()),
                r#"\{"type":"[abc]","k":("[abc]"|null|1)\}"#,
                r#"\{"k":"[ab]"\}?"#,
            ],
        ) {
            // Rules that no job can reach are refused.
            let Ok(compiled) = compile(&format!("rules: [{}]", rules.join(", ")), "test") else { return Ok(()) };
            let policy = compiled.policy;
            let ceiling = Tier::from_number(ceiling).unwrap();
            let mut request = Request { ceiling, ..Request::new("/v1/jobs", &[]) };
            for (name, value) in [("x-h", header), ("tidegate-type", typed), ("tidegate-tier", wish)] {
                if let Some(value) = value {
                    request.headers.insert(name, value.parse().unwrap());
                }
            }
            let job = policy.classify(&request.head(), payload.as_bytes());
            match policy.classify_head(&request.head()) {
                Err(error) => prop_assert_eq!(job, Err(error)),
                Ok(HeadVerdict::Decided(tier)) => prop_assert_eq!(job.unwrap().tier, tier),
                Ok(HeadVerdict::NeedsBody(tiers)) => {
                    prop_assert!(tiers.contains(job.unwrap().tier));
                    prop_assert!(tiers.iter().count() > 1);
                }
            }
        }
    }
}
