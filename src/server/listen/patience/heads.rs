//! Where the heads of HTTP/2 begin and end in what a client sends: its frames are counted off, never judged.
//!
//! Any other frame may come at any time: a client that asks whether we are there has not begun a request.

/// A client's bytes, as far as they have come.
#[derive(Debug)]
pub struct Heads {
    /// Bytes of the preface that are still to come.
    preface: usize,
    /// The frame's own head, as far as it has come.
    frame: Vec<u8>,
    /// Bytes of the frame's payload that are still to come.
    payload: usize,
    /// What the frame means to a request's head.
    means: Means,
    due: bool,
}

/// What a frame means to a request's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Means {
    Nothing,
    GoesOn,
    Ends,
}

impl Default for Heads {
    fn default() -> Heads {
        let frame = Vec::with_capacity(FRAME_HEAD);
        Heads { preface: PREFACE, frame, payload: 0, means: Means::Nothing, due: true }
    }
}

impl Heads {
    /// Whether a head has begun and not ended, or the first one has not come.
    pub const fn is_due(&self) -> bool {
        self.due
    }

    /// Counts off what has come; gives whether a head ended in it.
    pub fn follow(&mut self, bytes: &[u8]) -> bool {
        let (_, mut rest) = take(bytes, &mut self.preface);
        let mut ended = false;
        while !rest.is_empty() {
            if self.frame.len() < FRAME_HEAD {
                let (part, after) = take(rest, &mut (FRAME_HEAD - self.frame.len()));
                self.frame.extend_from_slice(part);
                rest = after;
                self.read_frame_head();
            }
            let (_, after) = take(rest, &mut self.payload);
            rest = after;
            if self.frame.len() == FRAME_HEAD && self.payload == 0 {
                ended |= self.end_frame();
            }
        }
        ended
    }

    /// RFC 9113 4.1: three bytes of length, the type, the flags, the stream.
    fn read_frame_head(&mut self) {
        let &[high, middle, low, kind, flags, _, _, _, _] = self.frame.as_slice() else { return };
        self.payload = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
        self.means = match kind {
            HEADERS | CONTINUATION if flags & END_HEADERS != 0 => Means::Ends,
            HEADERS | CONTINUATION => Means::GoesOn,
            _ => Means::Nothing,
        };
        self.due |= self.means != Means::Nothing;
    }

    fn end_frame(&mut self) -> bool {
        self.frame.clear();
        let ends = self.means == Means::Ends;
        self.due &= !ends;
        ends
    }
}

/// The first bytes, at most as many as are still to come, and the rest.
fn take<'a>(bytes: &'a [u8], to_come: &mut usize) -> (&'a [u8], &'a [u8]) {
    let (part, rest) = bytes.split_at_checked(*to_come).unwrap_or((bytes, &[]));
    *to_come -= part.len();
    (part, rest)
}

/// Bytes of a client's preface (RFC 9113 3.4).
const PREFACE: usize = 24;
/// Bytes of a frame's own head.
const FRAME_HEAD: usize = 9;
const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 4;

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, length: u8) -> Vec<u8> {
        let head = [0, 0, length, kind, flags, 0, 0, 0, 1];
        head.into_iter().chain(std::iter::repeat_n(b'x', length.into())).collect()
    }

    const PREFACE_BYTES: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    const SETTINGS: u8 = 4;
    const PING: u8 = 6;

    #[test]
    fn a_head_is_due_from_the_first_byte_of_its_frame_to_the_last_of_its_block() {
        // Each with whether a head is due after it, and whether one ended in it.
        let steps = [
            (PREFACE_BYTES.to_vec(), true, false),
            (frame(SETTINGS, 0, 12), true, false),
            (frame(HEADERS, END_HEADERS, 30), false, true),
            (frame(PING, 0, 8), false, false),
            (frame(0, END_HEADERS, 200), false, false),
            (frame(HEADERS, 1, 10), true, false),
            (frame(CONTINUATION, 0, 0), true, false),
            (frame(CONTINUATION, END_HEADERS, 5), false, true),
            (frame(HEADERS, END_HEADERS, 0), false, true),
        ];
        for size in 1..40 {
            let mut heads = Heads::default();
            assert!(heads.is_due());
            for (index, (bytes, due, ended)) in steps.iter().enumerate() {
                let parts = bytes.chunks(size).map(|part| heads.follow(part));
                let ends = parts.filter(|ended| *ended).count();
                assert_eq!((heads.is_due(), ends), (*due, usize::from(*ended)), "step {index} by {size}");
            }
        }
        let mut heads = Heads::default();
        assert!(heads.follow(&steps.map(|(bytes, ..)| bytes).concat()));
        assert!(!heads.is_due());
    }

    #[test]
    fn half_a_frame_of_a_head_is_due_and_half_a_frame_of_another_kind_is_not() {
        for (kind, due) in [(HEADERS, true), (PING, false)] {
            let mut heads = Heads::default();
            heads.follow(PREFACE_BYTES);
            heads.follow(&frame(HEADERS, END_HEADERS, 3));
            heads.follow(frame(kind, END_HEADERS, 8).split_last().unwrap().1);
            assert_eq!(heads.is_due(), due);
        }
    }
}
