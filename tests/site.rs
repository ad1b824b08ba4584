//! Several machines for a test: `hack/cluster`, with a directory of its own, and kubectl to speak to the cluster.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::OnceLock;

use sha2::{Digest, Sha256};

use crate::cluster::{binary, eventually, processes_naming, scratch, text};
use crate::host::{both, succeed};
use crate::images::layout;

/// The image that every node is given.
pub(crate) const IMAGE: &str = "coxswain.test/web:v1";

/// Machines on a switch; what they were is removed, and that is checked, when this is dropped.
pub(crate) struct Site {
    state: PathBuf,
    nodes: Vec<String>,
}

impl Site {
    /// One server and so many agents, all Ready and with the test image.
    pub(crate) fn up(agents: usize, server_arguments: &[&str]) -> Self {
        Self::of(1, agents, &[], server_arguments)
    }

    /// Several servers that share a development TiKV, and so many agents.
    pub(crate) fn over_tikv(servers: usize, agents: usize, server_arguments: &[&str]) -> Self {
        Self::of(servers, agents, &["--store", "tikv"], server_arguments)
    }

    fn of(servers: usize, agents: usize, store: &[&str], server_arguments: &[&str]) -> Self {
        let names = |role: &'static str, count| (1..=count).map(move |number| format!("{role}-{number}"));
        let nodes = names("server", servers).chain(names("agent", agents)).collect();
        let site = Self { state: scratch("site").join("cluster"), nodes };
        let (servers, agents) = (servers.to_string(), agents.to_string());
        let up = ["up", "--servers", &servers, "--agents", &agents];
        succeed(site.command().args(up).args(store).arg("--").args(server_arguments));
        for node in &site.nodes {
            let data = site.data(node);
            site.on(node, &[text(&site.binary()), "image", "import", archive(), "--data-dir", text(&data)]);
        }
        site
    }

    /// `hack/cluster` for these machines.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../hack/cluster"));
        command.env("COXSWAIN_CLUSTER", &self.state).env("COXSWAIN_BINARY", binary());
        command
    }

    /// `hack/cluster` with these arguments, which must succeed.
    pub(crate) fn run(&self, arguments: &[&str]) -> String {
        succeed(self.command().args(arguments))
    }

    /// Runs a command on a machine.
    pub(crate) fn on(&self, node: &str, command: &[&str]) -> String {
        self.run(&[&["exec", node, "--"], command].concat())
    }

    /// Runs a command on a machine, whatever comes of it.
    pub(crate) fn try_on(&self, node: &str, command: &[&str]) -> Output {
        self.command().args(["exec", node, "--"]).args(command).output().unwrap()
    }

    /// Runs kubectl from a machine outside the cluster.
    pub(crate) fn kubectl(&self, arguments: &[&str]) -> Output {
        Command::new(self.state.join("kubectl")).args(arguments).env("HOME", &self.state).output().unwrap()
    }

    /// Runs kubectl, which must succeed, and returns what it printed on standard output.
    pub(crate) fn ok(&self, arguments: &[&str]) -> String {
        let output = self.kubectl(arguments);
        assert!(output.status.success(), "kubectl {arguments:?}: {}", both(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    /// `kubectl apply` of a manifest.
    pub(crate) fn apply(&self, manifest: &str) {
        let file = self.state.join("manifest.yaml");
        fs::write(&file, manifest).unwrap();
        self.ok(&["apply", "-f", text(&file)]);
    }

    /// Waits until what a kubectl command prints is as wanted, and returns it.
    pub(crate) fn until(&self, what: &str, arguments: &[&str], wanted: impl Fn(&str) -> bool) -> String {
        eventually(what, || {
            let output = self.kubectl(arguments);
            let printed = String::from_utf8(output.stdout).unwrap();
            (output.status.success() && wanted(&printed)).then_some(printed)
        })
    }

    /// The program that the machines run.
    fn binary(&self) -> PathBuf {
        self.state.join("coxswain")
    }

    pub(crate) fn data(&self, node: &str) -> PathBuf {
        self.state.join("nodes").join(node).join("data")
    }

    /// As `cargo clean` does to a cluster under `target/`. Renamed, since a removal would race with who writes there.
    pub(crate) fn lose_directory(&self) {
        fs::rename(&self.state, self.state.with_extension("lost")).unwrap();
    }

    fn describe(&self) {
        for arguments in [&["get", "all,nodes,events", "-A", "-o", "wide"][..], &["describe", "pods"][..]] {
            eprintln!("$ kubectl {arguments:?}\n{}", both(&self.kubectl(arguments)));
        }
        for node in &self.nodes {
            let log = both(&self.command().args(["logs", node, "-n", "40"]).output().unwrap());
            eprintln!("the log of {node} ends:\n{log}");
        }
    }

    /// What the real machine holds of these machines.
    pub(crate) fn left_behind(&self) -> BTreeSet<String> {
        let state = text(&self.state);
        let ids: Vec<String> = self.nodes.iter().map(|node| digest(text(&self.data(node)), 8)).collect();
        let mut found: BTreeSet<String> = processes_naming(state).into_iter().collect();
        let lines = |program: &str, arguments: &[&str]| succeed(Command::new(program).args(arguments));
        let namespaces = format!("coxswain-{}-", digest(state, 6));
        found.extend(of_lines(&lines("ip", &["netns"]), &[namespaces]));
        found.extend(of_lines(&fs::read_to_string("/proc/self/mountinfo").unwrap(), &[state.to_owned()]));
        let of_instances = |prefix: &str, length: usize| -> Vec<String> {
            ids.iter().map(|id| format!("{prefix}{}", &id[..length])).collect()
        };
        found.extend(of_lines(&lines("ip", &["-o", "link"]), &of_instances("cx", 8)));
        found.extend(of_lines(&lines("nft", &["list", "tables"]), &of_instances("coxswain-", 8)));
        let cgroups = lines("find", &["/sys/fs/cgroup", "-name", "coxswain-*"]);
        found.extend(of_lines(&cgroups, &[format!("coxswain-cluster-{}", digest(state, 6))]));
        found.extend(self.state.exists().then(|| format!("directory {state}")));
        found
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let failed = std::thread::panicking();
        if failed {
            self.describe();
        }
        let down = self.command().arg("down").output().unwrap();
        if failed {
            return;
        }
        assert!(down.status.success(), "down: {}", both(&down));
        assert_eq!(self.left_behind(), BTreeSet::new(), "left behind after hack/cluster down");
    }
}

/// The lines that contain one of the texts.
fn of_lines(lines: &str, texts: &[String]) -> Vec<String> {
    let contains = |line: &&str| texts.iter().any(|text| line.contains(text.as_str()));
    lines.lines().filter(contains).map(str::to_owned).collect()
}

/// The first digits of a path's digest, as names of what belongs to it contain them.
fn digest(path: &str, digits: usize) -> String {
    let digest = Sha256::digest(path.as_bytes());
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    hex[..digits].to_owned()
}

/// The test image as an archive, made once for all tests.
fn archive() -> &'static str {
    static ARCHIVE: OnceLock<String> = OnceLock::new();
    ARCHIVE.get_or_init(|| {
        let layout = layout(&scratch("archive"), "v1");
        let archive = layout.with_extension("tar");
        succeed(Command::new("skopeo").args(["copy", "--insecure-policy", "--quiet"]).args([
            format!("oci:{}:latest", layout.display()),
            format!("docker-archive:{}:{IMAGE}", archive.display()),
        ]));
        text(&archive).to_owned()
    })
}
