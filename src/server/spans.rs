//! What the spans of a request are told: where it came from, what the gate said, how it was answered.

use http::request::Parts;

use crate::domain::tier::Tier;
use crate::policy::Policy;
use crate::runtime::gateway::Gateway;
use crate::server::access::Caller;
use crate::server::listen::peer::Peer;
use crate::server::problem::Problem;
use crate::telemetry::trace::spans::{Origin, RequestSpan, Said};

/// The span of a request, named by method and route.
pub fn begin(gateway: &Gateway, parts: &Parts, request: &'static str) -> RequestSpan {
    gateway.traces.request(parts, request, || Origin {
        peer: parts.extensions.get::<Peer>().map(|Peer(address)| address.ip()),
        is_secure: gateway.certificates.ingest.is_some(),
    })
}

/// Asks the gate and tells the span what it said; `admitted` is the tier of what came in, if anything did yet.
///
/// # Errors
/// The gate refuses.
pub fn decide<T>(
    gateway: &Gateway,
    span: &RequestSpan,
    policy: &Policy,
    caller: &Caller,
    ask: impl FnOnce() -> Result<T, Problem>,
    admitted: impl FnOnce(&T) -> Option<Tier>,
) -> Result<T, Problem> {
    let decision = span.decide(|| gateway.clock.time_of_day());
    let answer = ask();
    let tenant = || policy.regulator.tenants.named.get_key_value(&caller.tenant).map(|(name, _)| &**name);
    match &answer {
        Ok(admittance) => {
            if let Some(tier) = admitted(admittance) {
                let (refusal, retry_after) = (None, None);
                decision.made(|| Said { tier: Some(tier), tenant: tenant(), refusal, retry_after });
            }
        }
        Err(problem) => decision.made(|| Said {
            tier: problem.tier(),
            tenant: tenant(),
            refusal: Some(problem.code()),
            retry_after: problem.retry_after(),
        }),
    }
    answer
}
