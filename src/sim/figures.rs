//! The figures of a played scenario: what bands bound, tables print and JSON names.

use hdrhistogram::Histogram;

use crate::sim::trace::Slice;

macro_rules! figures {
    ($($(#[doc = $doc:literal])* $name:ident = $word:literal,)*) => {
        /// One figure of one tier.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Figure { $($(#[doc = $doc])* $name,)* }

        impl Figure {
            /// Every figure, in the order of reports.
            pub const ALL: &'static [Figure] = &[$(Figure::$name,)*];

            /// The name in scenario files, tables and JSON.
            pub const fn as_str(self) -> &'static str {
                match self { $(Figure::$name => $word,)* }
            }
        }
    };
}

figures! {
    /// Highest true depth, in jobs.
    PeakDepth = "peak_depth",
    /// Highest depth over its target.
    PeakDepthRatio = "peak_depth_ratio",
    /// Drained over drainable, of the moments at which as much was asked for as the workers can take. What they left
    /// undone counts as drainable, however long their jobs happened to take.
    Utilisation = "utilisation",
    /// Seconds above 1.1 times the target.
    SecondsOver = "seconds_over",
    /// |mean depth over target - 1| of the last tenth.
    SettledError = "settled_error",
    /// Jobs let in.
    Admitted = "admitted",
    /// Requests refused.
    Refused = "refused",
    /// Jobs let in over jobs offered.
    AdmittedShare = "admitted_share",
    /// Requests over jobs offered.
    RequestsPerJob = "requests_per_job",
    /// Most returns in any second, over what the workers do in one.
    ReturnPeak = "return_peak",
    /// Seconds from admission to drain: the median job.
    WaitP50 = "wait_p50",
    /// Seconds from admission to drain: 1 job in 100 waits longer.
    WaitP99 = "wait_p99",
    /// The second of the last refusal; zero if nobody was refused.
    LastRefusal = "last_refusal",
    /// The second from which no refused client was left outside; no value while one is.
    Finished = "finished",
    /// The same of the clients that come back when told.
    ObedientFinished = "obedient_finished",
}

impl Figure {
    /// Whether it counts whole things.
    pub const fn is_count(self) -> bool {
        matches!(self, Figure::PeakDepth | Figure::Admitted | Figure::Refused)
    }
}

/// The figures of one tier. A figure without a value could not be told: nothing was asked for, nothing drained.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Figures(Vec<Option<f64>>);

impl Figures {
    /// The figures of these slices, each `seconds` long, and of the waits in microseconds.
    pub(super) fn of(slices: &[Slice], seconds: f64, waits: &Histogram<u64>) -> Figures {
        let sum = |count: fn(&Slice) -> u64| slices.iter().map(count).sum::<u64>() as f64;
        let (offered, requests) = (sum(|slice| slice.offered), sum(Slice::requests));
        let admitted = sum(|slice| slice.admitted);
        let wait = |quantile| (!waits.is_empty()).then(|| waits.value_at_quantile(quantile) as f64 / 1e6);
        let value = |figure: &Figure| match figure {
            Figure::PeakDepth => slices.iter().map(|slice| slice.deepest).max().map(|most| most as f64),
            Figure::PeakDepthRatio => Some(most(slices.iter().map(|slice| slice.deepest_ratio))),
            Figure::Utilisation => utilisation(slices),
            Figure::SecondsOver => Some(sum(|slice| slice.millis_over) / 1e3),
            Figure::SettledError => settled_error(slices),
            Figure::Admitted => Some(admitted),
            Figure::Refused => Some(sum(Slice::refused)),
            Figure::AdmittedShare => share(admitted, offered),
            Figure::RequestsPerJob => share(requests, offered),
            Figure::ReturnPeak => Some(most(slices.iter().map(|slice| slice.return_peak))),
            Figure::WaitP50 => wait(0.50),
            Figure::WaitP99 => wait(0.99),
            Figure::LastRefusal => Some(end_of_last(slices, seconds, |slice| slice.refused() > 0)),
            Figure::Finished => finished(slices, seconds, |slice| slice.outside),
            Figure::ObedientFinished => finished(slices, seconds, |slice| slice.outside_obedient),
        };
        Figures(Figure::ALL.iter().map(value).collect())
    }

    /// The value of a figure.
    pub fn value(&self, figure: Figure) -> Option<f64> {
        self.0.get(figure as usize).copied().flatten()
    }
}

fn share(part: f64, whole: f64) -> Option<f64> {
    (whole > 0.0).then(|| part / whole)
}

fn most(values: impl Iterator<Item = f64>) -> f64 {
    values.fold(0.0, f64::max)
}

fn utilisation(slices: &[Slice]) -> Option<f64> {
    // A single job in a tenth of a second is not yet ten a second: the schedule tells what is offered.
    let busy =
        slices.iter().filter(|slice| slice.due + slice.returned as f64 >= (1.0 - 1e-6) * slice.drainable);
    let (drained, unused) =
        busy.fold((0.0, 0.0), |sum, slice| (sum.0 + slice.drained as f64, sum.1 + slice.unused));
    share(drained, drained + unused)
}

fn settled_error(slices: &[Slice]) -> Option<f64> {
    let tail = slices.get(slices.len() * 9 / 10..).unwrap_or_default();
    let ratios: Vec<f64> = tail
        .iter()
        .filter(|slice| slice.target > 0.0)
        .map(|slice| slice.depth as f64 / slice.target)
        .collect();
    share(ratios.iter().sum(), ratios.len() as f64).map(|mean| (mean - 1.0).abs())
}

fn end_of_last(slices: &[Slice], seconds: f64, holds: impl Fn(&Slice) -> bool) -> f64 {
    slices.iter().rposition(holds).map_or(0.0, |last| (last + 1) as f64 * seconds)
}

fn finished(slices: &[Slice], seconds: f64, outside: impl Fn(&Slice) -> u64) -> Option<f64> {
    let all_in = slices.last().is_none_or(|last| outside(last) == 0);
    all_in.then(|| end_of_last(slices, seconds, |slice| outside(slice) > 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ten slices of half a second: a refusal in the fourth, clients outside in the fourth to the seventh, obedient ones
    /// among them until the fifth; 20 jobs drained of 25 in those in which more was asked for than workers do.
    fn figures() -> Figures {
        let slice = |number: u64| Slice {
            offered: 4,
            due: if number < 5 { 6.0 } else { 1.0 },
            returned: u64::from(number == 6),
            admitted: 3,
            throttled: u64::from(number == 3),
            drained: 4,
            drainable: 5.0,
            unused: 1.0,
            depth: 9,
            deepest: 10 + number,
            deepest_ratio: 1.0 + number as f64 / 10.0,
            millis_over: 500 * u64::from(number == 9),
            target: 10.0,
            outside: u64::from((3..=6).contains(&number)),
            outside_obedient: u64::from((3..=4).contains(&number)),
            ..Slice::default()
        };
        let slices: Vec<Slice> = (0..10).map(slice).collect();
        Figures::of(&slices, 0.5, &Histogram::new(3).unwrap())
    }

    #[test]
    fn each_figure_is_what_it_says() {
        for (figure, expected) in [
            (Figure::PeakDepth, Some(19.0)),
            (Figure::PeakDepthRatio, Some(1.9)),
            (Figure::Utilisation, Some(0.8)),
            (Figure::SecondsOver, Some(0.5)),
            (Figure::Admitted, Some(30.0)),
            (Figure::Refused, Some(1.0)),
            (Figure::AdmittedShare, Some(0.75)),
            (Figure::RequestsPerJob, Some(41.0 / 40.0)),
            (Figure::WaitP50, None),
            (Figure::LastRefusal, Some(2.0)),
            (Figure::Finished, Some(3.5)),
            (Figure::ObedientFinished, Some(2.5)),
        ] {
            assert_eq!(figures().value(figure), expected, "{}", figure.as_str());
        }
        let settled = figures().value(Figure::SettledError).unwrap();
        assert!((settled - 0.1).abs() < 1e-9, "{settled}");
    }

    #[test]
    fn who_is_outside_at_the_end_has_not_finished() {
        let outside = Slice { outside: 1, ..Slice::default() };
        let figures = Figures::of(&[Slice::default(), outside], 0.1, &Histogram::new(3).unwrap());
        assert_eq!(figures.value(Figure::Finished), None);
        assert_eq!(figures.value(Figure::ObedientFinished), Some(0.0));
        assert_eq!(figures.value(Figure::Utilisation), None, "nothing could be drained");
    }
}
