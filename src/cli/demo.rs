//! `tidegate demo`: a flash sale on this machine, played and commented, with nothing to set up and nothing left behind.

use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use crate::app::StartError;
use crate::cli::{BAD_USAGE, Options};
use crate::config::Settings;
use crate::config::load::{LoadError, Sources, assemble, read_text};
use crate::demo::script::Pace;
use crate::demo::{DemoError, Ending, Show, run as play};
use crate::telemetry::log;

/// How long and how quickly.
#[derive(Clone, Copy, Debug, Args)]
pub(super) struct Arguments {
    /// Rounds to play; without it until Ctrl-C.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    rounds: Option<u32>,
    /// A round takes 36 seconds in place of three minutes, under a policy with shorter delays.
    #[arg(long)]
    fast: bool,
}

/// Plays the demo. Exit code 1 where a receipt was lost or it cannot start, 2 where what was set is wrong.
pub(super) fn run(options: &Options, arguments: Arguments) -> ExitCode {
    let (settings, wanders) = match settings(options) {
        Ok(settings) => settings,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(BAD_USAGE);
        }
    };
    log::init(settings.log);
    let pace = if arguments.fast { Pace::Fast } else { Pace::Usual };
    let show = Show { settings, wanders, rounds: arguments.rounds, pace };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let played = runtime.map_err(|error| DemoError::from(StartError::Runtime(error))).and_then(|runtime| {
        let played = runtime.block_on(play(&show));
        runtime.shutdown_timeout(LAST_READS);
        played
    });
    match played {
        Ok(Ending::Whole) => ExitCode::SUCCESS,
        Ok(Ending::Lost) => ExitCode::FAILURE,
        Err(error) => {
            match error.source() {
                Some(cause) => eprintln!("demo: {error}: {cause}"),
                None => eprintln!("demo: {error}"),
            }
            ExitCode::FAILURE
        }
    }
}

/// The demo's settings, and whether admin may take another port than its own: not where somebody set it. Neither the
/// folder's configuration nor the environment counts.
fn settings(options: &Options) -> Result<(Settings, bool), LoadError> {
    let sources = Sources { sets: options.sets.clone(), ..Sources::default() };
    let under = |document: &str| -> Result<Settings, LoadError> {
        let (document, name) = match &options.config {
            Some(path) => (read_text(path)?, path.display().to_string()),
            None => (document.to_owned(), "configuration".to_owned()),
        };
        Ok(assemble(&document, name, &sources)?.0)
    };
    let settings = under(USUAL)?;
    // Where nobody set it, it follows the document's.
    let wanders = under(ELSEWHERE)?.admin.listen != settings.admin.listen;
    Ok((settings, wanders))
}

/// What the demo is started with: any port for clients, the usual one for operators, and logs that do not drown the
/// commentary.
const USUAL: &str =
    "{ ingest: { listen: '127.0.0.1:0' }, admin: { listen: '127.0.0.1:9090' }, log: { level: warn } }";

/// The same with another port for operators.
const ELSEWHERE: &str =
    "{ ingest: { listen: '127.0.0.1:0' }, admin: { listen: '127.0.0.1:0' }, log: { level: warn } }";

/// What reads a file while the gateway ends has this long.
const LAST_READS: Duration = Duration::from_secs(2);

/// For `--help`.
pub(super) const EXAMPLES: &str = "Examples:
  tidegate demo                                       three minutes a round, until Ctrl-C
  tidegate demo --fast --rounds 1                     36 seconds, once: as a check
  tidegate demo --set admin.listen=127.0.0.1:9191     the dashboard on this port
  tidegate demo --set log.level=info                  with the gateway's own log

The gateway is the real one, on loopback, with a policy and a queue in a temporary folder that is removed at the end. Without
--set the dashboard is on port 9090, or on a free one where that is taken. Of --config and --set, what is said of addresses,
limits and logs counts; the folder's configuration and the environment do not.

Exit code: 0 every receipt is accounted for, 1 one was lost or the demo cannot start, 2 bad usage.";

#[cfg(test)]
mod tests {
    use super::*;

    fn of(sets: &[&str]) -> (Settings, bool) {
        let sets = sets.iter().map(|set| (*set).to_owned()).collect();
        settings(&Options { config: None, sets }).unwrap()
    }

    #[test]
    fn the_dashboard_takes_another_port_only_where_nobody_set_one() {
        let (usual, wanders) = of(&[]);
        assert_eq!((usual.admin.listen.port(), usual.ingest.listen.port(), wanders), (9090, 0, true));
        for set in
            ["admin.listen=127.0.0.1:9090", "admin.listen=127.0.0.1:0", "admin={listen: '127.0.0.1:7'}"]
        {
            assert!(!of(&[set]).1, "{set}");
        }
        assert_eq!(of(&["log.level=info"]).0.log.level, tracing::Level::INFO);
    }
}
