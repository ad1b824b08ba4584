//! What breaks is mended: killed containers, deleted pods, deleted namespaces; and what cannot start says why.

use crate::cluster::{Cluster, eventually};
use crate::deployment::web;
use crate::images::image;

#[test]
fn a_killed_container_is_restarted_with_back_off() {
    let cluster = Cluster::start();
    // A duration that no other process on this machine sleeps.
    let seconds = (100_000 + std::process::id()).to_string();
    cluster.ok(&["run", "victim", &format!("--image={}", image("web:v1")), "--", "sleep", &seconds]);
    cluster.ok(&["wait", "--for=condition=Ready", "pod/victim", "--timeout=60s"]);
    kill_sleeper(&seconds);
    let ended = "jsonpath={.status.containerStatuses[0]['restartCount','lastState.terminated.exitCode']}";
    eventually("the killed container runs again", || {
        (cluster.ok(&["get", "pod", "victim", "-o", ended]) == "1 137").then_some(())
    });
    cluster.ok(&["wait", "--for=condition=Ready", "pod/victim", "--timeout=60s"]);

    cluster.ok(&[
        "run",
        "flaky",
        &format!("--image={}", image("web:v1")),
        "--",
        "sh",
        "-c",
        "sleep 1; exit 3",
    ]);
    eventually("it waits in CrashLoopBackOff", || {
        let reason = "jsonpath={.status.containerStatuses[0].state.waiting.reason}";
        (cluster.ok(&["get", "pod", "flaky", "-o", reason]) == "CrashLoopBackOff").then_some(())
    });
    let status = "jsonpath={.status.containerStatuses[0]['restartCount','lastState.terminated.exitCode']}";
    let status = cluster.ok(&["get", "pod", "flaky", "-o", status]);
    let (restarts, exit_code) = status.split_once(' ').unwrap();
    assert!(restarts.parse::<u32>().unwrap() >= 1, "{status}");
    assert_eq!(exit_code, "3");
    let events = cluster.ok(&["get", "events", "--field-selector=involvedObject.name=flaky,reason=BackOff"]);
    assert!(events.contains("Back-off restarting failed container"), "{events}");
}

#[test]
fn a_deleted_pod_is_replaced_and_a_deleted_namespace_empties() {
    let cluster = Cluster::start();
    cluster.ok(&["create", "namespace", "shop"]);
    let manifest = web(2, "v1");
    let file = cluster.data.with_extension("shop.yaml");
    std::fs::write(&file, manifest).unwrap();
    cluster.ok(&["-n", "shop", "apply", "-f", file.to_str().unwrap()]);
    std::fs::remove_file(file).unwrap();
    cluster.ok(&["-n", "shop", "rollout", "status", "deployment/web", "--timeout=60s"]);

    let names = || cluster.ok(&["-n", "shop", "get", "pods", "-o", "name"]);
    let before = names();
    let victim = before.lines().next().unwrap().to_owned();
    cluster.ok(&["-n", "shop", "delete", &victim, "--wait"]);
    cluster.ok(&["-n", "shop", "rollout", "status", "deployment/web", "--timeout=60s"]);
    assert!(!names().contains(&victim));

    cluster.ok(&["delete", "namespace", "shop", "--timeout=90s"]);
    for kind in
        ["pods", "services", "deployments", "replicasets", "endpointslices", "configmaps", "serviceaccounts"]
    {
        assert_eq!(cluster.ok(&["-n", "shop", "get", kind, "-o", "name"]), "", "{kind} are left");
    }
}

#[test]
fn what_cannot_start_says_why_and_harms_nothing_else() {
    let cluster = Cluster::start();
    let waiting = |pod: &str| {
        cluster.ok(&["get", "pod", pod, "-o", "jsonpath={.status.containerStatuses[0].state.waiting.reason}"])
    };
    cluster.ok(&["run", "unknown", &format!("--image={}", image("absent:v1"))]);
    cluster.ok(&["run", "down", "--image=127.0.0.1:5999/test/web:v1"]);
    cluster.apply("apiVersion: v1\nkind: Pod\nmetadata: {name: misnamed}\nspec: {containers: [{name: c, image: Not/A/Name!}]}\n");
    cluster.ok(&[
        "run",
        "nothing",
        &format!("--image={}", image("web:v1")),
        "--command",
        "--",
        "/no/such/program",
    ]);
    for (pod, reasons) in [
        ("unknown", &["ErrImagePull", "ImagePullBackOff"][..]),
        ("down", &["ErrImagePull", "ImagePullBackOff"]),
        ("misnamed", &["InvalidImageName"]),
        ("nothing", &["RunContainerError", "CrashLoopBackOff", "CreateContainerError"]),
    ] {
        eventually(&format!("{pod} waits for one of {reasons:?}"), || {
            reasons.contains(&waiting(pod).as_str()).then_some(())
        });
    }
    cluster.ok(&["run", "fine", &format!("--image={}", image("web:v1"))]);
    cluster.ok(&["wait", "--for=condition=Ready", "pod/fine", "--timeout=60s"]);
    // Where the end of every test looks for what is left.
    assert!(!cluster.cgroups().is_empty());
}

/// Kills the process `sleep SECONDS`, which only a test's container runs.
fn kill_sleeper(seconds: &str) {
    let sleeper = std::fs::read_dir("/proc").unwrap().flatten().find_map(|entry| {
        let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
        let command = std::fs::read(entry.path().join("cmdline")).ok()?;
        (command == format!("sleep\0{seconds}\0").into_bytes()).then_some(pid)
    });
    let sleeper = nix::unistd::Pid::from_raw(sleeper.expect("the container runs"));
    nix::sys::signal::kill(sleeper, nix::sys::signal::Signal::SIGKILL).unwrap();
}
