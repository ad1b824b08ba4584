//! The monitor: the process that a pod's containers are children of. One per sandbox, small, static, long-lived.
//!
//! The shim (`coxswain shim sandbox`) makes the sandbox's namespaces and then becomes this program. From then on it starts
//! `coxswain shim create` for each container, copies output into CRI log files, reaps every child, writes exit codes to
//! files and tells connected runtimes. It survives them all: when the runtime comes back it connects again.
//!
//! Built by `build.rs` without any dependency and embedded in the runtime. Knows no images, no cgroups, no network, and
//! keeps nothing that is not also in files. `coxswain-monitor pause` is the other thing that it does: to be process 1 of a
//! shared PID namespace.

mod client;
mod container;
mod log;
mod pause;
mod server;
mod sys;

/// `coxswain-monitor run <sandbox directory>` or `coxswain-monitor pause`.
fn main() {
    let mut args = std::env::args().skip(1);
    match (args.next().as_deref(), args.next()) {
        (Some("run"), Some(directory)) => {
            if let Err(e) = server::run(&directory) {
                // Whoever started us reads the reason from standard output.
                println!("error: monitor: {e}");
                std::process::exit(1);
            }
        }
        (Some("pause"), None) => pause::run(),
        _ => {
            eprintln!("usage: coxswain-monitor run DIRECTORY | pause");
            std::process::exit(2);
        }
    }
}
