//! What goes wrong while files move: exit codes and hints.

use sockeye::transfer::{Failure, Reason};

use super::code;

pub(super) fn exit_code(failure: &Failure) -> u8 {
    match failure {
        Failure::Damaged
        | Failure::Changed { .. }
        | Failure::Refused {
            reason: Reason::Damaged,
            ..
        } => code::VERIFICATION,
        Failure::Refused { .. } | Failure::NotOne(_) => code::PEER,
        Failure::Silent(_) | Failure::Foreign(_) | Failure::Protocol(_) => code::PROTOCOL,
        _ => code::NETWORK,
    }
}

pub(super) fn hint(failure: &Failure) -> Option<&'static str> {
    match failure {
        Failure::Foreign(said) if said.starts_with("HTTP/") => Some(
            "that is a web server: sockeye fetch -O URL downloads from it, sockeye fetch -T FILE URL uploads",
        ),
        Failure::Silent(_) | Failure::Foreign(_) => {
            Some("the other end must be a sockeye serve files DIR")
        }
        Failure::Refused {
            reason: Reason::NotFound,
            ..
        } => Some("is the whole URL there, with its secret?"),
        Failure::Refused {
            reason: Reason::Forbidden,
            ..
        } => Some("to put files there it must be served with --write"),
        Failure::NotOne(_) => Some("give a folder to land in instead of -"),
        _ => None,
    }
}
