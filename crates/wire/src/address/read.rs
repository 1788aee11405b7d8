//! From text to [`Address`]: the scheme, and what follows it.

use super::error::Fault;
use super::host::{bare_host, ipv6, visible, with_brackets};
use super::piece::{Piece, Read};
use super::{Address, Host, HostPort, Problem, Scheme, Target, UnixName};
use crate::text::nearest::distance;

pub(super) fn address(text: &str) -> Read<Address> {
    let whole = Piece { text, at: 0 };
    match text {
        "" => return Err(whole.fault(Problem::Empty)),
        "-" => {
            return Ok(Address {
                scheme: Some(Scheme::Stdio),
                target: Target::Stdio,
            });
        }
        _ => {}
    }
    let Some((name, rest)) = whole.split_once(':') else {
        return net(whole, None, whole);
    };
    let scheme = Scheme::named(name.text);
    let target = match (scheme, rest.strip_prefix("//")) {
        (Some(Scheme::Unix | Scheme::Unixgram), after) => unix(after.unwrap_or(rest))?,
        (Some(Scheme::Exec), _) => exec(rest)?,
        (Some(Scheme::Stdio), after) => stdio(after.unwrap_or(rest))?,
        (Some(_), Some(after)) => return net(whole, scheme, after),
        // `http:80` is a host that happens to be called http; `http:example.org` is not.
        (Some(scheme), None) if !begins_with_port(rest) => {
            let hint = format!("write `{scheme}://{}`", rest.text);
            return Err(rest.start().fault(Problem::NoSlashes).hint(hint));
        }
        (None, Some(_)) => return Err(unknown_scheme(name)),
        // No port begins so, and no host is called almost like a scheme: `uinx:/tmp/socket`.
        (None, None)
            if rest.text.starts_with(['/', '@']) && nearest_scheme(name.text).is_some() =>
        {
            return Err(unknown_scheme(name));
        }
        (_, None) => return net(whole, None, whole),
    };
    Ok(Address { scheme, target })
}

pub(super) fn host_and_port(host: &str, port: &str) -> Read<Address> {
    let name = Piece { text: host, at: 0 };
    let number = Piece {
        text: port,
        at: host.len() + 1,
    };
    visible(name)?;
    let bracketed = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    if let Some(at) = host.find("://") {
        let hint = format!("write `{host}:{port}`, in one word");
        return Err(name.slice(at, 3).fault(Problem::Character).hint(hint));
    }
    let host = match bracketed {
        Some(inner) => ipv6(Piece { text: inner, at: 1 })?,
        None if host.is_empty() => return Err(name.fault(Problem::NoHost)),
        None if host.matches(':').count() > 1 => ipv6(name)?,
        None => bare_host(name)?,
    };
    unreserved(None, &host, name)?;
    if port.is_empty() {
        return Err(number.fault(Problem::NoPort));
    }
    let hosts = vec![HostPort {
        host,
        port: number.port()?,
    }];
    Ok(Address {
        scheme: None,
        target: Target::Net {
            hosts,
            path: String::new(),
        },
    })
}

fn unknown_scheme(name: Piece<'_>) -> Fault {
    let hint = match nearest_scheme(name.text) {
        Some(scheme) => format!("did you mean `{scheme}`?"),
        None => {
            let known: Vec<_> = Scheme::ALL.iter().map(|scheme| scheme.name()).collect();
            format!("one of: {}", known.join(", "))
        }
    };
    name.fault(Problem::Scheme).hint(hint)
}

fn nearest_scheme(name: &str) -> Option<Scheme> {
    let name = name.to_lowercase();
    let (distance, scheme) = Scheme::ALL
        .iter()
        .map(|&scheme| (distance(&name, scheme.name()), scheme))
        .min_by_key(|&(distance, _)| distance)?;
    // Where half of the letters or more are different, a suggestion is a guess.
    (distance * 2 < name.len().max(scheme.name().len())).then_some(scheme)
}

fn unix(name: Piece<'_>) -> Read<Target> {
    if let Some(at) = name.text.find('\0') {
        return Err(name.slice(at, 1).fault(Problem::Character));
    }
    match name.strip_prefix("@") {
        Some(rest) if rest.text.is_empty() => Err(rest.fault(Problem::NoName)),
        Some(rest) => Ok(Target::Unix(UnixName::Abstract(rest.text.to_owned()))),
        None if name.text.is_empty() => Err(name.fault(Problem::NoName)),
        None => Ok(Target::Unix(UnixName::Path(name.text.into()))),
    }
}

fn exec(command: Piece<'_>) -> Read<Target> {
    if command.text.trim().is_empty() {
        return Err(command.fault(Problem::NoCommand));
    }
    Ok(Target::Exec(command.text.to_owned()))
}

fn stdio(rest: Piece<'_>) -> Read<Target> {
    if rest.text.is_empty() {
        return Ok(Target::Stdio);
    }
    Err(rest.fault(Problem::Character).hint("write `-`"))
}

fn begins_with_port(rest: Piece<'_>) -> bool {
    let end = rest
        .text
        .find(['/', '?', '#', ','])
        .unwrap_or(rest.text.len());
    rest.text[..end].bytes().all(|b| b.is_ascii_digit())
}

fn net(whole: Piece<'_>, scheme: Option<Scheme>, rest: Piece<'_>) -> Read<Address> {
    visible(rest)?;
    let end = rest.text.find(['/', '?', '#']).unwrap_or(rest.text.len());
    let (authority, path) = rest.cut(end);
    if let Some(at) = authority.text.rfind('@') {
        let user = authority.slice(0, at + 1);
        let hint = format!("leave out `{}`", user.text);
        return Err(user.fault(Problem::UserInfo).hint(hint));
    }
    let hosts = hosts(whole, scheme, authority, path)?;
    let path = url_path(scheme, &hosts, path)?;
    Ok(Address {
        scheme,
        target: Target::Net { hosts, path },
    })
}

fn hosts(
    whole: Piece<'_>,
    scheme: Option<Scheme>,
    authority: Piece<'_>,
    path: Piece<'_>,
) -> Read<Vec<HostPort>> {
    if authority.text.is_empty() {
        let fault = authority.fault(Problem::NoHost);
        return Err(match scheme {
            None => fault.hint(format!("write `unix:{}` for a socket path", path.text)),
            Some(scheme) => fault.hint(format!("write `{scheme}://HOST:PORT`")),
        });
    }
    if authority.is_number() {
        return Ok(vec![HostPort {
            host: Host::Unspecified,
            port: authority.port()?,
        }]);
    }
    let mut found = Vec::new();
    for entry in authority.split(',') {
        let (name, host, port) = entry_of_list(entry)?;
        unreserved(scheme, &host, name)?;
        found.push((name, host, port));
    }
    let mut next = scheme.and_then(Scheme::default_port);
    let mut hosts = Vec::with_capacity(found.len());
    for (name, host, own) in found.into_iter().rev() {
        next = own.or(next);
        let Some(port) = next else {
            let (before, after) = whole.text.split_at(name.at + name.text.len());
            let after = after.strip_prefix(':').unwrap_or(after);
            let hint = format!("write `{before}:PORT{after}`");
            return Err(name.end().fault(Problem::NoPort).hint(hint));
        };
        hosts.push(HostPort { host, port });
    }
    hosts.reverse();
    Ok(hosts)
}

/// One of `a,b:3000`: the host as written and as read, and its own port.
fn entry_of_list(entry: Piece<'_>) -> Read<(Piece<'_>, Host, Option<u16>)> {
    if entry.text.is_empty() {
        return Err(entry.fault(Problem::NoHost));
    }
    if entry.is_number() {
        let hint = format!("write `:{}` for a port", entry.text);
        return Err(entry.fault(Problem::Ipv4).hint(hint));
    }
    if entry.text.starts_with('[') {
        return bracketed(entry);
    }
    let Some((name, port)) = entry.split_once(':') else {
        return Ok((entry, bare_host(entry)?, None));
    };
    if let Some(spelling) = with_brackets(entry.text) {
        return Err(entry
            .fault(Problem::BareIpv6)
            .hint(format!("write `{spelling}`")));
    }
    let host = if name.text.is_empty() {
        Host::Unspecified
    } else {
        bare_host(name)?
    };
    Ok((name, host, port.optional_port()?))
}

fn bracketed(entry: Piece<'_>) -> Read<(Piece<'_>, Host, Option<u16>)> {
    let Some(end) = entry.text.find(']') else {
        return Err(entry.slice(0, 1).fault(Problem::Bracket));
    };
    let (name, after) = entry.cut(end + 1);
    let host = ipv6(entry.slice(1, end - 1))?;
    let port = match after.strip_prefix(":") {
        Some(port) => port.optional_port()?,
        None if after.text.is_empty() => None,
        None => {
            return Err(after
                .fault(Problem::Character)
                .hint("a port begins with `:`"));
        }
    };
    Ok((name, host, port))
}

/// Without a scheme in front, `unix:3000` would not read back as host and port.
fn unreserved(scheme: Option<Scheme>, host: &Host, written: Piece<'_>) -> Read<()> {
    match host {
        Host::Name(name)
            if scheme.is_none() && Scheme::named(name).is_some_and(|scheme| !scheme.is_net()) =>
        {
            Err(written
                .fault(Problem::Reserved)
                .hint(format!("write `tcp://{name}:PORT`")))
        }
        _ => Ok(()),
    }
}

fn url_path(scheme: Option<Scheme>, hosts: &[HostPort], path: Piece<'_>) -> Read<String> {
    if let Some(at) = path.text.find('#') {
        let (_, fragment) = path.cut(at);
        return Err(fragment
            .fault(Problem::Fragment)
            .hint("it is never sent; leave it out"));
    }
    match scheme {
        Some(scheme) if scheme.has_path() => {
            let slash = if path.text.starts_with('?') { "/" } else { "" };
            Ok(format!("{slash}{}", path.text))
        }
        _ if matches!(path.text, "" | "/") => Ok(String::new()),
        Some(scheme) => Err(path
            .fault(Problem::Path)
            .hint(format!("{scheme} has no paths; leave it out"))),
        None => {
            let host = &hosts[0];
            let hint = format!(
                "only URLs have paths: write `ws://{host}{0}` or `http://{host}{0}`",
                path.text
            );
            Err(path.fault(Problem::Path).hint(hint))
        }
    }
}
