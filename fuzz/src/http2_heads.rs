//! Where heads begin and end in what a client of HTTP/2 sends: the same in whatever pieces it comes.

use tidegate::server::listen::patience::heads::Heads;

/// The size of the pieces but one, then the frames that follow the preface.
pub fn run(data: &[u8]) {
    let Some((size, frames)) = data.split_first() else { return };
    let sent = [PREFACE, frames].concat();
    let mut heads = Heads::default();
    let (mut came, mut before) = (0, seen(&[]));
    for piece in sent.chunks(1 + usize::from(*size)) {
        let ended = heads.follow(piece);
        came += piece.len();
        let now = seen(&sent[..came]);
        assert_eq!(heads.is_due(), now.due, "after {came} bytes");
        assert_eq!(ended, now.ended > before.ended, "within the {} bytes up to {came}", piece.len());
        before = now;
    }
    let mut at_once = Heads::default();
    assert_eq!(at_once.follow(&sent), before.ended > 0);
    assert_eq!(at_once.is_due(), before.due);
}

/// What is to be known of so many bytes.
struct Seen {
    /// The first head has not come, or another has begun and not ended.
    due: bool,
    /// Heads that ended.
    ended: usize,
}

/// RFC 9113 4.1, 6.2 and 6.10, read frame by frame.
fn seen(sent: &[u8]) -> Seen {
    let mut seen = Seen { due: true, ended: 0 };
    let mut rest = sent.get(PREFACE.len()..).unwrap_or_default();
    while let Some((&[high, middle, low, kind, flags, ..], payload)) = rest.split_first_chunk::<9>() {
        let length = u32::from_be_bytes([0, high, middle, low]) as usize;
        let whole = payload.len() >= length;
        if kind == 1 || kind == 9 {
            let ends = whole && flags & 4 != 0;
            seen.due = !ends;
            seen.ended += usize::from(ends);
        }
        rest = if whole { &payload[length..] } else { &[] };
    }
    seen
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
