//! The admin token: read from its file, compared by the server, borne by who asks it, never shown.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// A secret that callers of the admin listener must bear. Its debug form hides it.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    secret: String,
    file: PathBuf,
}

impl Token {
    /// The secret, to compare with what a caller bears.
    pub fn reveal(&self) -> &str {
        &self.secret
    }

    /// The file it was read from.
    pub fn file(&self) -> &Path {
        &self.file
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

/// Why a token file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The system does not give it.
    #[error("the file `{path}` cannot be read: {source}")]
    Unreadable {
        /// The file.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// Nothing is in it.
    #[error("the file `{path}` is empty: it must hold the token")]
    Empty {
        /// The file.
        path: String,
    },
    /// The token is too short to be a secret, or too long for a header.
    #[error("the token in `{path}` has {length} characters, it must have {MIN_LENGTH} to {MAX_LENGTH}")]
    Length {
        /// The file.
        path: String,
        /// In characters.
        length: usize,
    },
    /// It has spaces or characters that a header cannot carry.
    #[error("the token in `{path}` must be one word of visible ASCII characters")]
    NotOneWord {
        /// The file.
        path: String,
    },
}

/// Reads the token from its file; space around it does not count.
///
/// # Errors
/// The file cannot be read, or holds no token.
pub fn read_token(path: &Path) -> Result<Token, TokenError> {
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
    Ok(Token { secret: token.to_owned(), file: path.to_owned() })
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
        assert_eq!(
            format!("{:?}", Token { secret: "0123456789abcdef".to_owned(), file: PathBuf::from("token") }),
            "Token(..)"
        );
    }
}
