//! A job's idempotency key on its way through a request: read from head or payload, then claimed, or found to stand for
//! a job that is stored already.

use std::slice;

use http::HeaderMap;

use crate::domain::code::Code;
use crate::domain::idempotency::{Fingerprint, Key, Keyed};
use crate::policy::Policy;
use crate::policy::source::KeyText;
use crate::queue::keys::KnownJob;
use crate::runtime::idempotency::{Claim, Claimed};
use crate::server::draft::Draft;
use crate::server::problem::Problem;
use crate::server::state::Ingest;

/// The routes that jobs come by: a key holds on its own route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// One job.
    Jobs,
    /// Many.
    Batch,
}

/// What the head tells of a job's key, before the gate is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyInHead {
    /// There is none, or nothing is known by it.
    New,
    /// It may stand for a stored job, or the body has it: the payload decides, whatever the gate would say.
    PayloadDecides,
    /// Storing tells: it need not be asked for before the gate refuses.
    StoreTells(Key),
    /// The index cannot be asked.
    Unasked,
}

/// Whose turn it is to store a job.
#[derive(Debug)]
pub enum Turn {
    /// The job has no key.
    Unkeyed,
    /// This request's.
    Ours(Claim),
    /// Nobody's: an earlier request stored it.
    Stored(KnownJob),
}

impl Turn {
    /// The key to store the job under.
    pub fn keyed(&self) -> Option<Keyed> {
        match self {
            Turn::Ours(claim) => Some(claim.keyed()),
            Turn::Unkeyed | Turn::Stored(_) => None,
        }
    }

    /// The problem as it is told under this turn: where the index could not be asked, an earlier request may have
    /// stored the job.
    pub fn tell(&self, problem: Problem) -> Problem {
        match self {
            Turn::Ours(claim) => problem.unknown_outcome_if(are_unsure(slice::from_ref(claim))),
            Turn::Unkeyed | Turn::Stored(_) => problem,
        }
    }

    /// The claim to hold until the job's fate is known.
    pub fn into_claim(self) -> Option<Claim> {
        match self {
            Turn::Ours(claim) => Some(claim),
            Turn::Unkeyed | Turn::Stored(_) => None,
        }
    }
}

impl Ingest {
    /// Looks for the job's key as far as the head has it.
    ///
    /// # Errors
    /// 400: there is a key that cannot be one.
    pub(super) async fn key_in_head(
        &self,
        policy: &Policy,
        tenant: &str,
        headers: &HeaderMap,
    ) -> Result<KeyInHead, Problem> {
        let text = policy.idempotency_key_in_head(headers);
        if text == KeyText::InBody {
            return Ok(KeyInHead::PayloadDecides);
        }
        let Some(key) = read_key(&text, tenant, Route::Jobs)? else { return Ok(KeyInHead::New) };
        if self.gateway.queue.tells_known_jobs() {
            return Ok(KeyInHead::StoreTells(key));
        }
        Ok(self.look_up(key).await)
    }

    /// Asks what is known of a key.
    pub(super) async fn look_up(&self, key: Key) -> KeyInHead {
        match self.gateway.claims.is_taken(&*self.gateway.queue, key).await {
            Some(false) => KeyInHead::New,
            Some(true) => KeyInHead::PayloadDecides,
            None => KeyInHead::Unasked,
        }
    }

    /// Claims the job's key, if it has one.
    ///
    /// # Errors
    /// 400: the key cannot be one. 409: another request is storing a job under it. 422: it stands for another job.
    pub(super) async fn take_turn(
        &self,
        policy: &Policy,
        headers: &HeaderMap,
        draft: &Draft,
        payload: &[u8],
        route: Route,
    ) -> Result<Turn, Problem> {
        let Some(key) = key(policy, headers, &draft.caller.tenant, payload, route)? else {
            return Ok(Turn::Unkeyed);
        };
        let keyed = Keyed { key, fingerprint: fingerprint(draft, payload) };
        match self.gateway.claims.claim(&*self.gateway.queue, keyed).await {
            Ok(claim) => Ok(Turn::Ours(claim)),
            Err(claimed) => told(claimed),
        }
    }

    /// The turn of a job that will not come to be stored: who has the key is asked now, if storing was to tell.
    ///
    /// # Errors
    /// 422: the key stands for another job.
    pub(super) async fn ask_turn(&self, turn: Turn) -> Result<Turn, Problem> {
        let Turn::Ours(mut claim) = turn else { return Ok(turn) };
        match claim.ask(&*self.gateway.queue).await {
            Ok(()) => Ok(Turn::Ours(claim)),
            Err(claimed) => told(claimed),
        }
    }
}

fn told(claimed: Claimed) -> Result<Turn, Problem> {
    match claimed {
        Claimed::Before(known) => Ok(Turn::Stored(known)),
        Claimed::InProgress => Err(Problem::key_in_progress()),
        Claimed::Mismatch => Err(Problem::key_mismatch()),
    }
}

/// Whether the index could not be asked for one of these claims: an earlier request may have stored its job.
pub fn are_unsure(claims: &[Claim]) -> bool {
    !claims.iter().all(Claim::is_clear)
}

/// The job's key, if it has one.
///
/// # Errors
/// 400: what stands where the policy reads the key cannot be one.
pub fn key(
    policy: &Policy,
    headers: &HeaderMap,
    tenant: &str,
    payload: &[u8],
    route: Route,
) -> Result<Option<Key>, Problem> {
    read_key(&policy.idempotency_key(headers, payload), tenant, route)
}

/// Refuses a batch whose head has a key: it would stand for every job.
///
/// # Errors
/// 400.
pub fn check_batch_head(policy: &Policy, headers: &HeaderMap) -> Result<(), Problem> {
    match policy.idempotency_key_in_head(headers) {
        KeyText::Absent | KeyText::InBody => Ok(()),
        KeyText::Found(_) | KeyText::NoText => {
            Err(Problem::malformed("an idempotency key in the head names one job: a batch takes none there"))
        }
    }
}

fn read_key(text: &KeyText<'_>, tenant: &str, route: Route) -> Result<Option<Key>, Problem> {
    let invalid = |detail: String| Problem::new(Code::InvalidIdempotencyKey, detail);
    match text {
        KeyText::Absent | KeyText::InBody => Ok(None),
        KeyText::NoText => Err(invalid("the idempotency key is no single text".to_owned())),
        KeyText::Found(text) => {
            Key::of(tenant, route.as_str(), text).map(Some).map_err(|error| invalid(error.to_string()))
        }
    }
}

/// The payload and the event's attributes: what another sending of the same job has too. The trace is another one.
fn fingerprint(draft: &Draft, payload: &[u8]) -> Fingerprint {
    let mut attributes: Vec<_> = draft.carried.iter().filter(|(name, _)| name.starts_with("ce-")).collect();
    attributes.sort_unstable();
    let attributes = attributes.into_iter().flat_map(|(name, value)| [name.as_bytes(), value.as_bytes()]);
    Fingerprint::of(std::iter::once(payload).chain(attributes))
}

impl Route {
    const fn as_str(self) -> &'static str {
        match self {
            Route::Jobs => "/v1/jobs",
            Route::Batch => "/v1/jobs/batch",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use crate::domain::tier::Tier;
    use crate::queue::error::StoreError;
    use crate::server::testing::{Answer, Desk, chunks};

    const IN_BODY: &str = "idempotency_key_from: [ 'header:Idempotency-Key', 'body:/id' ]
rules: [ { when: { type: digest }, tier: p2 } ]";
    const K: (&str, &str) = ("idempotency-key", "k");
    const LINES: (&str, &str) = ("content-type", "application/x-ndjson");

    fn receipt(answer: &Answer) -> (String, bool) {
        assert_eq!(answer.status, 202, "{}", answer.text);
        let document = answer.json();
        (document["id"].as_str().unwrap().to_owned(), document["duplicate"].as_bool().unwrap())
    }

    #[tokio::test]
    async fn the_same_job_sent_twice_is_stored_once_and_has_one_receipt() {
        let desk = Desk::usual();
        let (first, fresh) = receipt(&desk.post("/v1/jobs", &[K], "{}").await);
        let again = desk.post("/v1/jobs", &[("idempotency-key", "\"k\"")], "{}").await;
        assert_eq!((receipt(&again), fresh), ((first.clone(), true), false));
        assert_eq!(again.header("tidegate-tier"), Some("p1"));
        assert!(again.header("ratelimit").is_some() && again.header("ratelimit-policy").is_some());
        assert_eq!(desk.leased().await.len(), 1);
        assert_eq!(
            receipt(&desk.post("/v1/jobs", &[K], "{}").await),
            (first, true),
            "also while a worker has it"
        );
        assert_eq!(desk.counts(), [3.0, 1.0, 0.0, 0.0]);
        assert_eq!(desk.metric("tidegate_jobs_duplicate_total", "p1"), 2.0);
        assert_eq!(desk.metric("tidegate_idempotency_keys", ""), 1.0);
    }

    #[tokio::test]
    async fn another_job_under_the_same_key_is_refused() {
        let desk = Desk::usual();
        let event = [K, ("ce-type", "a")];
        receipt(&desk.post("/v1/jobs", &event, "{}").await);
        let mismatch = (422, "idempotency_mismatch".to_owned());
        assert_eq!(desk.post("/v1/jobs", &event, "{ }").await.code(), mismatch);
        assert_eq!(desk.post("/v1/jobs", &[K, ("ce-type", "b")], "{}").await.code(), mismatch);
        let traced = [K, ("ce-type", "a"), ("traceparent", "00-1-2-01")];
        assert!(receipt(&desk.post("/v1/jobs", &traced, "{}").await).1, "a retry has a trace of its own");
        assert!(!receipt(&desk.post("/v1/jobs", &[("idempotency-key", "other")], "{ }").await).1);
        assert_eq!(desk.counts(), [5.0, 2.0, 0.0, 2.0]);
    }

    #[tokio::test]
    async fn a_known_key_gets_its_receipt_from_a_shut_tier_and_takes_no_token() {
        let desk = Desk::usual();
        let digest = [K, ("tidegate-type", "digest")];
        let (first, _) = receipt(&desk.post("/v1/jobs", &digest, "{}").await);
        desk.sees_depth(Tier::P2, 600_000);
        let again = desk.post("/v1/jobs", &digest, "{}").await;
        assert_eq!(receipt(&again), (first, true));
        assert_eq!(again.json()["depth"], 1, "the queue's own, not the law's last reading");
        assert!(again.header("ratelimit").unwrap().contains("r=0;"), "{:?}", again.headers);
        let unread = [("idempotency-key", "new"), ("tidegate-type", "digest")];
        let refused = desk.post("/v1/jobs", &unread, chunks(&["{"], false)).await;
        assert_eq!(refused.code(), (429, "shed".to_owned()), "a new key is refused by its head");
    }

    #[tokio::test]
    async fn a_key_from_the_body_is_looked_up_before_the_gate_too() {
        let desk = Desk::with(IN_BODY);
        let digest = [("tidegate-type", "digest")];
        let (first, _) = receipt(&desk.post("/v1/jobs", &digest, r#"{"id":7}"#).await);
        desk.sees_depth(Tier::P2, 2_000_000);
        assert_eq!(receipt(&desk.post("/v1/jobs", &digest, r#"{"id":7}"#).await), (first, true));
        let unknown = desk.post("/v1/jobs", &digest, r#"{"id":8}"#).await;
        assert_eq!(unknown.status, 429, "{}", unknown.text);
        let invalid = desk.post("/v1/jobs", &digest, r#"{"id":[]}"#).await;
        assert_eq!(invalid.code(), (400, "invalid_idempotency_key".to_owned()));
    }

    #[tokio::test]
    async fn a_key_under_which_a_job_is_being_stored_waits_for_it() {
        let desk = Desk::failing(None);
        let first = desk.post("/v1/jobs", &[K], "{}").await;
        assert_eq!(first.code(), (504, "outcome_unknown".to_owned()));
        let again = desk.post("/v1/jobs", &[K], "{}").await;
        assert_eq!(again.code(), (409, "idempotency_in_progress".to_owned()));
        assert_eq!((again.header("retry-after"), &again.json()["retryable"]), (Some("1"), &json!(true)));
        let other = desk.post("/v1/jobs", &[K], "[]").await;
        assert_eq!(other.code(), (422, "idempotency_mismatch".to_owned()));
        assert_eq!(desk.counts(), [3.0, 0.0, 1.0, 2.0]);
    }

    #[tokio::test]
    async fn a_key_is_free_again_when_its_job_was_refused() {
        let desk = Desk::usual();
        desk.sees_depth(Tier::P2, 600_000);
        let digest = r#"{"type":"digest"}"#;
        assert_eq!(desk.post("/v1/jobs", &[K], digest).await.status, 429);
        desk.sees_depth(Tier::P2, 0);
        assert!(!receipt(&desk.post("/v1/jobs", &[K], digest).await).1);
    }

    #[tokio::test]
    async fn where_the_index_cannot_be_asked_a_refusal_says_that_the_job_may_be_stored() {
        let desk = Desk::failing(Some(StoreError::Overloaded));
        let refused = desk.post("/v1/jobs", &[K], "{}").await;
        assert_eq!((refused.code().0, &refused.json()["outcome"]), (503, &json!("unknown")));
        let unkeyed = desk.post("/v1/jobs", &[], "{}").await;
        assert_eq!(unkeyed.json()["outcome"], json!("not_stored"));
        desk.sees_depth(Tier::P2, 600_000);
        for fields in [vec![K, ("tidegate-type", "digest")], vec![K]] {
            let shed = desk.post("/v1/jobs", &fields, r#"{"type":"digest"}"#).await;
            assert_eq!((shed.code().1.as_str(), &shed.json()["outcome"]), ("shed", &json!("unknown")));
        }
    }

    #[tokio::test]
    async fn items_of_a_batch_carry_their_own_keys() {
        let desk = Desk::with(IN_BODY);
        let single = desk.post("/v1/jobs", &[], r#"{"id":1}"#).await;
        let lines = "{\"id\":1}\n{\"id\":2}\n{\"id\":1}\n{\"id\":2,\"n\":0}\n{\"id\":\"a b\"}\n{}\n";
        let answer = desk.post("/v1/jobs/batch", &[LINES], lines).await;
        assert_eq!(answer.status, 207, "{}", answer.text);
        let items = answer.json()["items"].clone();
        assert_ne!(items[0]["id"], single.json()["id"], "a key holds on its own route");
        assert_eq!((&items[2]["id"], &items[2]["duplicate"]), (&items[0]["id"], &json!(true)));
        assert_eq!((&items[0]["duplicate"], &items[5]["status"]), (&json!(null), &json!(202)));
        assert_eq!(items[3]["code"], json!("idempotency_mismatch"));
        assert_eq!(items[4]["code"], json!("invalid_idempotency_key"));
        let again = desk.post("/v1/jobs/batch", &[LINES], "{\"id\":1}\n{\"id\":2}\n").await;
        assert_eq!((again.status.as_u16(), again.header("tidegate-tier")), (202, Some("p1")));
        assert_eq!(again.json()["accepted"], json!(2));
        assert_eq!(
            again.json()["items"][1],
            json!({"index":1,"status":202,"id":items[1]["id"],"duplicate":true})
        );
        assert_eq!(desk.leased().await.len(), 4);
        assert_eq!(desk.counts(), [9.0, 4.0, 0.0, 2.0]);
        assert_eq!(desk.metric("tidegate_jobs_duplicate_total", ""), 3.0);
    }

    #[tokio::test]
    async fn a_batch_takes_no_key_in_its_head_wherever_the_policy_reads_it() {
        let desk = Desk::with("idempotency_key_from: [ 'header:X-Delivery' ]");
        for key in ["x-delivery", "idempotency-key"] {
            let answer = desk.post("/v1/jobs/batch", &[LINES, (key, "k")], "{}\n").await;
            assert_eq!(answer.code(), (400, "malformed_request".to_owned()), "{key}");
        }
        let single = desk.post("/v1/jobs", &[("x-delivery", "k")], "{}").await;
        assert!(!receipt(&single).1);
        assert!(receipt(&desk.post("/v1/jobs", &[("x-delivery", "k")], "{}").await).1);
    }

    #[tokio::test]
    async fn many_at_once_with_one_key_store_one_job() {
        let desk = Desk::usual();
        let send = || desk.post("/v1/jobs", &[K], "{}");
        let (a, b, c, d) = tokio::join!(send(), send(), send(), send());
        let codes: Vec<_> = [&a, &b, &c, &d].iter().map(|answer| answer.status.as_u16()).collect();
        assert!(codes.contains(&202) && codes.iter().all(|code| [202, 409].contains(code)), "{codes:?}");
        assert_eq!(desk.leased().await.len(), 1);
        let settled = tokio::time::timeout(Duration::from_secs(5), send()).await.unwrap();
        assert!(receipt(&settled).1);
    }
}
