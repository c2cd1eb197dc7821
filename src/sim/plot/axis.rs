//! Axes: from values to pixels, ticks at round numbers, short labels.

/// A linear axis from zero up to a top.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scale {
    top: f64,
    from: f64,
    to: f64,
}

/// A labelled place on an axis.
#[derive(Clone, Debug, PartialEq)]
pub struct Tick {
    /// Where, in pixels.
    pub at: f64,
    /// What stands there.
    pub label: String,
}

impl Scale {
    /// Zero lies at the pixel `from`, `top` at the pixel `to`. A top that is no positive number is 1.
    pub fn new(top: f64, from: f64, to: f64) -> Scale {
        let top = if top.is_finite() && top > 0.0 { top } else { 1.0 };
        Scale { top, from, to }
    }

    /// The largest value within the axis.
    pub const fn top(&self) -> f64 {
        self.top
    }

    /// The pixel of a value. What lies outside is drawn at the edge; what is no number, at zero.
    pub fn at(&self, value: f64) -> f64 {
        let share = if value.is_nan() { 0.0 } else { (value / self.top).clamp(0.0, 1.0) };
        self.from + share * (self.to - self.from)
    }

    /// About this many ticks, at multiples of 1, 2 or 5 times a power of ten.
    pub fn ticks(&self, about: usize) -> Vec<Tick> {
        self.every(round_step(self.top / about.max(1) as f64), 1.0)
    }

    /// The same of an axis of seconds, labelled in this unit.
    pub fn time_ticks(&self, unit: TimeUnit, about: usize) -> Vec<Tick> {
        let wanted = self.top / unit.seconds() / about.max(1) as f64;
        let usual = unit.steps().iter().copied().find(|step| *step >= wanted);
        let step = usual.unwrap_or_else(|| round_step(wanted));
        self.every(step * unit.seconds(), unit.seconds())
    }

    fn every(&self, step: f64, unit: f64) -> Vec<Tick> {
        // A little more than the top, lest the last tick is lost to rounding.
        let count = (self.top / step * (1.0 + 1e-9)).floor().min(MOST_TICKS) as u32;
        let tick = |number: u32| {
            let value = f64::from(number) * step;
            Tick { at: self.at(value), label: short(value / unit) }
        };
        (0..=count).map(tick).collect()
    }
}

/// The unit in which a time axis is labelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeUnit {
    /// Up to ten minutes.
    Seconds,
    /// Up to five hours.
    Minutes,
    /// Longer.
    Hours,
}

impl TimeUnit {
    /// The unit that suits this many seconds.
    pub fn of(seconds: f64) -> TimeUnit {
        if seconds <= 600.0 {
            TimeUnit::Seconds
        } else if seconds <= 5.0 * 3600.0 {
            TimeUnit::Minutes
        } else {
            TimeUnit::Hours
        }
    }

    /// Its sign.
    pub const fn as_str(self) -> &'static str {
        match self {
            TimeUnit::Seconds => "s",
            TimeUnit::Minutes => "min",
            TimeUnit::Hours => "h",
        }
    }

    const fn seconds(self) -> f64 {
        match self {
            TimeUnit::Seconds => 1.0,
            TimeUnit::Minutes => 60.0,
            TimeUnit::Hours => 3600.0,
        }
    }

    /// Steps that clocks have.
    const fn steps(self) -> &'static [f64] {
        match self {
            TimeUnit::Seconds => &[0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 50.0, 60.0, 100.0, 120.0],
            TimeUnit::Minutes => &[1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0],
            TimeUnit::Hours => &[1.0, 2.0, 3.0, 6.0, 12.0, 24.0],
        }
    }
}

/// The smallest of 1, 2 and 5 times a power of ten that is not below this.
fn round_step(least: f64) -> f64 {
    if !least.is_normal() {
        return 1.0;
    }
    let power = 10_f64.powf(least.log10().floor());
    [1.0, 2.0, 5.0, 10.0]
        .map(|part| part * power)
        .into_iter()
        .find(|step| *step >= least * 0.999)
        .unwrap_or(power)
}

/// A number in at most three digits and a suffix: `0.25`, `12.3k`, `4M`.
pub fn short(value: f64) -> String {
    if !value.is_finite() {
        return "unlimited".to_owned();
    }
    let mut scaled = value.abs();
    let mut suffix = "";
    for next in ["k", "M", "G", "T", "P", "E"] {
        // From here on it would be rounded to a fourth digit.
        if scaled < 999.5 {
            break;
        }
        scaled /= 1000.0;
        suffix = next;
    }
    if scaled >= 1000.0 {
        return format!("{value:.1e}");
    }
    let sign = if value < 0.0 { "-" } else { "" };
    format!("{sign}{}{suffix}", three_digits(scaled))
}

fn three_digits(value: f64) -> String {
    let decimals = match value {
        value if value >= 99.95 => 0,
        value if value >= 9.995 => 1,
        value if value >= 0.1 => 2,
        value if value >= 0.01 => 3,
        _ => 4,
    };
    let digits = format!("{value:.decimals$}");
    match digits.contains('.') {
        true => digits.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => digits,
    }
}

/// An axis has no more ticks, whatever its step.
const MOST_TICKS: f64 = 50.0;

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(ticks: Vec<Tick>) -> Vec<String> {
        ticks.into_iter().map(|tick| tick.label).collect()
    }

    #[test]
    fn ticks_stand_at_round_numbers() {
        assert_eq!(labels(Scale::new(21_200.0, 0.0, 1.0).ticks(4)), ["0", "10k", "20k"]);
        assert_eq!(labels(Scale::new(0.9, 0.0, 1.0).ticks(4)), ["0", "0.5"]);
        assert_eq!(labels(Scale::new(1e-300, 0.0, 1.0).ticks(4)).len(), 3);
        assert!(Scale::new(f64::MAX, 0.0, 1.0).ticks(4).len() >= 2);
    }

    #[test]
    fn time_is_labelled_in_the_unit_that_suits_its_length() {
        let ticks = |seconds: f64| {
            let unit = TimeUnit::of(seconds);
            (labels(Scale::new(seconds, 0.0, 1.0).time_ticks(unit, 6)).join(" "), unit.as_str())
        };
        assert_eq!(ticks(1.0), ("0 0.2 0.4 0.6 0.8 1".to_owned(), "s"));
        assert_eq!(ticks(600.0), ("0 100 200 300 400 500 600".to_owned(), "s"));
        assert_eq!(ticks(3600.0), ("0 10 20 30 40 50 60".to_owned(), "min"));
        assert_eq!(ticks(86_400.0), ("0 6 12 18 24".to_owned(), "h"));
    }

    #[test]
    fn numbers_are_short() {
        let pairs = [
            (0.0, "0"),
            (0.25, "0.25"),
            (8.0, "8"),
            (12.34, "12.3"),
            (999.4, "999"),
            (999.7, "1k"),
            (1500.0, "1.5k"),
            (99_960.0, "100k"),
            (1e6, "1M"),
            (1.8e19, "18E"),
            (1e22, "1.0e22"),
            (f64::INFINITY, "unlimited"),
            (-1500.0, "-1.5k"),
            (0.034, "0.034"),
        ];
        for (value, label) in pairs {
            assert_eq!(short(value), label);
        }
    }

    #[test]
    fn what_lies_outside_is_drawn_at_the_edge() {
        let scale = Scale::new(10.0, 100.0, 0.0);
        let drawn = [5.0, 20.0, -1.0, f64::NAN, f64::INFINITY].map(|value| scale.at(value));
        assert_eq!(drawn, [50.0, 0.0, 100.0, 100.0, 0.0]);
    }
}
