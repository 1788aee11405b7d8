//! Which sockets a network has: the tables of /proc, as the calling thread's network shows them.

use std::fs;

/// As /proc/net/tcp writes them: `enum` in the kernel's net/tcp_states.h.
const TIME_WAIT: &str = "06";
const CLOSED: &str = "07";
const FIN_WAIT_2: &str = "05";
const LISTEN: &str = "0A";

/// The states of all TCP sockets.
fn states() -> Vec<String> {
    let tables = ["tcp", "tcp6"].map(|name| {
        let path = format!("/proc/thread-self/net/{name}");
        // A kernel without IPv6 has no table for it.
        fs::read_to_string(path).unwrap_or_default()
    });
    let rows = tables.iter().flat_map(|table| table.lines().skip(1));
    rows.filter_map(|row| row.split_whitespace().nth(3).map(str::to_owned))
        .collect()
}

/// Whether a server waits for somebody: it listens, or has a socket for datagrams.
pub(super) fn listens() -> bool {
    let datagrams = ["udp", "udp6"].iter().any(|name| {
        let table = fs::read_to_string(format!("/proc/thread-self/net/{name}"));
        table.is_ok_and(|table| table.lines().count() > 1)
    });
    datagrams || states().iter().any(|state| state == LISTEN)
}

/// Whether nothing is to be expected from any socket: those that wait out their time do not speak unless asked, and
/// FIN-WAIT-2 waits for the other end.
pub(super) fn is_at_rest() -> bool {
    let silent = [TIME_WAIT, CLOSED, FIN_WAIT_2, LISTEN];
    states()
        .iter()
        .all(|state| silent.contains(&state.as_str()))
}
