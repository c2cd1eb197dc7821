//! Series: values over time, gathered into so few buckets that a page can show them, none of their extremes lost.

/// What is known of one stretch of time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// The smallest value in it.
    pub least: f64,
    /// The mean.
    pub mean: f64,
    /// The largest value in it.
    pub most: f64,
    /// How much the mean counts beside others.
    pub weight: f64,
}

impl Sample {
    /// One value all the time.
    pub const fn of(value: f64) -> Sample {
        Sample { least: value, mean: value, most: value, weight: 1.0 }
    }

    fn is_number(&self) -> bool {
        !(self.least.is_nan() || self.mean.is_nan() || self.most.is_nan())
    }
}

/// What is known from one moment to another, in seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bucket {
    /// The beginning.
    pub from: f64,
    /// The end.
    pub to: f64,
    /// What is known.
    pub sample: Sample,
}

/// Buckets in order, with gaps where nothing is known.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Series {
    buckets: Vec<Option<Bucket>>,
}

impl Series {
    /// Gathers samples, each of `width` seconds, the last up to `end`, into at most this many buckets.
    pub fn new(samples: &[Option<Sample>], width: f64, end: f64, most: usize) -> Series {
        let together = samples.len().div_ceil(most.max(1)).max(1);
        let bucket = |(number, chunk): (usize, &[Option<Sample>])| {
            let from = (number * together) as f64 * width;
            let to = (from + chunk.len() as f64 * width).min(end);
            gather(chunk).map(|sample| Bucket { from, to, sample })
        };
        Series { buckets: samples.chunks(together).enumerate().map(bucket).collect() }
    }

    /// From the means of one series up to those of another of the same times.
    pub fn between(lower: &Series, upper: &Series) -> Series {
        let pair = |(lower, upper): (&Option<Bucket>, &Option<Bucket>)| {
            let (lower, upper) = (lower.as_ref()?, upper.as_ref()?);
            let sample = Sample { least: lower.sample.mean, most: upper.sample.mean, ..upper.sample };
            Some(Bucket { sample, ..*upper })
        };
        Series { buckets: lower.buckets.iter().zip(&upper.buckets).map(pair).collect() }
    }

    /// Everything known, in order.
    pub fn samples(&self) -> impl Iterator<Item = &Sample> {
        self.buckets.iter().flatten().map(|bucket| &bucket.sample)
    }

    /// The stretches of neighbouring buckets for which this holds.
    pub fn runs(&self, holds: impl Fn(&Sample) -> bool) -> Vec<Vec<Bucket>> {
        let mut runs = Vec::new();
        let mut run = Vec::new();
        for bucket in &self.buckets {
            match bucket {
                Some(bucket) if holds(&bucket.sample) => run.push(*bucket),
                _ if run.is_empty() => {}
                _ => runs.push(std::mem::take(&mut run)),
            }
        }
        runs.extend((!run.is_empty()).then_some(run));
        runs
    }
}

fn gather(samples: &[Option<Sample>]) -> Option<Sample> {
    let known = || samples.iter().flatten().filter(|sample| sample.is_number());
    let weight: f64 = known().map(|sample| sample.weight).sum();
    let sum: f64 = known().map(|sample| sample.mean * sample.weight).sum();
    let extremes = known().copied().reduce(|one, other| Sample {
        least: one.least.min(other.least),
        most: one.most.max(other.most),
        ..one
    })?;
    let mean = if weight > 0.0 { sum / weight } else { extremes.mean };
    Some(Sample { mean, weight, ..extremes })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(values: &[f64], most: usize) -> Series {
        let samples: Vec<_> = values.iter().map(|value| Some(Sample::of(*value))).collect();
        Series::new(&samples, 0.1, values.len() as f64 * 0.1, most)
    }

    #[test]
    fn a_peak_of_one_sample_in_thousands_is_still_there() {
        let mut values = vec![1.0; 36_000];
        values[17_123] = 900.0;
        values[29_001] = 0.0;
        let series = series(&values, 500);
        assert_eq!(series.samples().count(), 500);
        assert_eq!(series.samples().map(|sample| sample.most).fold(0.0, f64::max), 900.0);
        assert_eq!(series.samples().map(|sample| sample.least).fold(1.0, f64::min), 0.0);
    }

    #[test]
    fn means_weigh_and_what_is_no_number_is_a_gap() {
        let heavy = Sample { weight: 3.0, ..Sample::of(8.0) };
        let samples =
            [Some(Sample::of(4.0)), Some(heavy), None, Some(Sample::of(f64::NAN)), None, Some(heavy)];
        let series = Series::new(&samples, 1.0, 6.0, 3);
        let runs = series.runs(|_| true);
        assert_eq!(runs.iter().map(Vec::len).collect::<Vec<_>>(), [1, 1]);
        assert_eq!(
            runs[0][0],
            Bucket { from: 0.0, to: 2.0, sample: Sample { least: 4.0, mean: 7.0, most: 8.0, weight: 4.0 } }
        );
    }

    #[test]
    fn the_last_bucket_ends_where_the_time_ends() {
        let series = Series::new(&[Some(Sample::of(1.0)); 5], 1.0, 4.5, 2);
        let ends: Vec<_> =
            series.runs(|_| true).concat().iter().map(|bucket| (bucket.from, bucket.to)).collect();
        assert_eq!(ends, [(0.0, 3.0), (3.0, 4.5)]);
    }
}
