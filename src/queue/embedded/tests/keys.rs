//! Idempotency keys: stored with their jobs, known again after a restart, forgotten in their time.

use super::*;
use crate::domain::idempotency::{Fingerprint, Keyed};

fn under(rig: &Rig, key: u8, payload: &str) -> Job {
    let keyed = Keyed { key: Key([key; 16]), fingerprint: Fingerprint([key; 16]) };
    Job { keyed: Some(keyed), ..rig.job(Tier::P1, payload) }
}

async fn known(queue: &EmbeddedQueue, key: u8) -> Option<JobId> {
    queue.job_of_key(Key([key; 16])).await.unwrap().map(|known| known.id)
}

fn kept(rig: &mut Rig, seconds: u64, most: usize) {
    rig.keys = KeySettings { keep: Duration::from_secs(seconds), most };
}

fn rows(rig: &Rig) -> i64 {
    let db = rusqlite::Connection::open(rig.settings().path).unwrap();
    db.query_row("SELECT count(*) FROM keys", [], |row| row.get(0)).unwrap()
}

#[tokio::test]
async fn a_key_outlives_its_job_and_a_restart() {
    let rig = Rig::new(Ordering::Pass);
    let queue = rig.open();
    let job = under(&rig, 1, "a");
    store(&queue, vec![job.clone(), rig.job(Tier::P1, "b")]).await;
    for lease in lease(&queue, 10).await {
        ack(&queue, &lease).await;
    }
    assert_eq!(known(&queue, 1).await, Some(job.id));
    assert_eq!(known(&queue, 2).await, None);
    drop(queue);
    let queue = rig.open();
    let found = queue.job_of_key(Key([1; 16])).await.unwrap().unwrap();
    assert_eq!((found.id, found.tier, found.fingerprint), (job.id, Tier::P1, Fingerprint([1; 16])));
    assert_eq!(queue.key_index().keys, 1);
}

#[tokio::test]
async fn a_key_is_forgotten_in_its_time_on_disk_too() {
    let mut rig = Rig::new(Ordering::Pass);
    kept(&mut rig, 10, 100);
    let queue = rig.open();
    store(&queue, vec![under(&rig, 1, "a")]).await;
    rig.hand.advance(Duration::from_secs(9));
    assert!(known(&queue, 1).await.is_some());
    rig.hand.advance(Duration::from_secs(2));
    assert_eq!(known(&queue, 1).await, None);
    for key in [2, 3] {
        store(&queue, vec![under(&rig, key, "later")]).await;
    }
    drop(queue);
    assert_eq!(rows(&rig), 2);
}

#[tokio::test]
async fn a_file_with_more_keys_than_are_kept_keeps_the_newest_and_says_so() {
    let mut rig = Rig::new(Ordering::Pass);
    let queue = rig.open();
    for key in 1..=9 {
        store(&queue, vec![under(&rig, key, "x")]).await;
        rig.hand.advance(Duration::from_secs(10));
    }
    drop(queue);
    kept(&mut rig, 1_000, 3);
    let queue = rig.open();
    assert_eq!([known(&queue, 6).await, known(&queue, 7).await.and(None)], [None, None]);
    assert!(known(&queue, 7).await.is_some() && known(&queue, 9).await.is_some());
    let index = queue.key_index();
    assert_eq!(index.keys, 3);
    assert!((29..=31).contains(&index.horizon.as_secs()), "{index:?}");
    store(&queue, vec![under(&rig, 10, "x")]).await;
    assert_eq!(known(&queue, 7).await, None);
    store(&queue, vec![rig.job(Tier::P0, "the rows go with the next transaction")]).await;
    drop(queue);
    assert_eq!(rows(&rig), 3);
    assert!(known(&rig.open(), 10).await.is_some(), "the numbers went on where they were");
}

#[tokio::test]
async fn a_transaction_that_failed_leaves_no_key() {
    let rig = Rig::new(Ordering::Pass);
    let queue = rig.open();
    tamper(&queue, |db| db.execute_batch("PRAGMA query_only = ON").unwrap());
    let stored = queue.enqueue(Tier::P1, vec![under(&rig, 1, "a")]).unwrap().await;
    assert!(matches!(stored, Err(StoreError::Unavailable { .. })), "{stored:?}");
    assert_eq!(known(&queue, 1).await, None);
}

#[tokio::test]
async fn a_damaged_key_is_unknown_and_the_others_stay() {
    let rig = Rig::new(Ordering::Pass);
    let queue = rig.open();
    store(&queue, (1..=3).map(|key| under(&rig, key, "x")).collect()).await;
    drop(queue);
    let db = rusqlite::Connection::open(rig.settings().path).unwrap();
    db.execute_batch("UPDATE keys SET entry = zeroblob(length(entry)) WHERE seq = 2").unwrap();
    drop(db);
    let queue = rig.open();
    assert_eq!(known(&queue, 2).await, None);
    assert!(known(&queue, 1).await.is_some() && known(&queue, 3).await.is_some());
    store(&queue, vec![under(&rig, 2, "again")]).await;
    assert!(known(&queue, 2).await.is_some());
}

#[tokio::test]
async fn a_file_of_the_first_format_is_brought_up() {
    let rig = Rig::new(Ordering::Pass);
    let queue = rig.open();
    store(&queue, vec![rig.job(Tier::P1, "old")]).await;
    drop(queue);
    let db = rusqlite::Connection::open(rig.settings().path).unwrap();
    db.execute_batch("DROP TABLE keys; PRAGMA user_version = 1").unwrap();
    drop(db);
    let queue = rig.open();
    store(&queue, vec![under(&rig, 1, "new")]).await;
    assert!(known(&queue, 1).await.is_some());
    let mut leases = lease(&queue, 1).await;
    leases.extend(lease(&queue, 1).await);
    assert_eq!(payloads(&leases), ["old", "new"]);
}
