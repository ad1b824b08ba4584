//! What is measured, as processes: our store and etcd, each beside a program that puts load on it when asked.
//!
//! They are asked by a line of JSON and answer by one. A subject's processes and directory are gone when it is dropped.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context;

use crate::process;

/// What is to be done; what the act has no use for is zero.
#[derive(Clone, Copy, Default)]
pub(super) struct Ask {
    /// write, get, range, watch or first.
    pub(super) act: &'static str,
    pub(super) workers: usize,
    /// So long, …
    pub(super) seconds: f64,
    /// … or so often, by all workers together.
    pub(super) operations: i64,
    /// Over so many keys; of a range, negative for one namespace of ten.
    pub(super) keys: i64,
    pub(super) bytes: usize,
    /// Of writes, revisions that etcd is to keep; of ranges, the keys that are there.
    pub(super) keep: i64,
}

/// How much was done, and how long one operation took.
#[derive(Clone, Debug, Default)]
pub(super) struct Answer {
    pub(super) operations: u64,
    pub(super) seconds: f64,
    pub(super) p50_us: f64,
    pub(super) p99_us: f64,
    pub(super) max_us: f64,
}

impl Answer {
    pub(super) fn rate(&self) -> f64 {
        self.operations as f64 / self.seconds
    }
}

pub(super) trait Subject {
    fn ask(&mut self, ask: &Ask) -> anyhow::Result<Answer>;
    /// CPU that the servers have used since they were started; ours includes the load.
    fn server_cpu(&self) -> anyhow::Result<Duration>;
    /// … with what puts the load on them.
    fn cpu(&self) -> anyhow::Result<Duration>;
    /// Bytes of the server that are in memory.
    fn resident(&self) -> anyhow::Result<u64>;
    /// … without the pages of files.
    fn anonymous(&self) -> anyhow::Result<u64>;
    fn directory(&self) -> &Path;
    /// Ends the server as a crash would.
    fn kill(&mut self) -> anyhow::Result<()>;
    /// Starts it anew over what it left.
    fn start(&mut self) -> anyhow::Result<()>;
}

/// A process that answers lines with lines, killed when it is dropped.
pub(super) struct Program {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Program {
    pub(super) fn start(command: &mut Command) -> anyhow::Result<Self> {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let input = child.stdin.take().context("no standard input")?;
        let output = BufReader::new(child.stdout.take().context("no standard output")?);
        Ok(Self { child, input, output })
    }

    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(super) fn ask(&mut self, ask: &Ask) -> anyhow::Result<Answer> {
        let Ask { act, workers, seconds, operations, keys, bytes, keep } = ask;
        let line = serde_json::json!({
            "do": act, "workers": workers, "seconds": seconds, "operations": operations, "keys": keys, "bytes": bytes,
            "keep": keep,
        });
        writeln!(self.input, "{line}").context("the load's program has ended")?;
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        let answer: serde_json::Value = serde_json::from_str(&line).context("no answer to a load")?;
        let number = |name: &str| answer[name].as_f64().with_context(|| format!("no {name} in {answer}"));
        Ok(Answer {
            operations: number("operations")? as u64,
            seconds: number("seconds")?,
            p50_us: number("p50_us")?,
            p99_us: number("p99_us")?,
            max_us: number("max_us")?,
        })
    }

    pub(super) fn kill(&mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.kill());
    }
}

/// A directory that is empty at first and gone in the end.
struct Directory(PathBuf);

impl Directory {
    fn new(path: PathBuf) -> anyhow::Result<Self> {
        if path.exists() {
            fs::remove_dir_all(&path)?;
        }
        fs::create_dir_all(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            eprintln!("{} stays: {error}", self.0.display());
        }
    }
}

/// Our store in a process of its own, with what puts load on it.
pub(super) struct Ours {
    program: Program,
    directory: Directory,
    history_limit: Option<u64>,
}

impl Ours {
    pub(super) fn new(directory: &Path, name: &str, history_limit: Option<u64>) -> anyhow::Result<Self> {
        let directory = Directory::new(directory.join(format!("{name}-ours")))?;
        let program = Program::start(&mut Self::command(&directory.0, history_limit)?)?;
        Ok(Self { program, directory, history_limit })
    }

    fn command(directory: &Path, history_limit: Option<u64>) -> anyhow::Result<Command> {
        let mut command = own_program()?;
        command.arg("--directory").arg(directory);
        if let Some(limit) = history_limit {
            command.args(["--history-limit", &limit.to_string()]);
        }
        Ok(command)
    }
}

/// This program as a server of load, with the allocator set as `coxswain` sets it.
pub(super) fn own_program() -> anyhow::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("store").env("MALLOC_ARENA_MAX", "2").env("MALLOC_TRIM_THRESHOLD_", "262144");
    Ok(command)
}

impl Subject for Ours {
    fn ask(&mut self, ask: &Ask) -> anyhow::Result<Answer> {
        self.program.ask(ask)
    }

    fn server_cpu(&self) -> anyhow::Result<Duration> {
        process::cpu(self.program.id())
    }

    fn cpu(&self) -> anyhow::Result<Duration> {
        self.server_cpu()
    }

    fn resident(&self) -> anyhow::Result<u64> {
        memory(self.program.id(), "VmRSS:")
    }

    fn anonymous(&self) -> anyhow::Result<u64> {
        memory(self.program.id(), "RssAnon:")
    }

    fn directory(&self) -> &Path {
        &self.directory.0
    }

    fn kill(&mut self) -> anyhow::Result<()> {
        self.program.kill()
    }

    fn start(&mut self) -> anyhow::Result<()> {
        self.program = Program::start(&mut Self::command(&self.directory.0, self.history_limit)?)?;
        Ok(())
    }
}

/// etcd, and a client of it.
pub(super) struct Etcd {
    server: Child,
    client: Program,
    directory: Directory,
    program: PathBuf,
    ports: [u16; 2],
}

impl Etcd {
    pub(super) fn new(directory: &Path, name: &str, programs: &Path) -> anyhow::Result<Self> {
        let directory = Directory::new(directory.join(format!("{name}-etcd")))?;
        let (program, ports) = (programs.join("etcd"), free_ports()?);
        let server = serve(&program, &directory.0, ports)?;
        let mut client = Command::new(programs.join("etcd-load"));
        let client = Program::start(client.arg(format!("127.0.0.1:{}", ports[0])))?;
        Ok(Self { server, client, directory, program, ports })
    }
}

fn serve(program: &Path, directory: &Path, [client, peer]: [u16; 2]) -> anyhow::Result<Child> {
    let (client, peer) = (format!("http://127.0.0.1:{client}"), format!("http://127.0.0.1:{peer}"));
    let mut command = Command::new(program);
    command.arg("--data-dir").arg(directory).args(["--listen-client-urls", &client]);
    command.args(["--advertise-client-urls", &client, "--listen-peer-urls", &peer]);
    command.args(["--initial-advertise-peer-urls", &peer, "--initial-cluster", &format!("default={peer}")]);
    // More than any figure needs; etcd would refuse writes beyond two.
    command.args(["--quota-backend-bytes", &(16_u64 << 30).to_string(), "--log-level", "error"]);
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().context("etcd")
}

impl Subject for Etcd {
    fn ask(&mut self, ask: &Ask) -> anyhow::Result<Answer> {
        self.client.ask(ask)
    }

    fn server_cpu(&self) -> anyhow::Result<Duration> {
        process::cpu(self.server.id())
    }

    fn cpu(&self) -> anyhow::Result<Duration> {
        Ok(self.server_cpu()? + process::cpu(self.client.id())?)
    }

    fn resident(&self) -> anyhow::Result<u64> {
        memory(self.server.id(), "VmRSS:")
    }

    fn anonymous(&self) -> anyhow::Result<u64> {
        memory(self.server.id(), "RssAnon:")
    }

    fn directory(&self) -> &Path {
        &self.directory.0
    }

    fn kill(&mut self) -> anyhow::Result<()> {
        self.server.kill()?;
        self.server.wait()?;
        Ok(())
    }

    fn start(&mut self) -> anyhow::Result<()> {
        self.server = serve(&self.program, &self.directory.0, self.ports)?;
        Ok(())
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.kill());
    }
}

/// Ports of loopback that were free a moment ago; etcd cannot be asked to choose.
pub(super) fn free_ports<const N: usize>() -> anyhow::Result<[u16; N]> {
    let mut listeners = Vec::new();
    for _ in 0..N {
        listeners.push(TcpListener::bind("127.0.0.1:0")?);
    }
    let mut ports = [0; N];
    for (port, listener) in ports.iter_mut().zip(&listeners) {
        *port = listener.local_addr()?.port();
    }
    Ok(ports)
}

fn memory(pid: u32, which: &str) -> anyhow::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(which)).context("no such memory")?;
    let kib: u64 = line.split_whitespace().next().context("no number")?.parse()?;
    Ok(kib << 10)
}

/// Bytes that a directory takes on the disk.
pub(super) fn disk(directory: &Path) -> anyhow::Result<u64> {
    let mut sum = 0;
    for file in fs::read_dir(directory)? {
        let file = file?;
        sum += match file.metadata() {
            Ok(metadata) if metadata.is_dir() => disk(&file.path())?,
            Ok(metadata) => metadata.blocks() * 512,
            // Files go while we look.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => 0,
            Err(error) => return Err(error.into()),
        };
    }
    Ok(sum)
}

/// Does something and tells what the directory took at most meanwhile.
pub(super) fn watching_disk<T>(
    directory: &Path,
    work: impl FnOnce() -> anyhow::Result<T>,
) -> anyhow::Result<(T, u64)> {
    let (directory, done) = (directory.to_owned(), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let largest = scope.spawn(|| {
            let mut largest = 0;
            while !done.load(Ordering::Relaxed) {
                // A directory may go between being found and being read.
                largest = largest.max(disk(&directory).unwrap_or(0));
                std::thread::sleep(Duration::from_millis(200));
            }
            largest
        });
        let outcome = work();
        done.store(true, Ordering::Relaxed);
        let largest = largest.join().map_err(|_| anyhow::anyhow!("looking at the disk panicked"))?;
        Ok((outcome?, largest))
    })
}
