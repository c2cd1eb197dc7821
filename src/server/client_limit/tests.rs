//! The bound on clients, on a clock by hand.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use axum::Router;
use axum::body::Body;

use super::*;
use crate::runtime::lifecycle::Phase;
use crate::server::access::Access;
use crate::server::ingest_router;
use crate::server::limits::Limits;
use crate::server::state::Ingest;
use crate::server::testing::{Desk, LIMITS, send};

/// The checks in their order: stopping, authentication, client limit, own overload, well-formed head.
#[tokio::test]
async fn each_check_comes_after_those_that_the_contract_has_before_it() {
    let desk = Desk::usual();
    let rate = ClientRate { period: Duration::from_secs(3_600), burst: NonZeroU32::MIN };
    let routes =
        |access: Access, limits: Limits| ingest_router(Ingest::new(desk.gateway.clone(), limits, access));
    let limited = |anonymous: bool| {
        let clients = ClientLimit::new(rate, TrustedProxies::default(), desk.gateway.clock);
        Access { clients: Some(Arc::new(clients)), ..Access::without_keys(anonymous, anonymous) }
    };
    let malformed = [("tidegate-tier", "p9"), ("content-length", "900")];
    let post = async |routes: &Router, path: &str| {
        send(routes, "POST", path, &malformed, "x".repeat(900).into()).await.code()
    };
    let crowded = Limits { max_in_flight_bytes: 800, ..LIMITS };
    for path in ["/v1/jobs", "/v1/jobs/batch"] {
        let unknown = routes(limited(false), crowded);
        for _ in 0..3 {
            assert_eq!(post(&unknown, path).await, (401, "unauthenticated".to_owned()), "it uses nothing up");
        }
        let known = routes(limited(true), crowded);
        if path == "/v1/jobs" {
            assert_eq!(post(&known, path).await, (503, "overloaded".to_owned()));
        } else {
            assert_eq!(post(&known, path).await.0 / 100, 4, "a batch of lines is read as it comes");
        }
        assert_eq!(post(&known, path).await, (429, "client_limit".to_owned()));
        let roomy = routes(limited(true), LIMITS);
        assert_eq!(post(&roomy, path).await.0 / 100, 4);
        assert_eq!(post(&roomy, path).await, (429, "client_limit".to_owned()));
    }
    let shaken = routes(limited(false), LIMITS);
    let shake = async || send(&shaken, "OPTIONS", "/v1/jobs", &[], Body::empty()).await.status.as_u16();
    assert_eq!((shake().await, shake().await), (204, 429), "a handshake needs no key, and is a request");
    desk.gateway.lifecycle.advance(Phase::Draining);
    assert_eq!(post(&routes(limited(false), LIMITS), "/v1/jobs").await, (503, "draining".to_owned()));
}

/// Two a second, four at once.
const RATE: ClientRate =
    ClientRate { period: Duration::from_millis(500), burst: NonZeroU32::new(4).unwrap() };

fn v4(number: u32) -> Client {
    Client::at(IpAddr::V4(Ipv4Addr::from_bits(number)))
}

fn admitted(limit: &ClientLimit, client: &Client, requests: usize) -> usize {
    (0..requests).filter(|_| limit.check(client).is_ok()).count()
}

#[test]
fn a_client_has_its_burst_and_then_its_rate() {
    let (clock, hand) = Clock::by_hand();
    let limit = ClientLimit::new(RATE, TrustedProxies::default(), clock);
    let client = Client::Key("shop".into());
    assert_eq!(admitted(&limit, &client, 10), 4);
    assert_eq!(limit.check(&client), Err(Duration::from_millis(500)));
    hand.advance(Duration::from_millis(200));
    assert_eq!(limit.check(&client), Err(Duration::from_millis(300)));
    assert_eq!(admitted(&limit, &v4(1), 10), 4, "others have their own");
    hand.advance(Duration::from_millis(300));
    assert_eq!(admitted(&limit, &client, 10), 1);
    hand.advance(Duration::from_secs(60));
    assert_eq!(admitted(&limit, &client, 10), 4);
}

#[test]
fn a_sweep_forgets_those_who_have_their_whole_burst_again_and_no_others() {
    let (clock, hand) = Clock::by_hand();
    let limit = ClientLimit::new(RATE, TrustedProxies::default(), clock);
    for number in 0..50_000 {
        assert_eq!(limit.check(&v4(number)), Ok(()));
    }
    assert_eq!(limit.remembered(), 50_000);
    limit.sweep();
    assert_eq!(limit.remembered(), 50_000, "all have sent just now");
    hand.advance(Duration::from_millis(300));
    assert_eq!(admitted(&limit, &v4(7), 10), 3);
    hand.advance(Duration::from_millis(800));
    limit.sweep();
    assert_eq!(limit.remembered(), 1);
    assert_eq!(admitted(&limit, &v4(7), 10), 2, "who has used the burst up is not forgiven");
    hand.advance(Duration::from_secs(3));
    limit.sweep();
    assert_eq!(limit.remembered(), 0);
}

#[test]
fn with_many_addresses_somebody_fills_a_share_of_their_own_network_only() {
    let (clock, hand) = Clock::by_hand();
    let limit = ClientLimit::telling_apart(1_000, RATE, TrustedProxies::default(), clock);
    let known = v4(0x0101_0101);
    assert_eq!(admitted(&limit, &known, 1), 1);
    let attacker =
        |number: u128| Client::at(IpAddr::V6(Ipv6Addr::from_bits((0x2001_0db8 << 96) | (number << 64))));
    let through = (0..100_000).filter(|number| limit.check(&attacker(*number)).is_ok()).count();
    assert!((1_000..1_400).contains(&through), "a place each, then 64 clients' burst: {through}");
    assert!(limit.remembered() <= 1_100, "{} are remembered", limit.remembered());
    assert_eq!(admitted(&limit, &known, 10), 3, "who is known keeps a place");
    assert_eq!(admitted(&limit, &v4(0x0202_0202), 10), 10, "a newcomer of another network comes in");
    assert_eq!(admitted(&limit, &Client::Key("shop".into()), 10), 4, "and so does who has a key");
    hand.advance(Duration::from_secs(60));
    limit.sweep();
    assert_eq!(limit.remembered(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_table_shrinks_by_itself() {
    let limit = Arc::new(ClientLimit::new(RATE, TrustedProxies::default(), {
        let (clock, hand) = Clock::by_hand();
        hand.advance(Duration::from_secs(1));
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(30)).await;
            hand.advance(Duration::from_secs(30));
        });
        clock
    }));
    tokio::spawn(Arc::clone(&limit).keep_swept());
    tokio::task::yield_now().await;
    for number in 0..100 {
        assert_eq!(limit.check(&v4(number)), Ok(()));
    }
    assert_eq!(limit.remembered(), 100);
    tokio::time::sleep(SWEEP_EVERY + Duration::from_secs(1)).await;
    assert_eq!(limit.remembered(), 0);
}
