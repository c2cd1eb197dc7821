//! What is said above the charts: the title, and of each tier the figures that matter most.

use crate::domain::tier::Tier;
use crate::sim::figures::{Figure, Figures};
use crate::sim::plot::axis::short;
use crate::sim::plot::svg::{is_printed, width_of};

/// The scenario's name as a title: printed signs only, cut where it would not fit.
pub fn title_of(name: &str) -> String {
    let signs = name.chars().map(|sign| if sign.is_whitespace() { ' ' } else { sign });
    let printed: String = signs.filter(|sign| is_printed(*sign)).take(LONGEST_TITLE + 1).collect();
    let printed = printed.trim();
    match printed.char_indices().nth(LONGEST_TITLE) {
        Some((end, _)) => format!("{}…", printed.get(..end).unwrap_or_default().trim_end()),
        None if printed.is_empty() => "scenario without a name".to_owned(),
        None => printed.to_owned(),
    }
}

/// What a tier is for.
pub const fn role_of(tier: Tier) -> &'static str {
    match tier {
        Tier::P0 => "critical",
        Tier::P1 => "standard",
        Tier::P2 => "bulk",
    }
}

/// The figures that matter most, each as a few words.
pub fn said_of(figures: &Figures) -> Vec<String> {
    let value = |figure| figures.value(figure).filter(|value| value.is_finite());
    let count = |figure| short(value(figure).unwrap_or(0.0));
    let mut said = Vec::new();
    said.extend(value(Figure::PeakDepthRatio).map(|ratio| format!("peak {} × target", ratio_of(ratio))));
    said.extend(value(Figure::Utilisation).map(|share| format!("workers {} used", percent(share))));
    let share = value(Figure::AdmittedShare).map(|share| format!(" ({})", percent(share)));
    said.push(format!("{} admitted{}", count(Figure::Admitted), share.unwrap_or_default()));
    said.push(format!("{} refused", count(Figure::Refused)));
    said.extend(value(Figure::RequestsPerJob).map(|ratio| format!("{} requests per job", ratio_of(ratio))));
    let waits = value(Figure::WaitP50).zip(value(Figure::WaitP99));
    said.extend(waits.map(|(half, most)| format!("wait p50 {}, p99 {}", seconds_of(half), seconds_of(most))));
    said
}

/// Lines of these words, none wider than this unless one word is.
pub fn wrapped(words: &[String], width: f64, size: f64) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in words {
        match lines.last_mut() {
            Some(line) if width_of(&[line, SEPARATOR, word].concat(), size) <= width => {
                line.push_str(SEPARATOR);
                line.push_str(word);
            }
            _ => lines.push(word.clone()),
        }
    }
    lines
}

/// A time in a few signs.
pub fn seconds_of(seconds: f64) -> String {
    if seconds < 0.1 { format!("{} ms", short(seconds * 1000.0)) } else { format!("{} s", short(seconds)) }
}

fn ratio_of(ratio: f64) -> String {
    if ratio < 9.995 { format!("{ratio:.2}") } else { short(ratio) }
}

/// Rounded down: what is not all is not called all.
fn percent(share: f64) -> String {
    format!("{:.1} %", (share * 1000.0 + 1e-6).floor() / 10.0)
}

/// Signs of a name that a title shows.
const LONGEST_TITLE: usize = 60;

/// Between two figures.
const SEPARATOR: &str = " · ";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_any_length_becomes_a_title() {
        assert_eq!(title_of(" flash\u{0}\nsale "), "flash sale");
        assert_eq!(title_of("\u{7}"), "scenario without a name");
        let long = title_of(&"é".repeat(10_000));
        assert_eq!((long.chars().count(), long.chars().last()), (LONGEST_TITLE + 1, Some('…')));
        assert_eq!(title_of(&"é".repeat(LONGEST_TITLE)), "é".repeat(LONGEST_TITLE));
    }

    #[test]
    fn all_but_a_few_is_not_called_all() {
        assert_eq!(
            (percent(0.99999), percent(1.0), percent(0.123)),
            ("99.9 %".to_owned(), "100.0 %".to_owned(), "12.3 %".to_owned())
        );
    }

    #[test]
    fn figures_are_wrapped_within_the_width() {
        let words = ["peak 1.02 × target", "workers 99.9 % used", "4M admitted"].map(str::to_owned);
        assert_eq!(wrapped(&words, 2000.0, 12.0).len(), 1);
        let lines = wrapped(&words, 250.0, 12.0);
        assert_eq!(lines.len(), 2);
        assert_eq!(lines.concat().replace(SEPARATOR, ""), words.concat());
        assert!(lines.iter().all(|line| width_of(line, 12.0) <= 250.0), "{lines:?}");
    }
}
