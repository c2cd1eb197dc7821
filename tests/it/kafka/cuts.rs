//! The wire to Kafka is cut in the middle of requests and of answers: what clients were told stays true.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::{BOUND, Place};
use crate::support::book::{Book, Load};
use crate::support::gateway::free_port;
use crate::support::kafka::{Kafka, Listener};
use crate::support::policy::Policy;
use crate::support::proxy::Proxy;
use crate::support::recovery::{finish, recovers, without_probes};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wire_cut_anywhere_loses_nothing_and_stores_nothing_twice() {
    let port = free_port();
    let wire = Proxy::before((Ipv4Addr::LOCALHOST, port).into()).await;
    let advertised = wire.address.to_string();
    let kafka = Kafka::with_listener(Listener { protocol: "PLAINTEXT", port, advertised }, &[]).await;
    let place = Place::on(&kafka, 2, &[]).await;
    let gateway = Arc::new(place.at(&wire.address.to_string(), Policy::calm()).start().await);
    let book = Book::new();
    let load = Load::start(&gateway, &book);
    let mut random = StdRng::seed_from_u64(4711);
    let started = Instant::now();
    while started.elapsed() < CUTTING {
        match random.random_range(0..3) {
            0 => wire.cut_commands_after(random.random_range(0..20_000)),
            1 => wire.cut_answers_after(random.random_range(0..2_000)),
            _ => wire.cut_all(),
        }
        tokio::time::sleep(Duration::from_millis(random.random_range(100..500))).await;
    }
    recovers(&gateway, "p0", 2 * BOUND).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    load.stop().await;
    let taken = without_probes(place.drain_all(&kafka).await);
    let fates = book.fates();
    println!("{} cuts, {fates:?}, slowest answer {:?}", wire.cuts(), book.slowest());
    book.check_but_open_ones(taken);
    assert!(wire.cuts() >= 5, "only {} cuts", wire.cuts());
    assert!(book.slowest() < BOUND, "a client waited {:?}", book.slowest());
    assert!(fates.stored > 300, "{fates:?} proves nothing");
    finish(gateway).await;
}

const CUTTING: Duration = Duration::from_secs(8);
