//! A secret that those who come must know.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};

/// A secret that those who come must know: as the first line of a byte stream or the first datagram, and
/// in HTTP as `Authorization: Bearer TOKEN`, `?token=TOKEN`, or the WebSocket protocol
/// `token.BASE64URL(TOKEN)`.
#[derive(Clone)]
pub struct Token(Arc<str>);

/// The longest token, in bytes: one that is longer could not be told from somebody who talks on.
pub const MAX_TOKEN: usize = 1024;

impl Token {
    /// The secret itself.
    ///
    /// # Errors
    /// When nobody could send it as one line: empty, longer than [`MAX_TOKEN`], or with control characters.
    pub fn new(secret: &str) -> Result<Self, &'static str> {
        match secret {
            "" => Err("a token must not be empty"),
            _ if secret.len() > MAX_TOKEN => Err("a token has 1024 bytes at most"),
            _ if secret.chars().any(char::is_control) => {
                Err("a token is one line without control characters")
            }
            _ => Ok(Self(secret.into())),
        }
    }

    pub(crate) fn secret(&self) -> &str {
        &self.0
    }

    /// Whether `said` is it. How long that takes tells nothing of how near it was.
    pub(crate) fn is(&self, said: &[u8]) -> bool {
        let [ours, theirs] = [self.0.as_bytes(), said].map(|secret| digest(&SHA256, secret));
        verify_slices_are_equal(ours.as_ref(), theirs.as_ref()).is_ok()
    }

    /// Whether this line, or datagram, is it.
    pub(crate) fn is_line(&self, line: &[u8]) -> bool {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        self.is(line.strip_suffix(b"\r").unwrap_or(line))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_secret_is_the_secret() {
        let token = Token::new("open sesame").unwrap();
        for (said, right) in [
            (&b"open sesame"[..], true),
            (b"open sesam", false),
            (b"open sesame ", false),
            (b"", false),
        ] {
            assert_eq!(token.is(said), right, "{said:?}");
        }
        assert!(token.is_line(b"open sesame\r\n"));
        assert!(token.is_line(b"open sesame\n"));
        assert!(!token.is_line(b"open sesame\n\n"));
        assert_eq!(format!("{token:?}"), "Token");
    }

    #[test]
    fn a_token_must_fit_a_line() {
        assert!(Token::new("").is_err());
        assert!(Token::new("two\nlines").is_err());
        assert!(Token::new(&"x".repeat(MAX_TOKEN + 1)).is_err());
        assert!(Token::new("令牌").is_ok());
    }
}
