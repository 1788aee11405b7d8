//! People with a name of their own, what makes them the same person again, and what waits for them.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Result, params};

use super::Store;
use super::database::fault;
use super::lines::time;
use crate::error::StoreError;

/// The most messages that wait for one person.
const BOX: i64 = 100;
/// How many tokens that have expired are deleted when a new one comes.
const SWEPT: i64 = 100;

/// A person whose name is kept. Times are kept to the millisecond.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PersonRow {
    /// The name as it is compared.
    pub key: String,
    /// The name as it is written.
    pub name: String,
    /// The password's hash, in PHC's form.
    pub password: Option<String>,
    /// When the person was last there.
    pub seen: Timestamp,
}

/// A token that makes a later session the same person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRow {
    /// What is kept of the token.
    pub hash: [u8; 32],
    /// Whose it is: [`PersonRow::key`].
    pub key: String,
    /// The name as it was written.
    pub name: String,
    /// From when on it is worth nothing.
    pub expires: Timestamp,
}

/// A message that waits for a person who is not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mail {
    /// Whose box it lies in: [`PersonRow::key`].
    pub to_key: String,
    /// Who sent it.
    pub from: String,
    /// Whom it was sent to, as the name was written.
    pub to: String,
    /// What was said.
    pub text: String,
    /// When it was sent.
    pub time: Timestamp,
}

impl Store {
    /// The person with this key.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn person(&self, key: &str) -> Result<Option<PersonRow>, StoreError> {
        let key = key.to_owned();
        self.read("read", move |db| person(db, key)).await
    }

    /// Keeps a person, in place of who had this key.
    ///
    /// # Errors
    /// When it cannot be kept.
    pub async fn put_person(&self, row: PersonRow) -> Result<(), StoreError> {
        self.write("write to", row.name.len(), move |batch| {
            let put = |db: &Connection| {
                db.prepare_cached(
                    "INSERT OR REPLACE INTO people (key, name, password, seen) VALUES (?, ?, ?, ?)",
                )?
                .execute(params![
                    row.key,
                    row.name,
                    row.password,
                    row.seen.as_millisecond()
                ])
            };
            put(batch.db).map(drop).map_err(fault)
        })
        .await
    }

    /// The token with this hash, unless it has expired.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn token(&self, hash: &[u8; 32]) -> Result<Option<TokenRow>, StoreError> {
        let hash = *hash;
        let now = Timestamp::now();
        let row = self.read("read", move |db| token(db, hash)).await?;
        Ok(row.filter(|row| row.expires > now))
    }

    /// Keeps a token, and forgets some that have expired.
    ///
    /// # Errors
    /// When it cannot be kept.
    pub async fn put_token(&self, row: TokenRow) -> Result<(), StoreError> {
        self.write("write to", row.name.len(), move |batch| {
            let put = |db: &Connection| {
                db.prepare_cached(
                    "DELETE FROM tokens WHERE hash IN \
                     (SELECT hash FROM tokens WHERE expires <= ? ORDER BY expires LIMIT ?)",
                )?
                .execute(params![batch.now.as_millisecond(), SWEPT])?;
                db.prepare_cached(
                    "INSERT OR REPLACE INTO tokens (hash, key, name, expires) VALUES (?, ?, ?, ?)",
                )?
                .execute(params![
                    row.hash,
                    row.key,
                    row.name,
                    row.expires.as_millisecond()
                ])
            };
            put(batch.db).map(drop).map_err(fault)
        })
        .await
    }

    /// Makes all tokens of a name worth nothing.
    ///
    /// # Errors
    /// When that cannot be kept.
    pub async fn drop_tokens(&self, key: &str) -> Result<(), StoreError> {
        let key = key.to_owned();
        self.write("write to", key.len(), move |batch| {
            let drop_them = |db: &Connection| {
                db.prepare_cached("DELETE FROM tokens WHERE key = ?")?
                    .execute([&key])
            };
            drop_them(batch.db).map(drop).map_err(fault)
        })
        .await
    }

    /// Keeps a message for somebody; says false if the box, of 100 messages, is full.
    ///
    /// # Errors
    /// When it cannot be kept.
    pub async fn keep_mail(&self, mail: Mail) -> Result<bool, StoreError> {
        self.write("write to", mail.text.len(), move |batch| {
            let put = |db: &Connection| {
                let waiting: i64 = db
                    .prepare_cached("SELECT count(*) FROM mail WHERE box = ?")?
                    .query_row([&mail.to_key], |row| row.get(0))?;
                if waiting >= BOX {
                    return Ok(false);
                }
                db.prepare_cached(
                    "INSERT INTO mail (box, sender, recipient, text, time) VALUES (?, ?, ?, ?, ?)",
                )?
                .execute(params![
                    mail.to_key,
                    mail.from,
                    mail.to,
                    mail.text,
                    mail.time.as_millisecond()
                ])?;
                Ok(true)
            };
            put(batch.db).map_err(fault)
        })
        .await
    }

    /// What waits for somebody, in the order in which it came, each with its number.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn mail(&self, key: &str) -> Result<Vec<(i64, Mail)>, StoreError> {
        let key = key.to_owned();
        self.read("read", move |db| mail(db, &key)).await
    }

    /// Forgets what waits for somebody up to and with this number.
    ///
    /// # Errors
    /// When it is still kept.
    pub async fn drop_mail(&self, key: &str, up_to: i64) -> Result<(), StoreError> {
        let key = key.to_owned();
        self.write("write to", 0, move |batch| {
            let drop_mail = |db: &Connection| {
                db.prepare_cached("DELETE FROM mail WHERE box = ? AND number <= ?")?
                    .execute(params![key, up_to])
            };
            drop_mail(batch.db).map(drop).map_err(fault)
        })
        .await
    }
}

fn person(db: &Connection, key: String) -> Result<Option<PersonRow>> {
    db.prepare_cached("SELECT name, password, seen FROM people WHERE key = ?")?
        .query_row([&key], |row| {
            Ok((row.get(0)?, row.get(1)?, time(row.get(2)?)?))
        })
        .optional()
        .map(|row| {
            row.map(|(name, password, seen)| PersonRow {
                key,
                name,
                password,
                seen,
            })
        })
}

fn token(db: &Connection, hash: [u8; 32]) -> Result<Option<TokenRow>> {
    db.prepare_cached("SELECT key, name, expires FROM tokens WHERE hash = ?")?
        .query_row([hash], |row| {
            Ok(TokenRow {
                hash,
                key: row.get(0)?,
                name: row.get(1)?,
                expires: time(row.get(2)?)?,
            })
        })
        .optional()
}

fn mail(db: &Connection, key: &str) -> Result<Vec<(i64, Mail)>> {
    let mut waiting = db.prepare_cached(
        "SELECT number, sender, recipient, text, time FROM mail WHERE box = ? ORDER BY number",
    )?;
    let rows = waiting.query_map([key], |row| {
        let mail = Mail {
            to_key: key.to_owned(),
            from: row.get(1)?,
            to: row.get(2)?,
            text: row.get(3)?,
            time: time(row.get(4)?)?,
        };
        Ok((row.get(0)?, mail))
    })?;
    rows.collect()
}
