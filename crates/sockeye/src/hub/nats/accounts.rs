//! What belongs to people and to rooms' owners, in buckets and a stream that all machines share.

use async_nats::HeaderMap;
use async_nats::jetstream::kv;
use async_nats::jetstream::stream::{Config, DirectGetErrorKind, DiscardPolicy};
use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{Nats, answered, away, hex, token};
use crate::hub::member::random;
use crate::hub::refusal::Refusal;
use crate::hub::store::{Mail, PersonRow, TokenRow};

/// How much may wait for one person.
const BOX: i64 = 100;

/// The boxes in which messages wait for people.
pub(super) fn boxes(replicas: usize) -> Config {
    Config {
        name: "sockeye-mail".to_owned(),
        subjects: vec!["sockeye.mail.*".to_owned()],
        num_replicas: replicas,
        max_messages_per_subject: BOX,
        discard: DiscardPolicy::New,
        discard_new_per_subject: true,
        allow_direct: true,
        ..Config::default()
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Account {
    key: String,
    name: String,
    password: Option<String>,
    seen: Timestamp,
}

#[derive(Debug, Serialize, Deserialize)]
struct Token {
    key: String,
    name: String,
    given: Timestamp,
    expires: Timestamp,
}

#[derive(Debug, Serialize, Deserialize)]
struct Letter {
    from: String,
    to: String,
    text: String,
    time: Timestamp,
}

impl Nats {
    pub(in crate::hub) async fn person(&self, key: &str) -> Result<Option<PersonRow>, Refusal> {
        let account: Option<Account> = get(&self.accounts, token(key)).await?;
        Ok(account.map(|account| PersonRow {
            key: account.key,
            name: account.name,
            password: account.password,
            seen: account.seen,
        }))
    }

    pub(in crate::hub) async fn put_person(&self, row: PersonRow) -> Result<(), Refusal> {
        let key = token(&row.key);
        let account = Account {
            key: row.key,
            name: row.name,
            password: row.password,
            seen: row.seen,
        };
        put(&self.accounts, key, &account).await
    }

    pub(in crate::hub) async fn token(&self, hash: &[u8; 32]) -> Result<Option<TokenRow>, Refusal> {
        let Some(kept) = get::<Token>(&self.tokens, hex(hash)).await? else {
            return Ok(None);
        };
        let dropped: Option<Timestamp> = get(&self.tokens, dropped(&kept.key)).await?;
        let is_worth = dropped.is_none_or(|dropped| dropped < kept.given);
        Ok(
            (is_worth && kept.expires > Timestamp::now()).then_some(TokenRow {
                hash: *hash,
                key: kept.key,
                name: kept.name,
                expires: kept.expires,
            }),
        )
    }

    pub(in crate::hub) async fn put_token(&self, row: TokenRow) -> Result<(), Refusal> {
        let kept = Token {
            key: row.key,
            name: row.name,
            given: Timestamp::now(),
            expires: row.expires,
        };
        put(&self.tokens, hex(&row.hash), &kept).await
    }

    pub(in crate::hub) async fn drop_tokens(&self, key: &str) -> Result<(), Refusal> {
        put(&self.tokens, dropped(key), &Timestamp::now()).await
    }

    pub(in crate::hub) async fn state(&self, room: &str) -> Result<Option<(u64, String)>, Refusal> {
        let room = token(room);
        let entry = answered(|| self.states.entry(room.as_str())).await?;
        Ok(entry.map(|entry| {
            let json = String::from_utf8_lossy(&entry.value).into_owned();
            (entry.revision, json)
        }))
    }

    pub(in crate::hub) async fn set_state(
        &self,
        room: &str,
        expected: u64,
        json: String,
    ) -> Result<bool, Refusal> {
        let (room, json) = (token(room), Bytes::from(json));
        answered(|| async {
            match self.states.update(&room, json.clone(), expected).await {
                Ok(_) => Ok(true),
                Err(error) if error.kind() == kv::UpdateErrorKind::WrongLastRevision => Ok(false),
                Err(error) => Err(error),
            }
        })
        .await
    }

    pub(in crate::hub) async fn keep_mail(&self, mail: Mail) -> Result<bool, Refusal> {
        let letter = Letter {
            from: mail.from,
            to: mail.to,
            text: mail.text,
            time: mail.time,
        };
        let letter = Bytes::from(serde_json::to_vec(&letter).map_err(away)?);
        // So that trying again puts no second one there.
        let mut headers = HeaderMap::new();
        headers.insert("Nats-Msg-Id", hex(&random::<16>()));
        let mailbox = mailbox(&mail.to_key);
        answered(|| async {
            let (to, headers, letter) = (mailbox.clone(), headers.clone(), letter.clone());
            let kept = self.jetstream.publish_with_headers(to, headers, letter);
            match kept.await?.await {
                Ok(_) => Ok(true),
                // It says so in words alone.
                Err(error) if error.to_string().contains("maximum messages per subject") => {
                    Ok(false)
                }
                Err(error) => Err(error),
            }
        })
        .await
    }

    pub(in crate::hub) async fn mail(&self, key: &str) -> Result<Vec<(i64, Mail)>, Refusal> {
        let mut mail = Vec::new();
        let mut next = 1;
        loop {
            let letter = answered(|| async {
                let asked = self
                    .mail
                    .direct_get_next_for_subject(mailbox(key), Some(next));
                match asked.await {
                    Err(error) if error.kind() == DirectGetErrorKind::NotFound => Ok(None),
                    letter => letter.map(Some),
                }
            });
            let Some(message) = letter.await? else {
                return Ok(mail);
            };
            next = message.sequence + 1;
            if let Ok(letter) = serde_json::from_slice::<Letter>(&message.payload) {
                let letter = Mail {
                    to_key: key.to_owned(),
                    from: letter.from,
                    to: letter.to,
                    text: letter.text,
                    time: letter.time,
                };
                mail.push((message.sequence.try_into().map_err(away)?, letter));
            }
        }
    }

    pub(in crate::hub) async fn drop_mail(&self, key: &str, up_to: i64) -> Result<(), Refusal> {
        let next = u64::try_from(up_to).map_err(away)? + 1;
        answered(|| {
            self.mail
                .purge()
                .filter(mailbox(key))
                .sequence(next)
                .into_future()
        })
        .await?;
        Ok(())
    }
}

fn mailbox(key: &str) -> String {
    format!("sockeye.mail.{}", token(key))
}

/// Where it stands since when a name's tokens are worth something.
fn dropped(key: &str) -> String {
    format!("dropped.{}", token(key))
}

pub(super) async fn get<T: DeserializeOwned>(
    bucket: &kv::Store,
    key: String,
) -> Result<Option<T>, Refusal> {
    let value = answered(|| bucket.get(key.as_str())).await?;
    value
        .map(|value| serde_json::from_slice(&value).map_err(away))
        .transpose()
}

pub(super) async fn put(
    bucket: &kv::Store,
    key: String,
    value: &impl Serialize,
) -> Result<(), Refusal> {
    let value: Bytes = serde_json::to_vec(value).map_err(away)?.into();
    answered(|| bucket.put(&key, value.clone())).await?;
    Ok(())
}
