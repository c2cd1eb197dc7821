//! Several tenants at one gate: who gets which part of it, and what the others' noise does to the quiet.

use proptest::prelude::*;

use super::*;

const SETTINGS: GateSettings = GateSettings {
    max_depth: u64::MAX,
    shed: None,
    retention: None,
    retry_after: RetryAfterBounds { min: Duration::from_secs(1), max: Duration::from_secs(600) },
};

/// A gate that paces, before a queue whose workers take as much as it lets in.
fn opening(rate: f64) -> Opening {
    Opening {
        rate: Rate::saturating(rate),
        burst: 0.1 * rate,
        paced_from: 0.0,
        limit: f64::INFINITY,
        drain: rate,
        capacity: rate,
        expected: rate,
        spare: 0.95 * rate,
        share: 1.0,
        shut: false,
        spooling: false,
    }
}

/// A tenant that asks evenly, and what it was answered.
#[derive(Clone, Debug)]
struct Tenant {
    asker: Asker,
    /// Jobs a second.
    demand: f64,
    cost: u32,
    owed: f64,
    admitted: f64,
    refused: f64,
}

fn tenant(place: usize, weight: u32, demand: f64) -> Tenant {
    let asker = Asker { place, weight, quota: None };
    Tenant { asker, demand, cost: 1, owed: 0.0, admitted: 0.0, refused: 0.0 }
}

/// Lets the tenants ask for `millis` from `from` on; sweeps as the control loop does.
fn run(gate: &mut TierGate, tenants: &mut [Tenant], from: u64, millis: u64) {
    for now in from..from + millis {
        if now % 100 == 0 {
            gate.sweep(at(now));
        }
        for tenant in &mut *tenants {
            tenant.owed += tenant.demand / 1_000.0;
            while tenant.owed >= f64::from(tenant.cost) {
                tenant.owed -= f64::from(tenant.cost);
                let cost = Cost::jobs(tenant.cost).unwrap();
                match gate.decide(tenant.asker, cost, None, at(now)) {
                    Decision::Admitted(_) => tenant.admitted += f64::from(tenant.cost),
                    Decision::Refused(_) => tenant.refused += f64::from(tenant.cost),
                }
            }
        }
    }
}

fn forget_counts(tenants: &mut [Tenant]) {
    for tenant in tenants {
        (tenant.admitted, tenant.refused) = (0.0, 0.0);
    }
}

/// Max-min fair rates by weight: the level is raised until the rate is used up or everybody has enough.
fn water_filling(tenants: &[Tenant], rate: f64) -> Vec<f64> {
    let mut given = vec![None; tenants.len()];
    loop {
        let open = || tenants.iter().zip(&given).filter(|(_, given)| given.is_none());
        let left = rate - given.iter().flatten().sum::<f64>();
        let weights: f64 = open().map(|(tenant, _)| f64::from(tenant.asker.weight)).sum();
        let level = left.max(0.0) / weights.max(1.0);
        let share = |tenant: &Tenant| level * f64::from(tenant.asker.weight);
        let Some(content) = tenants
            .iter()
            .enumerate()
            .position(|(index, tenant)| given[index].is_none() && tenant.demand <= share(tenant))
        else {
            return tenants.iter().zip(given).map(|(tenant, given)| given.unwrap_or(share(tenant))).collect();
        };
        given[content] = Some(tenants[content].demand);
    }
}

fn at(millis: u64) -> Moment {
    Moment::after_origin(Duration::from_millis(millis))
}

#[test]
fn of_every_seven_jobs_two_hungry_tenants_of_weights_two_and_five_get_two_and_five() {
    let mut gate = TierGate::new(SETTINGS, opening(700.0), 1, at(0));
    let askers = [(1, 2), (2, 5)].map(|(place, weight)| Asker { place, weight, quota: None });
    let mut order = Vec::new();
    for micros in (0..20_000_000).step_by(250) {
        let now = Moment::after_origin(Duration::from_micros(micros));
        for (index, asker) in askers.into_iter().enumerate() {
            if let Decision::Admitted(_) = gate.decide(asker, Cost::ONE, None, now) {
                order.push(index);
            }
        }
    }
    let steady = &order[700..];
    assert!(steady.len() > 13_000, "{}", steady.len());
    for (from, seven) in steady.windows(7).enumerate() {
        let first = seven.iter().filter(|index| **index == 0).count();
        assert_eq!(first, 2, "from {from}: {seven:?}");
    }
}

#[test]
fn the_first_job_of_a_rare_caller_comes_in_however_loud_the_others_are() {
    let mut gate = TierGate::new(SETTINGS, opening(10.0), 1, at(0));
    let mut loud = [tenant(1, 1, 5_000.0)];
    run(&mut gate, &mut loud, 0, 10_037);
    assert!((95.0..=105.0).contains(&loud[0].admitted), "{loud:?}");
    for (place, now) in [(2, 10_037), (3, 25_037), (2, 40_037), (4, 55_037)] {
        let rare = tenant(place, 1, 0.0).asker;
        let decision = gate.decide(rare, Cost::ONE, None, at(now));
        assert!(matches!(decision, Decision::Admitted(_)), "{place} at {now}: {decision:?}");
        run(&mut gate, &mut loud, now, 15_000);
    }
    // What each of them was lent and left behind is at most what a bucket of one token cannot keep.
    assert!((675.0..=705.0).contains(&loud[0].admitted), "{loud:?}");
}

#[test]
fn who_asks_for_much_at_once_and_for_little_in_all_is_not_refused() {
    let mut gate = TierGate::new(SETTINGS, opening(1_000.0), 1, at(0));
    let bursts = Tenant { cost: 40, ..tenant(2, 1, 80.0) };
    let mut tenants = [tenant(1, 1, 20_000.0), bursts.clone()];
    run(&mut gate, &mut tenants, 0, 20_000);
    assert_eq!(tenants[1].refused, 0.0);
    assert!(tenants[1].admitted >= 1_560.0);
    // Cut into single jobs that come in one millisecond, it is the same.
    for second in 20..30 {
        for _ in 0..100 {
            let decision = gate.decide(bursts.asker, Cost::ONE, None, at(second * 1_000));
            assert!(matches!(decision, Decision::Admitted(_)));
        }
        run(&mut gate, &mut tenants[..1], second * 1_000, 1_000);
    }
}

#[test]
fn a_batch_beyond_the_purse_comes_in_and_is_paid_off_by_its_own_tenant() {
    let mut gate = TierGate::new(SETTINGS, opening(100.0), 1, at(0));
    let batches = Tenant { cost: 500, ..tenant(2, 1, 10_000.0) };
    let mut tenants = [tenant(1, 1, 1_000.0), batches];
    run(&mut gate, &mut tenants, 0, 10_000);
    forget_counts(&mut tenants);
    run(&mut gate, &mut tenants, 10_000, 200_000);
    let [single, batch] = [&tenants[0], &tenants[1]].map(|tenant| tenant.admitted / 200.0);
    assert!((single / 50.0 - 1.0).abs() < 0.03 && (batch / 50.0 - 1.0).abs() < 0.06, "{single} {batch}");
}

#[test]
fn room_in_the_window_is_kept_for_the_quiet_and_divided_where_it_is_the_limit() {
    // Tokens without end; the workers make room for 100 jobs a second.
    let narrow =
        Opening { rate: Rate::saturating(1e6), burst: 1e5, limit: 1_050.0, drain: 100.0, ..opening(100.0) };
    let mut gate = TierGate::new(SETTINGS, narrow, 1, at(0));
    let mut tenants = [tenant(1, 2, 3_000.0), tenant(2, 5, 500.0), tenant(3, 1, 5.0)];
    run(&mut gate, &mut tenants, 0, 20_000);
    forget_counts(&mut tenants);
    run(&mut gate, &mut tenants, 20_000, 60_000);
    assert_eq!(tenants[2].refused, 0.0, "{tenants:?}");
    let rates = tenants.each_ref().map(|tenant| tenant.admitted / 60.0);
    let fair = water_filling(&tenants, 100.0);
    for (rate, fair) in rates.iter().zip(fair) {
        assert!((rate / fair - 1.0).abs() < 0.05, "{rates:?}");
    }
}

#[test]
fn what_is_given_back_is_the_tenants_again() {
    let mut gate = TierGate::new(SETTINGS, opening(100.0), 1, at(0));
    let mut tenants = [tenant(1, 1, 1_000.0), tenant(2, 1, 1_000.0)];
    run(&mut gate, &mut tenants, 0, 5_000);
    let askers = tenants.each_ref().map(|tenant| tenant.asker);
    let mut now = 5_000;
    let first = loop {
        now += 1;
        if let Decision::Admitted(_) = gate.decide(askers[0], Cost::ONE, None, at(now)) {
            break askers[0];
        }
    };
    gate.give_back(first.place, Cost::ONE, at(now));
    assert!(matches!(gate.decide(askers[1], Cost::ONE, None, at(now)), Decision::Refused(_)));
    assert!(matches!(gate.decide(first, Cost::ONE, None, at(now)), Decision::Admitted(_)));
}

#[test]
fn ten_thousand_refusals_of_a_loud_tenant_do_not_delay_anybody_elses_return() {
    let mut gate = TierGate::new(SETTINGS, opening(20.0), 1, at(0));
    let [loud, other] = [1, 2].map(|place| tenant(place, 1, 0.0).asker);
    let told = |gate: &mut TierGate, asker, now| loop {
        if let Decision::Refused(refusal) = gate.decide(asker, Cost::ONE, None, at(now)) {
            break refusal.retry_after.as_secs_f64();
        }
    };
    for _ in 0..10_000 {
        told(&mut gate, loud, 0);
    }
    assert!(told(&mut gate, loud, 0) > 300.0, "its own promises are far out");
    let others: Vec<f64> = (0..100).map(|_| told(&mut gate, other, 10)).collect();
    assert!(others[0] <= 2.1, "{others:?}");
    // 9.5 returns a second are its own: half of what the gate can spare.
    assert!((9.0..=16.0).contains(&others[99]), "{others:?}");
    assert!(told(&mut gate, loud, 20) > 300.0, "and the loud one's stay there");
}

#[test]
fn who_shares_with_nobody_any_more_is_alone_at_the_gate_again() {
    let script = |gate: &mut TierGate, from: u64| {
        let mut alone = [tenant(1, 3, 2_500.0)];
        run(gate, &mut alone, from, 5_000);
        (alone[0].admitted, alone[0].refused)
    };
    let mut gate = TierGate::new(SETTINGS, opening(1_000.0), 1, at(0));
    run(&mut gate, &mut [tenant(1, 3, 2_000.0), tenant(2, 1, 300.0)], 0, 5_000);
    run(&mut gate, &mut [tenant(1, 3, 2_500.0)], 5_000, 15_000);
    assert!(!gate.shares.is_divided());
    let mut fresh = TierGate::new(SETTINGS, opening(1_000.0), 1, at(15_000));
    run(&mut fresh, &mut [tenant(1, 3, 2_500.0)], 15_000, 5_000);
    assert_eq!(script(&mut gate, 20_000), script(&mut fresh, 20_000));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// Max-min: everybody gets what water-filling gives, the quiet are refused nothing, nothing is left over.
    #[test]
    fn shares_are_max_min_fair_by_weight(
        rate in 100.0..500.0,
        asked in prop::collection::vec((1_u32..10, 0.05..4.0), 2..12),
    ) {
        let count = asked.len() as f64;
        let mut tenants: Vec<Tenant> = asked
            .into_iter()
            .enumerate()
            .map(|(index, (weight, part))| tenant(index + 1, weight, part * rate / count))
            .collect();
        let mut gate = TierGate::new(SETTINGS, opening(rate), 1, at(0));
        run(&mut gate, &mut tenants, 0, 3_000);
        forget_counts(&mut tenants);
        run(&mut gate, &mut tenants, 3_000, 60_000);
        let fair = water_filling(&tenants, rate);
        let weight = |tenant: &Tenant| f64::from(tenant.asker.weight);
        let loud = tenants.iter().zip(&fair).filter(|(tenant, fair)| tenant.demand > **fair);
        let loud: f64 = loud.map(|(tenant, _)| weight(tenant)).sum();
        for (tenant, fair) in tenants.iter().zip(&fair) {
            let got = tenant.admitted / 60.0;
            // The purses of the others may still be filling: a second of the rate in all, at the cost of the loud.
            let filling = if tenant.demand > *fair { rate / 60.0 * weight(tenant) / loud } else { 0.0 };
            let off = (got - fair).abs();
            prop_assert!(off <= 0.02 * fair + filling, "{got} of {fair}: {tenants:#?}");
            if tenant.demand < 0.97 * fair || tenant.demand <= 0.97 * rate * f64::from(tenant.asker.weight)
                / tenants.iter().map(|tenant| f64::from(tenant.asker.weight)).sum::<f64>()
            {
                prop_assert_eq!(tenant.refused, 0.0, "{:#?}", tenants);
            }
        }
        let used: f64 = tenants.iter().map(|tenant| tenant.admitted).sum::<f64>() / 60.0;
        let usable = rate.min(tenants.iter().map(|tenant| tenant.demand).sum());
        prop_assert!(used / usable > 0.98, "{used} of {usable}");
    }

    /// Tokens move and are never made, whatever comes: what is let in is what the bucket earned, and the most that it lends.
    #[test]
    fn no_tokens_are_made(
        rate in 1.0..500.0,
        asks in prop::collection::vec((0_u64..400, 0_usize..30, 1_u32..6, 1_u32..20, any::<bool>()), 1..400),
    ) {
        let mut gate = TierGate::new(SETTINGS, opening(rate), 1, at(0));
        let (mut now, mut admitted, mut debts) = (0, 0.0, 0.0);
        for (wait, place, weight, cost, is_kept) in asks {
            now += wait;
            gate.sweep(at(now));
            let asker = Asker { place, weight, quota: None };
            let cost = Cost::jobs(cost).unwrap();
            if let Decision::Admitted(_) = gate.decide(asker, cost, None, at(now)) {
                debts = f64::max(debts, f64::from(cost.count()));
                if is_kept {
                    admitted += f64::from(cost.count());
                } else {
                    gate.give_back(place, cost, at(now));
                }
            }
        }
        let earned = 0.1 * rate.max(10.0) + rate * now as f64 / 1_000.0;
        // Each of thirty may have one cost of debt, as the bucket itself may.
        prop_assert!(admitted <= earned + (0.5 * rate).max(1.0) + 31.0 * debts, "{admitted} of {earned}");
    }
}
