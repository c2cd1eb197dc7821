//! What the head alone decides of a job, before its body is read: a tier that is shut costs no body, unless the job's
//! idempotency key may stand for one that is stored already.

use crate::domain::tier::{Tier, TierSet};
use crate::policy::Policy;
use crate::policy::classify::{Head, HeadVerdict, WishError};
use crate::runtime::admission::Permit;
use crate::server::access::Caller;
use crate::server::budget::Reservation;
use crate::server::event::media_type::Form;
use crate::server::keyed::KeyInHead;
use crate::server::problem::Problem;
use crate::server::spans;
use crate::server::state::Ingest;
use crate::telemetry::trace::spans::RequestSpan;

/// Asks the gate as far as the head tells key and tier; `None` where the body has a say.
///
/// # Errors
/// The key cannot be one, or the gate refuses.
pub async fn admit(
    ingest: &Ingest,
    policy: &Policy,
    caller: &Caller,
    head: &Head<'_>,
    form: Form,
    held: &mut Reservation<'_>,
    span: &RequestSpan,
) -> Result<Option<Permit>, Problem> {
    let mut key = key_in_head(ingest, policy, head, form).await?;
    let verdict = verdict(policy, head, form);
    if key == KeyInHead::PayloadDecides {
        return leave_to_payload(verdict, held);
    }
    let admitted = verdict.map_err(|error| Problem::wish(&error)).and_then(|verdict| {
        yield_to_critical(verdict, held)?;
        let ask = || ask_gate(ingest, policy, caller, verdict);
        spans::decide(&ingest.gateway, span, policy, caller, ask, |permit| permit.as_ref().map(Permit::tier))
    });
    if let (Err(_), KeyInHead::StoreTells(unasked)) = (&admitted, key) {
        key = ingest.look_up(unasked).await;
        if key == KeyInHead::PayloadDecides {
            return leave_to_payload(verdict, held);
        }
    }
    admitted.map_err(|problem| problem.unknown_outcome_if(key == KeyInHead::Unasked))
}

/// Whatever the gate would say, the job may be stored already. A wish that cannot be met is told after the key.
fn leave_to_payload(
    verdict: Result<HeadVerdict, WishError>,
    held: &mut Reservation<'_>,
) -> Result<Option<Permit>, Problem> {
    verdict.map_or(Ok(()), |verdict| yield_to_critical(verdict, held))?;
    Ok(None)
}

/// Asks the gate where the tier is decided, or where all tiers that are left refuse.
fn ask_gate(
    ingest: &Ingest,
    policy: &Policy,
    caller: &Caller,
    verdict: HeadVerdict,
) -> Result<Option<Permit>, Problem> {
    match verdict {
        HeadVerdict::Decided(tier) => ingest.admit(policy, caller, tier).map(Some),
        HeadVerdict::NeedsBody(tiers) => {
            let Some(most_critical) = tiers.iter().next() else { return Ok(None) };
            if tiers.iter().all(|tier| ingest.gateway.queue.outage(tier).is_some()) {
                ingest.check_backend(most_critical)?;
            }
            match ingest.gateway.admission.all_shut(tiers, &caller.tenant) {
                Some(refusal) => Err(Problem::refusal(most_critical, &refusal)),
                None => Ok(None),
            }
        }
    }
}

/// What the head says of the tier. The names of an event are in its body, so the head of one decides nothing.
///
/// # Errors
/// The wish cannot be met.
pub fn verdict(policy: &Policy, head: &Head<'_>, form: Form) -> Result<HeadVerdict, WishError> {
    let verdict = policy.classify_head(head)?;
    let reachable = Tier::ALL.into_iter().filter(|tier| *tier >= head.ceiling);
    match form {
        Form::Event => Ok(HeadVerdict::NeedsBody(reachable.fold(TierSet::EMPTY, TierSet::with))),
        Form::Opaque | Form::Batch => Ok(verdict),
    }
}

/// What the head tells of the key; where an attribute is one, the body of an event does.
async fn key_in_head(
    ingest: &Ingest,
    policy: &Policy,
    head: &Head<'_>,
    form: Form,
) -> Result<KeyInHead, Problem> {
    if form == Form::Event && policy.reads_key_from_events() {
        return Ok(KeyInHead::PayloadDecides);
    }
    ingest.key_in_head(policy, head.tenant, head.headers).await
}

/// Leaves the last of the memory for bodies to jobs that may be critical.
fn yield_to_critical(verdict: HeadVerdict, held: &mut Reservation<'_>) -> Result<(), Problem> {
    let critical = match verdict {
        HeadVerdict::Decided(tier) => tier == Tier::P0,
        HeadVerdict::NeedsBody(tiers) => tiers.contains(Tier::P0),
    };
    if critical { Ok(()) } else { held.yield_to_critical().map_err(|_| Problem::overloaded()) }
}
