//! `tidegate serve`: runs the gateway until it is asked to stop.

use std::process::ExitCode;

use crate::config::Settings;
use crate::policy::Policy;

/// Runs the gateway under these settings, starting with this policy.
pub fn run(_settings: Settings, _policy: Policy) -> ExitCode {
    eprintln!("serve is not wired yet");
    ExitCode::FAILURE
}

/// For `--help`.
pub(super) const EXAMPLES: &str = "Examples:
  tidegate serve
  tidegate serve --config config/tidegate.yaml
  tidegate serve --set ingest.listen=0.0.0.0:8080 --set policy=policies/flash-sale.yaml
  TIDEGATE_INGEST__LISTEN=0.0.0.0:8080 tidegate serve";
