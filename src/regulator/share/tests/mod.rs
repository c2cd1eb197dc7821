//! What three gateways let in together, beside what one does: steady, joining, leaving, dying, uneven, without the exchange.

mod fleet;

use fleet::{Fleet, law};

const TARGET: u64 = 2_000;
const DRAIN: f64 = 1_000.0;

#[test]
fn explore() {
    for (name, chance, latency) in
        [("even", false, 4), ("chance", true, 4), ("late", false, 60), ("later", true, 250)]
    {
        for replicas in [1, 2, 3, 8] {
            let mut fleet = Fleet::with(law(TARGET, None), DRAIN, replicas, 100.0 / replicas as f64);
            fleet.by_chance = chance;
            fleet.latency = latency;
            fleet.run(10.0);
            fleet.offer(10_000.0 / replicas as f64);
            let onset = fleet.measure(30.0);
            let peak = fleet.peak;
            let used = fleet.drained / 30_000.0;
            let steady = fleet.measure(60.0);
            println!(
                "{name} {replicas}: peak {:.3} onset {onset:.0} used {used:.3} steady {steady:.1} peak {:.3} {:?} depth {:.0} {:?}",
                peak / 2000.0,
                fleet.peak / 2000.0,
                fleet.admitted(),
                fleet.depth,
                fleet.nodes[0].report.drain
            );
        }
    }
}
