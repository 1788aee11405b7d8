//! What a server says when it is ready: one line for each socket, and how to reach it.

use sockeye::{Endpoint, Listening};

use super::Reporter;

/// One line for each socket, and how to reach it.
pub(crate) fn announce(reporter: &Reporter, listening: &[Listening]) {
    for end in listening {
        reporter.listening(end);
    }
    let Some(first) = listening.first() else {
        return;
    };
    let Endpoint::Net(at) = &first.at else {
        return reporter.hint(&format!(
            "reach it with: sockeye connect {}:{}",
            first.protocol, first.at
        ));
    };
    let mut host = *at;
    if host.ip().is_unspecified() {
        host.set_ip(if host.is_ipv4() {
            std::net::Ipv4Addr::LOCALHOST.into()
        } else {
            std::net::Ipv6Addr::LOCALHOST.into()
        });
    }
    let scheme = if first.protocol == "udp" {
        "udp://"
    } else {
        ""
    };
    let nc = if first.protocol == "udp" {
        "nc -u"
    } else {
        "nc"
    };
    reporter.hint(&format!(
        "reach it with: sockeye connect {scheme}{host}, or {nc} {} {}",
        host.ip(),
        host.port()
    ));
    if at.ip().is_loopback() {
        reporter.hint(&format!(
            "only this machine can; serve '*:{}' opens it to the network",
            at.port()
        ));
    }
}
