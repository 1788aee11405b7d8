//! Version 2 on its way through a socket: what quinn has written as version 1.

use quinn::udp::Transmit;
use wire::quic::{is_version_2, to_version_2};

/// Hands packets on to `send` as their version has them. Those with short headers have nothing to change, which is all
/// of them after the handshake.
pub(crate) fn in_version<T>(transmit: &Transmit<'_>, send: impl FnOnce(&Transmit<'_>) -> T) -> T {
    let contents = transmit.contents;
    let size = transmit.segment_size.unwrap_or(contents.len()).max(1);
    if !contents.chunks(size).any(is_version_2) {
        return send(transmit);
    }
    let mut contents = contents.to_vec();
    contents.chunks_mut(size).for_each(to_version_2);
    send(&Transmit {
        contents: &contents,
        ..*transmit
    })
}
