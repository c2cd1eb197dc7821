//! A disk that fails, a file that is full, a writer that dies.

use std::sync::mpsc;

use super::*;

const PROBE: Duration = Duration::from_millis(500);

/// Lets the file hold no further page.
fn fill_disk(queue: &EmbeddedQueue) {
    tamper(queue, |db| {
        db.query_row("PRAGMA max_page_count = 1", [], |row| row.get::<_, i64>(0)).unwrap();
    });
}

fn free_disk(queue: &EmbeddedQueue) {
    tamper(queue, |db| {
        db.query_row("PRAGMA max_page_count = 1000000", [], |row| row.get::<_, i64>(0)).unwrap();
    });
}

fn large(rig: &Rig) -> Job {
    rig.job(Tier::P1, &"x".repeat(100_000))
}

#[tokio::test]
async fn a_full_disk_refuses_jobs_keeps_acks_and_recovers_unaided() {
    let rig = Rig::new(Ordering::Pass);
    let queue = rig.open();
    store(&queue, ["a", "b", "c"].map(|payload| rig.job(Tier::P0, payload)).to_vec()).await;
    let leases = lease(&queue, 3).await;
    fill_disk(&queue);
    // One ack rides in the transaction that fails, one comes after it.
    ack(&queue, &leases[0]).await;
    let refusal = queue.enqueue(Tier::P1, vec![large(&rig)]).unwrap().await;
    assert_eq!(refusal, Err(StoreError::Unavailable { detail: "the disk is full".into() }));
    assert!(queue.check_own_disk().is_err());
    for tier in Tier::ALL {
        let outage = queue.outage(tier).expect("no tier's jobs can be stored");
        assert_eq!((&*outage.detail, outage.next_try), ("the disk is full", PROBE));
    }
    let at_the_door = queue.enqueue(Tier::P0, vec![rig.job(Tier::P0, "c")]);
    assert!(matches!(at_the_door, Err(StoreError::Unavailable { .. })));
    ack(&queue, &leases[1]).await;
    assert_eq!(queue.totals()[Tier::P0].done, 2);
    rig.hand.advance(PROBE);
    flush(&queue).await;
    assert!(queue.check_own_disk().is_err(), "still full");
    assert!(queue.outage(Tier::P0).is_some(), "still full");
    free_disk(&queue);
    rig.hand.advance(PROBE);
    flush(&queue).await;
    assert_eq!(queue.check_own_disk(), Ok(()));
    assert_eq!(queue.outage(Tier::P1), None);
    store(&queue, vec![large(&rig)]).await;
    assert_balanced(&queue);
    drop(queue);
    let queue = rig.open();
    assert_eq!(payload(&lease_one(&queue).await.unwrap()), "c", "the acks reached the disk");
    assert_eq!(queue.totals()[Tier::P1].recovered, 1);
}

#[tokio::test]
async fn a_read_only_disk_is_an_outage() {
    let rig = Rig::new(Ordering::Pass);
    let queue = rig.open();
    tamper(&queue, |db| db.execute_batch("PRAGMA query_only = ON").unwrap());
    let refusal = queue.enqueue(Tier::P0, vec![rig.job(Tier::P0, "a")]).unwrap().await;
    assert_eq!(refusal, Err(StoreError::Unavailable { detail: "the disk is read-only".into() }));
    tamper(&queue, |db| db.execute_batch("PRAGMA query_only = OFF").unwrap());
    rig.hand.advance(PROBE);
    flush(&queue).await;
    store(&queue, vec![rig.job(Tier::P0, "b")]).await;
    assert_eq!(payloads(&lease(&queue, 10).await), ["b"]);
}

#[tokio::test]
async fn the_bound_on_bytes_refuses_and_drained_space_is_used_again() {
    let mut rig = Rig::new(Ordering::Pass);
    rig.max_bytes = 2 << 20;
    let queue = rig.open();
    let mut stored = 0;
    let refusal = loop {
        match queue.enqueue(Tier::P1, vec![large(&rig)]).unwrap().await {
            Ok(_) => stored += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(refusal, StoreError::Full { .. }), "{refusal:?}");
    assert!((15..=20).contains(&stored), "{stored} jobs of 100 kB in 2 MiB");
    assert_eq!(queue.check_own_disk(), Ok(()), "full is not broken");
    assert_eq!(queue.outage(Tier::P1), None, "a smaller job may fit");
    store(&queue, vec![rig.job(Tier::P0, "small")]).await;
    for job in lease(&queue, 10).await {
        ack(&queue, &job).await;
    }
    flush(&queue).await;
    store(&queue, vec![large(&rig)]).await;
    let bytes = std::fs::metadata(rig.settings().path).unwrap().len();
    assert!(bytes <= 2 << 20, "{bytes}");
    assert_balanced(&queue);
}

#[tokio::test]
async fn a_writer_that_dies_leaves_nobody_waiting() {
    let rig = Rig::new(Ordering::Pass);
    let queue = Arc::new(rig.open());
    let (go, wait) = mpsc::channel::<()>();
    tamper(&queue, move |_| {
        let _ = wait.recv();
        panic!("a fault in the writer");
    });
    let storing = queue.enqueue(Tier::P0, vec![rig.job(Tier::P0, "a")]).unwrap();
    let (waiting, patient) =
        (Arc::clone(&queue), LeaseRequest { wait: Duration::from_secs(30), ..request(1) });
    let poll = tokio::spawn(async move { waiting.lease(patient).await });
    tokio::task::yield_now().await;
    drop(go);
    assert_eq!(storing.await, Err(StoreError::Unknown));
    assert!(!matches!(poll.await.unwrap(), Ok(leases) if !leases.is_empty()));
    queue.close().await;
    assert!(queue.enqueue(Tier::P0, vec![rig.job(Tier::P0, "b")]).is_err());
    assert!(queue.check_own_disk().is_err());
    assert!(queue.outage(Tier::P0).is_some());
    assert!(queue.dead_letter(random::job_id(rig.clock.wall())).await.is_err());
}

#[tokio::test]
async fn too_many_jobs_before_a_slow_writer_are_refused_at_once_and_the_others_stored() {
    let rig = Rig::new(Ordering::Pass);
    let queue = rig.open();
    let (go, wait) = mpsc::channel::<()>();
    tamper(&queue, move |_| {
        let _ = wait.recv();
    });
    let batch: Vec<_> = (0..4096).map(|_| rig.job(Tier::P2, "x")).collect();
    let mut storing = Vec::new();
    let refusal = loop {
        match queue.enqueue(Tier::P2, batch.clone()) {
            Ok(taken) => storing.push(taken),
            Err(refusal) => break refusal,
        }
    };
    assert_eq!(refusal, StoreError::Overloaded);
    let critical = queue.enqueue(Tier::P0, vec![rig.job(Tier::P0, "y")]).unwrap();
    drop(go);
    critical.await.unwrap();
    let taken = storing.len() as u64;
    for storing in storing {
        storing.await.unwrap();
    }
    assert_eq!(queue.totals()[Tier::P2].stored, taken * 4096);
}

#[tokio::test]
async fn closing_stores_what_was_handed_over_and_twice_is_once() {
    let rig = Rig::new(Ordering::Pass);
    let queue = rig.open();
    store(&queue, vec![rig.job(Tier::P0, "done")]).await;
    let job = lease_one(&queue).await.unwrap();
    let storing: Vec<_> =
        (0..50).map(|_| queue.enqueue(Tier::P0, vec![rig.job(Tier::P0, "x")]).unwrap()).collect();
    ack(&queue, &job).await;
    tokio::join!(queue.close(), queue.close());
    for storing in storing {
        storing.await.unwrap();
    }
    let late = queue.enqueue(Tier::P0, vec![rig.job(Tier::P0, "late")]);
    assert!(matches!(late, Err(StoreError::Closed)), "{late:?}");
    assert_eq!(queue.lease(request(1)).await, Err(QueueError::Closed));
    assert_eq!(queue.ack(vec![job.token]).await, Err(QueueError::Closed));
    queue.close().await;
    drop(queue);
    assert_eq!(rig.open().totals()[Tier::P0].recovered, 50);
}

#[tokio::test]
async fn a_change_too_large_for_a_full_disk_lets_the_others_pass() {
    let rig = Rig::new(Ordering::Pass);
    let queue = rig.open();
    store(&queue, vec![large(&rig)]).await;
    store(&queue, vec![rig.job(Tier::P1, "small")]).await;
    let leases = lease(&queue, 2).await;
    fill_disk(&queue);
    let refusal = queue.enqueue(Tier::P1, vec![large(&rig)]).unwrap().await;
    assert!(refusal.is_err());
    // A dead letter is a copy before the job is deleted: it needs room.
    let dead = Nack { dead: true, ..Nack::default() };
    assert_eq!(queue.nack(vec![leases[0].token], dead).await.unwrap(), [LeaseStatus::Ok]);
    ack(&queue, &leases[1]).await;
    assert!(queue.order(Order::Flush).await.is_err(), "the death cannot be stored");
    rig.hand.advance(PROBE);
    assert!(queue.order(Order::Flush).await.is_err(), "nor can it now");
    let (told, rows) = mpsc::channel();
    tamper(&queue, move |db| {
        let rows = db.query_row("SELECT count(*) FROM jobs_p1", [], |row| row.get::<_, i64>(0));
        told.send(rows.unwrap()).unwrap();
    });
    assert_eq!(rows.recv().unwrap(), 1, "the ack passed the death");
    assert!(queue.order(Order::Flush).await.is_err(), "the clock stands");
    free_disk(&queue);
    rig.hand.advance(PROBE);
    flush(&queue).await;
    assert_eq!((queue.totals()[Tier::P1].dead, queue.totals()[Tier::P1].done), (1, 1));
    assert_balanced(&queue);
}

/// A file system of 24 MiB in memory; unmounted on drop.
struct SmallDisk(TempDir);

impl SmallDisk {
    /// `None`, with a printed word, where mounting is not allowed.
    fn mount() -> Option<SmallDisk> {
        let folder = tempfile::tempdir().unwrap();
        let mut mount = std::process::Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=24m", "tmpfs"]).arg(folder.path());
        if mount.output().is_ok_and(|mounted| mounted.status.success()) {
            return Some(SmallDisk(folder));
        }
        println!("skipped: mounting a small disk is not allowed here");
        None
    }

    fn open(&self, rig: &Rig) -> EmbeddedQueue {
        let path = self.0.path().join("queue.db");
        let settings = EmbeddedSettings {
            path,
            durability: EmbeddedDurability::Disk,
            max_bytes: 1 << 40,
            keys: rig.keys,
        };
        EmbeddedQueue::open(&settings, rig.rules, Clock::start()).unwrap()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg(self.0.path()).status();
    }
}

/// Stores jobs of 30 kB until the disk is full; how many it took.
async fn fill(rig: &Rig, queue: &EmbeddedQueue) -> u64 {
    let mut stored = 0;
    let payload = "x".repeat(30_000);
    loop {
        let Ok(storing) = queue.enqueue(Tier::P1, vec![rig.job(Tier::P1, &payload)]) else { return stored };
        match storing.await {
            Ok(_) => stored += 1,
            Err(refusal) => {
                assert_eq!(refusal, StoreError::Unavailable { detail: "the disk is full".into() });
                return stored;
            }
        }
    }
}

async fn lease_and_ack(queue: &EmbeddedQueue, count: usize) {
    for job in lease(queue, count).await {
        ack(queue, &job).await;
    }
}

async fn becomes_healthy(queue: &EmbeddedQueue) -> bool {
    let healthy = async {
        while queue.check_own_disk().is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), healthy).await.is_ok()
}

#[tokio::test]
async fn a_disk_filled_by_the_queue_itself_recovers_when_jobs_are_acknowledged() {
    let Some(disk) = SmallDisk::mount() else { return };
    let rig = Rig::new(Ordering::Pass);
    let queue = disk.open(&rig);
    for _ in 0..3 {
        let waiting = queue.totals()[Tier::P1].waiting + fill(&rig, &queue).await;
        assert!(waiting > 200, "{waiting}");
        assert!(queue.check_own_disk().is_err());
        lease_and_ack(&queue, 100).await;
        assert!(becomes_healthy(&queue).await, "100 of {waiting} jobs are done");
    }
    assert_balanced(&queue);
    let waiting = queue.totals()[Tier::P1].waiting;
    drop(queue);
    assert_eq!(disk.open(&rig).totals()[Tier::P1].recovered, waiting);
}

#[tokio::test]
async fn a_disk_filled_by_the_queue_itself_recovers_after_a_restart_too() {
    let Some(disk) = SmallDisk::mount() else { return };
    let rig = Rig::new(Ordering::Pass);
    let queue = disk.open(&rig);
    let stored = fill(&rig, &queue).await;
    lease_and_ack(&queue, 10).await;
    drop(queue);
    let queue = disk.open(&rig);
    assert_eq!(queue.totals()[Tier::P1].recovered, stored - 10, "the acks were stored");
    let stored = fill(&rig, &queue).await;
    while queue.totals()[Tier::P1].waiting > 0 {
        lease_and_ack(&queue, 1000).await;
    }
    assert!(becomes_healthy(&queue).await, "{stored} more jobs had filled the disk");
    store(&queue, vec![rig.job(Tier::P0, "again")]).await;
    assert_balanced(&queue);
}
