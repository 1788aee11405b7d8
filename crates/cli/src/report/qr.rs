//! An address as a QR code, drawn in a terminal for the camera of a phone.

use qrcode::{Color, EcLevel, QrCode};

use crate::terminal;

/// How many light modules stand around a code (ISO/IEC 18004, section 6.3.8).
const QUIET: usize = 4;

/// Black on white, whatever the terminal's own colours are: these two of the 256 belong to no theme, and many
/// cameras do not read a code that is light on dark.
const INK: &str = "\x1b[38;5;16;48;5;231m";
const PLAIN: &str = "\x1b[0m";

/// `text` as lines for standard error; `None` where nobody could point a camera at it: that is no terminal, it is
/// too narrow, or the text is too long for a code.
pub(crate) fn for_terminal(text: &str) -> Option<String> {
    drawn(text, terminal::told_columns()?)
}

/// `text` as lines, each of two rows of modules, if they fit into so many columns.
fn drawn(text: &str, columns: usize) -> Option<String> {
    // Nothing is printed over the code: it needs no more correction than the least.
    let code = QrCode::with_error_correction_level(text, EcLevel::L).ok()?;
    let side = code.width() + 2 * QUIET;
    if side > columns {
        return None;
    }
    let modules = code.to_colors();
    let inside = QUIET..QUIET + code.width();
    let is_dark = |x: usize, y: usize| {
        inside.contains(&x)
            && inside.contains(&y)
            && modules[(y - QUIET) * code.width() + x - QUIET] == Color::Dark
    };
    let mut lines = String::new();
    for y in (0..side).step_by(2) {
        lines.push_str(INK);
        lines.extend((0..side).map(|x| match (is_dark(x, y), is_dark(x, y + 1)) {
            (false, false) => ' ',
            (true, false) => '▀',
            (false, true) => '▄',
            (true, true) => '█',
        }));
        lines.push_str(PLAIN);
        lines.push('\n');
    }
    Some(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a reader that is not ours sees, each half block as two modules of 4 × 4 points.
    fn read(lines: &str) -> String {
        let rows: Vec<Vec<char>> = lines
            .lines()
            .map(|line| line.replace(INK, "").replace(PLAIN, "").chars().collect())
            .collect();
        let (width, height) = (rows[0].len(), rows.len() * 2);
        let is_dark = |x: usize, y: usize| match rows[y / 2][x] {
            '█' => true,
            '▀' => y.is_multiple_of(2),
            '▄' => y % 2 == 1,
            _ => false,
        };
        let mut picture = rqrr::PreparedImage::prepare_from_greyscale(
            width * 4,
            height * 4,
            |x, y| match is_dark(x / 4, y / 4) {
                true => 0,
                false => 255,
            },
        );
        let codes = picture.detect_grids();
        assert_eq!(codes.len(), 1, "{lines}");
        codes[0].decode().unwrap().1
    }

    #[test]
    fn another_reader_reads_it() {
        for text in [
            "http://192.168.1.7:3000/",
            "https://[2001:db8::1]:3000/?room=lobby&name=ann#0123456789abcdef0123456789abcdef",
            "http://一台机器.local:3000/",
        ] {
            assert_eq!(read(&drawn(text, 80).unwrap()), text);
        }
    }

    #[test]
    fn around_it_are_four_light_modules() {
        let lines = drawn("http://192.168.1.7:3000/", 80).unwrap();
        let rows: Vec<&str> = lines.lines().collect();
        let row = |line: &str| line.replace(INK, "").replace(PLAIN, "");
        for line in &rows[..2] {
            assert_eq!(row(line).trim(), "");
        }
        for line in &rows {
            assert!(row(line).starts_with("    "), "{line:?}");
            assert!(row(line).ends_with("    "), "{line:?}");
        }
    }

    #[test]
    fn colours_end_where_the_line_does() {
        for line in drawn("http://192.168.1.7:3000/", 80).unwrap().lines() {
            assert!(line.starts_with(INK) && line.ends_with(PLAIN), "{line:?}");
        }
    }

    #[test]
    fn where_it_has_no_room_there_is_none() {
        // Version 2 has 25 modules.
        assert!(drawn("http://192.168.1.7:3000/", 33).is_some());
        assert!(drawn("http://192.168.1.7:3000/", 32).is_none());
        assert!(drawn(&"x".repeat(3000), 1000).is_none());
    }
}
