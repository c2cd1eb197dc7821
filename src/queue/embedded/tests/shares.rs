//! Fair shares of the tiers.

use super::*;

async fn filled(rig: &Rig, tiers: &[Tier]) -> EmbeddedQueue {
    let queue = rig.open();
    for tier in tiers {
        for _ in 0..3 {
            store(&queue, (0..1000).map(|number| rig.job(*tier, &number.to_string())).collect()).await;
        }
    }
    queue
}

fn shares(leases: &[Lease]) -> [usize; 3] {
    Tier::ALL.map(|tier| leases.iter().filter(|lease| lease.job.tier == tier).count())
}

#[tokio::test]
async fn a_thousand_leases_are_shared_by_weight() {
    let rig = Rig::new(Ordering::Pass);
    let queue = filled(&rig, &Tier::ALL).await;
    let shares = shares(&lease(&queue, 1000).await);
    assert!(shares[0].abs_diff(600) <= 1 && shares[1].abs_diff(300) <= 1, "{shares:?}");
    assert_eq!(shares.iter().sum::<usize>(), 1000);
}

#[tokio::test]
async fn what_a_tier_does_not_use_goes_to_the_others() {
    let rig = Rig::new(Ordering::Pass);
    let queue = filled(&rig, &[Tier::P1, Tier::P2]).await;
    assert_eq!(shares(&lease(&queue, 400).await), [0, 300, 100]);
    let only_bulk = LeaseRequest { tiers: TierSet::only(Tier::P2), ..request(500) };
    assert_eq!(shares(&queue.lease(only_bulk).await.unwrap()), [0, 0, 500]);
}

#[tokio::test]
async fn new_weights_take_force_at_once() {
    let rig = Rig::new(Ordering::Pass);
    let queue = filled(&rig, &Tier::ALL).await;
    let mut rules = rig.rules;
    for (tier, rules) in rules.iter_mut() {
        rules.weight = if tier == Tier::P2 { 2 } else { 1 };
    }
    queue.set_rules(rules);
    let shares = shares(&lease(&queue, 400).await);
    assert!(shares[2].abs_diff(200) <= 1 && shares[0].abs_diff(100) <= 1, "{shares:?}");
}
