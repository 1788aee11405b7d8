//! The SYN that the kernel has kept (TCP_SAVED_SYN), read into a buffer of its size.

use std::os::fd::BorrowedFd;

use nix::errno::Errno;
use nix::sys::socket::GetSockOpt as _;
use nix::sys::socket::sockopt::{GetOsString, GetStruct};

#[derive(Clone, Copy, Debug)]
struct Any;

// Too small for any SYN: it is there if it does not fit, and stays there.
nix::getsockopt_impl!(
    Any,
    libc::IPPROTO_TCP,
    libc::TCP_SAVED_SYN,
    std::ffi::OsString,
    GetOsString<[u8; 4]>
);

/// A buffer must have the very length of what is read into it. One that is smaller is refused and takes nothing away,
/// and lengths of headers are multiples of four (RFC 791, RFC 8200, RFC 9293): so all of them are tried in order.
macro_rules! sizes {
    ($($name:ident $size:literal)*) => {
        $(
            #[derive(Clone, Copy, Debug)]
            struct $name;

            nix::getsockopt_impl!(
                $name,
                libc::IPPROTO_TCP,
                libc::TCP_SAVED_SYN,
                [u8; $size],
                GetStruct<[u8; $size]>
            );
        )*

        fn sized(socket: BorrowedFd<'_>) -> Option<Vec<u8>> {
            $(
                match $name.get(&socket) {
                    Ok(syn) => return Some(syn.to_vec()),
                    Err(Errno::EINVAL) => {}
                    Err(_) => return None,
                }
            )*
            None
        }
    };
}

// From IPv4 without options to IPv6 with some extension headers.
sizes! {
    Syn40 40
    Syn44 44
    Syn48 48
    Syn52 52
    Syn56 56
    Syn60 60
    Syn64 64
    Syn68 68
    Syn72 72
    Syn76 76
    Syn80 80
    Syn84 84
    Syn88 88
    Syn92 92
    Syn96 96
    Syn100 100
    Syn104 104
    Syn108 108
    Syn112 112
    Syn116 116
    Syn120 120
    Syn124 124
    Syn128 128
    Syn132 132
    Syn136 136
    Syn140 140
    Syn144 144
    Syn148 148
    Syn152 152
    Syn156 156
    Syn160 160
}

/// The SYN that began a connection which was accepted, from its IP header on, as it came; `None` where it was not kept.
/// The kernel gives it away once.
#[must_use]
pub fn saved_syn(socket: BorrowedFd<'_>) -> Option<Vec<u8>> {
    match Any.get(&socket) {
        Err(Errno::EINVAL) => sized(socket),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsFd as _;

    use wire::packet::{Body, Flags, Packet, RAW};

    use super::*;
    use crate::kernel::save_syn;

    #[test]
    fn a_syn_is_kept_where_that_was_asked_for_and_given_away_once() {
        for host in ["127.0.0.1", "::1"] {
            let listener = TcpListener::bind((host, 0)).unwrap();
            save_syn(listener.as_fd()).unwrap();
            let at = listener.local_addr().unwrap();
            let client = TcpStream::connect(at).unwrap();
            let (server, from) = listener.accept().unwrap();
            let syn = saved_syn(server.as_fd()).unwrap();
            let packet = Packet::read(RAW, &syn, syn.len() as u32).unwrap();
            assert_eq!((packet.source, packet.destination), (from.ip(), at.ip()));
            let Body::Tcp(segment) = packet.body else {
                panic!("{host}: {:?}", packet.body);
            };
            assert_eq!(
                (segment.source, segment.destination),
                (from.port(), at.port())
            );
            assert_eq!(segment.flags, Flags::SYN);
            assert!(segment.options.mss.is_some());
            assert_eq!(saved_syn(server.as_fd()), None, "{host}");
            drop(client);
        }
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (server, _) = listener.accept().unwrap();
        assert_eq!(saved_syn(server.as_fd()), None, "nobody asked for it");
    }
}
