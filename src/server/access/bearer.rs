//! The key that a request bears: `Authorization: Bearer KEY`, once, in visible characters.

use http::HeaderMap;
use http::header::AUTHORIZATION;

/// Why a request that says something about who sends it cannot be taken at its word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BearerError {
    /// Two of them: which one counts would be a guess.
    #[error("the header field Authorization is there more than once")]
    Twice,
    /// Another scheme, such as Basic.
    #[error("keys are taken as Authorization: Bearer KEY, in no other scheme")]
    Scheme,
    /// Nothing behind the scheme, several words, characters that no key has, or far too many of them.
    #[error("a key is one word of 1 to {LONGEST} visible ASCII characters: Authorization: Bearer KEY")]
    Malformed,
}

/// The key that is given; `None` where nothing is said.
///
/// # Errors
/// Something is said that is no key.
pub fn given(headers: &HeaderMap) -> Result<Option<&[u8]>, BearerError> {
    let mut fields = headers.get_all(AUTHORIZATION).iter();
    let Some(field) = fields.next() else { return Ok(None) };
    if fields.next().is_some() {
        return Err(BearerError::Twice);
    }
    let field = field.as_bytes();
    let end = field.iter().position(|byte| !byte.is_ascii_graphic()).unwrap_or(field.len());
    let (scheme, rest) = field.split_at(end);
    if !scheme.eq_ignore_ascii_case(SCHEME) {
        return Err(BearerError::Scheme);
    }
    let spaces = rest.iter().take_while(|byte| **byte == b' ').count();
    let (spaces, key) = rest.split_at(spaces);
    let is_key =
        !spaces.is_empty() && (1..=LONGEST).contains(&key.len()) && key.iter().all(u8::is_ascii_graphic);
    if is_key { Ok(Some(key)) } else { Err(BearerError::Malformed) }
}

const SCHEME: &[u8] = b"Bearer";

/// Characters of a key: more is none that anybody was given.
pub const LONGEST: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn of(fields: &[&[u8]]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for field in fields {
            headers.append(AUTHORIZATION, HeaderValue::from_bytes(field).unwrap());
        }
        headers
    }

    #[test]
    fn a_key_is_one_visible_word_behind_its_scheme() {
        assert_eq!(given(&HeaderMap::new()), Ok(None));
        let longest = [b"Bearer ".as_slice(), &[b'k'; LONGEST]].concat();
        for (field, key) in [
            (b"Bearer a+/=~".as_slice(), b"a+/=~".as_slice()),
            (b"bearer  k", b"k"),
            (&longest, &longest[7..]),
        ] {
            assert_eq!(given(&of(&[field])), Ok(Some(key)));
        }
    }

    #[test]
    fn what_is_no_key_is_told_as_such() {
        let longer = [b"Bearer ".as_slice(), &[b'k'; LONGEST + 1]].concat();
        for (fields, error) in [
            (&[b"Bearer a".as_slice(), b"Bearer a"][..], BearerError::Twice),
            (&[b"Basic a"], BearerError::Scheme),
            (&[b""], BearerError::Scheme),
            (&[b"key"], BearerError::Scheme),
            (&[b"\xffBearer a"], BearerError::Scheme),
            (&[b"Bearer"], BearerError::Malformed),
            (&[b"Bearer "], BearerError::Malformed),
            (&[b"Bearer\ta"], BearerError::Malformed),
            (&[b"Bearer a b"], BearerError::Malformed),
            (&[b"Bearer a, Bearer b"], BearerError::Malformed),
            (&[b"Bearer k\xc3\xa4se"], BearerError::Malformed),
            (&[b"Bearer k\x80"], BearerError::Malformed),
            (&[&longer], BearerError::Malformed),
        ] {
            assert_eq!(given(&of(fields)), Err(error), "{fields:?}");
        }
    }
}
