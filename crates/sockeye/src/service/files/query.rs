//! What a request says of how something is to be shown.

use http::header;
use http::request::Parts;

/// How a file or a folder is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shown {
    /// As whoever asks likes it.
    Best,
    /// `?json`, or JSON is what is accepted.
    Json,
    /// `?plain`: a listing that needs no script.
    Plain,
    /// `?download`: to be saved, and not shown.
    Download,
    /// `?archive=…`: all that is in a folder, as one file.
    Archive(Pack),
}

/// How the files of a folder become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pack {
    Zip,
    Tar,
    TarZst,
}

impl Shown {
    pub(super) fn of(request: &Parts) -> Self {
        let query = request.uri.query().unwrap_or_default();
        for pair in query.split('&') {
            match pair {
                "json" => return Self::Json,
                "plain" => return Self::Plain,
                "download" => return Self::Download,
                "archive=zip" => return Self::Archive(Pack::Zip),
                "archive=tar" => return Self::Archive(Pack::Tar),
                "archive=tar.zst" => return Self::Archive(Pack::TarZst),
                _ => {}
            }
        }
        let accepted = request.headers.get_all(header::ACCEPT).iter();
        let mut accepted = accepted
            .filter_map(|line| line.to_str().ok())
            .flat_map(|line| line.split(','))
            .map(|range| range.split(';').next().unwrap_or_default().trim());
        // Whichever of the two is named first: browsers name the one, programs the other.
        let first = accepted.find(|kind| {
            kind.eq_ignore_ascii_case("text/html") || kind.eq_ignore_ascii_case("application/json")
        });
        match first {
            Some(kind) if kind.eq_ignore_ascii_case("application/json") => Self::Json,
            _ => Self::Best,
        }
    }
}

impl Pack {
    /// What its file has at the end of its name.
    pub(super) fn extension(self) -> &'static str {
        match self {
            Self::Zip => ".zip",
            Self::Tar => ".tar",
            Self::TarZst => ".tar.zst",
        }
    }

    /// Its media type. A tar has none that is registered.
    pub(super) fn media_type(self) -> &'static str {
        match self {
            Self::Zip => "application/zip",
            Self::Tar => "application/x-tar",
            Self::TarZst => "application/zstd",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_query_wins_over_what_is_accepted() {
        const BROWSER: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
        for (target, accept, shown) in [
            ("/", "*/*", Shown::Best),
            ("/", BROWSER, Shown::Best),
            ("/", "application/json", Shown::Json),
            ("/", "Application/JSON;q=0.9, */*", Shown::Json),
            ("/?json", BROWSER, Shown::Json),
            ("/?token=x&json", BROWSER, Shown::Json),
            ("/?plain", BROWSER, Shown::Plain),
            ("/?archive=zip", BROWSER, Shown::Archive(Pack::Zip)),
            ("/?archive=tar.zst", "*/*", Shown::Archive(Pack::TarZst)),
            ("/?archive=rar", "*/*", Shown::Best),
            ("/a?download", BROWSER, Shown::Download),
        ] {
            let request = http::Request::get(target).header(header::ACCEPT, accept);
            let (parts, ()) = request.body(()).unwrap().into_parts();
            assert_eq!(Shown::of(&parts), shown, "{target} {accept}");
        }
    }
}
