//! `site` as a service, without a socket: what each request is answered.

use std::fs::{self, File};
use std::future::poll_fn;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::time::{Duration, SystemTime};

use http::{HeaderMap, Method, StatusCode};
use http_body::Body as _;
use sockeye::service::{Site, SiteOptions};
use sockeye::{Answer, Body, Service};
use tempfile::TempDir;

use crate::stage::within;

mod changing;
mod coded;
mod hostile;
mod plain;

/// A folder with a secret beside the part of it that is served.
struct Tree {
    folder: TempDir,
    site: Site,
}

/// What stands where nobody may get.
const SECRET: &str = "the secret";

impl Tree {
    fn new() -> Self {
        Self::with(SiteOptions::default())
    }

    fn with(options: SiteOptions) -> Self {
        let folder = TempDir::new().unwrap();
        fs::create_dir(folder.path().join("root")).unwrap();
        fs::write(folder.path().join("secret"), SECRET).unwrap();
        let site = Site::open(folder.path().join("root"), options).unwrap();
        Self { folder, site }
    }

    fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.folder.path().join("root").join(name)
    }

    /// A file that was modified long ago, so that its tag is strong.
    fn write(&self, name: impl AsRef<Path>, content: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        modified(&path, SystemTime::now() - Duration::from_secs(3600));
    }

    async fn ask(&self, method: Method, path: &str, lines: &[(&str, &str)]) -> Heard {
        let mut request = http::Request::builder().method(method).uri(path);
        for (name, value) in lines {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::empty()).unwrap();
        let Answer::Response(response) = within(self.site.http(request)).await.unwrap() else {
            panic!("{path} became a session");
        };
        let (head, body) = response.into_parts();
        let (status, headers) = (head.status, head.headers);
        Heard {
            status,
            headers,
            body,
        }
    }

    async fn head(&self, path: &str, lines: &[(&str, &str)]) -> Heard {
        self.ask(Method::HEAD, path, lines).await
    }

    /// The answer to a GET, read to its end.
    async fn get(&self, path: &str, lines: &[(&str, &str)]) -> Whole {
        self.ask(Method::GET, path, lines).await.whole().await
    }
}

/// An answer whose body has not been read.
struct Heard {
    status: StatusCode,
    headers: HeaderMap,
    body: Body,
}

/// An answer and all of its body.
#[derive(Debug)]
struct Whole {
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Heard {
    #[track_caller]
    fn header(&self, name: &str) -> &str {
        header(&self.headers, name)
    }

    async fn whole(self) -> Whole {
        let Self {
            status,
            headers,
            body,
        } = self;
        let body = read(body).await.unwrap();
        if let Some(length) = headers.get("content-length") {
            assert_eq!(length, &body.len().to_string(), "the length that was said");
        }
        Whole {
            status,
            headers,
            body,
        }
    }
}

impl Whole {
    #[track_caller]
    fn header(&self, name: &str) -> &str {
        header(&self.headers, name)
    }

    fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    /// Where the links of a page lead, as they are written.
    fn links(&self) -> Vec<String> {
        let text = self.text();
        let parts = text.split("<a href=\"").skip(1);
        parts
            .map(|part| part.split('"').next().unwrap().to_owned())
            .collect()
    }
}

/// The one line of that name, or nothing.
#[track_caller]
fn header<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    let mut lines = headers.get_all(name).iter();
    let line = lines.next().map_or("", |line| line.to_str().unwrap());
    assert!(lines.next().is_none(), "{name} twice");
    line
}

/// All of a body, or how it broke.
async fn read(body: Body) -> std::io::Result<Vec<u8>> {
    let mut body = pin!(body);
    let mut bytes = Vec::new();
    while let Some(frame) = within(poll_fn(|cx| body.as_mut().poll_frame(cx))).await {
        bytes.extend_from_slice(&frame?.into_data().unwrap());
    }
    Ok(bytes)
}

fn modified(path: &Path, time: SystemTime) {
    let file = File::options().write(true).open(path).unwrap();
    file.set_modified(time).unwrap();
}

/// Bytes that show where they stand.
fn numbered(len: usize) -> Vec<u8> {
    (0..len)
        .map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect()
}
