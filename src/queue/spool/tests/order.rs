//! Order per ordering key.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

#[tokio::test]
async fn jobs_of_a_key_queue_behind_its_spooled_ones_and_others_pass() {
    let mut bench = Bench::new();
    bench.is(Mode::Away);
    bench.put("k1", Some("k")).await;
    bench.is(Mode::Here);
    assert_eq!(bench.put("k2", Some("k")).await, Durability::Spooled);
    assert_eq!(bench.put("l1", Some("l")).await, Durability::Memory);
    assert_eq!(bench.put("x", None).await, Durability::Memory);
    bench.drain().await;
    assert_eq!(bench.put("k3", Some("k")).await, Durability::Memory);
    assert_eq!(bench.backend.payloads(Tier::P1).await, ["l1", "x", "k1", "k2", "k3"]);
}

#[tokio::test]
async fn behind_the_last_spooled_jobs_later_ones_wait_a_moment_and_go_straight() {
    let mut bench = Bench::new();
    bench.is(Mode::Away);
    bench.put("k1", Some("k")).await;
    bench.is(Mode::Refusing);
    assert_eq!(bench.drain.step(Tier::P1, u64::MAX, 1.0).await, Step::Idle, "the last one is on its way");
    bench.is(Mode::Here);
    let held = bench.queue.enqueue(Tier::P1, vec![job("k2", Some("k"))]).unwrap();
    assert_eq!(bench.spooled(Tier::P1), 1);
    bench.hand.advance(Duration::from_millis(100));
    assert_eq!(bench.drain.step(Tier::P1, u64::MAX, 1.0).await, Step::Moved);
    assert_eq!(held.await.unwrap().durability, Durability::Memory);
    assert_eq!(bench.backend.payloads(Tier::P1).await, ["k1", "k2"]);
}

#[tokio::test]
async fn a_key_under_which_jobs_keep_coming_leaves_the_spool_all_the_same() {
    let mut bench = Bench::new();
    bench.is(Mode::Away);
    bench.put("0", Some("k")).await;
    bench.is(Mode::Here);
    let mut storing = Vec::new();
    let mut straight = 0;
    for number in 1..200 {
        storing.push(bench.queue.enqueue(Tier::P1, vec![job(&number.to_string(), Some("k"))]).unwrap());
        bench.drain.step(Tier::P1, u64::MAX, 1.0).await;
        bench.hand.advance(Duration::from_millis(1));
    }
    for storing in storing {
        let stored = bench.answer(storing).await.unwrap();
        straight += usize::from(stored.durability == Durability::Memory);
    }
    bench.drain().await;
    assert!(straight > 100, "{straight} of 199 went straight");
    let expected: Vec<_> = (0..200).map(|number| number.to_string()).collect();
    assert_eq!(bench.backend.payloads(Tier::P1).await, expected);
}

#[tokio::test]
async fn jobs_that_wait_for_the_last_spooled_ones_are_spooled_when_those_do_not_go() {
    let mut bench = Bench::new();
    bench.is(Mode::Away);
    bench.put("k1", Some("k")).await;
    bench.is(Mode::Refusing);
    assert_eq!(bench.drain.step(Tier::P1, u64::MAX, 1.0).await, Step::Idle, "they are held from now on");
    let held = bench.queue.enqueue(Tier::P1, vec![job("k2", Some("k"))]).unwrap();
    assert_eq!(bench.spooled(Tier::P1), 1);
    bench.hand.advance(Duration::from_secs(1));
    bench.drain.step(Tier::P0, u64::MAX, 1.0).await;
    assert_eq!(
        held.await.unwrap().durability,
        Durability::Spooled,
        "another tier's step looks at the time too"
    );
    bench.is(Mode::Here);
    bench.hand.advance(Duration::from_secs(2));
    bench.drain().await;
    assert_eq!(bench.backend.payloads(Tier::P1).await, ["k1", "k2"]);
}

impl Bench {
    /// The answer to a call. Who waits for the last spooled jobs needs steps of the drain.
    async fn answer(&mut self, mut storing: Storing) -> Result<Stored, StoreError> {
        loop {
            match tokio::time::timeout(SHORT, &mut storing).await {
                Ok(answer) => return answer,
                Err(_) => {
                    self.hand.advance(SHORT);
                    self.drain.step(Tier::P1, u64::MAX, 1.0).await;
                }
            }
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Act {
    Put(u8),
    Be(Mode),
    Step,
    Restart,
}

fn act() -> impl Strategy<Value = Act> {
    let modes = prop_oneof![
        3 => Just(Mode::Here),
        2 => Just(Mode::Away),
        1 => Just(Mode::Refusing),
        1 => Just(Mode::CutAfter),
        1 => Just(Mode::CutBefore),
    ];
    prop_oneof![
        8 => (0..4_u8).prop_map(Act::Put),
        3 => modes.prop_map(Act::Be),
        4 => Just(Act::Step),
        1 => Just(Act::Restart),
    ]
}

/// Every receipt in order of its key, once each, whatever happened in between.
async fn plays(acts: Vec<Act>) {
    let mut bench = Bench::new();
    let mut receipts: HashMap<u8, Vec<String>> = HashMap::new();
    let mut unknown = Vec::new();
    for (number, act) in acts.into_iter().enumerate() {
        bench.hand.advance(Duration::from_millis(200));
        match act {
            Act::Put(key) => {
                let payload = format!("{key}-{number}");
                let held =
                    bench.queue.enqueue(Tier::P1, vec![job(&payload, Some(&key.to_string()))]).unwrap();
                match bench.answer(held).await {
                    Ok(_) => receipts.entry(key).or_default().push(payload),
                    Err(StoreError::Unknown) => unknown.push(payload),
                    Err(error) => panic!("{error}"),
                }
            }
            Act::Be(mode) => bench.is(mode),
            Act::Step => {
                bench.drain.step(Tier::P1, u64::MAX, 1.0).await;
            }
            Act::Restart => bench = bench.restarted().await,
        }
    }
    bench.is(Mode::Here);
    bench.hand.advance(Duration::from_secs(60));
    bench.drain().await;
    assert_eq!(bench.spooled(Tier::P1), 0);
    let mut there: HashMap<u8, Vec<String>> = HashMap::new();
    for payload in bench.backend.payloads(Tier::P1).await {
        if !unknown.contains(&payload) {
            there.entry(payload.as_bytes()[0] - b'0').or_default().push(payload);
        }
    }
    assert_eq!(there, receipts);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]
    #[test]
    fn per_key_jobs_arrive_once_and_in_the_order_of_their_receipts(acts in prop::collection::vec(act(), 1..60)) {
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(plays(acts));
    }
}
