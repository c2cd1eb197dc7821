//! The candidate's own gate: asked what it would say to each decision, stepped as the acting law is.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crate::admission::decision::{Decision, Reason};
use crate::domain::tier::{Tier, TierMap};
use crate::domain::units::Cost;
use crate::domain::verdict::Verdict;
use crate::policy::Policy;
use crate::policy::classify::{Head, HeadVerdict, WishError};
use crate::regulator::Regulator;
use crate::regulator::report::TickReport;
use crate::runtime::shadow::sample::{Payload, Sample, Step};
use crate::runtime::shadow::stand::{Event, Left, Stand};
use crate::runtime::shadow::tally::Tally;
use crate::telemetry::metrics::Metrics;

/// A candidate and its law.
#[derive(Debug)]
pub(super) struct Judge {
    stand: Arc<Stand>,
    policy: Arc<Policy>,
    regulator: Regulator,
    metrics: Arc<Metrics>,
}

impl Judge {
    pub(super) const fn new(
        stand: Arc<Stand>,
        policy: Arc<Policy>,
        regulator: Regulator,
        metrics: Arc<Metrics>,
    ) -> Judge {
        Judge { stand, policy, regulator, metrics }
    }

    /// Works off what is left at the stand until it ends.
    pub(super) fn run(&mut self) {
        let mut left = Left::with_room();
        while !self.stand.is_ended() {
            thread::sleep(PAUSE);
            left = self.stand.swap(left);
            let (tally, reports) = self.hear(&mut left);
            tally.tell(&self.metrics.shadow);
            self.stand.show(&tally, reports);
            left = left.emptied();
        }
    }

    /// Asks the candidate about all that was left; its answers, and its last step if there was one.
    fn hear(&mut self, left: &mut Left) -> (Tally, Option<TierMap<TickReport>>) {
        let mut tally = Tally { dropped: left.dropped, ..Tally::default() };
        let mut reports = None;
        for event in left.events.drain(..) {
            match event {
                Event::Decision(sample) => {
                    let candidate = self.decide(&sample);
                    tally.note((sample.tier, sample.acting), candidate);
                }
                Event::Step(step) => reports = Some(self.step(&step)),
            }
        }
        (tally, reports)
    }

    /// What the candidate would say, and in which tier.
    pub(super) fn decide(&mut self, sample: &Sample) -> (Option<Tier>, Verdict) {
        match self.tier(sample) {
            Ok(Some(tier)) => {
                let decision = self.regulator.decide(tier, Cost::ONE, Some(&sample.facts.tenant), sample.at);
                (Some(tier), verdict(&decision))
            }
            Ok(None) => (None, Verdict::Undecided),
            Err(_) => (None, Verdict::TierNotAllowed),
        }
    }

    /// The tier by the candidate's rules, as far as what was read of the job tells it.
    fn tier(&self, sample: &Sample) -> Result<Option<Tier>, WishError> {
        let facts = &sample.facts;
        let head = Head {
            method: &facts.method,
            uri: &facts.uri,
            headers: &facts.headers,
            tenant: &facts.tenant,
            ceiling: self.policy.ceiling(&facts.tenant).max(facts.ceiling),
            content_length: sample.content_length,
        };
        match &sample.payload {
            Payload::Read(payload) => Ok(Some(self.policy.classify(&head, payload)?.tier)),
            Payload::Unread => Ok(match self.policy.classify_head(&head)? {
                HeadVerdict::Decided(tier) => Some(tier),
                HeadVerdict::NeedsBody(_) => None,
            }),
            Payload::UnreadEvent => Ok(None),
        }
    }

    /// Steps the candidate's law with the acting one's readings, in the state that really is.
    pub(super) fn step(&mut self, step: &Step) -> TierMap<TickReport> {
        self.regulator.believe(step.real, step.at);
        if let Some(parts) = step.parts {
            self.regulator.hear(parts, step.at);
        }
        self.regulator.tick_beside_spool(step.readings, step.spooling, step.at)
    }
}

const fn verdict(decision: &Decision) -> Verdict {
    match decision {
        Decision::Admitted(_) => Verdict::Admitted,
        Decision::Refused(refusal) => match refusal.reason {
            Reason::Throttled => Verdict::Throttled,
            Reason::Shed { .. } => Verdict::Shed,
            Reason::QueueFull => Verdict::QueueFull,
            Reason::TenantQuota { .. } => Verdict::TenantQuota,
            Reason::SignalStale => Verdict::SignalStale,
        },
    }
}

/// Between two looks at what was left: long enough that nobody is woken per request, short enough that the buffer holds
/// what comes in between.
const PAUSE: Duration = Duration::from_millis(5);
