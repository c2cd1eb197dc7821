//! Flows: what went on in each second, from the counts of slices.

use crate::sim::plot::range::usual;
use crate::sim::plot::series::{Sample, Series};
use crate::sim::trace::Slice;

/// How time is cut.
#[derive(Clone, Copy, Debug)]
pub struct Grain {
    /// The length of a slice, in seconds.
    pub slice: f64,
    /// The end of all, in seconds.
    pub end: f64,
    /// Points across a chart.
    pub buckets: usize,
}

impl Grain {
    /// The longest time that one point stands for, in seconds.
    pub fn gathered(&self) -> f64 {
        let points = self.buckets.max(1) as f64;
        let slices = (self.end / self.slice / points).ceil() * self.slice;
        let seconds = (self.end / self.second() / points).ceil() * self.second();
        slices.max(seconds).min(self.end)
    }

    /// The time over which counts become a rate: a second, less where there are few of them.
    fn second(&self) -> f64 {
        self.slices_per_second() as f64 * self.slice
    }

    fn slices_per_second(&self) -> usize {
        let second = (1.0 / self.slice).round().max(1.0);
        (self.end / self.slice / FEWEST_FLOWS).floor().clamp(1.0, second) as usize
    }
}

/// What went on in each second, in jobs per second: a slice is too short for counts of a few jobs to be a rate.
#[derive(Clone, Debug)]
pub struct Seconds {
    /// Each second.
    pub flows: Vec<Flow>,
    width: f64,
    grain: Grain,
}

/// Jobs per second.
#[derive(Clone, Copy, Debug)]
pub struct Flow {
    /// First requests for a job.
    pub offered: f64,
    /// Later ones.
    pub returned: f64,
    /// Let in.
    pub admitted: f64,
    /// Refused by the rate, the window or the bound.
    pub throttled: f64,
    /// Refused by a threshold, a higher tier or a lost signal.
    pub shed: f64,
    /// Written by other producers.
    pub beside: f64,
    /// What workers could take, less what other tiers took.
    pub drainable: f64,
    /// What workers do at full load.
    pub capacity: f64,
}

impl Seconds {
    /// Gathers slices into seconds.
    pub fn of(slices: &[Slice], grain: Grain) -> Seconds {
        let (together, width) = (grain.slices_per_second(), grain.second());
        let flow = |(number, slices): (usize, &[Slice])| {
            // The last may be cut short, but a moment is no second.
            let seconds = (grain.end - number as f64 * width).clamp(width / 2.0, width);
            Flow::of(slices, seconds)
        };
        Seconds { flows: slices.chunks(together).enumerate().map(flow).collect(), width, grain }
    }

    /// The largest value of one of the flows.
    pub fn most(&self, pick: impl Fn(&Flow) -> f64) -> f64 {
        self.flows.iter().map(pick).fold(0.0, f64::max)
    }

    /// What one of the flows stays below, but for a short time.
    pub fn usual(&self, pick: impl Fn(&Flow) -> f64) -> f64 {
        usual(self.flows.iter().map(pick).collect())
    }

    /// One of the flows over time.
    pub fn series(&self, pick: impl Fn(&Flow) -> f64) -> Series {
        let samples: Vec<_> = self.flows.iter().map(|flow| Some(Sample::of(pick(flow)))).collect();
        Series::new(&samples, self.width, self.grain.end, self.grain.buckets)
    }
}

impl Flow {
    /// All requests.
    pub fn asked(&self) -> f64 {
        self.admitted + self.throttled + self.shed
    }

    fn of(slices: &[Slice], seconds: f64) -> Flow {
        let rate = |count: fn(&Slice) -> f64| slices.iter().map(count).sum::<f64>().max(0.0) / seconds;
        Flow {
            offered: rate(|slice| slice.offered as f64),
            returned: rate(|slice| slice.returned as f64),
            admitted: rate(|slice| slice.admitted as f64),
            throttled: rate(|slice| slice.throttled as f64),
            shed: rate(|slice| slice.shed as f64),
            beside: rate(|slice| slice.beside as f64),
            drainable: rate(|slice| slice.drainable),
            capacity: rate(|slice| slice.capacity),
        }
    }
}

/// Even a scenario of a second has so many points.
const FEWEST_FLOWS: f64 = 20.0;
