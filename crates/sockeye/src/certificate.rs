//! A certificate as people speak of it: whose it is, who signed it, how long it is valid, and its fingerprint.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::time::ASN1Time;

/// A certificate as it was shown (X.509 version 3, RFC 5280). Nothing of it is read before it is asked for.
#[derive(Clone, PartialEq, Eq)]
pub struct Certificate {
    der: Bytes,
}

/// What a certificate says.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CertificateFacts {
    /// Whose it is: `CN=example.org, O=Example`.
    pub subject: String,
    /// Who signed it.
    pub issuer: String,
    /// The hosts that it is for: names, with or without a wildcard, and addresses (the extension
    /// `subjectAltName`).
    pub names: Vec<String>,
    /// When it begins to be valid.
    pub valid_from: SystemTime,
    /// When it is valid no more.
    pub valid_until: SystemTime,
    /// Whether it names itself as its issuer.
    pub self_signed: bool,
}

/// The SHA-256 of a certificate: what it is recognised by.
///
/// Written as 32 pairs of hex digits with colons between them, and read with or without the colons.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint(pub [u8; 32]);

impl Certificate {
    /// A certificate in its binary form (DER).
    pub fn from_der(der: impl Into<Bytes>) -> Self {
        Self { der: der.into() }
    }

    /// Its binary form.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// What it is recognised by.
    pub fn sha256(&self) -> Fingerprint {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &self.der);
        let mut sum = [0; 32];
        sum.copy_from_slice(digest.as_ref());
        Fingerprint(sum)
    }

    /// What it says; `None` when it cannot be read.
    pub fn facts(&self) -> Option<CertificateFacts> {
        let (_, read) = X509Certificate::from_der(&self.der).ok()?;
        let names = match read.subject_alternative_name() {
            Ok(Some(names)) => names.value.general_names.iter().filter_map(host).collect(),
            _ => Vec::new(),
        };
        Some(CertificateFacts {
            subject: read.subject().to_string(),
            issuer: read.issuer().to_string(),
            names,
            valid_from: moment(read.validity().not_before),
            valid_until: moment(read.validity().not_after),
            self_signed: read.subject().as_raw() == read.issuer().as_raw(),
        })
    }

    /// From when and until when it is valid; `None` when it cannot be read.
    pub fn validity(&self) -> Option<(SystemTime, SystemTime)> {
        let (_, read) = X509Certificate::from_der(&self.der).ok()?;
        let validity = read.validity();
        Some((moment(validity.not_before), moment(validity.not_after)))
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Certificate({})", self.sha256())
    }
}

/// A name of the extension, if it is one of a host.
fn host(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(octets) => address(octets),
        _ => None,
    }
}

fn address(octets: &[u8]) -> Option<String> {
    let v4 = <[u8; 4]>::try_from(octets).map(|octets| std::net::Ipv4Addr::from(octets).to_string());
    let v6 =
        || <[u8; 16]>::try_from(octets).map(|octets| std::net::Ipv6Addr::from(octets).to_string());
    v4.or_else(|_| v6()).ok()
}

fn moment(time: ASN1Time) -> SystemTime {
    let seconds = Duration::from_secs(time.timestamp().unsigned_abs());
    match time.timestamp() < 0 {
        true => UNIX_EPOCH - seconds,
        false => UNIX_EPOCH + seconds,
    }
}

/// A moment as it is told in a sentence: `2026-01-31 12:34 UTC`.
pub fn minute(moment: SystemTime) -> String {
    let seconds = match moment.duration_since(UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_secs()),
        Err(before) => i64::try_from(before.duration().as_secs()).map(|seconds| -seconds),
    };
    let time = seconds.ok().map(ASN1Time::from_timestamp);
    match time {
        Some(Ok(time)) => {
            let time = time.to_datetime();
            format!(
                "{} {:02}:{:02} UTC",
                time.date(),
                time.hour(),
                time.minute()
            )
        }
        _ => "a time that no calendar has".to_owned(),
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, byte) in self.0.iter().enumerate() {
            let colon = if at == 0 { "" } else { ":" };
            write!(f, "{colon}{byte:02X}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Fingerprint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bytes = wire::hex::parse(text).map_err(|error| error.to_string())?;
        let n = bytes.len();
        let sum = bytes
            .try_into()
            .map_err(|_| format!("a SHA-256 has 32 bytes (64 hex digits), and this has {n}"))?;
        Ok(Self(sum))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_is_written_with_colons_and_read_in_any_spelling() {
        let sum: [u8; 32] = std::array::from_fn(|n| n as u8 * 8);
        let text = Fingerprint(sum).to_string();
        assert!(text.starts_with("00:08:10:18:20:"), "{text}");
        assert!(text.ends_with(":F0:F8"), "{text}");
        for spelling in [
            text.clone(),
            text.to_lowercase(),
            text.replace(':', ""),
            text.replace(':', " "),
        ] {
            assert_eq!(spelling.parse(), Ok(Fingerprint(sum)), "{spelling}");
        }
        for wrong in ["", "ab", "xyz", &text[3..], &format!("{text}:00")] {
            assert!(wrong.parse::<Fingerprint>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_certificate_says_whose_it_is_and_how_long_it_is_valid() {
        let key = rcgen::KeyPair::generate().unwrap();
        let names = ["localhost", "*.example.org", "127.0.0.1", "::1"].map(str::to_owned);
        let mut params = rcgen::CertificateParams::new(names.clone()).unwrap();
        params
            .distinguished_name
            .push(rcgen::DnType::CommonName, "me");
        params.not_before = rcgen::date_time_ymd(1969, 12, 31);
        params.not_after = rcgen::date_time_ymd(2026, 1, 31);
        let made = params.self_signed(&key).unwrap();
        let certificate = Certificate::from_der(made.der().to_vec());
        let facts = certificate.facts().unwrap();
        assert_eq!((&*facts.subject, &*facts.issuer), ("CN=me", "CN=me"));
        assert!(facts.self_signed);
        assert_eq!(facts.names, names);
        assert_eq!(minute(facts.valid_from), "1969-12-31 00:00 UTC");
        assert_eq!(minute(facts.valid_until), "2026-01-31 00:00 UTC");
        let validity = certificate.validity();
        assert_eq!(validity, Some((facts.valid_from, facts.valid_until)));
        let nonsense = Certificate::from_der(&b"nonsense"[..]);
        assert_eq!((nonsense.facts(), nonsense.validity()), (None, None));
    }
}
