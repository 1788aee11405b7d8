//! Keys of packets. Where a header is protected as it is in version 2 (RFC 9369), and quinn has written it or reads it
//! as one of version 1, what counts is what the peer sees.

use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::error::Unspecified;
use bytes::BytesMut;
use quinn::ConnectionId;
use quinn::crypto::{CryptoError, HeaderKey, KeyPair, Keys, PacketKey};
use quinn::rustls::Side;
use quinn::rustls::quic::{DirectionalKeys, Keys as Secrets, PacketKey as Key, Suite};
use wire::quic::first_in_2;

use super::QuicVersion;

/// The keys of the first packets, which everyone can make.
pub(super) fn initial(suite: Suite, version: QuicVersion, id: &ConnectionId, side: Side) -> Keys {
    of_long_headers(suite.keys(id, side, version.keys()), version)
}

/// The keys of packets with long headers.
pub(super) fn of_long_headers(keys: Secrets, version: QuicVersion) -> Keys {
    let (local_header, local) = one_way(keys.local, version);
    let (remote_header, remote) = one_way(keys.remote, version);
    Keys {
        header: KeyPair {
            local: local_header,
            remote: remote_header,
        },
        packet: KeyPair { local, remote },
    }
}

/// The same for packets that go one way.
pub(super) fn one_way(
    keys: DirectionalKeys,
    version: QuicVersion,
) -> (Box<dyn HeaderKey>, Box<dyn PacketKey>) {
    let packet: Box<dyn PacketKey> = match version {
        QuicVersion::One => Box::new(keys.packet),
        QuicVersion::Two => Box::new(Renumbered(keys.packet)),
    };
    (Box::new(keys.header), packet)
}

/// The keys of packets with short headers, which are the same in both versions.
pub(super) fn of_short_headers(keys: Secrets) -> Keys {
    of_long_headers(keys, QuicVersion::One)
}

/// A key of version 2 for headers that are written as in version 1.
struct Renumbered(Box<dyn Key>);

impl PacketKey for Renumbered {
    fn encrypt(&self, packet: u64, buf: &mut [u8], header_len: usize) {
        let Some(first) = buf.first().copied() else {
            return;
        };
        buf[0] = first_in_2(first);
        self.0.encrypt(packet, buf, header_len);
        buf[0] = first;
    }

    fn decrypt(
        &self,
        packet: u64,
        header: &[u8],
        payload: &mut BytesMut,
    ) -> Result<(), CryptoError> {
        let mut header = header.to_vec();
        let first = header.first_mut().ok_or(CryptoError)?;
        *first = first_in_2(*first);
        self.0.decrypt(packet, &header, payload)
    }

    fn tag_len(&self) -> usize {
        self.0.tag_len()
    }

    fn confidentiality_limit(&self) -> u64 {
        self.0.confidentiality_limit()
    }

    fn integrity_limit(&self) -> u64 {
        self.0.integrity_limit()
    }
}

/// What proves that a Retry packet is whole and is meant for who has chosen `first_id` (RFC 9001, section 5.8, and RFC
/// 9369, section 3.3.3). `packet` is the packet without it, in parts, with the header of version 1.
///
/// # Errors
/// When it cannot be computed.
pub(super) fn retry_tag(
    version: QuicVersion,
    first_id: &ConnectionId,
    packet: &[&[u8]],
) -> Result<[u8; 16], Unspecified> {
    let (key, nonce) = match version {
        QuicVersion::One => (
            0xbe0c_690b_9f66_575a_1d76_6b54_e368_c84e_u128,
            *b"\x46\x15\x99\xd3\x5d\x63\x2b\xf2\x23\x98\x25\xbb",
        ),
        QuicVersion::Two => (
            0x8fb4_b01b_56ac_48e2_60fb_cbce_ad7c_cc92_u128,
            *b"\xd8\x69\x69\xbc\x2d\x7c\x6d\x99\x90\xef\xb0\x4a",
        ),
    };
    let length = u8::try_from(first_id.len()).map_err(|_| Unspecified)?;
    let mut whole = vec![length];
    whole.extend_from_slice(first_id);
    let first = whole.len();
    whole.extend(packet.iter().copied().flatten());
    if let (QuicVersion::Two, Some(first)) = (version, whole.get_mut(first)) {
        *first = first_in_2(*first);
    }
    let key = LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &key.to_be_bytes())?);
    let nonce = Nonce::assume_unique_for_key(nonce);
    let tag = key.seal_in_place_separate_tag(nonce, Aad::from(whole), &mut [])?;
    tag.as_ref().try_into().map_err(|_| Unspecified)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 9001, appendix A.4, and RFC 9369, appendix A.4.
    #[test]
    fn tags_are_those_of_the_standards() {
        let id = ConnectionId::new(b"\x83\x94\xc8\xf0\x3e\x51\x57\x08");
        let packet = b"\xff\0\0\0\x01\0\x08\xf0\x67\xa5\x50\x2a\x42\x62\xb5token";
        let tag = b"\x04\xa2\x65\xba\x2e\xff\x4d\x82\x90\x58\xfb\x3f\x0f\x24\x96\xba";
        assert_eq!(
            retry_tag(QuicVersion::One, &id, &[packet]).as_ref(),
            Ok(tag)
        );
        // It is printed as it is sent: with the type of version 2.
        let mut packet = *b"\xcf\x6b\x33\x43\xcf\0\x08\xf0\x67\xa5\x50\x2a\x42\x62\xb5token";
        wire::quic::from_version_2(&mut packet);
        let tag = b"\xc8\x64\x6c\xe8\xbf\xe3\x39\x52\xd9\x55\x54\x36\x65\xdc\xc7\xb6";
        let (header, token) = packet.split_at(15);
        assert_eq!(
            retry_tag(QuicVersion::Two, &id, &[header, token]).as_ref(),
            Ok(tag)
        );
    }
}
