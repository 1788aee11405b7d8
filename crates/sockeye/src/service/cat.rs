//! `cat`: one file for whoever comes, over anything.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode, header};
use wire::framing::Framing;
use wire::text::Encoding;

use super::Service;
use super::folder::content::{PIECE, Reader};
use super::folder::{self, Asked, Opened, Root, Sort, digest, refusal};
use crate::error::{Error, Result};
use crate::request::{Answer, Request, Response};
use crate::session::Session;

/// Sends a file to everyone who comes, as it is when they come, and then finishes. What they say is not heard.
///
/// Nobody at the other end says what has arrived, so what is told is what was sent: name, size and BLAKE3. Over HTTP
/// it is a download, whatever the path.
#[derive(Clone, Debug)]
pub struct Cat {
    root: Arc<Root>,
    name: Vec<u8>,
    /// As it was asked for, in what is told.
    path: PathBuf,
}

impl Cat {
    /// Serves the file at `path`: also another one that takes its name later on.
    ///
    /// # Errors
    /// When it is no file, or cannot be read.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        use std::os::unix::ffi::OsStrExt;
        let path = path.as_ref().to_owned();
        let failed = |source: io::Error| Error::File {
            action: "serve the file",
            path: path.display().to_string(),
            source,
        };
        let whole = path.canonicalize().map_err(failed)?;
        let (Some(folder), Some(name)) = (whole.parent(), whole.file_name()) else {
            return Err(failed(io::ErrorKind::IsADirectory.into()));
        };
        let root = Root::open(folder)?;
        let name = name.as_bytes().to_vec();
        match root.find_now(&name).map_err(failed)?.facts.kind {
            Sort::File => {}
            Sort::Folder => return Err(failed(io::ErrorKind::IsADirectory.into())),
            Sort::Other => return Err(failed(io::Error::other("it is no regular file"))),
        }
        let root = Arc::new(root);
        Ok(Self { root, name, path })
    }

    async fn find(&self) -> Result<Opened> {
        self.root
            .find(self.name.clone())
            .await
            .map_err(|source| self.failed(source))
    }

    fn failed(&self, source: io::Error) -> Error {
        Error::File {
            action: "send the file",
            path: self.path.display().to_string(),
            source,
        }
    }

    async fn send(&self, session: &mut Session, opened: Opened) -> Result<String> {
        let mut hasher = blake3::Hasher::new();
        let mut reader = Reader::new(opened);
        let mut at = 0;
        loop {
            let piece = reader
                .fill(vec![0; PIECE], at)
                .await
                .map_err(|source| self.failed(source))?;
            if piece.is_empty() {
                return Ok(hasher.finalize().to_string());
            }
            at += piece.len() as u64;
            hasher.update(&piece);
            session.send(Bytes::from(piece)).await?;
        }
    }
}

impl Service for Cat {
    async fn serve(&self, mut session: Session) -> Result<()> {
        // The file is all there is, without anything around it.
        session.reframe(Framing::Raw);
        if session.info().protocol() == "udp" || session.info().protocol() == "unixgram" {
            session
                .send("a file does not fit into datagrams: come over TCP\n".to_owned())
                .await?;
            session.finish().await?;
            while session.recv().await?.is_some() {}
            return Ok(());
        }
        let opened = self.find().await?;
        let hash = self.send(&mut session, opened).await?;
        session.finish().await?;
        let info = session.info().clone();
        info.note(&format!(
            "sent {} to {}: {} bytes, blake3 {hash}; unverified: nobody says what arrived",
            self.path.display(),
            info.peer(),
            info.counters().bytes_out(),
        ));
        session.close().await
    }

    fn methods(&self) -> &'static [Method] {
        const { &[Method::GET, Method::HEAD] }
    }

    fn speaks_first(&self) -> bool {
        true
    }

    async fn http(&self, request: Request) -> Result<Answer> {
        let (request, _) = request.into_parts();
        if !matches!(request.method, Method::GET | Method::HEAD) {
            let why = "This is one file, to be read.";
            let mut response = refusal(StatusCode::METHOD_NOT_ALLOWED, why);
            let allowed = HeaderValue::from_static("GET, HEAD, OPTIONS");
            response.headers_mut().insert(header::ALLOW, allowed);
            return Ok(response.into());
        }
        let answer = async {
            let asked = Asked {
                root: &self.root,
                method: &request.method,
                headers: &request.headers,
                name: &self.name,
                file: self.root.find(self.name.clone()).await?,
                encoding: Encoding::UTF_8,
                digests: digest::wanted(&request.headers),
            };
            let mut response = asked.answer().await?;
            let name = folder::attachment(&self.name, "");
            response
                .headers_mut()
                .insert(header::CONTENT_DISPOSITION, name);
            io::Result::Ok(response)
        };
        let response: Response = answer.await.unwrap_or_else(|error| {
            let (status, why) = folder::refused(&error);
            refusal(status, why)
        });
        Ok(response.into())
    }
}
