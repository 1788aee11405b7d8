//! PUT: a file in one request, as curl sends it.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::request::Parts;
use http::{HeaderName, StatusCode, header};
use tokio::sync::{Mutex, watch};

use super::Files;
use super::filling::Filling;
use super::proof::Proofs;
use super::trouble::{Trouble, set};
use crate::request::{Body, Response};
use crate::service::folder::condition::Verdict;
use crate::service::folder::{Sort, Target, words};
use crate::transfer::{Clash, Declared, Landed, Landing};

/// When the content was changed last, in seconds since 1970, as ownCloud's clients and rclone say it.
const MTIME: HeaderName = HeaderName::from_static("x-oc-mtime");

/// All parts that PUT leaves are of this content: a later one starts over, or says where it goes on.
const ID: &str = "PUT";

impl Files {
    /// Takes a file. One that is there is replaced only where that is allowed.
    pub(super) async fn put(
        &self,
        request: &Parts,
        target: &Target,
        mut body: Body,
    ) -> Result<Response, Trouble> {
        if target.is_folder {
            let why =
                "a PUT needs the name of a file: curl takes its own when the URL ends in a slash";
            return Err(Trouble::Wrong(StatusCode::CONFLICT, why));
        }
        let path = self.path(target)?;
        let replaces = self.may_land(request, target).await?;
        let (size, from) = length(request)?;
        self.fits(size)?;
        let declared = Declared {
            size,
            modified: modified(request),
            ..Declared::default()
        };
        let clash = match self.options.overwrite {
            true => Clash::Overwrite,
            false => Clash::Refuse,
        };
        let proofs = Proofs::read(&request.headers)?;
        let root = self.landings()?.clone();
        let at = path.clone();
        let landing = super::waiting(move || {
            let mut landing = Landing::begin(&root, &at, declared, clash, ID)?;
            if from == 0 {
                landing.restart()?;
            }
            Ok(landing)
        })
        .await?;
        let there = landing.len();
        if from > 0 && there != from {
            return Err(Trouble::Elsewhere { there, from });
        }
        let landed = self.fill(landing, &mut body, proofs).await?;
        let said = self.said(&landed).await?;
        super::tell(request, &said);
        Ok(self.stored(&landed, &said, replaces))
    }

    async fn fill(
        &self,
        landing: Landing,
        body: &mut Body,
        mut proofs: Proofs,
    ) -> Result<Landed, Trouble> {
        let place = Arc::new(Mutex::new(Some(landing)));
        let place = place.lock_owned().await;
        let room = self.options.max_size.unwrap_or(u64::MAX);
        let mut filling = Filling::new(place, room, Arc::new(AtomicU64::new(0)));
        let see = |piece: &[u8]| proofs.update(piece);
        // Nobody else goes on with this one.
        let (_stays, mut over) = watch::channel(());
        filling.take(body, &mut over, see).await?;
        let mut place = filling.into_place().await?;
        let landing = place.take().ok_or(Trouble::Lost)?;
        let blake3 = proofs.check()?;
        super::waiting(move || landing.finish(blake3)).await
    }

    /// Whether a file would be replaced.
    ///
    /// # Errors
    /// When one is there and may not be, or is not in the state that was asked for.
    async fn may_land(&self, request: &Parts, target: &Target) -> Result<bool, Trouble> {
        let headers = &request.headers;
        let found = match self.root.find(target.name.clone()).await {
            Ok(found) => found,
            Err(_) if headers.contains_key(header::IF_MATCH) => {
                let why = "there is no file that could be in the state that was asked for";
                return Err(Trouble::Wrong(StatusCode::PRECONDITION_FAILED, why));
            }
            // Whatever is wrong will be told when it is written.
            Err(_) => return Ok(false),
        };
        if found.facts.kind != Sort::File {
            let why = "there is a folder of this name";
            return Err(Trouble::Wrong(StatusCode::CONFLICT, why));
        }
        let validators = found.facts.validators(SystemTime::now());
        if validators.judge(headers) != Verdict::Proceed {
            let why = "there is a file of this name, and not in the state that was asked for";
            return Err(Trouble::Wrong(StatusCode::PRECONDITION_FAILED, why));
        }
        match self.options.overwrite {
            true => Ok(true),
            false => {
                let why =
                    "there is a file of this name: take another one, or serve with --overwrite";
                Err(Trouble::Wrong(StatusCode::CONFLICT, why))
            }
        }
    }

    fn stored(&self, landed: &Landed, said: &str, replaces: bool) -> Response {
        let status = match replaces {
            true => StatusCode::OK,
            false => StatusCode::CREATED,
        };
        let mut response = words(status, said);
        set(&mut response, header::LOCATION, self.location(&landed.path));
        response
    }
}

/// How long the whole file will be, if that is known, and the byte at which this request goes on (RFC 9110, section
/// 14.5): `Content-Range: bytes 1000-4999/5000`.
fn length(request: &Parts) -> Result<(Option<u64>, u64), Trouble> {
    let wrong = |why| Trouble::Wrong(StatusCode::BAD_REQUEST, why);
    let headers = &request.headers;
    let coding = headers.get(header::CONTENT_ENCODING);
    if coding.is_some_and(|coding| coding != "identity") {
        let why = "files are taken as they are: send it without Content-Encoding";
        return Err(Trouble::Wrong(StatusCode::UNSUPPORTED_MEDIA_TYPE, why));
    }
    let number = |text: &str| text.parse::<u64>().ok();
    let length = headers.get(header::CONTENT_LENGTH);
    let length = length.and_then(|it| number(it.to_str().ok()?));
    let Some(range) = headers.get(header::CONTENT_RANGE) else {
        return Ok((length, 0));
    };
    let unreadable = || wrong("the Content-Range cannot be read: bytes FIRST-LAST/SIZE");
    let range = range.to_str().ok().and_then(|it| it.strip_prefix("bytes "));
    let (span, size) = range
        .and_then(|it| it.split_once('/'))
        .ok_or_else(unreadable)?;
    let (first, last) = span.split_once('-').ok_or_else(unreadable)?;
    let read = (number(first), number(last), number(size));
    let (Some(first), Some(last), Some(size)) = read else {
        return Err(unreadable());
    };
    match last.checked_add(1) == Some(size) && first <= last {
        true => Ok((Some(size), first)),
        false => Err(wrong(
            "the last byte that is sent must be the last of the file",
        )),
    }
}

fn modified(request: &Parts) -> Option<SystemTime> {
    let seconds = request
        .headers
        .get(MTIME)?
        .to_str()
        .ok()?
        .parse::<f64>()
        .ok()?;
    UNIX_EPOCH.checked_add(Duration::try_from_secs_f64(seconds).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_is_all_of_it_or_the_rest() {
        for (name, value, read) in [
            ("content-length", "5", Some((Some(5), 0))),
            ("content-length", "0", Some((Some(0), 0))),
            ("content-range", "bytes 3-4/5", Some((Some(5), 3))),
            ("content-range", "bytes 0-4/5", Some((Some(5), 0))),
            ("content-range", "bytes 0-3/5", None),
            ("content-range", "bytes 4-3/4", None),
            ("content-range", "bytes 0-4/*", None),
            ("content-range", "bytes 0-18446744073709551615/0", None),
            ("content-range", "lines 0-4/5", None),
            ("content-encoding", "gzip", None),
            ("content-encoding", "identity", Some((None, 0))),
            ("x-other", "1", Some((None, 0))),
        ] {
            let request = http::Request::put("/")
                .header(name, value)
                .body(())
                .unwrap();
            let (parts, ()) = request.into_parts();
            assert_eq!(length(&parts).ok(), read, "{name}: {value}");
        }
    }
}
