//! The coding zstd: frame after frame, in windows of at most 8 MiB, with every byte that the decoder holds known.
//!
//! The adaptors for streams keep their decoder to themselves. What it holds must be counted in full: of a window that
//! is reserved and hardly used the allocator gives little back, and in the end all of them are in memory.

use std::fmt;
use std::task::{Context, Poll, ready};

use zstd_safe::zstd_sys::ZSTD_ErrorCode::ZSTD_error_frameParameter_windowTooLarge as WINDOW_TOO_LARGE;
use zstd_safe::{DCtx, DParameter, InBuffer, OutBuffer};

use crate::server::body::BodyError;
use crate::server::body::coding::Coding;
use crate::server::body::decoder::Fault;
use crate::server::body::wire::Wire;

/// Frames in decoding.
pub(super) struct ZstdFrames {
    context: DCtx<'static>,
    pub(super) wire: Wire,
    /// The last frame is complete.
    between: bool,
    /// The last step filled its room: more may wait inside, and must not wait for bytes to come.
    full: bool,
}

impl ZstdFrames {
    /// The frames of this body.
    ///
    /// # Errors
    /// There is no memory for a decoder.
    pub fn new(wire: Wire) -> Result<ZstdFrames, BodyError> {
        let mut context = DCtx::try_create().ok_or(BodyError::Overloaded)?;
        let bounded = context.set_parameter(DParameter::WindowLogMax(WINDOW_LOG));
        bounded.map_err(|_| BodyError::Overloaded)?;
        Ok(ZstdFrames { context, wire, between: true, full: false })
    }

    /// Bytes that the decoder holds, its window included.
    pub fn held(&self) -> u64 {
        u64::try_from(self.context.sizeof()).unwrap_or(u64::MAX)
    }

    /// Fills the room, which is empty, as far as bytes are here; not at all at the end.
    pub fn poll_decode(
        &mut self,
        context: &mut Context<'_>,
        room: &mut Vec<u8>,
    ) -> Poll<Result<(), BodyError>> {
        loop {
            let inside = std::mem::take(&mut self.full) && !self.between;
            let piece = if inside { &[][..] } else { ready!(self.wire.poll_piece(context))? };
            let ended = !inside && piece.is_empty();
            if ended && self.between {
                return Poll::Ready(Ok(()));
            }
            let mut input = InBuffer::around(piece);
            let mut output = OutBuffer::around(room);
            let hint = self.context.decompress_stream(&mut output, &mut input).map_err(fault)?;
            let (taken, given, room) = (input.pos(), output.pos(), output.capacity());
            self.wire.take(taken);
            (self.between, self.full) = (hint == 0, given == room);
            if given > 0 {
                return Poll::Ready(Ok(()));
            }
            if ended {
                return Poll::Ready(Err(BodyError::Undecodable(Coding::Zstd, Fault::Truncated)));
            }
        }
    }
}

impl fmt::Debug for ZstdFrames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ZstdFrames").field("wire", &self.wire).finish_non_exhaustive()
    }
}

/// Its error codes are negative numbers of the size of a pointer.
fn fault(code: usize) -> BodyError {
    let too_large = usize::try_from(WINDOW_TOO_LARGE as u32).is_ok_and(|known| code == known.wrapping_neg());
    BodyError::Undecodable(Coding::Zstd, if too_large { Fault::Window } else { Fault::Corrupt })
}

/// The largest window of the content coding: 8 MiB (RFC 9659).
const WINDOW_LOG: u32 = 23;
