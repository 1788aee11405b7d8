//! SOCKS version 5 (RFC 1928), with a user and a password (RFC 1929) where the proxy wants them.

use super::{Credentials, Heard, Refusal};
use crate::address::{Host, HostPort};

const VERSION: u8 = 5;
const CONNECT: u8 = 1;

/// Methods of RFC 1928, section 3.
const OPEN: u8 = 0;
const PASSWORD: u8 = 2;
const NONE: u8 = 0xff;

/// How far the conversation is.
#[derive(Debug)]
pub(super) struct Talk {
    expected: Expected,
    /// The request, which is said once the proxy knows us.
    request: Vec<u8>,
    /// What proves who we are.
    proof: Option<Vec<u8>>,
}

#[derive(Debug)]
enum Expected {
    Method,
    Verdict,
    Reply,
}

pub(super) fn begin(
    to: &HostPort,
    credentials: Option<&Credentials>,
) -> Result<(Talk, Vec<u8>), Refusal> {
    let hello = match credentials {
        None => vec![VERSION, 1, OPEN],
        Some(_) => vec![VERSION, 2, OPEN, PASSWORD],
    };
    let talk = Talk {
        expected: Expected::Method,
        request: request(to)?,
        proof: credentials.map(proof).transpose()?,
    };
    Ok((talk, hello))
}

/// RFC 1928, section 4.
fn request(to: &HostPort) -> Result<Vec<u8>, Refusal> {
    let mut request = vec![VERSION, CONNECT, 0];
    match super::host(&to.host) {
        Host::V4(ip) => {
            request.push(1);
            request.extend(ip.octets());
        }
        Host::V6 { ip, .. } => {
            request.push(4);
            request.extend(ip.octets());
        }
        Host::Name(name) => {
            request.push(3);
            push(&mut request, &name, "a host name")?;
        }
        Host::Unspecified | Host::Every => {}
    }
    request.extend(to.port.to_be_bytes());
    Ok(request)
}

/// RFC 1929, section 2.
fn proof(credentials: &Credentials) -> Result<Vec<u8>, Refusal> {
    let mut proof = vec![1];
    push(&mut proof, &credentials.user, "a user")?;
    push(&mut proof, &credentials.password, "a password")?;
    Ok(proof)
}

fn push(bytes: &mut Vec<u8>, text: &str, what: &'static str) -> Result<(), Refusal> {
    let length = u8::try_from(text.len()).map_err(|_| Refusal::TooLong(what))?;
    bytes.push(length);
    bytes.extend(text.as_bytes());
    Ok(())
}

impl Talk {
    pub(super) fn hear(&mut self, head: &[u8]) -> Result<Heard, Refusal> {
        match self.expected {
            Expected::Method => self.hear_method(head),
            Expected::Verdict => self.hear_verdict(head),
            Expected::Reply => hear_reply(head),
        }
    }

    fn hear_method(&mut self, head: &[u8]) -> Result<Heard, Refusal> {
        check_version(head)?;
        let Some(&method) = head.get(1) else {
            return Ok(Heard::NeedMore);
        };
        let say = match (method, &mut self.proof) {
            (OPEN, _) => {
                self.expected = Expected::Reply;
                std::mem::take(&mut self.request)
            }
            (PASSWORD, Some(proof)) => {
                self.expected = Expected::Verdict;
                std::mem::take(proof)
            }
            (NONE, None) => return Err(Refusal::NeedsCredentials),
            (NONE, Some(_)) => return Err(Refusal::BadCredentials),
            (other, _) => {
                return Err(garbled(format!(
                    "it chose method {other}, which was not offered"
                )));
            }
        };
        Ok(Heard::Answer { used: 2, say })
    }

    fn hear_verdict(&mut self, head: &[u8]) -> Result<Heard, Refusal> {
        match head {
            [] | [_] => Ok(Heard::NeedMore),
            [_, 0, ..] => {
                self.expected = Expected::Reply;
                let say = std::mem::take(&mut self.request);
                Ok(Heard::Answer { used: 2, say })
            }
            _ => Err(Refusal::BadCredentials),
        }
    }
}

/// RFC 1928, section 6. The address in it is the proxy's own end, which is of no use.
fn hear_reply(head: &[u8]) -> Result<Heard, Refusal> {
    check_version(head)?;
    let Some(&code) = head.get(1) else {
        return Ok(Heard::NeedMore);
    };
    if code != 0 {
        return Err(Refusal::Refused(meaning(code)));
    }
    let address = match (head.get(3), head.get(4)) {
        (Some(1), _) => 4,
        (Some(4), _) => 16,
        (Some(3), Some(&length)) => 1 + usize::from(length),
        (None, _) | (Some(3), None) => return Ok(Heard::NeedMore),
        (Some(kind), _) => return Err(garbled(format!("unknown kind of address {kind}"))),
    };
    let used = 4 + address + 2;
    Ok(if head.len() < used {
        Heard::NeedMore
    } else {
        Heard::Done { used }
    })
}

fn check_version(head: &[u8]) -> Result<(), Refusal> {
    match head.first() {
        None | Some(&VERSION) => Ok(()),
        Some(other) => Err(garbled(format!("its first byte is {other:#04x}"))),
    }
}

fn garbled(what: String) -> Refusal {
    Refusal::Garbled("SOCKS5", what)
}

/// The words of RFC 1928, section 6.
fn meaning(code: u8) -> String {
    match code {
        1 => "general SOCKS server failure",
        2 => "connection not allowed by ruleset",
        3 => "network unreachable",
        4 => "host unreachable",
        5 => "connection refused",
        6 => "TTL expired",
        7 => "command not supported",
        8 => "address type not supported",
        other => return format!("failure {other}"),
    }
    .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to(text: &str) -> HostPort {
        let address: crate::address::Address = text.parse().unwrap();
        address.hosts()[0].clone()
    }

    fn me(user: &str, password: &str) -> Credentials {
        Credentials {
            user: user.to_owned(),
            password: password.to_owned(),
        }
    }

    /// What is said until all of `heard` is used, each answer given byte by byte.
    fn said(
        to: &HostPort,
        me: Option<&Credentials>,
        heard: &[&[u8]],
    ) -> Result<Vec<Vec<u8>>, Refusal> {
        let (mut talk, hello) = begin(to, me)?;
        let mut all = vec![hello];
        for answer in heard {
            for end in 0..answer.len() {
                assert_eq!(talk.hear(&answer[..end])?, Heard::NeedMore);
            }
            match talk.hear(&[answer, &b"more"[..]].concat())? {
                Heard::Answer { used, say } => {
                    assert_eq!(used, answer.len());
                    all.push(say);
                }
                Heard::Done { used } => assert_eq!(used, answer.len()),
                Heard::NeedMore => panic!("{answer:?}"),
            }
        }
        Ok(all)
    }

    #[test]
    fn hosts_as_rfc_1928_writes_them() {
        let done: &[u8] = &[5, 0, 0, 1, 127, 0, 0, 1, 0, 80];
        for (host, request) in [
            (
                "192.0.2.7:443",
                &b"\x05\x01\x00\x01\xc0\x00\x02\x07\x01\xbb"[..],
            ),
            ("example.org:80", b"\x05\x01\x00\x03\x0bexample.org\x00\x50"),
            (
                "[2001:db8::1]:1",
                b"\x05\x01\x00\x04\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\x00\x01",
            ),
            (
                "[fe80::1%eth0]:1",
                b"\x05\x01\x00\x04\xfe\x80\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\x00\x01",
            ),
            (":7", b"\x05\x01\x00\x01\x7f\x00\x00\x01\x00\x07"),
        ] {
            let said = said(&to(host), None, &[&[5, 0], done]).unwrap();
            assert_eq!(said, [&[5, 1, 0][..], request], "{host}");
        }
    }

    #[test]
    fn user_and_password_as_rfc_1929_writes_them() {
        let me = me("me", "p");
        let answers: [&[u8]; 3] = [&[5, 2], &[1, 0], &[5, 0, 0, 3, 1, b'h', 0, 1]];
        let all = said(&to("h:1"), Some(&me), &answers).unwrap();
        assert_eq!(
            all,
            [
                &[5, 2, 0, 2][..],
                b"\x01\x02me\x01p",
                b"\x05\x01\x00\x03\x01h\x00\x01"
            ]
        );
        // Offered, and not asked for.
        let answers: [&[u8]; 2] = [
            &[5, 0],
            &[
                5, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1,
            ],
        ];
        assert_eq!(said(&to("h:1"), Some(&me), &answers).unwrap().len(), 2);
    }

    #[test]
    fn refusals_are_told_apart() {
        let h = to("h:1");
        let me = me("me", "wrong");
        let refused = |text: &str| Refusal::Refused(text.to_owned());
        let garbled = |what: &str| Refusal::Garbled("SOCKS5", what.to_owned());
        for (me, answers, refusal) in [
            (None, &[&[5, 0xff][..]][..], Refusal::NeedsCredentials),
            (Some(&me), &[&[5, 0xff]], Refusal::BadCredentials),
            (Some(&me), &[&[5, 2], &[1, 1]], Refusal::BadCredentials),
            (
                None,
                &[&[5, 2]],
                garbled("it chose method 2, which was not offered"),
            ),
            (
                None,
                &[&[5, 1]],
                garbled("it chose method 1, which was not offered"),
            ),
            (
                None,
                &[&b"HTTP/1.1 400"[..]],
                garbled("its first byte is 0x48"),
            ),
            (None, &[&[4]], garbled("its first byte is 0x04")),
            (None, &[&[5, 0], &[5, 5]], refused("connection refused")),
            (None, &[&[5, 0], &[5, 4]], refused("host unreachable")),
            (
                None,
                &[&[5, 0], &[5, 2]],
                refused("connection not allowed by ruleset"),
            ),
            (None, &[&[5, 0], &[5, 99]], refused("failure 99")),
            (
                None,
                &[&[5, 0], &[5, 0, 0, 9]],
                garbled("unknown kind of address 9"),
            ),
        ] {
            let (mut talk, _) = begin(&h, me).unwrap();
            let mut heard = Ok(Heard::NeedMore);
            for answer in answers {
                assert!(heard.is_ok(), "{refusal:?}");
                heard = talk.hear(answer);
            }
            assert_eq!(heard, Err(refusal));
        }
    }

    #[test]
    fn what_does_not_fit_is_not_cut() {
        let long = "x".repeat(256);
        let fits = "x".repeat(255);
        let named = |name: &str| HostPort {
            host: Host::Name(name.to_owned()),
            port: 1,
        };
        assert_eq!(
            begin(&named(&long), None).unwrap_err(),
            Refusal::TooLong("a host name")
        );
        assert!(begin(&named(&fits), Some(&me(&fits, &fits))).is_ok());
        for (user, password, what) in [(&long, &fits, "a user"), (&fits, &long, "a password")] {
            let me = me(user, password);
            assert_eq!(
                begin(&named("h"), Some(&me)).unwrap_err(),
                Refusal::TooLong(what)
            );
        }
    }
}
