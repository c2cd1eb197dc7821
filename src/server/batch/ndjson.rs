//! Newline-delimited JSON, cut into lines as bytes arrive; a line may span any number of chunks.

use bytes::{Bytes, BytesMut};

/// The lines of a stream. Holds at most one unfinished line and the chunk last pushed.
#[derive(Debug)]
pub struct Lines {
    buffer: BytesMut,
    /// Bytes at the start of the buffer that hold no line end.
    searched: usize,
    longest: usize,
}

/// A line is longer than a job may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LineTooLong;

impl Lines {
    /// Lines of at most `longest` bytes, line ends not counted.
    pub fn new(longest: usize) -> Lines {
        Lines { buffer: BytesMut::new(), searched: 0, longest }
    }

    /// Adds bytes as they came.
    pub fn push(&mut self, chunk: &[u8]) {
        self.buffer.extend_from_slice(chunk);
    }

    /// Bytes held.
    pub fn held(&self) -> usize {
        self.buffer.len()
    }

    /// The next whole line that is not blank, without its line end.
    ///
    /// # Errors
    /// The line, as far as it is here, is too long.
    pub fn next(&mut self) -> Result<Option<Bytes>, LineTooLong> {
        loop {
            let rest = self.buffer.get(self.searched..).unwrap_or_default();
            let Some(end) = rest.iter().position(|byte| *byte == b'\n') else {
                self.searched = self.buffer.len();
                // One byte more may be the carriage return of a line end that is still to come.
                return if self.searched > self.longest + 1 { Err(LineTooLong) } else { Ok(None) };
            };
            let mut line = self.buffer.split_to(self.searched + end + 1);
            self.searched = 0;
            line.truncate(line.len() - 1);
            if let Some(line) = self.checked(line)? {
                return Ok(Some(line));
            }
        }
    }

    /// The last line, if the stream does not end with a line end.
    ///
    /// # Errors
    /// It is too long.
    pub fn finish(&mut self) -> Result<Option<Bytes>, LineTooLong> {
        self.searched = 0;
        let line = self.buffer.split();
        self.checked(line)
    }

    fn checked(&self, mut line: BytesMut) -> Result<Option<Bytes>, LineTooLong> {
        if line.last() == Some(&b'\r') {
            line.truncate(line.len() - 1);
        }
        if line.len() > self.longest {
            return Err(LineTooLong);
        }
        Ok((!line.trim_ascii().is_empty()).then(|| line.freeze()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lines(chunks: &[&[u8]], longest: usize) -> Result<Vec<Bytes>, LineTooLong> {
        let mut lines = Lines::new(longest);
        let mut found = Vec::new();
        for chunk in chunks {
            lines.push(chunk);
            while let Some(line) = lines.next()? {
                found.push(line);
            }
        }
        found.extend(lines.finish()?);
        Ok(found)
    }

    #[test]
    fn a_line_may_span_chunks_and_the_last_needs_no_end() {
        let found = lines(&[b"{\"a\"", b":1}\r", b"\n2\n", b"3"], 100).unwrap();
        assert_eq!(found, ["{\"a\":1}", "2", "3"]);
    }

    #[test]
    fn blank_lines_are_skipped() {
        assert_eq!(lines(&[b"\n\r\n  \t\n1\n\n\n"], 100).unwrap(), ["1"]);
        assert!(lines(&[b""], 100).unwrap().is_empty());
    }

    #[test]
    fn a_line_is_too_long_before_its_end_is_seen() {
        assert_eq!(lines(&[b"12345\r\n"], 5).unwrap(), ["12345"]);
        assert_eq!(lines(&[b"123456\n"], 5), Err(LineTooLong));
        assert_eq!(lines(&[b"123456"], 5), Err(LineTooLong));
        let mut unfinished = Lines::new(5);
        unfinished.push(b"1234567");
        assert_eq!(unfinished.next(), Err(LineTooLong));
    }

    proptest! {
        #[test]
        fn where_chunks_are_cut_changes_nothing(text in "[1-9\r\n ]{0,60}", cuts in prop::collection::vec(0usize..60, 0..6)) {
            let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(text.len())).collect();
            cuts.extend([0, text.len()]);
            cuts.sort_unstable();
            let chunks: Vec<_> = cuts.windows(2).map(|pair| &text.as_bytes()[pair[0]..pair[1]]).collect();
            prop_assert_eq!(lines(&chunks, 30), lines(&[text.as_bytes()], 30));
        }
    }
}
