//! Tests that run in a network namespace of their own, with nobody else on it.

use std::ffi::OsStr;

use crate::stage::{LONG, program};

/// Set where a test runs again.
const APART: &str = "SOCKEYE_TEST_APART";

/// Nothing but loopback.
pub(crate) const LOOPBACK: &str = "ip link set lo up";

/// Loopback, and a network on which nobody else is. The cable's other end has no address, where the kernel has IPv6.
pub(crate) const ALONE: &str = "ip link set lo up \
    && ip link add lan type veth peer name far \
    && { ip link set far addrgenmode none 2>/dev/null || true; } \
    && ip address add 10.9.7.1/24 dev lan && ip link set lan up && ip link set far up";

/// Runs a test, named `module::name`, again in a namespace that `made` has set up. `false`: this is there, or none can be
/// made.
#[track_caller]
pub(crate) fn runs_apart(test: &str, made: &str) -> bool {
    if std::env::var_os(APART).is_some() {
        return false;
    }
    let may = program("unshare", ["--map-root-user", "--net", "true"]).run();
    if may.code != 0 {
        eprintln!("not in a namespace, because none can be made here: {may:?}");
        return false;
    }
    let own = std::env::current_exe().unwrap();
    let script = format!("{made} && exec \"$0\" --exact \"$1\" --nocapture");
    let words = ["--map-root-user", "--net", "sh", "-c", &script];
    let words = words
        .iter()
        .map(OsStr::new)
        .chain([own.as_os_str(), OsStr::new(test)]);
    let ended = program("unshare", words)
        .env(APART, "1")
        .start()
        .end_within(LONG * 9);
    assert_eq!(ended.code, 0, "{}{}", ended.text(), ended.err);
    assert!(ended.text().contains("1 passed"), "{}", ended.text());
    true
}

/// Whether this is such a place.
pub(crate) fn is_apart() -> bool {
    std::env::var_os(APART).is_some()
}
