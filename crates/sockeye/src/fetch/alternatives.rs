//! Where servers say that they speak HTTP/3, too (RFC 7838), remembered for the next time.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::HeaderMap;
use http::header::ALT_SVC;
use serde_json::{Value, json};
use wire::address::HostPort;

use super::Location;

/// Servers of which something is remembered. Of more the oldest are forgotten.
const SERVERS: usize = 256;

/// How long something is true that says no time (RFC 7838, section 3.1).
const FRESH: u64 = 24 * 60 * 60;

/// How long HTTP/3 is not tried where it was not there, or later than TCP: as long as browsers begin with.
const BROKEN: Duration = Duration::from_secs(5 * 60);

/// Where servers say that they speak HTTP/3. Clones share what they know.
#[derive(Clone, Debug, Default)]
pub struct Alternatives(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    servers: Vec<Server>,
    changed: bool,
}

/// What one of them has said. Times are seconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Server {
    /// `https://HOST:PORT`
    origin: String,
    /// `HOST:PORT`, or `:PORT` on the same host.
    place: String,
    until: u64,
    /// Not to be tried before then.
    broken: u64,
}

impl Alternatives {
    /// What [`text`](Self::text) gave once. Lines that are not that, or no longer true, are passed over.
    pub fn of_text(text: &str) -> Self {
        let now = seconds(SystemTime::now());
        let servers = text.lines().filter_map(read).filter(|one| one.until > now);
        let servers = servers.take(SERVERS).collect();
        let changed = false;
        Self(Arc::new(Mutex::new(Known { servers, changed })))
    }

    /// All of it: a JSON object a line.
    pub fn text(&self) -> String {
        let line = |one: &Server| {
            let fields = json!({
                "origin": one.origin, "h3": one.place, "until": one.until, "broken": one.broken,
            });
            format!("{fields}\n")
        };
        self.lock().servers.iter().map(line).collect()
    }

    /// Whether anything else is known than in the beginning.
    pub fn has_changed(&self) -> bool {
        self.lock().changed
    }

    /// Where HTTP/3 is spoken for it.
    pub(super) fn place_of(&self, location: &Location) -> Option<HostPort> {
        let now = seconds(SystemTime::now());
        let (origin, known) = (origin(location), self.lock());
        let fits = |one: &&Server| one.origin == origin && one.until > now && one.broken <= now;
        place(location, &known.servers.iter().find(fits)?.place)
    }

    /// Takes note of what the fields of an answer say; gives the place if that is news.
    pub(super) fn hear(&self, location: &Location, headers: &HeaderMap) -> Option<String> {
        let said = said(location, headers)?;
        let now = seconds(SystemTime::now());
        let origin = origin(location);
        let mut known = self.lock();
        let at = known.servers.iter().position(|one| one.origin == origin);
        let before = at.map(|at| known.servers.remove(at));
        known.changed |= before.is_some() || said.is_some();
        let (place, fresh) = said.filter(|(_, fresh)| *fresh > 0)?;
        let before = before.filter(|before| before.place == place);
        if known.servers.len() >= SERVERS {
            known.servers.remove(0);
        }
        known.servers.push(Server {
            origin,
            place: place.clone(),
            until: now.saturating_add(fresh),
            broken: before.as_ref().map_or(0, |before| before.broken),
        });
        before.is_none().then_some(place)
    }

    /// It was not there, or not in time.
    pub(super) fn was_no_good(&self, location: &Location) {
        let until = seconds(SystemTime::now() + BROKEN);
        let origin = origin(location);
        let mut known = self.lock();
        let Some(at) = known.servers.iter().position(|one| one.origin == origin) else {
            return;
        };
        known.servers[at].broken = until;
        known.changed = true;
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn seconds(moment: SystemTime) -> u64 {
    let since = moment.duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

fn origin(location: &Location) -> String {
    format!("{}://{}", location.scheme(), location.host_port())
}

fn read(line: &str) -> Option<Server> {
    let fields: Value = serde_json::from_str(line).ok()?;
    let text = |name: &str| fields[name].as_str().map(str::to_owned);
    Some(Server {
        origin: text("origin")?,
        place: text("h3")?,
        until: fields["until"].as_u64()?,
        broken: fields["broken"].as_u64()?,
    })
}

/// `HOST:PORT`, or `:PORT` on the host of `location`.
fn place(location: &Location, written: &str) -> Option<HostPort> {
    let (host, port) = written.rsplit_once(':')?;
    let port = port.parse().ok().filter(|port| *port != 0)?;
    if host.is_empty() {
        let host = location.host_port().host;
        return Some(HostPort { host, port });
    }
    // A name that a URL can have; what else could stand in one has no place here.
    let url: Location = format!("https://{host}:{port}").parse().ok()?;
    let plain = url.target() == "/" && url.credentials().is_none() && !host.contains(['?', '#']);
    plain.then(|| url.host_port())
}

/// The first place for HTTP/3 that the fields name, and for how many seconds; `Some(None)`: there is none any more.
/// `None` when nothing is said, or nothing that can be read.
fn said(location: &Location, headers: &HeaderMap) -> Option<Option<(String, u64)>> {
    let mut heard = false;
    for value in headers.get_all(ALT_SVC) {
        let Ok(value) = value.to_str() else { continue };
        if value.trim() == "clear" {
            return Some(None);
        }
        for alternative in outside_quotes(value, ',') {
            let mut parts = outside_quotes(alternative, ';').into_iter().map(str::trim);
            let Some((protocol, at)) = parts.next().and_then(|part| part.split_once('=')) else {
                continue;
            };
            let at = at.trim().trim_matches('"');
            if place(location, at).is_none() {
                continue;
            }
            heard = true;
            if protocol.trim() != "h3" {
                continue;
            }
            let ma = parts.find_map(|part| {
                let (name, value) = part.split_once('=')?;
                let is_ma = name.trim().eq_ignore_ascii_case("ma");
                is_ma.then(|| value.trim().trim_matches('"').parse().ok())?
            });
            return Some(Some((at.to_owned(), ma.unwrap_or(FRESH))));
        }
    }
    heard.then_some(None)
}

/// The parts between `mark`, where that stands in no quoted string.
fn outside_quotes(text: &str, mark: char) -> Vec<&str> {
    let mut quoted = false;
    let parts = text.split(|letter| {
        quoted ^= letter == '"';
        letter == mark && !quoted
    });
    parts.collect()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn hear(known: &Alternatives, location: &Location, value: &str) -> Option<String> {
        let value = HeaderValue::try_from(value).unwrap();
        let headers = HeaderMap::from_iter([(ALT_SVC, value)]);
        known.hear(location, &headers)
    }

    #[test]
    fn what_servers_say() {
        let location: Location = "https://h:8443/x".parse().unwrap();
        for (value, expected) in [
            ("h3=\":443\"", Some("h:443")),
            ("h3=\":443\"; ma=60; persist=1", Some("h:443")),
            (
                "h3-29=\":1\", h3=\"alt.example:2\";ma=60",
                Some("alt.example:2"),
            ),
            ("w=\"a,b;c:1\", h3=\":3\"", Some("h:3")),
            ("h3=\"[::1]:443\"", Some("[::1]:443")),
            ("h2=\":443\"", None),
            ("h3=\":443\"; ma=0", None),
            ("h3=\":0\"", None),
            ("h3=\":99999\"", None),
            ("h3=\"h/evil:443\"", None),
            ("h3=\"u@h:443\"", None),
            ("h3=\"443\"", None),
            ("h3", None),
            ("\"\"\",=;", None),
            ("", None),
        ] {
            let known = Alternatives::default();
            hear(&known, &location, value);
            let found = known.place_of(&location).map(|at| at.to_string());
            assert_eq!(found.as_deref(), expected, "{value}");
        }
    }

    #[test]
    fn it_is_kept_until_something_else_is_said() {
        let location: Location = "https://h/".parse().unwrap();
        let known = Alternatives::default();
        assert_eq!(hear(&known, &location, "h3=\":1\"").as_deref(), Some(":1"));
        assert_eq!(
            hear(&known, &location, "h3=\":1\""),
            None,
            "that is no news"
        );
        assert!(hear(&known, &location, "what is that").is_none());
        assert!(
            known.place_of(&location).is_some(),
            "nonsense changes nothing"
        );
        assert!(known.place_of(&"https://h:1/".parse().unwrap()).is_none());
        let again = Alternatives::of_text(&known.text());
        assert_eq!(again.place_of(&location).unwrap().to_string(), "h:1");
        assert!(known.has_changed() && !again.has_changed());
        again.was_no_good(&location);
        assert!(again.place_of(&location).is_none() && again.has_changed());
        hear(&again, &location, "h3=\":1\"");
        assert!(again.place_of(&location).is_none(), "it is still broken");
        hear(&again, &location, "h3=\":2\"");
        assert!(again.place_of(&location).is_some(), "that is another place");
        hear(&known, &location, "clear");
        assert_eq!(known.text(), "");
    }

    #[test]
    fn a_file_that_is_none_is_passed_over_and_nothing_grows_without_end() {
        let old = r#"{"origin":"https://h:443","h3":":1","until":5,"broken":0}"#;
        for text in ["", "x", "{}", "[1]", "null\n\n", old] {
            assert_eq!(Alternatives::of_text(text).text(), "", "{text}");
        }
        let known = Alternatives::default();
        for number in 0..2 * SERVERS {
            let location = format!("https://h{number}/").parse().unwrap();
            hear(&known, &location, "h3=\":1\"");
        }
        assert_eq!(known.text().lines().count(), SERVERS);
        assert!(known.text().contains("https://h511:443"));
    }
}
