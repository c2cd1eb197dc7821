//! The counting identities: what came in is what was answered; what was stored is somewhere.

use std::time::{Duration, Instant};

use super::answer::CODES;
use super::gateway::Gateway;
use super::metrics::Scrape;
use super::tally::Counts;

/// Checks the identities with no request in flight. Gauges may be one control step behind, so it asks again
/// for a short while; counters that disagree for longer fail the test.
pub async fn assert_identities(gateway: &Gateway) {
    assert_none(gateway, |_| true).await;
}

/// As [`assert_identities`], for a backend that knows itself where its jobs are.
pub async fn assert_answers(gateway: &Gateway) {
    assert_none(gateway, |fault| !fault.contains("where they are")).await;
}

async fn assert_none(gateway: &Gateway, matters: impl Fn(&str) -> bool) {
    let started = Instant::now();
    loop {
        let scrape = gateway.metrics().await;
        let mut faults = faults(&scrape, gateway.tally.counts(), gateway.dead_at_start);
        faults.retain(|fault| matters(fault));
        if faults.is_empty() {
            return;
        }
        assert!(started.elapsed() < PATIENCE, "the counts disagree:\n{}", faults.join("\n"));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Dead letters now, per tier.
pub async fn dead_now(gateway: &Gateway) -> [u64; 3] {
    let scrape = gateway.metrics().await;
    TIERS.map(|tier| scrape.count("tidegate_dead_letters", &[("tier", tier)]))
}

/// Every identity that does not hold, in words.
pub fn faults(scrape: &Scrape, tally: Counts, dead_at_start: [u64; 3]) -> Vec<String> {
    let mut faults = Vec::new();
    let mut same = |what: String, left: u64, right: u64| {
        if left != right {
            faults.push(format!("{what}: {left} is not {right}"));
        }
    };

    let all = |family: &str| scrape.count(family, &[]);
    let received = all("tidegate_jobs_received_total");
    let admitted = all("tidegate_jobs_admitted_total");
    let refused = all("tidegate_jobs_refused_total");
    let invalid = all("tidegate_jobs_invalid_total");
    let answered = admitted + all("tidegate_jobs_duplicate_total") + refused + invalid;
    same("received = admitted + duplicate + refused + invalid".into(), received, answered);

    for (tier, dead_at_start) in TIERS.into_iter().zip(dead_at_start) {
        let of = |family: &str| scrape.count(family, &[("tier", tier)]);
        let came = of("tidegate_jobs_recovered_total")
            + of("tidegate_jobs_admitted_total")
            + of("tidegate_jobs_stored_late_total")
            + dead_at_start;
        let are = of("tidegate_jobs_waiting")
            + of("tidegate_jobs_leased")
            + of("tidegate_jobs_done_total")
            + of("tidegate_expired_jobs_total")
            + of("tidegate_dead_letters")
            + of("tidegate_dead_letters_purged_total");
        same(
            format!("{tier}: recovered + admitted + stored late + dead at start = where they are"),
            came,
            are,
        );
    }

    // What the clients saw: exactly the gateway's counts, unless some answers were never read.
    let range = |what: &str, gateway: u64, clients: u64| {
        let fits = (clients..=clients + tally.open).contains(&gateway);
        (!fits).then(|| {
            format!("{what}: the gateway counted {gateway}, its clients {clients} (+{})", tally.open)
        })
    };
    faults.extend(range("admitted", admitted, tally.admitted));
    faults.extend(range("duplicate", all("tidegate_jobs_duplicate_total"), tally.duplicate));
    faults.extend(range("refused", refused, tally.refused));
    faults.extend(range("invalid", invalid, tally.invalid));

    // Labels come from closed sets only.
    let tiers = [TIERS.as_slice(), &["none"]].concat();
    faults.extend(strangers(scrape, "tier", &tiers));
    faults.extend(strangers(scrape, "code", &CODES));
    faults
}

fn strangers(scrape: &Scrape, label: &str, known: &[&str]) -> Option<String> {
    let strangers: Vec<&str> =
        scrape.label_values(label).into_iter().filter(|value| !known.contains(value)).collect();
    (!strangers.is_empty()).then(|| format!("{label} has values outside its closed set: {strangers:?}"))
}

const TIERS: [&str; 3] = ["p0", "p1", "p2"];

/// Longer than gauges may lag.
const PATIENCE: Duration = Duration::from_secs(5);

#[test]
fn counts_that_disagree_are_named() {
    let mut text = String::new();
    for family in
        ["received", "admitted", "duplicate", "refused", "invalid", "recovered", "stored_late", "done"]
    {
        text += &format!("# TYPE tidegate_jobs_{family}_total counter\n");
    }
    for family in ["jobs_waiting", "jobs_leased", "dead_letters"] {
        text += &format!("# TYPE tidegate_{family} gauge\n");
    }
    for family in ["expired_jobs", "dead_letters_purged"] {
        text += &format!("# TYPE tidegate_{family}_total counter\n");
    }
    let none = Counts { admitted: 0, duplicate: 0, refused: 0, invalid: 0, open: 0 };
    let empty = Scrape::parse(&text).unwrap();
    assert_eq!(faults(&empty, none, [0; 3]), Vec::<String>::new());
    assert_eq!(faults(&empty, Counts { admitted: 1, ..none }, [0; 3]).len(), 1);
    assert_eq!(faults(&empty, none, [0, 1, 0]).len(), 1);

    let admitted = "# TYPE tidegate_jobs_admitted_total counter\n";
    let lost = text.replace(admitted, &format!("{admitted}tidegate_jobs_admitted_total{{tier=\"p0\"}} 1\n"));
    let found = faults(&Scrape::parse(&lost).unwrap(), none, [0; 3]);
    assert_eq!(found.len(), 3, "received, where they are, the clients: {found:?}");
}
