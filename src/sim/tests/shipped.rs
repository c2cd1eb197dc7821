//! Every scenario that is shipped is played and holds its bands. `cargo test --lib shipped -- --nocapture` prints them.

use crate::policy::DEFAULT_DOCUMENT;
use crate::sim::document::read_draft;
use crate::sim::laws::LawName;
use crate::sim::play::play;
use crate::sim::report::Report;

fn holds(document: &str, name: &str) {
    let draft = read_draft(document, name).unwrap();
    assert_eq!(draft.policy.as_ref().unwrap().path, "../../policies/default.yaml");
    let scenario = draft.under(DEFAULT_DOCUMENT, "policies/default.yaml").unwrap();
    assert!(!scenario.expect.is_empty(), "{name} expects nothing");
    let report = Report::new(&scenario, &play(&scenario, LawName::Tidegate));
    println!("{}", report.table());
    assert!(report.passed(), "{}", report.table());
}

/// One test for each file in `load-tests/sim/`.
macro_rules! shipped {
    ($($test:ident: $file:literal,)*) => {
        $(
            #[test]
            fn $test() {
                holds(include_str!(concat!("../../../load-tests/sim/", $file)), $file);
            }
        )*
    };
}

shipped! {
    a_bulk_flood_on_a_shared_pool: "bulk-flood.yaml",
    commits_every_5_s_with_a_target_of_2_s: "commits-every-5s-target-2s.yaml",
    commits_every_5_s_with_a_target_of_6_s: "commits-every-5s-target-6s.yaml",
    an_idle_share_that_is_lent_and_returned: "critical-share.yaml",
    a_drain_that_falls_tenfold: "drain-falls.yaml",
    a_drain_that_pauses: "drain-pauses.yaml",
    eight_jobs_a_second: "eight-per-second.yaml",
    expired_and_dead_lettered_jobs: "expired-and-dead.yaml",
    a_flash_sale: "flash-sale.yaml",
    a_storm_of_which_half_ignores_what_it_is_told: "half-ignore.yaml",
    a_long_idle_time_and_a_spike: "idle-then-spike.yaml",
    a_million_jobs_a_second: "million-per-second.yaml",
    workers_that_scale_up_fivefold: "more-workers.yaml",
    a_noisy_drain: "noisy-drain.yaml",
    another_producer_in_the_queue: "other-producer.yaml",
    a_restart_with_a_backlog: "restart-with-backlog.yaml",
    a_retry_storm_of_obedient_clients: "retry-storm.yaml",
    a_signal_1_s_late: "signal-1s-late.yaml",
    a_signal_2_s_late: "signal-2s-late.yaml",
    a_late_signal_and_a_falling_drain: "signal-late-and-drain-falls.yaml",
    a_lost_signal_and_floor: "signal-lost-floor.yaml",
    a_lost_signal_and_hold: "signal-lost-hold.yaml",
    a_lost_signal_and_shut: "signal-lost-shut.yaml",
    two_million_jobs_in_20_minutes: "two-million-in-20-minutes.yaml",
}
