//! Records that are not what was written: never handed out, never lost from sight, and harmless to others.

use super::*;
use crate::queue::dead_letter::{DeadLetterQuery, PurgeResult, ReplayResult};
use crate::queue::embedded::record::DAMAGED;

/// Turns a stored record's last payload byte over.
const FLIP: &str =
    "job = CAST(substr(job, 1, length(job) - 5) || x'ff' || substr(job, length(job) - 3) AS BLOB)";

fn change(rig: &Rig, sql: &str) {
    let db = rusqlite::Connection::open(rig.settings().path).unwrap();
    db.execute_batch(&sql.replace("FLIP", FLIP)).unwrap();
}

async fn bury(queue: &EmbeddedQueue, reason: &str) {
    for job in lease(queue, 100).await {
        nack(queue, &job, Nack { dead: true, reason: Some(reason.into()), ..Nack::default() }).await;
    }
}

async fn letters(queue: &EmbeddedQueue) -> Vec<(JobId, u64, String)> {
    let query = DeadLetterQuery { limit: 100, ..DeadLetterQuery::default() };
    let page = queue.dead_letters(query).await.unwrap();
    page.dead_letters.into_iter().map(|letter| (letter.id, letter.size, letter.death.reason)).collect()
}

#[tokio::test]
async fn a_damaged_waiting_job_goes_to_the_dead_letters_and_is_never_delivered() {
    let rig = Rig::new(Ordering::Pass);
    let queue = rig.open();
    let jobs = ["good", "evil", "fine"].map(|payload| rig.job(Tier::P1, payload));
    store(&queue, jobs.to_vec()).await;
    drop(queue);
    change(&rig, "UPDATE jobs_p1 SET FLIP WHERE seq = 2");
    let queue = rig.open();
    assert_eq!(payloads(&lease(&queue, 10).await), ["good", "fine"]);
    assert_balanced(&queue);
    let evil = jobs[1].id;
    assert_eq!(letters(&queue).await, [(evil, 4, DAMAGED.to_owned())]);
    let shown = queue.dead_letter(evil).await.unwrap().unwrap();
    assert_eq!((shown.job.payload.as_ref(), shown.death.attempts), (b"evi\xff".as_slice(), 0));
    assert_eq!(queue.replay(vec![evil]).await.unwrap(), [ReplayResult::Unknown]);
    assert_eq!(letters(&queue).await.len(), 1, "a refused replay keeps it");
    assert_eq!(queue.totals()[Tier::P1].dead, 1);
    assert_eq!(queue.purge(vec![evil]).await.unwrap(), [PurgeResult::Purged]);
    assert_balanced(&queue);
    assert_eq!(queue.check_own_disk(), Ok(()));
}

#[tokio::test]
async fn a_poll_passes_over_damaged_jobs_to_the_first_sound_one() {
    let rig = Rig::new(Ordering::Pass);
    let queue = rig.open();
    store(&queue, ["a", "b", "c"].map(|payload| rig.job(Tier::P1, payload)).to_vec()).await;
    drop(queue);
    change(&rig, "UPDATE jobs_p1 SET FLIP WHERE seq < 3");
    let queue = rig.open();
    assert_eq!(payloads(&lease(&queue, 1).await), ["c"]);
    assert_eq!(letters(&queue).await.len(), 2);
    assert_balanced(&queue);
}

#[tokio::test]
async fn a_dead_letter_that_cannot_be_read_is_listed_and_harms_no_other() {
    let rig = Rig::new(Ordering::Pass);
    let queue = rig.open();
    let jobs = ["a", "b", "c", "d"].map(|payload| rig.job(Tier::P1, payload));
    store(&queue, jobs.to_vec()).await;
    bury(&queue, "boom").await;
    drop(queue);
    change(
        &rig,
        "UPDATE dead SET job = x'0102' WHERE seq = 1; UPDATE dead SET history = x'ff' WHERE seq = 2;
         UPDATE dead SET FLIP WHERE seq = 3;",
    );
    let queue = rig.open();
    let damaged = format!("{DAMAGED}; it had died of: boom");
    let expected = [(2, damaged.clone()), (1, DAMAGED.to_owned()), (1, damaged), (1, "boom".to_owned())];
    let expected: Vec<_> =
        jobs.iter().zip(expected).map(|(job, (size, reason))| (job.id, size, reason)).collect();
    assert_eq!(letters(&queue).await, expected);
    let shown = queue.dead_letter(jobs[0].id).await.unwrap().unwrap();
    assert_eq!((shown.job.id, shown.job.payload.len()), (jobs[0].id, 0));
    let ids: Vec<_> = jobs.iter().map(|job| job.id).collect();
    use ReplayResult::{Replayed, Unknown};
    // The second's job is sound, only its past is not known.
    assert_eq!(queue.replay(ids.clone()).await.unwrap(), [Unknown, Replayed, Unknown, Replayed]);
    use PurgeResult::{Purged, Unknown as Gone};
    assert_eq!(queue.purge(ids).await.unwrap(), [Purged, Gone, Purged, Gone]);
    assert_eq!(payloads(&lease(&queue, 10).await), ["b", "d"]);
    assert_eq!(queue.check_own_disk(), Ok(()));
    assert_balanced(&queue);
}

#[tokio::test]
async fn a_retry_whose_past_is_damaged_is_still_delivered() {
    let rig = Rig::new(Ordering::Pass);
    let queue = rig.open();
    store(&queue, vec![rig.job(Tier::P1, "a")]).await;
    let job = lease_one(&queue).await.unwrap();
    nack(&queue, &job, Nack::default()).await;
    drop(queue);
    change(&rig, "UPDATE jobs_p1 SET history = x'ff'");
    rig.hand.advance(Duration::from_secs(10));
    let queue = rig.open();
    assert_eq!(payloads(&lease(&queue, 10).await), ["a"]);
    assert_eq!(queue.check_own_disk(), Ok(()));
}
