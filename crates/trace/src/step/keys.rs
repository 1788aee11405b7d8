//! Key logs, as programs write them that have `SSLKEYLOGFILE` in their environment
//! (draft-ietf-tls-keylogfile).

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};

/// Of connections that go on now so many have their secrets remembered, those that began last.
const LIVE: usize = 16_384;

/// The secrets of connections, by the random of their ClientHello.
#[derive(Debug, Default)]
pub(crate) struct KeyLog {
    secrets: HashMap<[u8; 32], Secrets>,
    /// In the order in which they came.
    order: VecDeque<[u8; 32]>,
    /// They are those of our own connections and come while these go on: what cannot be opened yet waits.
    pub(crate) more_come: bool,
}

/// The secrets of one connection.
#[derive(Clone, Debug, Default)]
pub(crate) struct Secrets {
    /// For the handshake: the client's, the server's.
    pub(crate) handshake: [Option<Vec<u8>>; 2],
    /// Of TLS 1.2: everything follows from it.
    pub(crate) master: Option<Vec<u8>>,
    /// For data.
    pub(crate) data: [Option<Vec<u8>>; 2],
}

impl KeyLog {
    /// Adds the lines of a key log. Lines that are something else are passed over.
    pub(crate) fn add(&mut self, text: &[u8]) {
        for line in text.split(|byte| *byte == b'\n') {
            let line = String::from_utf8_lossy(line);
            let mut words = line.split_whitespace();
            let (Some(label), Some(random), Some(secret)) =
                (words.next(), words.next(), words.next())
            else {
                continue;
            };
            let (Some(random), Some(secret)) = (bytes(random), bytes(secret)) else {
                continue;
            };
            let Ok(random) = <[u8; 32]>::try_from(random) else {
                continue;
            };
            let secrets = match self.secrets.entry(random) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(new) => {
                    self.order.push_back(random);
                    new.insert(Secrets::default())
                }
            };
            let place = match label {
                "CLIENT_HANDSHAKE_TRAFFIC_SECRET" => &mut secrets.handshake[0],
                "SERVER_HANDSHAKE_TRAFFIC_SECRET" => &mut secrets.handshake[1],
                "CLIENT_TRAFFIC_SECRET_0" => &mut secrets.data[0],
                "CLIENT_RANDOM" => &mut secrets.master,
                "SERVER_TRAFFIC_SECRET_0" => &mut secrets.data[1],
                _ => continue,
            };
            *place = Some(secret);
            if self.more_come
                && self.order.len() > LIVE
                && let Some(oldest) = self.order.pop_front()
            {
                self.secrets.remove(&oldest);
            }
        }
    }

    pub(crate) fn of(&self, random: &[u8; 32]) -> Option<&Secrets> {
        self.secrets.get(random)
    }
}

fn bytes(hex: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> = hex
        .chars()
        .map(|digit| digit.to_digit(16).map(|digit| digit as u8))
        .collect();
    let digits = digits.filter(|digits| digits.len().is_multiple_of(2))?;
    let pairs = digits.chunks_exact(2);
    Some(pairs.map(|pair| pair[0] << 4 | pair[1]).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_connections_that_go_on_the_latest_are_remembered_and_of_a_file_all() {
        for (more_come, first) in [(true, false), (false, true)] {
            let mut keys = KeyLog {
                more_come,
                ..KeyLog::default()
            };
            let random = |number: usize| {
                let mut random = [0; 32];
                random[..8].copy_from_slice(&number.to_be_bytes());
                random
            };
            for number in 0..=LIVE {
                let random: String = random(number).map(|byte| format!("{byte:02x}")).concat();
                keys.add(format!("CLIENT_RANDOM {random} 00\n").as_bytes());
            }
            assert_eq!(keys.of(&random(0)).is_some(), first);
            assert!(keys.of(&random(1)).is_some() && keys.of(&random(LIVE)).is_some());
        }
    }
}
