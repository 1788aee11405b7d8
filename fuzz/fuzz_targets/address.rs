//! Addresses: what is read is written and read back equal; what is refused is pointed at.

#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::address::{Address, AddressError};

fuzz_target!(|text: &str| {
    match Address::parse(text) {
        Ok(address) => is_sound(&address),
        Err(error) => is_helpful(&error, text),
    }
    if let Some((host, port)) = text.split_once(' ') {
        match Address::from_host_port(host, port) {
            Ok(address) => is_sound(&address),
            Err(error) => is_helpful(&error, text),
        }
    }
});

fn is_sound(address: &Address) {
    let written = address.to_string();
    let again = Address::parse(&written);
    assert_eq!(again.as_ref(), Ok(address), "written as {written:?}");
    assert_eq!(again.map(|again| again.to_string()), Ok(written));
    if let Some(scheme) = address.scheme {
        assert!(scheme.fits(&address.target));
        assert_eq!(&address.clone().with_scheme(scheme), address);
    }
}

fn is_helpful(error: &AddressError, text: &str) {
    assert_eq!(error.text(), text);
    assert_eq!(error.span().start, error.at());
    assert!(
        text.get(error.span()).is_some(),
        "{:?} of {text:?}",
        error.span()
    );

    let shown = error.to_string();
    assert!(!shown.contains(char::is_control), "{shown:?}");
    assert!(!error.hint().is_some_and(str::is_empty));

    let caret = error.caret();
    let (_, mark) = caret.split_once('\n').expect("two lines");
    let tail = mark.trim_start_matches(' ').strip_prefix('^');
    assert!(
        tail.is_some_and(|tail| tail.bytes().all(|b| b == b'~')),
        "{caret}"
    );
}
