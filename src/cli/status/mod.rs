//! `tidegate status`: the live state of a running gateway, in a terminal.

mod ask;
mod document;
mod draw;
mod screen;
mod target;
mod trust;
mod watch;

use std::future::Future;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::cli::status::ask::{AskError, Asker};
use crate::cli::status::document::{History, Status};
use crate::cli::status::draw::page;
use crate::cli::status::screen::Screen;
use crate::cli::status::target::{Address, Target};
use crate::cli::status::watch::watch;
use crate::cli::{BAD_USAGE, Options};
use crate::telemetry::diagnosis::Severity;
use crate::telemetry::log::visible;
use crate::yaml::scalar;

/// Whom to ask, and how it is shown.
#[derive(Clone, Debug, Args)]
pub(super) struct Arguments {
    /// Goes on, and draws anew each second until it is interrupted.
    #[arg(long)]
    watch: bool,
    /// The pause between two drawings [default: 1s].
    #[arg(long, value_name = "DURATION", value_parser = pause, requires = "watch")]
    every: Option<Duration>,
    /// Prints the gateway's own document, that of /v1/status; with --watch one a line.
    #[arg(long)]
    json: bool,
    /// The admin listener [default: admin.listen of the configuration].
    #[arg(long, value_name = "URL")]
    url: Option<Address>,
    /// The file that holds the admin token [default: admin.token_file of the configuration; with --url only where that is
    /// its admin.listen].
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Who vouches for the gateway's certificate, PEM [default: the system's authorities; without --url the certificate
    /// of the configuration itself].
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// The certificate to show where the gateway asks for one, PEM.
    #[arg(long, value_name = "FILE", requires = "key")]
    cert: Option<PathBuf>,
    /// The private key of --cert, PEM.
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
    /// Ends with 1 where a tier is in a state of this severity or a higher one.
    #[arg(long, value_enum, value_name = "SEVERITY", conflicts_with = "watch")]
    fail_on: Option<FailOn>,
}

/// What counts as a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum FailOn {
    /// Somebody should look.
    Warning,
    /// Somebody must act.
    Critical,
}

impl From<FailOn> for Severity {
    fn from(fail_on: FailOn) -> Severity {
        match fail_on {
            FailOn::Warning => Severity::Warning,
            FailOn::Critical => Severity::Critical,
        }
    }
}

/// Asks once, or goes on asking.
pub(super) fn run(options: &Options, arguments: &Arguments) -> ExitCode {
    let target = match Target::of(options, arguments) {
        Ok(target) => target,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(BAD_USAGE);
        }
    };
    let asker = Asker::new(target);
    let done = if arguments.watch {
        let every = arguments.every.unwrap_or(EVERY);
        finished(watch(&asker, every, arguments.json))
    } else {
        finished(once(&asker, arguments))
    };
    done.unwrap_or_else(|error| {
        eprintln!("{}", visible(&error.to_string()));
        ExitCode::FAILURE
    })
}

/// Runs to its end what asks the gateway.
fn finished(asking: impl Future<Output = Result<ExitCode, AskError>>) -> Result<ExitCode, AskError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(AskError::Runtime)?.block_on(asking)
}

async fn once(asker: &Asker, arguments: &Arguments) -> Result<ExitCode, AskError> {
    let past = async { if arguments.json { None } else { asker.history().await } };
    let (document, past) = tokio::join!(asker.status(), past);
    let document = document?;
    let fails =
        |status: &Status| arguments.fail_on.is_some_and(|least| status.worst() >= Severity::from(least));
    let mut screen = Screen::of_stdout();
    if arguments.json {
        // Newer and older gateways may say what is unknown here: the document is passed on as it is.
        let failed = arguments.fail_on.is_some() && fails(&asker.read(&document)?);
        screen.document(&document);
        screen.was_heard().map_err(AskError::Untold)?;
        return Ok(code(failed));
    }
    let status = asker.read(&document)?;
    screen.print(&page(&status, &past, &asker.url(), screen.width()));
    screen.was_heard().map_err(AskError::Untold)?;
    Ok(code(fails(&status)))
}

fn code(failed: bool) -> ExitCode {
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// The last hour, or nothing.
type Past = Option<History>;

fn pause(text: &str) -> Result<Duration, String> {
    let pause = scalar::duration(text).filter(|pause| (SHORTEST_PAUSE..=LONGEST_PAUSE).contains(pause));
    pause.ok_or_else(|| "expects a duration of 200ms to 1h, such as 2s".to_owned())
}

const EVERY: Duration = Duration::from_secs(1);

/// More often, and asking is a load.
const SHORTEST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(3_600);

/// For `--help`.
pub(super) const EXAMPLES: &str = "Examples:
  tidegate status                                 of the gateway of this configuration
  tidegate status --watch --every 2s              drawn anew, until Ctrl-C
  tidegate status --config /etc/tidegate.yaml
  tidegate status --url https://gateway:9090 --ca ca.pem --token-file admin.token
  tidegate status --json | jq '.tiers.p2.state'   the document of /v1/status, for scripts
  tidegate status --json --watch >> night.ndjson  one a line
  tidegate status --fail-on critical > /dev/null || page-somebody

The token is read from a file and never from the command line, where others see it; TIDEGATE_ADMIN__TOKEN_FILE names the
file too. With --url the configuration's token is sent only to its own admin.listen. A token that goes beyond this machine over
plain http is warned of. Into a pipe --watch writes one picture after the other, an empty line between them. NO_COLOR is respected.
Exit code: 0 told, 1 no gateway could be asked, nothing could be written, or --fail-on holds, 2 bad usage, or a file is bad.";

#[cfg(test)]
mod tests;
