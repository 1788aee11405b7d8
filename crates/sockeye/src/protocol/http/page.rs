//! The page that a browser gets where a service speaks in sessions: a console that talks to it, or the chat's own.

use std::io::Read;
use std::sync::OnceLock;

use ::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, Version, header};
use bytes::Bytes;
use flate2::Compression;
use flate2::read::GzEncoder;
use serde_json::json;

use super::{Connection, Refusal};
use crate::request::{Body, Request, Response};

/// What the page tells about the port it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// What the service is called. `chat` and `files` have pages of their own: one speaks
    /// JSON lines over WebSocket, the other asks for listings and files.
    pub service: String,
    /// The version of the program.
    pub version: &'static str,
    /// Other ways to reach the port, as command lines with `{host}` and `{port}` in them.
    pub ways: &'static [&'static str],
}

/// Where the page's parts are, whatever the service has at other paths.
const FOLDER: &str = "/.sockeye/";

const HTML: &str = "text/html; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

/// A part of the page.
struct Asset {
    /// Below [`FOLDER`].
    name: &'static str,
    kind: &'static str,
    bytes: &'static [u8],
    /// The same as gzip, made when it is first asked for; `None` if that fails.
    packed: OnceLock<Option<Bytes>>,
}

macro_rules! asset {
    ($name:literal, $kind:expr, $file:literal) => {
        Asset {
            name: $name,
            kind: $kind,
            bytes: include_bytes!(concat!("../../../assets/", $file)),
            packed: OnceLock::new(),
        }
    };
    ($name:literal, $kind:expr) => {
        asset!($name, $kind, $name)
    };
}

/// The page of any service.
static CONSOLE: Asset = asset!("", HTML, "page.html");

/// The page of a chat.
static CHAT: Asset = asset!("", HTML, "chat.html");

/// The page of a folder.
static FILES: Asset = asset!("", HTML, "files.html");

static ASSETS: [Asset; 40] = [
    asset!("chat.css", STYLE),
    asset!("chat.js", SCRIPT),
    asset!("chat/chat.js", SCRIPT),
    asset!("chat/commands.js", SCRIPT),
    asset!("chat/dialogs.js", SCRIPT),
    asset!("chat/log.js", SCRIPT),
    asset!("chat/memory.js", SCRIPT),
    asset!("chat/room.js", SCRIPT),
    asset!("chat/search.js", SCRIPT),
    asset!("chat/session.js", SCRIPT),
    asset!("chat/show.js", SCRIPT),
    asset!("chat/side.js", SCRIPT),
    asset!("chat/words.js", SCRIPT),
    asset!("files.css", STYLE),
    asset!("files.js", SCRIPT),
    asset!("files/dropped.js", SCRIPT),
    asset!("files/list.js", SCRIPT),
    asset!("files/preview.js", SCRIPT),
    asset!("files/queue.js", SCRIPT),
    asset!("files/server.js", SCRIPT),
    asset!("files/upload.js", SCRIPT),
    asset!("files/words.js", SCRIPT),
    asset!("page.css", STYLE),
    asset!("page.js", SCRIPT),
    asset!("page/browser.js", SCRIPT),
    asset!("page/composer.js", SCRIPT),
    asset!("page/facts.js", SCRIPT),
    asset!("page/link.js", SCRIPT),
    asset!("page/log.js", SCRIPT),
    asset!("page/socket.js", SCRIPT),
    asset!("page/text.js", SCRIPT),
    asset!("page/transport.js", SCRIPT),
    asset!("page/words.js", SCRIPT),
    asset!("wire.css", STYLE),
    asset!("wire/flow.js", SCRIPT),
    asset!("wire/offer.js", SCRIPT),
    asset!("wire/picture.js", SCRIPT),
    asset!("wire/scale.js", SCRIPT),
    asset!("wire/view.js", SCRIPT),
    asset!("wire/words.js", SCRIPT),
];

impl Asset {
    fn packed(&self) -> Option<Bytes> {
        let pack = || {
            let mut packed = Vec::new();
            let mut packer = GzEncoder::new(self.bytes, Compression::best());
            packer.read_to_end(&mut packed).ok()?;
            Some(packed.into())
        };
        self.packed.get_or_init(pack).clone()
    }

    /// As the one who asks with these `headers` takes it.
    fn answer(&self, headers: &HeaderMap) -> Response {
        let packed = takes_gzip(headers).then(|| self.packed()).flatten();
        let is_packed = packed.is_some();
        let bytes = packed.unwrap_or_else(|| Bytes::from_static(self.bytes));
        let mut response = answer(self.kind, bytes.into());
        let fields = response.headers_mut();
        fields.insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
        if is_packed {
            fields.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        response
    }
}

/// Whether `Accept-Encoding` names gzip, as every browser's does (RFC 9110, section 12.5.3).
fn takes_gzip(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT_ENCODING).iter();
    accepted
        .filter_map(|field| field.to_str().ok())
        .flat_map(|field| field.split(','))
        .map(|coding| coding.split_once(';').unwrap_or((coding, "")))
        .filter(|(name, _)| name.trim().eq_ignore_ascii_case("gzip"))
        .any(|(_, weight)| {
            let weight = weight.trim().to_ascii_lowercase();
            weight.strip_prefix("q=").and_then(|q| q.parse().ok()) != Some(0.0_f32)
        })
}

/// Encodings that the page offers, by the names that browsers know (WHATWG Encoding, section 4.2).
const ENCODINGS: &[&str] = &[
    "UTF-8",
    "GB18030",
    "GBK",
    "Big5",
    "Shift_JIS",
    "EUC-JP",
    "EUC-KR",
    "ISO-8859-1",
    "windows-1252",
    "windows-1251",
];

/// Nothing but what this port serves itself, and no other page around it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                      img-src 'self' data:; media-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
                      require-trusted-types-for 'script'; trusted-types 'none'";

/// What may be done with them.
pub(super) const METHODS: &[Method] = &[Method::GET, Method::HEAD];

/// Whether `target` is one of the page's parts.
pub(super) fn is_part(target: &Uri) -> bool {
    target.path().starts_with(FOLDER)
}

/// The answer to a request for a part of the page. Everyone may see these: they hold nothing of what the
/// service knows.
pub(super) fn part(
    page: &Page,
    connection: &Connection,
    request: &::http::Request<impl Sized>,
) -> Option<Response> {
    let name = request.uri().path().strip_prefix(FOLDER)?;
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let words = "only GET and HEAD here\n";
        let mut response = Refusal::new(StatusCode::METHOD_NOT_ALLOWED, words).response();
        let allowed = HeaderValue::from_static("GET, HEAD, OPTIONS");
        response.headers_mut().insert(header::ALLOW, allowed);
        return Some(response);
    }
    if name.is_empty() {
        return Some(whole(page, request.headers()));
    }
    if name == "facts.json" {
        let facts = facts(page, connection, request.version());
        return Some(answer("application/json", facts.into()));
    }
    Some(match ASSETS.iter().find(|asset| asset.name == name) {
        Some(asset) => asset.answer(request.headers()),
        None => {
            let words = "there is no such part of the page\n";
            Refusal::new(StatusCode::NOT_FOUND, words).response()
        }
    })
}

/// Whether a person looks: a browser that opens an address says that it wants HTML.
pub(super) fn is_wanted(request: &Request) -> bool {
    matches!(*request.method(), Method::GET | Method::HEAD) && accepts_html(request.headers())
}

/// The page itself, for who asks with these `headers`.
pub(super) fn whole(page: &Page, headers: &HeaderMap) -> Response {
    match &*page.service {
        "chat" => CHAT.answer(headers),
        "files" => FILES.answer(headers),
        _ => CONSOLE.answer(headers),
    }
}

fn accepts_html(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT);
    accepted
        .iter()
        .filter_map(|field| field.to_str().ok())
        .flat_map(|field| field.split(','))
        .filter_map(|range| range.split(';').next())
        .any(|range| range.trim().eq_ignore_ascii_case("text/html"))
}

pub(super) fn answer(kind: &'static str, body: Body) -> Response {
    let mut response = Response::new(body);
    for (name, value) in [
        (header::CONTENT_TYPE, kind),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        // The page belongs to the program that runs: a newer one has a newer page.
        (header::CACHE_CONTROL, "no-cache"),
    ] {
        let value = HeaderValue::from_static(value);
        response.headers_mut().insert(name, value);
    }
    response
}

fn facts(page: &Page, connection: &Connection, version: Version) -> String {
    let identity = &connection.identity;
    let tls = identity
        .tls()
        .map(|tls| json!({"version": tls.version, "cipher": tls.cipher, "alpn": tls.alpn}));
    let (host, port) = match identity.local().socket_addr() {
        Some(local) => (local.ip().to_string(), local.port().to_string()),
        None => (identity.local().to_string(), String::new()),
    };
    // A browser takes a certificate by its hash that nobody vouches for.
    let webtransport = connection.webtransport.then(|| {
        let sha256 = connection.host.own_fingerprint();
        json!({"sha256": sha256.map(|sha256| sha256.to_string())})
    });
    let ways = page.ways.iter();
    let ways = ways.map(|way| way.replace("{host}", &host).replace("{port}", &port));
    json!({
        "v": 1,
        "service": page.service,
        "version": page.version,
        "encoding": identity.text_encoding().name(),
        "encodings": ENCODINGS,
        "local": identity.local().to_string(),
        "peer": identity.peer().to_string(),
        "protocol": name(version),
        "tls": tls,
        "webtransport": webtransport,
        "limit": connection.max_message,
        "trace": connection.settings.view.is_some(),
        "ways": ways.collect::<Vec<_>>(),
    })
    .to_string()
}

fn name(version: Version) -> &'static str {
    match version {
        Version::HTTP_2 => "HTTP/2",
        Version::HTTP_3 => "HTTP/3",
        Version::HTTP_10 => "HTTP/1.0",
        _ => "HTTP/1.1",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_takes_gzip_is_sent_it() {
        for (accepted, takes) in [
            (&["gzip, deflate, br, zstd"][..], true),
            (&["deflate", "GZIP;q=0.5"], true),
            (&["br, gzip ; q=0.001"], true),
            (&["gzip;q=0"], false),
            (&["gzip; q=0.000"], false),
            (&["identity, br, gzipped"], false),
            (&["*"], false),
            (&[], false),
        ] {
            let mut headers = HeaderMap::new();
            for line in accepted {
                headers.append(header::ACCEPT_ENCODING, HeaderValue::from_static(line));
            }
            assert_eq!(takes_gzip(&headers), takes, "{accepted:?}");
            let response = CONSOLE.answer(&headers);
            let coding = response.headers().get(header::CONTENT_ENCODING);
            assert_eq!(coding.is_some_and(|coding| coding == "gzip"), takes);
            assert_eq!(response.headers()[header::VARY], "Accept-Encoding");
            let length = http_body::Body::size_hint(response.body()).exact();
            let plain = CONSOLE.bytes.len() as u64;
            assert!(if takes {
                length < Some(plain)
            } else {
                length == Some(plain)
            });
        }
    }

    #[test]
    fn each_page_is_small_on_its_way_and_the_same_when_it_has_come() {
        let shared = ["browser", "link", "socket", "text", "transport", "words"];
        let shared = shared.map(|name| format!("page/{name}.js"));
        // What offers the view belongs to each page, and all else of it comes when somebody wants to look.
        let offer = "wire/offer.js";
        for (whole, folder, most) in [
            (&CONSOLE, "page", 28_500),
            (&CHAT, "chat", 48_000),
            (&FILES, "files", 36_000),
        ] {
            let parts = ASSETS.iter().filter(|asset| {
                asset.name.starts_with(folder)
                    || asset.name == offer
                    || shared.iter().any(|name| name == asset.name)
            });
            let sent: usize = parts.chain([whole]).map(unpacked).sum();
            assert!(sent <= most, "{folder}: {sent} bytes");
        }
        let view = ASSETS.iter().filter(|asset| asset.name.starts_with("wire"));
        let sent: usize = view.map(unpacked).sum();
        assert!(sent <= 17_000, "the view: {sent} bytes");
    }

    /// How long it is on its way; it is the same there.
    fn unpacked(asset: &Asset) -> usize {
        let packed = asset.packed().unwrap();
        let mut plain = Vec::new();
        let mut unpacker = flate2::read::GzDecoder::new(&packed[..]);
        unpacker.read_to_end(&mut plain).unwrap();
        assert!(plain == asset.bytes, "{}", asset.name);
        packed.len()
    }

    #[test]
    fn a_chat_and_a_folder_have_pages_of_their_own() {
        for (service, style) in [
            ("chat", "chat.css"),
            ("files", "files.css"),
            ("echo", "page.css"),
        ] {
            let page = Page {
                service: service.to_owned(),
                version: "1",
                ways: &[],
            };
            let length = http_body::Body::size_hint(whole(&page, &HeaderMap::new()).body()).exact();
            let named = [&CONSOLE, &CHAT, &FILES]
                .into_iter()
                .find(|whole| std::str::from_utf8(whole.bytes).unwrap().contains(style));
            assert_eq!(
                length,
                named.map(|whole| whole.bytes.len() as u64),
                "{service}"
            );
        }
    }

    #[test]
    fn every_part_that_a_page_names_is_served() {
        for asset in ASSETS.iter().chain([&CONSOLE, &CHAT, &FILES]) {
            let text = std::str::from_utf8(asset.bytes).unwrap();
            let folder = asset.name.rsplit_once('/').map_or("", |(folder, _)| folder);
            let imports = text.lines().filter_map(|line| {
                let (_, path) = line
                    .split_once("from '")
                    .or_else(|| line.split_once("import '"))
                    .or_else(|| line.split_once("import('"))?;
                path.strip_suffix("';").or_else(|| path.strip_suffix("');"))
            });
            for path in imports {
                let name = match path.strip_prefix("../") {
                    Some(path) => path.to_owned(),
                    None => format!("{folder}/{}", path.trim_start_matches("./")),
                };
                let name = name.trim_start_matches('/');
                assert!(
                    ASSETS.iter().any(|part| part.name == name),
                    "{}: {name}",
                    asset.name
                );
            }
        }
    }

    #[test]
    fn browsers_want_the_page_and_programs_do_not() {
        for (accept, method, wanted) in [
            // What Chromium and Firefox send, and what curl sends.
            (
                "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
                Method::GET,
                true,
            ),
            ("TEXT/HTML;q=0.5", Method::HEAD, true),
            ("*/*", Method::GET, false),
            ("text/html", Method::POST, false),
            ("text/htmlx", Method::GET, false),
        ] {
            let request = ::http::Request::builder()
                .method(method)
                .header(header::ACCEPT, accept)
                .body(Body::empty())
                .unwrap();
            assert_eq!(is_wanted(&request), wanted, "{accept}");
        }
    }
}
