//! `sink`: takes what comes, and keeps it if told to.

use std::io;
use std::path::{Path, PathBuf};

use http::{HeaderValue, Method, StatusCode, header};
use rustix::fs::{AtFlags, CWD, RenameFlags, linkat, renameat_with, unlinkat};
use rustix::io::Errno;
use tokio::fs::{File, OpenOptions};
use tokio::io::AsyncWriteExt;
use wire::framing::Framing;

use super::Service;
use crate::error::{Error, Result};
use crate::request::{Answer, Request, Response};
use crate::session::{Info, Session};

/// Takes what comes and answers nothing (RFC 863).
///
/// Nothing that arrived is lost: a session's bytes are in `NAME.part` while they come, and take their
/// final name at once when the peer has finished. A session that broke leaves its `.part` behind.
/// Nothing is overwritten: a name that is taken gets a number. Over HTTP the answer says how much came.
#[derive(Clone, Debug, Default)]
pub struct Sink {
    /// Where bytes go.
    pub target: Target,
}

/// Where a [`Sink`] puts what it got.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Target {
    /// Nowhere: bytes are only counted.
    #[default]
    Discard,
    /// Into this file.
    File(PathBuf),
    /// Into this folder, a file per session, named after the peer.
    Folder(PathBuf),
}

impl Service for Sink {
    async fn serve(&self, mut session: Session) -> Result<()> {
        // Line ends and length prefixes are part of what is kept.
        session.reframe(Framing::Raw);
        let Some(name) = self.target.name(session.info()) else {
            while session.recv().await?.is_some() {}
            session.info().note(&format!(
                "{} took {}",
                session.info().peer(),
                bytes(session.info())
            ));
            return thank(session, "took").await;
        };
        let mut kept = Part::create(&name, session.info().id()).await?;
        // The dots in `127.0.0.1_3000` begin no extension.
        kept.has_extension = matches!(self.target, Target::File(_));
        let received = receive(&mut session, &mut kept).await;
        kept.sync().await?;
        let whole = session.info().peer_has_finished() || session.keeps_boundaries();
        match received {
            Ok(()) if whole => {
                let saved = kept.take_name()?;
                session.info().note(&format!(
                    "saved {} as {}, blake3 {}; unverified: nobody said what was sent",
                    bytes(session.info()),
                    saved.display(),
                    kept.hasher.finalize(),
                ));
            }
            _ => session.info().note(&format!(
                "kept {} as {}: the peer did not finish",
                bytes(session.info()),
                kept.path.display()
            )),
        }
        received?;
        thank(session, "saved").await
    }

    fn methods(&self) -> &'static [Method] {
        const { &[Method::PUT, Method::POST, Method::PATCH, Method::DELETE] }
    }

    async fn http(&self, request: Request) -> Result<Answer> {
        if !request.method().is_safe() {
            return Ok(Answer::Session(request));
        }
        let mut response = Response::new("send something: PUT or POST\n".into());
        *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
        let headers = response.headers_mut();
        let allowed = HeaderValue::from_static("PUT, POST, PATCH, DELETE, OPTIONS");
        headers.insert(header::ALLOW, allowed);
        let text = HeaderValue::from_static("text/plain; charset=utf-8");
        headers.insert(header::CONTENT_TYPE, text);
        Ok(Answer::Response(response))
    }
}

/// Who began with a request of its own waits for an answer; all others get none.
async fn thank(mut session: Session, verb: &str) -> Result<()> {
    let request = session.info().request();
    if request.is_some_and(|request| !request.is_shared()) {
        let thanks = format!("{verb} {}\n", bytes(session.info()));
        session.send(thanks).await?;
    }
    session.close().await
}

async fn receive(session: &mut Session, kept: &mut Part) -> Result<()> {
    while let Some(message) = session.recv().await? {
        kept.write(&message.data).await?;
    }
    Ok(())
}

fn bytes(info: &Info) -> String {
    match info.counters().bytes_in() {
        1 => "1 byte".to_owned(),
        n => format!("{n} bytes"),
    }
}

impl Target {
    fn name(&self, info: &Info) -> Option<PathBuf> {
        match self {
            Self::Discard => None,
            Self::File(path) => Some(path.clone()),
            Self::Folder(folder) => {
                // The peer chooses its Unix name: only letters, digits and dots come through.
                let peer: String = info.peer().to_string();
                let safe = peer.chars().map(|c| {
                    if c.is_ascii_alphanumeric() || c == '.' {
                        c
                    } else {
                        '_'
                    }
                });
                let safe: String = safe.collect();
                // Neither hidden nor the folder itself, which is what a name of dots would be.
                Some(folder.join(match safe.trim_start_matches('.') {
                    "" => "_",
                    name => name,
                }))
            }
        }
    }
}

/// A file that has not its final name yet.
struct Part {
    file: File,
    path: PathBuf,
    name: PathBuf,
    has_extension: bool,
    hasher: Box<blake3::Hasher>,
}

impl Part {
    async fn create(name: &Path, id: u64) -> Result<Self> {
        let mut path = name.as_os_str().to_owned();
        path.push(format!(".{}-{id}.part", std::process::id()));
        let path = PathBuf::from(path);
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .await;
        let file = file.map_err(|source| failed("create", &path, source))?;
        Ok(Self {
            file,
            path,
            name: name.to_owned(),
            has_extension: true,
            hasher: Box::default(),
        })
    }

    async fn write(&mut self, data: &[u8]) -> Result<()> {
        self.hasher.update(data);
        self.file
            .write_all(data)
            .await
            .map_err(|source| failed("write", &self.path, source))
    }

    async fn sync(&mut self) -> Result<()> {
        let flushed = async {
            self.file.flush().await?;
            self.file.sync_all().await
        };
        flushed
            .await
            .map_err(|source| failed("write", &self.path, source))
    }

    /// Gives the file its name, unless that is taken.
    fn move_to(&self, name: &Path) -> rustix::io::Result<()> {
        match renameat_with(CWD, &self.path, CWD, name, RenameFlags::NOREPLACE) {
            // Some file systems, such as NFS, cannot promise that in one step; a link is refused as well.
            Err(Errno::INVAL | Errno::NOSYS) => {
                linkat(CWD, &self.path, CWD, name, AtFlags::empty())?;
                unlinkat(CWD, &self.path, AtFlags::empty())
            }
            moved => moved,
        }
    }

    fn take_name(&self) -> Result<PathBuf> {
        for number in 1_u32.. {
            let name = if number == 1 {
                self.name.clone()
            } else {
                numbered(&self.name, number, self.has_extension)
            };
            match self.move_to(&name) {
                Ok(()) => return Ok(name),
                Err(Errno::EXIST) => {}
                Err(errno) => return Err(failed("rename to", &name, errno.into())),
            }
        }
        Err(failed(
            "rename to",
            &self.name,
            io::ErrorKind::AlreadyExists.into(),
        ))
    }
}

fn failed(action: &'static str, path: &Path, source: io::Error) -> Error {
    Error::File {
        action,
        path: path.display().to_string(),
        source,
    }
}

/// `photo.jpg` becomes `photo-2.jpg`, and a name without an extension `photo.jpg-2`.
fn numbered(name: &Path, number: u32, has_extension: bool) -> PathBuf {
    let (stem, extension) = if has_extension {
        (name.file_stem(), name.extension())
    } else {
        (name.file_name(), None)
    };
    let mut numbered = stem.unwrap_or_default().to_owned();
    numbered.push(format!("-{number}"));
    if let Some(extension) = extension {
        numbered.push(".");
        numbered.push(extension);
    }
    name.with_file_name(numbered)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::{Endpoint, Identity, Side};

    #[test]
    fn a_peers_name_stays_inside_the_folder() {
        let folder = Target::Folder("/in".into());
        for (peer, file) in [
            ("/etc/passwd", "_etc_passwd"),
            ("../../x", "_.._x"),
            ("...", "_"),
            (".hidden", "hidden"),
            ("@\u{1b}[2J", "___2J"),
            ("", "_unnamed_"),
        ] {
            let peer = Endpoint::Unix(peer.into());
            let identity = Identity::new(Side::Accepted, "unix", Endpoint::Memory, peer);
            let info = Info::new(identity);
            assert_eq!(folder.name(&info), Some(Path::new("/in").join(file)));
        }
    }

    #[test]
    fn a_number_stands_before_the_extension() {
        for (name, has_extension, second) in [
            ("d.x/photo.jpg", true, "d.x/photo-2.jpg"),
            ("photo", true, "photo-2"),
            (".profile", true, ".profile-2"),
            ("127.0.0.1_80", false, "127.0.0.1_80-2"),
        ] {
            assert_eq!(
                numbered(Path::new(name), 2, has_extension),
                Path::new(second)
            );
        }
    }
}
