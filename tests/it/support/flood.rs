//! A flood of bulk: more jobs than the workers can do, from clients half of which come back when they were told to.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::time::{MissedTickBehavior, interval};

use super::gateway::Gateway;
use super::jobs::type_of;

/// What all sides of the sale share.
#[derive(Debug, Default)]
pub struct Sale {
    pub over: AtomicBool,
    pub admitted: AtomicU64,
    pub throttled: AtomicU64,
    pub returned: AtomicU64,
    in_flight: AtomicU64,
    /// The greatest depth that any receipt of bulk said.
    pub peak: AtomicU64,
    /// When obedient clients come back.
    returns: Mutex<BinaryHeap<Reverse<Instant>>>,
}

impl Sale {
    pub fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }
}

/// Offers bulk at a fixed rate for so long, whatever the answers are, and the returns of obedient clients beside it:
/// every other client is one.
pub async fn flood(gateway: &Arc<Gateway>, sale: &Arc<Sale>, per_second: f64, time: Duration) {
    let started = Instant::now();
    let mut tick = interval(Duration::from_millis(5));
    tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut offered = 0;
    while started.elapsed() < time {
        tick.tick().await;
        let due = (started.elapsed().as_secs_f64() * per_second) as u64;
        while offered < due {
            offered += 1;
            offer(gateway, sale, offered);
        }
        let now = Instant::now();
        loop {
            let mut returns = sale.returns.lock().unwrap();
            if returns.peek().is_none_or(|Reverse(at)| *at > now) {
                break;
            }
            returns.pop();
            drop(returns);
            sale.returned.fetch_add(1, Ordering::Relaxed);
            offered += 1;
            offer(gateway, sale, offered);
        }
    }
    while sale.in_flight.load(Ordering::Relaxed) > 0 {
        tick.tick().await;
    }
}

fn offer(gateway: &Arc<Gateway>, sale: &Arc<Sale>, number: u64) {
    // A machine that cannot carry the flood drops it here: the test then says so.
    if sale.in_flight.load(Ordering::Relaxed) >= IN_FLIGHT {
        return;
    }
    sale.in_flight.fetch_add(1, Ordering::Relaxed);
    let (gateway, sale) = (gateway.clone(), sale.clone());
    tokio::spawn(async move {
        let answer = gateway.post("{}", &[("tidegate-type", type_of("p2"))]).await;
        match answer.status {
            202 => {
                sale.admitted.fetch_add(1, Ordering::Relaxed);
                sale.peak.fetch_max(answer.receipt().depth, Ordering::Relaxed);
            }
            _ => {
                sale.throttled.fetch_add(1, Ordering::Relaxed);
                let problem = answer.problem(429, "throttled");
                assert_eq!(problem.tier.as_deref(), Some("p2"));
                let after = problem.retry_after.unwrap();
                if number.is_multiple_of(2) {
                    sale.returns.lock().unwrap().push(Reverse(Instant::now() + after));
                }
            }
        }
        sale.in_flight.fetch_sub(1, Ordering::Relaxed);
    });
}

/// Requests that may wait for their answers at once.
const IN_FLIGHT: u64 = 400;
