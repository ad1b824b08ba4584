//! Figures over a development TiKV (`hack/tikv`): writes through one server and through three, and how long writes stop when
//! the server that orders them is killed or falls silent.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::subject::{Ask, Program, free_ports, own_program};
use super::{Arguments, KEYS, VALUE, median};

const WRITERS: usize = 63;

/// PD and its store in a directory of their own, stopped when dropped.
struct Tikv {
    directory: PathBuf,
    ports: [u16; 3],
}

impl Tikv {
    fn start(directory: &Path) -> anyhow::Result<Self> {
        let tikv = Self { directory: directory.join("tikv"), ports: free_ports()? };
        std::fs::create_dir_all(&tikv.directory)?;
        tikv.command("up")?;
        Ok(tikv)
    }

    fn command(&self, word: &str) -> anyhow::Result<()> {
        let [pd, _, store] = self.ports.map(|port| port.to_string());
        let mut command = Command::new("hack/tikv");
        command.arg(word).env("COXSWAIN_TIKV", &self.directory).stdout(Stdio::null());
        command.env("COXSWAIN_TIKV_PD", pd).env("COXSWAIN_TIKV_STORE", store);
        ensure!(command.status().context("hack/tikv")?.success(), "hack/tikv {word} failed");
        Ok(())
    }

    /// One more server of the store with this prefix.
    fn server(&self, prefix: &str) -> anyhow::Result<Program> {
        let pd = format!("127.0.0.1:{}", self.ports[0]);
        let mut server = Program::start(own_program()?.args(["--tikv", &pd, "--prefix", prefix]))?;
        // It answers once it has joined.
        server.ask(&Ask { act: "write", operations: 1, ..writes(1) })?;
        Ok(server)
    }
}

impl Drop for Tikv {
    fn drop(&mut self) {
        let gone = self.command("reset").and_then(|()| Ok(std::fs::remove_dir_all(&self.directory)?));
        if let Err(error) = gone {
            eprintln!("{} stays: {error:#}", self.directory.display());
        }
    }
}

pub(super) fn measure(arguments: &Arguments) -> anyhow::Result<()> {
    let tikv = Tikv::start(&arguments.directory.canonicalize()?)?;
    let (mut alone, mut together) = (Vec::new(), Vec::new());
    for turn in 0..arguments.turns {
        let prefix = format!("m-bench-{turn}/");
        let mut servers = vec![tikv.server(&prefix)?];
        alone.push(rate(&mut servers, arguments.seconds)?);
        servers.push(tikv.server(&prefix)?);
        servers.push(tikv.server(&prefix)?);
        together.push(rate(&mut servers, arguments.seconds)?);
    }
    let (alone, together) = (median(alone), median(together));
    println!(
        "| over development TiKV: writes with 3 servers, with 1 | {together:.0} /s, {alone:.0} /s | – | {:.2} |",
        together / alone
    );
    for (what, signal) in [("is killed", Signal::SIGKILL), ("falls silent", Signal::SIGSTOP)] {
        let mut pauses = Vec::new();
        for turn in 0..arguments.turns {
            pauses.push(pause(&tikv, &format!("m-bench-{what}-{turn}/"), signal)?);
        }
        println!(
            "| … longest wait of a write when the server that orders them {what} | {:.1} s | – | – |",
            median(pauses)
        );
    }
    Ok(())
}

fn writes(workers: usize) -> Ask {
    Ask { act: "write", workers, keys: KEYS, bytes: VALUE, ..Ask::default() }
}

/// Writes per second of as many writers, spread over the servers.
fn rate(servers: &mut [Program], seconds: f64) -> anyhow::Result<f64> {
    let ask = Ask { seconds, ..writes(WRITERS / servers.len()) };
    std::thread::scope(|scope| {
        let running: Vec<_> =
            servers.iter_mut().map(|server| scope.spawn(move || server.ask(&ask))).collect();
        let mut sum = 0.0;
        for answer in running {
            sum += answer.join().map_err(|_| anyhow::anyhow!("a load panicked"))??.rate();
        }
        Ok(sum)
    })
}

/// The seconds that a write through the second server waits at most when the first, which orders the writes, gets a signal.
fn pause(tikv: &Tikv, prefix: &str, signal: Signal) -> anyhow::Result<f64> {
    let first = tikv.server(prefix)?;
    let mut second = tikv.server(prefix)?;
    std::thread::scope(|scope| {
        let writing = scope.spawn(move || second.ask(&Ask { seconds: 2.0, ..writes(1) }));
        std::thread::sleep(Duration::from_secs(1));
        kill(Pid::from_raw(first.id().try_into()?), signal)?;
        let answer = writing.join().map_err(|_| anyhow::anyhow!("a load panicked"))??;
        Ok(answer.max_us / 1e6)
    })
}
