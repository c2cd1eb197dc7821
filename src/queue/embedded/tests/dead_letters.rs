//! Dead letters and their second lives.

use super::*;
use crate::queue::dead_letter::{DeadLetterQuery, PurgeResult, ReplayResult};

fn query(limit: usize) -> DeadLetterQuery {
    DeadLetterQuery { limit, ..DeadLetterQuery::default() }
}

/// Fails every attempt of the one job there is.
async fn wear_out(rig: &Rig, queue: &EmbeddedQueue, reasons: [&str; 3]) {
    for reason in reasons {
        let job = lease_one(queue).await.unwrap();
        nack(queue, &job, Nack { reason: Some(reason.into()), ..Nack::default() }).await;
        rig.hand.advance(Duration::from_secs(10));
    }
}

async fn bury(queue: &EmbeddedQueue, count: usize) {
    for job in lease(queue, count).await {
        nack(queue, &job, Nack { dead: true, ..Nack::default() }).await;
    }
}

#[tokio::test]
async fn the_last_attempt_makes_a_dead_letter_that_knows_its_history() {
    let rig = Rig::new(Ordering::Pass);
    let queue = rig.open();
    let job = rig.job(Tier::P1, "payload");
    let start = rig.clock.wall();
    store(&queue, vec![job.clone()]).await;
    wear_out(&rig, &queue, ["one", "two", "three"]).await;
    let page = queue.dead_letters(query(10)).await.unwrap();
    assert_eq!((page.dead_letters.len(), page.next), (1, None));
    let summary = &page.dead_letters[0];
    assert_eq!((summary.id, summary.tier, summary.size), (job.id, Tier::P1, 7));
    assert_eq!((summary.death.attempts, summary.death.reason.as_str()), (3, "three"));
    assert_eq!(summary.death.first_failed_at, start);
    assert_eq!(summary.death.died_at, start.plus(Duration::from_secs(20)));
    let letter = queue.dead_letter(job.id).await.unwrap().unwrap();
    assert_eq!((letter.job, &letter.death), (job, &summary.death));
    let reading = queue.backlog().await[Tier::P1].clone().unwrap();
    assert_eq!((reading.backlog.depth(), reading.flows.dead), (0, 1));
    assert_balanced(&queue);
}

#[tokio::test]
async fn a_replayed_job_lives_again_and_its_second_death_remembers_the_first() {
    let rig = Rig::new(Ordering::Pass);
    let queue = rig.open();
    let job = rig.job(Tier::P1, "payload");
    let start = rig.clock.wall();
    store(&queue, vec![job.clone()]).await;
    wear_out(&rig, &queue, ["a", "b", "c"]).await;
    assert_eq!(
        queue.replay(vec![job.id, job.id]).await.unwrap(),
        [ReplayResult::Replayed, ReplayResult::Unknown]
    );
    let reading = queue.backlog().await[Tier::P1].clone().unwrap();
    assert_eq!((reading.backlog.waiting, reading.flows.replayed, reading.flows.stored), (1, 1, 1));
    assert_eq!(queue.totals()[Tier::P1].dead, 0);
    assert_balanced(&queue);
    let again = lease_one(&queue).await.unwrap();
    assert_eq!((again.attempt, &again.job), (1, &job));
    nack(&queue, &again, Nack::default()).await;
    rig.hand.advance(Duration::from_secs(10));
    assert_eq!(lease_one(&queue).await.unwrap().attempt, 2);
    rig.hand.advance(PERIOD);
    lease_one(&queue).await;
    flush(&queue).await;
    rig.hand.advance(Duration::from_secs(10));
    let last = lease_one(&queue).await.unwrap();
    nack(&queue, &last, Nack { reason: Some("d".into()), ..Nack::default() }).await;
    let death = queue.dead_letter(job.id).await.unwrap().unwrap().death;
    assert_eq!((death.attempts, death.reason.as_str()), (6, "d"));
    assert_eq!(death.first_failed_at, start);
    assert_balanced(&queue);
}

#[tokio::test]
async fn replayed_jobs_wait_behind_what_is_there_and_survive_a_restart() {
    let rig = Rig::new(Ordering::Pass);
    let queue = rig.open();
    let dead = rig.job(Tier::P1, "dead");
    store(&queue, vec![dead.clone()]).await;
    bury(&queue, 1).await;
    store(&queue, vec![rig.job(Tier::P1, "there")]).await;
    queue.replay(vec![dead.id]).await.unwrap();
    store(&queue, vec![rig.job(Tier::P1, "later")]).await;
    drop(queue);
    assert_eq!(payloads(&lease(&rig.open(), 10).await), ["there", "dead", "later"]);
}

#[tokio::test]
async fn purged_letters_are_gone_and_counted_and_do_not_touch_the_depth() {
    let rig = Rig::new(Ordering::Pass);
    let queue = rig.open();
    let jobs = ["a", "b"].map(|payload| rig.job(Tier::P2, payload));
    store(&queue, jobs.to_vec()).await;
    bury(&queue, 1).await;
    let unknown = random::job_id(rig.clock.wall());
    assert_eq!(
        queue.purge(vec![unknown, jobs[0].id]).await.unwrap(),
        [PurgeResult::Unknown, PurgeResult::Purged]
    );
    assert_eq!(queue.dead_letter(jobs[0].id).await.unwrap(), None);
    let totals = queue.totals()[Tier::P2];
    assert_eq!((totals.purged, totals.dead, totals.waiting), (1, 0, 1));
    assert_balanced(&queue);
}

#[tokio::test]
async fn pages_follow_each_other_oldest_first_and_by_tier() {
    let rig = Rig::new(Ordering::Pass);
    let queue = rig.open();
    for tier in [Tier::P0, Tier::P2, Tier::P0, Tier::P0] {
        store(&queue, vec![rig.job(tier, "x")]).await;
        bury(&queue, 1).await;
    }
    let first = queue.dead_letters(query(3)).await.unwrap();
    assert_eq!(first.dead_letters.len(), 3);
    let second = queue.dead_letters(DeadLetterQuery { after: first.next, ..query(3) }).await.unwrap();
    assert_eq!((second.dead_letters.len(), second.next), (1, None));
    let critical = DeadLetterQuery { tier: Some(Tier::P0), ..query(2) };
    let page = queue.dead_letters(critical.clone()).await.unwrap();
    assert_eq!(page.dead_letters.len(), 2);
    let rest = queue.dead_letters(DeadLetterQuery { after: page.next, ..critical }).await.unwrap();
    assert_eq!((rest.dead_letters.len(), rest.next), (1, None));
    assert!(rest.dead_letters[0].tier == Tier::P0);
}

#[tokio::test]
async fn dead_letters_survive_a_restart_and_are_counted_at_start() {
    let rig = Rig::new(Ordering::Pass);
    let queue = rig.open();
    store(&queue, vec![rig.job(Tier::P0, "x")]).await;
    bury(&queue, 1).await;
    drop(queue);
    let queue = rig.open();
    let totals = queue.totals()[Tier::P0];
    assert_eq!((totals.dead_at_start, totals.dead, totals.recovered), (1, 1, 0));
    assert_eq!(queue.dead_letters(query(10)).await.unwrap().dead_letters.len(), 1);
    assert_balanced(&queue);
}
