//! `tidegate explain`: which rule gives a request its tier, what each check says at a given depth, and the answer.

mod course;
mod explanation;
mod gate;
mod model;
mod request;
mod text;
mod told;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::builder::NonEmptyStringValueParser;
use http::{HeaderName, HeaderValue, Method, Uri};

use crate::cli::explain::course::Case;
use crate::cli::explain::explanation::{caller, explanation};
use crate::cli::explain::model::Queues;
use crate::cli::explain::request::{JobRequest, RequestError};
use crate::cli::{BAD_USAGE, Options};
use crate::config::load::{LoadError, load};
use crate::domain::tier::{Tier, TierMap};
use crate::domain::units::Rate;
use crate::server::access::ANONYMOUS;
use crate::yaml::scalar;

/// What is asked on the command line.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// A header field of the request; can be given several times.
    #[arg(long = "header", value_name = "NAME:VALUE", value_parser = header)]
    headers: Vec<(HeaderName, HeaderValue)>,
    /// The request's method.
    #[arg(long, default_value = "POST", value_parser = method)]
    method: Method,
    /// The request's path, with its query if it has one.
    #[arg(long, default_value = request::JOBS, value_parser = path)]
    path: Uri,
    /// Who sends it.
    #[arg(long, default_value = ANONYMOUS, value_parser = NonEmptyStringValueParser::new())]
    tenant: String,
    /// Jobs in a tier's queue, such as p2=120000; 0 unless given. One for each tier.
    #[arg(long = "depth", value_name = "TIER=JOBS", value_parser = depth)]
    depths: Vec<(Tier, u64)>,
    /// What a tier's workers take, such as p2=50/s; not known unless given. One for each tier.
    #[arg(long = "drain", value_name = "TIER=RATE", value_parser = drain)]
    drains: Vec<(Tier, Rate)>,
    /// The time until a tier's oldest unread job is deleted by the backend, such as p2=30min; nothing is deleted unless given.
    /// One for each tier.
    #[arg(long = "headroom", value_name = "TIER=TIME", value_parser = headroom)]
    headrooms: Vec<(Tier, Duration)>,
    /// The policy to ask; without it the one in force.
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// Prints one JSON object in place of the text.
    #[arg(long)]
    json: bool,
    /// The payload: a file, or - for standard input; empty unless given.
    #[arg(value_name = "BODY-FILE")]
    body: Option<PathBuf>,
}

/// Why nothing can be explained.
#[derive(Debug, thiserror::Error)]
enum ExplainError {
    /// The settings or the policy.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The request.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// Two options say what only one can.
    #[error("{option} is given more than once for {tier}")]
    Twice {
        /// The option.
        option: &'static str,
        /// For which tier.
        tier: Tier,
    },
    /// The policy is named in two ways.
    #[error("--policy and --set policy=.. both name the policy: give one of them")]
    PolicyTwice,
}

/// Explains one request.
pub(super) fn run(options: &Options, arguments: Arguments) -> ExitCode {
    match explain(options, arguments) {
        Ok(told) => {
            // A reader who has gone away, as `head` does, changes nothing.
            let _ = writeln!(io::stdout(), "{told}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(BAD_USAGE)
        }
    }
}

fn explain(options: &Options, arguments: Arguments) -> Result<String, ExplainError> {
    let queues = Queues {
        depths: once_each("--depth", arguments.depths)?.map(|_, depth| depth.unwrap_or(0)),
        drains: once_each("--drain", arguments.drains)?,
        headrooms: once_each("--headroom", arguments.headrooms)?,
    };
    let mut loaded = load(&options.sources())?;
    if let Some(file) = arguments.policy {
        if options.sets.iter().any(|set| set.starts_with("policy=")) {
            return Err(ExplainError::PolicyTwice);
        }
        (loaded.settings.policy, loaded.policy_named) = (file, true);
    }
    let compiled = loaded.policy()?;
    let mut request = JobRequest::new(
        arguments.method,
        arguments.path,
        arguments.headers,
        arguments.tenant,
        arguments.body.as_deref(),
    )?;
    if request.tenant == ANONYMOUS
        && let Ok(caller) = caller(&loaded.settings, &request.parts.headers)
    {
        request.tenant = caller.tenant.to_string();
    }
    let case = Case {
        settings: &loaded.settings,
        policy: &compiled.policy,
        policy_name: &compiled.warnings.document,
        request: &request,
        queues: &queues,
    };
    let explanation = explanation(&case);
    // Cannot fail: plain strings and numbers.
    let json = || serde_json::to_string_pretty(&explanation).unwrap_or_default();
    Ok(if arguments.json { json() } else { text::write(&explanation) })
}

fn once_each<T>(option: &'static str, given: Vec<(Tier, T)>) -> Result<TierMap<Option<T>>, ExplainError> {
    let mut values = TierMap::from_fn(|_| None);
    for (tier, value) in given {
        if values[tier].replace(value).is_some() {
            return Err(ExplainError::Twice { option, tier });
        }
    }
    Ok(values)
}

/// `Name: value`, as clients write it.
fn header(text: &str) -> Result<(HeaderName, HeaderValue), String> {
    let (name, value) = text.split_once(':').ok_or("expects NAME:VALUE, such as Tidegate-Type:payment")?;
    let name = HeaderName::try_from(name.trim()).map_err(|_| format!("`{name}` is no header name"))?;
    let value = HeaderValue::try_from(value.trim())
        .map_err(|_| format!("the value of {name} has control characters"))?;
    Ok((name, value))
}

fn method(text: &str) -> Result<Method, String> {
    text.parse().map_err(|_| "expects a method such as POST".to_owned())
}

fn path(text: &str) -> Result<Uri, String> {
    let uri = text.starts_with('/').then(|| text.parse().ok()).flatten();
    uri.ok_or_else(|| "expects a path such as /v1/jobs?mode=night".to_owned())
}

fn depth(text: &str) -> Result<(Tier, u64), String> {
    let (tier, value) = of_tier(text, "p2=120000")?;
    let jobs = scalar::integer(value).filter(|jobs| *jobs <= DEEPEST);
    Ok((
        tier,
        jobs.ok_or_else(|| format!("expects a whole number of jobs up to {DEEPEST}, found `{value}`"))?,
    ))
}

fn drain(text: &str) -> Result<(Tier, Rate), String> {
    let (tier, value) = of_tier(text, "p2=50/s")?;
    let rate = scalar::rate(value).filter(|rate| (0.0..=FASTEST).contains(&rate.jobs_per_second()));
    Ok((tier, rate.ok_or_else(|| format!("expects a rate such as 50/s or 30/min, found `{value}`"))?))
}

fn headroom(text: &str) -> Result<(Tier, Duration), String> {
    let (tier, value) = of_tier(text, "p2=30min")?;
    let time = scalar::duration(value);
    Ok((tier, time.ok_or_else(|| format!("expects a time such as 30min or 6h, found `{value}`"))?))
}

fn of_tier<'a>(text: &'a str, example: &str) -> Result<(Tier, &'a str), String> {
    let (tier, value) =
        text.split_once('=').ok_or_else(|| format!("expects a tier's value, such as {example}"))?;
    let tier = tier.parse().map_err(|_| format!("`{tier}` is no tier: write p0, p1 or p2"))?;
    Ok((tier, value))
}

/// As deep as a policy may bound a tier.
const DEEPEST: u64 = 1_000_000_000_000;

/// Jobs per second of a drain that a model can be fed with.
const FASTEST: f64 = 1e9;

/// For `--help`.
pub(super) const EXAMPLES: &str = "Examples:
  tidegate explain --header Tidegate-Type:payment
  tidegate explain --header Tidegate-Type:digest --depth p2=520000 --drain p2=500/s
  echo '{\"type\":\"report\"}' | tidegate explain --header 'Content-Type: application/json' -
  tidegate explain --header Tidegate-Type:digest --headroom p2=30min
  tidegate explain --policy policies/flash-sale.yaml --depth p0=100 --json order.json

The gate is the one that the gateway runs, before queues that have stood at these depths for a while. It is asked for
this one job alone: nobody else was promised a return. What only a running gateway knows (that it stops, that its memory
is used up) is not asked. Exit code: 0 explained, whatever the answer is; 2 bad usage or a bad file.";

#[cfg(test)]
mod tests;
