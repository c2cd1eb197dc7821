//! What is said of a played scenario: the bands it missed, its table, its JSON.

use std::fmt::Write;

use serde_json::{Map, Value, json};

use crate::domain::tier::TierMap;
use crate::sim::figures::{Figure, Figures};
use crate::sim::laws::LawName;
use crate::sim::play::Played;
use crate::sim::scenario::{Band, Scenario};

/// The figures of each tier that had anything to do.
pub type TierFigures = TierMap<Option<Figures>>;

/// A scenario with what came of it, under the gateway's law and under others.
#[derive(Clone, Debug)]
pub struct Report {
    /// What the scenario calls itself.
    pub name: String,
    /// The bands that the gateway's law missed.
    pub missed: Vec<Missed>,
    /// Under the gateway's law.
    pub figures: TierFigures,
    /// Under other laws.
    pub against: Vec<(LawName, TierFigures)>,
}

/// A band that was missed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Missed {
    /// The band.
    pub band: Band,
    /// The value, where there was one.
    pub value: Option<f64>,
}

impl Report {
    /// The report of a scenario played under the gateway's law.
    pub fn new(scenario: &Scenario, played: &Played) -> Report {
        Report {
            name: scenario.name.clone(),
            missed: missed(&scenario.expect, &played.figures),
            figures: played.figures.clone(),
            against: Vec::new(),
        }
    }

    /// Whether every band held.
    pub const fn passed(&self) -> bool {
        self.missed.is_empty()
    }

    /// A table for people: a line per law and tier, then the bands that were missed.
    pub fn table(&self) -> String {
        let mut lines = vec![COLUMNS.iter().map(|column| column.title.to_owned()).collect::<Vec<_>>()];
        let laws = std::iter::once((LawName::Tidegate, &self.figures))
            .chain(self.against.iter().map(|(law, figures)| (*law, figures)));
        for (law, figures) in laws {
            for (tier, figures) in figures.iter() {
                let Some(figures) = figures else { continue };
                let cells = COLUMNS.iter().map(|column| match column.figure {
                    Some(figure) => column.cell(figures.value(figure)),
                    None if column.title == "law" => law.as_str().to_owned(),
                    None => tier.to_string(),
                });
                lines.push(cells.collect());
            }
        }
        let mut text = format!("{}\n{}", self.name, aligned(&lines));
        for missed in &self.missed {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "  missed    {missed}");
        }
        if self.missed.is_empty() {
            text.push_str("  passed\n");
        }
        text
    }

    /// The same for programs.
    pub fn json(&self, wall_seconds: f64) -> Value {
        let against = self.against.iter().map(|(law, figures)| (law.as_str().to_owned(), tiers(figures)));
        json!({
            "name": self.name,
            "passed": self.passed(),
            "missed": self.missed.iter().map(Missed::json).collect::<Vec<_>>(),
            "wall_seconds": wall_seconds,
            "tiers": tiers(&self.figures),
            "against": against.collect::<Map<_, _>>(),
        })
    }
}

/// The bands that these figures miss. A figure without a value misses every band.
pub fn missed(bands: &[Band], figures: &TierFigures) -> Vec<Missed> {
    let judged = bands.iter().map(|band| {
        let value = figures[band.tier].as_ref().and_then(|figures| figures.value(band.figure));
        Missed { band: *band, value }
    });
    judged.filter(|missed| !missed.band.holds(missed.value)).collect()
}

impl Band {
    fn holds(&self, value: Option<f64>) -> bool {
        value.is_some_and(|value| {
            self.at_least.is_none_or(|least| value >= least) && self.at_most.is_none_or(|most| value <= most)
        })
    }
}

impl Missed {
    fn json(&self) -> Value {
        json!({
            "tier": self.band.tier.as_str(),
            "figure": self.band.figure.as_str(),
            "value": self.value,
            "at_least": self.band.at_least,
            "at_most": self.band.at_most,
        })
    }
}

impl std::fmt::Display for Missed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{} ", self.band.tier, self.band.figure.as_str())?;
        match self.value {
            Some(value) => {
                write!(f, "is {}", rounded(value, if self.band.figure.is_count() { 0 } else { 4 }))?;
            }
            None => write!(f, "has no value")?,
        }
        match (self.band.at_least, self.band.at_most) {
            (Some(least), Some(most)) => write!(f, ", expected {least} to {most}"),
            (Some(least), None) => write!(f, ", expected at least {least}"),
            (None, Some(most)) => write!(f, ", expected at most {most}"),
            (None, None) => Ok(()),
        }
    }
}

fn tiers(figures: &TierFigures) -> Value {
    let known = figures.iter().filter_map(|(tier, figures)| figures.as_ref().map(|figures| (tier, figures)));
    Value::Object(known.map(|(tier, figures)| (tier.to_string(), all(figures))).collect())
}

fn all(figures: &Figures) -> Value {
    let value = |figure: Figure| match figures.value(figure) {
        Some(count) if figure.is_count() => json!(count as u64),
        Some(value) => json!(value),
        None => Value::Null,
    };
    Value::Object(Figure::ALL.iter().map(|figure| (figure.as_str().to_owned(), value(*figure))).collect())
}

/// A column of the table.
struct Column {
    title: &'static str,
    figure: Option<Figure>,
    digits: usize,
}

impl Column {
    const fn of(title: &'static str, figure: Figure, digits: usize) -> Column {
        Column { title, figure: Some(figure), digits }
    }

    fn cell(&self, value: Option<f64>) -> String {
        value.map_or_else(|| "-".to_owned(), |value| rounded(value, self.digits))
    }
}

/// Rounded to so many digits; large numbers to whole ones.
fn rounded(value: f64, digits: usize) -> String {
    let digits = if value >= 1000.0 { 0 } else { digits };
    format!("{value:.digits$}")
}

/// The first two columns to the left, numbers to the right.
fn aligned(lines: &[Vec<String>]) -> String {
    let width = |column: usize| {
        lines.iter().filter_map(|line| line.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let mut text = String::new();
    for line in lines {
        for (column, cell) in line.iter().enumerate() {
            let width = width(column);
            let _ =
                if column < 2 { write!(text, "  {cell:<width$}") } else { write!(text, "  {cell:>width$}") };
        }
        text.push('\n');
    }
    text
}

const COLUMNS: [Column; 14] = [
    Column { title: "law", figure: None, digits: 0 },
    Column { title: "tier", figure: None, digits: 0 },
    Column::of("peak depth", Figure::PeakDepth, 0),
    Column::of("/ target", Figure::PeakDepthRatio, 3),
    Column::of("used", Figure::Utilisation, 4),
    Column::of("s over", Figure::SecondsOver, 1),
    Column::of("settled", Figure::SettledError, 3),
    Column::of("admitted", Figure::Admitted, 0),
    Column::of("refused", Figure::Refused, 0),
    Column::of("req/job", Figure::RequestsPerJob, 2),
    Column::of("returns", Figure::ReturnPeak, 2),
    Column::of("wait p50", Figure::WaitP50, 2),
    Column::of("p99", Figure::WaitP99, 2),
    Column::of("last 429", Figure::LastRefusal, 1),
];

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::domain::tier::Tier;
    use crate::sim::play::play;
    use crate::sim::scenario::{Schedule, Workers};

    fn scenario(at_most: f64) -> Scenario {
        let mut scenario = Scenario {
            name: "small".to_owned(),
            duration: Duration::from_secs(5),
            workers: Workers { rate: Schedule::constant(100.0), ..Workers::default() },
            expect: vec![Band {
                tier: Tier::P1,
                figure: Figure::PeakDepth,
                at_least: None,
                at_most: Some(at_most),
            }],
            ..Scenario::default()
        };
        scenario.tiers[Tier::P1].offered = Schedule::constant(200.0);
        scenario
    }

    fn report(at_most: f64) -> Report {
        let scenario = scenario(at_most);
        Report::new(&scenario, &play(&scenario, LawName::Tidegate))
    }

    #[test]
    fn a_missed_band_is_named_with_its_value() {
        let report = report(400.0);
        assert!(!report.passed());
        assert!(
            report.table().contains("missed    p1.peak_depth is 500, expected at most 400"),
            "{}",
            report.table()
        );
        let json = report.json(0.5);
        assert_eq!(json["passed"], json!(false));
        assert_eq!(json["missed"][0]["figure"], json!("peak_depth"));
        assert_eq!(json["tiers"]["p1"]["admitted"], json!(999));
        assert_eq!(json["tiers"]["p2"], Value::Null);
    }

    #[test]
    fn a_band_of_a_figure_without_a_value_is_missed() {
        let mut scenario = scenario(1e9);
        scenario.expect =
            vec![Band { tier: Tier::P0, figure: Figure::WaitP99, at_least: Some(0.0), at_most: None }];
        let report = Report::new(&scenario, &play(&scenario, LawName::Tidegate));
        assert!(report.table().contains("p0.wait_p99 has no value, expected at least 0"));
    }

    #[test]
    fn a_table_has_a_line_for_each_law_and_tier() {
        let mut report = report(1e9);
        report.against.push((LawName::Tidegate, report.figures.clone()));
        let table = report.table();
        assert!(report.passed() && table.ends_with("  passed\n"), "{table}");
        assert_eq!(table.lines().filter(|line| line.contains(" p1 ")).count(), 2, "{table}");
    }
}
