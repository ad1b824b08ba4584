//! `kubectl debug`: a container of another image joins a pod that runs, and is gone when nobody needs it any more.

use crate::cluster::{Cluster, eventually};
use crate::images::image;

fn field(cluster: &Cluster, path: &str) -> String {
    cluster.ok(&["get", "pod", "web", "-o", &format!("jsonpath={{{path}}}")])
}

#[test]
fn a_container_for_debugging_joins_a_pod_and_sees_its_processes() {
    let cluster = Cluster::start();
    let wanted = format!("--image={}", image("web:v1"));
    cluster.ok(&["run", "web", &wanted, "--labels=app=web"]);
    cluster.ok(&["wait", "--for=condition=Ready", "pod/web", "--timeout=60s"]);
    let started = field(&cluster, ".status.containerStatuses[0].containerID");

    let script = "echo \"$(cat /proc/1/comm) $(wget -qO- http://127.0.0.1:8080/ | cut -d ' ' -f 1)\"; until [ -e /tmp/go ]; do sleep 0.1; done; exit 3";
    let debug = ["debug", "web", &wanted, "--container=look", "--target=web", "--profile=general"];
    cluster.ok(&[&debug[..], &["--", "sh", "-c", script]].concat());
    let state = ".status.ephemeralContainerStatuses[?(@.name==\"look\")].state";
    let running = format!("{state}.running.startedAt");
    eventually("it runs", || (!field(&cluster, &running).is_empty()).then_some(()));
    // The target's first process and its port, which are the pod's own.
    eventually("it tells what it sees", || {
        (cluster.ok(&["logs", "web", "-c", "look"]) == "httpd web\n").then_some(())
    });
    assert_eq!(field(&cluster, ".metadata.generation"), "2");
    cluster.ok(&["exec", "web", "-c", "look", "--", "touch", "/tmp/go"]);
    let code = format!("{state}.terminated.exitCode");
    eventually("it ends", || (field(&cluster, &code) == "3").then_some(()));

    // It does not count for the pod, is not started again, and stays as it is.
    assert_eq!(field(&cluster, ".status.phase"), "Running");
    assert_eq!(field(&cluster, ".status.conditions[?(@.type==\"Ready\")].status"), "True");
    assert_eq!(field(&cluster, ".status.containerStatuses[0].containerID"), started);
    let patch = |body: &str| {
        cluster.fails(&[
            "patch",
            "pod",
            "web",
            "--subresource=ephemeralcontainers",
            "--type=json",
            "-p",
            body,
        ])
    };
    let removed = patch(r#"[{"op":"remove","path":"/spec/ephemeralContainers/0"}]"#);
    assert!(removed.contains("existing ephemeral containers \"look\" may not be removed"), "{removed}");
    let changed = patch(r#"[{"op":"replace","path":"/spec/ephemeralContainers/0/image","value":"other"}]"#);
    assert!(changed.contains("existing ephemeral containers \"look\" may not be changed"), "{changed}");
    let bare = r#"{"spec":{"ephemeralContainers":[{"name":"more","image":"other"}]}}"#;
    let refused = cluster.fails(&["patch", "pod", "web", "-p", bare]);
    assert!(refused.contains("pod updates may not change fields other than"), "{refused}");
    assert_eq!(field(&cluster, ".status.ephemeralContainerStatuses[*].restartCount"), "0");
}
