//! Where pictures go: a terminal, drawn over in place, or a pipe, one after the other.

use std::env;
use std::io::{self, IsTerminal, Write};

use rustix::termios::tcgetwinsize;

use crate::cli::is_coloured;
use crate::cli::status::draw::{Line, Page, Tone};
use crate::telemetry::log::visible;

/// Standard output.
#[derive(Debug)]
pub(super) struct Screen {
    /// Whether it can be drawn over.
    is_terminal: bool,
    is_coloured: bool,
    has_drawn: bool,
    /// Why nothing can be written any more.
    fault: Option<io::Error>,
}

impl Screen {
    pub(super) fn of_stdout() -> Screen {
        let is_dumb = env::var_os("TERM").is_some_and(|name| name == "dumb");
        let is_terminal = io::stdout().is_terminal() && !is_dumb;
        Screen { is_terminal, is_coloured: is_terminal && is_coloured(), has_drawn: false, fault: None }
    }

    /// How many columns a picture may have.
    pub(super) fn width(&self) -> usize {
        self.size().0
    }

    /// Whether what is drawn over ends before the first words of a page.
    pub(super) fn is_low(&self) -> bool {
        self.is_terminal && self.size().1 < ROOM_FOR_WORDS
    }

    /// Whether nothing can be written any more.
    pub(super) const fn is_gone(&self) -> bool {
        self.fault.is_some()
    }

    /// All was told, or to a reader who had seen enough, as `head` has.
    ///
    /// # Errors
    /// It was not, as on a full disk.
    pub(super) fn was_heard(self) -> io::Result<()> {
        match self.fault {
            Some(fault) if fault.kind() != io::ErrorKind::BrokenPipe => Err(fault),
            _ => Ok(()),
        }
    }

    /// Puts a picture out, below what is there.
    pub(super) fn print(&mut self, page: &Page) {
        let lines = page.clone().into_lines();
        let text: String = lines.iter().map(|line| self.painted(line) + "\n").collect();
        self.put(&text);
    }

    /// Puts a picture in place of the last one; into a pipe, below it.
    pub(super) fn redraw(&mut self, page: &Page) {
        if !self.is_terminal {
            if self.has_drawn {
                self.put("\n");
            }
            self.print(page);
            self.has_drawn = true;
            return;
        }
        let lines = clipped(page.clone().into_lines(), self.size().1);
        // What is new stands at once where the old was: the screen is never empty between.
        let first = if self.has_drawn { HOME.to_owned() } else { format!("{HOME}{CLEAR_BELOW}") };
        let lines: Vec<String> =
            lines.iter().map(|line| format!("{CLEAR_LINE}{}", self.painted(line))).collect();
        self.put(&format!("{first}{}{CLEAR_BELOW}", lines.join("\n")));
        self.has_drawn = true;
    }

    /// Leaves the cursor below the last picture.
    pub(super) fn leave(&mut self) {
        if self.is_terminal && self.has_drawn {
            self.put("\n");
        }
    }

    /// A JSON document in its lines. What a terminal would obey is written as JSON writes it: it stays the same document.
    pub(super) fn document(&mut self, document: &str) {
        let lines: String = document.lines().map(|line| visible(line).into_owned() + "\n").collect();
        self.put(&lines);
    }

    fn put(&mut self, text: &str) {
        let mut out = io::stdout().lock();
        let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
        self.fault = self.fault.take().or(written.err());
    }

    fn painted(&self, line: &Line) -> String {
        let code = match line.tone {
            _ if !self.is_coloured || line.text.is_empty() => return line.text.clone(),
            Tone::Plain => return line.text.clone(),
            Tone::Strong => "1",
            Tone::Warning => "1;33",
            Tone::Critical => "1;31",
        };
        format!("\u{1b}[{code}m{}\u{1b}[0m", line.text)
    }

    /// Columns and rows.
    fn size(&self) -> (usize, usize) {
        let size = if self.is_terminal { tcgetwinsize(io::stdout()).ok() } else { None };
        match size {
            Some(size) if size.ws_col > 0 && size.ws_row > 0 => (size.ws_col.into(), size.ws_row.into()),
            _ => USUAL,
        }
    }
}

/// What has room in so many rows; the last one says what has none.
fn clipped(mut lines: Vec<Line>, rows: usize) -> Vec<Line> {
    if lines.len() > rows {
        let hidden = lines.len() - rows.saturating_sub(1);
        lines.truncate(rows.saturating_sub(1));
        lines.push(Line {
            text: format!("({hidden} more lines: a taller window shows them)"),
            tone: Tone::Plain,
        });
    }
    lines
}

/// Rows: the head, the tiers at a glance, the worst one's sentence, and what is hidden.
const ROOM_FOR_WORDS: usize = 12;

/// The size where none can be told.
const USUAL: (usize, usize) = (80, 24);

const HOME: &str = "\u{1b}[H";
const CLEAR_LINE: &str = "\u{1b}[K";
const CLEAR_BELOW: &str = "\u{1b}[J";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_low_window_says_what_it_hides() {
        let lines = |count: usize| -> Vec<Line> {
            (0..count).map(|index| Line { text: index.to_string(), tone: Tone::Plain }).collect()
        };
        assert_eq!(clipped(lines(24), 24).len(), 24);
        let clipped = clipped(lines(30), 24);
        assert_eq!(clipped.len(), 24);
        assert_eq!(clipped[22].text, "22");
        assert_eq!(clipped[23].text, "(7 more lines: a taller window shows them)");
    }
}
