//! The exchange is late, lost, empty, or out of one replica's reach.

use super::fleet::{Fleet, law};
use super::{DRAIN, TARGET, near, settled};

#[test]
fn while_the_exchange_is_lost_each_keeps_its_share_and_the_law_goes_on() {
    let mut fleet = settled(3, true);
    fleet.nodes[0].offered = 8_000.0;
    fleet.run(10.0);
    fleet.reach(false);
    // What was under way still arrives.
    fleet.run(0.5);
    let before = fleet.shares();
    let lost = fleet.measure(30.0);
    println!("lost for 30 s: {lost:.0}/s, peak {:.3}, {before:?}", fleet.peak / TARGET as f64);
    assert!(near(lost, DRAIN) && fleet.peak <= 1.1 * TARGET as f64);
    fleet.drain = 0.5 * DRAIN;
    let slower = fleet.measure(30.0);
    println!("lost, half the drain: {slower:.0}/s, peak {:.3}", fleet.peak / TARGET as f64);
    assert!(near(slower, 0.5 * DRAIN) && fleet.peak <= 1.1 * TARGET as f64);
    fleet.drain = DRAIN;
    fleet.run(20.0);
    let faster = fleet.measure(20.0);
    println!("lost, all the drain again: {faster:.0}/s, {:?}", fleet.shares());
    assert!(near(faster, DRAIN));
    assert_eq!(fleet.shares(), before);
}

#[test]
fn an_exchange_that_comes_back_empty_makes_nobody_take_all() {
    let mut fleet = settled(3, true);
    fleet.reach(false);
    fleet.run(10.0);
    fleet.wipe_board();
    fleet.reach(true);
    fleet.measure(3.0);
    println!("back with an empty board: worst second {:.3}, {:?}", fleet.worst_second(3), fleet.shares());
    assert!(fleet.worst_second(3) <= 1.1 && fleet.peak <= 1.1 * TARGET as f64);
    assert!(fleet.shares().iter().all(|share| *share < 0.4));
}

#[test]
fn one_that_alone_cannot_reach_the_exchange_passes_for_another_producer() {
    let mut fleet = settled(3, false);
    fleet.nodes[0].reaches = false;
    fleet.measure(3.0);
    let (surge, peak) = (fleet.worst_second(3), fleet.peak / TARGET as f64);
    let rate = fleet.measure(30.0);
    println!("one cut off: worst second {surge:.3}, peak {peak:.3}, then {rate:.0}/s, {:?}", fleet.shares());
    assert!(surge <= 1.3 && peak <= 1.1 && near(rate, DRAIN));
    fleet.nodes[0].reaches = true;
    fleet.run(5.0);
    let back = fleet.measure(10.0);
    println!("back: {back:.0}/s, {:?}", fleet.shares());
    assert!(near(back, DRAIN));
}

#[test]
fn a_newcomer_without_a_share_lets_in_the_least_rate() {
    let mut fleet = settled(2, false);
    fleet.join(2_000.0);
    fleet.nodes[2].reaches = false;
    fleet.run(10.0);
    println!("a newcomer that reaches nobody let in {} in 10 s", fleet.nodes[2].admitted);
    assert!((8..=12).contains(&fleet.nodes[2].admitted), "rate.min is 1/s");
    fleet.nodes[2].reaches = true;
    fleet.run(5.0);
    assert!(fleet.shares()[2] > 0.2, "{:?}", fleet.shares());
}

#[test]
fn replicas_that_see_the_same_error_with_different_eyes_do_not_drift_apart() {
    let mut fleet = Fleet::with(law(TARGET), DRAIN, 3, 2_000.0);
    fleet.by_chance = true;
    // One counts in a clock that is off: what it takes for the others' counts of a moment are those of a later one.
    fleet.nodes[0].slow = 40;
    fleet.run(300.0);
    let integrals: Vec<f64> = fleet.nodes.iter().map(|node| node.report.terms.integral).collect();
    let before = fleet.admitted();
    let rate = fleet.measure(30.0);
    let parts: Vec<u64> = fleet.admitted().iter().zip(before).map(|(after, before)| after - before).collect();
    println!("a clock 40 ms off: {parts:?} of {rate:.0}/s in 30 s, integrals {integrals:.1?}");
    assert!(near(rate, DRAIN));
    assert!(parts.iter().all(|part| (8_000..=12_000).contains(part)), "{parts:?}");
}

#[test]
fn a_drain_that_falls_tenfold_is_seen_a_little_later_than_alone() {
    for replicas in [1, 3] {
        let mut fleet = settled(replicas, false);
        fleet.drain = 0.1 * DRAIN;
        fleet.measure(20.0);
        let peak = fleet.peak / TARGET as f64;
        println!("a tenth of the drain, {replicas} replicas: peak {peak:.3} of the target");
        assert!(peak <= 1.2, "{peak}");
    }
}
