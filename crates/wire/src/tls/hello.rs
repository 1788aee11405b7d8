//! What client and server say to each other before anything is encrypted.

use crate::fields::Fields;

/// What a client offers (RFC 8446, section 4.1.2).
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct ClientHello {
    /// Names the connection in key logs.
    pub random: [u8; 32],
    /// Its cipher suites.
    pub ciphers: Vec<u16>,
    /// Whom it wants to reach (RFC 6066, section 3).
    pub server_name: Option<String>,
    /// The protocols that it would speak inside (RFC 7301).
    pub alpn: Vec<String>,
    /// The versions of TLS that it knows.
    pub versions: Vec<u16>,
    /// The groups for which it has sent a key share.
    pub shares: Vec<u16>,
    /// It goes on with an earlier session.
    pub resumes: bool,
    /// It sends data at once (RFC 8446, section 2.3).
    pub early_data: bool,
}

/// What a server chooses (RFC 8446, section 4.1.3).
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct ServerHello {
    /// Its part of what keys are made from.
    pub random: [u8; 32],
    /// The version of TLS.
    pub version: u16,
    /// The cipher suite.
    pub cipher: u16,
    /// The group in which the secret is agreed on.
    pub group: Option<u16>,
    /// The protocol inside; in TLS 1.3 that is said later.
    pub alpn: Option<String>,
    /// It asks the client to begin again (section 4.1.4).
    pub retry: bool,
}

/// The random of a ServerHello that is a HelloRetryRequest.
const RETRY: [u8; 32] = [
    0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91,
    0xc2, 0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
];

const SERVER_NAME: u16 = 0;
const ALPN: u16 = 16;
const PRE_SHARED_KEY: u16 = 41;
const EARLY_DATA: u16 = 42;
const SUPPORTED_VERSIONS: u16 = 43;
const KEY_SHARE: u16 = 51;

impl ClientHello {
    /// Reads the body of the message. Extensions that are broken are passed over.
    #[must_use]
    pub fn read(body: &[u8]) -> Option<Self> {
        let mut fields = Fields(body);
        let mut hello = Self::default();
        let version = fields.half()?;
        hello.random = *fields.bytes(32)?.first_chunk()?;
        fields.short()?;
        hello.ciphers = fields.long()?.halves();
        fields.short()?;
        for (kind, value) in extensions(fields) {
            hello.extension(kind, Fields(value));
        }
        if hello.versions.is_empty() {
            hello.versions.push(version);
        }
        Some(hello)
    }

    fn extension(&mut self, kind: u16, mut value: Fields<'_>) -> Option<()> {
        match kind {
            SERVER_NAME => {
                let mut names = value.long()?;
                let host = names.byte()? == 0;
                let name = names.long()?.0;
                self.server_name = host.then(|| String::from_utf8_lossy(name).into_owned());
            }
            ALPN => self.alpn = protocols(value),
            SUPPORTED_VERSIONS => self.versions = value.short()?.halves(),
            KEY_SHARE => {
                let mut shares = value.long()?;
                while let (Some(group), Some(_)) = (shares.half(), shares.long()) {
                    self.shares.push(group);
                }
            }
            PRE_SHARED_KEY => self.resumes = true,
            EARLY_DATA => self.early_data = true,
            _ => {}
        }
        Some(())
    }
}

impl ServerHello {
    /// Reads the body of the message.
    #[must_use]
    pub fn read(body: &[u8]) -> Option<Self> {
        let mut fields = Fields(body);
        let mut hello = Self {
            version: fields.half()?,
            ..Self::default()
        };
        hello.random = *fields.bytes(32)?.first_chunk()?;
        hello.retry = hello.random == RETRY;
        fields.short()?;
        hello.cipher = fields.half()?;
        fields.byte()?;
        for (kind, value) in extensions(fields) {
            let mut value = Fields(value);
            match kind {
                SUPPORTED_VERSIONS => hello.version = value.half().unwrap_or(hello.version),
                KEY_SHARE => hello.group = value.half(),
                ALPN => hello.alpn = protocols(value).pop(),
                _ => {}
            }
        }
        Some(hello)
    }
}

/// The protocol that EncryptedExtensions, whose body this is, choose (RFC 8446, section 4.3.1).
#[must_use]
pub fn alpn_of_extensions(body: &[u8]) -> Option<String> {
    let mut all = extensions(Fields(body));
    let (_, value) = all.find(|(kind, _)| *kind == ALPN)?;
    protocols(Fields(value)).pop()
}

fn extensions(mut fields: Fields<'_>) -> impl Iterator<Item = (u16, &[u8])> {
    let mut all = fields.long().unwrap_or(Fields(&[]));
    std::iter::from_fn(move || Some((all.half()?, all.long()?.0)))
}

fn protocols(mut value: Fields<'_>) -> Vec<String> {
    let mut list = value.long().unwrap_or(Fields(&[]));
    let names = std::iter::from_fn(|| list.short());
    names
        .map(|name| String::from_utf8_lossy(name.0).into_owned())
        .collect()
}
