//! Why somebody in a room cannot have what they asked for.

use std::time::Duration;

use wire::nickname::NicknameError;

use crate::error::StoreError;

/// A request that was not carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct Refusal {
    /// The kind, for programs.
    pub why: Why,
    /// A sentence for people: it begins small and has no full stop.
    pub text: String,
    /// How long to wait before trying again helps, if it does.
    pub wait: Option<Duration>,
}

/// Kinds of refusals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Why {
    /// Somebody else goes by the name.
    NameTaken,
    /// No name can look like this.
    NameUnfit,
    /// It needs a password, or another one.
    Password,
    /// Too much in too little time.
    Rate,
    /// Too long.
    Length,
    /// The room's owners do not want to hear it.
    Muted,
    /// The room's owners do not want to see them.
    Banned,
    /// Only the room's owners may.
    NotOwner,
    /// They, or who is meant, are not there.
    NotThere,
    /// There is no such command.
    Unknown,
    /// It cannot be understood.
    Malformed,
    /// There is no room for more.
    Full,
    /// It could not be kept safe, so it was not said.
    NotKept,
}

impl Why {
    /// The word for it in JSON.
    pub fn word(self) -> &'static str {
        match self {
            Self::NameTaken => "name-taken",
            Self::NameUnfit => "name-unfit",
            Self::Password => "password",
            Self::Rate => "rate",
            Self::Length => "length",
            Self::Muted => "muted",
            Self::Banned => "banned",
            Self::NotOwner => "not-owner",
            Self::NotThere => "not-there",
            Self::Unknown => "unknown",
            Self::Malformed => "malformed",
            Self::Full => "full",
            Self::NotKept => "not-kept",
        }
    }

    /// Refused for this, in these words.
    pub(crate) fn because(self, text: impl Into<String>) -> Refusal {
        Refusal {
            why: self,
            text: text.into(),
            wait: None,
        }
    }
}

impl Refusal {
    /// Trying again helps after this time.
    #[must_use]
    pub(crate) fn wait(mut self, wait: Duration) -> Self {
        self.wait = Some(wait);
        self
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Why::NotKept.because(format!("it could not be kept, so it was not said: {error}"))
    }
}

impl From<NicknameError> for Refusal {
    fn from(error: NicknameError) -> Self {
        Why::NameUnfit.because(error.to_string())
    }
}
