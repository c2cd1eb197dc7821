//! Which of librdkafka's properties are not the operators' to set, each with the reason and what to do instead.

/// Whom a property concerns, where it does not concern every client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::queue::kafka) enum Side {
    /// Clients that send.
    Producer,
    /// Clients that read.
    Consumer,
    /// Clients that only ask for settings.
    Admin,
}

/// What is said to a property.
#[derive(Clone, Copy, Debug)]
pub(super) enum Rule {
    /// Refused, whatever the value.
    Never(&'static str),
    /// Refused, but for these values.
    Only {
        /// The values.
        values: &'static [&'static str],
        /// The values, for people.
        must: &'static str,
        /// Why no other.
        reason: &'static str,
    },
}

/// The rule for a property; a name with a star stands for all that begin so.
pub(super) fn rule(name: &str) -> Option<Rule> {
    if name.ends_with("_cb") {
        return Some(Rule::Never(CODE));
    }
    let matches = |pattern: &str| match pattern.strip_suffix('*') {
        Some(begin) => name.starts_with(begin),
        None => name == pattern,
    };
    let never = NEVER.iter().find(|(names, _)| names.iter().any(|name| matches(name)));
    let never = never.map(|(_, reason)| Rule::Never(reason));
    never.or_else(|| ONLY.iter().find(|(pattern, _)| matches(pattern)).map(|(_, rule)| *rule))
}

/// The usual name of a property that has several.
pub(super) fn usual_name(name: &str) -> &str {
    ALIASES.iter().find(|(alias, _)| *alias == name).map_or(name, |(_, usual)| usual)
}

const CODE: &str = "it takes a piece of a program, not a text";

const NO_GROUP: &str = "the gateway reads where groups stand and never joins one, so this would do nothing; set it in the workers";

const NO_TRANSACTIONS: &str = "the gateway sends each job by itself, without transactions; idempotence is on, so a retry is not stored twice";

const BOUNDED: &str = "the gateway bounds what it hands to librdkafka, so that nothing critical waits behind more than a few \
                       milliseconds' worth; nothing waits in librdkafka's own queue";

const OWN: &str = "the gateway sets it itself";

/// Refused, whatever the value.
const NEVER: &[(&[&str], &str)] = &[
    (&["bootstrap.servers", "metadata.broker.list"], "use kafka.brokers"),
    (&["group.id"], "use kafka.group"),
    (&["message.timeout.ms", "delivery.timeout.ms"], "use kafka.timeout"),
    (&["message.max.bytes"], "it follows from limits.max_job_bytes"),
    (&["transactional.id", "transaction.timeout.ms"], NO_TRANSACTIONS),
    (&["queue.buffering.max.messages", "queue.buffering.max.kbytes"], BOUNDED),
    (
        &["queue.buffering.backpressure.threshold", "enable.gapless.guarantee"],
        "it would stop an idempotent producer",
    ),
    (&["delivery.report.only.error"], "a receipt waits for the report that its job is stored"),
    (&["produce.offset.report"], "librdkafka does not use it any more"),
    (&["plugin.library.paths", "interceptors"], "it loads code into the program of the gateway"),
    (
        &["opaque", "default_topic_conf", "ssl_engine_callback_data", "ssl_key", "ssl_certificate", "ssl_ca"],
        CODE,
    ),
    (&["ssl.engine.location", "ssl.engine.id"], "it loads code into the program of the gateway"),
    (&["enabled_events", "log.queue", "internal.termination.signal", "builtin.features"], OWN),
    (
        &["statistics.interval.ms"],
        "the gateway reads the statistics once a second: they tell when brokers throttle",
    ),
    (&["enable.partition.eof", "client.software.*"], OWN),
    (
        &[
            "group.*",
            "partition.assignment.strategy",
            "session.timeout.ms",
            "heartbeat.interval.ms",
            "max.poll.interval.ms",
            "coordinator.query.interval.ms",
            "auto.commit.interval.ms",
            "enable.auto.offset.store",
            "offset.store.*",
            "consume.callback.max.messages",
        ],
        NO_GROUP,
    ),
    (
        &["sasl.kerberos.*"],
        "this build has no GSSAPI; use PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512, or client certificates",
    ),
    (&["api.version.*", "broker.version.fallback"], "brokers older than 0.10 are not supported"),
];

/// Refused, but for some values.
const ONLY: &[(&str, Rule)] = &[
    (
        "acks",
        Rule::Only {
            values: &["all", "-1"],
            must: "all",
            reason: "a job that one broker alone has may be lost with it, and an idempotent producer needs all; what a \
                     receipt then says follows from the topic's min.insync.replicas",
        },
    ),
    (
        "enable.idempotence",
        Rule::Only {
            values: &["true"],
            must: "true",
            reason: "without it a retry within librdkafka may store a job twice, or before an earlier one of its key",
        },
    ),
    (
        "allow.auto.create.topics",
        Rule::Only {
            values: &["false"],
            must: "false",
            reason: "a topic made by accident has one partition and one copy; use `tidegate kafka init`",
        },
    ),
    (
        "partitioner",
        Rule::Only {
            values: &["murmur2_random"],
            must: "murmur2_random",
            reason: "it places keys as Java clients do; with another, jobs of one key would land in two partitions, in \
                     no order, where other producers write too",
        },
    ),
    (
        "queuing.strategy",
        Rule::Only { values: &["fifo"], must: "fifo", reason: "jobs of one key stay in order" },
    ),
    (
        "max.in.flight.requests.per.connection",
        Rule::Only {
            values: &["1", "2", "3", "4", "5"],
            must: "1 to 5",
            reason: "an idempotent producer has no more than 5 requests under way",
        },
    ),
    (
        "enable.auto.commit",
        Rule::Only { values: &["false"], must: "false", reason: "the gateway never commits for its workers" },
    ),
    (
        "sasl.mechanisms",
        Rule::Only {
            values: &["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"],
            must: "PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER",
            reason: "this build has no other (GSSAPI needs libsasl2)",
        },
    ),
];

/// Names of one property: another one, the usual one.
const ALIASES: &[(&str, &str)] = &[
    ("metadata.broker.list", "bootstrap.servers"),
    ("max.in.flight", "max.in.flight.requests.per.connection"),
    ("sasl.mechanism", "sasl.mechanisms"),
    ("sasl.oauthbearer.client.id", "sasl.oauthbearer.client.credentials.client.id"),
    ("sasl.oauthbearer.client.secret", "sasl.oauthbearer.client.credentials.client.secret"),
    ("queue.buffering.max.ms", "linger.ms"),
    ("message.send.max.retries", "retries"),
    ("compression.codec", "compression.type"),
    ("request.required.acks", "acks"),
    ("delivery.timeout.ms", "message.timeout.ms"),
    ("auto.commit.enable", "enable.auto.commit"),
    ("fetch.message.max.bytes", "max.partition.fetch.bytes"),
];

/// What names of properties begin with that only one side reads: the other would warn of them at each start.
pub(in crate::queue::kafka) const SIDES: &[(&str, Side)] = &[
    ("linger.ms", Side::Producer),
    ("retries", Side::Producer),
    ("enable.idempotence", Side::Producer),
    ("compression.", Side::Producer),
    ("batch.", Side::Producer),
    ("sticky.partitioning.", Side::Producer),
    ("acks", Side::Producer),
    ("request.timeout.ms", Side::Producer),
    ("queuing.strategy", Side::Producer),
    ("partitioner", Side::Producer),
    ("queued.", Side::Consumer),
    ("fetch.", Side::Consumer),
    ("max.partition.fetch.bytes", Side::Consumer),
    ("isolation.level", Side::Consumer),
    ("check.crcs", Side::Consumer),
    ("enable.auto.commit", Side::Consumer),
    ("auto.offset.reset", Side::Consumer),
];

/// Properties that operators set: one of them is proposed for a name that is nearly right.
pub(super) const WELL_KNOWN: &[&str] = &[
    "client.id",
    "client.rack",
    "client.dns.lookup",
    "security.protocol",
    "sasl.mechanism",
    "sasl.mechanisms",
    "sasl.username",
    "sasl.password",
    "sasl.oauthbearer.method",
    "sasl.oauthbearer.scope",
    "sasl.oauthbearer.token.endpoint.url",
    "ssl.ca.location",
    "ssl.ca.pem",
    "ssl.certificate.location",
    "ssl.certificate.pem",
    "ssl.key.location",
    "ssl.key.password",
    "ssl.key.pem",
    "ssl.keystore.location",
    "ssl.keystore.password",
    "ssl.crl.location",
    "ssl.cipher.suites",
    "ssl.endpoint.identification.algorithm",
    "enable.ssl.certificate.verification",
    "linger.ms",
    "batch.size",
    "batch.num.messages",
    "compression.type",
    "compression.codec",
    "compression.level",
    "acks",
    "enable.idempotence",
    "retries",
    "retry.backoff.ms",
    "retry.backoff.max.ms",
    "request.timeout.ms",
    "socket.timeout.ms",
    "socket.keepalive.enable",
    "socket.connection.setup.timeout.ms",
    "reconnect.backoff.ms",
    "reconnect.backoff.max.ms",
    "connections.max.idle.ms",
    "broker.address.family",
    "metadata.max.age.ms",
    "topic.metadata.refresh.interval.ms",
    "max.in.flight.requests.per.connection",
    "auto.offset.reset",
    "isolation.level",
    "fetch.max.bytes",
    "debug",
];

#[cfg(test)]
mod tests {
    use rdkafka::ClientConfig;
    use rdkafka::error::KafkaError;
    use rdkafka::types::RDKafkaConfRes;

    use super::*;

    #[test]
    fn every_property_named_here_is_one_of_librdkafka() {
        let named = NEVER.iter().flat_map(|(names, _)| names.iter().copied());
        let named = named.chain(ONLY.iter().map(|(name, _)| *name)).filter(|name| !name.ends_with('*'));
        let aliases = ALIASES.iter().flat_map(|(alias, usual)| [*alias, *usual]);
        for name in named.chain(WELL_KNOWN.iter().copied()).chain(aliases) {
            assert!(is_known(name), "{name}");
        }
        assert!(!is_known("sasl.pasword"));
    }

    /// Whatever librdkafka says to the value.
    fn is_known(name: &str) -> bool {
        let unknown = RDKafkaConfRes::RD_KAFKA_CONF_UNKNOWN;
        let tried = ClientConfig::new().set(name, "1").create_native_config();
        !matches!(tried, Err(KafkaError::ClientConfig(why, ..)) if why == unknown)
    }

    #[test]
    fn a_well_known_property_is_not_refused_for_every_value() {
        for name in WELL_KNOWN {
            assert!(!matches!(rule(usual_name(name)), Some(Rule::Never(_))), "{name}");
        }
    }
}
