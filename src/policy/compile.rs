//! From a document to a policy, with every fault of the document at once.

use std::sync::Arc;

use crate::control::settings::ControllerSettings;
use crate::domain::tier::{Tier, TierMap};
use crate::policy::classify::Classifier;
use crate::policy::pointer::Pointers;
use crate::policy::rules::{read_rules, read_tier_word};
use crate::policy::source::{Source, parse, read_sources};
use crate::policy::tenants::read_tenants;
use crate::policy::tiers::{read_controller, read_tier};
use crate::policy::{Policy, ShadowFile, TierPolicy, consistency, defaults, doubts};
use crate::regulator::settings::{RegulatorSettings, TierSettings};
use crate::yaml::decode::{Field, Mapping};
use crate::yaml::fault::{FaultLog, Faults};
use crate::yaml::node::Node;
use crate::yaml::read::read;

/// A policy, and what is doubtful about it.
#[derive(Debug)]
pub struct Compiled {
    /// The policy, ready to be used.
    pub policy: Policy,
    /// Warnings: the policy works, and probably not as meant.
    pub warnings: Faults,
}

/// The top-level keys of a policy: what tells it from a configuration.
pub const TOP_LEVEL_KEYS: [&str; 9] = [
    "type_from",
    "ordering_key_from",
    "idempotency_key_from",
    "rules",
    "default_tier",
    "tiers",
    "controller",
    "tenants",
    "shadow",
];

/// Compiles a document; `name` is what faults call it, such as its path.
///
/// # Errors
/// Every fault of the document.
pub fn compile(document: &str, name: &str) -> Result<Compiled, Faults> {
    let node = read(document).map_err(|list| Faults { document: name.to_owned(), list })?;
    compile_tree(&node, document, name)
}

/// Compiles the tree of a document in which somebody has replaced nodes.
///
/// # Errors
/// Every fault of the tree.
pub fn compile_tree(tree: &Node, document: &str, name: &str) -> Result<Compiled, Faults> {
    let named = |list| Faults { document: name.to_owned(), list };
    let log = FaultLog::default();
    let policy = decode(&Field::root(tree, &log), &log, document);
    match policy {
        Some(policy) if log.errors() == 0 => Ok(Compiled { policy, warnings: named(log.into_list()) }),
        _ => Err(named(log.into_list())),
    }
}

/// Whether there is nothing in the document but space and comments.
pub fn says_nothing(document: &str) -> bool {
    document
        .lines()
        .map(str::trim_start)
        .all(|line| line.is_empty() || line.starts_with('#') || line == "---")
}

fn decode(root: &Field<'_>, log: &FaultLog, document: &str) -> Option<Policy> {
    let mut map = root.mapping()?;
    let mut pointers = Pointers::default();
    let type_from = sources(&mut map, "type_from", &defaults::TYPE_FROM, &mut pointers);
    let ordering_key_from =
        sources(&mut map, "ordering_key_from", &defaults::ORDERING_KEY_FROM, &mut pointers);
    let idempotency_key_from =
        sources(&mut map, "idempotency_key_from", &defaults::IDEMPOTENCY_KEY_FROM, &mut pointers);
    let rules = map.field("rules").map(|field| read_rules(&field, &mut pointers)).unwrap_or_default();
    let mut default_tier = defaults::DEFAULT_TIER;
    map.set("default_tier", &mut default_tier, read_tier_word);
    let written = root.at(&["default_tier"]);
    let default_tier_place = written.is_written().then(|| written.place().clone());
    let (laws, tiers) = read_tiers(map.field("tiers"), log);
    let controller =
        map.field("controller").map_or(ControllerSettings::DEFAULT, |field| read_controller(&field));
    let tenants = map.field("tenants").map(|field| read_tenants(&field)).unwrap_or_default();
    let shadow = map.field("shadow").and_then(|field| read_shadow(&field));
    map.close();
    if says_nothing(document) {
        root.warn("says nothing: every key has its default; where that is meant, write `{}`");
    }
    let regulator = RegulatorSettings { controller, tiers: laws, tenants: Arc::new(tenants) };
    consistency::warn_of_noise(root, &regulator);
    // What could not be read says nothing about what was meant.
    if log.errors() == 0 {
        doubts::warn_of_tiers_without_rules(root, &rules, default_tier);
        doubts::warn_of_starving(root, &regulator.tiers, &tiers);
        doubts::warn_of_expiry(root, &regulator.tiers, &tiers);
        doubts::warn_of_gains(root, &regulator);
    }
    Some(Policy {
        revision: revision(document),
        document: document.to_owned(),
        regulator,
        tiers,
        default_tier,
        shadow,
        classifier: Classifier {
            type_from,
            ordering_key_from,
            idempotency_key_from,
            rules,
            default_tier,
            default_tier_place,
            pointers,
        },
    })
}

fn sources(
    map: &mut Mapping<'_>,
    key: &'static str,
    default: &[&str],
    pointers: &mut Pointers,
) -> Vec<Source> {
    match map.field(key) {
        Some(field) => read_sources(&field, pointers).unwrap_or_default(),
        None => default.iter().filter_map(|text| parse(text, pointers).ok()).collect(),
    }
}

fn read_tiers(field: Option<Field<'_>>, log: &FaultLog) -> (TierMap<TierSettings>, TierMap<TierPolicy>) {
    let mut laws = TierMap::from_fn(defaults::law);
    let mut policies = TierMap::from_fn(defaults::tier);
    let Some(mut map) = field.and_then(|field| field.mapping()) else { return (laws, policies) };
    for tier in Tier::ALL {
        let Some(field) = map.field(tier.as_str()) else { continue };
        let before = log.errors();
        (laws[tier], policies[tier]) = read_tier(&field, tier);
        // Rules between keys are only asked where the keys could be read.
        if log.errors() == before {
            consistency::check_tier(&field, &laws[tier]);
        }
    }
    refuse_shared_queues(map.itself(), &policies);
    map.close();
    (laws, policies)
}

fn refuse_shared_queues(tiers: &Field<'_>, policies: &TierMap<TierPolicy>) {
    for (tier, policy) in policies.iter() {
        let same = policies.iter().find(|(above, other)| *above < tier && other.queue == policy.queue);
        if let Some((above, _)) = same {
            tiers
                .at(&[tier.as_str(), "queue"])
                .refuse(format!("{above} has the queue `{}` too", policy.queue));
        }
    }
}

fn read_shadow(field: &Field<'_>) -> Option<ShadowFile> {
    let path = field.scalar("the path of a policy file", |text| (!text.is_empty()).then(|| text.into()))?;
    Some(ShadowFile { path, place: field.place().clone() })
}

/// A short hash of the document: FNV-1a, which is stable over versions and platforms.
fn revision(document: &str) -> String {
    let hash =
        document.bytes().fold(FNV_OFFSET, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(FNV_PRIME));
    format!("{hash:016x}")
}

/// The parameters of 64-bit FNV-1a (RFC 9923).
const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0000_0100_0000_01b3;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::policy::{DEFAULT_DOCUMENT, Requirement};

    #[test]
    fn a_tier_that_is_written_takes_only_what_it_says_and_the_others_stay_whole() {
        let policy =
            compile("tiers: { p2: { target: { depth: 10 }, max_depth: 20 } }", "test").unwrap().policy;
        let p2 = policy.regulator.tiers[Tier::P2];
        assert_eq!((p2.shed, p2.yields, p2.max_depth), (None, false, 20));
        assert_eq!(policy.regulator.tiers[Tier::P1], defaults::law(Tier::P1));
        assert_eq!(&*policy.tiers[Tier::P2].queue, "jobs:bulk");
    }

    #[test]
    fn a_document_that_says_nothing_is_doubtful() {
        for (document, nothing) in [
            ("", true),
            (" \n\n", true),
            ("---\n# tiers: {}\n  # x\n", true),
            ("{}\n", false),
            ("default_tier: p1\n", false),
        ] {
            assert_eq!(says_nothing(document), nothing, "{document:?}");
            let warnings = compile(document, "test").unwrap().warnings.to_string();
            assert_eq!(warnings.contains("says nothing"), nothing, "{document:?}: {warnings}");
        }
    }

    #[test]
    fn what_a_tier_requires_beyond_the_backend_is_pointed_at() {
        let document = "tiers:\n  p1: { target: { depth: 1 }, max_depth: 2, require: disk }\n";
        let policy = compile(document, "test").unwrap().policy;
        assert_eq!(policy.unmet_requirements(Some(Requirement::Disk)), []);
        assert_eq!(policy.unmet_requirements(Some(Requirement::Replicated)), []);
        let unmet = policy.unmet_requirements(None);
        let faults = Faults { document: "p.yaml".to_owned(), list: unmet };
        assert_eq!(
            faults.to_string(),
            "p.yaml:2:54: tiers.p1.require: the backend as it is configured reaches only `memory`"
        );
    }

    proptest! {
        /// A policy that somebody is just editing: any piece of the shipped one gone or replaced.
        #[test]
        fn no_edit_of_a_policy_makes_the_compiler_panic(
            from in 0..DEFAULT_DOCUMENT.len(),
            length in 0usize..60,
            typed in "[\\[\\]{}:,\\-#'\" \n0-9a-z%*/~]{0,6}",
        ) {
            let mut document: Vec<char> = DEFAULT_DOCUMENT.chars().collect();
            let from = from.min(document.len());
            let to = (from + length).min(document.len());
            document.splice(from..to, typed.chars());
            let document: String = document.into_iter().collect();
            match compile(&document, "edited") {
                Ok(compiled) => prop_assert_eq!(compiled.policy.document, document),
                Err(faults) => prop_assert!(!faults.list.is_empty()),
            }
        }
    }
}
