//! Lines of a page: none longer than the terminal is wide, none with anything that a terminal obeys.

use textwrap::core::display_width;
use textwrap::{Options, WordSeparator, WordSplitter, WrapAlgorithm};

use crate::telemetry::diagnosis::Severity;
use crate::telemetry::log::visible;

/// How a line stands out, where a terminal can do that; the words carry all without it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli::status) enum Tone {
    /// As all others.
    Plain,
    /// A head.
    Strong,
    /// Somebody should look.
    Warning,
    /// Somebody must act.
    Critical,
}

impl From<Severity> for Tone {
    fn from(severity: Severity) -> Tone {
        match severity {
            Severity::Calm | Severity::Notice => Tone::Plain,
            Severity::Warning => Tone::Warning,
            Severity::Critical => Tone::Critical,
        }
    }
}

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli::status) struct Line {
    pub(in crate::cli::status) text: String,
    pub(in crate::cli::status) tone: Tone,
}

/// Lines that are put together, from top to bottom.
#[derive(Clone, Debug)]
pub(in crate::cli::status) struct Page {
    width: usize,
    lines: Vec<Line>,
}

impl Page {
    /// An empty page of this width, in columns.
    pub(in crate::cli::status) fn new(width: usize) -> Page {
        Page { width: width.clamp(NARROWEST, WIDEST), lines: Vec::new() }
    }

    pub(in crate::cli::status) fn into_lines(mut self) -> Vec<Line> {
        while self.lines.last().is_some_and(|line| line.text.is_empty()) {
            self.lines.pop();
        }
        self.lines
    }

    /// Puts a page below this one.
    pub(in crate::cli::status) fn append(&mut self, below: Page) {
        self.lines.extend(below.lines);
    }

    pub(super) const fn width(&self) -> usize {
        self.width
    }

    /// A line that is known to fit; what does not is cut.
    pub(super) fn row(&mut self, tone: Tone, text: &str) {
        let text = visible(text.trim_end());
        let mut columns = 0;
        let fits = text.chars().take_while(|letter| {
            columns += display_width(letter.encode_utf8(&mut [0; 4]));
            columns <= self.width
        });
        self.lines.push(Line { text: fits.collect(), tone });
    }

    /// Text behind its lead, wrapped; further lines begin where the text did.
    pub(in crate::cli::status) fn paragraph(&mut self, tone: Tone, lead: &str, text: &str) {
        // In a narrow window there is no room for a margin.
        let indent = if self.width < ROOM_FOR_MARGINS { 2 } else { display_width(lead) };
        let (text, margin) = (visible(text), " ".repeat(indent));
        let options = Options::new(self.width)
            .initial_indent(lead)
            .subsequent_indent(&margin)
            .word_separator(WordSeparator::AsciiSpace)
            .word_splitter(WordSplitter::NoHyphenation)
            .wrap_algorithm(WrapAlgorithm::FirstFit);
        let wrapped = textwrap::wrap(&text, options);
        self.lines.extend(wrapped.into_iter().map(|line| Line { text: line.trim_end().to_owned(), tone }));
    }

    /// Short pieces beside each other, as many as a line has room for.
    pub(super) fn segments(&mut self, tone: Tone, pieces: &[String]) {
        let mut line = String::new();
        for piece in pieces.iter().map(|piece| visible(piece)) {
            let would_be = display_width(&line) + BETWEEN.len() + display_width(&piece);
            if !line.is_empty() && would_be > self.width {
                self.paragraph(tone, "", &std::mem::take(&mut line));
            }
            if !line.is_empty() {
                line.push_str(BETWEEN);
            }
            line.push_str(&piece);
        }
        if !line.is_empty() {
            self.paragraph(tone, "", &line);
        }
    }

    /// An empty line, unless there is one already.
    pub(in crate::cli::status) fn gap(&mut self) {
        if self.lines.last().is_some_and(|line| !line.text.is_empty()) {
            self.lines.push(Line { text: String::new(), tone: Tone::Plain });
        }
    }
}

const BETWEEN: &str = "  ";

/// Narrower windows wrap lines by themselves.
const NARROWEST: usize = 24;

/// Longer lines are hard to read.
const WIDEST: usize = 140;

const ROOM_FOR_MARGINS: usize = 60;

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(page: Page) -> Vec<String> {
        page.into_lines().into_iter().map(|line| line.text).collect()
    }

    #[test]
    fn no_line_is_longer_than_the_page_is_wide() {
        for width in [24, 40, 80, 140] {
            let mut page = Page::new(width);
            page.paragraph(Tone::Plain, "WARNING  ", &"a-word-of-its-own ".repeat(20));
            page.paragraph(Tone::Plain, "lead ", &"x".repeat(400));
            page.paragraph(Tone::Plain, "lead ", &"税込 ".repeat(100));
            page.row(Tone::Plain, &"税".repeat(200));
            page.segments(Tone::Plain, &["short".to_owned(), "y".repeat(300), "z".repeat(50)]);
            let lines = texts(page);
            assert!(lines.iter().all(|line| display_width(line) <= width), "{width}: {lines:#?}");
            assert!(lines.len() > 5);
        }
    }

    #[test]
    fn what_terminals_obey_is_shown_and_not_done() {
        let mut page = Page::new(80);
        let hostile = "a\u{1b}[2Jb\r\nc\u{9b}31m\u{202e}d";
        page.paragraph(Tone::Plain, "", hostile);
        page.row(Tone::Plain, hostile);
        page.segments(Tone::Plain, &[hostile.to_owned()]);
        for line in texts(page) {
            assert_eq!(line, "a\\u001b[2Jb\\u000d\\u000ac\\u009b31m\\u202ed");
        }
    }

    #[test]
    fn further_lines_begin_below_the_text_and_pieces_stay_whole() {
        let mut page = Page::new(64);
        page.paragraph(Tone::Plain, "WARNING  ", &"word ".repeat(14));
        page.segments(Tone::Plain, &["policy one".to_owned(), "b".repeat(60), "c".to_owned()]);
        let lines = texts(page);
        assert!(lines[1].starts_with("         word"), "{lines:#?}");
        assert_eq!(lines[2..], ["policy one".to_owned(), format!("{}  c", "b".repeat(60))]);
    }
}
