//! How many sessions each address may have, and how fast it may open them.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// So many in so much time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How many; all of them may come at once.
    pub count: u32,
    /// In how much time.
    pub per: Duration,
}

/// Who has come from where.
#[derive(Debug)]
pub(super) struct Crowd {
    most: Option<u32>,
    rate: Option<Rate>,
    table: Arc<Mutex<Table>>,
}

#[derive(Debug, Default)]
struct Table {
    entries: HashMap<IpAddr, Entry>,
    /// From this size on those who have gone are looked for.
    crowded: usize,
}

#[derive(Debug)]
struct Entry {
    open: u32,
    /// When the rate is used up no more: the "theoretical arrival time" of the generic cell rate algorithm.
    free_at: Instant,
}

/// The place of one session among those of its address, given back when dropped.
#[derive(Debug)]
pub(in crate::port) struct Seat {
    table: Arc<Mutex<Table>>,
    address: IpAddr,
}

/// Why somebody has no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Crowded {
    TooMany(u32),
    TooFast(Rate),
}

impl Crowd {
    pub(super) fn new(most: Option<u32>, rate: Option<Rate>) -> Self {
        Self {
            most,
            rate,
            table: Arc::default(),
        }
    }

    /// A seat for one more session from `ip`; none is needed where nothing is limited.
    pub(super) fn seat(&self, ip: IpAddr, now: Instant) -> Result<Option<Seat>, Crowded> {
        if self.most.is_none() && self.rate.is_none() {
            return Ok(None);
        }
        let address = one_of(ip);
        let mut table = lock(&self.table);
        table.sweep(now);
        let entry = table.entries.entry(address).or_insert(Entry {
            open: 0,
            free_at: now,
        });
        if let Some(most) = self.most
            && entry.open >= most
        {
            return Err(Crowded::TooMany(most));
        }
        if let Some(rate) = self.rate {
            let each = rate.per / rate.count.max(1);
            let free_at = entry.free_at.max(now);
            if free_at + each > now + rate.per {
                return Err(Crowded::TooFast(rate));
            }
            entry.free_at = free_at + each;
        }
        entry.open += 1;
        Ok(Some(Seat {
            table: self.table.clone(),
            address,
        }))
    }
}

impl Table {
    /// Forgets who has gone, each time as many more have come as were left the last time.
    fn sweep(&mut self, now: Instant) {
        const SMALL: usize = 1024;
        if self.entries.len() < self.crowded.max(SMALL) {
            return;
        }
        self.entries
            .retain(|_, entry| entry.open > 0 || entry.free_at > now);
        self.crowded = 2 * self.entries.len();
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if let Some(entry) = lock(&self.table).entries.get_mut(&self.address) {
            entry.open = entry.open.saturating_sub(1);
        }
    }
}

/// A count stays right whoever panicked.
fn lock(table: &Mutex<Table>) -> MutexGuard<'_, Table> {
    table.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whoever has one IPv6 address has 2^64 of them (RFC 6177): they count as one.
fn one_of(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(v6) if !v6.is_loopback() => {
            Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX)).into()
        }
        other => other,
    }
}

impl std::fmt::Display for Crowded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::TooMany(most) => write!(f, "its address has {most} sessions open already"),
            Self::TooFast(rate) => write!(
                f,
                "its address opens more than {} sessions in {:?}",
                rate.count, rate.per
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_has_so_many_and_gets_them_back() {
        let crowd = Crowd::new(Some(2), None);
        let now = Instant::now();
        let first = crowd.seat(ip("10.0.0.1"), now).unwrap();
        let _second = crowd.seat(ip("10.0.0.1"), now).unwrap();
        let third = crowd.seat(ip("10.0.0.1"), now);
        assert_eq!(third.unwrap_err(), Crowded::TooMany(2));
        assert!(crowd.seat(ip("10.0.0.2"), now).is_ok());
        drop(first);
        assert!(crowd.seat(ip("10.0.0.1"), now).is_ok());
    }

    #[test]
    fn a_rate_allows_a_burst_and_then_one_at_a_time() {
        let rate = Rate {
            count: 3,
            per: Duration::from_secs(3),
        };
        let crowd = Crowd::new(None, Some(rate));
        let start = Instant::now();
        let tried = |after_ms: u64| {
            let now = start + Duration::from_millis(after_ms);
            crowd.seat(ip("10.0.0.1"), now).is_ok()
        };
        assert_eq!([0, 0, 0, 0].map(tried), [true, true, true, false]);
        assert_eq!([999, 1000, 1000].map(tried), [false, true, false]);
        assert_eq!(
            [9000, 9000, 9000, 9000].map(tried),
            [true, true, true, false]
        );
    }

    #[test]
    fn the_addresses_of_one_ipv6_network_are_one() {
        let crowd = Crowd::new(Some(1), None);
        let now = Instant::now();
        let _seat = crowd.seat(ip("2001:db8::1"), now).unwrap();
        assert!(crowd.seat(ip("2001:db8::2"), now).is_err());
        assert!(crowd.seat(ip("2001:db8:0:1::1"), now).is_ok());
        let _seat = crowd.seat(ip("10.0.0.1"), now).unwrap();
        assert!(crowd.seat(ip("::ffff:10.0.0.1"), now).is_err());
    }

    #[test]
    fn who_has_gone_is_forgotten() {
        let rate = Rate {
            count: 1,
            per: Duration::from_secs(1),
        };
        let crowd = Crowd::new(None, Some(rate));
        let start = Instant::now();
        for n in 0..5000u32 {
            let now = start + Duration::from_secs(u64::from(n));
            drop(crowd.seat(Ipv6Addr::from_bits(u128::from(n) << 64).into(), now));
        }
        assert!(lock(&crowd.table).entries.len() <= 1025);
    }
}
