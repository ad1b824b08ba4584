//! A release-built cluster in a network namespace of its own, for measuring.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use nix::sched::{CloneFlags, setns};

/// A server process and the namespace it runs in; both are removed when it is dropped.
pub(crate) struct Cluster {
    namespace: String,
    pub(crate) data: PathBuf,
    pub(crate) server: Child,
    /// When the server process was started.
    pub(crate) started: Instant,
}

impl Cluster {
    /// Starts `coxswain server` on an empty data directory; does not wait for anything.
    pub(crate) fn start(images: Option<&Path>) -> anyhow::Result<Self> {
        let namespace = format!("cxbench{}", std::process::id());
        for arguments in [
            format!("netns add {namespace}"),
            format!("-n {namespace} link set lo up"),
            format!("-n {namespace} link add uplink type veth peer name neighbour"),
            format!("-n {namespace} addr add 192.0.2.10/24 dev uplink"),
            format!("-n {namespace} link set uplink up"),
            format!("-n {namespace} link set neighbour up"),
            format!("-n {namespace} route add default via 192.0.2.1"),
        ] {
            ensure!(
                Command::new("ip").args(arguments.split(' ')).status()?.success(),
                "ip {arguments} failed"
            );
        }
        let data = std::env::temp_dir().join(format!("coxswain-bench-{}", std::process::id()));
        if let Some(archive) = images {
            std::fs::create_dir_all(data.join("images"))?;
            std::fs::copy(archive, data.join("images/bench.tar"))?;
        }
        let started = Instant::now();
        let server = inside(&namespace, &binary()?)
            .args(["server", "--node-name", "bench", "--data-dir"])
            .arg(&data)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        Ok(Self { namespace, data, server, started })
    }

    /// Runs a function on a thread inside the cluster's namespace, in a runtime of one thread.
    pub(crate) fn run<T, F>(&self, function: impl FnOnce(PathBuf) -> F + Send + 'static) -> anyhow::Result<T>
    where
        T: Send + 'static,
        F: Future<Output = anyhow::Result<T>>,
    {
        let namespace = std::fs::File::open(format!("/run/netns/{}", self.namespace))?;
        let kubeconfig = self.data.join("kubeconfig");
        let thread = std::thread::spawn(move || {
            setns(namespace, CloneFlags::CLONE_NEWNET)?;
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(function(kubeconfig))
        });
        thread.join().expect("the measuring thread does not panic")
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let ended = [
            self.server.kill().and_then(|()| self.server.wait().map(drop)),
            binary()
                .map_err(std::io::Error::other)
                .and_then(|binary| {
                    inside(&self.namespace, &binary).args(["reset", "--data-dir"]).arg(&self.data).output()
                })
                .map(drop),
            Command::new("ip").args(["netns", "delete", &self.namespace]).status().map(drop),
        ];
        for error in ended.into_iter().filter_map(Result::err) {
            eprintln!("cleaning up: {error}");
        }
    }
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

fn inside(namespace: &str, program: &Path) -> Command {
    let mut command = Command::new("nsenter");
    command.arg(format!("--net=/run/netns/{namespace}")).arg(program);
    command
}

fn binary() -> anyhow::Result<PathBuf> {
    let binary = std::env::current_exe()?.with_file_name("coxswain");
    ensure!(binary.exists(), "{} is not built: run hack/bench", binary.display());
    Ok(binary)
}
