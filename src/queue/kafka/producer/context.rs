//! What librdkafka calls on a producer's own thread: delivery reports, errors of connections, statistics.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::producer::{DeliveryResult, ProducerContext, ThreadedProducer};
use serde::Deserialize;
use tracing::debug;

use crate::domain::time::Moment;
use crate::queue::kafka::client;
use crate::queue::kafka::producer::fate::{self, Fate};
use crate::queue::kafka::producer::{Core, State};

/// Where one producer's reports go.
pub(super) struct Reports {
    core: Arc<Core>,
    /// The producer's number: what an earlier one reports late concerns nobody.
    number: u64,
}

/// A producer whose reports go to this lane.
///
/// # Errors
/// librdkafka does not take the settings.
pub(super) fn producer(core: Arc<Core>, number: u64) -> Result<ThreadedProducer<Reports>, KafkaError> {
    let mut config = client::producer(&core.shared.settings);
    // Every connection that ends is told, so that a batch which was sent twice is not taken for one that was sent once.
    config.set("log.connection.close", "true").set_log_level(RDKafkaLogLevel::Info);
    ThreadedProducer::from_config_and_context(&config, Reports { core, number })
}

impl ProducerContext for Reports {
    /// The number of the record in the window.
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, number: usize) {
        let now = self.core.shared.clock.now();
        let mut state = self.core.lock();
        if state.number != self.number {
            return;
        }
        let Some(ticket) = state.window.leave(number) else { return };
        let fate = match result {
            Ok(message) => {
                state.window.prove(now);
                state.frontier.confirm(message.partition(), message.offset());
                self.core.shared.counts(self.core.tier).stored(1);
                Fate::Stored
            }
            Err((error, _)) => fate::of_report(error, state.sent_once(ticket.sent, now)),
        };
        let mut settled: Vec<_> = ticket.place.settle(1, fate).into_iter().collect();
        settled.append(&mut self.core.refill(&mut state));
        let rings = state.stopping.is_some() && state.line.is_empty() && state.window.under_way() == 0;
        drop(state);
        if rings {
            self.core.bell.notify_all();
        }
        self.core.tell(settled);
    }
}

impl ClientContext for Reports {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        debug!(tier = %self.core.tier, severity = ?level, facility, "librdkafka: {line}");
        // A connection that ends is an error only where librdkafka thinks so, but always a line.
        if facility == CONNECTION_FAILED {
            self.core.suspect();
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        debug!(tier = %self.core.tier, %error, "librdkafka: {reason}");
        self.core.suspect();
    }

    fn stats_raw(&self, statistics: &[u8]) {
        if let Some(throttle) = throttle(statistics) {
            self.core.throttle.store(throttle, Ordering::Relaxed);
        }
    }
}

impl State {
    /// Whether a record that was handed over then was surely sent no more than once: no connection failed since, nor shortly
    /// before, when librdkafka may have kept further failures to itself.
    fn sent_once(&self, sent: Moment, now: Moment) -> bool {
        self.trouble.is_none_or(|trouble| trouble < sent && now.since(trouble) > UNTOLD)
    }
}

/// What is read of librdkafka's statistics.
#[derive(Deserialize)]
struct Statistics {
    brokers: HashMap<String, Broker>,
}

#[derive(Deserialize)]
struct Broker {
    throttle: Option<Throttle>,
}

/// Milliseconds, over the last interval.
#[derive(Deserialize)]
struct Throttle {
    max: i64,
}

/// The longest time for which a broker held an answer back, in milliseconds.
fn throttle(statistics: &[u8]) -> Option<u64> {
    let statistics: Statistics = serde_json::from_slice(statistics).ok()?;
    let longest = statistics.brokers.values().filter_map(|broker| broker.throttle.as_ref()).map(|t| t.max);
    longest.max().map(|millis| u64::try_from(millis).unwrap_or(0))
}

/// The facility of a line that tells of a failed connection.
const CONNECTION_FAILED: &str = "FAIL";
/// A failure that repeats itself within 30 s is not told again.
const UNTOLD: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment::after_origin(Duration::from_secs(seconds))
    }

    #[test]
    fn the_longest_throttling_of_any_broker_is_told() {
        let json = br#"{"name":"x","brokers":{"a":{"throttle":{"max":0,"avg":0}},"b":{"throttle":{"max":250}},"c":{}}}"#;
        assert_eq!(throttle(json), Some(250));
        assert_eq!(throttle(br#"{"brokers":{}}"#), None);
        assert_eq!(throttle(b"?"), None);
    }

    #[test]
    fn a_record_may_have_been_sent_twice_once_a_connection_failed() {
        let mut state = State::default();
        assert!(state.sent_once(at(1), at(2)));
        state.trouble = Some(at(100));
        assert!(!state.sent_once(at(99), at(200)));
        assert!(!state.sent_once(at(101), at(102)));
        assert!(state.sent_once(at(130), at(131)));
    }
}
