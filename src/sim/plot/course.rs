//! The course of one tier as four charts: its depth, the rates, the requests, the times to return.

use crate::domain::tier::Tier;
use crate::sim::laws::LawName;
use crate::sim::plot::chart::{Chart, Layer, Shape};
use crate::sim::plot::flow::{Flow, Grain, Seconds};
use crate::sim::plot::range::{Range, UNLIMITED};
use crate::sim::plot::series::{Bucket, Sample, Series};
use crate::sim::scenario::Scenario;
use crate::sim::trace::{Slice, Told};

/// The titles of the four charts, each with its unit.
pub const TITLES: [(&str, &str); 4] =
    [("Depth", "jobs"), ("Rates", "jobs/s"), ("Requests", "per second"), ("Retry-After", "s")];

/// Whose course is drawn.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// What was played.
    pub scenario: &'a Scenario,
    /// Under which law.
    pub law: LawName,
    /// The tier.
    pub tier: Tier,
    /// Its course.
    pub slices: &'a [Slice],
    /// Whether other tiers took jobs from the same workers.
    pub shares_workers: bool,
    /// How time is cut.
    pub grain: Grain,
}

/// The charts of a tier, in the order of [`TITLES`].
pub fn charts(subject: &Subject<'_>) -> [Chart; 4] {
    let seconds = Seconds::of(subject.slices, subject.grain);
    [depths(subject), rates(subject, &seconds), requests(&seconds), told(subject)]
}

/// The times without a signal, in seconds. A reading that is late for a moment is none.
pub fn blind_times(subject: &Subject<'_>) -> Vec<(f64, f64)> {
    let Subject { scenario, slices, grain, .. } = *subject;
    let every = scenario.signal.every.unwrap_or(scenario.regulator.controller.interval).as_secs_f64();
    let blind: Vec<_> = slices.iter().map(|slice| slice.blind.then_some(Sample::of(1.0))).collect();
    let series = Series::new(&blind, grain.slice, grain.end, usize::MAX);
    let ends = |run: Vec<Bucket>| Some((run.first()?.from, run.last()?.to));
    let times = series.runs(|_| true).into_iter().filter_map(ends);
    times.filter(|(from, to)| to - from > USUAL_WAITS * every.max(grain.slice)).collect()
}

fn depths(subject: &Subject<'_>) -> Chart {
    let depth = subject.series(|slice| {
        let (depth, deepest) = (slice.depth as f64, slice.deepest.max(slice.depth) as f64);
        Sample { least: depth, mean: depth, most: deepest, weight: 1.0 }
    });
    let target = subject.series(|slice| Sample::of(slice.target));
    let factor = subject.scenario.regulator.controller.window;
    let targets = target.samples().map(|sample| sample.most).filter(|target| *target < UNLIMITED);
    let needed = targets.fold(0.0, f64::max) * factor;
    // Even a short spike of the depth is what the picture is for: cut is only what dwarfs the target.
    let peak = depth.samples().map(|sample| sample.most).fold(0.0, f64::max);
    let range = match peak <= DEPTH_TIMES * needed {
        true => Range::whole(peak.max(needed)),
        false => Range::of(depth.samples().map(|sample| sample.most), needed, DEPTH_TIMES),
    };
    let (band, line) = match subject.tier {
        Tier::P0 => ("b0", "d0"),
        Tier::P1 => ("b1", "d1"),
        Tier::P2 => ("b2", "d2"),
    };
    let mut layers = vec![
        Layer::new(band, "", Shape::Band, depth.clone()),
        Layer::new(line, "true depth", Shape::Most, depth),
        Layer::new("target", "target", Shape::Mean, target),
    ];
    // Rivals know no window and no thresholds.
    if subject.law == LawName::Tidegate {
        let window = subject.series(|slice| Sample::of(slice.target * factor));
        layers.push(Layer::new("window", "the window's limit", Shape::Mean, window));
        let settings = subject.scenario.regulator.tiers[subject.tier];
        if let Some(shed) = settings.shed {
            layers.push(Layer::level("shed", "shed from / until", shed.at as f64));
            layers.push(Layer::level("shed", "shed from / until", shed.until as f64));
        }
        layers.push(Layer::level("bound", "max_depth", settings.max_depth as f64));
    }
    chart(&range, " jobs", layers, None)
}

fn rates(subject: &Subject<'_>, seconds: &Seconds) -> Chart {
    let rate = subject.series(|slice| Sample::of(slice.rate));
    let drain = subject.series(|slice| Sample::of(slice.drain));
    let workers = seconds.series(|flow| flow.drainable);
    let needed = seconds.usual(|flow| flow.drainable).max(seconds.usual(|flow| flow.admitted));
    let values = rate.samples().chain(drain.samples()).chain(workers.samples()).map(|sample| sample.most);
    let range = Range::of(values, needed, RATE_TIMES);
    let mut layers = vec![
        Layer::new("workband", "", Shape::Band, workers.clone()).in_steps(),
        Layer::new("rateband", "", Shape::Band, rate.clone()),
    ];
    let workers_label = if subject.shares_workers {
        let pool = seconds.series(|flow| flow.capacity);
        if seconds.usual(|flow| flow.capacity) <= range.top {
            layers.push(Layer::new("pool", "the whole pool", Shape::Mean, pool).in_steps());
        }
        "workers, less what other tiers take"
    } else {
        "true rate of the workers"
    };
    layers.push(Layer::new("work", workers_label, Shape::Mean, workers).in_steps());
    layers.push(Layer::new("rate", "admission rate set", Shape::Mean, rate));
    // Rivals estimate none.
    if drain.samples().any(|sample| sample.most > 0.0) {
        layers.push(Layer::new("drain", "drain as the law estimates it", Shape::Mean, drain));
    }
    chart(&range, "/s", layers, None)
}

fn requests(seconds: &Seconds) -> Chart {
    if seconds.most(|flow| flow.asked().max(flow.beside)) == 0.0 {
        return chart(&Range::whole(1.0), "/s", Vec::new(), Some("nobody asked"));
    }
    let nothing = seconds.series(|_| 0.0);
    let admitted = seconds.series(|flow| flow.admitted);
    let unshed = seconds.series(|flow| flow.admitted + flow.throttled);
    let all = seconds.series(Flow::asked);
    let workers = seconds.usual(|flow| flow.drainable);
    let needed =
        seconds.usual(|flow| flow.admitted.max(flow.beside)).max(workers.min(seconds.most(Flow::asked)));
    let range = Range::of(all.samples().map(|sample| sample.most), needed, REQUEST_TIMES);
    let mut layers = vec![
        Layer::new("admitted", "admitted", Shape::Band, Series::between(&nothing, &admitted)),
        Layer::new("throttled", "throttled", Shape::Band, Series::between(&admitted, &unshed)),
        Layer::new("refused", "shed", Shape::Band, Series::between(&unshed, &all)),
        Layer::new("asked", "all requests", Shape::Most, all),
    ];
    if seconds.most(|flow| flow.returned) > 0.0 {
        let first = seconds.series(|flow| flow.offered);
        layers.push(Layer::new("first", "first requests, without returns", Shape::Most, first));
    }
    if seconds.most(|flow| flow.beside) > 0.0 {
        let beside = seconds.series(|flow| flow.beside);
        layers.push(Layer::new("beside", "written by other producers", Shape::Most, beside));
    }
    chart(&range, "/s", layers.into_iter().map(Layer::in_steps).collect(), None)
}

fn told(subject: &Subject<'_>) -> Chart {
    let sample = |slice: &Slice| {
        let Told { count, sum, least, most } = slice.told;
        (count > 0).then(|| Sample { least, mean: sum / count as f64, most, weight: count as f64 })
    };
    let samples: Vec<_> = subject.slices.iter().map(sample).collect();
    let series = Series::new(&samples, subject.grain.slice, subject.grain.end, subject.grain.buckets);
    let (sum, count) =
        series.samples().fold((0.0, 0.0), |(sum, count), sample| (sum + sample.mean, count + 1.0));
    if count == 0.0 {
        return chart(&Range::whole(1.0), " s", Vec::new(), Some("nobody was refused"));
    }
    let range = Range::of(series.samples().map(|sample| sample.most), sum / count, TOLD_TIMES);
    let layers = vec![
        Layer::new("toldband", "earliest to latest", Shape::Band, series.clone()),
        Layer::new("told", "mean", Shape::Mean, series),
    ];
    chart(&range, " s", layers, None)
}

fn chart(range: &Range, unit: &str, layers: Vec<Layer>, empty: Option<&'static str>) -> Chart {
    Chart { top: range.top, note: range.note(unit), empty, layers }
}

impl Subject<'_> {
    fn series(&self, sample: impl Fn(&Slice) -> Sample) -> Series {
        let samples: Vec<_> = self.slices.iter().map(|slice| Some(sample(slice))).collect();
        Series::new(&samples, self.grain.slice, self.grain.end, self.grain.buckets)
    }
}

/// A signal is lost after so many usual waits for it.
const USUAL_WAITS: f64 = 2.0;

/// A depth that goes further beyond the target is cut.
const DEPTH_TIMES: f64 = 20.0;

/// Rates that are most of the time further beyond what workers do are cut: the drain would be a line at the floor.
const RATE_TIMES: f64 = 5.0;

/// Requests that are most of the time further beyond what is admitted are cut.
const REQUEST_TIMES: f64 = 20.0;

/// Times to return that are most of the time further beyond their mean are cut.
const TOLD_TIMES: f64 = 20.0;
