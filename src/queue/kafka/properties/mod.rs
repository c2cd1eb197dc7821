//! librdkafka's own properties, as operators hand them through.
//!
//! A property is taken under its usual name, with a value that librdkafka understands, and only where it does what it says:
//! [`rules`] names those that the gateway owns or that would break what receipts promise.

mod rules;

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaConfRes;

pub(super) use crate::queue::kafka::properties::rules::Side;
use crate::queue::kafka::properties::rules::{Rule, SIDES};
use crate::yaml::fault::nearest;

/// Properties by their usual name. Shown without their secrets.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Properties(BTreeMap<String, String>);

/// A property that cannot be handed through; says why, never what a secret is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadProperty {
    /// librdkafka has none of this name.
    #[error("librdkafka has no such property{}", did_you_mean(.0))]
    Unknown(Option<&'static str>),
    /// It is not the operators' to set.
    #[error("is refused: {0}")]
    Refused(&'static str),
    /// It would break what the gateway promises.
    #[error("must be {must}: {reason}")]
    Must {
        /// The values that are fine.
        must: &'static str,
        /// Why no other is.
        reason: &'static str,
    },
    /// librdkafka does not take the value.
    #[error("{0}")]
    Value(String),
    /// Another name of it is set too.
    #[error("is the same property as `{0}`: set one of them")]
    Twice(String),
}

impl Properties {
    /// Adds one, under any of its names.
    ///
    /// # Errors
    /// Why it cannot be handed through.
    pub fn add(&mut self, name: &str, value: &str) -> Result<(), BadProperty> {
        let usual = rules::usual_name(name);
        match rules::rule(name).or_else(|| rules::rule(usual)) {
            Some(Rule::Never(reason)) => return Err(BadProperty::Refused(reason)),
            Some(Rule::Only { values, must, reason })
                if !values.iter().any(|fine| fine.eq_ignore_ascii_case(value)) =>
            {
                return Err(BadProperty::Must { must, reason });
            }
            _ => {}
        }
        understood(name, value)?;
        if self.0.contains_key(usual) {
            return Err(BadProperty::Twice(usual.to_owned()));
        }
        self.0.insert(usual.to_owned(), value.to_owned());
        Ok(())
    }

    /// Whether none is set.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The value of one, by its usual name.
    pub fn find(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// The first that names a file which is not there, with the file.
    pub(super) fn missing_file(&self) -> Option<(&str, &str)> {
        let named = self.0.iter().filter(|(name, value)| name.ends_with(".location") && *value != PROBED);
        let mut missing = named.filter(|(_, path)| !Path::new(path).exists());
        missing.next().map(|(name, path)| (name.as_str(), path.as_str()))
    }

    /// Hands those through that a client of this side reads.
    pub(super) fn put(&self, side: Side, config: &mut ClientConfig) {
        for (name, value) in &self.0 {
            let of = SIDES.iter().find(|(begin, _)| name.starts_with(begin)).map(|(_, side)| *side);
            if of.is_none_or(|of| of == side) {
                config.set(name, value);
            }
        }
    }

    /// The text with every secret in it made unreadable: librdkafka may repeat a value that it does not understand.
    pub(super) fn without_secrets(&self, text: &str) -> String {
        let secrets = self.0.iter().filter(|(name, value)| is_secret(name) && !value.is_empty());
        secrets.fold(text.to_owned(), |text, (_, value)| text.replace(value.as_str(), HIDDEN))
    }
}

impl fmt::Debug for Properties {
    /// Without secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |(name, value): (&String, &String)| {
            (name.clone(), if is_secret(name) { HIDDEN.to_owned() } else { value.clone() })
        };
        f.debug_map().entries(self.0.iter().map(shown)).finish()
    }
}

/// Whether the value of this property is nobody's to read.
fn is_secret(name: &str) -> bool {
    SECRETS.iter().any(|part| name.contains(part))
}

/// Whether librdkafka has the property and takes the value.
fn understood(name: &str, value: &str) -> Result<(), BadProperty> {
    let mut alone = ClientConfig::new();
    alone.set(name, value);
    match alone.create_native_config() {
        Ok(_) => Ok(()),
        Err(KafkaError::ClientConfig(RDKafkaConfRes::RD_KAFKA_CONF_UNKNOWN, ..)) => {
            Err(BadProperty::Unknown(nearest(name, rules::WELL_KNOWN.iter().copied())))
        }
        Err(_) if is_secret(name) => Err(BadProperty::Value("its value is not taken".to_owned())),
        // It may speak of the property under another name.
        Err(KafkaError::ClientConfig(_, said, ..)) if said.contains(name) => Err(BadProperty::Value(said)),
        Err(KafkaError::ClientConfig(..)) => {
            Err(BadProperty::Value("librdkafka does not take this value".to_owned()))
        }
        // A text with a zero byte.
        Err(_) => Err(BadProperty::Value("its value is no text".to_owned())),
    }
}

fn did_you_mean(near: &Option<&'static str>) -> String {
    near.map_or_else(String::new, |near| format!(", did you mean `{near}`?"))
}

/// In place of a file: librdkafka looks where systems have theirs.
const PROBED: &str = "probe";

/// What is shown in place of a secret.
const HIDDEN: &str = "[hidden]";

/// Parts of the names of secrets: passwords, tokens, keys written in place.
const SECRETS: [&str; 7] =
    ["password", "passphrase", "secret", ".pem", "ssl_key", "oauthbearer.config", "oauthbearer.extensions"];

#[cfg(test)]
mod tests {
    use super::*;

    fn added(name: &str, value: &str) -> Result<(), BadProperty> {
        Properties::default().add(name, value)
    }

    #[test]
    fn what_would_break_a_promise_is_refused_by_name_with_the_way_out() {
        for (name, value, words) in [
            ("acks", "1", "all"),
            ("acks", "0", "all"),
            ("request.required.acks", "1", "all"),
            ("enable.idempotence", "false", "true"),
            ("allow.auto.create.topics", "true", "tidegate kafka init"),
            ("partitioner", "consistent_random", "murmur2_random"),
            ("message.timeout.ms", "1000", "kafka.timeout"),
            ("delivery.timeout.ms", "1000", "kafka.timeout"),
            ("bootstrap.servers", "a:1", "kafka.brokers"),
            ("metadata.broker.list", "a:1", "kafka.brokers"),
            ("group.id", "x", "kafka.group"),
            ("message.max.bytes", "2000000", "limits.max_job_bytes"),
            ("enable.auto.commit", "true", "never commits"),
            ("transactional.id", "x", "transaction"),
            ("plugin.library.paths", "/x.so", "program"),
            ("dr_msg_cb", "x", "program"),
            ("queue.buffering.max.messages", "5", "bound"),
            ("queue.buffering.max.kbytes", "5", "bound"),
            ("sasl.mechanism", "GSSAPI", "SCRAM-SHA-512"),
            ("max.in.flight", "6", "5"),
            ("queuing.strategy", "lifo", "fifo"),
            ("statistics.interval.ms", "0", "gateway"),
            ("session.timeout.ms", "6000", "group"),
        ] {
            let refused = added(name, value).unwrap_err().to_string();
            assert!(refused.contains(words), "{name}: {refused}");
        }
    }

    #[test]
    fn what_is_so_anyway_may_be_said() {
        for (name, value) in [
            ("acks", "all"),
            ("acks", "-1"),
            ("enable.idempotence", "true"),
            ("allow.auto.create.topics", "false"),
            ("partitioner", "murmur2_random"),
            ("max.in.flight.requests.per.connection", "1"),
            ("linger.ms", "2"),
            ("security.protocol", "SASL_SSL"),
            ("sasl.mechanism", "SCRAM-SHA-512"),
            ("auto.offset.reset", "latest"),
            ("compression.codec", "zstd"),
            ("client.id", "shop"),
        ] {
            assert_eq!(added(name, value), Ok(()), "{name}");
        }
    }

    #[test]
    fn what_librdkafka_does_not_know_is_told_with_the_nearest() {
        let unknown = added("sasl.pasword", "x").unwrap_err().to_string();
        assert_eq!(unknown, "librdkafka has no such property, did you mean `sasl.password`?");
        let value = added("linger.ms", "soon").unwrap_err().to_string();
        assert_eq!(value, "librdkafka does not take this value");
        let outside = added("socket.timeout.ms", "5").unwrap_err().to_string();
        assert!(outside.contains("socket.timeout.ms") && outside.contains("10"), "{outside}");
        assert!(added("security.protocol", "tls").is_err());
        assert!(added("linger.ms", "1\0").is_err());
    }

    #[test]
    fn two_names_of_one_property_are_one() {
        let mut properties = Properties::default();
        properties.add("compression.codec", "zstd").unwrap();
        assert_eq!(properties.find("compression.type"), Some("zstd"));
        let twice = properties.add("compression.type", "gzip").unwrap_err();
        assert_eq!(twice, BadProperty::Twice("compression.type".to_owned()));
    }

    #[test]
    fn no_secret_is_shown() {
        let mut properties = Properties::default();
        for name in ["sasl.password", "ssl.key.password", "ssl.keystore.password", "sasl.oauthbearer.config"]
        {
            properties.add(name, "hunter2").unwrap();
        }
        properties.add("sasl.username", "ann").unwrap();
        let shown = format!("{properties:?} {properties:#?}");
        assert!(!shown.contains("hunter2") && shown.contains("ann"), "{shown}");
        assert_eq!(properties.without_secrets("bad: hunter2!"), "bad: [hidden]!");
        let told = format!("{:?}", added("ssl.key.pem", "hunter2\0").unwrap_err());
        assert!(!told.contains("hunter2"), "{told}");
    }
}
