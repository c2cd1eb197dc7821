//! Floor 2: the operators' YAML, compiled into what the gateway runs.
//!
//! [`compile`](compile::compile) reads a document and tells every fault at once; what comes out is a [`Policy`],
//! which answers two questions per request: which tier ([`Policy::classify`]) and by which law
//! ([`Policy::regulator`]).

pub mod classify;
pub mod compile;
mod condition;
mod consistency;
mod defaults;
mod doubts;
mod implication;
pub mod origin;
mod pointer;
mod reach;
mod rules;
pub mod schema;
pub mod source;
mod tenants;
mod tiers;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::domain::tier::{Tier, TierMap};
use crate::policy::classify::Classifier;
use crate::policy::compile::compile;
use crate::regulator::settings::RegulatorSettings;
use crate::yaml::fault::Fault;
use crate::yaml::node::Place;

/// A policy in force: immutable, shared by every request.
#[derive(Debug)]
pub struct Policy {
    /// Hash of the document: two policies with one revision are the same.
    pub revision: String,
    /// The YAML text it was compiled from.
    pub document: String,
    /// The law of the three tiers.
    pub regulator: RegulatorSettings,
    /// What else the policy says of each tier.
    pub tiers: TierMap<TierPolicy>,
    /// The tier of jobs that no rule matches and whose sender wishes for none.
    pub default_tier: Tier,
    /// The candidate that is to be tried in the shadow of this policy.
    pub shadow: Option<ShadowFile>,
    /// Which job belongs to which tier.
    classifier: Classifier,
}

impl Policy {
    /// The highest tier that a tenant may reach.
    pub fn ceiling(&self, tenant: &str) -> Tier {
        self.regulator.tenants.of(tenant).ceiling
    }

    /// What the policy calls the rule at this position, as [`Classified::rule`](classify::Classified::rule) counts.
    pub fn rule_name(&self, position: usize) -> Option<&str> {
        self.classifier.rules.get(position).and_then(|rule| rule.name.as_deref())
    }

    /// The tiers whose `require` is stronger than the durability that receipts reach (`None`: less than a disk's),
    /// each as a fault of the document: with any, the policy must not take force.
    pub fn unmet_requirements(&self, reached: Option<Requirement>) -> Vec<Fault> {
        consistency::unmet_requirements(self, reached)
    }

    /// The tiers that cannot be as the policy says, each with its reason as a fault at this key of the tier.
    pub fn tier_faults(&self, key: &'static str, why: &TierMap<Option<String>>) -> Vec<Fault> {
        consistency::tier_faults(self, key, why)
    }

    /// The tiers whose queues the backend cannot have, each with its reason as a fault of the document.
    pub fn unfit_queues(&self, why: &TierMap<Option<String>>) -> Vec<Fault> {
        consistency::unfit_queues(self, why)
    }
}

/// A candidate's file, as a policy names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShadowFile {
    /// Its path; a relative one counts from the folder of the policy's own file.
    pub path: PathBuf,
    /// Where the policy names it.
    pub place: Place,
}

impl Default for Policy {
    /// The policy of a gateway without files: `policies/default.yaml`, built in.
    fn default() -> Policy {
        #[expect(clippy::expect_used, reason = "the document is part of the program, and a test compiles it")]
        let compiled =
            compile(DEFAULT_DOCUMENT, "the built-in policy").expect("the built-in policy compiles");
        compiled.policy
    }
}

/// The document of [`Policy::default`].
pub const DEFAULT_DOCUMENT: &str = include_str!("../../policies/default.yaml");

/// What the policy says of a tier beside its law.
#[derive(Clone, Debug, PartialEq)]
pub struct TierPolicy {
    /// The queue's name, as receipts and metrics say it.
    pub queue: Arc<str>,
    /// The tier's share of the workers.
    pub weight: u32,
    /// What happens to jobs that fail.
    pub retry: RetryPolicy,
    /// In which order jobs of one ordering key are handed out.
    pub ordering: Ordering,
    /// How long a job without an expiry of its own lives; `None` is for ever.
    pub expires_in: Option<Duration>,
    /// The durability a receipt of this tier must reach.
    pub require: Option<Requirement>,
    /// Whether jobs go to the local spool while the backend is away.
    pub spool: bool,
}

/// Attempts and the pauses between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// How often a job is handed out before it becomes a dead letter; at least 1.
    pub attempts: u32,
    /// Pause before the second attempt; doubles with each further one.
    pub backoff: Duration,
    /// No pause is longer.
    pub max_backoff: Duration,
}

/// Order within one ordering key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ordering {
    /// In order of acceptance; a retried job may come later.
    Pass,
    /// No job of a key is handed out while an earlier one is leased or waits for its retry.
    Block,
}

/// A durability that a tier insists on; the order is the order of strength.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Requirement {
    /// Survives a power loss of this machine.
    Disk,
    /// Survives the loss of a machine.
    Replicated,
}

impl fmt::Display for Requirement {
    /// The word of the policy.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Requirement::Disk => "disk",
            Requirement::Replicated => "replicated",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_default_policy_is_what_a_policy_without_keys_means() {
        let shipped = compile(DEFAULT_DOCUMENT, "policies/default.yaml").unwrap();
        assert_eq!(shipped.warnings.list, []);
        let empty = compile("", "empty").unwrap().policy;
        assert_eq!(shipped.policy.regulator, empty.regulator);
        assert_eq!(shipped.policy.tiers, empty.tiers);
        assert_eq!(shipped.policy.default_tier, empty.default_tier);
        assert_eq!(shipped.policy.classifier.type_from, empty.classifier.type_from);
        assert_eq!(shipped.policy.classifier.ordering_key_from, empty.classifier.ordering_key_from);
        let keys = |policy: &Policy| policy.classifier.idempotency_key_from.clone();
        assert_eq!(keys(&shipped.policy), keys(&empty));
        assert_eq!(shipped.policy.document, DEFAULT_DOCUMENT);
    }

    #[test]
    fn the_other_shipped_policies_are_faultless() {
        for document in [
            include_str!("../../policies/demo.yaml"),
            include_str!("../../policies/flash-sale.yaml"),
            include_str!("../../policies/webhooks.yaml"),
        ] {
            assert_eq!(compile(document, "shipped").unwrap().warnings.list, []);
        }
    }

    #[test]
    fn the_revision_follows_the_document() {
        let revision = |document: &str| compile(document, "test").unwrap().policy.revision;
        assert_eq!(revision("rules: []"), revision("rules: []"));
        assert_ne!(revision("rules: []"), revision("rules: [] "));
    }
}
