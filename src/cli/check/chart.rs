//! A tier's depth over time as a small chart of characters.

use crate::cli::check::play::Course;

/// The course, with the target as a line and times below; each row ends with a line break.
pub(super) fn chart(course: &Course) -> String {
    let per_column = course.depths.len().div_ceil(COLUMNS).max(1);
    // From the last point before the column on: without gaps where the course is steep.
    let starts = (0..course.depths.len()).step_by(per_column);
    let points = starts.map(|start| (start.saturating_sub(1), start + per_column));
    let columns: Vec<(f64, f64)> = points
        .map(|(from, to)| ends(course.depths.get(from..to.min(course.depths.len())).unwrap_or_default()))
        .collect();
    let top = columns.iter().map(|(_, high)| *high).fold(1.2, f64::max).min(MOST);
    let row_height = top / ROWS as f64;
    let mut text = format!("  {}: depth over target, while it was played\n", course.tier);
    for row in (0..ROWS).rev() {
        let (floor, ceiling) = (row as f64 * row_height, (row + 1) as f64 * row_height);
        let has_target = floor < 1.0 && ceiling >= 1.0;
        let cells = columns.iter().map(|(low, high)| {
            let reaches = *high >= floor && (*low < ceiling || row + 1 == ROWS);
            match (reaches, has_target) {
                (true, _) => '█',
                (false, true) => '─',
                (false, false) => ' ',
            }
        });
        let label = if has_target { "target".to_owned() } else { format!("{ceiling:.2}") };
        let line: String = cells.collect();
        text.push_str(&format!("  {label:>6} ┤{}\n", line.trim_end()));
    }
    let end = format!("{:.0} s", course.seconds());
    let width = columns.len().saturating_sub(3);
    text.push_str(&format!("         0 s{end:>width$}\n"));
    text
}

fn ends(points: &[f64]) -> (f64, f64) {
    let low = points.iter().copied().fold(f64::INFINITY, f64::min);
    (low, points.iter().copied().fold(0.0, f64::max))
}

const COLUMNS: usize = 66;
const ROWS: usize = 8;

/// What is higher is cut: the rest would be too flat to see.
const MOST: f64 = 2.5;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::tier::Tier;

    #[test]
    fn what_swings_is_seen_to_swing() {
        let depths = (0..600).map(|point| if point / 50 % 2 == 0 { 0.2 } else { 1.6 }).collect();
        let text = chart(&Course::new(Tier::P1, 0.1, depths));
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 2 + ROWS, "{text}");
        assert!(lines[1].starts_with("    1.60 ┤     █████"), "{text}");
        assert!(lines.iter().any(|line| line.starts_with("  target ┤────")), "{text}");
        assert!(lines.last().unwrap().ends_with("60 s"), "{text}");
        assert!(lines.iter().all(|line| line.chars().count() <= 80), "{text}");
    }

    #[test]
    fn nothing_played_is_an_empty_chart() {
        assert!(chart(&Course::new(Tier::P0, 0.1, Vec::new())).contains("0 s"));
    }
}
