//! Hears why connections fail: what a client that waits in vain is not told by its error.

use std::sync::{Mutex, PoisonError};

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use tracing::debug;

/// Keeps the last failure that librdkafka wrote a line about.
#[derive(Debug, Default)]
pub(super) struct Witness(Mutex<Option<String>>);

impl Witness {
    /// Why a connection failed last, if one did: its broker, and what was wrong.
    pub(super) fn last_failure(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl ClientContext for Witness {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        debug!(?level, facility, "librdkafka: {line}");
        if facility == CONNECTION_FAILED {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(told(line).to_owned());
        }
    }
}

/// A line without the thread that wrote it and without how long it took.
fn told(line: &str) -> &str {
    let line = line.split_once("]: ").map_or(line, |(_, line)| line);
    line.split_once(" (after ").map_or(line, |(line, _)| line)
}

/// The facility of a line that tells of a failed connection.
const CONNECTION_FAILED: &str = "FAIL";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_failure_is_told_in_short() {
        let witness = Witness::default();
        witness.log(RDKafkaLogLevel::Info, "CONNECTED", "[thrd:x]: localhost:1/1: Connected");
        assert_eq!(witness.last_failure(), None);
        let line = "[thrd:ssl://localhost:1/bootstrap]: ssl://localhost:1/bootstrap: SSL handshake failed: \
                    certificate verify failed (after 5ms in state SSL_HANDSHAKE)";
        witness.log(RDKafkaLogLevel::Error, "FAIL", line);
        let told = "ssl://localhost:1/bootstrap: SSL handshake failed: certificate verify failed";
        assert_eq!(witness.last_failure().as_deref(), Some(told));
    }
}
