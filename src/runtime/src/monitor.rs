//! The runtime's side of a sandbox's monitor (`monitor/main.rs`): the embedded program, and the connection to a running one.
//!
//! Requests go out by [`Monitor`]; exits and the end of the monitor come back as [`Notice`]s. Decides nothing.

use std::collections::HashMap;
use std::fs::Permissions;
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{mpsc, oneshot};

use crate::error::{At, Error, Result};
use crate::files;
use crate::process::Identity;

/// Built by `build.rs`.
static PROGRAM: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/coxswain-monitor"));
const SOCKET: &str = "monitor.sock";

/// Puts the monitor program into `root` unless it is there; answers its path. Its name holds its digest: an older one
/// may still be running.
pub(crate) fn install(root: &Path) -> Result<PathBuf> {
    use sha2::{Digest, Sha256};
    let path = root.join(format!("coxswain-monitor-{}", hex::encode(&Sha256::digest(PROGRAM)[..8])));
    if !path.exists() {
        let temporary = root.join(format!("monitor-{}.tmp", files::random_id()));
        std::fs::write(&temporary, PROGRAM).at("write", &temporary)?;
        std::fs::set_permissions(&temporary, Permissions::from_mode(0o755))
            .at("change mode of", &temporary)?;
        std::fs::rename(&temporary, &path).at("write", &path)?;
    }
    Ok(path)
}

/// What a monitor says unasked.
#[derive(Debug)]
pub(crate) enum Notice {
    /// A container's first process has ended.
    Exited { container: String, code: i32, at_ns: i64 },
    /// The monitor is gone; its containers have nobody.
    Gone { sandbox: String },
}

/// A container that runs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Started {
    pub(crate) identity: Identity,
    pub(crate) at_ns: i64,
}

/// What a monitor needs to start a container.
pub(crate) struct Create<'a> {
    pub(crate) id: &'a str,
    pub(crate) executable: &'a Path,
    pub(crate) directory: &'a Path,
    /// Empty for none.
    pub(crate) log: &'a str,
    pub(crate) tty: bool,
    pub(crate) stdin: bool,
    pub(crate) stdin_once: bool,
}

type Waiting = HashMap<String, oneshot::Sender<Result<Option<Started>, String>>>;

/// A connection to one monitor.
pub(crate) struct Monitor {
    requests: tokio::sync::Mutex<OwnedWriteHalf>,
    /// Who waits for the answer about which container.
    waiting: Arc<Mutex<Waiting>>,
}

impl Monitor {
    /// Connects to the monitor of the sandbox whose directory this is.
    pub(crate) async fn connect(
        directory: &Path,
        sandbox: &str,
        notices: mpsc::UnboundedSender<Notice>,
    ) -> Result<Arc<Self>> {
        let (read, write) = open_socket(directory).await?.into_split();
        let waiting = Arc::new(Mutex::new(Waiting::new()));
        tokio::spawn(listen(read, sandbox.to_owned(), Arc::clone(&waiting), notices));
        Ok(Arc::new(Self { requests: tokio::sync::Mutex::new(write), waiting }))
    }

    /// Starts a container; an error is the reason, for the user.
    pub(crate) async fn create(&self, what: Create<'_>) -> Result<Started> {
        let flags: String = [(what.tty, 't'), (what.stdin, 'i'), (what.stdin_once, 'o')]
            .into_iter()
            .filter_map(|(is_set, flag)| is_set.then_some(flag))
            .collect();
        let executable = what.executable.to_string_lossy();
        let directory = what.directory.to_string_lossy();
        let line = ["create", what.id, &executable, &directory, what.log, &flags];
        let started = self.ask(what.id, &line).await?;
        started.ok_or_else(|| Error::Shim("the monitor answered another question".to_owned()))
    }

    /// Opens a container's log anew.
    pub(crate) async fn reopen_log(&self, container: &str) -> Result<()> {
        self.ask(container, &["reopen", container]).await.map(drop)
    }

    /// Lets the monitor end as soon as it has no container.
    pub(crate) async fn end(&self) -> Result<()> {
        self.send(&["end"]).await
    }

    async fn ask(&self, container: &str, line: &[&str]) -> Result<Option<Started>> {
        let (sender, receiver) = oneshot::channel();
        self.waiting.lock().expect("no panic while held").insert(container.to_owned(), sender);
        self.send(line).await?;
        let answer = receiver.await.map_err(|_| Error::Shim("the sandbox's monitor is gone".to_owned()))?;
        answer.map_err(Error::Start)
    }

    async fn send(&self, fields: &[&str]) -> Result<()> {
        if fields.iter().any(|field| field.contains(['\t', '\n'])) {
            return Err(Error::Invalid(format!("tab or line end in {fields:?}")));
        }
        let line = format!("{}\n", fields.join("\t"));
        self.requests.lock().await.write_all(line.as_bytes()).await.at("write to", SOCKET)
    }
}

/// The connection of a client that attaches; frames from here on (`monitor/client.rs`).
pub(crate) async fn attach(directory: &Path, container: &str) -> Result<UnixStream> {
    let mut stream = open_socket(directory).await?;
    stream.write_all(format!("attach\t{container}\n").as_bytes()).await.at("write to", SOCKET)?;
    Ok(stream)
}

/// By way of a descriptor of the directory: the full path may be longer than a socket address.
async fn open_socket(directory: &Path) -> Result<UnixStream> {
    let handle = std::fs::File::open(directory).at("open", directory)?;
    let path = format!("/proc/self/fd/{}/{SOCKET}", handle.as_raw_fd());
    UnixStream::connect(path).await.at("connect to", directory.join(SOCKET))
}

async fn listen(
    read: OwnedReadHalf,
    sandbox: String,
    waiting: Arc<Mutex<Waiting>>,
    notices: mpsc::UnboundedSender<Notice>,
) {
    let mut lines = BufReader::new(read).lines();
    loop {
        let line = match lines.next_line().await {
            Ok(Some(line)) => line,
            Ok(None) => break,
            Err(error) => {
                tracing::warn!(%sandbox, %error, "the monitor's connection broke");
                break;
            }
        };
        let fields: Vec<&str> = line.split('\t').collect();
        let answer = |id: &str, answer| {
            let waiter = waiting.lock().expect("no panic while held").remove(id);
            // Whoever asked may have stopped waiting.
            waiter.map(|waiter| waiter.send(answer))
        };
        match fields[..] {
            ["started", id, pid, ticks, at_ns] => {
                drop(answer(id, parse_started(pid, ticks, at_ns).map(Some).ok_or_else(|| line.clone())));
            }
            ["failed" | "refused", id, message] => drop(answer(id, Err(message.to_owned()))),
            ["reopened", id] => drop(answer(id, Ok(None))),
            ["exited", id, code, at_ns] => {
                let notice = Notice::Exited {
                    container: id.to_owned(),
                    code: code.parse().unwrap_or(255),
                    at_ns: at_ns.parse().unwrap_or_default(),
                };
                drop(notices.send(notice));
            }
            ["ended" | "busy"] => {}
            _ => tracing::warn!(%sandbox, line, "the monitor said something unknown"),
        }
    }
    waiting.lock().expect("no panic while held").clear();
    drop(notices.send(Notice::Gone { sandbox }));
}

fn parse_started(pid: &str, ticks: &str, at_ns: &str) -> Option<Started> {
    Some(Started { identity: Identity::from_words(pid, ticks)?, at_ns: at_ns.parse().ok()? })
}

#[cfg(test)]
#[path = "../monitor/log.rs"]
mod log;
