//! `Content-Encoding` (RFC 9110 8.4): which coding a body comes in.

use std::fmt::{self, Display};

use http::header::CONTENT_ENCODING;
use http::{HeaderMap, HeaderValue};

/// A coding that is taken off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// RFC 1952; `x-gzip` too.
    Gzip,
    /// RFC 8878, with windows as RFC 9659 bounds them.
    Zstd,
}

/// Why a body cannot be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodingError {
    /// A coding that is not known here.
    #[error("the Content-Encoding is not taken here: send the body as gzip, as zstd or as it is")]
    Unknown,
    /// One coding upon another.
    #[error("the body has several content codings: send it with one, gzip or zstd, or as it is")]
    Several,
}

impl Coding {
    /// The coding that the head names; `identity` is none.
    ///
    /// # Errors
    /// It is not known, or not the only one.
    pub fn of(headers: &HeaderMap) -> Result<Option<Coding>, CodingError> {
        let fields = headers.get_all(CONTENT_ENCODING).iter().map(HeaderValue::as_bytes);
        let names = fields.flat_map(|field| field.split(|byte| *byte == b',')).map(<[u8]>::trim_ascii);
        let mut codings = names.filter(|name| !name.is_empty() && !name.eq_ignore_ascii_case(b"identity"));
        let Some(name) = codings.next() else { return Ok(None) };
        if codings.next().is_some() {
            return Err(CodingError::Several);
        }
        let known = NAMES.iter().find(|(known, _)| name.eq_ignore_ascii_case(known));
        known.map(|(_, coding)| Some(*coding)).ok_or(CodingError::Unknown)
    }
}

impl Display for Coding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Coding::Gzip => "gzip",
            Coding::Zstd => "zstd",
        })
    }
}

const NAMES: [(&[u8], Coding); 3] =
    [(b"gzip", Coding::Gzip), (b"x-gzip", Coding::Gzip), (b"zstd", Coding::Zstd)];

#[cfg(test)]
mod tests {
    use super::*;

    fn of(fields: &[&str]) -> Result<Option<Coding>, CodingError> {
        let fields = fields.iter().map(|field| (CONTENT_ENCODING, HeaderValue::from_str(field).unwrap()));
        Coding::of(&fields.collect())
    }

    #[test]
    fn a_coding_is_known_by_its_names_in_any_case() {
        for (name, coding) in [("gzip", Coding::Gzip), ("X-GZip", Coding::Gzip), (" Zstd ", Coding::Zstd)] {
            assert_eq!(of(&[name]), Ok(Some(coding)), "{name}");
        }
        for none in [&[][..], &["identity"], &["Identity, identity"], &[""]] {
            assert_eq!(of(none), Ok(None), "{none:?}");
        }
        assert_eq!(of(&["identity", "gzip"]), Ok(Some(Coding::Gzip)), "identity does nothing");
    }

    #[test]
    fn other_codings_and_several_are_refused() {
        for unknown in ["br", "deflate", "compress", "gzip2", "\"gzip\"", "gzip;q=1", "*"] {
            assert_eq!(of(&[unknown]), Err(CodingError::Unknown), "{unknown}");
        }
        for several in [&["gzip, gzip"][..], &["gzip", "zstd"], &["br,gzip"]] {
            assert_eq!(of(several), Err(CodingError::Several), "{several:?}");
        }
    }
}
