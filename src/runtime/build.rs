//! Builds the monitor (`monitor/main.rs`), a static program of its own, so that `src/monitor.rs` can embed it.
//!
//! Cargo has no stable way to make one crate's binary an input of another, and the monitor must be small and static
//! whatever profile the rest is built with: so the compiler is called directly, always with the same options.

use std::env;
use std::path::PathBuf;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=monitor");
    println!("cargo::rerun-if-changed=build.rs");
    let variable = |name| env::var_os(name).unwrap_or_else(|| panic!("cargo sets {name}"));
    let output = PathBuf::from(variable("OUT_DIR")).join("coxswain-monitor");
    let status = Command::new(variable("RUSTC"))
        .args(["--edition", "2024", "--crate-type", "bin", "--crate-name", "coxswain_monitor"])
        .args(["-C", "target-feature=+crt-static", "-C", "panic=abort", "-C", "opt-level=s"])
        .args(["-C", "lto=fat", "-C", "codegen-units=1", "-C", "strip=symbols"])
        .arg("--target")
        .arg(variable("TARGET"))
        .arg("-o")
        .arg(&output)
        .arg("monitor/main.rs")
        // What cargo sets for the crate that is being built is not meant for this one.
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env_remove("RUSTFLAGS")
        .status();
    match status {
        Ok(status) if status.success() => {}
        Ok(status) => panic!("the monitor did not compile ({status})"),
        Err(e) => panic!("cannot run the compiler for the monitor: {e}"),
    }
}
