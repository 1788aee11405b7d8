//! The frames of a stream, followed as they come: none may be so long that it fills the memory, and none may be cut
//! short unnoticed.

use wire::quic_packet::Number;
use wire::webtransport::BOTH_WAYS;

use crate::protocol::http::HEAD_MAX;

/// What a frame may hold that is kept as a whole: the library keeps all of a frame that is not a body's until its end
/// has come. A head is no longer packed than it is unpacked but for letters that are rare (RFC 9204, section 4.1.2),
/// and one that is unpacked is limited anyway.
pub(super) const LONGEST: u64 = 2 * HEAD_MAX as u64;

/// Where in its frames a stream is (RFC 9114, section 7.1).
#[derive(Default)]
pub(super) struct Frames {
    place: Place,
    number: Number,
}

#[derive(Clone, Copy, Default)]
enum Place {
    /// Of a stream in one direction: before its type.
    Kind,
    #[default]
    Type,
    Length {
        kind: u64,
    },
    /// So many bytes before the next frame.
    Inside(u64),
    /// Where there are none.
    Unframed,
}

/// RFC 9114, section 6.2.1.
const CONTROL: u64 = 0x00;
/// RFC 9114, section 7.2.1: handed on as it comes.
const DATA: u64 = 0x00;

impl Frames {
    pub(super) fn of_one_way() -> Self {
        Self {
            place: Place::Kind,
            ..Self::default()
        }
    }

    /// Whether a frame has begun and not ended.
    pub(super) fn is_within(&self) -> bool {
        let begun = matches!(self.place, Place::Length { .. } | Place::Inside(1..));
        begun || (matches!(self.place, Place::Type) && self.number.is_begun())
    }

    /// Goes on by what has come. `false`: a frame is too long.
    pub(super) fn admit(&mut self, mut data: &[u8]) -> bool {
        while let Some((&byte, rest)) = data.split_first() {
            if let Place::Inside(left) = self.place {
                let here = usize::try_from(left).unwrap_or(usize::MAX).min(data.len());
                data = &data[here..];
                self.place = match left - here as u64 {
                    0 => Place::Type,
                    left => Place::Inside(left),
                };
                continue;
            }
            data = rest;
            let Some(number) = self.number.read(byte) else {
                continue;
            };
            self.place = match self.place {
                Place::Kind if number == CONTROL => Place::Type,
                Place::Type if number != BOTH_WAYS => Place::Length { kind: number },
                Place::Length { kind } if kind != DATA && number > LONGEST => return false,
                Place::Length { .. } if number == 0 => Place::Type,
                Place::Length { .. } => Place::Inside(number),
                Place::Kind | Place::Type | Place::Inside(_) | Place::Unframed => Place::Unframed,
            };
            if matches!(self.place, Place::Unframed) {
                break;
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same however it is cut.
    fn admitted(frames: fn() -> Frames, bytes: &[u8]) -> bool {
        let whole = frames().admit(bytes);
        let mut one_by_one = frames();
        assert_eq!(bytes.iter().all(|byte| one_by_one.admit(&[*byte])), whole);
        whole
    }

    #[test]
    fn only_what_is_kept_as_a_whole_is_limited() {
        // 0x01 is HEADERS, 0x00 is DATA; a length of 2^30 - 1.
        assert!(!admitted(Frames::default, b"\x01\xbf\xff\xff\xff"));
        assert!(admitted(Frames::default, b"\x00\xbf\xff\xff\xff"));
        assert!(admitted(Frames::default, b"\x01\x80\x01\xff\xfe"));
        assert!(!admitted(Frames::default, b"\x01\x80\x01\xff\xff"));
    }

    #[test]
    fn frames_are_followed_to_the_next_one() {
        assert!(admitted(
            Frames::default,
            b"\x01\x02..\x00\x00\x00\x03...\x01\x01."
        ));
        assert!(!admitted(
            Frames::default,
            b"\x01\x02..\x00\x00\x40\x21\xbf\xff\xff\xff"
        ));
        // The bytes of a body are no frames.
        assert!(admitted(Frames::default, b"\x00\x05\x01\xbf\xff\xff\xff"));
        // Nor are those of WebTransport.
        assert!(admitted(
            Frames::default,
            b"\x40\x41\x00\x01\xbf\xff\xff\xff"
        ));
    }

    /// A HEADERS of three bytes, an empty DATA, a DATA of 300 bytes, and a frame of an unknown type.
    #[test]
    fn ends_between_frames_are_told_from_those_within() {
        let mut bytes = vec![1, 3, 0, 0, 0xff, 0, 0, 0, 0x41, 0x2c];
        bytes.extend([7; 300]);
        bytes.extend([0x80, 0, 0, 0x21, 1, 9]);
        for end in 0..=bytes.len() {
            let (mut whole, mut pieces) = (Frames::default(), Frames::default());
            assert!(whole.admit(&bytes[..end]));
            assert!(bytes[..end].chunks(1).all(|byte| pieces.admit(byte)));
            for frames in [whole, pieces] {
                let between = [0, 5, 7, 310, 316].contains(&end);
                assert_eq!(frames.is_within(), !between, "{end}");
            }
        }
    }

    #[test]
    fn of_the_streams_in_one_direction_the_control_stream_has_frames() {
        assert!(!admitted(Frames::of_one_way, b"\x00\x04\xbf\xff\xff\xff"));
        assert!(admitted(Frames::of_one_way, b"\x02\x04\xbf\xff\xff\xff"));
    }
}
