//! Upstream proxies: however their answers are cut, they mean the same, and nothing behind them is taken.

#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::address::{Host, HostPort};
use wire::upstream::{Credentials, Heard, Kind, Proxy};

fuzz_target!(|input: &[u8]| {
    let Some((&choice, heard)) = input.split_first() else {
        return;
    };
    let host = |name: &str| HostPort {
        host: Host::Name(name.to_owned()),
        port: 80,
    };
    let credentials = || Credentials {
        user: "me".to_owned(),
        password: "secret".to_owned(),
    };
    let proxy = Proxy {
        kind: [Kind::Socks5, Kind::Http][usize::from(choice >> 1 & 1)],
        at: host("proxy"),
        credentials: (choice & 1 == 1).then(credentials),
    };
    let whole = talk(&proxy, &host("h"), heard, heard.len().max(1));
    assert_eq!(talk(&proxy, &host("h"), heard, 1), whole);

    if let Ok(text) = str::from_utf8(heard) {
        match text.parse::<Proxy>() {
            Ok(proxy) => {
                let again: Proxy = proxy.to_string().parse().expect("our own");
                assert_eq!((again.kind, again.at), (proxy.kind, proxy.at));
            }
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
});

/// What was said, and how much of `heard` was taken when it ended well.
fn talk(proxy: &Proxy, to: &HostPort, heard: &[u8], step: usize) -> (Vec<u8>, Option<usize>) {
    let (mut talk, mut said) = proxy.begin(to).expect("it fits");
    let (mut from, mut end) = (0, 0);
    loop {
        assert!(from <= end && end <= heard.len());
        match talk.hear(&heard[from..end]) {
            Ok(Heard::NeedMore) if end == heard.len() => return (said, None),
            Ok(Heard::NeedMore) => end = heard.len().min(end + step),
            Ok(Heard::Answer { used, say }) => {
                assert!(used > 0, "it goes on");
                from += used;
                said.extend(say);
            }
            Ok(Heard::Done { used }) => return (said, Some(from + used)),
            Err(refusal) => {
                let shown = refusal.to_string();
                let ours = !heard.windows(6).any(|part| part == b"secret");
                assert!(!(ours && shown.contains("secret")), "{shown}");
                return (said, None);
            }
        }
    }
}
