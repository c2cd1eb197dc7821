//! The one table of metric families: every name, its kind, labels and unit, what it tells and what to do about it.
//! Nothing else names a metric; `docs/METRICS.md` is written from it (`make metrics`).

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
    /// Counter, gauge or histogram.
    pub kind: Kind,
    /// What its numbers count, or the unit they are in.
    pub unit: &'static str,
    /// What somebody does who sees it move.
    pub action: &'static str,
}

/// The kinds of families.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows, until the process starts anew.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Observations in buckets.
    Histogram,
}

impl Kind {
    /// As the exposition writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        }
    }
}

macro_rules! families {
    ($($constant:ident = $kind:ident $name:literal [$($label:literal),*] in $unit:literal
        $help:literal => $action:literal;)*) => {
        $(#[doc = $help] pub const $constant: Family = Family {
            name: $name, help: $help, labels: &[$($label),*], kind: Kind::$kind, unit: $unit, action: $action,
        };)*

        /// Every family.
        pub const ALL: &[Family] = &[$($constant,)*];
    };
}

families! {
    JOBS_RECEIVED = Counter "tidegate_jobs_received_total" [] in "jobs"
        "Jobs answered: admitted, duplicate, refused and invalid ones together."
        => "Its rate is what clients send. Compare it with the admitted: the difference is refused, invalid or a repetition.";
    JOBS_INVALID = Counter "tidegate_jobs_invalid_total" ["code"] in "jobs"
        "Jobs and requests answered with a 4xx other than 429."
        => "A code that rises belongs to a client: find it by that code and tell its owner. `unauthenticated` rises when keys change.";
    JOBS_DUPLICATE = Counter "tidegate_jobs_duplicate_total" ["tier"] in "jobs"
        "Jobs answered with the receipt of an earlier request of the same idempotency key."
        => "Clients repeat requests whose answer they did not see. If it rises, look at latency and at the network between.";
    JOBS_ADMITTED = Counter "tidegate_jobs_admitted_total" ["tier"] in "jobs"
        "Jobs stored and answered with a receipt."
        => "Compare its rate with the drain: for long it cannot be higher.";
    JOBS_REFUSED = Counter "tidegate_jobs_refused_total" ["tier", "code"] in "jobs"
        "Jobs answered 429, 503 or 504; tier none before classification."
        => "The code tells the cause: `throttled` needs workers, `shed` and `queue_full` a look at the backlog, `signal_stale` and `backend_unavailable` at the backend, `tenant_quota` and `client_limit` at one caller, `overloaded` at the limits.";
    JOBS_STORED_LATE = Counter "tidegate_jobs_stored_late_total" ["tier"] in "jobs"
        "Jobs stored after their request was answered 504."
        => "The backend answers after the request timeout: look at the store duration before the timeout is raised.";
    JOBS_RECOVERED = Counter "tidegate_jobs_recovered_total" ["tier"] in "jobs"
        "Jobs found in the queue at start."
        => "After a restart: what was waiting is there. A zero after a crash with a backlog means another data path.";
    JOBS_WAITING = Gauge "tidegate_jobs_waiting" ["tier"] in "jobs"
        "Jobs that wait for a worker, those delayed for a retry included."
        => "With leased at zero no worker asks: start workers.";
    JOBS_LEASED = Gauge "tidegate_jobs_leased" ["tier"] in "jobs"
        "Jobs that a worker holds."
        => "High while nothing is done: workers hang or die. Jobs come back when their leases end.";
    JOBS_DONE = Counter "tidegate_jobs_done_total" ["tier"] in "jobs"
        "Jobs acknowledged by workers."
        => "Its rate is the work that is done. If it falls under load, look at the workers.";
    EXPIRED_JOBS = Counter "tidegate_expired_jobs_total" ["tier"] in "jobs"
        "Jobs dropped because they were past their expiry."
        => "Jobs outlive their use before a worker comes: more workers, a longer expiry, or a lower target.";
    IDEMPOTENCY_KEYS = Gauge "tidegate_idempotency_keys" [] in "keys"
        "Idempotency keys known now."
        => "At `idempotency.max_keys` the oldest are forgotten early: raise it if the horizon is shorter than clients retry.";
    IDEMPOTENCY_HORIZON = Gauge "tidegate_idempotency_horizon_seconds" [] in "seconds"
        "Every idempotency key stored within this time is known."
        => "Shorter than clients retry: raise `idempotency.max_keys`, else a late repetition is stored twice.";
    DEAD_LETTERS = Gauge "tidegate_dead_letters" ["tier"] in "jobs"
        "Dead letters now."
        => "List them, find the common reason, replay or purge.";
    DEAD_LETTERS_PURGED = Counter "tidegate_dead_letters_purged_total" ["tier"] in "jobs"
        "Dead letters deleted for good."
        => "Somebody deleted jobs: compare with who was meant to.";
    DEAD_LETTERS_AT_START = Gauge "tidegate_dead_letters_at_start" ["tier"] in "jobs"
        "Dead letters found at start."
        => "None by itself: it closes the account of dead letters over a restart.";
    QUEUE_DEPTH = Gauge "tidegate_queue_depth" ["tier", "queue"] in "jobs"
        "Jobs waiting and leased."
        => "Above the target: drain fell or jobs come past the gateway. Add workers, or find the other producer.";
    QUEUE_OLDEST_AGE = Gauge "tidegate_queue_oldest_age_seconds" ["tier", "queue"] in "seconds"
        "Age of the oldest waiting job."
        => "What a job waits now. Above the limit: add workers, or lower the target.";
    AGE_LIMIT = Gauge "tidegate_age_limit_seconds" ["tier"] in "seconds"
        "The longest wait that the policy's target allows; +Inf where the target is a depth."
        => "Compare the age of the oldest job with it. Change `target.delay` when what is acceptable changed.";
    SIGNAL_AGE = Gauge "tidegate_signal_age_seconds" ["tier"] in "seconds"
        "Age of the backlog reading the gate acts on."
        => "Above ten seconds the gate works by `on_stale`: look at the backend and at the way to it.";
    BACKEND_AWAY = Gauge "tidegate_backend_away" ["tier"] in "1"
        "1 while the backend is away for this tier: its jobs are refused or spooled."
        => "The reason is the outage in the status: a full or failing disk of the embedded queue, or the way to Redis or Kafka.";
    DRAIN_RATE = Gauge "tidegate_drain_rate" ["tier"] in "jobs/s"
        "Jobs per second that workers take away, estimated."
        => "Zero with a backlog: no worker works. Lower than the demand: add workers.";
    ADMISSION_RATE = Gauge "tidegate_admission_rate" ["tier"] in "jobs/s"
        "Jobs per second that the gate lets in."
        => "Under the demand, clients are refused: raise the drain, not the rate.";
    PRESSURE = Gauge "tidegate_pressure" ["tier"] in "ratio"
        "Predicted depth over target depth: 1 is at the target."
        => "At 1 the law throttles. Well above 1, something comes past the gateway or the drain fell.";
    TARGET_DEPTH = Gauge "tidegate_target_depth" ["tier"] in "jobs"
        "The depth that the controller holds."
        => "It follows the drain where the target is a delay. At its lower bound, the drain is not known or low.";
    REQUEST_DURATION = Histogram "tidegate_request_duration_seconds" ["tier", "status"] in "seconds"
        "From the head of a job request to its answer."
        => "High with a high store duration: the backend. High without: the machine, or bodies that come slowly.";
    DECISION_DURATION = Histogram "tidegate_decision_duration_seconds" [] in "seconds"
        "Time taken by one admission decision."
        => "Above a millisecond the machine is short of processor time.";
    STORE_DURATION = Histogram "tidegate_store_duration_seconds" ["tier"] in "seconds"
        "From handing jobs to the queue to their durable storage."
        => "Slow: the disk of the embedded queue, or the backend and the way to it.";
    RETRY_AFTER = Histogram "tidegate_retry_after_seconds" ["tier"] in "seconds"
        "Retry-After given with refusals."
        => "What clients are told to wait. Long: the demand is far above the drain. Raise the drain.";
    SPOOL_DEPTH = Gauge "tidegate_spool_depth" ["tier"] in "jobs"
        "Jobs in the local spool that wait for the backend to return."
        => "The backend was away. If the depth does not fall, it is still away, or slower than what comes in.";
    SPOOL_DUPLICATES = Counter "tidegate_spool_duplicates_total" ["tier"] in "jobs"
        "Spooled jobs not forwarded, since the backend had another one under their idempotency key."
        => "Clients repeated to another way what was spooled; nothing is done twice, nothing is to do.";
    LOST_UNREAD = Counter "tidegate_lost_unread_total" ["tier"] in "jobs"
        "Jobs that the backend's retention deleted before any worker read them."
        => "Jobs with a receipt are gone. Raise retention or add workers at once, then tell the owners of the jobs.";
    RETENTION_HEADROOM = Gauge "tidegate_retention_headroom_seconds" ["tier"] in "seconds"
        "Time until the backend's retention reaches the oldest waiting job; +Inf where nothing is deleted."
        => "Time left before jobs are deleted unread: raise retention, then add workers.";
    BROKER_THROTTLE = Gauge "tidegate_broker_throttle_seconds" ["tier"] in "seconds"
        "How long the brokers of Kafka held back the gateway's requests of late; 0 elsewhere."
        => "The quota of the Kafka user is used up: raise it, or send less.";
    SHARE_RATIO = Gauge "tidegate_share_ratio" ["tier"] in "ratio"
        "Part of what all replicas let in that is this one's: 1 alone, 0 without a share yet."
        => "Over all replicas of a tier it adds up to 1. Zero for long: this one does not reach the Redis in which they share.";
    SHARE_REPLICAS = Gauge "tidegate_share_replicas" [] in "replicas"
        "Replicas that share the backend, as this one knows them, itself included."
        => "Compare with the number that run: fewer, and one cannot reach the Redis in which they share.";
    SHARE_AGE = Gauge "tidegate_share_age_seconds" [] in "seconds"
        "Time since the counts of the other replicas were last read; 0 alone, +Inf as long as they never were."
        => "Growing: this one does not reach the Redis in which they share, and keeps its last share.";
    SHARE_UNREADABLE = Counter "tidegate_share_unreadable_total" [] in "lines"
        "Lines of other replicas that could not be read."
        => "Another version, or somebody else, writes to the same board: end the mixture.";
    CONNECTIONS = Gauge "tidegate_connections" ["listener"] in "connections"
        "Open connections; beyond tidegate_limit are those that are answered once and closed."
        => "At its limit further clients are refused: find who opens so many, or raise the limit.";
    IN_FLIGHT_BYTES = Gauge "tidegate_in_flight_bytes" [] in "bytes"
        "Bytes of request bodies held in memory."
        => "At its limit requests are answered `overloaded`: smaller batches, or a higher `limits.max_in_flight_bytes`.";
    OPEN_BATCHES = Gauge "tidegate_open_batches" [] in "batches"
        "Batches being read."
        => "At its limit batches are answered `overloaded`: slow senders hold them open.";
    WAITING_POLLS = Gauge "tidegate_waiting_polls" [] in "polls"
        "Workers' long polls that wait for a job."
        => "At its limit workers are refused: fewer workers with more jobs a call.";
    LIMIT = Gauge "tidegate_limit" ["bound"] in "as the bound"
        "The bound on what the gateway holds: connections per listener, bytes of bodies, batches, polls."
        => "The bound to compare the four before it with.";
    OVERLOADED = Counter "tidegate_overloaded_total" ["bound"] in "answers"
        "Jobs and requests answered overloaded, by the bound that was reached."
        => "Its label names the bound that was reached: see that gauge.";
    API_KEYS = Gauge "tidegate_api_keys" [] in "keys"
        "API keys in force."
        => "A fall that nobody wanted: a keys file was cut short. Put the former one back.";
    KEYS_RELOADS = Counter "tidegate_keys_reloads_total" ["result"] in "readings"
        "Readings of the keys file by result."
        => "`rejected`: correct the keys file; the keys from before are in force.";
    LIMITED_CLIENTS = Gauge "tidegate_limited_clients" [] in "clients"
        "Clients that the client limit remembers."
        => "Very many: the limit counts addresses of a proxy or an attack; look at how clients are told apart.";
    TLS_EXPIRY = Gauge "tidegate_tls_certificate_expiry_seconds" ["listener"] in "seconds"
        "Seconds until the certificate in force, or one of its chain, expires; below zero once it has."
        => "Renew the certificate; the files are watched, no restart is needed.";
    TLS_FAILED = Counter "tidegate_tls_handshakes_failed_total" ["listener", "reason"] in "handshakes"
        "TLS handshakes that failed, by why."
        => "`refused_by_client` after a renewal: clients do not trust the new certificate. `timeout`: somebody opens connections and says nothing.";
    TENANT_ADMITTED = Counter "tidegate_tenant_jobs_admitted_total" ["tenant"] in "jobs"
        "Jobs stored of the tenants that the policy watches."
        => "Who is loud: compare the tenants.";
    TENANT_REFUSED = Counter "tidegate_tenant_jobs_refused_total" ["tenant", "code"] in "jobs"
        "Jobs that the gate refused of the tenants that the policy watches."
        => "`tenant_quota`: the tenant sends more than its rate. Talk to it, or change its rate in the policy.";
    POLICY_REVISION = Gauge "tidegate_policy_revision_info" ["revision"] in "1"
        "1 for the policy in force."
        => "Compare over the replicas: two revisions are two policies.";
    POLICY_RELOADS = Counter "tidegate_policy_reloads_total" ["result"] in "reloads"
        "Policy reloads by result."
        => "`rejected`: run `tidegate check` on the file.";
    RELOAD_REJECTED = Gauge "tidegate_last_reload_rejected" ["file"] in "1"
        "1 while the file was last found faulty, so that what was in force before still is; otherwise 0."
        => "Run `tidegate check` on the file, correct it or put the former one back.";
    SHADOW_DECISIONS = Counter "tidegate_shadow_decisions_total" ["tier", "verdict"] in "decisions"
        "What the candidate in the shadow would have answered; tier none where its rules could not tell."
        => "What the candidate would do: compare with what the acting policy does before it takes over.";
    SHADOW_DISAGREEMENTS = Counter "tidegate_shadow_disagreements_total" ["tier", "acting", "candidate"] in "decisions"
        "Decisions where one of the acting policy and the candidate admits and the other refuses, by the acting tier."
        => "Look where the candidate refuses what is admitted now: that is what clients would feel.";
    SHADOW_MOVES = Counter "tidegate_shadow_moves_total" ["from", "to"] in "jobs"
        "Jobs that the candidate would have put into another tier."
        => "Jobs that would change their tier: check that the rules mean it.";
    SHADOW_DROPPED = Counter "tidegate_shadow_dropped_total" [] in "decisions"
        "Decisions that were not put to the candidate, since it was behind."
        => "The comparison has gaps: judge the candidate at a calmer hour.";
    SPANS_DROPPED = Counter "tidegate_spans_dropped_total" ["reason"] in "spans"
        "Spans that never reached the collector of traces, by why: its queue was full, or it did not take them."
        => "`not_sent`: the log says why the collector takes none. `queue_full`: it is slow, or more is recorded than it can take: record fewer traces.";
    BUILD_INFO = Gauge "tidegate_build_info" ["version"] in "1"
        "1 for the running version."
        => "Which version runs where.";
    CLASSIC_DEPTH = Gauge "queue_depth_total" ["queue_name", "priority"] in "jobs"
        "Alias of tidegate_queue_depth."
        => "As tidegate_queue_depth. Off by `telemetry.classic_metric_names: false`, as the three below.";
    CLASSIC_LAG = Gauge "consumer_lag_seconds" ["queue_name"] in "seconds"
        "Alias of tidegate_queue_oldest_age_seconds."
        => "As tidegate_queue_oldest_age_seconds.";
    CLASSIC_AGE_P99 = Gauge "message_age_p99_seconds" ["queue_name"] in "seconds"
        "Age of the job 1 % from the head of the queue."
        => "Near the oldest age the whole queue is old, far below it a few jobs are.";
    CLASSIC_SHED = Counter "shed_count" ["queue_name"] in "jobs"
        "Jobs refused with code shed since the start."
        => "As tidegate_jobs_refused_total with code shed.";
}

impl Family {
    /// How the exposition names a family that has no sample yet.
    pub fn heading(self) -> String {
        format!("# HELP {0} {1}\n# TYPE {0} {2}\n", self.name, self.help, self.kind.as_str())
    }

    /// Whether it is one of the aliases that can be switched off.
    pub fn is_classic(self) -> bool {
        !self.name.starts_with(PREFIX)
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

/// What the names of the gateway's own families begin with.
const PREFIX: &str = "tidegate_";

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

    #[test]
    fn every_family_says_its_unit_and_what_to_do() {
        for family in ALL {
            assert!(family.action.ends_with('.') && !family.unit.is_empty(), "{}", family.name);
            assert_eq!(
                family.name.ends_with("_total") && !family.is_classic(),
                family.kind == Kind::Counter && !family.is_classic(),
                "{}: counters end with _total, nothing else does",
                family.name
            );
            let in_seconds = family.name.ends_with("_seconds");
            assert_eq!(in_seconds, family.unit == "seconds", "{}: the unit is in the name", family.name);
        }
    }
}
