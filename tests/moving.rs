//! The state of running servers moved into TiKV and back: under load, with other servers, killed on the way.
//!
//! They need PD and unistore, which take minutes to build from their modules: `hack/servers` does that and runs these.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::cluster::{Cluster, binary, eventually, text};
use crate::host::both;
use crate::load::Load;

/// PD and unistore on the cluster's machine.
struct Tikv(PathBuf);

impl Tikv {
    fn start(cluster: &Cluster) -> Self {
        let tikv = Self(cluster.data.with_extension("tikv"));
        let status = cluster.host.command(Self::program()).arg("up").env("COXSWAIN_TIKV", &tikv.0).status();
        assert!(status.unwrap().success());
        tikv
    }

    fn program() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("hack").join("tikv")
    }
}

impl Drop for Tikv {
    fn drop(&mut self) {
        let status = Command::new(Self::program()).arg("down").env("COXSWAIN_TIKV", &self.0).status();
        assert!(status.unwrap().success());
        fs::remove_dir_all(&self.0).unwrap();
    }
}

const TIKV: [&str; 2] = ["--store-endpoints", "127.0.0.1:2379"];
const PREFIX: [&str; 2] = ["--store-prefix", "mtest/"];

/// `coxswain store move ARGUMENTS` for the cluster's server.
fn move_command(cluster: &Cluster, arguments: &[&str]) -> Command {
    let mut command = cluster.host.command(binary());
    command.args(["store", "move"]).args(arguments).arg("--data-dir").arg(&cluster.data);
    command
}

fn moved(cluster: &Cluster, arguments: &[&str]) -> String {
    both(&move_command(cluster, arguments).output().unwrap())
}

fn into_tikv(cluster: &Cluster, prefix: &str) -> String {
    moved(cluster, &[&["--to", "tikv", "--store-prefix", prefix], &TIKV[..]].concat())
}

fn until_it_answers(cluster: &Cluster) {
    eventually("the API answers", || {
        cluster.kubectl(&["get", "--raw", "/readyz"]).status.success().then_some(())
    });
}

#[test]
#[ignore = "needs PD and unistore: hack/servers builds them"]
fn a_running_server_moves_into_tikv_under_load_and_back_with_its_revisions() {
    let cluster = Cluster::control_plane(&[]);
    let _tikv = Tikv::start(&cluster);
    let mut load = Load::of(&cluster);
    let running = load.start(&cluster, 100);
    running.until_acknowledged(100);
    let there = into_tikv(&cluster, "mtest/");
    assert!(there.contains("moved revision"), "{there}");
    running.until_acknowledged(100);
    running.stop();
    load.judge(&cluster);
    load.check_all_is_remembered(&cluster);
    let again = into_tikv(&cluster, "mtest/");
    assert!(again.contains("in TiKV already"), "{again}");

    let other = Other::start(&cluster, "mtest/");
    let here = load.start(&cluster, 100);
    let there = load.start_at(&cluster.host, other.data.join("kubeconfig"), 100);
    here.until_acknowledged(100);
    there.until_acknowledged(100);
    let wrong = moved(&cluster, &[&["--to", "embedded", "--store-prefix", "mother/"], &TIKV[..]].concat());
    assert!(wrong.contains("and the flags name another"), "{wrong}");
    let twice = [(); 2].map(|()| {
        let mut command = move_command(&cluster, &["--to", "embedded"]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    });
    let twice = twice.map(|process| both(&process.wait_with_output().unwrap()));
    assert_eq!(twice.iter().filter(|said| said.contains("moved revision")).count(), 1, "{twice:?}");
    let said = other.until_it_has_ended();
    assert!(said.contains("was moved to the data directory") && said.contains("of node-1"), "{said}");
    here.until_acknowledged(100);
    here.stop();
    there.stop();
    load.judge(&cluster);
    load.check_all_is_remembered(&cluster);
    cluster.ok(&["create", "configmap", "back-here"]);
    let nothing = moved(&cluster, &[&["--give-up"], &TIKV[..], &PREFIX[..]].concat());
    assert!(nothing.contains("has succeeded: the state goes on there"), "{nothing}");
    let again = into_tikv(&cluster, "mtest/");
    assert!(again.contains("not empty"), "{again}");
    until_it_answers(&cluster);
    load.conclude(&cluster);
}

/// Another server of the cluster, on the same machine.
struct Other {
    data: PathBuf,
    process: Child,
}

impl Other {
    fn start(cluster: &Cluster, prefix: &str) -> Self {
        let data = cluster.data.with_extension("other");
        let log = fs::File::create(cluster.data.with_extension("other.log")).unwrap();
        let server = ["apiserver", "--port", "7443", "--store", "tikv"];
        let mut command = cluster.host.command(binary());
        command.args(server).args(TIKV).args(["--store-prefix", prefix, "--data-dir", text(&data)]);
        let process = command.stdout(Stdio::null()).stderr(log).spawn().unwrap();
        let other = Self { data, process };
        other.until_it_does(cluster, &["get", "--raw", "/readyz"]);
        other
    }

    fn until_it_does(&self, cluster: &Cluster, arguments: &[&str]) {
        eventually("the other server answers", || {
            let mut command = cluster.host.command("kubectl");
            command.args(arguments).args(["--kubeconfig", text(&self.data.join("kubeconfig"))]);
            command.output().unwrap().status.success().then_some(())
        });
    }

    fn until_it_has_ended(mut self) -> String {
        let status = self.process.wait().unwrap();
        let log = fs::read_to_string(self.data.with_extension("other.log")).unwrap();
        assert_eq!(status.code(), Some(1), "{log}");
        log
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        // It has ended where the test went well.
        self.process.kill().ok();
        self.process.wait().unwrap();
        fs::remove_dir_all(&self.data).unwrap();
        fs::remove_file(self.data.with_extension("other.log")).unwrap();
    }
}

/// Lets the server move its state back and kills it when it says a line; whether it came to that.
fn kill_while_it_moves_back(cluster: &mut Cluster, line: &str) {
    let mut command = move_command(cluster, &["--to", "embedded"]);
    let mut process = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines().map_while(Result::ok);
    assert!(lines.any(|said| said.starts_with(line)), "it never says {line:?}");
    cluster.kill_server();
    process.wait().unwrap();
    cluster.start_server();
}

#[test]
#[ignore = "needs PD and unistore: hack/servers builds them"]
fn killed_while_its_state_leaves_tikv_a_server_goes_on_where_it_is_and_loses_nothing() {
    let mut cluster = Cluster::control_plane(&[]);
    let _tikv = Tikv::start(&cluster);
    let (mut load, mut prefix) = (Load::of(&cluster), String::new());
    let lines = ["copied up to", "writes pause", "no server writes", "all is copied", "moved"];
    for (round, line) in lines.into_iter().cycle().take(2 * lines.len()).enumerate() {
        let next = format!("mround-{round}/");
        if !into_tikv(&cluster, &next).contains("in TiKV already") {
            until_it_answers(&cluster);
            prefix = next;
        }
        let other = Other::start(&cluster, &prefix);
        let running = load.start(&cluster, 100);
        running.until_acknowledged(50);
        kill_while_it_moves_back(&mut cluster, line);
        running.stop();
        load.judge(&cluster);
        let word = fs::read_to_string(cluster.data.join("store-moved.json")).unwrap();
        if word.contains("\"embedded\"") {
            let said = other.until_it_has_ended();
            assert!(said.contains("was moved to the data directory"), "{said}");
        } else {
            let label = format!("other={round}");
            other.until_it_does(&cluster, &["label", "--overwrite", "namespace", "default", &label]);
            let labels = ["get", "namespace", "default", "-o", "jsonpath={.metadata.labels.other}"];
            assert_eq!(cluster.ok(&labels), round.to_string());
        }
        cluster.ok(&["create", "configmap", &format!("after-{round}")]);
        let left = ["store-moving.json", "store.incoming"].map(|name| cluster.data.join(name).exists());
        assert_eq!(left, [false; 2], "left behind when it was killed at {line:?}");
    }
    load.conclude(&cluster);
}
