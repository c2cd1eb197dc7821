//! The admin token: read from its file, compared by the server, never shown.

use std::fmt;
use std::fs;
use std::io;
use std::path::Path;

/// A secret that callers of the admin listener must bear. Its debug form hides it.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// The secret, to compare with what a caller bears.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

/// Why a token file cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum TokenError {
    #[error("the file `{path}` cannot be read: {source}")]
    Unreadable { path: String, source: io::Error },
    #[error("the file `{path}` is empty: it must hold the token")]
    Empty { path: String },
    #[error("the token in `{path}` has {length} characters, it must have {MIN_LENGTH} to {MAX_LENGTH}")]
    Length { path: String, length: usize },
    #[error("the token in `{path}` must be one word of visible ASCII characters")]
    NotOneWord { path: String },
}

/// Reads the token from its file; space around it does not count.
pub(super) fn read_token(path: &Path) -> Result<Token, TokenError> {
    let shown = path.display().to_string();
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(source) => return Err(TokenError::Unreadable { path: shown, source }),
    };
    let token = text.trim();
    if token.is_empty() {
        return Err(TokenError::Empty { path: shown });
    }
    if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(TokenError::NotOneWord { path: shown });
    }
    if !(MIN_LENGTH..=MAX_LENGTH).contains(&token.len()) {
        return Err(TokenError::Length { path: shown, length: token.len() });
    }
    Ok(Token(token.to_owned()))
}

/// Shorter tokens can be guessed.
const MIN_LENGTH: usize = 16;

/// Longer ones do not fit comfortably into a header.
const MAX_LENGTH: usize = 4_096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_one_long_visible_word() {
        let folder = tempfile::tempdir().unwrap();
        let read = |content: &str| {
            let path = folder.path().join("token");
            fs::write(&path, content).unwrap();
            read_token(&path)
        };
        assert_eq!(read(" 0123456789abcdef\n").unwrap().reveal(), "0123456789abcdef");
        assert!(matches!(read("\n"), Err(TokenError::Empty { .. })));
        assert!(matches!(read("short"), Err(TokenError::Length { length: 5, .. })));
        assert!(matches!(read("two words of some length"), Err(TokenError::NotOneWord { .. })));
        let missing = read_token(&folder.path().join("none"));
        assert!(matches!(missing, Err(TokenError::Unreadable { .. })));
    }

    #[test]
    fn a_token_is_never_shown() {
        assert_eq!(format!("{:?}", Token("0123456789abcdef".to_owned())), "Token(..)");
    }
}
