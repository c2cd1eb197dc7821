//! The metrics that are read at the scrape: gauges of queue and controller, and the queue's own counters.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use prometheus::{Encoder, Gauge, GaugeVec, IntCounter, IntCounterVec, Registry, TextEncoder};

use crate::control::settings::Target;
use crate::domain::bound::Bound;
use crate::domain::idempotency::KeyIndex;
use crate::domain::tier::{Tier, TierMap};
use crate::domain::totals::Totals;
use crate::policy::Policy;
use crate::regulator::report::TickReport;
use crate::telemetry::families as family;
use crate::telemetry::families::Family;
use crate::telemetry::metrics::Metrics;

/// What the rest of the gateway knows at the moment of a scrape.
#[derive(Debug)]
pub struct Scrape<'a> {
    /// The last control step.
    pub reports: TierMap<TickReport>,
    /// Whether the backend is away.
    pub away: TierMap<bool>,
    /// How long brokers held back requests of late.
    pub throttles: TierMap<Duration>,
    /// The replicas that share the backend, as this one knows them.
    pub share: Sharing,
    /// The queue's counts.
    pub totals: TierMap<Totals>,
    /// The idempotency keys.
    pub keys: KeyIndex,
    /// Jobs in the spool.
    pub spooled: TierMap<u64>,
    /// Spooled jobs that were not forwarded, as duplicates.
    pub spool_duplicates: TierMap<u64>,
    /// The policy in force.
    pub policy: &'a Policy,
    /// What is held for clients.
    pub held: HeldNow,
    /// The listeners, each with the seconds until its certificate expires where it speaks TLS.
    pub certificates: [(&'static str, Option<f64>); 2],
}

/// What this gateway knows of the others on its backend.
#[derive(Clone, Copy, Debug)]
pub struct Sharing {
    /// How many there are, this one included.
    pub replicas: usize,
    /// Time since the others' counts were last read; `None` as long as they never were.
    pub age: Option<Duration>,
    /// Lines of others that could not be read.
    pub unreadable: u64,
}

impl Sharing {
    /// There is nobody to share with.
    pub const ALONE: Sharing = Sharing { replicas: 1, age: Some(Duration::ZERO), unreadable: 0 };
}

/// What is held for clients, each kind beside its bound.
#[derive(Clone, Copy, Debug, Default)]
pub struct HeldNow {
    /// Open connections of the ingest listener.
    pub ingest_connections: Holding,
    /// Open connections of the admin listener.
    pub admin_connections: Holding,
    /// Bytes of request bodies.
    pub body_bytes: Holding,
    /// Batches being read.
    pub batches: Holding,
    /// Long polls that wait for a job.
    pub polls: Holding,
}

/// How much of one kind is held, and how much may be.
#[derive(Clone, Copy, Debug, Default)]
pub struct Holding {
    /// Held now.
    pub used: u64,
    /// The bound.
    pub bound: u64,
}

/// The families that are set anew at every scrape.
#[derive(Debug)]
pub(super) struct Scraped {
    // Held from the first change to the last byte written, so that two scrapes never see each other's halves.
    one_at_a_time: Mutex<()>,
    recovered: IntCounterVec,
    done: IntCounterVec,
    expired: IntCounterVec,
    purged: IntCounterVec,
    waiting: GaugeVec,
    leased: GaugeVec,
    dead: GaugeVec,
    dead_at_start: GaugeVec,
    keys: Gauge,
    key_horizon: Gauge,
    depth: GaugeVec,
    oldest_age: GaugeVec,
    age_limit: GaugeVec,
    signal_age: GaugeVec,
    away: GaugeVec,
    drain: GaugeVec,
    rate: GaugeVec,
    pressure: GaugeVec,
    target: GaugeVec,
    share_ratio: GaugeVec,
    share_replicas: Gauge,
    share_age: Gauge,
    share_unreadable: IntCounter,
    spool: GaugeVec,
    spool_duplicates: IntCounterVec,
    lost_unread: IntCounterVec,
    headroom: GaugeVec,
    throttle: GaugeVec,
    connections: GaugeVec,
    in_flight_bytes: GaugeVec,
    open_batches: GaugeVec,
    waiting_polls: GaugeVec,
    limit: GaugeVec,
    tls_expiry: GaugeVec,
    revision: GaugeVec,
    build: GaugeVec,
    classic: Option<Classic>,
}

#[derive(Debug)]
struct Classic {
    depth: GaugeVec,
    lag: GaugeVec,
    age_p99: GaugeVec,
    shed: IntCounterVec,
}

impl Scraped {
    pub(super) fn new(registry: &Registry, classic_names: bool) -> prometheus::Result<Scraped> {
        let classic = if classic_names { Some(Classic::new(registry)?) } else { None };
        Ok(Scraped {
            one_at_a_time: Mutex::new(()),
            recovered: family::JOBS_RECOVERED.counters(registry)?,
            done: family::JOBS_DONE.counters(registry)?,
            expired: family::EXPIRED_JOBS.counters(registry)?,
            purged: family::DEAD_LETTERS_PURGED.counters(registry)?,
            waiting: family::JOBS_WAITING.gauges(registry)?,
            leased: family::JOBS_LEASED.gauges(registry)?,
            dead: family::DEAD_LETTERS.gauges(registry)?,
            dead_at_start: family::DEAD_LETTERS_AT_START.gauges(registry)?,
            keys: family::IDEMPOTENCY_KEYS.gauge(registry)?,
            key_horizon: family::IDEMPOTENCY_HORIZON.gauge(registry)?,
            depth: family::QUEUE_DEPTH.gauges(registry)?,
            oldest_age: family::QUEUE_OLDEST_AGE.gauges(registry)?,
            age_limit: family::AGE_LIMIT.gauges(registry)?,
            signal_age: family::SIGNAL_AGE.gauges(registry)?,
            away: family::BACKEND_AWAY.gauges(registry)?,
            drain: family::DRAIN_RATE.gauges(registry)?,
            rate: family::ADMISSION_RATE.gauges(registry)?,
            pressure: family::PRESSURE.gauges(registry)?,
            target: family::TARGET_DEPTH.gauges(registry)?,
            share_ratio: family::SHARE_RATIO.gauges(registry)?,
            share_replicas: family::SHARE_REPLICAS.gauge(registry)?,
            share_age: family::SHARE_AGE.gauge(registry)?,
            share_unreadable: family::SHARE_UNREADABLE.counter(registry)?,
            spool: family::SPOOL_DEPTH.gauges(registry)?,
            spool_duplicates: family::SPOOL_DUPLICATES.counters(registry)?,
            lost_unread: family::LOST_UNREAD.counters(registry)?,
            headroom: family::RETENTION_HEADROOM.gauges(registry)?,
            throttle: family::BROKER_THROTTLE.gauges(registry)?,
            connections: family::CONNECTIONS.gauges(registry)?,
            in_flight_bytes: family::IN_FLIGHT_BYTES.gauges(registry)?,
            open_batches: family::OPEN_BATCHES.gauges(registry)?,
            waiting_polls: family::WAITING_POLLS.gauges(registry)?,
            limit: family::LIMIT.gauges(registry)?,
            tls_expiry: family::TLS_EXPIRY.gauges(registry)?,
            revision: family::POLICY_REVISION.gauges(registry)?,
            build: family::BUILD_INFO.gauges(registry)?,
            classic,
        })
    }

    fn set(&self, scrape: &Scrape<'_>) {
        self.forget_queues();
        for (listener, seconds_left) in scrape.certificates {
            if let Some(seconds_left) = seconds_left {
                self.tls_expiry.with_label_values(&[listener]).set(seconds_left);
            }
        }
        for tier in Tier::ALL {
            self.set_totals(tier, &scrape.totals[tier]);
            self.set_report(tier, &scrape.policy.tiers[tier].queue, &scrape.reports[tier]);
            self.spool.with_label_values(&[tier.as_str()]).set(number(scrape.spooled[tier]));
            set_counter(&self.spool_duplicates, tier.as_str(), scrape.spool_duplicates[tier]);
            self.away.with_label_values(&[tier.as_str()]).set(f64::from(u8::from(scrape.away[tier])));
            let throttle = scrape.throttles[tier].as_secs_f64();
            self.throttle.with_label_values(&[tier.as_str()]).set(throttle);
            let limit = age_limit(scrape.policy.regulator.tiers[tier].target);
            self.age_limit.with_label_values(&[tier.as_str()]).set(limit);
        }
        self.set_share(&scrape.share);
        self.set_held(&scrape.held);
        self.keys.set(scrape.keys.keys as f64);
        self.key_horizon.set(scrape.keys.horizon.as_secs_f64());
        self.revision.reset();
        self.revision.with_label_values(&[scrape.policy.revision.as_str()]).set(1.0);
        self.build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1.0);
    }

    /// A policy that gives a queue another name leaves no series of the old one.
    fn forget_queues(&self) {
        self.depth.reset();
        self.oldest_age.reset();
        if let Some(classic) = &self.classic {
            classic.depth.reset();
            classic.lag.reset();
            classic.age_p99.reset();
            classic.shed.reset();
        }
    }

    fn set_share(&self, share: &Sharing) {
        self.share_replicas.set(share.replicas as f64);
        // What was never read is infinitely old, as a signal is.
        self.share_age.set(share.age.map_or(f64::INFINITY, |age| age.as_secs_f64()));
        self.share_unreadable.reset();
        self.share_unreadable.inc_by(share.unreadable);
    }

    fn set_held(&self, held: &HeldNow) {
        for (listener, connections) in
            [("ingest", held.ingest_connections), ("admin", held.admin_connections)]
        {
            self.connections.with_label_values(&[listener]).set(number(connections.used));
        }
        for (gauge, bound, holding) in [
            (&self.in_flight_bytes, Bound::Bytes, held.body_bytes),
            (&self.open_batches, Bound::Batches, held.batches),
            (&self.waiting_polls, Bound::Polls, held.polls),
        ] {
            gauge.with_label_values::<&str>(&[]).set(number(holding.used));
            self.limit.with_label_values(&[bound.as_str()]).set(number(holding.bound));
        }
        let connections = number(held.ingest_connections.bound);
        self.limit.with_label_values(&[Bound::Connections.as_str()]).set(connections);
    }

    fn set_totals(&self, tier: Tier, totals: &Totals) {
        for (counters, value) in [
            (&self.recovered, totals.recovered),
            (&self.done, totals.done),
            (&self.expired, totals.expired),
            (&self.purged, totals.purged),
            (&self.lost_unread, totals.lost),
        ] {
            set_counter(counters, tier.as_str(), value);
        }
        for (gauges, value) in [
            (&self.waiting, totals.waiting),
            (&self.leased, totals.leased),
            (&self.dead, totals.dead),
            (&self.dead_at_start, totals.dead_at_start),
        ] {
            gauges.with_label_values(&[tier.as_str()]).set(number(value));
        }
    }

    fn set_report(&self, tier: Tier, queue: &str, report: &TickReport) {
        let oldest = report.backlog.oldest_age.unwrap_or_default().as_secs_f64();
        let depth = number(report.backlog.depth());
        for (gauges, value) in [(&self.depth, depth), (&self.oldest_age, oldest)] {
            gauges.with_label_values(&[tier.as_str(), queue]).set(value);
        }
        // Before the first reading the signal is infinitely old, not fresh.
        let signal_age = report.signal_age.map_or(f64::INFINITY, |age| age.as_secs_f64());
        let headroom = report.backlog.headroom.map_or(f64::INFINITY, |headroom| headroom.as_secs_f64());
        for (gauges, value) in [
            (&self.headroom, headroom),
            (&self.signal_age, signal_age),
            (&self.drain, report.drain.jobs_per_second()),
            (&self.rate, report.rate.jobs_per_second()),
            (&self.pressure, report.pressure),
            (&self.target, report.target_depth),
            (&self.share_ratio, report.share),
        ] {
            gauges.with_label_values(&[tier.as_str()]).set(value);
        }
        if let Some(classic) = &self.classic {
            classic.depth.with_label_values(&[queue, tier.as_priority()]).set(depth);
            classic.lag.with_label_values(&[queue]).set(oldest);
            let p99 = report.backlog.p99_age.unwrap_or_default().as_secs_f64();
            classic.age_p99.with_label_values(&[queue]).set(p99);
        }
    }
}

impl Classic {
    fn new(registry: &Registry) -> prometheus::Result<Classic> {
        Ok(Classic {
            depth: family::CLASSIC_DEPTH.gauges(registry)?,
            lag: family::CLASSIC_LAG.gauges(registry)?,
            age_p99: family::CLASSIC_AGE_P99.gauges(registry)?,
            shed: family::CLASSIC_SHED.counters(registry)?,
        })
    }
}

impl Metrics {
    /// Everything in the Prometheus text format, version 0.0.4.
    ///
    /// # Errors
    /// The encoder met a family it cannot write.
    pub fn render(&self, scrape: &Scrape<'_>) -> prometheus::Result<String> {
        let _guard = self.scraped.one_at_a_time.lock().unwrap_or_else(PoisonError::into_inner);
        self.scraped.set(scrape);
        if let Some(classic) = &self.scraped.classic {
            for tier in Tier::ALL {
                set_counter(&classic.shed, &scrape.policy.tiers[tier].queue, self.counts(tier).shed);
            }
        }
        self.tenants.show(&scrape.policy.regulator.tenants);
        let families = self.registry.gather();
        // The registry is silent on a family without samples, and every family exists from the start.
        let has_samples = |family: &&Family| families.iter().any(|other| other.name() == family.name);
        let shown = |family: &&Family| self.scraped.classic.is_some() || !family.is_classic();
        let empty = family::ALL.iter().filter(shown).filter(|family| !has_samples(family));
        let mut text = empty.map(|family| family.heading()).collect::<String>().into_bytes();
        TextEncoder::new().encode(&families, &mut text)?;
        String::from_utf8(text).map_err(|error| prometheus::Error::Msg(error.to_string()))
    }
}

/// What a target accepts that a job waits, in seconds; a depth says nothing of it.
const fn age_limit(target: Target) -> f64 {
    match target {
        Target::Depth(_) => f64::INFINITY,
        Target::Delay { delay, .. } => delay.as_secs_f64(),
    }
}

/// Sets a counter that is kept elsewhere; only under the scrape's lock.
fn set_counter(counters: &IntCounterVec, label: &str, value: u64) {
    let counter = counters.with_label_values(&[label]);
    counter.reset();
    counter.inc_by(value);
}

#[expect(clippy::cast_precision_loss, reason = "Prometheus knows only f64; exact up to 2^53 jobs")]
const fn number(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delay_is_a_limit_of_age_and_a_depth_is_none() {
        let delay = Target::Delay { delay: Duration::from_millis(2500), at_least: 1, at_most: 2 };
        assert_eq!(age_limit(delay), 2.5);
        assert_eq!(age_limit(Target::Depth(7)), f64::INFINITY);
    }
}
