//! The line that tells of a request without a session. There may be 100,000 a second.

use std::fmt::Write;
use std::net::SocketAddr;

use sockeye::{Answered, Endpoint};
use wire::text::printable;

/// Whether it is one of the many requests that bring a file piece by piece: when it is whole, one line tells of them all.
pub(crate) fn is_piece(answered: &Answered<'_>) -> bool {
    answered.method.as_str() == "PATCH" && answered.status.as_u16() == 204
}

/// `answer http GET /path 127.0.0.1:51234: 200; out 6 bytes, 0.1ms`
///
/// Put together by hand: what formats anything takes three times as long, which was a quarter of all that is done for
/// a small request outside of the kernel.
pub(crate) fn line(answered: &Answered<'_>) -> String {
    let mut line = String::with_capacity(128);
    line.push_str("answer ");
    line.push_str(answered.identity.protocol());
    line.push(' ');
    line.push_str(answered.method.as_str());
    line.push(' ');
    line.push_str(&printable(&answered.target()));
    line.push(' ');
    push_end(&mut line, answered.identity.peer());
    line.push_str(": ");
    line.push_str(answered.status.as_str());
    line.push_str("; out ");
    push_number(&mut line, answered.bytes);
    line.push_str(if answered.bytes == 1 {
        " byte"
    } else {
        " bytes"
    });
    line.push_str(if answered.whole { ", " } else { ", cut off, " });
    let tenths = answered.took.as_micros().saturating_add(50) / 100;
    let tenths = u64::try_from(tenths).unwrap_or(u64::MAX);
    push_number(&mut line, tenths / 10);
    line.push('.');
    push_number(&mut line, tenths % 10);
    line.push_str("ms\n");
    line
}

/// An end as it is shown: a path may be anything.
fn push_end(line: &mut String, end: &Endpoint) {
    match end {
        Endpoint::Net(SocketAddr::V4(address)) => {
            for (octet, after) in address.ip().octets().into_iter().zip("...:".chars()) {
                push_number(line, octet.into());
                line.push(after);
            }
            push_number(line, address.port().into());
        }
        Endpoint::Net(address) => {
            // A string takes everything.
            let _ = write!(line, "{address}");
        }
        other => line.push_str(&printable(&other.to_string())),
    }
}

fn push_number(line: &mut String, number: u64) {
    line.push_str(itoa::Buffer::new().format(number));
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::{Method, StatusCode, Uri, Version};
    use sockeye::{Identity, Side};

    use super::*;

    fn told(peer: Endpoint, uri: &'static str, bytes: u64, whole: bool, micros: u64) -> String {
        let identity = Identity::new(Side::Accepted, "http", Endpoint::Memory, peer);
        line(&Answered {
            identity: &identity,
            method: &Method::GET,
            uri: &Uri::from_static(uri),
            version: Version::HTTP_11,
            status: StatusCode::NOT_FOUND,
            bytes,
            whole,
            took: Duration::from_micros(micros),
        })
    }

    #[test]
    fn a_request_is_one_line() {
        let at = |address: &str| Endpoint::Net(address.parse().unwrap());
        for (peer, uri, bytes, whole, micros, expected) in [
            (
                at("127.0.0.1:51234"),
                "/path?a=b",
                6,
                true,
                149,
                "/path?a=b 127.0.0.1:51234: 404; out 6 bytes, 0.1ms",
            ),
            (
                at("255.10.0.9:9"),
                "/",
                1,
                false,
                150,
                "/ 255.10.0.9:9: 404; out 1 byte, cut off, 0.2ms",
            ),
            (
                at("[fe80::1]:65535"),
                "*",
                0,
                true,
                61_234_567,
                "* [fe80::1]:65535: 404; out 0 bytes, 61234.6ms",
            ),
            (
                Endpoint::Memory,
                "http://a.example/b",
                u64::MAX,
                true,
                0,
                "http://a.example/b (memory): 404; out 18446744073709551615 bytes, 0.0ms",
            ),
        ] {
            let expected = format!("answer http GET {expected}\n");
            assert_eq!(told(peer, uri, bytes, whole, micros), expected);
        }
    }

    #[test]
    fn a_path_has_no_hold_on_the_terminal() {
        let peer = Endpoint::Unix("/tmp/\x1b[31m".into());
        let line = told(peer, "/", 0, true, 0);
        assert!(line.contains(r"/tmp/\e[31m"), "{line:?}");
    }
}
