//! What a policy must meet to take force while the gateway runs: it compiles, the backend can give what it asks for, and
//! nothing of it needs a restart.

use std::sync::Arc;

use crate::domain::tier::{Tier, TierMap, TierSet};
use crate::policy::compile::{Compiled, compile, says_nothing};
use crate::policy::{Policy, Requirement};
use crate::queue::kafka::topics;
use crate::queue::spool::settings::spooling;
use crate::queue::{Durability, JobQueue};
use crate::yaml::fault::{Fault, Faults};
use crate::yaml::node::Place;
use crate::yaml::text;

/// What the running backend asks of a policy. Cheap to clone.
#[derive(Clone)]
pub struct Terms {
    /// The queue: what it reaches now.
    pub queue: Arc<dyn JobQueue>,
    /// The durability that it reaches at best as it is configured; `None` is less than a disk's.
    pub reached: Option<Requirement>,
    /// What the names of queues are to the backend.
    pub names: QueueNames,
    /// Whether a spool can take jobs while the backend is away; always so where the queue is on the local disk itself.
    pub spool: bool,
}

/// What the names of queues are to a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueueNames {
    /// Labels only.
    Labels,
    /// Where jobs are: opened at the start.
    Places,
    /// The same, as topics of Kafka.
    Topics,
}

impl Terms {
    /// The policy of a document, if it could take force now in place of the acting one. `name` is what faults call it. A
    /// document that says nothing never replaces one that says something: it is rather a file whose writer failed.
    ///
    /// # Errors
    /// Every fault of the document, those between it and the backend included.
    pub fn policy(&self, document: Vec<u8>, name: &str, acting: &Policy) -> Result<Compiled, Faults> {
        let compiled = self.earlier_policy(document, name, acting)?;
        if says_nothing(&compiled.policy.document) && !says_nothing(&acting.document) {
            let list = vec![Fault::error(Place::Document, "", SAYS_NOTHING)];
            return Err(Faults { document: name.to_owned(), list });
        }
        Ok(compiled)
    }

    /// As [`Terms::policy`], of a document that somebody chose and that was in force before: it may say nothing.
    ///
    /// # Errors
    /// The same faults.
    pub fn earlier_policy(&self, document: Vec<u8>, name: &str, acting: &Policy) -> Result<Compiled, Faults> {
        let faulty = |list| Faults { document: name.to_owned(), list };
        if document.len() > LONGEST_DOCUMENT {
            let fault = format!("is longer than {LONGEST_DOCUMENT} bytes");
            return Err(faulty(vec![Fault::error(Place::Document, "", fault)]));
        }
        let document = text::of(document).map_err(|fault| faulty(vec![fault]))?;
        let compiled = compile(&document, name)?;
        let unmet = self.unmet(&compiled.policy, acting);
        if unmet.is_empty() { Ok(compiled) } else { Err(faulty(unmet)) }
    }

    /// What the backend cannot give, and what needs a restart.
    fn unmet(&self, policy: &Policy, acting: &Policy) -> Vec<Fault> {
        let mut faults = policy.unmet_requirements(self.reached);
        if faults.is_empty() {
            faults = policy.tier_faults("require", &self.unreached(policy, acting));
        }
        if self.names == QueueNames::Topics {
            let queues = TierMap::from_fn(|tier| policy.tiers[tier].queue.to_string());
            faults.extend(policy.unfit_queues(&topics::unfit(&queues)));
        }
        if self.names != QueueNames::Labels {
            faults.extend(policy.unfit_queues(&renamed(policy, acting)));
        }
        if !self.spool && spooling(policy) != TierSet::EMPTY {
            faults.extend(policy.tier_faults("spool", &unspooled(policy)));
        }
        faults.sort_by(|a, b| a.place.cmp(&b.place));
        faults
    }

    /// The tiers of which more is required than of the acting policy, and more than the backend reaches at this moment. A
    /// backend that is away tells nothing.
    fn unreached(&self, policy: &Policy, acting: &Policy) -> TierMap<Option<String>> {
        TierMap::from_fn(|tier| {
            let required = policy.tiers[tier].require?;
            let reached = self.queue.durability(tier);
            let away = reached == Durability::Spooled || self.queue.outage(tier).is_some();
            let more = policy.tiers[tier].require > acting.tiers[tier].require;
            (more && !away && !reached.meets(required))
                .then(|| format!("the backend reaches only `{}` now", reached.as_str()))
        })
    }
}

fn renamed(policy: &Policy, acting: &Policy) -> TierMap<Option<String>> {
    TierMap::from_fn(|tier| {
        let (new, old) = (&policy.tiers[tier].queue, &acting.tiers[tier].queue);
        (new != old).then(|| format!("another queue needs a restart: the tier's jobs are in `{old}`"))
    })
}

fn unspooled(policy: &Policy) -> TierMap<Option<String>> {
    let spooling = spooling(policy);
    let why = "needs a restart: no spool was opened at the start, since no tier had one then";
    TierMap::from_fn(|tier: Tier| spooling.contains(tier).then(|| why.to_owned()))
}

const SAYS_NOTHING: &str =
    "says nothing, the policy in force says something: for the default of every key write `{}`";

/// A policy is written by people: this is some twenty thousand lines.
pub const LONGEST_DOCUMENT: usize = 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::scripted::ScriptedQueue;

    fn terms(names: QueueNames, spool: bool) -> Terms {
        let queue = Arc::new(ScriptedQueue::default());
        Terms { queue, reached: Some(Requirement::Replicated), names, spool }
    }

    fn faults(terms: &Terms, p1: &str) -> String {
        let document = format!("tiers:\n  p1: {{ target: {{ depth: 1 }}, max_depth: 2, {p1} }}\n");
        let checked = terms.policy(document.into_bytes(), "p", &Policy::default());
        checked.err().map(|faults| faults.to_string()).unwrap_or_default()
    }

    #[test]
    fn where_jobs_are_in_queues_of_these_names_another_name_needs_a_restart() {
        let renamed = "queue: other";
        assert_eq!(faults(&terms(QueueNames::Labels, true), renamed), "");
        for names in [QueueNames::Places, QueueNames::Topics] {
            assert_eq!(
                faults(&terms(names, true), renamed),
                "p:2:52: tiers.p1.queue: another queue needs a restart: the tier's jobs are in `jobs:standard`"
            );
            assert_eq!(faults(&terms(names, true), "queue: \"jobs:standard\""), "");
        }
        assert!(faults(&terms(QueueNames::Topics, true), "queue: \"a{b}\"").contains("topic"));
    }

    #[test]
    fn a_spool_that_was_not_opened_cannot_be_used() {
        let spooled = "spool: true";
        assert_eq!(faults(&terms(QueueNames::Places, true), spooled), "");
        let refused = faults(&terms(QueueNames::Places, false), spooled);
        assert!(refused.starts_with("p:2:52: tiers.p1.spool: needs a restart"), "{refused}");
        assert_eq!(faults(&terms(QueueNames::Places, false), "spool: false"), "");
    }

    #[test]
    fn more_than_the_backend_reaches_now_cannot_be_required_anew() {
        let refused = faults(&terms(QueueNames::Labels, true), "require: replicated");
        assert_eq!(refused, "p:2:54: tiers.p1.require: the backend reaches only `disk` now");
        assert_eq!(faults(&terms(QueueNames::Labels, true), "require: disk"), "");
        let relaxed = Terms { reached: None, ..terms(QueueNames::Labels, true) };
        assert!(faults(&relaxed, "require: disk").contains("as it is configured reaches only `memory`"));
    }

    #[test]
    fn what_is_too_long_or_no_text_is_told() {
        let told = |document: Vec<u8>| {
            terms(QueueNames::Labels, true).policy(document, "p", &Policy::default()).unwrap_err().to_string()
        };
        assert_eq!(told(vec![b'#'; LONGEST_DOCUMENT + 1]), "p: is longer than 1048576 bytes");
        assert!(told(vec![b'#', 0xff]).starts_with("p:1:2: not text"));
    }
}
