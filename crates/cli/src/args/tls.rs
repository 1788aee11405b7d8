//! TLS: who we are, and whom we trust.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use sockeye::{
    Fingerprint, KeyLog, TlsClientOptions, TlsFiles, TlsIdentity, TlsServerOptions, TlsVersion,
};

/// TLS of a server.
#[derive(Debug, Args)]
#[command(next_help_heading = "TLS (docs/TLS.md)")]
pub(crate) struct ServeTlsArgs {
    /// Our certificate and those of its authorities, as PEM [default: self-signed, made and renewed by itself]
    #[arg(long, value_name = "FILE")]
    cert: Option<PathBuf>,
    /// Its private key, as PEM [default: in the file of --cert]
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
    /// Only clients with a certificate of these authorities may come (repeatable)
    #[arg(long, value_name = "FILE")]
    client_ca: Vec<PathBuf>,
    /// What is spoken in QUIC beside `sockeye`, by the names of ALPN (repeatable)
    #[arg(long, value_name = "NAME", value_delimiter = ',', value_parser = protocol)]
    alpn: Vec<String>,
    /// The oldest version of TLS that is spoken; in QUIC it is always 1.3
    #[arg(long, value_name = "VERSION", value_enum, default_value = "1.2")]
    tls_min: Version,
    /// Who hears the keys of connections.
    #[arg(skip)]
    pub(crate) hearer: Option<KeyLog>,
}

/// TLS of a client.
#[derive(Debug, Args)]
#[command(next_help_heading = "TLS (docs/TLS.md)")]
pub(crate) struct ConnectTlsArgs {
    /// Trust these authorities instead of the system's (PEM, repeatable)
    #[arg(long, value_name = "FILE")]
    ca: Vec<PathBuf>,
    /// Trust the certificate with this SHA-256 and no other, whoever signed it (hex, repeatable)
    #[arg(long, value_name = "SHA256")]
    pin: Vec<Fingerprint>,
    /// Trust anyone: whoever is in between can read and change everything
    #[arg(long, conflicts_with_all = ["ca", "pin"])]
    insecure: bool,
    /// The name to ask for and to verify [default: the host]
    #[arg(long, value_name = "NAME")]
    servername: Option<String>,
    /// What to speak inside, by the names of ALPN, the best first (repeatable)
    #[arg(long, value_name = "NAME", value_delimiter = ',', value_parser = protocol)]
    alpn: Vec<String>,
    /// Our certificate, for servers that ask for one, as PEM
    #[arg(long, value_name = "FILE")]
    cert: Option<PathBuf>,
    /// Its private key, as PEM [default: in the file of --cert]
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
    /// The oldest version of TLS that is spoken
    #[arg(long, value_name = "VERSION", value_enum, default_value = "1.2")]
    tls_min: Version,
    /// Who hears the keys of connections.
    #[arg(skip)]
    pub(crate) hearer: Option<KeyLog>,
}

/// TLS with the targets of a relay that listens.
#[derive(Debug, Args)]
#[command(next_help_heading = "TLS to the target (docs/TLS.md)")]
pub(crate) struct TargetTlsArgs {
    /// Trust these authorities instead of the system's (PEM, repeatable)
    #[arg(long, value_name = "FILE")]
    target_ca: Vec<PathBuf>,
    /// Trust the certificate with this SHA-256 and no other, whoever signed it (hex, repeatable)
    #[arg(long, value_name = "SHA256")]
    target_pin: Vec<Fingerprint>,
    /// Trust anyone: whoever is in between can read and change everything
    #[arg(long, conflicts_with_all = ["target_ca", "target_pin"])]
    target_insecure: bool,
    /// The name to ask targets for and to verify [default: the host of each]
    #[arg(long, value_name = "NAME")]
    target_servername: Option<String>,
    /// What to speak inside, by the names of ALPN, the best first (repeatable)
    #[arg(long, value_name = "NAME", value_delimiter = ',', value_parser = protocol)]
    target_alpn: Vec<String>,
    /// Our certificate, for targets that ask for one, as PEM
    #[arg(long, value_name = "FILE")]
    target_cert: Option<PathBuf>,
    /// Its private key, as PEM [default: in the file of --target-cert]
    #[arg(long, value_name = "FILE", requires = "target_cert")]
    target_key: Option<PathBuf>,
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Version {
    #[value(name = "1.2")]
    V1_2,
    #[value(name = "1.3")]
    V1_3,
}

impl From<Version> for TlsVersion {
    fn from(version: Version) -> Self {
        match version {
            Version::V1_2 => Self::V1_2,
            Version::V1_3 => Self::V1_3,
        }
    }
}

impl ServeTlsArgs {
    /// The flags that were given and that only TLS understands.
    pub(crate) fn given(&self) -> Vec<&'static str> {
        given(&[
            ("--cert", self.cert.is_some()),
            ("--client-ca", !self.client_ca.is_empty()),
            ("--alpn", !self.alpn.is_empty()),
            ("--tls-min", self.tls_min != Version::V1_2),
        ])
    }

    /// The files that they name.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        let own = self.cert.iter().chain(&self.key);
        own.chain(&self.client_ca).cloned().collect()
    }

    /// Whether clients must show a certificate.
    pub(crate) fn asks_for_certificates(&self) -> bool {
        !self.client_ca.is_empty()
    }

    /// What the flags say.
    pub(crate) fn options(&self) -> TlsServerOptions {
        let files = files(self.cert.as_ref(), self.key.as_ref());
        TlsServerOptions {
            identity: files.map_or_else(TlsIdentity::default, TlsIdentity::Files),
            client_authorities: self.client_ca.clone(),
            alpn: self.alpn.clone(),
            oldest: self.tls_min.into(),
            key_log: None,
        }
    }
}

impl ConnectTlsArgs {
    /// The flags that were given and that only TLS understands.
    pub(crate) fn given(&self) -> Vec<&'static str> {
        given(&[
            ("--ca", !self.ca.is_empty()),
            ("--pin", !self.pin.is_empty()),
            ("--insecure", self.insecure),
            ("--servername", self.servername.is_some()),
            ("--alpn", !self.alpn.is_empty()),
            ("--cert", self.cert.is_some()),
            ("--tls-min", self.tls_min != Version::V1_2),
        ])
    }

    /// Whether anyone is trusted.
    pub(crate) fn is_insecure(&self) -> bool {
        self.insecure
    }

    /// What the flags say.
    pub(crate) fn options(&self) -> TlsClientOptions {
        TlsClientOptions {
            authorities: self.ca.clone(),
            pins: self.pin.clone(),
            insecure: self.insecure,
            server_name: self.servername.clone(),
            alpn: self.alpn.clone(),
            identity: files(self.cert.as_ref(), self.key.as_ref()),
            oldest: self.tls_min.into(),
            key_log: None,
        }
    }
}

impl TargetTlsArgs {
    /// The flags that were given.
    pub(crate) fn given(&self) -> Vec<&'static str> {
        given(&[
            ("--target-ca", !self.target_ca.is_empty()),
            ("--target-pin", !self.target_pin.is_empty()),
            ("--target-insecure", self.target_insecure),
            ("--target-servername", self.target_servername.is_some()),
            ("--target-alpn", !self.target_alpn.is_empty()),
            ("--target-cert", self.target_cert.is_some()),
        ])
    }

    /// Whether anyone is trusted.
    pub(crate) fn is_insecure(&self) -> bool {
        self.target_insecure
    }

    /// What the flags say; the oldest version is that of the server itself.
    pub(crate) fn options(&self, server: &ServeTlsArgs) -> TlsClientOptions {
        TlsClientOptions {
            authorities: self.target_ca.clone(),
            pins: self.target_pin.clone(),
            insecure: self.target_insecure,
            server_name: self.target_servername.clone(),
            alpn: self.target_alpn.clone(),
            identity: files(self.target_cert.as_ref(), self.target_key.as_ref()),
            oldest: server.tls_min.into(),
            key_log: None,
        }
    }
}

fn given(flags: &[(&'static str, bool)]) -> Vec<&'static str> {
    let given = flags.iter().filter(|(_, given)| *given);
    given.map(|(flag, _)| *flag).collect()
}

fn files(certificate: Option<&PathBuf>, key: Option<&PathBuf>) -> Option<TlsFiles> {
    certificate.map(|certificate| TlsFiles {
        certificate: certificate.clone(),
        key: key.cloned(),
    })
}

/// A name of ALPN: 1 to 255 bytes (RFC 7301, section 3.1).
fn protocol(name: &str) -> Result<String, String> {
    match name.len() {
        1..=255 => Ok(name.to_owned()),
        _ => Err("write a name such as h2 or http/1.1".to_owned()),
    }
}
