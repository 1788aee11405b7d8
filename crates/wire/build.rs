//! Writes the table of characters that look alike in a form that costs nothing before it is used.
//!
//! The library has it with a pointer for each character. Those are relocated whenever a program starts: 40 of the 193
//! pages that `sockeye` had to relocate even to print its version.

use std::fmt::Write;
use std::path::Path;

use unicode_normalization::UnicodeNormalization;
use unicode_security::confusable_detection::skeleton;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let (mut from, mut ends, mut into) = (Vec::new(), Vec::new(), Vec::new());
    for c in '\0'..=char::MAX {
        // Others are taken apart before they are looked up.
        if !std::iter::once(c).nfd().eq([c]) {
            continue;
        }
        let text = c.to_string();
        let looks: Vec<char> = skeleton(&text).collect();
        if looks != [c] {
            from.push(c);
            into.extend(looks);
            ends.push(into.len());
        }
    }
    let mut table = String::new();
    let written = write!(
        table,
        "static FROM: [char; {}] = {from:?};\nstatic ENDS: [u16; {}] = {ends:?};\nstatic INTO: [char; {}] = {into:?};\n",
        from.len(),
        ends.len(),
        into.len(),
    );
    written.expect("a string takes everything");
    let folder = std::env::var("OUT_DIR").expect("cargo says where to");
    let file = Path::new(&folder).join("lookalikes.rs");
    std::fs::write(file, table).expect("cargo's folder can be written to");
}
