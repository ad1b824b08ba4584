//! A deployment from a registry image becomes available, and its service reaches every replica by name.

use std::collections::BTreeSet;

use crate::cluster::{Cluster, eventually};
use crate::images::image;

/// A deployment `web` of a number of replicas that answer with their host name and version, and its service.
pub(crate) fn web(replicas: u32, version: &str) -> String {
    let image = image(&format!("web:{version}"));
    format!(
        r#"
apiVersion: apps/v1
kind: Deployment
metadata: {{name: web}}
spec:
  replicas: {replicas}
  selector: {{matchLabels: {{app: web}}}}
  strategy: {{type: RollingUpdate, rollingUpdate: {{maxUnavailable: 0, maxSurge: 1}}}}
  template:
    metadata: {{labels: {{app: web}}}}
    spec:
      terminationGracePeriodSeconds: 5
      containers:
      - name: web
        image: {image}
        ports: [{{containerPort: 8080, name: http}}]
        readinessProbe: {{httpGet: {{path: /, port: http}}, periodSeconds: 1}}
        lifecycle: {{preStop: {{exec: {{command: [sleep, "2"]}}}}}}
---
apiVersion: v1
kind: Service
metadata: {{name: web}}
spec:
  selector: {{app: web}}
  ports: [{{port: 80, targetPort: http}}]
"#
    )
}

/// A pod `client` that stays and has a shell.
pub(crate) fn start_client(cluster: &Cluster) {
    cluster.ok(&[
        "run",
        "client",
        &format!("--image={}", image("web:v1")),
        "--restart=Never",
        "--",
        "sleep",
        "3600",
    ]);
    cluster.ok(&["wait", "--for=condition=Ready", "pod/client", "--timeout=60s"]);
}

#[test]
fn three_replicas_answer_behind_their_service_by_name() {
    let cluster = Cluster::start();
    cluster.apply(&web(3, "v1"));
    cluster.ok(&["wait", "--for=condition=Available", "deployment/web", "--timeout=60s"]);
    start_client(&cluster);

    let answers = eventually("all three replicas answer", || {
        let script = "for i in $(seq 60); do curl -s http://web.default.svc.cluster.local/ || exit 1; done";
        let output = cluster.kubectl(&["exec", "client", "--", "sh", "-c", script]);
        let printed = String::from_utf8_lossy(&output.stdout);
        let names: BTreeSet<String> = printed.lines().map(str::to_owned).collect();
        (output.status.success() && names.len() == 3).then_some(names)
    });
    let pods = cluster.ok(&[
        "get",
        "pods",
        "-l",
        "app=web",
        "-o",
        "jsonpath={range .items[*]}{.metadata.name} v1{\"\\n\"}{end}",
    ]);
    assert_eq!(answers, pods.lines().map(str::to_owned).collect());

    // Search domains, and names of other kinds.
    assert!(cluster.ok(&["exec", "client", "--", "curl", "-s", "http://web/"]).contains("v1"));
    let looked_up = cluster.ok(&["exec", "client", "--", "nslookup", "kubernetes.default.svc.cluster.local"]);
    assert!(looked_up.contains("10.96.0.1"), "{looked_up}");
}

#[test]
fn a_pod_reaches_itself_the_host_and_the_outside() {
    let cluster = Cluster::start();
    cluster.apply(&web(1, "v1"));
    cluster.ok(&["wait", "--for=condition=Available", "deployment/web", "--timeout=60s"]);
    let hairpin = cluster.ok(&["exec", "deploy/web", "--", "curl", "-s", "-m5", "http://web/"]);
    assert!(hairpin.contains("v1"), "{hairpin}");
    for address in [crate::host::ADDRESS, crate::host::OUTSIDE] {
        cluster.ok(&["exec", "deploy/web", "--", "ping", "-c1", "-W5", address]);
    }
}
