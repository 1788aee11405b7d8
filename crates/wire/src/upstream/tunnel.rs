//! CONNECT of HTTP/1.1 (RFC 9110, section 9.3.6), with a user and a password (RFC 7617) where there are some.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::{Credentials, Heard, Refusal};
use crate::address::HostPort;

/// A proxy's head of an answer may be this long, in bytes and in fields.
const HEAD_MAX: usize = 16 * 1024;
const FIELDS_MAX: usize = 64;

pub(super) fn request(to: &HostPort, credentials: Option<&Credentials>) -> Vec<u8> {
    let host = super::host(&to.host);
    let port = to.port;
    let mut request = format!("CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n");
    if let Some(Credentials { user, password }) = credentials {
        let proof = STANDARD.encode(format!("{user}:{password}"));
        request.push_str(&format!("Proxy-Authorization: Basic {proof}\r\n"));
    }
    request.push_str("\r\n");
    request.into_bytes()
}

pub(super) fn hear(head: &[u8]) -> Result<Heard, Refusal> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let mut answer = httparse::Response::new(&mut fields);
    let used = match answer.parse(&head[..head.len().min(HEAD_MAX)]) {
        Ok(httparse::Status::Complete(used)) => used,
        Ok(httparse::Status::Partial) if head.len() < HEAD_MAX => return Ok(Heard::NeedMore),
        Ok(httparse::Status::Partial) => return Err(garbled("its answer is too long")),
        Err(error) => return Err(garbled(&error.to_string())),
    };
    match answer.code.unwrap_or_default() {
        // Interim: the answer is still to come (RFC 9110, section 15.2).
        100..200 => Ok(Heard::Answer {
            used,
            say: Vec::new(),
        }),
        200..300 => Ok(Heard::Done { used }),
        407 => Err(Refusal::NeedsCredentials),
        code => {
            let reason = answer.reason.unwrap_or_default();
            Err(Refusal::Refused(
                format!("{code} {reason}").trim_end().to_owned(),
            ))
        }
    }
}

fn garbled(what: &str) -> Refusal {
    Refusal::Garbled("HTTP/1.1", what.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to(text: &str) -> HostPort {
        let address: crate::address::Address = text.parse().unwrap();
        address.hosts()[0].clone()
    }

    #[test]
    fn a_request_names_host_and_port() {
        assert_eq!(
            request(&to("example.org:443"), None),
            b"CONNECT example.org:443 HTTP/1.1\r\nHost: example.org:443\r\n\r\n"
        );
        assert!(request(&to("[fe80::1%eth0]:1"), None).starts_with(b"CONNECT [fe80::1]:1 "));
        // The example of RFC 7617, section 2.
        let aladdin = Credentials {
            user: "Aladdin".to_owned(),
            password: "open sesame".to_owned(),
        };
        let request = request(&to("h:1"), Some(&aladdin));
        let field = b"\r\nProxy-Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n\r\n";
        assert!(request.ends_with(field), "{}", request.escape_ascii());
    }

    #[test]
    fn the_tunnel_begins_behind_the_head() {
        let head = b"HTTP/1.1 200 Connection established\r\nVia: x\r\n\r\n";
        for end in 0..head.len() {
            assert_eq!(hear(&head[..end]), Ok(Heard::NeedMore));
        }
        let used = head.len();
        assert_eq!(
            hear(&[&head[..], b"SSH-2.0"].concat()),
            Ok(Heard::Done { used })
        );
        assert_eq!(hear(b"HTTP/1.0 200\r\n\r\n"), Ok(Heard::Done { used: 16 }));
        assert_eq!(
            hear(b"HTTP/1.1 102 Processing\r\n\r\n"),
            Ok(Heard::Answer {
                used: 27,
                say: Vec::new()
            })
        );
    }

    #[test]
    fn refusals_are_told_apart() {
        let refused = |text: &str| Err(Refusal::Refused(text.to_owned()));
        for (head, expected) in [
            (
                "HTTP/1.1 407 Proxy Authentication Required\r\n\r\n",
                Err(Refusal::NeedsCredentials),
            ),
            ("HTTP/1.1 403 Forbidden\r\n\r\n", refused("403 Forbidden")),
            (
                "HTTP/1.0 502 Bad Gateway\r\n\r\n",
                refused("502 Bad Gateway"),
            ),
            ("HTTP/1.1 503\r\n\r\n", refused("503")),
        ] {
            assert_eq!(hear(head.as_bytes()), expected);
        }
        for garbage in [
            &b"SSH-2.0-OpenSSH\r\n"[..],
            b"\x05\x00",
            b"HTTP/1.1 2\r\n\r\n",
        ] {
            assert!(matches!(
                hear(garbage),
                Err(Refusal::Garbled("HTTP/1.1", _))
            ));
        }
        let endless = [b"HTTP/1.1 200 OK\r\nX: ".to_vec(), vec![b'x'; HEAD_MAX]].concat();
        assert_eq!(hear(&endless[..HEAD_MAX - 1]), Ok(Heard::NeedMore));
        assert!(matches!(hear(&endless), Err(Refusal::Garbled(..))));
        let fields = "X: y\r\n".repeat(FIELDS_MAX + 1);
        let many = format!("HTTP/1.1 200 OK\r\n{fields}\r\n");
        assert!(matches!(hear(many.as_bytes()), Err(Refusal::Garbled(..))));
    }
}
