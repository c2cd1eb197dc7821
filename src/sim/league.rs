//! The league table: every law in every scenario, side by side, as Markdown.

use std::fmt::Write;

use crate::sim::figures::{Figure, Figures};
use crate::sim::report::{Report, TierFigures};

/// One line per scenario and tier, one column per law; each cell is the peak depth over the target and the share of the
/// workers' time that was used. Reports must all have been played against the same laws.
pub fn league(reports: &[Report]) -> String {
    let mut table = String::from("| scenario | tidegate |");
    let rivals = reports.first().map(|report| report.against.as_slice()).unwrap_or_default();
    for (law, _) in rivals {
        // Writing to a string cannot fail.
        let _ = write!(table, " {} |", law.as_str());
    }
    table.push_str("\n|---|---|");
    table.push_str(&"---|".repeat(rivals.len()));
    table.push('\n');
    for report in reports {
        let played: Vec<_> = report.figures.iter().filter(|(_, figures)| figures.is_some()).collect();
        for (tier, figures) in &played {
            let name = report.name.replace('|', "/");
            let name = if played.len() > 1 { format!("{name}, {tier}") } else { name };
            let _ = write!(table, "| {name} | **{}** |", cell(figures.as_ref()));
            for (_, rival) in &report.against {
                let rival: &TierFigures = rival;
                let _ = write!(table, " {} |", cell(rival[*tier].as_ref()));
            }
            table.push('\n');
        }
    }
    table
}

fn cell(figures: Option<&Figures>) -> String {
    let value = |figure| figures.and_then(|figures| figures.value(figure));
    let peak = value(Figure::PeakDepthRatio).map_or_else(|| "-".to_owned(), ratio);
    match value(Figure::Utilisation) {
        Some(used) => format!("{peak}, {:.1} %", 100.0 * used),
        None => peak,
    }
}

/// Two digits where they say something.
fn ratio(peak: f64) -> String {
    match peak {
        100.0.. => format!("{peak:.0}"),
        10.0..100.0 => format!("{peak:.1}"),
        _ => format!("{peak:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::domain::tier::Tier;
    use crate::sim::laws::LawName;
    use crate::sim::laws::rival::Method;
    use crate::sim::play::play;
    use crate::sim::scenario::{Scenario, Schedule, Workers};

    #[test]
    fn it_has_a_line_per_scenario_and_tier_and_a_column_per_law() {
        let mut scenario = Scenario {
            name: "a | b".to_owned(),
            duration: Duration::from_secs(10),
            workers: Workers { rate: Schedule::constant(100.0), ..Workers::default() },
            ..Scenario::default()
        };
        scenario.tiers[Tier::P1].offered = Schedule::constant(50.0);
        scenario.tiers[Tier::P2].offered = Schedule::constant(200.0);
        let law = LawName::Rival(Method::Pid);
        let mut report = Report::new(&scenario, &play(&scenario, LawName::Tidegate));
        report.against.push((law, play(&scenario, law).figures));
        let table = league(&[report]);
        let lines: Vec<&str> = table.lines().collect();
        assert_eq!(lines[..2], ["| scenario | tidegate | pid |", "|---|---|---|"]);
        assert!(lines[2].starts_with("| a / b, p1 | **0.00"), "{table}");
        assert!(lines[3].starts_with("| a / b, p2 | **0.0"), "{table}");
        assert_eq!(lines.len(), 4, "{table}");
    }
}
