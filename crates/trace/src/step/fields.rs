//! Header fields as HTTP/2 and HTTP/3 pack them (RFC 7541, RFC 9204): what they ask for or answer, in a few words.

use loona_hpack::Decoder;

use super::http1::line;

/// The longest block that is unpacked, in bytes.
const BLOCK_MAX: usize = 64 * 1024;
/// The most that a peer may have announced to remember (SETTINGS_HEADER_TABLE_SIZE): browsers say as much.
const TABLE_MAX: usize = 64 * 1024;

/// One direction of an HTTP/2 connection, whose blocks build on one another.
#[derive(Default)]
pub(super) struct Hpack {
    table: Option<Box<Decoder<'static>>>,
    /// One was missed: what follows may mean anything.
    is_lost: bool,
}

impl Hpack {
    /// What a whole block says; `None` if that is nothing, or cannot be known.
    pub(super) fn read(&mut self, block: &[u8]) -> Option<String> {
        if self.is_lost || block.len() > BLOCK_MAX {
            self.is_lost = true;
            return None;
        }
        let table = self.table.get_or_insert_with(|| {
            let mut table = Decoder::new();
            table.set_max_allowed_table_size(TABLE_MAX);
            Box::new(table)
        });
        let mut gist = Gist::default();
        let read = table.decode_with_cb(block, |name, value| gist.take(&name, &value));
        self.is_lost = read.is_err();
        read.ok()?;
        gist.text()
    }

    /// A block was not seen whole.
    pub(super) fn lose(&mut self) {
        self.is_lost = true;
    }
}

impl std::fmt::Debug for Hpack {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hpack")
            .field("is_lost", &self.is_lost)
            .finish_non_exhaustive()
    }
}

/// What a whole block of HTTP/3 says, if that needs nothing of what was said on other streams.
pub(super) fn qpack(mut block: &[u8]) -> Option<String> {
    let fields = qpack::decode_stateless(&mut block, BLOCK_MAX as u64).ok()?;
    let mut gist = Gist::default();
    for field in fields.fields {
        gist.take(&field.name, &field.value);
    }
    gist.text()
}

/// The pseudo fields that say what it is about (RFC 9113, section 8.3; RFC 8441, section 4).
#[derive(Debug, Default)]
struct Gist {
    method: Option<String>,
    protocol: Option<String>,
    path: Option<String>,
    authority: Option<String>,
    status: Option<String>,
}

impl Gist {
    fn take(&mut self, name: &[u8], value: &[u8]) {
        let place = match name {
            b":method" => &mut self.method,
            b":protocol" => &mut self.protocol,
            b":path" => &mut self.path,
            b":authority" => &mut self.authority,
            b":status" => &mut self.status,
            _ => return,
        };
        *place = Some(String::from_utf8_lossy(value).into_owned());
    }

    fn text(self) -> Option<String> {
        if let Some(status) = self.status {
            return Some(line(&status));
        }
        let words = [self.method?, self.protocol.unwrap_or_default()];
        let target = self.path.or(self.authority).unwrap_or_default();
        let words = words
            .iter()
            .chain([&target])
            .filter(|word| !word.is_empty());
        let words: Vec<_> = words.map(String::as_str).collect();
        Some(line(&words.join(" ")))
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::{any, proptest};

    use super::*;

    /// RFC 7541, appendix C.4: requests with Huffman coding, where each uses what the one before has taught.
    #[test]
    fn blocks_build_on_one_another() {
        let mut hpack = Hpack::default();
        let first = b"\x82\x86\x84\x41\x8c\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff";
        assert_eq!(hpack.read(first).as_deref(), Some("GET /"));
        let third = b"\x82\x87\x85\xbf\x40\x88\x25\xa8\x49\xe9\x5b\xa9\x7d\x7f\x89\x25\xa8\x49\xe9\x5b\xb8\xe8\xb4\xbf";
        assert_eq!(hpack.read(third), None, "the one between is missing");
        assert_eq!(hpack.read(first), None, "nothing is known from there on");

        let mut hpack = Hpack::default();
        let second = b"\x82\x86\x84\xbe\x58\x86\xa8\xeb\x10\x64\x9c\xbf";
        assert_eq!(hpack.read(first).as_deref(), Some("GET /"));
        assert_eq!(hpack.read(second).as_deref(), Some("GET /"));
        assert_eq!(hpack.read(third).as_deref(), Some("GET /index.html"));
    }

    /// RFC 9204, appendix B.1.
    #[test]
    fn http_3_says_the_path() {
        let block = b"\x00\x00\x51\x0b/index.html";
        assert_eq!(qpack(block), None, "a path without a method");
        let block = b"\x00\x00\xd1\x51\x0b/index.html";
        assert_eq!(qpack(block).as_deref(), Some("GET /index.html"));
        assert_eq!(
            qpack(b"\x03\x81\x10\x11"),
            None,
            "it needs what was said elsewhere"
        );
    }

    proptest! {
        #[test]
        fn whatever_comes_is_read_or_not(blocks in vec(vec(any::<u8>(), 0..200), 1..5)) {
            let mut hpack = Hpack::default();
            for block in blocks {
                let _ = (hpack.read(&block), qpack(&block));
            }
        }
    }

    #[test]
    fn what_a_peer_says_has_no_hold_on_a_terminal() {
        let block = b"\x00\x00\xd1\x51\x04/\x1b[m";
        let text = qpack(block).unwrap();
        assert!(!text.contains('\x1b'), "{text:?}");
    }
}
