//! The command line: subcommands and their arguments, from `argv` to the function that does the work.

use std::io::IsTerminal;
use std::path::PathBuf;

use clap::{ArgAction, Args, Parser, Subcommand};
use jiff::SignedDuration;
use tracing_subscriber::EnvFilter;

use crate::agent::{self, AgentOptions};
use crate::config::{self, ApiserverOptions, ServerOptions};
use crate::controller_manager::{self, ControllerManagerOptions};
use crate::scheduler::{self, SchedulerOptions};
use crate::snapshot::SnapshotCommand;
use crate::store_command::StoreCommand;
use crate::{host, image, reset, server, snapshot, store_command, token};

/// A Kubernetes cluster in one binary.
#[derive(Parser)]
#[command(name = "coxswain", version = config::VERSION, disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Log more; twice for everything.
    #[arg(short, long, global = true, action = ArgAction::Count)]
    verbose: u8,
}

#[derive(Subcommand)]
enum Command {
    /// Run the control plane and, unless told not to, a node.
    Server(Box<ServerOptions>),
    /// Run a node of a cluster whose server runs elsewhere.
    Agent(Box<AgentOptions>),
    /// Run the API server alone: no controllers, no scheduler, no node.
    Apiserver(Box<ApiserverOptions>),
    /// Run the controllers alone.
    ControllerManager(Box<ControllerManagerOptions>),
    /// Run the scheduler alone.
    Scheduler(SchedulerOptions),
    /// Work with the tokens by which nodes join; needs a running server and its data directory.
    #[command(subcommand)]
    Token(TokenCommand),
    /// Stop and remove all that a cluster left on this machine: containers, mounts, links, rules, cgroups and data.
    Reset(DataDir),
    /// Save, restore, list and verify snapshots of the cluster's state.
    #[command(subcommand)]
    Snapshot(Box<SnapshotCommand>),
    /// See what the store does, check a stopped one, repair one that has lost something.
    #[command(subcommand)]
    Store(Box<StoreCommand>),
    /// Work with the images of a node; a running server sees the result at once.
    #[command(subcommand)]
    Image(ImageCommand),
}

#[derive(Args)]
struct DataDir {
    /// Where the cluster keeps its state.
    #[arg(long, default_value = config::DATA_DIR)]
    data_dir: PathBuf,
}

#[derive(Subcommand)]
enum TokenCommand {
    /// Make a token and print it.
    Create {
        /// How long it is good, such as 24h or 30m; 0s makes one that never expires.
        #[arg(long, default_value = "24h")]
        ttl: SignedDuration,
        /// What it is for; shown by `token list`.
        #[arg(long, default_value = "")]
        description: String,
        /// Print the whole command to run on the machine that is to join.
        #[arg(long)]
        print_join_command: bool,
        #[command(flatten)]
        at: DataDir,
    },
    /// List the tokens, without their secrets.
    List {
        #[command(flatten)]
        at: DataDir,
    },
    /// Delete a token; nodes that have joined with it stay.
    Delete {
        /// Its first six letters, or all of it.
        id: String,
        #[command(flatten)]
        at: DataDir,
    },
}

#[derive(Subcommand)]
enum ImageCommand {
    /// Import an archive (docker-archive or OCI layout, plain or gzip).
    Import {
        /// The archive.
        file: PathBuf,
        #[command(flatten)]
        at: DataDir,
    },
    /// List the images.
    Ls {
        #[command(flatten)]
        at: DataDir,
    },
    /// Remove an image.
    Rm {
        /// Its name, digest or ID.
        image: String,
        #[command(flatten)]
        at: DataDir,
    },
}

/// Parses the arguments and runs the command to its end.
pub(crate) fn run() -> anyhow::Result<()> {
    let cli = Cli::parse();
    log_to_stderr(cli.verbose);
    match cli.command {
        Command::Server(options) => host::run(server::run(options.resolve()?)),
        Command::Agent(options) => host::run(agent::run(*options)),
        Command::Apiserver(options) => host::run(server::run(options.resolve()?)),
        Command::ControllerManager(options) => host::run(controller_manager::run(*options)),
        Command::Scheduler(options) => host::run(scheduler::run(options)),
        Command::Token(command) => host::runtime()?.block_on(token(command)),
        Command::Snapshot(command) => host::runtime()?.block_on(snapshot::run(*command)),
        Command::Store(command) => host::runtime()?.block_on(store_command::run(*command)),
        Command::Reset(at) => reset::run(&at.data_dir),
        Command::Image(ImageCommand::Import { file, at }) => image::import(&at.data_dir, &file),
        Command::Image(ImageCommand::Ls { at }) => image::list(&at.data_dir),
        Command::Image(ImageCommand::Rm { image, at }) => image::remove(&at.data_dir, &image),
    }
}

async fn token(command: TokenCommand) -> anyhow::Result<()> {
    match command {
        TokenCommand::Create { ttl, description, print_join_command, at } => {
            token::create(&at.data_dir, token::New { ttl, description, print_join_command }).await
        }
        TokenCommand::List { at } => token::list(&at.data_dir).await,
        TokenCommand::Delete { id, at } => token::delete(&at.data_dir, &id).await,
    }
}

/// `COXSWAIN_LOG` (tracing's filter syntax) wins over `-v`.
fn log_to_stderr(verbose: u8) {
    let default = match verbose {
        0 => "warn,coxswain=info",
        1 => "info,fjall=warn,lsm_tree=warn,hickory_server=warn",
        _ => "debug,h2=info,hyper=info,rustls=info,fjall=info,lsm_tree=info",
    };
    let filter = EnvFilter::try_from_env("COXSWAIN_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    let colours = std::io::stderr().is_terminal();
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colours).init();
}
