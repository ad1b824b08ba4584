//! What developers run that wants to be a program. `hack/bench` is how it is called.

mod api;
mod cluster;
mod node;
mod process;

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
        /// `node` (start, pods, memory, idle CPU) or `api` (CPU per operation); both when absent.
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
    },
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum What {
    Node,
    Api,
}

fn main() -> anyhow::Result<()> {
    let Task::Bench { what, idle_seconds, objects, image } = Cli::parse().task;
    println!("| what | measured |\n|---|---|");
    if what != Some(What::Api) {
        node::measure(idle_seconds, image.as_deref())?;
    }
    if what != Some(What::Node) {
        api::measure(objects)?;
    }
    Ok(())
}
