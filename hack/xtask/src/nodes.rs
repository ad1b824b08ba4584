//! Figures of several nodes: time until all are Ready, an idle agent's memory, speed between pods of two nodes beside
//! that between the nodes themselves.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use crate::cluster::Ends;
use crate::{carry, process};

/// The image that `hack/bench` expects in the archive.
const IMAGE: &str = "coxswain.test/bench:v1";
const AGENTS: [&str; 2] = ["agent-1", "agent-2"];
const PORT: u16 = 5201;
/// Short runs over each way, in turns, so that a noisy moment meets both.
const ROUNDS: usize = 41;
const BULK_MILLISECONDS: u64 = 150;
/// What a start leaves behind is given back within this time, before idle memory is read.
const SETTLE: Duration = Duration::from_secs(45);

pub(crate) fn measure(image: &Path) -> anyhow::Result<()> {
    for backend in ["routes", "vxlan"] {
        let site = Site::up(backend)?;
        println!("| 3 nodes up and Ready ({backend}) | {:.1?} |", site.up);
        if backend == "routes" {
            site.give_own_program(AGENTS[0])?;
            std::thread::sleep(SETTLE);
            let (resident, proportional) = site.memory(AGENTS[0])?;
            println!(
                "| memory of an idle agent, all processes, RSS (PSS) | {resident:.1} ({proportional:.1}) MiB |"
            );
        }
        site.start_pods(image)?;
        compare_ways(&site, backend)?;
    }
    Ok(())
}

fn compare_ways(site: &Site, backend: &str) -> anyhow::Result<()> {
    let host = format!("192.0.2.101:{PORT}");
    let pod = format!("{}:{PORT}", site.pod_address(AGENTS[0])?);
    let _servers = [site.serve(Where::Host)?, site.serve(Where::Pod)?];
    let (mut bare, mut pods) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        bare.push(site.carry(Where::Host, &host)?);
        pods.push(site.carry(Where::Pod, &pod)?);
    }
    let (bare, pods) = (typical(&bare), typical(&pods));
    let percent = pods.0 / bare.0 * 100.0;
    println!(
        "| TCP between pods of two nodes ({backend}), beside the nodes' own | {:.1} beside {:.1} Gbit/s: {percent:.0}% |",
        pods.0 / 1e9,
        bare.0 / 1e9
    );
    println!("| … round trip | {:.1?} beside {:.1?} |", pods.1, bare.1);
    Ok(())
}

/// The throughput that one run in ten exceeds, since other load can only lessen it; the median round trip.
fn typical(speeds: &[carry::Speed]) -> (f64, Duration) {
    let mut bits: Vec<f64> = speeds.iter().map(|speed| speed.bits_per_second).collect();
    let mut trips: Vec<Duration> = speeds.iter().map(|speed| speed.round_trip).collect();
    bits.sort_by(f64::total_cmp);
    trips.sort();
    (bits[ROUNDS * 9 / 10], trips[ROUNDS / 2])
}

/// A server and two agents by `hack/cluster`; taken down when dropped.
struct Site {
    state: PathBuf,
    up: Duration,
}

/// The namespace in which something runs: a node's own or that of the one pod on it.
#[derive(Clone, Copy)]
enum Where {
    Host,
    Pod,
}

impl Site {
    fn up(backend: &str) -> anyhow::Result<Self> {
        let state = std::env::temp_dir().join(format!("coxswain-bench-{}", std::process::id()));
        let mut site = Self { state, up: Duration::ZERO };
        let started = Instant::now();
        run(site.command()?.args(["up", "--agents", "2", "--", "--pod-network", backend]))?;
        site.up = started.elapsed();
        Ok(site)
    }

    /// `hack/cluster` with the binary that was built beside this one.
    fn command(&self) -> anyhow::Result<Command> {
        let binary = std::env::current_exe()?.with_file_name("coxswain");
        let mut command = Command::new("hack/cluster");
        command.env("COXSWAIN_CLUSTER", &self.state).env("COXSWAIN_BINARY", binary);
        Ok(command)
    }

    fn kubectl(&self, arguments: &[&str]) -> anyhow::Result<String> {
        run(Command::new(self.state.join("kubectl")).args(arguments))
    }

    fn data(&self, node: &str) -> String {
        self.state.join("nodes").join(node).join("data").display().to_string()
    }

    /// Starts an agent again with a copy of the program that nobody else runs, as on a machine of its own: pages of one file
    /// that several processes have mapped stay with all of them.
    fn give_own_program(&self, agent: &str) -> anyhow::Result<()> {
        let (shared, own) = (self.state.join("coxswain"), self.state.join("coxswain-of-its-own"));
        run(self.command()?.args(["kill", agent]))?;
        std::fs::copy(&shared, &own)?;
        let file = self.state.join("nodes").join(agent).join("command");
        let command = std::fs::read(&file)?;
        let arguments = command.strip_prefix(shared.as_os_str().as_encoded_bytes());
        let arguments = arguments.context("the agent's command does not begin with its program")?;
        std::fs::write(&file, [own.as_os_str().as_encoded_bytes(), arguments].concat())?;
        run(self.command()?.args(["start", agent])).map(drop)
    }

    /// A pod on each agent.
    fn start_pods(&self, image: &Path) -> anyhow::Result<()> {
        for agent in AGENTS {
            let import = [&self.state.join("coxswain").display().to_string(), "image", "import"];
            let from = [&image.display().to_string(), "--data-dir", &self.data(agent)];
            run(self.command()?.args(["exec", agent, "--"]).args(import).args(from))?;
            let overrides = format!(
                r#"{{"spec": {{"nodeName": "{agent}", "containers": [{{"name": "main", "image": "{IMAGE}", "command": ["sleep", "3600"]}}]}}}}"#
            );
            let image = format!("--image={IMAGE}");
            self.kubectl(&["run", agent, &image, "--overrides", &overrides])?;
        }
        self.kubectl(&["wait", "--for=condition=Ready", "pod", "--all", "--timeout=60s"]).map(drop)
    }

    fn pod_address(&self, name: &str) -> anyhow::Result<String> {
        self.kubectl(&["get", "pod", name, "-o", "jsonpath={.status.podIP}"])
    }

    /// This program, on a node or in its pod.
    fn program(&self, node: &str, place: Where, arguments: &[&str]) -> anyhow::Result<Command> {
        let own = std::env::current_exe()?;
        let mut command = self.command()?;
        command.args(["exec", node, "--"]);
        if let Where::Pod = place {
            let sandboxes = format!("{}/runtime/sandboxes", self.data(node));
            let enter =
                format!("for pod in {sandboxes}/*; do exec nsenter --net=\"$pod/netns\" \"$@\"; done");
            command.args(["sh", "-c", &enter, "sh"]);
        }
        command.arg(own).arg("carry").args(arguments);
        Ok(command)
    }

    fn serve(&self, place: Where) -> anyhow::Result<Ends> {
        let mut command = self.program(AGENTS[0], place, &["serve", &format!("0.0.0.0:{PORT}")])?;
        Ok(Ends(command.spawn()?))
    }

    /// Tries until the server is there.
    fn carry(&self, place: Where, to: &str) -> anyhow::Result<carry::Speed> {
        let milliseconds = BULK_MILLISECONDS.to_string();
        let mut attempts = 0;
        loop {
            let printed =
                run(&mut self.program(AGENTS[1], place, &["to", to, "--milliseconds", &milliseconds])?);
            attempts += 1;
            match printed {
                Ok(line) => return carry::parse(&line),
                Err(error) if attempts == 10 => return Err(error),
                Err(_) => std::thread::sleep(Duration::from_millis(200)),
            }
        }
    }

    /// Resident and proportional memory of a node's processes, in MiB.
    fn memory(&self, node: &str) -> anyhow::Result<(f64, f64)> {
        let (mut resident, mut proportional) = (0, 0);
        for pid in process::naming(&self.data(node))? {
            resident += process::resident_kib(pid)?;
            proportional += process::proportional_kib(pid)?;
        }
        Ok((resident as f64 / 1024.0, proportional as f64 / 1024.0))
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let down = self.command().and_then(|mut command| run(command.arg("down")));
        if let Err(error) = down {
            eprintln!("the benchmark's cluster could not be taken down: {error:#}");
        }
    }
}

fn run(command: &mut Command) -> anyhow::Result<String> {
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("cannot run {command:?}"))?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?}: {}: {complaint}", output.status);
    Ok(String::from_utf8(output.stdout)?)
}
