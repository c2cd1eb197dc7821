//! The law in a closed loop: what is played, and the bands it must hold. `cargo test closed_loop -- --nocapture` prints
//! the measured figures.

use std::time::Duration;

use crate::control::settings::Target;
use crate::regulator::plant::Scene;
use crate::regulator::settings::OnStale;

const fn sale(seconds: f64) -> f64 {
    match seconds {
        ..30.0 => 100.0,
        30.0..120.0 => 10_000.0,
        _ => 500.0,
    }
}

const fn one_tenth_from_40_to_80(seconds: f64) -> f64 {
    if seconds >= 40.0 && seconds < 80.0 { 100.0 } else { 1_000.0 }
}

const fn two_seconds_in_ten_idle(seconds: f64) -> f64 {
    if seconds % 10.0 < 2.0 { 0.0 } else { 1_000.0 }
}

const fn out_from_50_to_170(seconds: f64) -> bool {
    seconds >= 50.0 && seconds < 170.0
}

const TWO_SECONDS: Target =
    Target::Delay { delay: Duration::from_secs(2), at_least: 1_000, at_most: 1_000_000 };

#[test]
fn a_flash_sale_is_held_at_the_target() {
    let scene = Scene { seconds: 180, offered: sale, ..Scene::default() };
    scene.holds("flash sale 0.1x, 10x, 0.5x", 1.05, 0.999);
}

#[test]
fn a_flash_sale_with_jobs_on_their_way_for_300_ms_is_held_at_the_target() {
    let scene = Scene { seconds: 180, offered: sale, store_ms: 300, ..Scene::default() };
    scene.holds("flash sale, stores take 300 ms", 1.05, 0.995);
}

#[test]
fn a_drain_that_falls_tenfold_and_returns_overshoots_little() {
    let scene = Scene { drain: one_tenth_from_40_to_80, ..Scene::default() };
    scene.holds("drain falls 10x and returns", 1.13, 0.995);
}

#[test]
fn a_delay_target_follows_a_drain_that_falls_tenfold_and_returns() {
    let scene = Scene { target: TWO_SECONDS, drain: one_tenth_from_40_to_80, ..Scene::default() };
    // The depth can only sink as fast as workers drain: its ratio to a target that fell is no matter of the law.
    scene.holds("  with a delay of 2 s", f64::INFINITY, 0.995);
}

#[test]
fn a_noisy_drain_is_used_in_full() {
    let played = Scene { noise: 0.5, ..Scene::default() }.holds("drain noisy +-50 %", 1.10, 0.995);
    assert!(played.settled_error <= 0.05, "{played:?}");
}

#[test]
fn workers_that_pause_two_seconds_in_ten_find_work_when_they_return() {
    let scene = Scene { drain: two_seconds_in_ten_idle, ..Scene::default() };
    scene.holds("drain stops 2 s in 10", 1.16, 0.995);
    let scene = Scene { target: TWO_SECONDS, ..scene };
    scene.holds("  with a delay of 2 s", 1.16, 0.99);
}

#[test]
fn offsets_committed_every_five_seconds_are_seen_through() {
    let scene = Scene { seconds: 300, commit_ms: 5_000, ..Scene::default() };
    scene.holds("commits every 5 s", 1.05, 0.97);
    let sale = Scene { offered: sale, ..scene };
    sale.holds("  and a flash sale", 1.05, 0.95);
}

#[test]
fn a_delay_shorter_than_the_commit_interval_is_learned_from_below() {
    let scene = Scene { seconds: 600, target: TWO_SECONDS, commit_ms: 5_000, ..Scene::default() };
    scene.holds("  and a delay of 2 s", 1.05, 0.97);
}

#[test]
fn a_late_signal_costs_nothing_while_the_drain_is_steady() {
    let late = |delay_ms| Scene { seconds: 180, offered: sale, delay_ms, ..Scene::default() };
    late(1_000).holds("flash sale, signal 1 s late", 1.05, 0.999);
    late(2_000).holds("flash sale, signal 2 s late", 1.05, 0.989);
}

#[test]
fn a_late_signal_and_a_falling_drain_cost_what_the_delay_itself_costs() {
    let scene = Scene { delay_ms: 1_000, drain: one_tenth_from_40_to_80, ..Scene::default() };
    // What came in during the second before the fall could be known is half of this target.
    scene.holds("signal 1 s late, drain falls 10x", 1.6, 0.995);
}

#[test]
fn a_signal_lost_in_the_middle_of_a_spike_is_bridged_or_shut() {
    let scene = Scene { seconds: 240, lost: out_from_50_to_170, ..Scene::default() };
    scene.holds("signal lost 120 s, hold", 1.06, 0.995);
    let shut = Scene { on_stale: OnStale::Shut, ..scene };
    shut.holds("signal lost 120 s, shut", 1.06, 0.5);
}

#[test]
fn eight_jobs_a_second_are_held_as_well() {
    let slow = Scene {
        seconds: 300,
        target: Target::Depth(50),
        offered: |_| 80.0,
        drain: |_| 8.0,
        ..Scene::default()
    };
    slow.holds("8 jobs/s, target 50", 1.03, 0.999);
    Scene { irregular: true, ..slow }.holds("  served by chance", 1.12, 0.97);
}

#[test]
fn a_restart_before_a_backlog_admits_nothing_until_it_is_worked_off() {
    let scene = Scene { backlog: 10_000, ..Scene::default() };
    let played = scene.holds("restart with backlog 5x", 5.0, 0.999);
    assert!(played.settled_error <= 0.01, "{played:?}");
    let short = Scene { seconds: 5, offered: |_| 1_000.0, ..scene };
    assert_eq!(short.play().refused, 5_000);
}

#[test]
fn a_spike_after_a_long_idle_time_fills_the_queue_at_once_and_no_further() {
    let idle = |t| match t {
        ..20.0 => 100.0,
        20.0..600.0 => 0.0,
        _ => 10_000.0,
    };
    Scene { seconds: 660, offered: idle, ..Scene::default() }.holds("10 min idle, then a spike", 1.05, 0.999);
}

#[test]
fn an_empty_new_queue_simply_fills() {
    let scene = Scene { seconds: 1, offered: |_| 1_900.0, drain: |_| 0.0, ..Scene::default() };
    assert_eq!(scene.play().refused, 0);
}

#[test]
fn clients_that_obey_return_once_and_not_together() {
    let storm = Scene {
        seconds: 300,
        target: Target::Depth(6_000),
        drain: |_| 200.0,
        offered: |t| if t < 10.0 { 2_000.0 } else { 0.0 },
        obedient: true,
        ..Scene::default()
    };
    let played = storm.holds("20,000 clients in 10 s, 200/s", 1.05, 0.995);
    assert!(played.requests_per_job <= 1.75 && played.return_peak <= 1.3, "{played:?}");
}

#[test]
fn a_storm_longer_than_the_queue_keeps_the_workers_busy() {
    let storm = Scene {
        seconds: 500,
        drain: |_| 200.0,
        offered: |t| if t < 60.0 { 2_000.0 } else { 0.0 },
        obedient: true,
        ..Scene::default()
    };
    let played = storm.holds("120,000 clients in 60 s, 200/s", 1.05, 0.97);
    // The ledger's share, and the queue on top of it.
    assert!(played.admitted as f64 >= 2_000.0 + 0.85 * 500.0 * 200.0, "{played:?}");
    assert!(played.return_peak <= 1.3, "{played:?}");
}

#[test]
fn a_storm_after_a_trickle_is_not_sent_away_for_minutes() {
    let storm = Scene {
        seconds: 200,
        drain: |_| 200.0,
        offered: |t| match t {
            ..60.0 => 1.0,
            60.0..60.1 => 100_000.0,
            _ => 0.0,
        },
        obedient: true,
        ..Scene::default()
    };
    let played = storm.holds("1/s, then 10,000 clients in 0.1 s", 1.05, 0.98);
    assert!(played.admitted >= 10_000 && played.requests_per_job <= 1.9, "{played:?}");
}

#[test]
fn what_workers_can_take_is_never_refused() {
    let scene = Scene { noise: 0.5, offered: |_| 950.0, ..Scene::default() };
    assert_eq!(scene.play().refused, 0);
}

#[test]
fn a_spike_that_a_late_signal_has_not_seen_is_counted_in_full() {
    let pause = |t| if (20.0..60.0).contains(&t) { 0.0 } else { 10_000.0 };
    let scene = Scene { delay_ms: 1_000, offered: pause, ..Scene::default() };
    scene.holds("signal 1 s late, a pause, a spike", 1.06, 0.99);
}

#[test]
fn workers_that_come_late_or_return_are_learned_at_once() {
    let scene = Scene {
        target: TWO_SECONDS,
        drain: |t| if t < 40.0 || (60.0..200.0).contains(&t) { 0.0 } else { 1_000.0 },
        seconds: 240,
        ..Scene::default()
    };
    // A target that fades with the workers falls below what already waits.
    scene.holds("workers only at 40-60 s and 200 s on", 2.11, 0.99);
}

#[test]
fn a_fall_between_two_commits_costs_no_more_than_they_hide() {
    let scene = Scene {
        seconds: 200,
        target: Target::Depth(20_000),
        commit_ms: 5_000,
        drain: |t| if t < 102.0 { 1_000.0 } else { 100.0 },
        ..Scene::default()
    };
    scene.holds("commits every 5 s, drain falls 10x", 1.35, 0.97);
}
