//! What clients, workers and operators say to a gateway.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};

use super::answer::{Answer, Receipt, assert_time};
use super::gateway::Gateway;
use super::metrics::Scrape;
use super::poll::until;

/// A job as a worker gets it, every member of it.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Leased {
    pub id: String,
    pub lease: String,
    pub tier: String,
    pub attempt: u32,
    pub accepted_at: Value,
    pub content_type: Value,
    pub ordering_key: Value,
    pub headers: BTreeMap<String, String>,
    pub body: Option<String>,
    pub body_base64: Option<String>,
}

impl Leased {
    /// The payload of a job whose payload is text.
    #[track_caller]
    pub fn text(&self) -> &str {
        self.body.as_deref().unwrap_or_else(|| panic!("no text: {self:?}"))
    }

    /// The payload's bytes, whichever way they came.
    #[track_caller]
    pub fn payload(&self) -> Vec<u8> {
        match (&self.body, &self.body_base64) {
            (Some(text), None) => text.clone().into_bytes(),
            (None, Some(coded)) => STANDARD.decode(coded).expect("base64"),
            _ => panic!("one of the two bodies: {self:?}"),
        }
    }
}

impl Gateway {
    /// Posts one job with these headers and counts its answer.
    pub async fn post(&self, payload: &str, headers: &[(&str, &str)]) -> Answer {
        self.try_post(payload, headers).await.unwrap_or_else(|why| panic!("{why}"))
    }

    /// As [`Gateway::post`], where the gateway may be dying.
    pub async fn try_post(&self, payload: &str, headers: &[(&str, &str)]) -> Result<Answer, String> {
        let mut ask = self.ingest.post("/v1/jobs").body(payload.to_owned());
        for (name, value) in headers {
            ask = ask.header(name, value);
        }
        let answer = ask.try_send().await.inspect_err(|_| self.tally.open(1))?;
        match answer.status == 202 && answer.json()["duplicate"] == true {
            true => self.tally.duplicate(),
            false => self.tally.job(answer.status),
        }
        Ok(answer)
    }

    /// Posts one job of a tier, by its type, and expects a receipt.
    pub async fn accept(&self, tier: &str, payload: &str) -> Receipt {
        let answer = self.post(payload, &[("tidegate-type", type_of(tier))]).await;
        let receipt = answer.receipt();
        assert_eq!(receipt.tier, tier);
        receipt
    }

    /// Posts a batch and counts its items.
    pub async fn batch(&self, media: &str, body: impl Into<String>, headers: &[(&str, &str)]) -> Answer {
        self.try_batch(media, body.into(), headers).await.unwrap_or_else(|why| panic!("{why}"))
    }

    /// As [`Gateway::batch`], where the gateway may be dying.
    pub async fn try_batch(
        &self,
        media: &str,
        body: String,
        headers: &[(&str, &str)],
    ) -> Result<Answer, String> {
        let lines = body.lines().count() as u64;
        let mut ask = self.ingest.post("/v1/jobs/batch").header("content-type", media).body(body);
        for (name, value) in headers {
            ask = ask.header(name, value);
        }
        let answer = ask.try_send().await.inspect_err(|_| self.tally.open(lines))?;
        self.count_batch(&answer);
        Ok(answer)
    }

    /// Counts a batch's items, or the batch as one where it has none.
    pub fn count_batch(&self, answer: &Answer) {
        let document = answer.json();
        match document["items"].as_array() {
            Some(items) => {
                for item in items {
                    let status = item["status"].as_u64().unwrap_or_else(|| panic!("no status: {item}"));
                    match item["duplicate"] == true {
                        true => self.tally.duplicate(),
                        false => self.tally.job(u16::try_from(status).unwrap()),
                    }
                }
            }
            None => self.tally.job(answer.status),
        }
    }

    /// Asks for work.
    pub async fn lease(&self, request: Value) -> Vec<Leased> {
        let answer = self.ingest.post_json("/v1/leases", &request).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        leased(&answer)
    }

    /// Finishes jobs; the status of each.
    pub async fn ack(&self, jobs: &[Leased]) -> Vec<String> {
        let leases: Vec<&str> = jobs.iter().map(|job| job.lease.as_str()).collect();
        self.settle("ack", json!({ "leases": leases })).await
    }

    /// `ack`, `nack` or `extend`; the status of each lease, in order.
    pub async fn settle(&self, verb: &str, request: Value) -> Vec<String> {
        let answer = self.ingest.post_json(&format!("/v1/leases/{verb}"), &request).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        settled(&answer, &request)
    }

    /// Leases and acks until nothing is left; every job handed out, in order.
    pub async fn drain(&self) -> Vec<Leased> {
        let mut drained = Vec::new();
        until("the queue is empty", Duration::from_secs(60), async || {
            let jobs = self.lease(json!({ "max": 1000 })).await;
            if jobs.is_empty() {
                return (self.depth(None).await == 0).then_some(());
            }
            assert!(self.ack(&jobs).await.iter().all(|status| status == "ok"));
            drained.extend(jobs);
            None
        })
        .await;
        drained
    }

    pub async fn metrics(&self) -> Scrape {
        let answer = self.admin.get("/metrics").send().await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let media = answer.header("content-type").unwrap_or_default();
        assert!(media.starts_with("text/plain; version=0.0.4"), "{media}");
        Scrape::parse(answer.text()).unwrap_or_else(|why| panic!("{why}"))
    }

    /// Jobs waiting and leased, of a tier or of all.
    pub async fn depth(&self, tier: Option<&str>) -> u64 {
        let scrape = self.metrics().await;
        let label = tier.map(|tier| ("tier", tier));
        let labels = label.as_slice();
        scrape.count("tidegate_jobs_waiting", labels) + scrape.count("tidegate_jobs_leased", labels)
    }

    pub async fn status(&self) -> Value {
        let answer = self.admin.get("/v1/status").send().await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    }
}

/// The jobs of a lease answer, checked member by member.
#[track_caller]
pub fn leased(answer: &Answer) -> Vec<Leased> {
    let mut document = answer.json();
    assert_eq!(document.as_object().map(serde_json::Map::len), Some(1), "{document}");
    let jobs = document["jobs"].take();
    let jobs: Vec<Leased> = serde_json::from_value(jobs).unwrap_or_else(|why| panic!("{why}: {answer:?}"));
    for job in &jobs {
        assert_time(&job.accepted_at);
        assert!(job.body.is_some() != job.body_base64.is_some(), "one of the two bodies: {job:?}");
        assert!(job.attempt >= 1, "{job:?}");
    }
    jobs
}

#[track_caller]
fn settled(answer: &Answer, request: &Value) -> Vec<String> {
    let document = answer.json();
    let results = document["results"].as_array().unwrap_or_else(|| panic!("no results: {document}"));
    let leases: Vec<&Value> = results.iter().map(|result| &result["lease"]).collect();
    assert_eq!(
        leases,
        request["leases"].as_array().unwrap().iter().collect::<Vec<_>>(),
        "in order: {document}"
    );
    results.iter().map(|result| result["status"].as_str().unwrap().to_owned()).collect()
}

/// A type that the test policies put into this tier.
pub fn type_of(tier: &str) -> &'static str {
    match tier {
        "p0" => "payment",
        "p1" => "order",
        "p2" => "analytics",
        _ => panic!("no tier {tier}"),
    }
}

pub const NDJSON: &str = "application/x-ndjson";
