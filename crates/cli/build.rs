//! Links the unwinder into the program where the system's compiler has it as an archive.
//!
//! Rust asks for it as a library of its own, `libgcc_s.so`. Loading that takes a seventh of what the whole program
//! needs to start: besides being mapped and relocated it asks the processor what it can do, which a virtual machine
//! answers slowly.

use std::env::var;
use std::path::{Path, PathBuf};
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let is = |key: &str, wanted: &str| var(key).is_ok_and(|value| value == wanted);
    let features = var("CARGO_CFG_TARGET_FEATURE").unwrap_or_default();
    let is_static = features.split(',').any(|feature| feature == "crt-static");
    if !is("CARGO_CFG_TARGET_OS", "linux") || !is("CARGO_CFG_TARGET_ENV", "gnu") || is_static {
        return;
    }
    if let (Some(compiler), Ok(folder)) = (compiler(), var("OUT_DIR"))
        && has_archive(&compiler)
    {
        // What the linker finds under that name; folders that are named come before the system's.
        let script = Path::new(&folder).join("libgcc_s.so");
        let written = std::fs::write(script, "INPUT(-lgcc_eh -lgcc)\n");
        if written.is_ok() {
            println!("cargo::rustc-link-search=native={folder}");
        }
    }
}

/// The compiler that links; none is known when building for another machine without naming one.
fn compiler() -> Option<PathBuf> {
    match var("RUSTC_LINKER") {
        Ok(linker) => Some(linker.into()),
        Err(_) => (var("HOST") == var("TARGET")).then(|| "cc".into()),
    }
}

/// Asked for a file that it does not have, a compiler gives the bare name back.
fn has_archive(compiler: &Path) -> bool {
    let asked = Command::new(compiler)
        .arg("-print-file-name=libgcc_eh.a")
        .output();
    let answer = asked.map(|answer| answer.stdout).unwrap_or_default();
    let path = String::from_utf8_lossy(&answer);
    let path = Path::new(path.trim());
    path.is_absolute() && path.exists()
}
