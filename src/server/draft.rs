//! From a well-formed request to jobs: what the head gives to each of them, and the job made of a payload.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use tracing::debug;

use crate::domain::idempotency::Keyed;
use crate::domain::job::{Job, JobId};
use crate::domain::tier::Tier;
use crate::domain::time::Timestamp;
use crate::policy::Policy;
use crate::policy::classify::{Classified, Head};
use crate::random;
use crate::server::access::Caller;
use crate::server::job_head::{self, Carried};
use crate::server::problem::Problem;

/// What all jobs of one request have in common.
#[derive(Clone)]
pub struct Draft {
    /// Who sends them.
    pub caller: Caller,
    /// The payload's media type.
    pub content_type: Option<Box<str>>,
    /// The lifetime that the client asks for.
    pub expires_in: Option<Duration>,
    /// Header fields that go along.
    pub carried: Carried,
}

impl Draft {
    /// The job of one payload, accepted at `now`, to be stored under `keyed`.
    pub fn job(
        &self,
        policy: &Policy,
        classified: Classified,
        payload: Bytes,
        keyed: Option<Keyed>,
        now: Timestamp,
    ) -> Job {
        let lifetime = self.expires_in.or(policy.tiers[classified.tier].expires_in);
        Job {
            id: random::job_id(now),
            tier: classified.tier,
            tenant: Arc::clone(&self.caller.tenant),
            job_type: classified.job_type,
            ordering_key: classified.ordering_key,
            content_type: self.content_type.clone(),
            accepted_at: now,
            expires_at: lifetime.map(|lifetime| now.plus(lifetime)),
            headers: self.carried.clone(),
            keyed,
            payload,
        }
    }
}

/// The head as the policy's rules see it.
pub fn rule_head<'a>(
    parts: &'a Parts,
    caller: &'a Caller,
    policy: &Policy,
    content_length: Option<u64>,
) -> Head<'a> {
    Head {
        method: &parts.method,
        uri: &parts.uri,
        headers: &parts.headers,
        tenant: &caller.tenant,
        // The lower of the two: tiers are in order of importance.
        ceiling: policy.ceiling(&caller.tenant).max(caller.ceiling),
        content_length,
    }
}

/// The tier and the names of one payload, the names checked.
///
/// # Errors
/// The wish cannot be met, or the ordering key is none.
pub fn classify(policy: &Policy, head: &Head<'_>, payload: &[u8]) -> Result<Classified, Problem> {
    let classified = policy.classify(head, payload).map_err(|error| Problem::wish(&error))?;
    if let Some(key) = &classified.ordering_key {
        job_head::check_ordering_key(key).map_err(|problem| problem.of(classified.tier))?;
    }
    Ok(classified)
}

/// One line of the log for a job that was stored, for whoever looks at it closely.
pub fn log_stored(policy: &Policy, tier: Tier, id: JobId) {
    debug!(%id, %tier, revision = policy.revision, "stored");
}
