//! What a server says when it is ready: one line for each socket, and how to reach it.

use std::net::SocketAddr;

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
    reporter.hint(&format!("reach it with: {}", ways(first, host)));
    if at.ip().is_loopback() {
        reporter.hint(&format!(
            "only this machine can; serve '*:{}' opens it to the network",
            at.port()
        ));
    }
}

/// What a person can type.
fn ways(listening: &Listening, at: SocketAddr) -> String {
    let (host, port) = (at.ip(), at.port());
    match listening.protocol {
        "tcp" if listening.sniffs => {
            format!("sockeye connect {at}, or nc {host} {port}, or http://{at}/ in a browser")
        }
        "tcp" => format!("sockeye connect tcp://{at}, or nc {host} {port}"),
        "udp" => format!("sockeye connect udp://{at}, or nc -u {host} {port}"),
        "tls" => format!("sockeye connect tls://{at}, or openssl s_client -quiet -connect {at}"),
        "quic" => format!("sockeye connect quic://{at}"),
        scheme => format!("sockeye connect {scheme}://{at}, or {scheme}://{at}/ in a browser"),
    }
}
