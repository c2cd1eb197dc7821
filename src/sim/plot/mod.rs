//! Draws a played scenario as one page of SVG: a column for each tier, four charts above one time axis.
//!
//! The drawing is our own: the one well-known library for charts, plotters, was last released in 2024, writes its
//! colours into every shape, so that one picture cannot suit light and dark ground, and rounds to whole pixels.

mod axis;
mod chart;
mod course;
mod flow;
mod heading;
mod legend;
mod range;
mod series;
mod style;
mod svg;

use crate::domain::tier::Tier;
use crate::sim::play::Played;
use crate::sim::plot::axis::{Scale, Tick, TimeUnit};
use crate::sim::plot::chart::Chart;
use crate::sim::plot::course::{Subject, TITLES, blind_times, charts};
use crate::sim::plot::flow::Grain;
use crate::sim::plot::heading::{role_of, said_of, seconds_of, title_of, wrapped};
use crate::sim::plot::legend::{Entry, entries};
use crate::sim::plot::style::STYLE;
use crate::sim::plot::svg::{Anchor, Frame, Svg, width_of};
use crate::sim::scenario::Scenario;

/// Draws what came of a scenario: an SVG document, the same one for the same input, without scripts or outside parts.
pub fn plot(scenario: &Scenario, played: &Played) -> String {
    Page::new(scenario, played).draw()
}

struct Page<'a> {
    scenario: &'a Scenario,
    played: &'a Played,
    grain: Grain,
    columns: Vec<Column>,
}

/// One tier's part of the page.
struct Column {
    tier: Tier,
    left: f64,
    width: f64,
    /// The figures, in lines that fit.
    said: Vec<String>,
    charts: [Chart; 4],
    /// Times without a signal.
    blind: Vec<(f64, f64)>,
}

impl<'a> Page<'a> {
    fn new(scenario: &'a Scenario, played: &'a Played) -> Page<'a> {
        let mut page = Page { scenario, played, grain: grain_of(scenario, played), columns: Vec::new() };
        let shown = page.shown();
        let count = shown.len() as f64;
        let width = (PAGE.0 - LEFT - RIGHT - (count - 1.0) * BETWEEN) / count;
        page.grain.buckets = (width / PIXELS_PER_BUCKET) as usize;
        for (number, tier) in shown.into_iter().enumerate() {
            let left = LEFT + number as f64 * (width + BETWEEN);
            page.columns.push(page.column(tier, left, width));
        }
        page
    }

    /// The tiers that had anything to do; where none had, the least of them.
    fn shown(&self) -> Vec<Tier> {
        let mut shown: Vec<Tier> =
            Tier::ALL.into_iter().filter(|tier| self.played.figures[*tier].is_some()).collect();
        if shown.is_empty() {
            shown.push(Tier::P2);
        }
        shown
    }

    fn column(&self, tier: Tier, left: f64, width: f64) -> Column {
        let slices = self.played.trace.tiers[tier].as_slice();
        let words = self.played.figures[tier].as_ref().map(said_of).unwrap_or_default();
        let scenario = self.scenario;
        let is_common = |tier: Tier| scenario.tiers[tier].drain.is_none();
        let works = |tier: Tier| self.played.trace.tiers[tier].iter().any(|slice| slice.drained > 0);
        let shares_workers = is_common(tier)
            && Tier::ALL.into_iter().any(|other| other != tier && is_common(other) && works(other));
        let subject =
            Subject { scenario, law: self.played.law, tier, slices, shares_workers, grain: self.grain };
        // Beside the name where all fits, else below it.
        let beside = width - CHIP - name_width(tier);
        let said = wrapped(&words, beside, TEXT_SIZE);
        let said = if said.len() > 1 { wrapped(&words, width, TEXT_SIZE) } else { said };
        Column { tier, left, width, said, charts: charts(&subject), blind: blind_times(&subject) }
    }

    fn draw(&self) -> String {
        let title = title_of(&self.scenario.name);
        let law = self.played.law.as_str();
        let mut svg = Svg::new(PAGE, &format!("{title}, played by {law}"), &self.described(), STYLE);
        svg.rectangle("page", Frame { left: 0.0, top: 0.0, width: PAGE.0, height: PAGE.1 });
        svg.text("title", Anchor::Start, (MARGIN, TITLE_LINE), &title);
        let right = format!("law: {law} · seed {}", self.scenario.seed);
        svg.text("soft", Anchor::End, (PAGE.0 - RIGHT, TITLE_LINE), &right);
        let lines = self.columns.iter().map(Column::lines).max().unwrap_or(1);
        self.columns.iter().for_each(|column| column.draw_heading(&mut svg));
        let mut top = FIGURES_LINE + (lines - 1) as f64 * LINE + HEADING_GAP;
        for (row, height) in self.heights(top).into_iter().enumerate() {
            top = self.draw_row(&mut svg, row, top, height) + ROW_GAP;
        }
        self.draw_time_labels(&mut svg, top - ROW_GAP);
        svg.finish()
    }

    /// The heights of the four rows' charts: what the page has left, in the parts of [`PARTS`].
    fn heights(&self, top: f64) -> [f64; 4] {
        let around: f64 = (0..TITLES.len()).map(|row| HEADER + self.strip(row)).sum();
        let gaps = ROW_GAP * (TITLES.len() - 1) as f64;
        let left = PAGE.1 - top - FOOT - around - gaps;
        PARTS.map(|part| left * part / PARTS.iter().sum::<f64>())
    }

    /// The height of the strip of notes above a row's charts: none where nothing is to be said.
    fn strip(&self, row: usize) -> f64 {
        let notes =
            self.columns.iter().any(|column| column.chart(row).is_some_and(|chart| chart.note.is_some()));
        let events = row == 0
            && (!self.scenario.restarts.is_empty()
                || self.columns.iter().any(|column| !column.blind.is_empty()));
        if notes || events { STRIP } else { 0.0 }
    }

    /// Draws a row from this height on; says where it ends.
    fn draw_row(&self, svg: &mut Svg, row: usize, top: f64, height: f64) -> f64 {
        let seen: Vec<&Chart> = self.columns.iter().filter_map(|column| column.chart(row)).collect();
        let (name, unit) = TITLES.get(row).copied().unwrap_or_default();
        let line = top + HEADER - 7.0;
        svg.text("row", Anchor::Start, (MARGIN, line), &format!("{name}, {unit}"));
        draw_legend(svg, &entries(&seen), line);
        let top = top + HEADER + self.strip(row);
        for column in &self.columns {
            let frame = Frame { left: column.left, top, width: column.width, height };
            self.draw_chart(svg, column, row, frame);
        }
        top + height
    }

    fn draw_chart(&self, svg: &mut Svg, column: &Column, row: usize, frame: Frame) {
        let Some(chart) = column.chart(row) else { return };
        let time = column.time(self.grain.end);
        let blind = joined(column.blind.iter().map(|(from, to)| (time.at(*from), time.at(*to))));
        let restarts = self.restarts(time);
        chart.draw(svg, frame, time, &column.time_ticks(self.grain.end), |svg| {
            for (left, right) in &blind {
                let (left, right) = (*left, *right);
                svg.rectangle("blind", Frame { left, width: right - left, ..frame });
            }
        });
        let edges = blind.iter().flat_map(|(from, to)| [("edge", *from), ("edge", *to)]);
        for (class, at) in edges.chain(restarts.iter().map(|at| ("restart", *at))) {
            svg.line(class, &[(at, frame.top), (at, frame.bottom())]);
        }
        let line = frame.top - 5.0;
        let mut free = frame.right();
        if let Some(note) = &chart.note {
            svg.text("note", Anchor::End, (frame.right(), line), note);
            free -= width_of(note, TEXT_SIZE) + LABEL_GAP;
        }
        if row == 0 {
            let blind = blind.iter().map(|(from, _)| (*from, "no signal"));
            let mut events: Vec<_> = blind.chain(restarts.iter().map(|at| (*at, "restart"))).collect();
            events.sort_by(|one, other| one.0.total_cmp(&other.0));
            draw_events(svg, &events, frame.left, free, line);
        }
    }

    /// The pixels of the restarts within the course, as far as they can be told apart.
    fn restarts(&self, time: Scale) -> Vec<f64> {
        let mut pixels: Vec<f64> = Vec::new();
        for moment in self.scenario.restarts.iter().map(|restart| restart.as_secs_f64()) {
            let at = time.at(moment);
            if moment <= self.grain.end && pixels.iter().all(|other| (other - at).abs() >= LEAST_GAP) {
                pixels.push(at);
            }
        }
        pixels
    }

    fn draw_time_labels(&self, svg: &mut Svg, bottom: f64) {
        let unit = TimeUnit::of(self.grain.end).as_str();
        for column in &self.columns {
            let ticks = column.time_ticks(self.grain.end);
            for (number, tick) in ticks.iter().enumerate() {
                let last = number + 1 == ticks.len();
                let label = if last { format!("{} {unit}", tick.label) } else { tick.label.clone() };
                svg.text("tick", Anchor::Middle, (tick.at, bottom + 17.0), &label);
            }
        }
        let note = format!(
            "A point gathers up to {}: the lines of depth and requests show the highest value in it, other lines and areas \
             the mean; bands reach from the least to the most.",
            seconds_of(self.grain.gathered())
        );
        svg.text("soft", Anchor::Start, (MARGIN, PAGE.1 - 12.0), &note);
    }

    /// The picture in words.
    fn described(&self) -> String {
        let mut text = "Depth against its target, rates, requests and Retry-After over time.".to_owned();
        for column in &self.columns {
            let said = self.played.figures[column.tier].as_ref().map(said_of).unwrap_or_default();
            text.push_str(&format!(" {}: {}.", name_of(column.tier), said.join(", ")));
        }
        text
    }
}

impl Column {
    fn chart(&self, row: usize) -> Option<&Chart> {
        self.charts.get(row)
    }

    fn time(&self, end: f64) -> Scale {
        Scale::new(end, self.left, self.left + self.width)
    }

    fn time_ticks(&self, end: f64) -> Vec<Tick> {
        self.time(end).time_ticks(TimeUnit::of(end), (self.width / PIXELS_PER_TICK) as usize)
    }

    /// Lines of the heading.
    fn lines(&self) -> usize {
        if self.said.len() > 1 { self.said.len() + 1 } else { 1 }
    }

    fn draw_heading(&self, svg: &mut Svg) {
        let (left, chip) = match self.tier {
            Tier::P0 => (self.left, "c0"),
            Tier::P1 => (self.left, "c1"),
            Tier::P2 => (self.left, "c2"),
        };
        svg.rectangle(chip, Frame { left, top: FIGURES_LINE - 10.0, width: 11.0, height: 11.0 });
        svg.text("name", Anchor::Start, (left + CHIP, FIGURES_LINE), &name_of(self.tier));
        if let [line] = self.said.as_slice() {
            let beside = left + CHIP + name_width(self.tier);
            svg.text("", Anchor::Start, (beside, FIGURES_LINE), line);
            return;
        }
        for (number, line) in self.said.iter().enumerate() {
            svg.text("", Anchor::Start, (left, FIGURES_LINE + (number + 1) as f64 * LINE), line);
        }
    }
}

/// How time is cut, for a column of no width yet.
fn grain_of(scenario: &Scenario, played: &Played) -> Grain {
    let slice = played.trace.slice.as_secs_f64();
    let slices = Tier::ALL.into_iter().map(|tier| played.trace.tiers[tier].len()).max().unwrap_or(0);
    let traced = slice * slices as f64;
    // The last slice may be cut short by the scenario's end.
    let duration = scenario.duration.as_secs_f64();
    let end = if duration > 0.0 && traced > 0.0 { duration.min(traced) } else { duration.max(traced) };
    let end = if end > 0.0 { end } else { 1.0 };
    Grain { slice: if slice > 0.0 { slice } else { end }, end, buckets: 1 }
}

/// Stretches of pixels in order, joined where they are too near to be told apart.
fn joined(stretches: impl Iterator<Item = (f64, f64)>) -> Vec<(f64, f64)> {
    let mut joined: Vec<(f64, f64)> = Vec::new();
    for (from, to) in stretches {
        match joined.last_mut() {
            Some(last) if from - last.1 < LEAST_GAP => last.1 = to,
            _ => joined.push((from, to)),
        }
    }
    joined
}

fn name_of(tier: Tier) -> String {
    format!("{} {}", tier.as_priority(), role_of(tier))
}

/// With the room after it; bold signs are wider.
fn name_width(tier: Tier) -> f64 {
    1.1 * width_of(&name_of(tier), NAME_SIZE) + LABEL_GAP
}

/// Right of the row's name, each entry after the other.
fn draw_legend(svg: &mut Svg, entries: &[Entry], line: f64) {
    let mut left = LEGEND;
    for entry in entries {
        entry.draw_swatch(svg, Frame { left, top: line - 9.0, width: SWATCH, height: 10.0 });
        svg.text("", Anchor::Start, (left + SWATCH + 5.0, line), entry.label);
        left += SWATCH + 5.0 + width_of(entry.label, TEXT_SIZE) + LABEL_GAP;
    }
}

/// Labels of events from left to right, as far as each has room.
fn draw_events(svg: &mut Svg, events: &[(f64, &str)], left: f64, right: f64, line: f64) {
    let mut free = left;
    for (at, label) in events {
        let width = width_of(label, TEXT_SIZE);
        let from = at.min(right - width);
        if from >= free {
            svg.text("soft", Anchor::Start, (from, line), label);
            free = from + width + LABEL_GAP;
        }
    }
}

/// Width and height of the page, in pixels.
const PAGE: (f64, f64) = (1200.0, 850.0);

/// Where titles begin.
const MARGIN: f64 = 20.0;

/// Where the first chart begins: its value axis stands left of it.
const LEFT: f64 = 62.0;

/// Room right of the last chart, for half a label of the time axis.
const RIGHT: f64 = 30.0;

/// Room between two charts, for a value axis.
const BETWEEN: f64 = 62.0;

/// The title's baseline.
const TITLE_LINE: f64 = 36.0;

/// The baseline of the tiers' names.
const FIGURES_LINE: f64 = 66.0;

/// From the last line of figures to the first row.
const HEADING_GAP: f64 = 14.0;

/// Height of a line of text.
const LINE: f64 = 18.0;

/// Room of the coloured square before a tier's name.
const CHIP: f64 = 18.0;

/// Height of a row's name and legend.
const HEADER: f64 = 24.0;

/// Height of the notes above a row's charts.
const STRIP: f64 = 16.0;

/// Room between two rows.
const ROW_GAP: f64 = 6.0;

/// Room below the last row, for the time axis and a sentence.
const FOOT: f64 = 52.0;

/// Where legends begin.
const LEGEND: f64 = 190.0;

/// Width of a legend's sample.
const SWATCH: f64 = 24.0;

/// Room after a label.
const LABEL_GAP: f64 = 12.0;

/// Sizes of text, as in the style sheet.
const TEXT_SIZE: f64 = 12.0;
const NAME_SIZE: f64 = 14.0;

/// The four rows' share of the height.
const PARTS: [f64; 4] = [1.25, 1.0, 1.1, 0.75];

/// A bucket is two pixels wide: finer cannot be told apart, and files stay small.
const PIXELS_PER_BUCKET: f64 = 2.0;

/// Events nearer to each other, in pixels, cannot be told apart.
const LEAST_GAP: f64 = 4.0;

/// Width of a chart for each tick of its time axis.
const PIXELS_PER_TICK: f64 = 85.0;

#[cfg(test)]
mod tests;
