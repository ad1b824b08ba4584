//! What developers run that wants to be a program. `hack/bench` is how it is called.

mod api;
mod carry;
mod cluster;
mod compare;
mod node;
mod nodes;
mod process;
mod simulated;
mod store;

use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};

/// Developer tasks.
#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Measure the figures of docs/specification.md.
    Bench {
        /// `node` (start, pods, memory, idle CPU), `api` (CPU per operation), `cluster` (several nodes) or `nodes` (100
        /// simulated ones); all when absent.
        what: Option<What>,
        /// Seconds over which idle CPU is measured.
        #[arg(long, default_value_t = 60)]
        idle_seconds: u64,
        /// Config maps that are created, read and listed.
        #[arg(long, default_value_t = 10_000)]
        objects: usize,
        /// An image archive with a program `sleep`, for the pods.
        #[arg(long)]
        image: Option<std::path::PathBuf>,
        /// A directory with the program `kwok`, which plays nodes, and its `stages.yaml`.
        #[arg(long)]
        kwok: Option<std::path::PathBuf>,
        /// Put stock's API server and etcd under the same load and print them beside.
        #[arg(long)]
        stock: bool,
    },
    /// Carry bytes over TCP: what `bench cluster` runs in the namespaces of nodes and pods.
    #[command(subcommand, hide = true)]
    Carry(Carry),
    /// Measure the store beside etcd; `hack/bench store` calls it.
    BenchStore(store::Arguments),
    /// Put load on a store: what `bench-store` starts.
    #[command(hide = true)]
    Store(store::load::Arguments),
    /// Compare our API server with stock's, request by request; `conformance/compare` calls it.
    Compare(compare::Arguments),
}

#[derive(Subcommand)]
enum Carry {
    Serve {
        at: SocketAddr,
    },
    To {
        server: SocketAddr,
        #[arg(long)]
        milliseconds: u64,
    },
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum What {
    Node,
    Api,
    Cluster,
    Nodes,
}

fn main() -> anyhow::Result<ExitCode> {
    match Cli::parse().task {
        Task::Bench { what, idle_seconds, objects, image, kwok, stock } => {
            bench(what, idle_seconds, objects, image.as_deref(), kwok.as_deref(), stock)?;
            Ok(ExitCode::SUCCESS)
        }
        Task::Carry(Carry::Serve { at }) => carry::serve(at).map(|()| ExitCode::SUCCESS),
        Task::Carry(Carry::To { server, milliseconds }) => {
            println!("{}", carry::line(&carry::measure(server, Duration::from_millis(milliseconds))?));
            Ok(ExitCode::SUCCESS)
        }
        Task::BenchStore(arguments) => store::measure(&arguments).map(|()| ExitCode::SUCCESS),
        Task::Store(arguments) => store::load::run(arguments).map(|()| ExitCode::SUCCESS),
        Task::Compare(arguments) => {
            Ok(if compare::run(&arguments)? { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
    }
}

fn bench(
    what: Option<What>,
    idle_seconds: u64,
    objects: usize,
    image: Option<&Path>,
    kwok: Option<&Path>,
    with_stock: bool,
) -> anyhow::Result<()> {
    let wants = |part| what.is_none_or(|what| what == part);
    if wants(What::Node) {
        println!("| what | measured |\n|---|---|");
        node::measure(idle_seconds, image)?;
    }
    if wants(What::Api) {
        let beside = if with_stock { (" stock | times |", "---|---|") } else { ("", "") };
        println!("| what | Coxswain |{}\n|---|---|{}", beside.0, beside.1);
        api::measure(objects, with_stock)?;
    }
    if let (true, Some(image)) = (wants(What::Cluster), image) {
        println!("| what | measured |\n|---|---|");
        nodes::measure(image)?;
    }
    if let (true, Some(kwok)) = (wants(What::Nodes), kwok) {
        println!("| what | measured |\n|---|---|");
        simulated::measure(idle_seconds, kwok)?;
    }
    Ok(())
}
