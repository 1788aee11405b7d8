//! What `-d` and its kin send.

use std::io::Read;

use anyhow::{Context, Result};
use http::header::{self, HeaderMap, HeaderValue};
use sockeye::fetch::Payload;

use super::Datum;
use crate::failure::Usage;

/// The data of all flags together.
pub(super) struct Data {
    bytes: Vec<u8>,
    json: bool,
}

/// Reads all of it, and files where they are named.
///
/// # Errors
/// When a file cannot be read, or JSON is mixed with anything else.
pub(super) fn read(data: &[Datum]) -> Result<Option<Data>> {
    let json = data.iter().any(|datum| matches!(datum, Datum::Json(_)));
    if json && data.len() > 1 {
        let what = "--data-json is all that is sent: it does not go with other data";
        return Err(Usage(what.to_owned()).into());
    }
    let mut bytes = Vec::new();
    for (at, datum) in data.iter().enumerate() {
        if at > 0 {
            bytes.push(b'&');
        }
        bytes.extend(piece(datum)?);
    }
    Ok((!data.is_empty()).then_some(Data { bytes, json }))
}

fn piece(datum: &Datum) -> Result<Vec<u8>> {
    let named = |text: &str| match text.strip_prefix('@') {
        Some(path) => file(path),
        None => Ok(text.as_bytes().to_vec()),
    };
    match datum {
        Datum::Raw(text) => Ok(text.as_bytes().to_vec()),
        Datum::Binary(text) | Datum::Json(text) => named(text),
        Datum::Form(text) => {
            let mut bytes = named(text)?;
            if text.starts_with('@') {
                bytes.retain(|byte| !matches!(byte, b'\r' | b'\n' | 0));
            }
            Ok(bytes)
        }
        Datum::Encoded(text) => encoded(text),
    }
}

/// `TEXT`, `=TEXT`, `NAME=TEXT`, `@FILE`, `NAME@FILE`: the text or the file is encoded, the name is not.
fn encoded(text: &str) -> Result<Vec<u8>> {
    let at = text.find(['=', '@']);
    let (name, content) = match at.map(|at| (at, text.as_bytes()[at])) {
        Some((at, b'=')) => (&text[..at], text.as_bytes()[at + 1..].to_vec()),
        Some((at, _)) => (&text[..at], file(&text[at + 1..])?),
        None => ("", text.as_bytes().to_vec()),
    };
    let mut out = name.as_bytes().to_vec();
    if !name.is_empty() {
        out.push(b'=');
    }
    for byte in content {
        match byte {
            // RFC 3986, section 2.3.
            b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'-' | b'.' | b'_' | b'~' => out.push(byte),
            _ => out.extend(format!("%{byte:02X}").bytes()),
        }
    }
    Ok(out)
}

fn file(path: &str) -> Result<Vec<u8>> {
    if path != "-" {
        return std::fs::read(path).with_context(|| format!("cannot read {path}"));
    }
    let mut bytes = Vec::new();
    let read = std::io::stdin().lock().read_to_end(&mut bytes);
    read.context("cannot read standard input")?;
    Ok(bytes)
}

impl Data {
    /// As the query of a URL.
    pub(super) fn query(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }

    pub(super) fn payload(&self) -> Payload {
        Payload::Bytes(self.bytes.clone().into())
    }

    /// Says what it is.
    pub(super) fn describe(&self, headers: &mut HeaderMap) {
        let kind = match self.json {
            true => "application/json",
            false => "application/x-www-form-urlencoded",
        };
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        if self.json {
            headers.insert(header::ACCEPT, HeaderValue::from_static(kind));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(data: &[Datum]) -> String {
        read(data).unwrap().unwrap().query()
    }

    #[test]
    fn pieces_are_joined_in_their_order() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lines");
        std::fs::write(&path, "a\r\nb\n").unwrap();
        let at = format!("@{}", path.display());
        let form = |text: &str| Datum::Form(text.to_owned());
        assert_eq!(
            text(&[form("a=1"), Datum::Raw("@b".into()), form("c")]),
            "a=1&@b&c"
        );
        assert_eq!(text(&[form(&at)]), "ab");
        assert_eq!(text(&[Datum::Binary(at.clone())]), "a\r\nb\n");
        assert_eq!(
            text(&[form("a\nb")]),
            "a\nb",
            "what was typed stays as it is"
        );
        assert_eq!(text(&[form("")]), "");
        let encoded = |text: &str| Datum::Encoded(text.to_owned());
        assert_eq!(
            text(&[encoded("a b=c"), encoded("n=ä&~"), encoded("=x=y")]),
            "a b=c&n=%C3%A4%26~&x%3Dy"
        );
        assert_eq!(text(&[encoded(&format!("n{at}"))]), "n=a%0D%0Ab%0A");
        assert!(read(&[]).unwrap().is_none());
    }

    #[test]
    fn json_is_alone() {
        let json = || Datum::Json("{}".to_owned());
        let mut headers = HeaderMap::new();
        read(&[json()]).unwrap().unwrap().describe(&mut headers);
        assert_eq!(headers[header::ACCEPT], "application/json");
        assert!(read(&[json(), Datum::Raw("x".into())]).is_err());
        assert!(read(&[Datum::Form("@/nowhere/at/all".into())]).is_err());
    }
}
