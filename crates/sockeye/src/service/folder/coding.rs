//! Which encoding of a file the client takes (RFC 9110, section 12.5.3).

use http::{HeaderMap, header};

/// A content coding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::service) enum Coding {
    /// RFC 7932.
    Brotli,
    /// RFC 8878.
    Zstd,
    /// RFC 1952.
    Gzip,
}

/// The best first: smaller for the same text.
const ALL: [Coding; 3] = [Coding::Brotli, Coding::Zstd, Coding::Gzip];

impl Coding {
    /// As it is registered.
    pub(in crate::service) fn name(self) -> &'static str {
        match self {
            Self::Brotli => "br",
            Self::Zstd => "zstd",
            Self::Gzip => "gzip",
        }
    }

    /// What a file that was encoded beforehand has at the end of its name.
    pub(in crate::service) fn extension(self) -> &'static str {
        match self {
            Self::Brotli => ".br",
            Self::Zstd => ".zst",
            Self::Gzip => ".gz",
        }
    }
}

/// What a client takes, weights in thousandths.
#[derive(Debug)]
pub(in crate::service) struct Accepted {
    weights: [u16; ALL.len()],
    identity: u16,
}

impl Accepted {
    /// Without `Accept-Encoding` nothing is encoded: whoever says nothing may well not know how to decode.
    pub(in crate::service) fn read(headers: &HeaderMap) -> Self {
        let mut given = [None; ALL.len()];
        let (mut identity, mut others) = (None, None);
        for line in headers.get_all(header::ACCEPT_ENCODING) {
            for element in line.to_str().unwrap_or_default().split(',') {
                let (name, parameters) = element.split_once(';').unwrap_or((element, ""));
                let name = name.trim().to_ascii_lowercase();
                let weight = Some(weight(parameters));
                match name.strip_prefix("x-").unwrap_or(&name) {
                    "*" => others = weight,
                    "identity" => identity = weight,
                    name => {
                        if let Some(place) = ALL.iter().position(|coding| coding.name() == name) {
                            given[place] = weight;
                        }
                    }
                }
            }
        }
        Self {
            weights: given.map(|weight| weight.or(others).unwrap_or(0)),
            // Unless it is refused it is always good enough, if nothing else is.
            identity: identity
                .or_else(|| others.filter(|weight| *weight == 0))
                .unwrap_or(1),
        }
    }

    /// What the client would rather have than the file as it is, the best first.
    pub(in crate::service) fn codings(&self) -> impl Iterator<Item = Coding> {
        let mut wanted: Vec<(u16, Coding)> = self
            .weights
            .into_iter()
            .zip(ALL)
            .filter(|(weight, _)| *weight > 0 && *weight >= self.identity)
            .collect();
        wanted.sort_by_key(|(weight, _)| std::cmp::Reverse(*weight));
        wanted.into_iter().map(|(_, coding)| coding)
    }

    /// Whether the file may go as it is.
    pub(in crate::service) fn takes_identity(&self) -> bool {
        self.identity > 0
    }
}

/// `q=0.5` in thousandths; 1 when it is not said, 0 when it cannot be read.
fn weight(parameters: &str) -> u16 {
    let quality = parameters.split(';').find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("q").then(|| value.trim())
    });
    let Some(quality) = quality else { return 1000 };
    match quality.parse::<f32>() {
        Ok(quality) if (0.0..=1.0).contains(&quality) => (quality * 1000.0) as u16,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::Coding::{Brotli, Gzip, Zstd};
    use super::*;
    use http::HeaderValue;

    fn read(lines: &[&str]) -> (Vec<Coding>, bool) {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(
                header::ACCEPT_ENCODING,
                HeaderValue::from_str(line).unwrap(),
            );
        }
        let accepted = Accepted::read(&headers);
        (accepted.codings().collect(), accepted.takes_identity())
    }

    #[test]
    fn weights_decide_and_then_size() {
        for (line, codings, identity) in [
            ("gzip, deflate, br, zstd", vec![Brotli, Zstd, Gzip], true),
            ("gzip, deflate", vec![Gzip], true),
            ("GZIP", vec![Gzip], true),
            ("x-gzip", vec![Gzip], true),
            ("gzip;q=1.0, br;q=0.5", vec![Gzip, Brotli], true),
            ("br;q=0, gzip;q=0.001", vec![Gzip], true),
            ("br ; Q = 0.8 , zstd;q=0.9", vec![Zstd, Brotli], true),
            ("*", vec![Brotli, Zstd, Gzip], true),
            ("*;q=0.5, br;q=0", vec![Zstd, Gzip], true),
            ("identity", vec![], true),
            ("identity;q=1, gzip;q=0.5", vec![], true),
            ("identity;q=0.5, gzip;q=0.5", vec![Gzip], true),
            ("identity;q=0.5, gzip", vec![Gzip], true),
            ("identity;q=0, gzip", vec![Gzip], false),
            ("identity;q=0", vec![], false),
            ("*;q=0", vec![], false),
            ("gzip, *;q=0", vec![Gzip], false),
            ("identity, *;q=0", vec![], true),
            ("", vec![], true),
            ("gzip;q=2", vec![], true),
            ("gzip;q=-1", vec![], true),
            ("gzip;q=NaN", vec![], true),
            ("gzip;q=", vec![], true),
            ("gzip;v=1", vec![Gzip], true),
            ("deflate, compress, sdch", vec![], true),
            (",,;,gzip,", vec![Gzip], true),
        ] {
            assert_eq!(read(&[line]), (codings, identity), "{line:?}");
        }
        assert_eq!(read(&[]), (vec![], true));
        assert_eq!(read(&["gzip", "br"]), (vec![Brotli, Gzip], true));
    }
}
