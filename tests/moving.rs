//! The state of running servers moved into TiKV and back: under load, with other servers, killed on the way.
//!
//! They need PD and unistore, which take minutes to build from their modules: `hack/servers` does that and runs these.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;

use serde_json::Value;

use crate::cluster::{Cluster, binary, eventually, text};
use crate::host::both;
use crate::kube_rs::create_until_refused;
use crate::snapshot::items;

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

fn names(cluster: &Cluster) -> BTreeSet<String> {
    let name = |item: Value| item["metadata"]["name"].as_str().unwrap().to_owned();
    items(cluster, "").into_iter().map(name).collect()
}

/// The names that a watch of config maps from a revision tells of.
fn events_after(cluster: &Cluster, revision: &str) -> BTreeSet<String> {
    let path = "/api/v1/namespaces/default/configmaps?watch=true&timeoutSeconds=3&resourceVersion=";
    let told = cluster.ok(&["get", "--raw", &format!("{path}{revision}")]);
    let events = told.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let added = events.filter(|event| event["type"] == "ADDED");
    added.map(|event| event["object"]["metadata"]["name"].as_str().unwrap().to_owned()).collect()
}

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

/// Creates config maps through a server until that is refused; gives those that were acknowledged.
fn write_until_refused(
    cluster: &Cluster,
    kubeconfig: PathBuf,
    name: &'static str,
) -> JoinHandle<BTreeSet<String>> {
    cluster.host.run(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let mut acknowledged = BTreeSet::new();
        let writes = create_until_refused(&kubeconfig, name, |name| {
            acknowledged.insert(name);
        });
        println!("{name}: refused with: {}", runtime.block_on(writes));
        acknowledged
    })
}

fn until_it_answers(cluster: &Cluster) {
    eventually("the API answers", || {
        cluster.kubectl(&["get", "--raw", "/readyz"]).status.success().then_some(())
    });
}

/// Until a writer has written so much.
fn until_written(cluster: &Cluster, name: &str) {
    eventually("writes go on", || {
        (names(cluster).iter().filter(|found| found.starts_with(name)).count() > 50).then_some(())
    });
}

#[test]
#[ignore = "needs PD and unistore: hack/servers builds them"]
fn a_running_server_moves_into_tikv_under_load_and_back_with_its_revisions() {
    let cluster = Cluster::control_plane(&[]);
    let _tikv = Tikv::start(&cluster);
    let revision = cluster.ok(&["get", "configmaps", "-o", "jsonpath={.metadata.resourceVersion}"]);
    let writing = write_until_refused(&cluster, cluster.kubeconfig(), "there");
    until_written(&cluster, "there");
    let there = into_tikv(&cluster, "mtest/");
    assert!(there.contains("moved revision"), "{there}");
    let mut acknowledged = writing.join().unwrap();
    until_it_answers(&cluster);
    cluster.ok(&["create", "configmap", "in-tikv"]);
    acknowledged.insert("in-tikv".to_owned());
    assert!(acknowledged.is_subset(&names(&cluster)));
    assert!(acknowledged.is_subset(&events_after(&cluster, &revision)), "a watch from before resumes");
    let again = into_tikv(&cluster, "mtest/");
    assert!(again.contains("in TiKV already"), "{again}");

    let other = Other::start(&cluster, "mtest/");
    let writings = [
        write_until_refused(&cluster, cluster.kubeconfig(), "back"),
        write_until_refused(&cluster, other.data.join("kubeconfig"), "other"),
    ];
    until_written(&cluster, "back");
    until_written(&cluster, "other");
    let wrong = moved(&cluster, &[&["--to", "embedded", "--store-prefix", "mother/"], &TIKV[..]].concat());
    assert!(wrong.contains("and the flags name another"), "{wrong}");
    let twice = [(); 2].map(|()| {
        let mut command = move_command(&cluster, &["--to", "embedded"]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    });
    let twice = twice.map(|process| both(&process.wait_with_output().unwrap()));
    assert_eq!(twice.iter().filter(|said| said.contains("moved revision")).count(), 1, "{twice:?}");
    acknowledged.extend(writings.into_iter().flat_map(|writing| writing.join().unwrap()));
    let said = other.until_it_has_ended();
    assert!(said.contains("was moved to the data directory") && said.contains("of node-1"), "{said}");
    until_it_answers(&cluster);
    assert!(acknowledged.is_subset(&names(&cluster)));
    assert!(acknowledged.is_subset(&events_after(&cluster, &revision)), "a watch from before resumes again");
    cluster.ok(&["create", "configmap", "back-here"]);
    let nothing = moved(&cluster, &[&["--give-up"], &TIKV[..], &PREFIX[..]].concat());
    assert!(nothing.contains("has succeeded: the state goes on there"), "{nothing}");
    let again = into_tikv(&cluster, "mtest/");
    assert!(again.contains("not empty"), "{again}");
    until_it_answers(&cluster);
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
    let (mut acknowledged, mut prefix) = (BTreeSet::new(), String::new());
    let lines = ["copied up to", "writes pause", "no server writes", "all is copied", "moved"];
    for (round, line) in lines.into_iter().cycle().take(2 * lines.len()).enumerate() {
        let next = format!("mround-{round}/");
        if !into_tikv(&cluster, &next).contains("in TiKV already") {
            until_it_answers(&cluster);
            prefix = next;
        }
        let other = Other::start(&cluster, &prefix);
        let name: &'static str = format!("round-{round}-").leak();
        let writing = write_until_refused(&cluster, cluster.kubeconfig(), name);
        until_written(&cluster, name);
        kill_while_it_moves_back(&mut cluster, line);
        acknowledged.extend(writing.join().unwrap());
        let lost: Vec<_> = acknowledged.difference(&names(&cluster)).cloned().collect();
        assert!(lost.is_empty(), "lost when it was killed at {line:?}: {lost:?}");
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
}
