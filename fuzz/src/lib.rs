//! What the fuzz targets share: ways to cut a stream, as a network would, and to pick from a table.

/// `bytes` in pieces whose sizes go round and round; 0 counts as 1.
pub fn pieces(mut bytes: &[u8], sizes: [u8; 4]) -> impl Iterator<Item = &[u8]> {
    let mut sizes = sizes.into_iter().cycle();
    std::iter::from_fn(move || {
        let size = usize::from(sizes.next()?).clamp(1, bytes.len().max(1));
        let (piece, rest) = bytes.split_at_checked(size)?;
        bytes = rest;
        Some(piece)
    })
}

/// The entry of `table` that a byte of input stands for.
pub fn pick<T: Copy>(table: &[T], choice: u8) -> T {
    table[usize::from(choice) % table.len()]
}
