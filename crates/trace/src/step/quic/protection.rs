//! Packets of QUIC, opened (RFC 9001, section 5; RFC 9369, section 3.3).

use aws_lc_rs::aead::quic::{AES_128, AES_256, CHACHA20, HeaderProtectionKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, Salt};
use wire::quic_packet::VERSION_2;

use crate::event::Side;
use crate::step::seal::{Sealed, derive};

const SALT_1: [u8; 20] = [
    0x38, 0x76, 0x2c, 0xf7, 0xf5, 0x59, 0x34, 0xb3, 0x4d, 0x17, 0x9a, 0xe6, 0xa4, 0xc8, 0x0c, 0xad,
    0xcc, 0xbb, 0x7f, 0x0a,
];

const SALT_2: [u8; 20] = [
    0x0d, 0xed, 0xe3, 0xde, 0xf7, 0x00, 0xa6, 0xdb, 0x81, 0x93, 0x81, 0xbe, 0x6e, 0x26, 0x9d, 0xcb,
    0xf9, 0xbd, 0x2e, 0xd9,
];

/// The cipher of the first packets: AES-128-GCM with SHA-256.
const FIRST: u16 = 0x1301;

/// As many bytes of a packet decide how its header is hidden.
const SAMPLE: usize = 16;

/// What opens the packets of one direction in one space.
pub(super) struct Protection {
    version: u32,
    cipher: u16,
    secret: Vec<u8>,
    header: HeaderProtectionKey,
    sealed: Sealed,
    /// The key phase, which changes with the keys (section 6).
    phase: Option<bool>,
    largest: u64,
}

/// The keys stay out of every log.
impl std::fmt::Debug for Protection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Protection({})", self.largest)
    }
}

fn label(version: u32, name: &str) -> String {
    match version {
        VERSION_2 => format!("quicv2 {name}"),
        _ => format!("quic {name}"),
    }
}

impl Protection {
    /// Of the first packets of one end, given the id that the client has made up.
    pub(super) fn initial(version: u32, id: &[u8], side: Side) -> Option<Self> {
        let salt = if version == VERSION_2 {
            &SALT_2
        } else {
            &SALT_1
        };
        let first = Salt::new(HKDF_SHA256, salt).extract(id);
        let name = match side {
            Side::A => "client in",
            Side::B => "server in",
        };
        let secret = derive(&first, name, 32)?;
        Self::new(version, FIRST, &secret)
    }

    pub(super) fn new(version: u32, cipher: u16, secret: &[u8]) -> Option<Self> {
        let sealed = Sealed::new(
            cipher,
            secret,
            &label(version, "key"),
            &label(version, "iv"),
        )?;
        let algorithm = match cipher {
            0x1302 => &AES_256,
            0x1303 => &CHACHA20,
            _ => &AES_128,
        };
        let key = sealed.expand(secret, &label(version, "hp"), algorithm.key_len())?;
        Some(Self {
            version,
            cipher,
            secret: secret.to_vec(),
            header: HeaderProtectionKey::new(algorithm, &key).ok()?,
            sealed,
            phase: None,
            largest: 0,
        })
    }

    /// The number of a packet and its frames. `begin` is where its number stands.
    pub(super) fn open(&mut self, packet: &[u8], begin: usize) -> Option<(u64, Vec<u8>)> {
        let sample = packet.get(begin + 4..begin + 4 + SAMPLE)?;
        let mask = self.header.new_mask(sample).ok()?;
        let long = packet[0] & 0x80 != 0;
        let first = packet[0] ^ mask[0] & if long { 0x0f } else { 0x1f };
        let length = usize::from(first & 3) + 1;
        let mut head = packet.get(..begin + length)?.to_vec();
        head[0] = first;
        let mut number = 0;
        for (byte, mask) in head[begin..].iter_mut().zip(&mask[1..]) {
            *byte ^= mask;
            number = number << 8 | u64::from(*byte);
        }
        let number = self.whole(number, length);
        let body = &packet[begin + length..];
        let phase = (!long).then_some(first & 4 != 0);
        let frames = match self.phase == phase || self.phase.is_none() {
            true => self.sealed.open(number, &head, body),
            false => None,
        };
        let frames = match frames {
            Some(frames) => frames,
            None if !long => self.update(number, &head, body)?,
            None => return None,
        };
        self.phase = phase;
        self.largest = self.largest.max(number);
        Some((number, frames))
    }

    /// The keys may have been renewed; those of the header stay.
    fn update(&mut self, number: u64, head: &[u8], body: &[u8]) -> Option<Vec<u8>> {
        let secret =
            self.sealed
                .expand(&self.secret, &label(self.version, "ku"), self.secret.len())?;
        let (key, iv) = (label(self.version, "key"), label(self.version, "iv"));
        let next = Sealed::new(self.cipher, &secret, &key, &iv)?;
        let frames = next.open(number, head, body)?;
        self.secret = secret;
        self.sealed = next;
        Some(frames)
    }

    /// The number of which the last `length` bytes were sent (RFC 9000, appendix A.3).
    fn whole(&self, cut: u64, length: usize) -> u64 {
        let expected = self.largest + 1;
        let window = 1_u64 << (length * 8);
        let near = expected & !(window - 1) | cut;
        if near + window / 2 <= expected {
            near + window
        } else if near > expected + window / 2 && near >= window {
            near - window
        } else {
            near
        }
    }
}

#[cfg(test)]
mod tests {
    use wire::quic_packet::{Header, Kind, VERSION_1};

    use super::*;

    fn bytes(hex: &str) -> Vec<u8> {
        let pairs = hex.as_bytes().chunks(2);
        pairs
            .map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap())
            .collect()
    }

    /// The server's first packet of RFC 9001, appendix A.3, and of RFC 9369, appendix A.3.
    #[test]
    fn the_first_packets_of_both_standards_are_opened() {
        let id = bytes("8394c8f03e515708");
        let frames = bytes(
            "02000000000600405a020000560303eefce7f7b37ba1d1632e96677825ddf73988cfc79825df566dc5430b9a045a1200\
             130100002e00330024001d00209d3c940d89690b84d08a60993c144eca684d1081287c834d5311bcf32bb9da1a002b00\
             020304",
        );
        for (version, packet) in [
            (
                VERSION_1,
                "cf000000010008f067a5502a4262b5004075c0d95a482cd0991cd25b0aac406a5816b6394100f37a1c69797554780bb3\
                 8cc5a99f5ede4cf73c3ec2493a1839b3dbcba3f6ea46c5b7684df3548e7ddeb9c3bf9c73cc3f3bded74b562bfb19fb84\
                 022f8ef4cdd93795d77d06edbb7aaf2f58891850abbdca3d20398c276456cbc42158407dd074ee",
            ),
            (
                VERSION_2,
                "dc6b3343cf0008f067a5502a4262b5004075d92faaf16f05d8a4398c47089698baeea26b91eb761d9b89237bbf872630\
                 17915358230035f7fd3945d88965cf17f9af6e16886c61bfc703106fbaf3cb4cfa52382dd16a393e42757507698075b2\
                 c984c707f0a0812d8cd5a6881eaf21ceda98f4bd23f6fe1a3e2c43edd9ce7ca84bed8521e2e140",
            ),
        ] {
            let packet = bytes(packet);
            let header = Header::read(&packet, 0).unwrap();
            assert_eq!((header.kind, header.version), (Kind::Initial, version));
            let mut server = Protection::initial(version, &id, Side::B).unwrap();
            assert_eq!(
                server.open(&packet, header.header),
                Some((1, frames.clone()))
            );
            let mut client = Protection::initial(version, &id, Side::A).unwrap();
            assert_eq!(client.open(&packet, header.header), None);
        }
    }

    /// RFC 9001, appendix A.5: ChaCha20-Poly1305 and a number of which three bytes were sent.
    #[test]
    fn a_short_packet_with_a_cut_number_is_opened() {
        let secret = bytes("9ac312a7f877468ebe69422748ad00a15443f18203a07d6060f688f30f21632b");
        let mut protection = Protection::new(VERSION_1, 0x1303, &secret).unwrap();
        protection.largest = 654_360_560;
        let packet = bytes("4cfe4189655e5cd55c41f69080575d7999c25a5bfb");
        assert_eq!(protection.open(&packet, 1), Some((654_360_564, vec![1])));
    }

    /// RFC 9000, appendix A.3.
    #[test]
    fn numbers_are_completed() {
        let mut protection = Protection::initial(VERSION_1, &[], Side::A).unwrap();
        protection.largest = 0xa82f_30ea;
        assert_eq!(protection.whole(0x9b32, 2), 0xa82f_9b32);
        protection.largest = 0xff;
        assert_eq!(protection.whole(0x01, 1), 0x101);
        assert_eq!(protection.whole(0xfe, 1), 0xfe);
    }
}
