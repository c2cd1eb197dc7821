//! The numbers of the tiers, a row for each: the columns that matter most first, as many beside each other as there is room for.

use textwrap::core::display_width;

use crate::cli::status::document::{TierStatus, Tiers};
use crate::cli::status::draw::amounts::{NOTHING, percent, range, span};
use crate::cli::status::draw::lines::{Page, Tone};
use crate::domain::tier::Tier;
use crate::telemetry::diagnosis::amount::{jobs, rate, seconds};

/// The numbers, in blocks that are as wide as the page at most. Rates are of the last five seconds, Retry-After and time to
/// answer of the last minute, all else of now.
pub(super) struct Table {
    blocks: Vec<Block>,
    tones: Vec<Tone>,
}

/// Columns beside each other.
struct Block {
    /// What stands before each row.
    names: Vec<String>,
    columns: Vec<Column>,
}

/// One column: its head, and a cell for each tier.
struct Column {
    head: &'static str,
    cells: Vec<String>,
}

/// Of what a column's cells are made.
type Cell = fn(&TierStatus) -> String;

impl Table {
    /// All numbers of the tiers.
    pub(super) fn of(tiers: &Tiers, width: usize) -> Table {
        let rows: Vec<(Tier, &TierStatus)> = tiers.iter().collect();
        let states =
            rows.iter().map(|(tier, status)| format!("{} {}", tier.as_priority(), status.state.word));
        let mut blocks = vec![Block { names: states.collect(), columns: Vec::new() }];
        for (head, cell) in COLUMNS {
            let column = Column { head, cells: rows.iter().map(|(_, status)| cell(status)).collect() };
            if column.says_nothing() {
                continue;
            }
            match blocks.last_mut().filter(|block| block.has_room(&column, width)) {
                Some(block) => block.columns.push(column),
                None => {
                    let names = rows.iter().map(|(tier, _)| tier.as_priority().to_owned()).collect();
                    blocks.push(Block { names, columns: vec![column] });
                }
            }
        }
        Table { blocks, tones: rows.iter().map(|(_, status)| Tone::from(status.state.severity)).collect() }
    }

    /// The tiers at a glance: their states, and the numbers that matter most.
    pub(super) fn first(&self, page: &mut Page) {
        self.blocks.iter().take(1).for_each(|block| block.draw(page, &self.tones));
    }

    /// The other numbers.
    pub(super) fn further(&self, page: &mut Page) {
        self.blocks.iter().skip(1).for_each(|block| block.draw(page, &self.tones));
    }
}

impl Block {
    fn has_room(&self, column: &Column, width: usize) -> bool {
        let taken: usize = self.columns.iter().map(|column| GAP + column.width()).sum();
        self.columns.is_empty() || widest(&self.names) + taken + GAP + column.width() <= width
    }

    fn draw(&self, page: &mut Page, tones: &[Tone]) {
        let line = |name: &str, cell: &dyn Fn(&Column) -> String| {
            let first = name.to_owned() + &space(name, widest(&self.names));
            self.columns.iter().fold(first, |line, column| {
                let cell = cell(column);
                format!("{line}{}{}{cell}", " ".repeat(GAP), space(&cell, column.width()))
            })
        };
        page.row(Tone::Strong, &line("", &|column| column.head.to_owned()));
        for (index, (name, tone)) in self.names.iter().zip(tones).enumerate() {
            page.row(*tone, &line(name, &|column| column.cells.get(index).cloned().unwrap_or_default()));
        }
    }
}

impl Column {
    fn width(&self) -> usize {
        widest(&self.cells).max(self.head.len())
    }

    /// Whether no tier has what the column is about.
    fn says_nothing(&self) -> bool {
        self.cells.iter().all(|cell| cell == NOTHING) && OPTIONAL.contains(&self.head)
    }
}

/// The columns, in order of weight.
const COLUMNS: &[(&str, Cell)] = &[
    ("depth", |tier| jobs(tier.depth)),
    ("target", |tier| jobs(tier.target.round() as u64)),
    ("oldest", |tier| tier.oldest_age_seconds.map_or_else(|| NOTHING.to_owned(), seconds)),
    ("asked", |tier| rate(tier.flow.demand)),
    ("let in", |tier| rate(tier.flow.admitted)),
    ("drain", |tier| rate(tier.drain_now())),
    ("refused", |tier| tier.refused_part().map_or_else(|| NOTHING.to_owned(), percent)),
    ("retry-after", |tier| range(&tier.retry_after_seconds)),
    ("may come in", |tier| if tier.is_shut() { "nothing".to_owned() } else { rate(tier.rate) }),
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

fn widest(cells: &[String]) -> usize {
    cells.iter().map(|cell| display_width(cell)).max().unwrap_or(0)
}

/// What fills a text up to this width.
fn space(text: &str, width: usize) -> String {
    " ".repeat(width.saturating_sub(display_width(text)))
}

/// Columns of the terminal between two of the table.
const GAP: usize = 2;
