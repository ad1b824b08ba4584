//! Several nodes: their pods talk to each other by address, service and name, and kubectl reaches all of them.

use std::collections::BTreeSet;

use crate::cluster::eventually;
use crate::host::both;
use crate::site::{IMAGE, Site};

#[test]
fn pods_of_two_nodes_talk_by_routes() {
    pods_of_two_nodes_talk("routes");
}

#[test]
fn pods_of_two_nodes_talk_by_vxlan() {
    pods_of_two_nodes_talk("vxlan");
}

fn pods_of_two_nodes_talk(pod_network: &str) {
    let site = Site::up(1, &["--pod-network", pod_network]);
    site.apply(&format!("{}---\n{}---\n{SERVICE}", pod_on("server-1"), pod_on("agent-1")));
    site.ok(&["wait", "--for=condition=Ready", "pod", "--all", "--timeout=120s"]);

    let pods = ["on-server-1", "on-agent-1"];
    for (from, to) in [(pods[0], pods[1]), (pods[1], pods[0])] {
        let address = site.ok(&["get", "pod", to, "-o", "jsonpath={.status.podIP}"]);
        let answer = fetch_from(&site, from, &format!("http://{address}:8080/"));
        assert!(answer.contains(to), "{from} was answered by {to} at {address}: {answer:?}");
        // By the service's name, from either node, both are reached.
        answers_of(&format!("pod {from}"), &pods, || fetch_from(&site, from, "http://web/"));
    }
    for node in ["192.0.2.11", "192.0.2.101"] {
        let url = format!("http://{node}:30080/");
        answers_of(&url, &pods, || both(&site.try_on("switch", &["curl", "-s", "--max-time", "5", &url])));
    }

    // What kubectl asks of a node goes to that node's kubelet.
    let printed = site.ok(&["exec", "on-agent-1", "--", "sh", "-c", "echo said >/proc/1/fd/1; hostname"]);
    assert_eq!(printed.trim(), "on-agent-1");
    site.until("the pod's log", &["logs", "on-agent-1"], |log| log.contains("said"));
    let resolved = site.ok(&["exec", "on-agent-1", "--", "nslookup", "web.default.svc.cluster.local"]);
    let address = site.ok(&["get", "service", "web", "-o", "jsonpath={.spec.clusterIP}"]);
    assert!(resolved.contains(&address), "{address} is not in {resolved:?}");
}

const SERVICE: &str = "apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  type: NodePort
  selector: {app: web}
  ports:
  - {port: 80, targetPort: 8080, nodePort: 30080}
";

fn pod_on(node: &str) -> String {
    format!(
        "apiVersion: v1
kind: Pod
metadata: {{name: on-{node}, labels: {{app: web}}}}
spec:
  nodeName: {node}
  terminationGracePeriodSeconds: 0
  containers:
  - name: web
    image: {IMAGE}
    readinessProbe: {{httpGet: {{path: /, port: 8080}}, periodSeconds: 1}}
"
    )
}

fn fetch_from(site: &Site, pod: &str, url: &str) -> String {
    both(&site.kubectl(&["exec", pod, "--", "curl", "-s", "--max-time", "5", url]))
}

/// Asks until each of `pods` has answered.
fn answers_of(from: &str, pods: &[&str], ask: impl Fn() -> String) {
    let mut missing: BTreeSet<&str> = pods.iter().copied().collect();
    eventually(&format!("{pods:?} answer {from}"), || {
        let answer = ask();
        missing.retain(|pod| !answer.contains(pod));
        missing.is_empty().then_some(())
    });
}

#[test]
fn machines_are_apart_and_what_they_were_is_gone_after_down() {
    let site = Site::up(1, &[]);
    for (node, address) in [("server-1", "192.0.2.11"), ("agent-1", "192.0.2.101")] {
        assert_eq!(site.on(node, &["hostname"]).trim(), node);
        let own = site.on(node, &["ip", "-4", "-o", "address", "show", "dev", "uplink"]);
        assert!(own.contains(address), "{own}");
        // Each sees its own processes only: a handful, the first of which is its init.
        let processes = site.on(node, &["ps", "-e", "-o", "pid=,args="]);
        assert!(processes.lines().next().unwrap().trim_start().starts_with("1 "), "{processes}");
        let others = ["server-1", "agent-1"].into_iter().find(|other| *other != node).unwrap();
        assert!(!processes.contains(&format!("--node-name {others}")), "{processes}");
    }
    let status = site.run(&["status"]);
    assert!(status.contains("agent-1") && status.matches(" on").count() >= 2, "{status}");
    let refused = |arguments: &[&str]| {
        let output = site.command().args(arguments).output().unwrap();
        assert!(!output.status.success(), "{arguments:?}");
        both(&output)
    };
    assert!(refused(&["up"]).contains("there is a cluster in"));
    assert!(refused(&["up", "--servers", "2"]).contains("several servers need a store that they share"));
    assert!(refused(&["kill", "agent-7"]).contains("there is no node agent-7"));
    assert!(refused(&["start", "agent-1"]).contains("is on already"));

    site.run(&["kill", "agent-1"]);
    assert!(refused(&["exec", "agent-1", "--", "true"]).contains("agent-1 is off"));
    let left = site.left_behind();
    assert!(!left.iter().any(|one| one.contains("_init agent-1")), "{left:?}");
    assert!(left.iter().any(|one| one.contains("_init server-1")), "{left:?}");
    // `down`, when this test ends, finds the rest even without the directory.
    site.lose_directory();
}
