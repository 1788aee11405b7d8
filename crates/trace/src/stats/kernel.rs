//! How the connections of this machine do, asked again and again: sock_diag(7) and what it calls TCP_INFO.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::time::Instant;

use super::{Curve, Quantity, Stats};
use crate::event::State;
use crate::kernel::{Info, Kernel};

/// Asks again and again how some connections do.
#[derive(Debug)]
pub struct Sampler {
    kernel: Kernel,
    /// Of interest is what has this address, or this port, at one end.
    address: Option<SocketAddr>,
    port: u16,
    began: Instant,
    seen: BTreeMap<(SocketAddr, SocketAddr), Samples>,
}

/// What one connection said.
#[derive(Debug, Default)]
struct Samples {
    sent: Vec<(i64, f64)>,
    received: Vec<(i64, f64)>,
    round_trip: Vec<(i64, f64)>,
    window: Vec<(i64, f64)>,
    again: Vec<(i64, f64)>,
    totals: Option<[u64; 3]>,
    last: i64,
}

impl Sampler {
    /// About connections with this address at one end, or with this port.
    ///
    /// # Errors
    /// As opening a socket.
    pub fn new(address: Option<SocketAddr>, port: u16) -> io::Result<Self> {
        Ok(Self {
            kernel: Kernel::open()?,
            address,
            port,
            began: Instant::now(),
            seen: BTreeMap::new(),
        })
    }

    /// Asks once, and says how many of them there are now.
    ///
    /// # Errors
    /// As asking the kernel.
    pub fn sample(&mut self) -> io::Result<usize> {
        let all = self.kernel.all(Some(self.port))?;
        let now = self.began.elapsed().as_nanos() as i64;
        let mut count = 0;
        let open = |state| !matches!(state, State::Listen | State::TimeWait);
        for socket in all.into_iter().filter(|socket| open(socket.state)) {
            let (own, peer) = (socket.own, socket.peer);
            let Some(info) = socket.info else { continue };
            let is = |end: SocketAddr| match self.address {
                Some(address) => end == address,
                None => end.port() == self.port,
            };
            if is(own) || is(peer) {
                count += 1;
                self.seen.entry((own, peer)).or_default().add(now, info);
            }
        }
        Ok(count)
    }

    /// Whether any was ever there.
    #[must_use]
    pub fn has_seen(&self) -> bool {
        !self.seen.is_empty()
    }

    /// How they went until now, each counted from when it was first seen.
    #[must_use]
    pub fn stats(&self) -> Vec<Stats> {
        let all = self.seen.iter();
        all.map(|((own, peer), samples)| samples.stats(*own, *peer))
            .collect()
    }
}

impl Samples {
    fn add(&mut self, now: i64, info: Info) {
        let totals = [info.acknowledged, info.received, info.again];
        // What was before the first look belongs to no moment.
        let before = self.totals.replace(totals).unwrap_or(totals);
        let more = [0, 1, 2].map(|index| totals[index].saturating_sub(before[index]) as f64);
        self.sent.push((now, more[0]));
        self.received.push((now, more[1]));
        self.again.push((now, more[2]));
        self.round_trip.push((now, info.round_trip as f64));
        self.window.push((now, info.window() as f64));
        self.last = now;
    }

    fn stats(&self, own: SocketAddr, peer: SocketAddr) -> Stats {
        let first = self.window.first().map_or(0, |(time, _)| *time);
        let curve = |name: &str, quantity, samples: &[(i64, f64)]| Curve {
            name: name.to_owned(),
            quantity,
            samples: samples
                .iter()
                .map(|(time, value)| (time - first, *value))
                .collect(),
        };
        let mut curves = vec![
            curve("acknowledged", Quantity::Flowed, &self.sent),
            curve("received", Quantity::Flowed, &self.received),
            curve(
                "round trip (smoothed)",
                Quantity::Smoothed,
                &self.round_trip,
            ),
            curve("congestion window", Quantity::Held, &self.window),
            curve("retransmissions", Quantity::Count, &self.again),
        ];
        // Of one that only listens there is nothing to see.
        curves.retain(|curve| curve.samples.iter().any(|(_, value)| *value > 0.0));
        Stats {
            title: format!("{own} → {peer}, sight: socket, as the kernel says (TCP_INFO)"),
            span: (self.last - first).max(1),
            curves,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn the_kernel_says_what_passed_through_a_connection() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap();
        let mut client = TcpStream::connect(at).unwrap();
        let (mut server, _) = listener.accept().unwrap();
        let mut sampler = Sampler::new(Some(at), at.port()).unwrap();
        assert_eq!(sampler.sample().unwrap(), 2, "both ends are here");
        client.write_all(&[7; 100_000]).unwrap();
        server.read_exact(&mut [0; 100_000]).unwrap();
        // The last ACK may still be on its way to the client.
        let mut both = Vec::new();
        while both.len() < 2 {
            sampler.sample().unwrap();
            both = sampler.stats();
            let whole = |stats: &Stats| {
                let passed = stats
                    .curves
                    .iter()
                    .filter(|curve| curve.quantity == Quantity::Flowed);
                passed
                    .flat_map(|curve| &curve.samples)
                    .map(|(_, bytes)| bytes)
                    .sum::<f64>()
                    >= 100_000.0
            };
            both.retain(whole);
        }
        let sent = both
            .iter()
            .find(|stats| stats.title.contains(&format!("→ {at}")))
            .unwrap();
        assert_eq!(sent.curves[0].name, "acknowledged");
        let names: Vec<_> = sent
            .curves
            .iter()
            .map(|curve| curve.name.as_str())
            .collect();
        assert!(names.contains(&"congestion window"), "{names:?}");
        let window = sent
            .curves
            .iter()
            .find(|curve| curve.name == "congestion window")
            .unwrap();
        // Ten segments at least (RFC 6928).
        assert!(
            window
                .samples
                .iter()
                .all(|(_, bytes)| *bytes >= 10.0 * 500.0)
        );
    }
}
