//! Several gateways before one Redis let in together what one would: steady, joining, dying, unevenly loaded, and while
//! the Redis in which they share is gone.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::support::gateway::{Gateway, Setup};
use crate::support::jobs::type_of;
use crate::support::policy::Policy;
use crate::support::poll::until;
use crate::support::redis::Redis;
use crate::support::redis_worker::Worker;

/// Jobs that the worker does a second.
const DRAIN: f64 = 150.0;
/// Jobs offered a second, over all gateways.
const OFFERED: f64 = 3.0 * DRAIN;
const TARGET: u64 = 300;
const SETTLE: Duration = Duration::from_secs(4);
const MEASURE: Duration = Duration::from_secs(6);
/// A change may be felt for so long.
const CHANGE: Duration = Duration::from_secs(2);
/// Requests of one flood that may wait for their answers.
const IN_FLIGHT: u64 = 200;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::too_many_lines, reason = "one story, told in its order")]
async fn three_gateways_let_in_together_what_one_would() {
    let redis = Redis::start(&[]).await;
    let worker = Worker::stream(&redis, "jobs:bulk").rate(DRAIN).start();
    let board = Arc::new(Board::default());
    let mut a = Arc::new(start(&redis, &redis).await);
    let flood_a = Flood::start(&a, &board, 0, OFFERED / 3.0);
    flood_a.offer(OFFERED);
    sleep(SETTLE).await;
    let alone = board.steady(DRAIN, 0.06).await;
    println!("one gateway: {alone:.1}/s");
    assert!(within(alone, DRAIN, 0.06), "{alone}");

    // Two join.
    let changed = Instant::now();
    let (b, c) = tokio::join!(start(&redis, &redis), start(&redis, &redis));
    let (mut b, c) = (Arc::new(b), Arc::new(c));
    flood_a.offer(OFFERED / 3.0);
    let flood_b = Flood::start(&b, &board, 1, OFFERED / 3.0);
    let flood_c = Flood::start(&c, &board, 2, OFFERED / 3.0);
    sleep(SETTLE).await;
    let surge = board.worst(changed);
    let three = board.steady(alone, 0.05).await;
    println!(
        "three gateways: {three:.1}/s, worst {CHANGE:?} {surge:.2} of the drain; {}",
        share(&a.status().await)
    );
    assert!(within(three, alone, 0.05), "{three} beside {alone}");
    assert!(surge <= 1.3, "{surge}");
    assert_eq!(a.status().await["share"]["replicas"], 3);

    // One is asked for much more than the others.
    flood_a.offer(0.8 * OFFERED);
    flood_b.offer(0.15 * OFFERED);
    flood_c.offer(0.05 * OFFERED);
    sleep(SETTLE).await;
    let before = board.counts();
    let uneven = board.measure(MEASURE).await;
    let counts = board.counts();
    let parts: Vec<f64> =
        counts.iter().zip(&before).map(|(now, then)| (now - then) as f64 / MEASURE.as_secs_f64()).collect();
    println!("uneven: {uneven:.1}/s as {parts:.1?}");
    assert!(within(uneven, DRAIN, 0.06), "{uneven}");
    assert!(parts[0] > 0.6 * uneven && parts[1] > 1.4 * parts[2], "{parts:?}");

    // One dies.
    for flood in [&flood_a, &flood_b, &flood_c] {
        flood.offer(OFFERED / 3.0);
    }
    sleep(SETTLE).await;
    flood_b.stop().await;
    let changed = Instant::now();
    Arc::get_mut(&mut b).expect("nobody else holds it").kill();
    flood_a.offer(OFFERED / 2.0);
    flood_c.offer(OFFERED / 2.0);
    let status = async || (a.status().await["share"]["replicas"] == 2).then_some(());
    until("the dead one is forgotten", Duration::from_secs(3), status).await;
    println!("forgotten after {:?}", changed.elapsed());
    sleep(SETTLE).await;
    let surge = board.worst(changed);
    let two = board.steady(DRAIN, 0.06).await;
    println!(
        "two gateways: {two:.1}/s, worst {CHANGE:?} {surge:.2} of the drain; {}",
        share(&a.status().await)
    );
    assert!(surge <= 1.3 && within(two, DRAIN, 0.06), "{surge} {two}");

    // It comes back, another one stops in good order.
    Arc::get_mut(&mut b).expect("nobody else holds it").restart().await;
    flood_a.stop().await;
    Arc::get_mut(&mut a).expect("nobody else holds it").stop().await;
    let status = async || (c.status().await["share"]["replicas"] == 2).then_some(());
    until("the one that stopped is gone", Duration::from_secs(2), status).await;
    assert!(a.log().contains("the other gateways know that this one stops"));
    flood_c.stop().await;
    Arc::get_mut(&mut a).expect("nobody else holds it").restart().await;
    drop(worker);
    for gateway in [a, b, c] {
        Arc::into_inner(gateway).expect("nobody else holds it").finish().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_redis_in_which_they_share_is_gone_each_keeps_its_share() {
    let (redis, mut meeting) = tokio::join!(Redis::start(&[]), Redis::start(&[]));
    let worker = Worker::stream(&redis, "jobs:bulk").rate(DRAIN).start();
    let board = Arc::new(Board::default());
    let (a, b, c) = tokio::join!(start(&redis, &meeting), start(&redis, &meeting), start(&redis, &meeting));
    let gateways = [a, b, c].map(Arc::new);
    let shares = [0.6, 0.2, 0.2];
    let floods: Vec<Flood> = gateways
        .iter()
        .enumerate()
        .map(|(place, gateway)| Flood::start(gateway, &board, place, shares[place] * OFFERED))
        .collect();
    sleep(SETTLE).await;
    let first = &gateways[0];

    for (name, stops) in [("killed", false), ("stopped", true)] {
        let lost = Instant::now();
        if stops {
            meeting.stop()
        } else {
            meeting.kill()
        }
        let age = async || first.status().await["share"]["age_seconds"].as_f64().filter(|age| *age > 1.0);
        until("the status shows it", Duration::from_secs(5), age).await;
        let before = fractions(&gateways).await;
        sleep(CHANGE).await;
        let rate = board.steady(DRAIN, 0.08).await;
        let (after, surge) = (fractions(&gateways).await, board.worst(lost));
        println!("{name}: {rate:.1}/s, worst {CHANGE:?} {surge:.2} of the drain, {after:.3?}");
        assert_eq!(before, after, "each keeps its share");
        assert!((after.iter().sum::<f64>() - 1.0).abs() < 0.1 && after[0] > 0.45, "{after:?}");
        assert!(surge <= 1.3 && within(rate, DRAIN, 0.08), "{surge} {rate}");
        let back = Instant::now();
        if stops {
            meeting.cont()
        } else {
            meeting.restart().await
        }
        let fresh = async || {
            let share = first.status().await["share"].clone();
            (share["age_seconds"].as_f64().is_some_and(|age| age < 0.5) && share["replicas"] == 3)
                .then_some(())
        };
        until("they share again", Duration::from_secs(5), fresh).await;
        sleep(CHANGE + CHANGE).await;
        let surge = board.worst(back);
        println!("back: worst {CHANGE:?} {surge:.2} of the drain; {}", share(&first.status().await));
        assert!(surge <= 1.3, "{surge}");
    }
    let said = first.log().matches("each keeps its last share").count();
    assert_eq!(said, 2, "once each time");
    for flood in floods {
        flood.stop().await;
    }
    drop(worker);
    for gateway in gateways {
        Arc::into_inner(gateway).expect("nobody else holds it").finish().await;
    }
}

#[tokio::test]
async fn a_gateway_that_never_reached_the_others_lets_in_the_least_rate_and_lines_that_are_none_are_counted()
{
    let (redis, mut meeting) = tokio::join!(Redis::start(&[]), Redis::start(&[]));
    meeting.kill();
    let gateway = start(&redis, &meeting).await;
    let started = Instant::now();
    let mut admitted = 0;
    while started.elapsed() < Duration::from_secs(4) {
        let answer = gateway.post("{}", &[("tidegate-type", type_of("p2"))]).await;
        admitted += u32::from(answer.status == 202);
    }
    println!("without a share {admitted} in 4 s: {}", share(&gateway.status().await));
    assert!((2..=7).contains(&admitted), "rate.min is 1/s: {admitted}");
    let status = gateway.status().await["share"].clone();
    assert_eq!((&status["fraction"]["p2"], &status["age_seconds"]), (&Value::from(0.0), &Value::Null));
    let scrape = gateway.metrics().await;
    assert_eq!(scrape.sum("tidegate_share_ratio", &[("tier", "p2")]), 0.0);
    assert_eq!(scrape.sum("tidegate_share_age_seconds", &[]), f64::INFINITY);

    meeting.restart().await;
    let shares = async || (gateway.status().await["share"]["fraction"]["p2"] == 1.0).then_some(());
    until("it has all there is", Duration::from_secs(5), shares).await;
    let scrape = gateway.metrics().await;
    assert_eq!(scrape.sum("tidegate_share_replicas", &[]), 1.0);
    assert!(scrape.sum("tidegate_share_age_seconds", &[]) < 5.0);
    assert_eq!(scrape.count("tidegate_share_unreadable_total", &[]), 0);

    // What stands on the board and is no line hurts nobody.
    let keys = meeting.cli(&["KEYS", "tidegate:share:*"]).await;
    let board = keys.items()[0].text().to_owned();
    assert_eq!(board, "tidegate:share:{jobs:critical,jobs:standard,jobs:bulk}");
    let time = meeting.cli(&["TIME"]).await.items()[0].text().to_owned();
    let line = format!("{time}000 {{\"version\":9}}");
    meeting.cli(&["HSET", &board, "0123456789abcdef", &line, "junk", "no time"]).await;
    let counted = async || gateway.status().await["share"]["unreadable"].as_u64().filter(|lines| *lines > 2);
    until("the line is counted", Duration::from_secs(5), counted).await;
    assert!(gateway.metrics().await.count("tidegate_share_unreadable_total", &[]) > 2);
    assert_eq!(gateway.status().await["share"]["replicas"], 1);
    assert_eq!(meeting.cli(&["HEXISTS", &board, "junk"]).await.count(), 0, "what has no time is removed");
    assert_eq!(gateway.log().matches("cannot be read: they are ignored").count(), 1);
    gateway.finish().await;
}

/// When each job was let in, and by which gateway.
#[derive(Debug, Default)]
struct Board(Mutex<Vec<(Instant, usize)>>);

impl Board {
    fn note(&self, gateway: usize) {
        self.0.lock().unwrap().push((Instant::now(), gateway));
    }

    fn counts(&self) -> [usize; 3] {
        let all = self.0.lock().unwrap();
        [0, 1, 2].map(|gateway| all.iter().filter(|(_, by)| *by == gateway).count())
    }

    /// Jobs let in a second over a stretch that is as it should be, else over the last of three: a busy machine disturbs
    /// one now and then.
    async fn steady(&self, expected: f64, tolerance: f64) -> f64 {
        let mut rate = 0.0;
        for _ in 0..3 {
            rate = self.measure(MEASURE).await;
            if within(rate, expected, tolerance) {
                break;
            }
        }
        rate
    }

    /// Jobs let in a second, by all together, over so long from now.
    async fn measure(&self, time: Duration) -> f64 {
        let (started, before) = (Instant::now(), self.0.lock().unwrap().len());
        sleep(time).await;
        (self.0.lock().unwrap().len() - before) as f64 / started.elapsed().as_secs_f64()
    }

    /// The most let in within any stretch of [`CHANGE`] since then, over what the worker does in it.
    fn worst(&self, since: Instant) -> f64 {
        let all = self.0.lock().unwrap();
        let lately: Vec<Instant> = all.iter().map(|(at, _)| *at).filter(|at| *at >= since).collect();
        let within = |from: &Instant| lately.iter().filter(|at| *at >= from && **at < *from + CHANGE).count();
        let most = lately.iter().step_by(5).map(within).max().unwrap_or(0);
        most as f64 / (DRAIN * CHANGE.as_secs_f64())
    }
}

/// Clients of one gateway, who ask at a rate whatever the answers are.
struct Flood {
    /// Jobs offered in a thousand seconds.
    rate: Arc<AtomicU64>,
    over: Arc<AtomicBool>,
    task: JoinHandle<()>,
}

impl Flood {
    fn start(gateway: &Arc<Gateway>, board: &Arc<Board>, place: usize, rate: f64) -> Flood {
        let (rate, over) = (Arc::new(AtomicU64::new(millis(rate))), Arc::new(AtomicBool::new(false)));
        let (asked, ends) = (rate.clone(), over.clone());
        let (gateway, board) = (gateway.clone(), board.clone());
        let task = tokio::spawn(async move {
            let in_flight = Arc::new(AtomicU64::new(0));
            let (mut due, mut last) = (0.0, Instant::now());
            let mut tick = interval(Duration::from_millis(5));
            tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
            while !ends.load(Ordering::Relaxed) {
                tick.tick().await;
                let now = Instant::now();
                due += (now - last).as_secs_f64() * asked.load(Ordering::Relaxed) as f64 / 1000.0;
                last = now;
                while due >= 1.0 {
                    due -= 1.0;
                    if in_flight.load(Ordering::Relaxed) < IN_FLIGHT {
                        in_flight.fetch_add(1, Ordering::Relaxed);
                        let (gateway, board, in_flight) = (gateway.clone(), board.clone(), in_flight.clone());
                        tokio::spawn(async move {
                            if gateway.post("{}", &[("tidegate-type", type_of("p2"))]).await.status == 202 {
                                board.note(place);
                            }
                            drop(gateway);
                            in_flight.fetch_sub(1, Ordering::Relaxed);
                        });
                    }
                }
            }
            while in_flight.load(Ordering::Relaxed) > 0 {
                tick.tick().await;
            }
        });
        Flood { rate, over, task }
    }

    fn offer(&self, rate: f64) {
        self.rate.store(millis(rate), Ordering::Relaxed);
    }

    /// Ends it; returns when every answer is there.
    async fn stop(self) {
        self.over.store(true, Ordering::Relaxed);
        self.task.await.unwrap();
    }
}

fn millis(rate: f64) -> u64 {
    (rate * 1000.0) as u64
}

async fn start(redis: &Redis, meeting: &Redis) -> Gateway {
    let policy = Policy::calm().tier("p2", "target", &format!("{{ depth: {TARGET} }}"));
    Setup::with(&policy)
        .set("backend", "redis")
        .set("redis.url", &redis.url())
        .set("share.mode", "redis")
        .set("share.redis_url", &meeting.url())
        .start()
        .await
}

async fn fractions(gateways: &[Arc<Gateway>]) -> Vec<f64> {
    let mut fractions = Vec::new();
    for gateway in gateways {
        fractions.push(gateway.status().await["share"]["fraction"]["p2"].as_f64().unwrap());
    }
    fractions
}

fn share(status: &Value) -> String {
    status["share"].to_string()
}

fn within(value: f64, expected: f64, part: f64) -> bool {
    (value / expected - 1.0).abs() <= part
}
