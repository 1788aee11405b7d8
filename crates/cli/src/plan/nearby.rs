//! How a server is found by others: what is announced on the network, and the page's address for a phone.

use std::io::{IsTerminal, stderr};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use anyhow::Result;
use sockeye::nearby::{self, Announced, Facts, MAX_NAME, Notice};
use sockeye::{Endpoint, Listening};

use crate::args::ServeArgs;
use crate::failure::Usage;

/// The room that people enter unless they say another.
const LOBBY: &str = "lobby";

/// What is spoken where clients may begin with anything.
const SNIFFED: [&str; 6] = ["tcp", "tls", "http", "https", "ws", "wss"];

/// What is spoken over UDP beside that.
const BESIDE: [&str; 3] = ["quic", "h3", "wt"];

/// Announces what others can reach, if that is asked for.
///
/// # Errors
/// When nobody else can reach any of it.
pub(crate) fn announce(
    args: &ServeArgs,
    service: &str,
    listening: &[Listening],
) -> Result<Option<Announced>> {
    let Some(name) = &args.nearby.announce else {
        return Ok(None);
    };
    let host = rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned();
    let name = match name.as_str() {
        "" => shortened(format!("{service} on {host}")),
        name => name.to_owned(),
    };
    let notices = notices(args, service, &name, listening);
    if notices.is_empty() {
        let at = listening.first().map(|end| end.at.to_string());
        let at = at.unwrap_or_default();
        return Err(Usage(format!(
            "--announce: nobody else on the network can reach {at}; `serve {service} '*:3000'` is reached by all"
        ))
        .into());
    }
    Ok(Some(nearby::announce(&host, &notices)?))
}

/// One notice for each number that others can reach.
fn notices(args: &ServeArgs, service: &str, name: &str, listening: &[Listening]) -> Vec<Notice> {
    let mut notices: Vec<Notice> = Vec::new();
    let ends = listening.iter().filter_map(|end| match &end.at {
        Endpoint::Net(at) if !at.ip().to_canonical().is_loopback() => Some((end, at)),
        _ => None,
    });
    for (end, at) in ends {
        let notice = match notices.iter_mut().find(|notice| notice.port == at.port()) {
            Some(notice) => notice,
            None => notices.push_mut(Notice {
                name: named(name, at.port(), notices.is_empty()),
                at: Vec::new(),
                port: at.port(),
                is_tcp: false,
                facts: Facts {
                    service: Some(service.to_owned()),
                    room: (service == "chat").then(|| LOBBY.to_owned()),
                    ..Facts::default()
                },
            }),
        };
        for ip in families(at.ip(), args.ipv6) {
            if !notice.at.contains(&ip) {
                notice.at.push(ip);
            }
        }
        notice.is_tcp |= !matches!(end.protocol, "udp" | "quic");
        add_schemes(&mut notice.facts, end, !args.no_quic);
    }
    notices
}

fn add_schemes(facts: &mut Facts, end: &Listening, quic_beside: bool) {
    let schemes: &[&str] = match end.protocol {
        "tcp" if end.sniffs => &SNIFFED,
        "http" => &["http", "ws"],
        "https" => &["https", "wss"],
        protocol => &[protocol],
    };
    let sniffs = facts.schemes.iter().any(|scheme| scheme == "ws");
    let beside: &[&str] = match end.protocol {
        "udp" if sniffs && quic_beside => &BESIDE,
        _ => &[],
    };
    for scheme in schemes.iter().chain(beside) {
        if !facts.schemes.iter().any(|known| known == scheme) {
            facts.schemes.push((*scheme).to_owned());
        }
    }
    if facts
        .schemes
        .iter()
        .any(|scheme| matches!(scheme.as_str(), "http" | "https"))
    {
        facts.path = Some("/".to_owned());
    }
}

/// Two of one name are none to choose from.
fn named(name: &str, port: u16, is_first: bool) -> String {
    match is_first {
        true => name.to_owned(),
        false => {
            let end = format!(" :{port}");
            let mut name = name.to_owned();
            name.truncate(name.floor_char_boundary(MAX_NAME - end.len()));
            name + &end
        }
    }
}

fn shortened(mut name: String) -> String {
    name.retain(|c| !c.is_control());
    name.truncate(name.floor_char_boundary(MAX_NAME));
    name
}

/// Which families a listening socket hears: an unspecified address of IPv6 stands for both unless IPv6 alone is asked for.
fn families(ip: IpAddr, only_v6: bool) -> Vec<IpAddr> {
    match ip.is_unspecified() && ip.is_ipv6() && !only_v6 {
        true => vec![Ipv4Addr::UNSPECIFIED.into(), ip],
        false => vec![ip.to_canonical()],
    }
}

/// The URL of the page that is to be shown to phones: one that others can reach, or any if that is asked for.
pub(crate) fn page(args: &ServeArgs, service: &str, listening: &[Listening]) -> Option<String> {
    let is_shown = service == "chat" && stderr().is_terminal();
    if !is_shown && !args.nearby.qr {
        return None;
    }
    let here = nearby::addresses().unwrap_or_default();
    let pages = listening.iter().filter_map(|end| {
        let scheme = match end.protocol {
            "tcp" if end.sniffs => "http",
            "http" | "https" => end.protocol,
            _ => return None,
        };
        match &end.at {
            Endpoint::Net(at) => Some((scheme, reached(*at, args.ipv6, &here))),
            _ => None,
        }
    });
    let pages: Vec<_> = pages.collect();
    let is_near = |at: &SocketAddr| at.ip().to_canonical().is_loopback();
    let far = pages.iter().find(|(_, at)| !is_near(at));
    let any = || pages.first().filter(|_| args.nearby.qr);
    let (scheme, at) = far.or_else(any)?;
    Some(format!("{scheme}://{at}/"))
}

/// Where others reach a socket that listens at `at`, on a machine with these addresses; loopback where there are none.
fn reached(at: SocketAddr, only_v6: bool, here: &[IpAddr]) -> SocketAddr {
    if !at.ip().is_unspecified() {
        return at;
    }
    let meant = families(at.ip(), only_v6);
    let ip = here.iter().find(|ip| {
        // A URL cannot name the interface that such an address is for.
        let is_scoped = matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local());
        !is_scoped && meant.iter().any(|meant| meant.is_ipv4() == ip.is_ipv4())
    });
    let loopback = match meant[0].is_ipv4() {
        true => Ipv4Addr::LOCALHOST.into(),
        false => Ipv6Addr::LOCALHOST.into(),
    };
    SocketAddr::new(ip.copied().unwrap_or(loopback), at.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phone_is_told_an_address_that_it_can_reach() {
        let here: Vec<IpAddr> = ["192.0.2.7", "2001:db8::7", "fe80::7"]
            .iter()
            .map(|ip| ip.parse().unwrap())
            .collect();
        for (at, only_v6, told) in [
            ("0.0.0.0:80", false, "192.0.2.7:80"),
            ("[::]:80", false, "192.0.2.7:80"),
            ("[::]:80", true, "[2001:db8::7]:80"),
            ("192.0.2.9:80", false, "192.0.2.9:80"),
            ("127.0.0.1:80", false, "127.0.0.1:80"),
        ] {
            let told: SocketAddr = told.parse().unwrap();
            assert_eq!(reached(at.parse().unwrap(), only_v6, &here), told, "{at}");
        }
        let nowhere = reached("[::]:80".parse().unwrap(), true, &here[2..]);
        assert_eq!(nowhere, "[::1]:80".parse().unwrap());
    }

    #[test]
    fn two_of_one_name_are_told_apart() {
        assert_eq!(named("chat", 80, true), "chat");
        assert_eq!(named("chat", 80, false), "chat :80");
        let long = named(&"聊".repeat(21), 65_535, false);
        assert!(
            long.len() <= MAX_NAME && long.ends_with(" :65535"),
            "{long}"
        );
        assert_eq!(shortened("聊\n".repeat(22)), "聊".repeat(21));
    }
}
