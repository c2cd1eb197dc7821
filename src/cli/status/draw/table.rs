//! The numbers of the tiers, a row for each: the columns that matter most first, as many beside each other as there is room for.

use textwrap::core::display_width;

use crate::cli::status::document::{TierStatus, Tiers};
use crate::cli::status::draw::amounts::{NOTHING, percent, range, span};
use crate::cli::status::draw::lines::{Page, Tone};
use crate::domain::tier::Tier;
use crate::telemetry::diagnosis::amount::{jobs, rate, seconds};

/// One column: its head, and the three tiers' cells.
struct Column {
    head: &'static str,
    cells: Vec<String>,
}

/// Of what a column's cells are made.
type Cell = fn(&TierStatus) -> String;

/// The tables. Rates are of the last five seconds, Retry-After and time to answer of the last minute, all else of now.
pub(super) fn tiers(page: &mut Page, tiers: &Tiers) {
    let rows: Vec<(Tier, &TierStatus)> = tiers.iter().collect();
    let shown = |(head, cell): &(&'static str, Cell)| {
        let cells: Vec<String> = rows.iter().map(|(_, status)| cell(status)).collect();
        // What no tier has needs no column, where that is said so.
        let is_empty = OPTIONAL.contains(head) && cells.iter().all(|cell| *cell == NOTHING);
        (!is_empty).then_some(Column { head, cells })
    };
    let mut states =
        rows.iter().map(|(tier, status)| format!("{} {}", tier.as_priority(), status.state.word));
    let mut names: Vec<String> = states.by_ref().collect();
    let mut block: Vec<Column> = Vec::new();
    for column in COLUMNS.iter().filter_map(shown) {
        let beside: usize = block.iter().map(|column| GAP + width(column)).sum();
        if !block.is_empty() && widest(&names) + beside + GAP + width(&column) > page.width() {
            draw(page, &names, &std::mem::take(&mut block), &rows);
            names = rows.iter().map(|(tier, _)| tier.as_priority().to_owned()).collect();
        }
        block.push(column);
    }
    draw(page, &names, &block, &rows);
}

fn draw(page: &mut Page, names: &[String], block: &[Column], rows: &[(Tier, &TierStatus)]) {
    let first = widest(names);
    let line = |name: &str, cell: &dyn Fn(&Column) -> String| {
        block.iter().fold(padded(name, first, false), |line, column| {
            let cell = cell(column);
            format!("{line}{}{}", " ".repeat(GAP), padded(&cell, width(column), true))
        })
    };
    page.row(Tone::Strong, &line("", &|column| column.head.to_owned()));
    for (index, (name, (_, status))) in names.iter().zip(rows).enumerate() {
        let text = line(name, &|column| column.cells.get(index).cloned().unwrap_or_default());
        page.row(Tone::from(status.state.severity), &text);
    }
}

/// The columns, in order of weight.
const COLUMNS: &[(&str, Cell)] = &[
    ("depth", |tier| jobs(tier.depth)),
    ("target", |tier| jobs(tier.target.round() as u64)),
    ("oldest", |tier| tier.oldest_age_seconds.map_or_else(|| NOTHING.to_owned(), seconds)),
    ("asked", |tier| rate(tier.flow.demand)),
    ("let in", |tier| rate(tier.flow.admitted)),
    ("drain", |tier| rate(tier.recent_drain)),
    ("refused", |tier| tier.refused_part().map_or_else(|| NOTHING.to_owned(), percent)),
    ("retry-after", |tier| range(&tier.retry_after_seconds)),
    ("may come in", |tier| if tier.shedding || tier.full { "nothing".to_owned() } else { rate(tier.rate) }),
    ("throttled", |tier| rate(tier.flow.throttled)),
    ("shed", |tier| rate(tier.flow.shed)),
    ("otherwise", |tier| rate(tier.flow.refused_otherwise)),
    ("signal", |tier| match tier.signal_age_seconds {
        Some(age) => format!("{} {}", tier.signal, seconds(age)),
        None => tier.signal.clone(),
    }),
    ("shed at", |tier| tier.bounds.shed_at.map_or_else(|| NOTHING.to_owned(), jobs)),
    ("reopens", |tier| tier.bounds.shed_until.map_or_else(|| NOTHING.to_owned(), jobs)),
    ("bound", |tier| jobs(tier.bounds.max_depth)),
    ("leased", |tier| jobs(tier.leased)),
    ("expired", |tier| rate(tier.flow.expired)),
    ("dead", |tier| rate(tier.flow.dead)),
    ("letters", |tier| jobs(tier.jobs.dead)),
    ("p50", |tier| latency(tier, tier.latency_seconds.p50)),
    ("p99", |tier| latency(tier, tier.latency_seconds.p99)),
];

/// Columns that are left out where they say nothing of any tier.
const OPTIONAL: &[&str] = &["shed at", "reopens", "p50", "p99"];

fn latency(tier: &TierStatus, of_seconds: f64) -> String {
    if tier.latency_seconds.count == 0 { NOTHING.to_owned() } else { span(of_seconds) }
}

fn width(column: &Column) -> usize {
    widest(&column.cells).max(column.head.len())
}

fn widest(cells: &[String]) -> usize {
    cells.iter().map(|cell| display_width(cell)).max().unwrap_or(0)
}

fn padded(text: &str, to: usize, to_the_right: bool) -> String {
    let space = " ".repeat(to.saturating_sub(display_width(text)));
    if to_the_right { space + text } else { text.to_owned() + &space }
}

/// Columns of the terminal between two of the table.
const GAP: usize = 2;
