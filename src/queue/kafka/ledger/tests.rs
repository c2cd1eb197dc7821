//! What the ledger remembers: over restarts, crashes and a file that cannot be written.

use std::time::Duration;

use tempfile::TempDir;

use super::*;
use crate::domain::idempotency::{Fingerprint, Keyed};
use crate::domain::job::JobId;
use crate::domain::tier::Tier;
use crate::domain::time::Timestamp;
use crate::random;

struct Bench {
    folder: TempDir,
    settings: KeySettings,
}

impl Bench {
    fn new() -> Bench {
        let settings = KeySettings { keep: Duration::from_secs(60), most: 100 };
        Bench { folder: tempfile::tempdir().unwrap(), settings }
    }

    fn open(&self) -> Ledger {
        Ledger::open(&self.folder.path().join("data/keys.db"), self.settings, Clock::start()).unwrap()
    }

    fn break_file(&self) {
        let db = rusqlite::Connection::open(self.folder.path().join("data/keys.db")).unwrap();
        db.execute_batch("ALTER TABLE open RENAME TO gone").unwrap();
    }

    fn mend_file(&self) {
        let db = rusqlite::Connection::open(self.folder.path().join("data/keys.db")).unwrap();
        db.execute_batch("ALTER TABLE gone RENAME TO open").unwrap();
    }
}

fn job(key: Option<u8>, content: u8) -> Job {
    let id = random::job_id(Timestamp::from_millis(1_700_000_000_000));
    let keyed = key.map(|key| Keyed { key: Key([key; 16]), fingerprint: Fingerprint([content; 16]) });
    Job { keyed, ..Job::bare(id, Tier::P1) }
}

fn ids(jobs: &[Job]) -> Vec<JobId> {
    jobs.iter().map(|job| job.id).collect()
}

fn told(known: &[Known]) -> Vec<(usize, JobId)> {
    known.iter().map(|known| (known.index, known.job.id)).collect()
}

#[tokio::test]
async fn a_key_whose_fate_was_never_told_is_sent_again_under_the_first_id() {
    let bench = Bench::new();
    let first = job(Some(1), 1);
    let ledger = bench.open();
    ledger.begin(vec![first.clone()]).await.unwrap();
    assert_eq!(ledger.find(Key([1; 16])).await, None, "nobody knows whether it is stored");
    // As a process that dies: nothing is settled.
    ledger.close().await;
    let ledger = bench.open();
    let begun = ledger.begin(vec![job(None, 0), job(Some(1), 1)]).await.unwrap();
    assert_eq!((begun.jobs[1].id, told(&begun.known)), (first.id, vec![(1, first.id)]));
    ledger.settle(begun.entries, Fate::Unknown).await;
    let begun = ledger.begin(vec![first.clone()]).await.unwrap();
    assert_eq!(
        (ids(&begun.jobs), told(&begun.known)),
        (vec![first.id], vec![]),
        "the drain knows its own id"
    );
    ledger.settle(begun.entries, Fate::Stored).await;
    assert_eq!(ledger.find(Key([1; 16])).await.map(|known| known.id), Some(first.id));
}

#[tokio::test]
async fn a_key_that_stands_for_a_stored_job_is_not_sent_again() {
    let bench = Bench::new();
    let (first, other) = (job(Some(1), 1), job(Some(2), 2));
    let ledger = bench.open();
    let begun = ledger.begin(vec![first.clone(), other.clone()]).await.unwrap();
    ledger.settle(begun.entries, Fate::Stored).await;
    assert_eq!(ledger.index(), KeyIndex { keys: 2, horizon: bench.settings.keep });
    ledger.close().await;
    let ledger = bench.open();
    let free = job(None, 0);
    let begun = ledger.begin(vec![job(Some(2), 2), free.clone(), job(Some(1), 9)]).await.unwrap();
    assert_eq!(ids(&begun.jobs), [free.id]);
    assert_eq!(told(&begun.known), [(0, other.id), (2, first.id)]);
    assert_eq!(
        begun.known[1].job.fingerprint,
        Fingerprint([1; 16]),
        "the caller sees that it is another content"
    );
    assert!(begun.entries.is_empty());
}

#[tokio::test]
async fn a_job_that_was_not_stored_leaves_its_key_free() {
    let bench = Bench::new();
    let ledger = bench.open();
    let begun = ledger.begin(vec![job(Some(1), 1)]).await.unwrap();
    ledger.settle(begun.entries, Fate::NotStored).await;
    ledger.close().await;
    let ledger = bench.open();
    let second = job(Some(1), 2);
    let begun = ledger.begin(vec![second.clone()]).await.unwrap();
    assert_eq!((ids(&begun.jobs), told(&begun.known)), (vec![second.id], vec![]));
}

#[tokio::test]
async fn of_one_key_twice_in_a_call_the_first_is_sent() {
    let ledger = Bench::new().open();
    let twice = [job(Some(1), 1), job(Some(1), 1)];
    let begun = ledger.begin(twice.to_vec()).await.unwrap();
    assert_eq!((ids(&begun.jobs), told(&begun.known)), (vec![twice[0].id], vec![(1, twice[0].id)]));
}

#[tokio::test]
async fn an_open_key_with_another_content_is_not_sent() {
    let ledger = Bench::new().open();
    let first = job(Some(1), 1);
    ledger.begin(vec![first.clone()]).await.unwrap();
    let begun = ledger.begin(vec![job(Some(1), 2)]).await.unwrap();
    assert_eq!((ids(&begun.jobs), told(&begun.known)), (vec![], vec![(0, first.id)]));
}

#[tokio::test]
async fn while_the_file_cannot_be_written_no_key_is_sent_and_what_was_stored_is_known() {
    let bench = Bench::new();
    let ledger = bench.open();
    let first = job(Some(1), 1);
    let begun = ledger.begin(vec![first.clone()]).await.unwrap();
    bench.break_file();
    let refused = ledger.begin(vec![job(Some(2), 2)]).await.unwrap_err();
    assert!(matches!(refused, StoreError::Unavailable { .. }), "{refused:?}");
    assert!(ledger.fault().is_some());
    ledger.settle(begun.entries, Fate::Stored).await;
    assert_eq!(ledger.find(Key([1; 16])).await.map(|known| known.id), Some(first.id));
    assert!(ledger.begin(vec![job(None, 0)]).await.is_ok(), "jobs without keys go on");
    bench.mend_file();
    ledger.begin(vec![job(Some(2), 2)]).await.unwrap();
    assert_eq!(ledger.fault(), None);
    ledger.close().await;
    let begun = bench.open().begin(vec![job(Some(1), 1)]).await.unwrap();
    assert_eq!(begun.jobs[0].id, first.id, "open again, under the first id");
}

#[tokio::test]
async fn open_keys_are_bounded_and_the_oldest_go() {
    let bench = Bench { settings: KeySettings { keep: Duration::from_secs(60), most: 10 }, ..Bench::new() };
    let ledger = bench.open();
    for key in 0..30 {
        ledger.begin(vec![job(Some(key), key)]).await.unwrap();
    }
    // Deletes what was crowded out last.
    ledger.begin(vec![job(Some(29), 29)]).await.unwrap();
    ledger.close().await;
    let db = rusqlite::Connection::open(bench.folder.path().join("data/keys.db")).unwrap();
    let open: i64 = db.query_row("SELECT count(*) FROM open", [], |row| row.get(0)).unwrap();
    assert!(open <= 11, "{open}");
}

#[test]
fn a_queue_is_no_ledger() {
    let bench = Bench::new();
    let path = bench.folder.path().join("data/keys.db");
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let db = rusqlite::Connection::open(&path).unwrap();
    db.execute_batch("CREATE TABLE jobs (seq INTEGER); PRAGMA application_id = 7").unwrap();
    drop(db);
    let refused = Ledger::open(&path, bench.settings, Clock::start());
    assert!(matches!(refused, Err(OpenError::Corrupt { .. })), "{refused:?}");
    let first = bench.folder.path().join("own/keys.db");
    let _held = Ledger::open(&first, bench.settings, Clock::start()).unwrap();
    let second = Ledger::open(&first, bench.settings, Clock::start());
    assert!(matches!(second, Err(OpenError::InUse { .. })), "{second:?}");
}
