//! What a candidate policy is told of a request once its answer is known: the head, the payload as far as it was read, and
//! what the acting gate said. Without a candidate nothing is kept.

use std::sync::Arc;

use bytes::Bytes;
use http::request::Parts;

use crate::domain::tier::Tier;
use crate::domain::verdict::Verdict;
use crate::runtime::gateway::Gateway;
use crate::runtime::shadow::Wanted;
use crate::runtime::shadow::sample::{Facts, Payload, Sample};
use crate::server::access::Caller;
use crate::server::event::media_type::Form;
use crate::server::problem::Problem;

/// What was seen of one request so far.
pub struct Witness {
    wanted: Option<Wanted>,
    caller: Option<Caller>,
    payload: Payload,
    content_length: Option<u64>,
}

impl Witness {
    /// Nothing seen yet.
    pub fn new(gateway: &Gateway) -> Witness {
        let wanted = gateway.admission.shadow().wants();
        Witness { wanted, caller: None, payload: Payload::Unread, content_length: None }
    }

    /// Who sends it, what its body is, and how long.
    pub fn sees_head(&mut self, caller: &Caller, form: Form, content_length: Option<u64>) {
        if self.wanted.is_some() {
            self.caller = Some(caller.clone());
            self.content_length = content_length;
            self.payload = if form == Form::Event { Payload::UnreadEvent } else { Payload::Unread };
        }
    }

    /// The payload.
    pub fn sees_payload(&mut self, payload: &Bytes) {
        if let Some(wanted) = self.wanted {
            self.payload = read(payload, wanted);
        }
    }

    /// Tells the candidate that the gate let the job in.
    pub fn tell_admitted(self, gateway: &Gateway, parts: Parts, tier: Tier) {
        self.tell(gateway, parts, tier, Verdict::Admitted);
    }

    /// Tells the candidate what the gate said, if it was the gate that refused.
    pub fn tell_refused(self, gateway: &Gateway, parts: Parts, problem: &Problem) {
        if let (Some(tier), Some(verdict)) = (problem.tier(), Verdict::of_refusal(problem.code())) {
            self.tell(gateway, parts, tier, verdict);
        }
    }

    fn tell(self, gateway: &Gateway, parts: Parts, tier: Tier, acting: Verdict) {
        if let (Some(_), Some(caller)) = (self.wanted, self.caller) {
            gateway.admission.shadow().offer(Sample {
                facts: Arc::new(facts(parts, caller)),
                payload: self.payload,
                content_length: self.content_length,
                tier,
                acting,
                at: gateway.clock.now(),
            });
        }
    }
}

/// What was seen of a batch; its jobs are told one by one.
#[derive(Default)]
pub struct BatchWitness {
    /// The head that all jobs without one of their own share.
    shared: Option<Arc<Facts>>,
}

impl BatchWitness {
    /// Tells the candidate what the gate said of one job: the tier it was let into, or the problem. `head` is the job's own
    /// where it has one, else the batch's.
    pub fn tell(
        &mut self,
        gateway: &Gateway,
        (head, is_own): (&Parts, bool),
        caller: &Caller,
        payload: &Bytes,
        outcome: Result<Tier, &Problem>,
    ) {
        let Some(wanted) = gateway.admission.shadow().wants() else { return };
        let said = match outcome {
            Ok(tier) => Some((tier, Verdict::Admitted)),
            Err(problem) => problem.tier().zip(Verdict::of_refusal(problem.code())),
        };
        let Some((tier, acting)) = said else { return };
        let made = || Arc::new(facts(head.clone(), caller.clone()));
        let facts = if is_own { made() } else { Arc::clone(self.shared.get_or_insert_with(made)) };
        gateway.admission.shadow().offer(Sample {
            facts,
            payload: read(payload, wanted),
            content_length: u64::try_from(payload.len()).ok(),
            tier,
            acting,
            at: gateway.clock.now(),
        });
    }
}

fn read(payload: &Bytes, wanted: Wanted) -> Payload {
    Payload::Read(if wanted.payload { payload.clone() } else { Bytes::new() })
}

fn facts(parts: Parts, caller: Caller) -> Facts {
    let Parts { method, uri, headers, .. } = parts;
    Facts { method, uri, headers, tenant: caller.tenant, ceiling: caller.ceiling }
}
