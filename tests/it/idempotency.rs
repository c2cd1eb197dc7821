//! A job sent again under its idempotency key is stored once, whatever happens in between.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::json;

use crate::support::gateway::{Gateway, Setup};
use crate::support::jobs::NDJSON;
use crate::support::policy::Policy;

fn key(key: &str) -> [(&str, &str); 1] {
    [("idempotency-key", key)]
}

#[tokio::test]
async fn a_key_is_known_after_a_restart_and_after_a_kill() {
    let mut gateway = Setup::with(&Policy::calm()).start().await;
    let first = gateway.post("{}", &key("k")).await.receipt();
    assert!(!first.duplicate);
    gateway.drain().await;
    gateway.stop().await;
    gateway.restart().await;
    let again = gateway.post("{}", &key("\"k\"")).await.receipt();
    assert_eq!((&again.id, &again.tier, again.duplicate), (&first.id, &first.tier, true));
    gateway.kill();
    gateway.restart().await;
    assert_eq!(gateway.post("{}", &key("k")).await.receipt().id, first.id, "its job is done, its key stands");
    gateway.post("[]", &key("k")).await.problem(422, "idempotency_mismatch");
    assert!(gateway.drain().await.is_empty());
    gateway.finish().await;
}

#[tokio::test]
async fn a_known_key_gets_its_receipt_from_a_full_tier() {
    let policy = Policy::calm().tier("p2", "target", "{ depth: 1 }").tier("p2", "max_depth", "1");
    let gateway = Setup::with(&policy).start().await;
    let first = gateway.post(r#"{"type":"digest"}"#, &key("a")).await.receipt();
    assert_eq!(first.tier, "p2");
    gateway.post(r#"{"type":"digest"}"#, &key("b")).await.problem(429, "queue_full");
    let again = gateway.post(r#"{"type":"digest"}"#, &key("a")).await.receipt();
    assert_eq!((again.id, again.duplicate), (first.id, true));
    gateway.finish().await;
}

#[tokio::test]
async fn beyond_their_bound_the_oldest_keys_go_and_the_horizon_tells() {
    let gateway = Setup::with(&Policy::calm()).set("idempotency.max_keys", "2").start().await;
    for name in ["a", "b", "c"] {
        assert!(!gateway.post("{}", &key(name)).await.receipt().duplicate);
    }
    assert!(gateway.post("{}", &key("b")).await.receipt().duplicate);
    assert!(!gateway.post("{}", &key("a")).await.receipt().duplicate, "the oldest went first");
    let scrape = gateway.metrics().await;
    assert_eq!(scrape.count("tidegate_idempotency_keys", &[]), 2);
    let horizon = scrape.sum("tidegate_idempotency_horizon_seconds", &[]);
    assert!(horizon < 60.0, "{horizon} s, though a key of this minute is gone");
    gateway.finish().await;
}

/// Clients that post under keys and retry every failure, through `kill -9` after `kill -9`.
#[tokio::test]
async fn whoever_retries_through_kills_has_every_job_stored_once() {
    let policy = Policy::calm().top("idempotency_key_from", "[ 'header:Idempotency-Key', 'body:/id' ]");
    let mut gateway = Setup::with(&policy).start().await;
    let book = Book::default();
    for round in 0..6 {
        load_until_killed(&gateway, &book, Duration::from_millis(150 + 40 * round)).await;
        gateway.kill();
        gateway.restart().await;
        // Whatever has no receipt yet is sent again, and so is some of what has one.
        retry(&gateway, &book).await;
    }
    let mut stored = HashMap::new();
    for job in gateway.drain().await {
        let before = stored.insert(job.text().to_owned(), job.id.clone());
        assert_eq!(before, None, "stored twice: {job:?}");
    }
    let sent = book.sent.into_inner().unwrap();
    assert!(sent.len() > 300, "only {} jobs: too few to prove anything", sent.len());
    assert_eq!(stored.len(), sent.len());
    for (payload, id) in sent {
        assert_eq!(id.as_ref(), stored.get(&payload), "{payload}: the receipt is another job's");
    }
    gateway.finish().await;
}

/// Every payload sent, with the id of its receipt.
#[derive(Default)]
struct Book {
    next: AtomicU64,
    sent: Mutex<HashMap<String, Option<String>>>,
}

impl Book {
    fn payloads(&self, count: u64) -> Vec<String> {
        let first = self.next.fetch_add(count, Ordering::Relaxed);
        let payloads: Vec<_> = (first..first + count).map(|id| json!({ "id": id }).to_string()).collect();
        self.sent.lock().unwrap().extend(payloads.iter().map(|payload| (payload.clone(), None)));
        payloads
    }

    fn note(&self, payload: &str, id: &str) {
        let before = self.sent.lock().unwrap().insert(payload.to_owned(), Some(id.to_owned())).flatten();
        assert!(before.is_none_or(|before| before == id), "{payload} has two ids");
    }
}

async fn load_until_killed(gateway: &Gateway, book: &Book, moment: Duration) {
    let singles = async || {
        loop {
            for payload in book.payloads(1) {
                let Ok(answer) = gateway.try_post(&payload, &[]).await else { return };
                book.note(&payload, &answer.receipt().id);
            }
        }
    };
    let kill = async {
        tokio::time::sleep(moment).await;
        gateway.signal("KILL");
    };
    tokio::join!(kill, singles(), singles(), singles(), singles(), singles());
}

/// Sends again: singles under the key in their body, as the first time.
async fn retry(gateway: &Gateway, book: &Book) {
    let sent: Vec<_> = book.sent.lock().unwrap().clone().into_iter().collect();
    for (payload, id) in sent {
        if id.is_none() || payload.ends_with("7}") {
            let receipt = gateway.post(&payload, &[]).await.receipt();
            assert!(id.is_none() || receipt.duplicate, "{payload} had a receipt");
            book.note(&payload, &receipt.id);
        }
    }
}

#[tokio::test]
async fn a_batch_sent_again_stores_what_is_missing() {
    let policy = Policy::calm().top("idempotency_key_from", "[ 'body:/id' ]");
    let gateway = Setup::with(&policy).start().await;
    let lines = |count: u32| (0..count).map(|id| format!("{{\"id\":{id}}}\n")).collect::<String>();
    let first = gateway.batch(NDJSON, lines(300), &[]).await.json();
    let again = gateway.batch(NDJSON, lines(700), &[]).await;
    assert_eq!(again.status, 202, "{again:?}");
    let again = again.json();
    let items = |answer: &serde_json::Value| answer["items"].as_array().unwrap().clone();
    let ids = |answer: &serde_json::Value| {
        items(answer).into_iter().map(|item| item["id"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(ids(&again)[..300], ids(&first));
    assert_eq!(items(&again).iter().filter(|item| item["duplicate"] == true).count(), 300);
    assert_eq!(gateway.drain().await.len(), 700);
    gateway.finish().await;
}
