//! What several gateways let in together, beside what one does. Each test prints what it measured (`-- --nocapture`).

mod fleet;
mod troubles;

use fleet::{Fleet, law};

use crate::domain::tier::Tier;

const TARGET: u64 = 2_000;
const DRAIN: f64 = 1_000.0;

/// So many replicas in an overload of six times the drain, and time to settle.
fn settled(replicas: u64, by_chance: bool) -> Fleet {
    let mut fleet = Fleet::with(law(TARGET), DRAIN, replicas, 6_000.0 / replicas as f64);
    fleet.by_chance = by_chance;
    fleet.run(30.0);
    fleet
}

fn near(value: f64, expected: f64) -> bool {
    (value / expected - 1.0).abs() <= 0.05
}

#[test]
fn a_sale_of_a_hundred_times_the_load_overshoots_hardly_more_than_with_one_gateway() {
    for (by_chance, latency) in [(false, 4), (true, 4), (true, 60), (true, 250)] {
        let mut alone = 0.0;
        for replicas in [1, 2, 3, 8] {
            let mut fleet = Fleet::with(law(TARGET), DRAIN, replicas, 100.0 / replicas as f64);
            (fleet.by_chance, fleet.latency) = (by_chance, latency);
            fleet.run(10.0);
            fleet.offer(10_000.0 / replicas as f64);
            fleet.measure(20.0);
            let (peak, used) = (fleet.peak / TARGET as f64, fleet.drained / (20.0 * DRAIN));
            let steady = fleet.measure(40.0);
            println!(
                "sale, {replicas} replicas, by chance {by_chance}, exchange {latency} ms: peak {peak:.3} of the \
                 target, use {used:.3}, steady {steady:.1}/s, then peak {:.3}",
                fleet.peak / TARGET as f64
            );
            assert!(peak <= 1.10 && used >= 0.99, "{peak} {used}");
            alone = if replicas == 1 { steady } else { alone };
            assert!(near(steady, alone), "{steady} beside {alone}");
        }
    }
}

#[test]
fn who_joins_leaves_or_dies_makes_no_surge() {
    for by_chance in [false, true] {
        let mut fleet = settled(2, by_chance);
        let mut turn = |name: &str, deed: fn(&mut Fleet), worst: f64| {
            deed(&mut fleet);
            fleet.measure(3.0);
            let surge = fleet.worst_second(3);
            let after = fleet.measure(10.0);
            println!(
                "{name}: worst second {surge:.3} of the drain, afterwards {after:.0}/s, {:?}",
                fleet.shares()
            );
            assert!(surge <= worst && near(after, DRAIN), "{surge} {after}");
            let even = 1.0 / fleet.nodes.len() as f64;
            assert!(fleet.shares().iter().all(|share| (share - even).abs() < 0.05));
        };
        turn("one joins", |fleet| fleet.join(3_000.0), 1.1);
        turn("one dies", |fleet| fleet.crash(2), 1.3);
        turn("one stops", |fleet| fleet.leave(3), 1.1);
    }
}

#[test]
fn who_is_asked_for_more_lets_in_more() {
    let mut fleet = settled(3, true);
    let offered = [10_000.0, 1_000.0, 100.0];
    fleet.nodes.iter_mut().zip(offered).for_each(|(node, offered)| node.offered = offered);
    fleet.measure(3.0);
    let surge = fleet.worst_second(3);
    let before = fleet.admitted();
    let rate = fleet.measure(20.0);
    let parts: Vec<u64> = fleet.admitted().iter().zip(before).map(|(after, before)| after - before).collect();
    println!(
        "uneven: {parts:?} of {rate:.0}/s in 20 s, worst second {surge:.3}, shares {:?}",
        fleet.shares()
    );
    assert!(surge <= 1.3 && near(rate, DRAIN));
    assert!((16_500..=18_500).contains(&parts[0]) && (1_500..=2_500).contains(&parts[1]), "{parts:?}");
    assert!(parts[2] >= 150, "{parts:?}");
}

#[test]
fn what_an_idle_replica_does_not_use_is_lent_within_five_seconds_and_given_back() {
    let mut fleet = settled(3, false);
    fleet.nodes[0].offered = 0.0;
    let at_once = fleet.measure(5.0);
    let share = fleet.shares()[0];
    let lent = fleet.measure(10.0);
    fleet.nodes[0].offered = 2_000.0;
    fleet.measure(3.0);
    println!(
        "idle: {at_once:.0}/s in the first 5 s, {lent:.0}/s after; share {share:.3}, then {:?}",
        fleet.shares()
    );
    assert!(near(at_once, DRAIN) && near(lent, DRAIN) && share < 0.02);
    assert!(fleet.shares()[0] > 0.3 && fleet.worst_second(3) <= 1.3);
}

#[test]
fn a_rate_that_operators_bounded_is_split_and_not_multiplied() {
    let mut settings = law(TARGET);
    settings.tiers[Tier::P1].rate.max = crate::domain::units::Rate::per_second(300.0);
    let mut fleet = Fleet::with(settings, DRAIN, 3, 2_000.0);
    fleet.measure(10.0);
    let bounded = fleet.measure(20.0);
    println!("rate.max 300: {bounded:.1}/s");
    assert!(near(bounded, 300.0));
}

#[test]
fn the_hard_bound_is_of_all_together() {
    let mut settings = law(TARGET);
    settings.tiers[Tier::P1].max_depth = 1_000;
    for replicas in [1, 3, 8] {
        let mut fleet = Fleet::with(settings.clone(), 0.0, replicas, 30.0 / replicas as f64);
        fleet.run(3.0);
        fleet.offer(10_000.0 / replicas as f64);
        fleet.measure(5.0);
        println!("max_depth 1,000, nothing drained, {replicas} replicas: peak {:.0}", fleet.peak);
        assert!((950.0..=1_080.0).contains(&fleet.peak));
    }
}

#[test]
fn eight_jobs_a_second_are_shared_too() {
    for by_chance in [false, true] {
        let mut fleet = Fleet::with(law(50), 8.0, 3, 30.0);
        fleet.by_chance = by_chance;
        fleet.run(60.0);
        let rate = fleet.measure(120.0);
        println!(
            "8 jobs/s: {rate:.2}/s, peak {:.3} of the target, {:?}",
            fleet.peak / 50.0,
            fleet.admitted()
        );
        assert!(near(rate, 8.0) && fleet.peak <= 1.15 * 50.0);
        assert!(fleet.admitted().iter().all(|admitted| *admitted > 300));
    }
}

#[test]
fn the_promises_of_all_together_are_those_of_one_gateway() {
    let requests_per_job = |replicas: u64| {
        let mut fleet = Fleet::with(law(4_000), 2_000.0, replicas, 1_000.0 / replicas as f64);
        (fleet.obey, fleet.by_chance) = (true, true);
        fleet.run(30.0);
        fleet.offer(21_000.0 / replicas as f64);
        fleet.run(10.0);
        fleet.offer(300.0 / replicas as f64);
        fleet.run(140.0);
        let jobs: u64 = fleet.admitted().iter().sum();
        let (requests, most) = (fleet.requests as f64 / jobs as f64, *fleet.returns.iter().max().unwrap());
        println!("storm, {replicas} replicas: {requests:.2} requests per job, {most} returns in a second");
        assert_eq!(fleet.waiting(), 0);
        (requests, most as f64)
    };
    let (alone, together) = (requests_per_job(1), requests_per_job(3));
    assert!(together.0 <= 1.05 * alone.0 && together.1 <= 1.1 * alone.1);
}

#[test]
fn consumption_that_shows_in_commits_is_not_mistaken_for_a_trickle() {
    let mut fleet = Fleet::with(law(6_000), DRAIN, 3, 1_000.0);
    fleet.commits_every = 5_000;
    fleet.run(60.0);
    fleet.measure(60.0);
    let (peak, used) = (fleet.peak / 6_000.0, fleet.drained / (60.0 * DRAIN));
    println!("commits every 5 s: peak {peak:.3}, use {used:.3}");
    assert!((0.9..=1.1).contains(&peak) && used >= 0.98);
}

#[test]
fn a_crowd_within_one_exchange_finds_the_room_split() {
    for replicas in [1, 3] {
        let mut fleet = Fleet::with(law(TARGET), DRAIN, replicas, 100.0 / replicas as f64);
        fleet.by_chance = true;
        fleet.run(10.0);
        fleet.offer(100_000.0 / replicas as f64);
        fleet.measure(2.0);
        let peak = fleet.peak / TARGET as f64;
        println!("a thousand times the load, {replicas} replicas: peak {peak:.3} of the target");
        assert!(peak <= 1.15, "{peak}");
    }
}
