//! A chart: layers over time in one frame, with grid, axis and the marks of what is cut.

use crate::sim::plot::axis::{Scale, Tick};
use crate::sim::plot::series::{Bucket, Sample, Series};
use crate::sim::plot::svg::{Anchor, Frame, Spot, Svg};

/// What one frame shows.
#[derive(Clone, Debug)]
pub struct Chart {
    /// The top of the value axis.
    pub top: f64,
    /// What is said above the frame: that the axis is cut.
    pub note: Option<String>,
    /// What is said in the frame where there is nothing to draw.
    pub empty: Option<&'static str>,
    /// From the back to the front.
    pub layers: Vec<Layer>,
}

/// One thing drawn.
#[derive(Clone, Debug)]
pub struct Layer {
    /// The class that gives it its looks.
    pub class: &'static str,
    /// What the legend calls it; empty where it belongs to another layer.
    pub label: &'static str,
    /// How it is drawn.
    pub shape: Shape,
    /// How it goes from one bucket to the next.
    pub joint: Joint,
    /// The values.
    pub series: Series,
}

/// How a layer is drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Shape {
    /// A line through the means.
    Mean,
    /// A line through the largest values.
    Most,
    /// Filled from the smallest values to the largest.
    Band,
    /// A level line at this value; not drawn where it lies above the axis.
    Level(f64),
}

/// How a layer goes from one bucket to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Joint {
    /// From the middle of one to the middle of the next.
    Straight,
    /// Level within each bucket: counts over its time.
    Step,
}

impl Chart {
    /// Draws it into this frame, with grid lines at these ticks of the time axis. `behind` draws on the empty ground.
    pub fn draw(
        &self,
        svg: &mut Svg,
        frame: Frame,
        time: Scale,
        ticks: &[Tick],
        behind: impl FnOnce(&mut Svg),
    ) {
        let values = Scale::new(self.top, frame.bottom(), frame.top);
        svg.rectangle("field", frame);
        behind(svg);
        for layer in &self.layers {
            layer.fill(svg, time, values);
        }
        for tick in ticks {
            svg.line("grid", &[(tick.at, frame.top), (tick.at, frame.bottom())]);
        }
        let about = (frame.height / PIXELS_PER_TICK).max(2.0) as usize;
        let ticks = if self.empty.is_some() { Vec::new() } else { values.ticks(about) };
        for tick in ticks {
            svg.line("grid", &[(frame.left, tick.at), (frame.right(), tick.at)]);
            svg.text("tick", Anchor::End, (frame.left - 6.0, tick.at + 4.0), &tick.label);
        }
        for layer in &self.layers {
            layer.stroke(svg, frame, time, values);
        }
        for layer in &self.layers {
            layer.mark_cut(svg, time, values);
        }
        svg.line("axis", &[(frame.left, frame.bottom()), (frame.right(), frame.bottom())]);
        if let Some(empty) = self.empty {
            let middle = (frame.left + frame.width / 2.0, frame.top + frame.height / 2.0 + 4.0);
            svg.text("empty", Anchor::Middle, middle, empty);
        }
    }
}

impl Layer {
    /// A layer of this series.
    pub const fn new(class: &'static str, label: &'static str, shape: Shape, series: Series) -> Layer {
        Layer { class, label, shape, joint: Joint::Straight, series }
    }

    /// The same, level within each bucket.
    #[must_use]
    pub fn in_steps(self) -> Layer {
        Layer { joint: Joint::Step, ..self }
    }

    /// A level line.
    pub fn level(class: &'static str, label: &'static str, value: f64) -> Layer {
        Layer::new(class, label, Shape::Level(value), Series::default())
    }

    /// Whether anything of it can be seen below this top.
    pub fn is_seen(&self, top: f64) -> bool {
        match self.shape {
            Shape::Mean | Shape::Most => self.series.samples().next().is_some(),
            Shape::Band => self.series.samples().any(has_width),
            Shape::Level(value) => value <= top,
        }
    }

    fn fill(&self, svg: &mut Svg, time: Scale, values: Scale) {
        if self.shape != Shape::Band {
            return;
        }
        for run in self.series.runs(has_width) {
            let mut corners = self.spots(&run, time, values, |sample| sample.most);
            corners.extend(self.spots(&run, time, values, |sample| sample.least).into_iter().rev());
            svg.shape(self.class, &corners);
        }
    }

    fn stroke(&self, svg: &mut Svg, frame: Frame, time: Scale, values: Scale) {
        let part = match self.shape {
            Shape::Mean => |sample: &Sample| sample.mean,
            Shape::Most => |sample: &Sample| sample.most,
            Shape::Level(value) if value <= values.top() => {
                let at = values.at(value);
                return svg.line(self.class, &[(frame.left, at), (frame.right(), at)]);
            }
            Shape::Band | Shape::Level(_) => return,
        };
        for run in self.series.runs(|_| true) {
            svg.line(self.class, &self.spots(&run, time, values, part));
        }
    }

    /// The way through these buckets, from the beginning of the first to the end of the last.
    fn spots(&self, run: &[Bucket], time: Scale, values: Scale, part: impl Fn(&Sample) -> f64) -> Vec<Spot> {
        let spot = |moment: f64, bucket: &Bucket| (time.at(moment), values.at(part(&bucket.sample)));
        let first = run.first().map(|bucket| spot(bucket.from, bucket));
        let last = run.last().map(|bucket| spot(bucket.to, bucket));
        let within = run.iter().flat_map(|bucket| match self.joint {
            Joint::Straight => vec![spot((bucket.from + bucket.to) / 2.0, bucket)],
            Joint::Step => vec![spot(bucket.from, bucket), spot(bucket.to, bucket)],
        });
        first.into_iter().chain(within).chain(last).collect()
    }

    /// A thick dashed line along the upper edge while values lie above it.
    fn mark_cut(&self, svg: &mut Svg, time: Scale, values: Scale) {
        let is_cut = |sample: &Sample| match self.shape {
            Shape::Mean => sample.mean > values.top(),
            Shape::Most | Shape::Band => sample.most > values.top(),
            Shape::Level(_) => false,
        };
        let edge = values.at(values.top()) + MARK / 2.0;
        for run in self.series.runs(is_cut) {
            if let (Some(first), Some(last)) = (run.first(), run.last()) {
                let (from, to) = (time.at(first.from), time.at(last.to));
                svg.line("cut", &[(from, edge), (to.max(from + LEAST_MARK), edge)]);
            }
        }
    }
}

fn has_width(sample: &Sample) -> bool {
    sample.most > sample.least
}

/// Height of a frame for each tick of its value axis.
const PIXELS_PER_TICK: f64 = 28.0;

/// Width of the mark of a cut, as in the style sheet.
const MARK: f64 = 4.0;

/// The shortest mark of a cut that is still seen, in pixels.
const LEAST_MARK: f64 = 4.0;
