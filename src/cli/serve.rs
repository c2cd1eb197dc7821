//! `tidegate serve`: runs the gateway until it is asked to stop.

use std::error::Error;
use std::process::ExitCode;

use tracing::{error, warn};

use crate::app::{self, StartError};
use crate::config::Settings;
use crate::policy::compile::Compiled;
use crate::telemetry::log;

/// Runs the gateway under these settings, starting with this policy. Its warnings go where the logs go, in their form.
pub fn run(settings: Settings, compiled: Compiled) -> ExitCode {
    log::init(settings.log);
    let Compiled { policy, warnings } = compiled;
    if !warnings.list.is_empty() {
        warn!(%warnings, "the policy works, and probably not as meant");
    }
    let served = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(StartError::Runtime)
        .and_then(|runtime| runtime.block_on(app::run(settings, policy)));
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            error!(cause = failure.source().map(ToString::to_string), "{failure}");
            ExitCode::FAILURE
        }
    }
}

/// For `--help`.
pub(super) const EXAMPLES: &str = "Examples:
  tidegate serve
  tidegate serve --config config/tidegate.yaml
  tidegate serve --set ingest.listen=0.0.0.0:8080 --set policy=policies/flash-sale.yaml
  TIDEGATE_INGEST__LISTEN=0.0.0.0:8080 tidegate serve";
