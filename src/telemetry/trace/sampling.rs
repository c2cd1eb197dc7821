//! Which traces are recorded: OpenTelemetry's own environment variables say it and its SDK reads them; what it would
//! pass over in silence is told here.

use std::env;

use tracing::warn;

/// Says in the log if the environment asks for a sampler that there is not.
pub(super) fn tell_if_unusable() {
    let (sampler, ratio) = (env::var(SAMPLER).ok(), env::var(RATIO).ok());
    if let Some(sampler) = sampler
        && let Some(fault) = fault(&sampler, ratio.as_deref())
    {
        warn!(sampler, "{SAMPLER} {fault}: every trace is recorded that its caller does not leave out");
    }
}

fn fault(sampler: &str, ratio: Option<&str>) -> Option<&'static str> {
    match sampler {
        // As if it were not set.
        "" => None,
        "always_on" | "always_off" | "parentbased_always_on" | "parentbased_always_off" => None,
        "traceidratio" | "parentbased_traceidratio" => {
            let ratio = ratio.and_then(|ratio| ratio.parse::<f64>().ok());
            let usable = ratio.is_some_and(|ratio| (0.0..=1.0).contains(&ratio));
            (!usable).then_some("needs OTEL_TRACES_SAMPLER_ARG, a number from 0 to 1")
        }
        _ => Some("names no sampler of this gateway"),
    }
}

const SAMPLER: &str = "OTEL_TRACES_SAMPLER";
const RATIO: &str = "OTEL_TRACES_SAMPLER_ARG";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sampler_that_there_is_not_is_a_fault() {
        for (sampler, ratio, usable) in [
            ("parentbased_always_on", None, true),
            ("always_off", None, true),
            ("traceidratio", Some("0.25"), true),
            ("parentbased_traceidratio", Some("0"), true),
            ("parentbased_traceidratio", None, false),
            ("traceidratio", Some("25%"), false),
            ("traceidratio", Some("2"), false),
            ("jaeger_remote", None, false),
            ("", None, true),
        ] {
            assert_eq!(fault(sampler, ratio).is_none(), usable, "{sampler} {ratio:?}");
        }
    }
}
