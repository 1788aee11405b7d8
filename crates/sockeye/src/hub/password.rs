//! Passwords of names: what is kept of them, and whether one is right. Both take a while, on purpose.

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use super::refusal::{Refusal, Why};

/// The shortest and the longest password, in bytes.
const LENGTH: std::ops::RangeInclusive<usize> = 6..=128;

/// Each costs 19 MiB and some 20 ms of a processor: strangers may ask for as many as they like.
static TURNS: Semaphore = Semaphore::const_new(2);

/// What is kept of a password: a PHC string of Argon2id (RFC 9106).
pub(super) async fn hash(password: &str) -> Result<String, Refusal> {
    if !LENGTH.contains(&password.len()) {
        let text = format!(
            "a password has {} to {} bytes",
            LENGTH.start(),
            LENGTH.end()
        );
        return Err(Why::Password.because(text));
    }
    let password = password.to_owned();
    in_turn(move || {
        let hash: PasswordHash = Argon2::default().hash_password(password.as_bytes())?;
        Ok(hash.to_string())
    })
    .await
}

/// Whether `password` is the one that `kept` was made of.
pub(super) async fn is_right(password: &str, kept: String) -> Result<bool, Refusal> {
    if password.len() > *LENGTH.end() {
        return Ok(false);
    }
    let password = password.to_owned();
    in_turn(move || {
        let kept = PasswordHash::new(&kept)?;
        let verified = Argon2::default().verify_password(password.as_bytes(), &kept);
        Ok(verified.is_ok())
    })
    .await
}

async fn in_turn<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Fault> + Send + 'static,
) -> Result<T, Refusal> {
    // The semaphore is never closed.
    let _turn = TURNS.acquire().await;
    match spawn_blocking(work).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(Fault(why))) => Err(Why::Password.because(why)),
        Err(_) => Err(Why::Password.because("the password cannot be checked")),
    }
}

/// What went wrong, in words.
struct Fault(String);

impl<E: std::error::Error> From<E> for Fault {
    fn from(error: E) -> Self {
        Self(format!("the password cannot be checked: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_password_is_right() {
        let kept = hash("correct horse").await.unwrap();
        assert!(kept.starts_with("$argon2id$v=19$"), "{kept}");
        assert!(is_right("correct horse", kept.clone()).await.unwrap());
        for wrong in ["", "correct hors", "correct horse ", &"x".repeat(1_000_000)] {
            assert!(!is_right(wrong, kept.clone()).await.unwrap());
        }
        let again = hash("correct horse").await.unwrap();
        assert_ne!(kept, again, "each has salt of its own");
        for unfit in ["", "short", &"x".repeat(129)] {
            assert_eq!(hash(unfit).await.unwrap_err().why, Why::Password);
        }
        assert!(is_right("x", "nonsense".to_owned()).await.is_err());
    }
}
