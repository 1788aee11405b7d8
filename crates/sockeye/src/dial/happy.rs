//! Happy eyeballs: several addresses are tried in turn without waiting for the slow ones (RFC 8305).

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::net::{TcpSocket, TcpStream};

use super::DialOptions;
use crate::error::{Error, Operation, Result};
use crate::lookout::Attempt;
use crate::socket::{Role, any_address};

/// The "Connection Attempt Delay" of RFC 8305, section 5.
const DELAY: Duration = Duration::from_millis(250);

/// The two families taking turns, beginning with the one that came first (RFC 8305, section 4).
pub(super) fn interleave(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let first_is_v4 = addresses.first().is_some_and(SocketAddr::is_ipv4);
    let (first, second): (Vec<_>, Vec<_>) = addresses
        .into_iter()
        .partition(|address| address.is_ipv4() == first_is_v4);
    let mut second = second.into_iter();
    let mut mixed = Vec::new();
    for address in first {
        mixed.push(address);
        mixed.extend(second.next());
    }
    mixed.extend(second);
    mixed
}

/// What the first of `waiting` to succeed gives; each is begun in its turn. The error is that of the first to fail.
pub(super) async fn first<T>(
    mut waiting: impl ExactSizeIterator<Item = impl Future<Output = Result<T>>>,
) -> Result<T> {
    let mut attempts = FuturesUnordered::new();
    let mut first_error = None;
    loop {
        match waiting.next() {
            Some(attempt) => attempts.push(attempt),
            None if attempts.is_empty() => break,
            None => {}
        }
        let more = waiting.len() > 0;
        tokio::select! {
            Some(tried) = attempts.next() => match tried {
                Ok(reached) => return Ok(reached),
                Err(error) => { first_error.get_or_insert(error); }
            },
            () = tokio::time::sleep(DELAY), if more => {}
        }
    }
    Err(first_error.unwrap_or_else(super::names_no_host))
}

/// A TCP connection to `peer`.
pub(super) async fn attempt(peer: SocketAddr, options: &DialOptions) -> Result<TcpStream> {
    let socket = options.options.tcp(peer, Role::Dial)?;
    let source = options.source(peer);
    // Whoever watches is told of our port before the first packet leaves from it.
    let source = source.or_else(|| options.lookout.is_some().then(|| any_address(peer)));
    if let Some(source) = source {
        // A chosen port must be usable again while an earlier connection of it is in TIME-WAIT.
        let bound = socket
            .set_reuse_address(true)
            .and_then(|()| socket.bind(&source.into()));
        bound.map_err(|error| {
            Error::io(Operation::Connect, format!("{peer} from {source}"), error)
        })?;
    }
    let attempt = Attempt::begin(&socket, peer, options.lookout.as_ref(), options.patron());
    let socket = TcpSocket::from_std_stream(socket.into());
    let connecting = socket.connect(peer);
    let connected = match attempt {
        // Boxed: only who is watched has room for it.
        Some(attempt) => Box::pin(attempt.over(connecting)).await,
        None => connecting.await,
    };
    connected.map_err(|source| Error::io(Operation::Connect, peer, source))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_take_turns() {
        let parse = |text: &str| text.parse().unwrap();
        let all: Vec<SocketAddr> = ["[::1]:1", "[::2]:1", "[::3]:1", "1.1.1.1:1"]
            .map(parse)
            .into();
        let mixed: Vec<SocketAddr> = ["[::1]:1", "1.1.1.1:1", "[::2]:1", "[::3]:1"]
            .map(parse)
            .into();
        assert_eq!(interleave(all), mixed);
    }
}
