//! What is opened, what is refused, and that nothing of it is ever deleted.

use std::fs;

use super::*;

fn refused(rig: &Rig) -> OpenError {
    EmbeddedQueue::open(&rig.settings(), rig.rules, rig.clock).unwrap_err()
}

/// A queue file with some pages, closed.
async fn written(rig: &Rig) -> Vec<u8> {
    let queue = rig.open();
    let jobs = (0..2000).map(|number| rig.job(Tier::P1, &format!("{number:0>256}")));
    store(&queue, jobs.collect()).await;
    drop(queue);
    fs::read(rig.settings().path).unwrap()
}

fn change(rig: &Rig, sql: &str) {
    let db = rusqlite::Connection::open(rig.settings().path).unwrap();
    db.execute_batch(sql).unwrap();
}

#[tokio::test]
async fn a_missing_folder_is_made_and_a_second_opening_is_refused() {
    let rig = Rig::new(Ordering::Pass);
    let path = rig.folder.path().join("not/there/yet/queue.db");
    let settings = EmbeddedSettings { path, ..rig.settings() };
    let queue = EmbeddedQueue::open(&settings, rig.rules, rig.clock).unwrap();
    let second = EmbeddedQueue::open(&settings, rig.rules, rig.clock);
    assert!(matches!(second, Err(OpenError::InUse { .. })), "{second:?}");
    store(&queue, vec![rig.job(Tier::P0, "a")]).await;
    drop(queue);
    let queue = EmbeddedQueue::open(&settings, rig.rules, rig.clock).unwrap();
    assert_eq!(payloads(&lease(&queue, 10).await), ["a"]);
}

#[test]
fn an_empty_file_becomes_a_queue() {
    let rig = Rig::new(Ordering::Pass);
    fs::write(rig.settings().path, b"").unwrap();
    assert_eq!(rig.open().totals()[Tier::P0], Totals::default());
}

#[tokio::test]
async fn a_newer_format_is_refused_in_a_sentence() {
    let rig = Rig::new(Ordering::Pass);
    written(&rig).await;
    change(&rig, "PRAGMA user_version = 7");
    let error = refused(&rig);
    assert!(matches!(error, OpenError::NewerFormat { found: 7, known: 2, .. }), "{error:?}");
    assert!(error.to_string().contains("has format version 7, this program knows up to 2"), "{error}");
}

#[test]
fn files_of_other_programs_are_refused_and_left_alone() {
    let rig = Rig::new(Ordering::Pass);
    fs::write(rig.settings().path, b"dear diary, today I did not write a database").unwrap();
    let error = refused(&rig);
    assert!(error.to_string().contains("does not start like an SQLite file"), "{error}");
    fs::remove_file(rig.settings().path).unwrap();
    change(&rig, "CREATE TABLE diary (entry TEXT)");
    let before = fs::read(rig.settings().path).unwrap();
    let error = refused(&rig);
    assert!(error.to_string().contains("an SQLite file of another program"), "{error}");
    assert!(fs::read(rig.settings().path).unwrap() == before);
}

#[tokio::test]
async fn a_truncated_file_is_refused_and_left_alone() {
    for keep in [20, 100, 5000, 8192, 3 * 8192, 400_000] {
        let rig = Rig::new(Ordering::Pass);
        let bytes = written(&rig).await;
        assert!(bytes.len() > keep);
        fs::write(rig.settings().path, &bytes[..keep]).unwrap();
        let error = refused(&rig);
        assert!(matches!(error, OpenError::Corrupt { .. }), "{keep} bytes kept: {error:?}");
        assert!(fs::read(rig.settings().path).unwrap() == bytes[..keep]);
    }
}

#[tokio::test]
async fn a_damaged_page_is_refused_at_the_start_or_reported_when_it_is_met() {
    let rig = Rig::new(Ordering::Pass);
    let bytes = written(&rig).await;
    let mut refusals = 0;
    for page in 0..bytes.len() / 8192 {
        let mut damaged = bytes.clone();
        let start = if page == 0 { 100 } else { page * 8192 };
        damaged[start..(page + 1) * 8192].fill(0xa5);
        fs::write(rig.settings().path, &damaged).unwrap();
        match EmbeddedQueue::open(&rig.settings(), rig.rules, rig.clock) {
            Err(error) => {
                refusals += 1;
                assert!(matches!(error, OpenError::Corrupt { .. }), "page {page}: {error:?}");
            }
            Ok(queue) => drain_or_report(&queue, page).await,
        }
        for extra in ["queue.db-wal", "queue.db-shm"] {
            let _ = fs::remove_file(rig.folder.path().join(extra));
        }
    }
    assert!(refusals > 3, "only {refusals} damaged pages were noticed at the start");
}

/// Whatever the damage, every answer is a job, an end or an error, and after an error the disk is reported.
async fn drain_or_report(queue: &EmbeddedQueue, page: usize) {
    loop {
        match queue.lease(request(500)).await {
            Ok(leases) if leases.is_empty() => return,
            Ok(leases) => {
                let _ = queue.ack(leases.iter().map(|lease| lease.token).collect()).await;
                if queue.order(Order::Flush).await.is_err() {
                    break;
                }
            }
            Err(_) => break,
        }
    }
    assert!(queue.check_own_disk().is_err(), "page {page}: an error, but the disk is called good");
    assert!(queue.enqueue(Tier::P0, Vec::new()).is_err(), "page {page}");
}

#[test]
fn a_path_that_cannot_be_a_file_is_a_clear_answer() {
    let rig = Rig::new(Ordering::Pass);
    fs::write(rig.folder.path().join("file"), b"x").unwrap();
    let below = EmbeddedSettings { path: rig.folder.path().join("file/queue.db"), ..rig.settings() };
    let error = EmbeddedQueue::open(&below, rig.rules, rig.clock).unwrap_err();
    assert!(matches!(error, OpenError::Io { .. }), "{error:?}");
    let folder = EmbeddedSettings { path: rig.folder.path().to_owned(), ..rig.settings() };
    let error = EmbeddedQueue::open(&folder, rig.rules, rig.clock).unwrap_err();
    assert!(matches!(error, OpenError::Io { .. }), "{error:?}");
}

#[tokio::test]
async fn a_copy_of_the_files_at_any_moment_holds_every_receipt() {
    let rig = Rig::new(Ordering::Pass);
    let queue = rig.open();
    for number in 0..40 {
        store(&queue, vec![rig.job(Tier::P0, &number.to_string())]).await;
        if number % 10 != 9 {
            continue;
        }
        // What a killed process leaves behind.
        let copy = Rig::new(Ordering::Pass);
        for name in ["queue.db", "queue.db-wal"] {
            fs::copy(rig.folder.path().join(name), copy.folder.path().join(name)).unwrap();
        }
        let recovered = copy.open();
        assert_eq!(lease(&recovered, 1000).await.len(), number + 1);
    }
}
