//! Nodes that fail: killed, cut off, healed. Their pods are replaced after the time they tolerate, and the node comes
//! back clean.

use crate::cluster::eventually;
use crate::site::{IMAGE, Site};

/// More than the ten seconds between two signs of life, and less than upstream's default of 50.
const GRACE: &str = "--node-monitor-grace-period=20s";

/// Two replicas on agents, which go two seconds after their node is unreachable.
fn deployment() -> String {
    format!(
        "apiVersion: apps/v1
kind: Deployment
metadata: {{name: web}}
spec:
  replicas: 2
  selector: {{matchLabels: {{app: web}}}}
  template:
    metadata: {{labels: {{app: web}}}}
    spec:
      terminationGracePeriodSeconds: 1
      nodeSelector: {{agent: 'yes'}}
      tolerations:
      - {{key: node.kubernetes.io/unreachable, effect: NoExecute, operator: Exists, tolerationSeconds: 2}}
      - {{key: node.kubernetes.io/not-ready, effect: NoExecute, operator: Exists, tolerationSeconds: 2}}
      containers:
      - name: web
        image: {IMAGE}
        readinessProbe: {{httpGet: {{path: /, port: 8080}}, periodSeconds: 1}}
"
    )
}

/// A server and two agents with a replica on each.
fn two_replicas() -> Site {
    let site = Site::up(2, &[GRACE]);
    site.ok(&["label", "nodes", "agent-1", "agent-2", "agent=yes"]);
    site.apply(&deployment());
    site.ok(&["rollout", "status", "deployment/web", "--timeout=120s"]);
    site.ok(&["expose", "deployment", "web", "--port=80", "--target-port=8080"]);
    assert_eq!(pods_on(&site, "agent-1").len(), 1);
    assert_eq!(pods_on(&site, "agent-2").len(), 1);
    site
}

fn pods_on(site: &Site, node: &str) -> Vec<String> {
    let selector = format!("spec.nodeName={node}");
    let names =
        site.ok(&["get", "pods", "--field-selector", &selector, "-o", "jsonpath={.items[*].metadata.name}"]);
    names.split_whitespace().map(str::to_owned).collect()
}

/// Waits until a node is declared unreachable, and its pod replaced on the other agent.
fn until_replaced(site: &Site, lost: &str) {
    let ready = "jsonpath={.status.conditions[?(@.type=='Ready')]['status','reason']}";
    let get = ["get", "node", "agent-1", "-o", ready];
    site.until("the node is not Ready", &get, |status| status == "Unknown NodeStatusUnknown");
    let taints = ["get", "node", "agent-1", "-o", "jsonpath={.spec.taints[*].key}:{.spec.taints[*].effect}"];
    let unreachable = "node.kubernetes.io/unreachable node.kubernetes.io/unreachable:NoSchedule NoExecute";
    site.until("the node is tainted", &taints, |taints| taints == unreachable);
    // Nobody confirms the end of the old pod while its node is silent.
    let deletion = [
        "get",
        "pod",
        lost,
        "-o",
        "jsonpath={.metadata.deletionTimestamp}{.status.conditions[?(@.type=='DisruptionTarget')].reason}",
    ];
    site.until("the pod is evicted", &deletion, |text| text.ends_with("DeletionByTaintManager"));
    eventually("its replacement runs on the other agent", || {
        let available = site.ok(&["get", "deployment", "web", "-o", "jsonpath={.status.availableReplicas}"]);
        (available == "2" && pods_on(site, "agent-2").len() == 2).then_some(())
    });
    let endpoints = ["get", "endpoints", "web", "-o", "jsonpath={.subsets[*].addresses[*].nodeName}"];
    site.until("the service leads to the living", &endpoints, |nodes| nodes == "agent-2 agent-2");
}

/// Waits until the node is back, without its old pod and free of taints, and takes new pods.
fn until_clean(site: &Site, lost: &str) {
    site.ok(&["wait", "--for=condition=Ready", "node/agent-1", "--timeout=120s"]);
    let taints = ["get", "node", "agent-1", "-o", "jsonpath={.spec.taints}"];
    site.until("the taints are gone", &taints, str::is_empty);
    site.ok(&["wait", "--for=delete", &format!("pod/{lost}"), "--timeout=120s"]);
    site.ok(&["scale", "deployment", "web", "--replicas=4"]);
    site.ok(&["rollout", "status", "deployment/web", "--timeout=120s"]);
    let here = pods_on(site, "agent-1");
    assert!(!here.is_empty() && !here.iter().any(|pod| pod == lost), "{here:?}");
    let elsewhere = &pods_on(site, "agent-2")[0];
    let address = site.ok(&["get", "pod", &here[0], "-o", "jsonpath={.status.podIP}"]);
    let url = format!("http://{address}:8080/");
    let answer = site.ok(&["exec", elsewhere, "--", "curl", "-s", "--max-time", "20", &url]);
    assert!(answer.contains(&here[0]), "{answer}");
}

/// The processes of a node's containers.
fn servers_on(site: &Site, node: &str) -> usize {
    site.on(node, &["ps", "-e", "-o", "args="])
        .lines()
        .filter(|line| line.contains("httpd -f -p 8080"))
        .count()
}

#[test]
fn pods_of_a_killed_node_are_replaced_and_it_comes_back_clean() {
    let site = two_replicas();
    let lost = pods_on(&site, "agent-1").remove(0);
    site.run(&["kill", "agent-1"]);
    until_replaced(&site, &lost);
    site.run(&["start", "agent-1"]);
    until_clean(&site, &lost);
    assert_eq!(servers_on(&site, "agent-1"), pods_on(&site, "agent-1").len());
}

#[test]
fn pods_of_a_node_that_is_cut_off_are_replaced_and_end_when_it_is_healed() {
    let site = two_replicas();
    let lost = pods_on(&site, "agent-1").remove(0);
    site.run(&["partition", "agent-1"]);
    assert!(site.run(&["status"]).contains("on, cut off"));
    until_replaced(&site, &lost);
    assert_eq!(servers_on(&site, "agent-1"), 1, "the node itself cannot know, and lets its pod run");
    site.run(&["heal", "agent-1"]);
    until_clean(&site, &lost);
    assert_eq!(servers_on(&site, "agent-1"), pods_on(&site, "agent-1").len());
}

#[test]
fn pods_run_on_while_the_server_is_off() {
    let site = two_replicas();
    let pods = [
        "get",
        "pods",
        "-o",
        "jsonpath={range .items[*]}{.metadata.name} {.status.podIP} {.status.containerStatuses[0].restartCount}{'\\n'}{end}",
    ];
    let before = site.ok(&pods);
    let address = before.split_whitespace().nth(1).unwrap().to_owned();
    site.run(&["kill", "server-1"]);
    let url = format!("http://{address}:8080/");
    site.on("agent-1", &["curl", "-sf", "--max-time", "20", &url]);
    site.on("agent-2", &["curl", "-sf", "--max-time", "20", &url]);
    site.run(&["start", "server-1"]);
    // What the API tells was written before it was off, until every node has written again.
    let leases = ["get", "leases", "-n", "kube-node-lease", "-o", "jsonpath={.items[*].spec.renewTime}"];
    let stored = site.until("the API answers", &leases, |times| times.split(' ').count() == 3);
    site.until("all nodes are heard", &leases, |times| {
        times.split(' ').zip(stored.split(' ')).all(|(now, before)| now != before)
    });
    site.until("all nodes are Ready", &["get", "nodes", "--no-headers"], |nodes| {
        nodes.lines().count() == 3 && nodes.lines().all(|line| line.contains(" Ready "))
    });
    assert_eq!(site.ok(&pods), before);
    site.ok(&["scale", "deployment", "web", "--replicas=3"]);
    site.ok(&["rollout", "status", "deployment/web", "--timeout=120s"]);
}
