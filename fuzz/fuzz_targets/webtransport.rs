//! Capsules of WebTransport: the same however they are cut, and what is kept of them is bounded.

#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::webtransport::{
    BOTH_WAYS, Beginning, Capsules, LONGEST_REASON, begin, from_http3, to_http3,
};

fuzz_target!(|input: (u16, &[u8])| {
    let (cut, bytes) = input;
    let mut whole = Capsules::default();
    let at_once = whole.admit(bytes);
    let mut pieces = Capsules::default();
    let cut = usize::from(cut).min(bytes.len());
    let mut closed = Ok(None);
    for piece in [&bytes[..cut], &bytes[cut..]] {
        closed = closed.and_then(|close| Ok(pieces.admit(piece)?.or(close)));
    }
    assert_eq!(closed, at_once);
    if let Ok(Some(close)) = at_once {
        assert!(close.reason.len() <= LONGEST_REASON);
        let again = Capsules::default().admit(&close.written());
        assert_eq!(again, Ok(Some(close)));
    }
    if let Beginning::Session { length, .. } = begin(bytes, BOTH_WAYS) {
        assert!((2..=16).contains(&length) && length <= bytes.len());
    }
    if let Some(code) = bytes.first_chunk().map(|code| u64::from_be_bytes(*code)) {
        assert!(from_http3(code).is_none_or(|application| to_http3(application) == code));
    }
});
