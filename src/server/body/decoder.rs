//! Takes a content coding off a body in small steps: however far a body expands, a step gives one buffer of it.

use std::fmt::{self, Display};
use std::future::poll_fn;
use std::io;

use async_compression::tokio::bufread::GzipDecoder;
use axum::body::Body;
use bytes::{BufMut, Bytes};
use tokio::io::AsyncReadExt;
use tokio::task::yield_now;

use crate::server::body::BodyError;
use crate::server::body::coding::Coding;
use crate::server::body::wire::Wire;
use crate::server::body::zstd::ZstdFrames;
use crate::server::limits::SizeLimit;

/// A body in decoding.
#[derive(Debug)]
pub(super) struct Decoder {
    codec: Codec,
    /// Steps since others had their turn.
    steps: u32,
}

#[derive(Debug)]
enum Codec {
    Gzip(GzipDecoder<Wire>),
    Zstd(ZstdFrames),
}

/// What is wrong with coded bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// There are none.
    Empty,
    /// They end before their format does.
    Truncated,
    /// They are not of the format, or something else follows it.
    Corrupt,
    /// Looking back as far as they ask for takes more memory than a content coding may ask for.
    Window,
}

impl Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Fault::Empty => "is empty: even the coding of nothing has bytes",
            Fault::Truncated => "breaks off before its end",
            Fault::Corrupt => "is damaged, of another format, or followed by something else",
            Fault::Window => {
                "asks for a window of more than 8 MiB (RFC 9659): compress it with a window log of at most 23"
            }
        })
    }
}

impl Decoder {
    /// Decodes this body, which has no more bytes on the wire than the bound.
    ///
    /// # Errors
    /// There is no memory for a decoder.
    pub fn new(coding: Coding, body: Body, bound: SizeLimit) -> Result<Decoder, BodyError> {
        let wire = Wire::new(body, bound);
        let codec = match coding {
            Coding::Gzip => {
                let mut decoder = GzipDecoder::new(wire);
                decoder.multiple_members(true);
                Codec::Gzip(decoder)
            }
            Coding::Zstd => Codec::Zstd(ZstdFrames::new(wire)?),
        };
        Ok(Decoder { codec, steps: 0 })
    }

    /// The next decoded bytes; `None` at the end. Dropped before it is ready it loses none.
    ///
    /// # Errors
    /// The body breaks off, is longer than it may be, or is not of its coding.
    pub async fn next(&mut self) -> Result<Option<Bytes>, BodyError> {
        self.steps += 1;
        if self.steps > TURN {
            self.steps = 0;
            yield_now().await;
        }
        let mut step = Vec::with_capacity(STEP);
        let read = match &mut self.codec {
            Codec::Gzip(decoder) => {
                let read = decoder.read_buf(&mut (&mut step).limit(STEP)).await;
                read.map(|_| ()).map_err(|error| gzip_fault(&error))
            }
            Codec::Zstd(frames) => poll_fn(|context| frames.poll_decode(context, &mut step)).await,
        };
        match read {
            Ok(()) | Err(BodyError::Undecodable(..)) if self.wire().is_empty() => {
                Err(BodyError::Undecodable(self.coding(), Fault::Empty))
            }
            read => read.map(|()| (!step.is_empty()).then(|| step.into())),
        }
    }

    /// Bytes held: the decoder with its window, and what came and is not decoded.
    pub fn held(&self) -> u64 {
        let decoder = match &self.codec {
            Codec::Gzip(_) => GZIP_STATE,
            Codec::Zstd(frames) => frames.held(),
        };
        decoder.max(self.coding().least_held()) + self.wire().held()
    }

    /// What has not been taken of the body.
    pub fn body_mut(&mut self) -> &mut Body {
        match &mut self.codec {
            Codec::Gzip(decoder) => &mut decoder.get_mut().body,
            Codec::Zstd(frames) => &mut frames.wire.body,
        }
    }

    fn wire(&self) -> &Wire {
        match &self.codec {
            Codec::Gzip(decoder) => decoder.get_ref(),
            Codec::Zstd(frames) => &frames.wire,
        }
    }

    const fn coding(&self) -> Coding {
        match &self.codec {
            Codec::Gzip(_) => Coding::Gzip,
            Codec::Zstd(_) => Coding::Zstd,
        }
    }
}

impl Coding {
    /// Bytes that a decoder of this coding holds at the least.
    pub(super) const fn least_held(self) -> u64 {
        match self {
            Coding::Gzip => GZIP_STATE,
            Coding::Zstd => ZSTD_STATE,
        }
    }
}

/// An error of ours that came through the decoder, or one of its own.
fn gzip_fault(error: &io::Error) -> BodyError {
    let ours = error.get_ref().and_then(|error| error.downcast_ref::<BodyError>());
    ours.copied().unwrap_or_else(|| {
        let fault = match error.kind() {
            io::ErrorKind::UnexpectedEof => Fault::Truncated,
            _ => Fault::Corrupt,
        };
        BodyError::Undecodable(Coding::Gzip, fault)
    })
}

/// Decoded bytes of one step.
const STEP: usize = 16 * 1024;

/// Steps in a row: about a millisecond of text.
const TURN: u32 = 8;

/// The state of an inflater with its window of 32 KiB, and the buffer of a step.
const GZIP_STATE: u64 = 64 * 1024;

/// The tables of a decoder before it knows its window, and the buffer of a step.
const ZSTD_STATE: u64 = 192 * 1024;
