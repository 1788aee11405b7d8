//! Names: taking one, proving that it is one's own, and coming back as the same person.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use wire::nickname::Nickname;

use super::{ATTEMPTS, Hash, Member};
use crate::hub::event::{News, Told};
use crate::hub::password;
use crate::hub::people::Claim;
use crate::hub::refusal::{Refusal, Why};
use crate::hub::seat::Name;
use crate::hub::store::{PersonRow, TokenRow};

/// How long a session may be gone and still come back as the same person.
const RETURN: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// How many of a session's tokens follow it to another name; of more, those that were given last.
const MOST_TOKENS: usize = 4;

/// What the names of those who have chosen none begin with.
const GUEST: &str = "guest-";

impl Name {
    /// One that nobody chose.
    pub(in crate::hub) fn guest() -> Arc<Self> {
        let number = u32::from_be_bytes(random()) % 90_000 + 10_000;
        let shown: Arc<str> = format!("{GUEST}{number}").into();
        let key = shown
            .parse()
            .map_or_else(|_| shown.clone(), |name: Nickname| name.key().into());
        Arc::new(Self {
            shown,
            key,
            is_guest: true,
        })
    }

    fn chosen(name: &Nickname) -> Arc<Self> {
        Arc::new(Self {
            shown: name.as_str().into(),
            key: name.key().into(),
            is_guest: is_guests(name),
        })
    }
}

impl Member {
    /// Takes a name. With a password it stays theirs: the first who says one sets it.
    ///
    /// # Errors
    /// When it is unfit, somebody else's, or has another password.
    pub async fn take_name(
        &mut self,
        name: &str,
        password: Option<&str>,
    ) -> Result<Arc<str>, Refusal> {
        let name: Nickname = name.parse()?;
        if is_guests(&name) && name.key() != &*self.seat.name().key {
            let text = format!("names that begin with {GUEST} are given, not taken");
            return Err(Why::NameUnfit.because(text));
        }
        let hub = self.hub.clone();
        let store = &hub.0.records;
        let row = store.person(name.key()).await?;
        let kept = row.and_then(|row| row.password);
        let claim = match (kept, password) {
            (Some(_), None) if name.key() == &*self.seat.name().key => Claim::Same,
            (Some(_), None) => {
                let text = format!("{name} has a password: /name {name} PASSWORD");
                return Err(Why::Password.because(text));
            }
            (Some(kept), Some(said)) => {
                self.check_password(&name, said, kept).await?;
                Claim::Same
            }
            (None, _) => Claim::New,
        };
        // Before anybody sees the name: a password that is unfit must not leave it behind.
        let hash = match password.filter(|_| claim == Claim::New) {
            Some(password) => Some(password::hash(password).await?),
            None => None,
        };
        self.go_by(&name, claim).await?;
        if claim == Claim::New {
            // Whoever had it before may not come back under it.
            store.drop_tokens(name.key()).await?;
        }
        if let Some(password) = hash {
            let row = PersonRow {
                key: name.key().to_owned(),
                name: name.as_str().to_owned(),
                password: Some(password),
                seen: Timestamp::now(),
            };
            store.put_person(row).await?;
        }
        for token in &self.tokens {
            self.store_token(*token).await?;
        }
        self.fetch_mail().await?;
        self.found_rooms().await?;
        Ok(self.name())
    }

    /// Comes back as the person that a token was given to.
    ///
    /// # Errors
    /// When it is none, or too old.
    pub async fn come_back(&mut self, token: &str) -> Result<Arc<str>, Refusal> {
        self.check_attempts()?;
        let unknown = || Why::Password.because("that token is not known, or too old");
        let hash = hash(token);
        let row = self.hub.0.records.token(&hash).await?;
        let Some(row) = row.filter(|row| row.expires > Timestamp::now()) else {
            self.wrong_passwords += 1;
            return Err(unknown());
        };
        let name: Nickname = row.name.parse().map_err(|_| unknown())?;
        self.go_by(&name, Claim::Same).await?;
        self.hold(hash);
        self.fetch_mail().await?;
        Ok(self.name())
    }

    /// A token that makes a later session the same person, also after they have taken another name.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn token(&mut self) -> Result<String, Refusal> {
        let token = URL_SAFE_NO_PAD.encode(random::<24>());
        let hash = hash(&token);
        self.store_token(hash).await?;
        self.hold(hash);
        Ok(token)
    }

    /// From now on the token brings back whoever they are now.
    async fn store_token(&self, hash: Hash) -> Result<(), Refusal> {
        let name = self.seat.name();
        let row = TokenRow {
            hash,
            key: name.key.to_string(),
            name: name.shown.to_string(),
            expires: Timestamp::now()
                .saturating_add(RETURN)
                .unwrap_or(Timestamp::MAX),
        };
        self.hub.0.records.put_token(row).await
    }

    fn hold(&mut self, token: Hash) {
        self.tokens.retain(|held| *held != token);
        if self.tokens.len() == MOST_TOKENS {
            self.tokens.remove(0);
        }
        self.tokens.push(token);
    }

    pub(super) fn check_attempts(&self) -> Result<(), Refusal> {
        match self.wrong_passwords < ATTEMPTS {
            true => Ok(()),
            false => Err(Why::Password.because("too many wrong passwords: come again")),
        }
    }

    async fn check_password(
        &mut self,
        name: &Nickname,
        said: &str,
        kept: String,
    ) -> Result<(), Refusal> {
        self.check_attempts()?;
        if password::is_right(said, kept).await? {
            return Ok(());
        }
        self.wrong_passwords += 1;
        Err(Why::Password.because(format!("that is not the password of {name}")))
    }

    async fn go_by(&self, name: &Nickname, claim: Claim) -> Result<(), Refusal> {
        let before = self.seat.name();
        let now = Name::chosen(name);
        if !self.hub.0.records.claim(&now, claim).await?
            || !self.hub.0.people.claim(&self.seat, now.clone(), claim)
        {
            return Err(Why::NameTaken.because(format!("somebody goes by {name} already")));
        }
        for place in &self.places {
            place.room.rename(&self.seat, &before, &now);
        }
        Ok(())
    }

    /// What was told them while they were away.
    async fn fetch_mail(&self) -> Result<(), Refusal> {
        let key = self.seat.name().key.clone();
        for (id, mail) in self.hub.0.records.mail(&key).await? {
            let told = Told {
                from: mail.from.into(),
                to: mail.to.into(),
                text: mail.text.into(),
                time: mail.time,
                mail: Some(id),
            };
            if !self.seat.put(News::Told(Arc::new(told))) {
                break;
            }
        }
        Ok(())
    }

    /// They may be the first in their rooms who can own one.
    async fn found_rooms(&self) -> Result<(), Refusal> {
        for place in &self.places {
            self.found(&place.room.name).await?;
        }
        Ok(())
    }
}

fn is_guests(name: &Nickname) -> bool {
    let begins: Nickname = match GUEST.parse() {
        Ok(begins) => begins,
        Err(_) => return false,
    };
    name.key().starts_with(begins.key())
}

fn hash(token: &str) -> Hash {
    let digest = digest(&SHA256, token.as_bytes());
    let mut hash = [0; 32];
    hash.copy_from_slice(digest.as_ref());
    hash
}

/// Bytes that nobody can guess.
pub(in crate::hub) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    // It reads from the system's generator, which does not fail once it has been seeded.
    if aws_lc_rs::rand::fill(&mut bytes).is_err() {
        unreachable!("the system has no random numbers");
    }
    bytes
}
