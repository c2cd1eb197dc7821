//! The configuration of every client of Kafka: where the brokers are, what operators set, then what must be so.

use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::BaseConsumer;
use rdkafka::error::KafkaError;
use rdkafka::producer::BaseProducer;

use crate::queue::kafka::properties::Side;
use crate::queue::kafka::settings::KafkaSettings;

/// Settings that librdkafka does not take together; says why, without secrets.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadClient(String);

/// Whether clients of every kind can be made of these settings: certificates are read, mechanisms looked up. No broker is
/// asked.
///
/// # Errors
/// What librdkafka says.
pub fn check(settings: &KafkaSettings) -> Result<(), BadClient> {
    let sasl = settings.properties.find("security.protocol").unwrap_or_default().to_ascii_lowercase();
    if sasl.starts_with("sasl") && settings.properties.find("sasl.mechanisms").is_none() {
        return Err(BadClient(NO_MECHANISM.to_owned()));
    }
    if let Some((name, path)) = settings.properties.missing_file() {
        return Err(BadClient(format!("{name}: there is no file {path}")));
    }
    let made = |mut config: ClientConfig, producer: bool| {
        config.remove(BROKERS).set_log_level(RDKafkaLogLevel::Emerg);
        if producer {
            config.create::<BaseProducer>().map(|_| ())
        } else {
            config.create::<BaseConsumer>().map(|_| ())
        }
    };
    let group = settings.groups.first().map_or("", String::as_str);
    made(producer(settings), true)
        .and_then(|()| made(consumer(settings, group), false))
        .map_err(|error| BadClient(said(settings, &error)))
}

/// A producer's: idempotent, so that a retry within librdkafka stores nothing twice and nothing out of order; it waits for
/// all replicas in sync, and knows the fate of each record within `kafka.timeout`.
pub(super) fn producer(settings: &KafkaSettings) -> ClientConfig {
    let mut config = common(settings);
    // What waits makes the batch, not a timer.
    config.set("linger.ms", "0").set("compression.type", "lz4");
    config.set("request.timeout.ms", millis(settings)).set("max.in.flight.requests.per.connection", "5");
    settings.properties.put(Side::Producer, &mut config);
    config
        .set("enable.idempotence", "true")
        .set("acks", "all")
        // librdkafka looks for records whose time is over once a second: what is left of `kafka.timeout` is for that.
        .set("message.timeout.ms", (settings.timeout * 4 / 5).as_millis().to_string())
        .set("message.max.bytes", largest_message(settings).to_string())
        .set("partitioner", "murmur2_random")
        .set("statistics.interval.ms", "1000");
    must(&mut config);
    config
}

/// A consumer's, for looking only: it never subscribes, so it never joins its group, and never commits. Without a committed
/// offset it begins where the operators' `auto.offset.reset` says, else with the earliest.
pub(super) fn consumer(settings: &KafkaSettings, group: &str) -> ClientConfig {
    let mut config = common(settings);
    config.set("auto.offset.reset", "earliest");
    settings.properties.put(Side::Consumer, &mut config);
    config
        .set("group.id", group)
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("message.max.bytes", largest_message(settings).to_string());
    must(&mut config);
    config
}

/// The configuration of a client that asks for settings of topics, or makes topics.
pub(super) fn admin(settings: &KafkaSettings) -> ClientConfig {
    let mut config = common(settings);
    settings.properties.put(Side::Admin, &mut config);
    must(&mut config);
    config
}

/// Bytes of the largest record that is sent: the largest payload, with room for its headers. No batch is larger.
pub(super) fn largest_message(settings: &KafkaSettings) -> u64 {
    settings.max_job_bytes.saturating_add(ENVELOPE_BYTES)
}

/// What an error says, without the secrets that it may repeat.
pub fn said(settings: &KafkaSettings, error: &KafkaError) -> String {
    let text = match error {
        KafkaError::ClientConfig(_, said, name, _) => format!("{name}: {said}"),
        KafkaError::ClientCreation(said) => said.clone(),
        other => other.rdkafka_error_code().map_or_else(|| other.to_string(), |code| code.to_string()),
    };
    settings.properties.without_secrets(&text)
}

/// What operators may change.
fn common(settings: &KafkaSettings) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("client.id", "tidegate")
        // A broker that hangs is noticed within this; a request that may have been read is sent again under its number.
        .set("socket.timeout.ms", millis(settings))
        .set("socket.connection.setup.timeout.ms", settings.timeout.as_millis().max(1000).to_string())
        .set("socket.keepalive.enable", "true")
        // When the brokers come back, it shows within a second or two.
        .set("reconnect.backoff.ms", "100")
        .set("reconnect.backoff.max.ms", "1000")
        // New partitions are seen within this.
        .set("topic.metadata.refresh.interval.ms", "30000")
        // A topic that is gone is an error soon, not half a minute later.
        .set("topic.metadata.propagation.max.ms", "2000")
        // Brokers close idle connections: no news.
        .set("log.connection.close", "false")
        .set(BROKERS, &settings.brokers);
    config
}

/// What is so whatever operators say.
fn must(config: &mut ClientConfig) {
    config.set("allow.auto.create.topics", "false");
}

fn millis(settings: &KafkaSettings) -> String {
    settings.timeout.as_millis().to_string()
}

const BROKERS: &str = "bootstrap.servers";

const NO_MECHANISM: &str =
    "security.protocol asks for SASL: set sasl.mechanism to PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512";

/// Room for what goes with a payload: key, headers, the frame of a batch. With the default of `limits.max_job_bytes`, it
/// fits into the default of a topic's `max.message.bytes` (1,048,588).
pub(super) const ENVELOPE_BYTES: u64 = 32 * 1024;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn settings(properties: &[(&str, &str)]) -> KafkaSettings {
        let mut settings = KafkaSettings::default();
        for (name, value) in properties {
            settings.properties.add(name, value).unwrap();
        }
        settings
    }

    #[test]
    fn clients_can_be_made_of_the_defaults() {
        assert_eq!(check(&settings(&[])), Ok(()));
        let secure = [
            ("security.protocol", "SASL_SSL"),
            ("sasl.mechanism", "SCRAM-SHA-512"),
            ("sasl.username", "a"),
            ("sasl.password", "b"),
            ("linger.ms", "5"),
            ("fetch.max.bytes", "60000000"),
        ];
        assert_eq!(check(&settings(&secure)), Ok(()));
        let largest = KafkaSettings { max_job_bytes: 512 << 20, ..settings(&[]) };
        assert_eq!(check(&largest), Ok(()));
        let shortest = KafkaSettings { timeout: Duration::from_millis(500), ..settings(&[]) };
        assert_eq!(check(&shortest), Ok(()));
    }

    #[test]
    fn what_does_not_go_together_is_told_before_any_broker_is_asked() {
        for (properties, word) in [
            (&[("linger.ms", "6000")][..], "linger.ms"),
            (&[("security.protocol", "SASL_PLAINTEXT")], "sasl.mechanism"),
            (&[("security.protocol", "SSL"), ("ssl.ca.location", "/none.pem")], "ssl.ca.location"),
            (&[("reconnect.backoff.ms", "9000")], "reconnect.backoff"),
            (&[("fetch.max.bytes", "1000")], "fetch.max.bytes"),
        ] {
            let error = check(&settings(properties)).unwrap_err();
            assert!(error.to_string().contains(word), "{error}");
        }
    }

    #[test]
    fn what_must_be_so_is_stronger_than_what_operators_may_say() {
        let settings = settings(&[("linger.ms", "3"), ("acks", "-1"), ("isolation.level", "read_committed")]);
        let producer = producer(&settings);
        let of = |name| producer.get(name);
        assert_eq!(
            (of("acks"), of("linger.ms"), of("enable.idempotence")),
            (Some("all"), Some("3"), Some("true"))
        );
        assert_eq!((of("message.max.bytes"), of("isolation.level")), (Some("1032768"), None));
        let consumer = consumer(&settings, "workers");
        assert_eq!((consumer.get("linger.ms"), consumer.get("group.id")), (None, Some("workers")));
        assert_eq!(admin(&settings).get("isolation.level"), None);
    }

    #[test]
    fn no_error_repeats_a_secret() {
        let settings = settings(&[("sasl.password", "hunter2")]);
        let error = KafkaError::ClientCreation("cannot use hunter2".to_owned());
        assert_eq!(said(&settings, &error), "cannot use [hidden]");
    }
}
