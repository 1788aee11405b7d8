//! Where whoever comes with files, or for some, is attended to.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio_util::sync::CancellationToken;
use wire::transfer::{Hello, Reason, RelativePath, Role};

use super::{Failure, Item, Talk, Target, Watch, beneath, receive, send};
use crate::stream::ByteStream;
use crate::token::Token;

/// What a folder is open for, to peers that speak the transfer protocol.
#[derive(Debug)]
pub struct Desk {
    /// Where files lie and land.
    pub target: Target,
    /// Files may be taken.
    pub read: bool,
    /// Files may be put.
    pub write: bool,
    /// What paths have to begin with.
    pub secret: Option<Token>,
    /// Only this is there to be taken, and not what is in the folder.
    pub offer: Option<Arc<[Item]>>,
    /// Transfers that go on, by their number.
    present: Mutex<HashMap<[u8; 16], Guest>>,
}

/// A transfer that goes on: how it is told to end, and when it has.
#[derive(Clone, Debug, Default)]
struct Guest {
    replaced: CancellationToken,
    gone: CancellationToken,
}

/// What somebody came for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Errand {
    /// To bring files.
    Brought,
    /// To fetch some.
    Fetched,
}

impl Desk {
    /// For a folder that nothing may be done with yet.
    pub fn new(target: Target) -> Self {
        Self {
            target,
            read: false,
            write: false,
            secret: None,
            offer: None,
            present: Mutex::default(),
        }
    }

    /// Attends to one who came over `stream`, until it has done what it came for.
    ///
    /// # Errors
    /// When it speaks something else, knows no secret, or the connection broke.
    pub async fn attend(&self, stream: ByteStream, watch: &dyn Watch) -> Result<Errand, Failure> {
        let (mut talk, hello) = Talk::host(stream).await?;
        let path = match self.admits(&hello) {
            Ok(path) => path,
            Err((reason, text)) => {
                talk.refuse(reason, text).await;
                let text = text.to_owned();
                return Err(Failure::Refused { reason, text });
            }
        };
        let guest = self.enter(hello.id).await;
        let serving = self.serve(&mut talk, &hello, path, watch);
        let served = tokio::select! {
            served = serving => Some(served),
            () = guest.guest.replaced.cancelled() => None,
        };
        match served {
            Some(served) => {
                // Whoever comes back at once need not wait for the end of this.
                drop(guest);
                talk.ended(served).await
            }
            None => {
                let text = "the same transfer has come back by another connection";
                // The files are free for it now.
                drop(guest);
                let reason = Reason::Replaced;
                talk.refuse(reason, text).await;
                let text = text.to_owned();
                Err(Failure::Refused { reason, text })
            }
        }
    }

    async fn serve(
        &self,
        talk: &mut Talk,
        hello: &Hello,
        path: Option<RelativePath>,
        watch: &dyn Watch,
    ) -> Result<Errand, Failure> {
        match hello.role {
            Role::Push => {
                talk.admit().await?;
                watch.came(Errand::Brought);
                let target = Target {
                    under: path,
                    ..self.target.clone()
                };
                receive(talk, &target, &hello.id, watch).await?;
                Ok(Errand::Brought)
            }
            Role::Pull => {
                let found = match &self.offer {
                    // What became of them is each visitor's own.
                    Some(items) => Ok(items.iter().map(Item::again).collect()),
                    None => beneath(&self.target.root, path.as_ref(), self.target.hidden),
                };
                let items: Arc<[Item]> = match found {
                    Ok(items) => items.into(),
                    Err(error) => {
                        let (reason, text) = (Reason::NotFound, crate::error::cause(&error));
                        talk.out.complain(reason, &text).await;
                        return Err(Failure::Refused { reason, text });
                    }
                };
                talk.admit().await?;
                watch.came(Errand::Fetched);
                send(talk, &items, None, watch).await?;
                Ok(Errand::Fetched)
            }
        }
    }

    /// The path that is meant, when what is asked for may be done there.
    fn admits(&self, hello: &Hello) -> Result<Option<RelativePath>, (Reason, &'static str)> {
        let nothing = (Reason::NotFound, "there is nothing of this name");
        let path = hello.path.strip_prefix(b"/").unwrap_or(&hello.path);
        let path = match &self.secret {
            None => path,
            Some(secret) => {
                let mut parts = path.splitn(2, |byte| *byte == b'/');
                let said = parts.next().unwrap_or_default();
                if !secret.is(said) {
                    return Err(nothing);
                }
                parts.next().unwrap_or_default()
            }
        };
        let path = path.strip_suffix(b"/").unwrap_or(path);
        match hello.role {
            Role::Push if !self.write => {
                return Err((Reason::Forbidden, "files can be taken here, and not put"));
            }
            Role::Pull if !self.read => {
                return Err((Reason::Forbidden, "files can be put here, and not taken"));
            }
            _ => {}
        }
        if path.is_empty() {
            return Ok(None);
        }
        let path = RelativePath::new(path).map_err(|_| nothing)?;
        let is_hidden = path.names().any(|name| name.starts_with(b"."));
        match is_hidden && !self.target.hidden {
            true => Err(nothing),
            false => Ok(Some(path)),
        }
    }

    /// Notes that a transfer is here. One that has come back, because its connection broke in a way that we have not
    /// seen yet, ends the one before it, which holds its files.
    async fn enter(&self, id: [u8; 16]) -> Present<'_> {
        loop {
            let before = {
                let mut present = self.present();
                match present.get(&id) {
                    Some(before) => before.clone(),
                    None => {
                        let guest = Guest::default();
                        present.insert(id, guest.clone());
                        return Present {
                            desk: self,
                            id,
                            guest,
                        };
                    }
                }
            };
            before.replaced.cancel();
            before.gone.cancelled().await;
        }
    }

    fn present(&self) -> std::sync::MutexGuard<'_, HashMap<[u8; 16], Guest>> {
        self.present.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Present<'a> {
    desk: &'a Desk,
    id: [u8; 16],
    guest: Guest,
}

impl Drop for Present<'_> {
    fn drop(&mut self) {
        self.desk.present().remove(&self.id);
        self.guest.gone.cancel();
    }
}
