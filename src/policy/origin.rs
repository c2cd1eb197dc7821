//! Where a job's tier and names come from, for people who ask: the rule with its place, the source of each name.

use crate::domain::tier::Tier;
use crate::policy::Policy;
use crate::policy::classify::{Classified, Head};
use crate::policy::source::{Source, first_hit_and_source, written};
use crate::yaml::node::Place;

/// How a job came to what [`Policy::classify`] says of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Origin<'a> {
    /// What gave the tier.
    pub tier_from: TierFrom<'a>,
    /// The tier that it gave: above the job's own where the caller's ceiling lowered it.
    pub tier_meant: Tier,
    /// The source that the type was read from, as policies write it.
    pub job_type_from: Option<String>,
    /// The source that the ordering key was read from.
    pub ordering_key_from: Option<String>,
}

/// What gives a tier.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum TierFrom<'a> {
    /// The first rule that matches.
    Rule {
        /// Its place among the rules, counted from 0.
        position: usize,
        /// What the operator calls it.
        name: Option<&'a str>,
        /// Where it stands in the document.
        place: &'a Place,
    },
    /// No rule matches, and the sender wishes for a tier.
    Wish,
    /// No rule matches, and there is no wish.
    Default {
        /// Where `default_tier` stands in the document, if it is written there.
        place: Option<&'a Place>,
    },
}

impl Policy {
    /// Where tier and names of a job come from that [`Policy::classify`] classified so.
    pub fn origin(&self, head: &Head<'_>, payload: &[u8], classified: &Classified) -> Origin<'_> {
        let classifier = &self.classifier;
        let rule = classified.rule.and_then(|position| Some((position, classifier.rules.get(position)?)));
        let (tier_from, tier_meant) = match rule {
            Some((position, rule)) => {
                let name = rule.name.as_deref();
                (TierFrom::Rule { position, name, place: &rule.place }, rule.tier)
            }
            None if classifier.has_wish(head) => (TierFrom::Wish, classified.tier),
            None => {
                let place = classifier.default_tier_place.as_ref();
                (TierFrom::Default { place }, classifier.default_tier)
            }
        };
        let found = classifier.pointers.find(payload);
        let source = |sources: &[Source]| {
            let (_, source) = first_hit_and_source(sources, head.headers, Some(&found));
            source.map(|source| written(source, &classifier.pointers))
        };
        Origin {
            tier_from,
            tier_meant,
            job_type_from: source(&classifier.type_from),
            ordering_key_from: source(&classifier.ordering_key_from),
        }
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderName, Method, Uri};

    use super::*;
    use crate::policy::compile::compile;

    const DOCUMENT: &str = "\
type_from: [ 'header:Tidegate-Type', ce-type, 'body:/kind' ]
ordering_key_from: [ 'body:/user' ]
rules:
  - { when: { type: payment }, tier: p0 }
  - name: bulk work
    when: { type: digest }
    tier: p2
default_tier: p1
";

    fn asked<T>(fields: &[(&str, &str)], body: &str, ceiling: Tier, told: impl Fn(&Origin<'_>) -> T) -> T {
        let policy = compile(DOCUMENT, "p.yaml").unwrap().policy;
        let fields =
            fields.iter().map(|(name, value)| (name.parse::<HeaderName>().unwrap(), value.parse().unwrap()));
        let headers: HeaderMap = fields.collect();
        let (method, uri) = (Method::POST, Uri::from_static("/v1/jobs"));
        let content_length = None;
        let head =
            Head { method: &method, uri: &uri, headers: &headers, tenant: "a", ceiling, content_length };
        let classified = policy.classify(&head, body.as_bytes()).unwrap();
        told(&policy.origin(&head, body.as_bytes(), &classified))
    }

    fn place(fields: &[(&str, &str)], body: &str) -> String {
        asked(fields, body, Tier::P0, |origin| match &origin.tier_from {
            TierFrom::Rule { position, name, place } => {
                format!("{position} {} {}", name.unwrap_or("-"), place.in_document("p.yaml"))
            }
            TierFrom::Wish => "wish".to_owned(),
            TierFrom::Default { place } => format!("default {}", place.unwrap().in_document("p.yaml")),
        })
    }

    #[test]
    fn a_rule_is_told_with_its_line() {
        assert_eq!(place(&[("ce-type", "payment")], ""), "0 - p.yaml:4:5");
        assert_eq!(place(&[], r#"{"kind":"digest"}"#), "1 bulk work p.yaml:5:5");
        assert_eq!(place(&[("tidegate-tier", "p2")], ""), "wish");
        assert_eq!(place(&[], ""), "default p.yaml:8:1");
    }

    #[test]
    fn a_name_is_told_with_the_source_that_had_it() {
        let from = |fields: &[(&str, &str)]| {
            let body = r#"{"kind":"digest","user":7}"#;
            asked(fields, body, Tier::P0, |told| {
                (told.job_type_from.clone().unwrap(), told.ordering_key_from.clone().unwrap())
            })
        };
        let key = "body:/user".to_owned();
        assert_eq!(
            from(&[("ce-type", "x"), ("tidegate-type", "y")]),
            ("header:tidegate-type".into(), key.clone())
        );
        assert_eq!(from(&[("ce-type", "x"), ("tidegate-type", "")]), ("ce-type".into(), key.clone()));
        assert_eq!(from(&[]), ("body:/kind".into(), key));
        assert_eq!(asked(&[], "no json", Tier::P0, |told| told.job_type_from.clone()), None);
    }

    #[test]
    fn a_tier_above_the_ceiling_is_told_as_it_was_meant() {
        assert_eq!(asked(&[("ce-type", "payment")], "", Tier::P2, |told| told.tier_meant), Tier::P0);
        assert_eq!(asked(&[], "", Tier::P2, |told| told.tier_meant), Tier::P1);
        assert_eq!(asked(&[("tidegate-tier", "p2")], "", Tier::P1, |told| told.tier_meant), Tier::P2);
    }
}
