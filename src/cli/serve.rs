//! `tidegate serve`: runs the gateway until it is asked to stop.

use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use tracing::{error, warn};

use crate::app::{self, StartError};
use crate::config::Settings;
use crate::policy::compile::Compiled;
use crate::telemetry::log;
use crate::yaml::fault::Faults;

/// Runs the gateway under these settings, starting with this policy: that of the file which they name, or the built-in one.
/// Its warnings go where the logs go, in their form.
pub fn run(settings: Settings, compiled: Compiled, from_file: bool) -> ExitCode {
    log::init(settings.log);
    let Compiled { policy, warnings } = compiled;
    warn_of(&warnings);
    let served = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(StartError::Runtime)
        .and_then(|runtime| {
            let served = runtime.block_on(app::run(settings, policy, from_file));
            // A disk that hangs does not hold up the end: all that was accepted is stored by now.
            runtime.shutdown_timeout(LAST_READS);
            served
        });
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let cause = failure.source().map(ToString::to_string);
            for line in failure.to_string().lines() {
                error!(cause, "{line}");
            }
            ExitCode::FAILURE
        }
    }
}

fn warn_of(warnings: &Faults) {
    for warning in warnings.to_string().lines() {
        warn!(warning, "the policy works, and probably not as meant");
    }
}

/// What reads a file while the gateway ends has this long.
const LAST_READS: Duration = Duration::from_secs(2);

/// For `--help`.
pub(super) const EXAMPLES: &str = "Examples:
  tidegate serve
  tidegate serve --config config/tidegate.yaml
  tidegate serve --set ingest.listen=0.0.0.0:8080 --set policy=policies/flash-sale.yaml
  TIDEGATE_INGEST__LISTEN=0.0.0.0:8080 tidegate serve

A key for a caller, and its line in auth.keys_file:
  key=$(openssl rand -hex 32); echo \"$key\"
  echo \"  - { name: shop, tenant: acme, sha256: $(printf %s \"$key\" | sha256sum | cut -c-64), scopes: [submit] }\"";

#[cfg(test)]
mod tests {
    use std::io::{Read, Seek};
    use std::sync::Arc;

    use super::*;
    use crate::policy::compile::compile;

    #[test]
    fn each_warning_is_one_line_of_the_log() {
        let swings = "target: { depth: 100 }, max_depth: 1000, shed: { at: 101, until: 50 }";
        let document = format!("tiers:\n  p1: {{ {swings} }}\n  p2: {{ {swings} }}\n");
        let warnings = compile(&document, "policy.yaml").unwrap().warnings;
        assert_eq!(warnings.list.len(), 2);
        let log = Arc::new(tempfile::tempfile().unwrap());
        let lines = tracing_subscriber::fmt().with_ansi(false).with_writer(Arc::clone(&log)).finish();
        tracing::subscriber::with_default(lines, || warn_of(&warnings));
        let mut text = String::new();
        let mut log = &*log;
        log.rewind().unwrap();
        log.read_to_string(&mut text).unwrap();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 2, "{text}");
        assert!(lines.iter().all(|line| line.contains("WARN")), "{text}");
        assert!(lines[0].contains("tiers.p1") && lines[1].contains("tiers.p2"), "{text}");
    }
}
