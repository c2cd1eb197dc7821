//! The depths of the last hour, a line for each tier.

use crate::cli::status::document::History;
use crate::cli::status::draw::lines::{Page, Tone};
use crate::domain::tier::Tier;
use crate::telemetry::diagnosis::amount::{jobs, seconds};

/// A line for each tier, each by its own scale; nothing where there is no past yet.
pub(super) fn tiers(page: &mut Page, history: &History) {
    let points = history.depth(Tier::P0).len();
    let room = page.width().saturating_sub(AROUND).min(MOST);
    if points < 2 || room < LEAST {
        return;
    }
    let minutes = seconds(points as f64 * history.step_seconds as f64);
    page.row(Tone::Strong, &format!("   depth of the last {minutes}"));
    for tier in Tier::ALL {
        let depths = history.depth(tier);
        let most = depths.iter().flatten().copied().fold(0.0, f64::max);
        let line = spark(depths, most, room);
        page.row(
            Tone::Plain,
            &format!("{} {line} {} at most", tier.as_priority(), jobs(most.round() as u64)),
        );
    }
}

/// The highest of each piece of the past, between nothing and `most`.
fn spark(depths: &[Option<f64>], most: f64, room: usize) -> String {
    let pieces = depths.len().min(room);
    (0..pieces)
        .map(|piece| {
            let span = piece * depths.len() / pieces..(piece + 1) * depths.len() / pieces;
            let seen = depths.get(span).unwrap_or_default().iter().flatten().copied().reduce(f64::max);
            let Some(depth) = seen else { return ' ' };
            let part = if most > 0.0 { depth / most } else { 0.0 };
            let step = (part * (STEPS.len() - 1) as f64).ceil() as usize;
            STEPS.get(step).copied().unwrap_or('█')
        })
        .collect()
}

const STEPS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// What stands beside the line: the tier and its highest depth.
const AROUND: usize = 24;

/// Steps of a line; more are not told apart.
const MOST: usize = 72;
const LEAST: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_shows_the_highest_of_each_piece_and_gaps_as_gaps() {
        let depths = [Some(0.0), Some(0.0), Some(1.0), Some(50.0), None, None, Some(100.0), Some(0.0)];
        assert_eq!(spark(&depths, 100.0, 4), "▁▅ █");
        assert_eq!(spark(&depths, 100.0, 80), "▁▁▂▅  █▁", "never more steps than points");
        assert_eq!(spark(&[Some(0.0); 3], 0.0, 80), "▁▁▁");
        assert_eq!(spark(&[], 0.0, 80), "");
    }
}
