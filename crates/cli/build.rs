//! What makes the program start sooner.
//!
//! The unwinder is linked in where the system's compiler has it as an archive. Rust asks for it as a library of its
//! own, `libgcc_s.so`. Loading that takes a seventh of what the whole program needs to start: besides being mapped
//! and relocated it asks the processor what it can do, which a virtual machine answers slowly.
//!
//! The program is linked for a fixed address, as those of Go are, unless `SOCKEYE_PIE` is set. At any other one, 22,000
//! pointers in 164 pages have to be changed before `main`: more than half of what `--version` takes. The price is that an
//! attacker who can already overwrite memory knows where our code is; stack, heap and libraries stay where chance puts
//! them. With `SOCKEYE_PIE` relocations are packed (`DT_RELR`) where the system's C library can read that: unpacked they
//! are half a megabyte to go through.

use std::env::var;
use std::path::{Path, PathBuf};
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=SOCKEYE_PIE");
    let is = |key: &str, wanted: &str| var(key).is_ok_and(|value| value == wanted);
    let features = var("CARGO_CFG_TARGET_FEATURE").unwrap_or_default();
    let is_static = features.split(',').any(|feature| feature == "crt-static");
    if !is("CARGO_CFG_TARGET_OS", "linux") || !is("CARGO_CFG_TARGET_ENV", "gnu") || is_static {
        return;
    }
    let Some(compiler) = compiler() else {
        return;
    };
    if var("SOCKEYE_PIE").is_err() {
        println!("cargo::rustc-link-arg-bins=-no-pie");
    } else if reads_packed_relocations(&compiler) {
        println!("cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
    if let Ok(folder) = var("OUT_DIR")
        && file(&compiler, "libgcc_eh.a").is_some()
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

/// glibc says so since 2.36, and an older one starts no such program.
fn reads_packed_relocations(compiler: &Path) -> bool {
    const SAYS: &[u8] = b"GLIBC_ABI_DT_RELR";
    let library = file(compiler, "libc.so.6").and_then(|path| std::fs::read(path).ok());
    library.is_some_and(|bytes| bytes.windows(SAYS.len()).any(|window| window == SAYS))
}

/// Where the compiler has a file. Asked for one that it does not have, it gives the bare name back.
fn file(compiler: &Path, name: &str) -> Option<PathBuf> {
    let asked = Command::new(compiler)
        .arg(format!("-print-file-name={name}"))
        .output();
    let answer = asked.map(|answer| answer.stdout).unwrap_or_default();
    let path = PathBuf::from(String::from_utf8_lossy(&answer).trim());
    (path.is_absolute() && path.exists()).then_some(path)
}
