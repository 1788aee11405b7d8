//! What a client says that the bytes it sends hash to, and whether they do.

use aws_lc_rs::digest::{Algorithm, Context, SHA1_FOR_LEGACY_USE_ONLY, SHA256, SHA512};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName, StatusCode};

use super::trouble::{Trouble, checksum_mismatch};
use crate::transfer::Hash;

/// RFC 9530, sections 2 and 3. Without a content coding both say the same of a whole file.
const SAID: [HeaderName; 2] = [
    HeaderName::from_static("repr-digest"),
    HeaderName::from_static("content-digest"),
];

/// Those that tus has names for here; a server must know the first (section "Checksum").
pub(super) const CHECKSUMS: &str = "sha1,sha256,sha512";

/// What is said of a body, checked while it comes.
#[derive(Default)]
pub(super) struct Proofs {
    /// What is checked where the file is written.
    blake3: Option<Hash>,
    hashed: Vec<(Context, Vec<u8>)>,
}

impl Proofs {
    /// What RFC 9530 says of a whole file. Algorithms that are not known here prove nothing.
    ///
    /// # Errors
    /// When a digest cannot be read.
    pub(super) fn read(headers: &HeaderMap) -> Result<Self, Trouble> {
        let wrong = || {
            let why = "a digest cannot be read: sha-256=:BASE64:";
            Trouble::Wrong(StatusCode::BAD_REQUEST, why)
        };
        let mut proofs = Self::default();
        for line in SAID.iter().flat_map(|name| headers.get_all(name)) {
            for member in line.to_str().map_err(|_| wrong())?.split(',') {
                let (name, value) = member.trim().split_once('=').ok_or_else(wrong)?;
                let value = value.split(';').next().unwrap_or_default().trim();
                let value = value.strip_prefix(':').and_then(|it| it.strip_suffix(':'));
                let value = STANDARD.decode(value.ok_or_else(wrong)?);
                let value = value.map_err(|_| wrong())?;
                match name.trim() {
                    "blake3" => {
                        let bytes = value.try_into().map_err(|_| wrong())?;
                        proofs.blake3 = Some(Hash::from_bytes(bytes));
                    }
                    "sha-256" => proofs.expect(&SHA256, value),
                    "sha-512" => proofs.expect(&SHA512, value),
                    _ => {}
                }
            }
        }
        Ok(proofs)
    }

    /// `Upload-Checksum` of tus: `sha1 BASE64`, of the body of one request.
    ///
    /// # Errors
    /// 400 when the algorithm is not known, or it cannot be read.
    pub(super) fn of_checksum(said: &str) -> Result<Self, Trouble> {
        let wrong = |why| Trouble::Wrong(StatusCode::BAD_REQUEST, why);
        let (name, value) = said.trim().split_once(' ').unwrap_or((said, ""));
        let mut proofs = Self::default();
        let algorithm = match name {
            "sha1" => &SHA1_FOR_LEGACY_USE_ONLY,
            "sha256" => &SHA256,
            "sha512" => &SHA512,
            _ => return Err(wrong("the checksum may be sha1, sha256 or sha512")),
        };
        let value = STANDARD.decode(value.trim());
        proofs.expect(
            algorithm,
            value.map_err(|_| wrong("the checksum is no base64"))?,
        );
        Ok(proofs)
    }

    fn expect(&mut self, algorithm: &'static Algorithm, value: Vec<u8>) {
        self.hashed.push((Context::new(algorithm), value));
    }

    /// The next bytes.
    pub(super) fn update(&mut self, bytes: &[u8]) {
        for (context, _) in &mut self.hashed {
            context.update(bytes);
        }
    }

    /// # Errors
    /// When what came is not what was said. BLAKE3 is still to be compared.
    pub(super) fn check(self) -> Result<Option<Hash>, Trouble> {
        let is_same = |(context, said): (Context, Vec<u8>)| context.finish().as_ref() == said;
        match self.hashed.into_iter().all(is_same) {
            true => Ok(self.blake3),
            false => {
                let why = "what came is not what was sent: its hash is another one";
                Err(Trouble::Wrong(checksum_mismatch(), why))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `printf hello | openssl dgst -sha256 -binary | base64`, the same with -sha1, and `b3sum` in base64.
    const SHA256_HELLO: &str = "LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=";
    const SHA1_HELLO: &str = "qvTGHdzF6KLavt4PO0gs2a6pQ00=";

    #[test]
    fn what_came_is_compared_with_what_was_said() {
        for (said, body, is_same) in [
            (format!("sha-256=:{SHA256_HELLO}:"), "hello", true),
            (format!("sha-256=:{SHA256_HELLO}:"), "hellO", false),
            (
                format!("md5=:AAAA:, sha-256=:{SHA256_HELLO}:;x"),
                "hello",
                true,
            ),
            ("md5=:AAAA:".to_owned(), "anything", true),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert("repr-digest", said.parse().unwrap());
            let mut proofs = Proofs::read(&headers).unwrap();
            proofs.update(body.as_bytes());
            assert_eq!(proofs.check().is_ok(), is_same, "{said} {body}");
        }
        for unreadable in ["sha-256", "sha-256=abc", "sha-256=:!:", "blake3=:AAAA:"] {
            let mut headers = HeaderMap::new();
            headers.insert("content-digest", unreadable.parse().unwrap());
            assert!(Proofs::read(&headers).is_err(), "{unreadable}");
        }
    }

    #[test]
    fn a_checksum_of_tus_has_an_algorithm_that_is_known() {
        let mut proofs = Proofs::of_checksum(&format!("sha1 {SHA1_HELLO}")).unwrap();
        proofs.update(b"hello");
        assert!(proofs.check().is_ok());
        let mut proofs = Proofs::of_checksum(&format!("sha1 {SHA1_HELLO}")).unwrap();
        proofs.update(b"other");
        assert_eq!(proofs.check().unwrap_err().status().as_u16(), 460);
        for wrong in ["md5 AAAA", "sha1 !", ""] {
            let status = Proofs::of_checksum(wrong).err().map(|it| it.status());
            assert_eq!(status, Some(StatusCode::BAD_REQUEST), "{wrong}");
        }
    }
}
