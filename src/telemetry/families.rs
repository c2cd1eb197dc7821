//! The one table of metric families: every name, its labels and what it tells. Nothing else names a metric.

use prometheus::core::Collector;
use prometheus::{
    Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, Opts, Registry,
};

/// One family: what the exposition calls it and what its numbers mean.
#[derive(Clone, Copy, Debug)]
pub struct Family {
    /// The name, with its unit and, for counters, `_total`.
    pub name: &'static str,
    /// What it tells, in one sentence.
    pub help: &'static str,
    /// The label names; their values come from closed sets only.
    pub labels: &'static [&'static str],
}

macro_rules! families {
    ($($constant:ident = $name:literal [$($label:literal),*] $help:literal;)*) => {
        $(#[doc = $help] pub const $constant: Family =
            Family { name: $name, help: $help, labels: &[$($label),*] };)*

        /// Every family.
        pub const ALL: &[Family] = &[$($constant,)*];
    };
}

families! {
    JOBS_RECEIVED = "tidegate_jobs_received_total" [] "Jobs answered: admitted, duplicate, refused and invalid ones together.";
    JOBS_INVALID = "tidegate_jobs_invalid_total" ["code"] "Jobs and requests answered with a 4xx other than 429.";
    JOBS_DUPLICATE = "tidegate_jobs_duplicate_total" ["tier"] "Jobs answered with the receipt of an earlier request of the same idempotency key.";
    JOBS_ADMITTED = "tidegate_jobs_admitted_total" ["tier"] "Jobs stored and answered with a receipt.";
    JOBS_REFUSED = "tidegate_jobs_refused_total" ["tier", "code"] "Jobs answered 429, 503 or 504; tier none before classification.";
    JOBS_STORED_LATE = "tidegate_jobs_stored_late_total" ["tier"] "Jobs stored after their request was answered 504.";
    JOBS_RECOVERED = "tidegate_jobs_recovered_total" ["tier"] "Jobs found in the queue at start.";
    JOBS_WAITING = "tidegate_jobs_waiting" ["tier"] "Jobs that wait for a worker, those delayed for a retry included.";
    JOBS_LEASED = "tidegate_jobs_leased" ["tier"] "Jobs that a worker holds.";
    JOBS_DONE = "tidegate_jobs_done_total" ["tier"] "Jobs acknowledged by workers.";
    EXPIRED_JOBS = "tidegate_expired_jobs_total" ["tier"] "Jobs dropped because they were past their expiry.";
    IDEMPOTENCY_KEYS = "tidegate_idempotency_keys" [] "Idempotency keys known now.";
    IDEMPOTENCY_HORIZON = "tidegate_idempotency_horizon_seconds" [] "Every idempotency key stored within this time is known.";
    DEAD_LETTERS = "tidegate_dead_letters" ["tier"] "Dead letters now.";
    DEAD_LETTERS_PURGED = "tidegate_dead_letters_purged_total" ["tier"] "Dead letters deleted for good.";
    DEAD_LETTERS_AT_START = "tidegate_dead_letters_at_start" ["tier"] "Dead letters found at start.";
    QUEUE_DEPTH = "tidegate_queue_depth" ["tier", "queue"] "Jobs waiting and leased.";
    QUEUE_OLDEST_AGE = "tidegate_queue_oldest_age_seconds" ["tier", "queue"] "Age of the oldest waiting job.";
    SIGNAL_AGE = "tidegate_signal_age_seconds" ["tier"] "Age of the backlog reading the gate acts on.";
    DRAIN_RATE = "tidegate_drain_rate" ["tier"] "Jobs per second that workers take away, estimated.";
    ADMISSION_RATE = "tidegate_admission_rate" ["tier"] "Jobs per second that the gate lets in.";
    PRESSURE = "tidegate_pressure" ["tier"] "Predicted depth over target depth: 1 is at the target.";
    TARGET_DEPTH = "tidegate_target_depth" ["tier"] "The depth that the controller holds.";
    REQUEST_DURATION = "tidegate_request_duration_seconds" ["tier", "status"] "From the head of a job request to its answer.";
    DECISION_DURATION = "tidegate_decision_duration_seconds" [] "Time taken by one admission decision.";
    STORE_DURATION = "tidegate_store_duration_seconds" ["tier"] "From handing jobs to the queue to their durable storage.";
    RETRY_AFTER = "tidegate_retry_after_seconds" ["tier"] "Retry-After given with refusals.";
    SPOOL_DEPTH = "tidegate_spool_depth" ["tier"] "Jobs in the local spool that wait for the backend to return.";
    SPOOL_DUPLICATES = "tidegate_spool_duplicates_total" ["tier"] "Spooled jobs not forwarded, since the backend had another one under their idempotency key.";
    LOST_UNREAD = "tidegate_lost_unread_total" ["tier"] "Jobs that the backend's retention deleted before any worker read them.";
    RETENTION_HEADROOM = "tidegate_retention_headroom_seconds" ["tier"] "Time until the backend's retention reaches the oldest waiting job; +Inf where nothing is deleted.";
    BROKER_THROTTLE = "tidegate_broker_throttle_seconds" ["tier"] "How long the brokers of Kafka held back the gateway's requests of late; 0 elsewhere.";
    SHARE_RATIO = "tidegate_share_ratio" ["tier"] "Part of what all replicas let in that is this one's: 1 alone, 0 without a share yet.";
    SHARE_REPLICAS = "tidegate_share_replicas" [] "Replicas that share the backend, as this one knows them, itself included.";
    CONNECTIONS = "tidegate_connections" ["listener"] "Open connections; beyond tidegate_limit are those that are answered once and closed.";
    IN_FLIGHT_BYTES = "tidegate_in_flight_bytes" [] "Bytes of request bodies held in memory.";
    OPEN_BATCHES = "tidegate_open_batches" [] "Batches being read.";
    WAITING_POLLS = "tidegate_waiting_polls" [] "Workers' long polls that wait for a job.";
    LIMIT = "tidegate_limit" ["bound"] "The bound on what the gateway holds: connections per listener, bytes of bodies, batches, polls.";
    OVERLOADED = "tidegate_overloaded_total" ["bound"] "Jobs and requests answered overloaded, by the bound that was reached.";
    API_KEYS = "tidegate_api_keys" [] "API keys in force.";
    KEYS_RELOADS = "tidegate_keys_reloads_total" ["result"] "Readings of the keys file by result.";
    LIMITED_CLIENTS = "tidegate_limited_clients" [] "Clients that the client limit remembers.";
    TLS_EXPIRY = "tidegate_tls_certificate_expiry_seconds" ["listener"] "Seconds until the certificate in force, or one of its chain, expires; below zero once it has.";
    TLS_FAILED = "tidegate_tls_handshakes_failed_total" ["listener", "reason"] "TLS handshakes that failed, by why.";
    TENANT_ADMITTED = "tidegate_tenant_jobs_admitted_total" ["tenant"] "Jobs stored of the tenants that the policy watches.";
    TENANT_REFUSED = "tidegate_tenant_jobs_refused_total" ["tenant", "code"] "Jobs that the gate refused of the tenants that the policy watches.";
    POLICY_REVISION = "tidegate_policy_revision_info" ["revision"] "1 for the policy in force.";
    POLICY_RELOADS = "tidegate_policy_reloads_total" ["result"] "Policy reloads by result.";
    SHADOW_DECISIONS = "tidegate_shadow_decisions_total" ["tier", "verdict"] "What the candidate in the shadow would have answered; tier none where its rules could not tell.";
    SHADOW_DISAGREEMENTS = "tidegate_shadow_disagreements_total" ["tier", "acting", "candidate"] "Decisions where one of the acting policy and the candidate admits and the other refuses, by the acting tier.";
    SHADOW_MOVES = "tidegate_shadow_moves_total" ["from", "to"] "Jobs that the candidate would have put into another tier.";
    SHADOW_DROPPED = "tidegate_shadow_dropped_total" [] "Decisions that were not put to the candidate, since it was behind.";
    BUILD_INFO = "tidegate_build_info" ["version"] "1 for the running version.";
    CLASSIC_DEPTH = "queue_depth_total" ["queue_name", "priority"] "Alias of tidegate_queue_depth.";
    CLASSIC_LAG = "consumer_lag_seconds" ["queue_name"] "Alias of tidegate_queue_oldest_age_seconds.";
    CLASSIC_AGE_P99 = "message_age_p99_seconds" ["queue_name"] "Age of the job 1 % from the head of the queue.";
    CLASSIC_SHED = "shed_count" ["queue_name"] "Jobs refused with code shed since the start.";
}

impl Family {
    /// How the exposition names a family of counters, where it has no sample yet.
    pub fn heading(self) -> String {
        format!("# HELP {0} {1}\n# TYPE {0} counter\n", self.name, self.help)
    }

    /// Registers the family as a plain counter.
    pub fn counter(self, registry: &Registry) -> prometheus::Result<IntCounter> {
        registered(registry, IntCounter::with_opts(self.opts())?)
    }

    /// Registers the family as counters by label.
    pub fn counters(self, registry: &Registry) -> prometheus::Result<IntCounterVec> {
        registered(registry, IntCounterVec::new(self.opts(), self.labels)?)
    }

    /// Registers the family as a plain gauge.
    pub fn gauge(self, registry: &Registry) -> prometheus::Result<Gauge> {
        registered(registry, Gauge::with_opts(self.opts())?)
    }

    /// Registers the family as gauges by label.
    pub fn gauges(self, registry: &Registry) -> prometheus::Result<GaugeVec> {
        registered(registry, GaugeVec::new(self.opts(), self.labels)?)
    }

    /// Registers the family as a plain histogram.
    pub fn histogram(self, registry: &Registry, buckets: &[f64]) -> prometheus::Result<Histogram> {
        registered(registry, Histogram::with_opts(self.histogram_opts(buckets))?)
    }

    /// Registers the family as histograms by label.
    pub fn histograms(self, registry: &Registry, buckets: &[f64]) -> prometheus::Result<HistogramVec> {
        registered(registry, HistogramVec::new(self.histogram_opts(buckets), self.labels)?)
    }

    fn opts(self) -> Opts {
        Opts::new(self.name, self.help)
    }

    fn histogram_opts(self, buckets: &[f64]) -> HistogramOpts {
        HistogramOpts::new(self.name, self.help).buckets(buckets.to_vec())
    }
}

fn registered<C: Collector + Clone + 'static>(registry: &Registry, collector: C) -> prometheus::Result<C> {
    registry.register(Box::new(collector.clone()))?;
    Ok(collector)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_every_family_says_what_it_tells() {
        let mut names: Vec<_> = ALL.iter().map(|family| family.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ALL.len());
        assert!(ALL.iter().all(|family| family.help.ends_with('.')));
    }
}
