//! Who gets a slot, who gives one up, and when, on a clock that stands still otherwise.

use std::time::Duration;

use tokio::io::duplex;
use tokio::time::timeout;

use super::*;
use crate::server::listen::patience::{Answering, Patience};

/// A new connection in the stage of one whose head is due.
fn stage() -> Stage {
    Patience::new(duplex(1).1, Duration::from_secs(5)).stage()
}

async fn connect(slots: &Arc<Slots>) -> Arc<Slot> {
    slots.take(slots.permit().await.unwrap(), stage())
}

/// A connection with a request that is being answered.
struct Busy {
    slot: Arc<Slot>,
    answering: Option<Answering>,
}

impl Busy {
    async fn connect(slots: &Arc<Slots>) -> Busy {
        let slot = connect(slots).await;
        assert!(slot.is_served_now());
        let answering = Some(slot.stage().answering());
        Busy { slot, answering }
    }

    /// Its answer is made: it is idle.
    fn answered(&mut self) {
        self.answering = None;
    }
}

impl std::ops::Deref for Busy {
    type Target = Slot;

    fn deref(&self) -> &Slot {
        &self.slot
    }
}

/// Slots for two, both taken, and their usher at work.
async fn full() -> (Arc<Slots>, [Busy; 2]) {
    let slots = Slots::new(2, Duration::from_secs(5), Arc::default());
    let taken = [Busy::connect(&slots).await, Busy::connect(&slots).await];
    let ushered = Arc::clone(&slots);
    tokio::spawn(async move { ushered.usher().await });
    (slots, taken)
}

async fn is_told_to_leave(slot: &Slot) -> Option<Leave> {
    timeout(Duration::from_secs(1), slot.told_to_leave()).await.ok()
}

#[tokio::test(start_paused = true)]
async fn who_is_heard_gets_the_slot_of_an_idle_connection() {
    let (slots, [mut idle, busy]) = full().await;
    idle.answered();
    let heard = connect(&slots).await;
    assert!(!heard.is_served_now() && heard.ends_with_answer());
    let leaves = tokio::spawn(async move {
        assert_eq!(idle.told_to_leave().await, Leave::WhenAnswered);
    });
    assert!(heard.is_served_soon().await);
    leaves.await.unwrap();
    assert!(!heard.ends_with_answer() && !busy.ends_with_answer(), "nobody waits any more");
    assert_eq!(is_told_to_leave(&busy).await, None);
    assert_eq!((slots.count.used(), slots.demand(), slots.leaving.load(Ordering::Relaxed)), (2, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_busy_connection_gives_way_after_its_answer_and_only_as_many_as_wait() {
    let (slots, [first, second]) = full().await;
    let heard = connect(&slots).await;
    let waits = tokio::spawn(async move { heard.is_served_soon().await });
    tokio::task::yield_now().await;
    assert!(first.ends_with_answer());
    assert!(!second.ends_with_answer(), "one waits, one leaves");
    drop(first);
    assert!(waits.await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn where_nobody_gives_way_the_wait_is_short() {
    let (slots, _busy) = full().await;
    let heard = connect(&slots).await;
    assert!(timeout(SLOT_TIME * 2, heard.is_served_soon()).await.is_ok_and(|served| !served));
    assert_eq!(slots.demand(), 0);
}

#[tokio::test(start_paused = true)]
async fn where_waiting_is_vain_nobody_waits_until_somebody_is_answered() {
    let (slots, [mut busy, _other]) = full().await;
    let heard = connect(&slots).await;
    assert!(!heard.is_served_soon().await);
    sleep(ROUND).await;
    assert!(timeout(Duration::from_millis(1), heard.is_served_soon()).await.is_ok_and(|served| !served));
    assert!(!busy.ends_with_answer(), "nobody waits now");
    busy.answered();
    assert!(heard.is_served_soon().await || timeout(SLOT_TIME, busy.told_to_leave()).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_request_beside_another_has_a_slot_of_its_own_and_is_never_told_to_leave() {
    let slots = Slots::new(2, Duration::from_secs(5), Arc::default());
    let busy = Busy::connect(&slots).await;
    let beside = busy.one_beside().expect("a slot");
    assert!(beside.is_served_now());
    let heard: Vec<_> = std::iter::from_fn(|| busy.one_beside()).collect();
    assert_eq!(heard.len(), most_heard(2));
    assert!(heard.iter().all(|slot| !slot.is_served_now() && slot.ends_with_answer()));
    assert_eq!(slots.count.used(), 2 + u64::try_from(most_heard(2)).unwrap());

    let _blocked = slots.block();
    let ushered = Arc::clone(&slots);
    tokio::spawn(async move { ushered.usher().await });
    for slot in [&beside, &heard[0]] {
        assert_eq!(is_told_to_leave(slot).await, None);
    }
    drop((beside, heard));
    assert_eq!(slots.count.used(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_slow_head_gives_way_only_where_nobody_can_be_accepted() {
    let (slots, _busy) = full().await;
    let mut heads = Vec::new();
    for _ in 0..most_heard(2) {
        heads.push(connect(&slots).await);
    }
    let waits = Arc::clone(&heads[1]);
    assert!(!waits.is_served_soon().await);
    assert_eq!(is_told_to_leave(&heads[0]).await, None, "a head has its time while others can be accepted");

    let next = tokio::spawn({
        let slots = Arc::clone(&slots);
        async move { slots.permit().await }
    });
    assert_eq!(is_told_to_leave(&heads[0]).await, Some(Leave::AtOnce));
    heads.swap_remove(0);
    assert!(matches!(next.await.unwrap(), Some(Permit::Heard(_))));
    assert_eq!(slots.demand(), 0);
}

#[tokio::test(start_paused = true)]
async fn who_should_have_left_long_ago_is_not_counted_on() {
    let (slots, [mut stuck, mut other]) = full().await;
    stuck.answered();
    let heard = connect(&slots).await;
    assert!(!heard.is_served_soon().await);
    assert!(!slots.round_finds(&stuck), "it was told once");
    other.answered();
    let mut told = Box::pin(other.told_to_leave());
    for _ in 0..OVERDUE_ROUNDS {
        select! {
            biased;
            told = &mut told => return assert_eq!(told, Leave::WhenAnswered),
            served = heard.is_served_soon() => assert!(!served),
        }
    }
    panic!("the other one stays though somebody waits");
}

#[tokio::test(start_paused = true)]
async fn a_request_that_comes_just_then_is_answered() {
    let (slots, [slow, _busy]) = full().await;
    slow.at_once.store(true, Ordering::Relaxed);
    slow.leave.notify_one();
    assert_eq!(is_told_to_leave(&slow).await, Some(Leave::WhenAnswered));
    drop(slots);
}

impl Slots {
    fn round_finds(&self, slot: &Slot) -> bool {
        self.round();
        slot.stays()
    }
}
