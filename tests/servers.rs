//! Several servers over one TiKV: whichever is killed, the cluster goes on.
//!
//! They need PD and unistore, which take minutes to build from their modules: `hack/servers` does that and runs these.

use std::time::Instant;

use crate::cluster::eventually;
use crate::site::{IMAGE, Site};

const DEPLOYMENT: &str = "apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 1
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
      - name: web
        image: IMAGE
        readinessProbe: {httpGet: {path: /, port: 8080}, periodSeconds: 1}
";

/// Who holds the lease of a component: the server's name; nothing when the server that was asked does not say.
fn leader_if_told(site: &Site, component: &str) -> Option<String> {
    let holder = "jsonpath={.spec.holderIdentity}";
    let told = site.kubectl(&["get", "lease", component, "-n", "kube-system", "-o", holder]);
    let holder = String::from_utf8(told.stdout).unwrap();
    told.status.success().then(|| holder.split('_').next().unwrap_or_default().to_owned())
}

fn leader(site: &Site, component: &str) -> String {
    leader_if_told(site, component).expect("the lease is told")
}

/// Waits until the API's own endpoints are these addresses.
fn until_endpoints(site: &Site, wanted: &str) {
    let addresses = "jsonpath={.subsets[*].addresses[*].ip}";
    site.until("the API's endpoints", &["get", "endpoints", "kubernetes", "-o", addresses], |ips| {
        ips == wanted
    });
    let addresses = "jsonpath={.endpoints[*].addresses[*]}";
    site.until("and their slice", &["get", "endpointslice", "kubernetes", "-o", addresses], |ips| {
        ips == wanted
    });
}

/// Kills a server and waits until everything that it did is done by the other. Prints how long that took.
fn kill_and_go_on(site: &Site, lost: &str, left: &str, left_address: &str, replicas: usize) {
    let led = ["kube-scheduler", "kube-controller-manager"].map(|component| leader(site, component));
    site.run(&["kill", lost]);
    let killed = Instant::now();
    let took =
        |what: &str| println!("{what} {:.1} s after {lost} was killed", killed.elapsed().as_secs_f32());
    let name = format!("after-{lost}");
    eventually("a write is taken", || {
        let create = ["create", "configmap", &name, "--request-timeout=5s"];
        site.kubectl(&create).status.success().then_some(())
    });
    took("the API took a write");
    let replicas = replicas.to_string();
    site.ok(&["scale", "deployment", "web", "--replicas", &replicas]);
    // A pod that is there was made by controllers, placed by a scheduler and started by a node that found another server.
    site.ok(&["rollout", "status", "deployment/web", "--timeout=120s"]);
    took(&format!("controllers and scheduler (led by {led:?}) had new pods running"));
    for component in ["kube-scheduler", "kube-controller-manager"] {
        assert_eq!(leader(site, component), left, "{component}");
    }
    until_endpoints(site, left_address);
    took("the API's endpoints were true");
    site.ok(&["wait", "--for=condition=Ready", "node/agent-1", "node/agent-2", "--timeout=60s"]);
}

#[test]
#[ignore = "needs PD and unistore: hack/servers builds them and runs this"]
fn whichever_of_two_servers_is_killed_api_controllers_and_scheduler_go_on() {
    let site = Site::over_tikv(2, 2, &["--without-node"]);
    site.apply(&DEPLOYMENT.replace("IMAGE", IMAGE));
    site.ok(&["rollout", "status", "deployment/web", "--timeout=120s"]);
    until_endpoints(&site, "192.0.2.11 192.0.2.12");
    let transitions =
        ["get", "lease", "kube-scheduler", "-n", "kube-system", "-o", "jsonpath={.spec.leaseTransitions}"];
    assert_eq!(site.ok(&transitions), "0", "two servers do not take the lease from each other");

    kill_and_go_on(&site, "server-1", "server-2", "192.0.2.12", 2);
    site.run(&["start", "server-1"]);
    until_endpoints(&site, "192.0.2.11 192.0.2.12");
    // It follows; it does not take anything back.
    assert_eq!(leader(&site, "kube-scheduler"), "server-2");
    kill_and_go_on(&site, "server-2", "server-1", "192.0.2.11", 3);
    let kept = site.ok(&["get", "configmaps", "-o", "name"]);
    assert!(kept.contains("after-server-1") && kept.contains("after-server-2"), "{kept}");
}

#[test]
#[ignore = "needs PD and unistore: hack/servers builds them and runs this"]
fn a_server_that_is_stopped_hands_over_at_once() {
    let site = Site::over_tikv(2, 0, &["--without-node"]);
    until_endpoints(&site, "192.0.2.11 192.0.2.12");
    let first = leader(&site, "kube-scheduler");
    let (other, address) =
        if first == "server-1" { ("server-2", "192.0.2.12") } else { ("server-1", "192.0.2.11") };
    let stopped = Instant::now();
    site.on(&first, &["sh", "-c", "kill -TERM $(pidof coxswain)"]);
    eventually("the other leads", || {
        // The one that is stopping may still be asked.
        let components = ["kube-scheduler", "kube-controller-manager"];
        components
            .iter()
            .all(|component| leader_if_told(&site, component).is_some_and(|led| led == other))
            .then_some(())
    });
    println!("the other led {:.1} s after {first} was told to stop", stopped.elapsed().as_secs_f32());
    until_endpoints(&site, address);
}
