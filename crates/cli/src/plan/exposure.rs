//! Services that must not be open to just anyone: whoever reaches them can do what this machine can.

use anyhow::Result;
use sockeye::Address;
use wire::address::{Host, Scheme, Target};

use crate::args::ServeArgs;
use crate::failure::Usage;

/// Refuses to serve a powerful service beyond this machine without a word on who may come.
///
/// # Errors
/// When nothing guards one of the addresses.
pub(crate) fn check(service: &str, addresses: &[Address], args: &ServeArgs) -> Result<()> {
    let power = match service {
        "exec" => "run a program here",
        "relay" => "reach what this machine can reach",
        "files" if args.files.write => "put files here",
        _ => return Ok(()),
    };
    match addresses.iter().find(|at| !is_local(at) && !is_guarded(at, args)) {
        None => Ok(()),
        Some(open) => Err(Usage(format!(
            "serve {service} on {open}: anyone who can connect could {power}; \
             say who may come (--allow CIDR, --token, --client-ca with tls://), or listen on 127.0.0.1"
        ))
        .into()),
    }
}

/// Whether only this machine can come there. A name may stand for any address.
fn is_local(address: &Address) -> bool {
    let local = |host: &Host| match host {
        Host::Unspecified => true,
        Host::V4(ip) => ip.is_loopback(),
        Host::V6 { ip, .. } => ip.to_canonical().is_loopback(),
        Host::Name(name) => name.eq_ignore_ascii_case("localhost"),
        Host::Every => false,
    };
    match &address.target {
        Target::Net { hosts, .. } => hosts.iter().all(|at| local(&at.host)),
        Target::Unix(_) | Target::Exec(_) | Target::Stdio => true,
    }
}

/// Whether it is said who may come.
fn is_guarded(address: &Address, args: &ServeArgs) -> bool {
    let guard = &args.guard;
    // Without TLS nobody is asked for a certificate.
    let always_tls = matches!(
        address.scheme,
        Some(Scheme::Tls | Scheme::Https | Scheme::Wss | Scheme::Quic)
    );
    !guard.allow.is_empty()
        || guard.token.is_some()
        || guard.token_file.is_some()
        || (always_tls && args.tls.asks_for_certificates())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_this_machine_reaches_is_local() {
        for (address, local) in [
            ("3000", true),
            (":3000", true),
            ("127.0.0.1:3000", true),
            ("127.9.9.9:3000", true),
            ("[::1]:3000", true),
            ("[::ffff:127.0.0.1]:3000", true),
            ("localhost:3000", true),
            ("unix:/run/s", true),
            ("unix:@s", true),
            ("*:3000", false),
            ("0.0.0.0:3000", false),
            ("[::]:3000", false),
            ("192.168.1.7:3000", false),
            ("tcp://myhost:3000", false),
            ("127.0.0.1,192.168.1.7:3000", false),
        ] {
            let address: Address = address.parse().unwrap();
            assert_eq!(is_local(&address), local, "{address}");
        }
    }
}
