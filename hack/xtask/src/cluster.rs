//! What is measured, each in a network namespace of its own: our server, and stock's components.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use nix::sched::{CloneFlags, setns};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::process;

/// The address that a machine has; it leads nowhere.
const ADDRESS: &str = "192.0.2.10";

/// A network namespace with an address and a default route, removed when it is dropped.
pub(crate) struct Machine {
    namespace: String,
}

impl Machine {
    fn new(name: &str) -> anyhow::Result<Self> {
        let machine = Self { namespace: format!("cx{name}{}", std::process::id()) };
        let namespace = &machine.namespace;
        for arguments in [
            format!("netns add {namespace}"),
            format!("-n {namespace} link set lo up"),
            format!("-n {namespace} link add uplink type veth peer name neighbour"),
            format!("-n {namespace} addr add {ADDRESS}/24 dev uplink"),
            format!("-n {namespace} link set uplink up"),
            format!("-n {namespace} link set neighbour up"),
            format!("-n {namespace} route add default via 192.0.2.1"),
        ] {
            ensure!(
                Command::new("ip").args(arguments.split(' ')).status()?.success(),
                "ip {arguments} failed"
            );
        }
        Ok(machine)
    }

    /// A command that runs inside, without output.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/run/netns/{}", self.namespace)).arg(program);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    /// Runs a function on a thread inside, in a runtime of one thread.
    pub(crate) fn run<T, F>(&self, function: impl FnOnce() -> F + Send + 'static) -> anyhow::Result<T>
    where
        T: Send + 'static,
        F: Future<Output = anyhow::Result<T>>,
    {
        let namespace = std::fs::File::open(format!("/run/netns/{}", self.namespace))?;
        let thread = std::thread::spawn(move || {
            setns(namespace, CloneFlags::CLONE_NEWNET)?;
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(function())
        });
        thread.join().expect("the measuring thread does not panic")
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        report(Command::new("ip").args(["netns", "delete", &self.namespace]).status().map(drop));
    }
}

/// Our server; it and all that it made are removed when this is dropped.
pub(crate) struct Cluster {
    pub(crate) machine: Machine,
    pub(crate) data: PathBuf,
    pub(crate) server: Child,
    /// When the server process was started.
    pub(crate) started: Instant,
}

impl Cluster {
    /// Starts `coxswain server` on an empty data directory; does not wait for anything.
    pub(crate) fn start(images: Option<&Path>) -> anyhow::Result<Self> {
        Self::start_with(images, &[])
    }

    /// The same without a node.
    pub(crate) fn control_plane() -> anyhow::Result<Self> {
        Self::start_with(None, &["--without-node"])
    }

    fn start_with(images: Option<&Path>, options: &[&str]) -> anyhow::Result<Self> {
        let machine = Machine::new("bench")?;
        let data = scratch("bench");
        if let Some(archive) = images {
            std::fs::create_dir_all(data.join("images"))?;
            std::fs::copy(archive, data.join("images/bench.tar"))?;
        }
        let started = Instant::now();
        let server = machine
            .command(&binary()?)
            .args(["server", "--node-name", "bench", "--image-gc-high-threshold=100"])
            .arg("--eviction-hard=memory.available<50Mi,nodefs.available<64Mi,imagefs.available<64Mi")
            .arg("--data-dir")
            .arg(&data)
            .args(options)
            .spawn()?;
        Ok(Self { machine, data, server, started })
    }

    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.data.join("kubeconfig")
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        report(self.server.kill().and_then(|()| self.server.wait().map(drop)));
        let reset = |binary: PathBuf| {
            self.machine.command(&binary).args(["reset", "--data-dir"]).arg(&self.data).output().map(drop)
        };
        report(binary().map_err(std::io::Error::other).and_then(reset));
    }
}

/// Stock's etcd, API server and controller manager (`conformance/stock`); removed when this is dropped.
pub(crate) struct Stock {
    pub(crate) machine: Machine,
    directory: PathBuf,
    script: Child,
}

impl Stock {
    /// Starts them; the kubeconfig appears when the API is ready.
    pub(crate) fn start() -> anyhow::Result<Self> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../conformance/stock");
        let machine = Machine::new("stock")?;
        let directory = scratch("stock");
        let script = machine.command(&script).arg(&directory).arg(ADDRESS).spawn()?;
        Ok(Self { machine, directory, script })
    }

    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.directory.join("kubeconfig")
    }

    /// The processes whose work a request costs: API server and etcd.
    pub(crate) fn servers(&self) -> anyhow::Result<Vec<u32>> {
        let of_request = |pid: &u32| matches!(process::name(*pid).as_deref(), Ok("kube-apiserver" | "etcd"));
        Ok(process::children(self.script.id())?.into_iter().filter(of_request).collect())
    }
}

impl Drop for Stock {
    fn drop(&mut self) {
        let script = Pid::from_raw(self.script.id().cast_signed());
        report(kill(script, Signal::SIGTERM).map_err(Into::into));
        report(self.script.wait().map(drop));
        report(std::fs::remove_dir_all(&self.directory));
    }
}

/// A process that ends with this.
pub(crate) struct Ends(pub(crate) Child);

impl Drop for Ends {
    fn drop(&mut self) {
        // It may have ended by itself; nobody asks why.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// What cannot be cleaned up is said and left.
fn report(outcome: std::io::Result<()>) {
    if let Err(error) = outcome {
        eprintln!("cleaning up: {error}");
    }
}

fn scratch(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("coxswain-{name}-{}", std::process::id()))
}

/// A client with the cluster's kubeconfig; every call makes connections of its own.
pub(crate) async fn client(kubeconfig: &Path) -> anyhow::Result<kube::Client> {
    rustls::crypto::ring::default_provider().install_default().ok();
    let kubeconfig = kube::config::Kubeconfig::read_from(kubeconfig)?;
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &Default::default()).await?;
    Ok(kube::Client::try_from(config)?)
}

/// Asks every few milliseconds until it holds.
pub(crate) async fn until<F: Future<Output = bool>>(
    what: &str,
    mut holds: impl FnMut() -> F,
) -> anyhow::Result<()> {
    let limit = Duration::from_secs(60);
    let waiting = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(limit, waiting).await.with_context(|| format!("not within {limit:?}: {what}"))
}

fn binary() -> anyhow::Result<PathBuf> {
    let binary = std::env::current_exe()?.with_file_name("coxswain");
    ensure!(binary.exists(), "{} is not built: run hack/bench", binary.display());
    Ok(binary)
}
