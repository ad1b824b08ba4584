//! `coxswain`: a Kubernetes cluster in one binary.
//!
//! The only place where the parts meet: it reads arguments and the config file, makes keys and certificates, and hands
//! each part what it needs. No part's behaviour is decided here.
#![cfg_attr(test, allow(clippy::unwrap_used))]
// `println!` panics where standard output cannot be written to; `output::say` fails.
#![warn(clippy::print_stdout)]

mod agent;
mod cli;
mod component;
mod config;
mod controller_manager;
mod credentials;
mod datadir;
mod host;
mod image;
mod join_token;
mod leader_election;
mod node;
mod output;
mod parts;
mod pki;
mod reset;
mod scheduler;
mod server;
mod settings;
mod snapshot;
mod store;
mod store_command;
mod token;

use std::process::ExitCode;

fn main() -> ExitCode {
    // The shim must run before any thread exists: it forks, joins namespaces and becomes another program.
    if std::env::args_os().nth(1).is_some_and(|role| role == "shim") {
        let arguments: Vec<String> = std::env::args().skip(2).collect();
        runtime::shim::main(&arguments);
    }
    match cli::run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("coxswain: {}", output::in_one_line(&error));
            ExitCode::FAILURE
        }
    }
}
