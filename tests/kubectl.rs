//! The stock kubectl, command by command.

use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;

use crate::cluster::{Cluster, eventually};
use crate::deployment::{start_client, web};
use crate::host::both;
use crate::images::image;

/// Every piece of `expected` stands in what kubectl printed.
fn check(printed: &str, expected: &[&str]) {
    for piece in expected {
        assert!(printed.contains(piece), "{piece:?} is not in:\n{printed}");
    }
}

#[test]
fn objects_are_made_shown_changed_and_removed() {
    let cluster = Cluster::start();
    check(&cluster.ok(&["create", "configmap", "c", "--from-literal=a=1"]), &["configmap/c created"]);
    check(&cluster.fails(&["create", "configmap", "c"]), &["configmaps \"c\" already exists"]);
    check(&cluster.ok(&["get", "configmap", "c"]), &["NAME", "DATA", "AGE", "c      1"]);
    check(&cluster.ok(&["get", "configmap", "c", "-o", "yaml"]), &["kind: ConfigMap", "  a: \"1\""]);
    check(&cluster.ok(&["get", "configmap", "c", "-o", "json"]), &["\"kind\": \"ConfigMap\""]);
    assert_eq!(cluster.ok(&["get", "configmap", "c", "-o", "jsonpath={.data.a}"]), "1");
    check(&cluster.ok(&["label", "configmap", "c", "tier=gold"]), &["labeled"]);
    check(&cluster.ok(&["annotate", "configmap", "c", "note=x"]), &["annotated"]);
    check(&cluster.ok(&["get", "configmaps", "-l", "tier=gold", "-o", "name"]), &["configmap/c"]);
    check(&cluster.ok(&["patch", "configmap", "c", "-p", "{\"data\":{\"b\":\"2\"}}"]), &["patched"]);
    let json_patch = r#"[{"op":"remove","path":"/data/a"}]"#;
    check(&cluster.ok(&["patch", "configmap", "c", "--type=json", "-p", json_patch]), &["patched"]);
    assert_eq!(cluster.ok(&["get", "configmap", "c", "-o", "jsonpath={.data}"]), "{\"b\":\"2\"}");
    check(&cluster.ok(&["describe", "configmap", "c"]), &["Name:         c", "tier=gold", "b:"]);
    check(&cluster.ok(&["delete", "configmap", "c"]), &["deleted"]);
    check(&cluster.fails(&["get", "configmap", "c"]), &["configmaps \"c\" not found"]);
}

#[test]
fn manifests_are_applied_replaced_and_edited() {
    let cluster = Cluster::start();
    check(&cluster.apply(&web(1, "v1")), &["deployment.apps/web created", "service/web created"]);
    check(&cluster.apply(&web(1, "v1")), &["deployment.apps/web unchanged", "service/web unchanged"]);
    check(&cluster.apply(&web(2, "v1")), &["deployment.apps/web configured", "service/web unchanged"]);
    cluster.ok(&["rollout", "status", "deployment/web", "--timeout=60s"]);

    let live = cluster.ok(&["get", "deployment", "web", "-o", "json"]);
    let mut changed: serde_json::Value = serde_json::from_str(&live).unwrap();
    changed["spec"]["replicas"] = 1.into();
    // The controllers write its status meanwhile; this is to replace it whatever it has become.
    changed["metadata"].as_object_mut().unwrap().remove("resourceVersion");
    let mut replace = cluster.kubectl_command();
    let piped = replace.args(["replace", "-f", "-"]).stdin(Stdio::piped());
    let mut child = piped.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(changed.to_string().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", both(&output));
    check(&both(&output), &["deployment.apps/web replaced"]);

    let edit = |editor: &str| {
        let output =
            cluster.kubectl_command().args(["edit", "deployment", "web"]).env("EDITOR", editor).output();
        String::from_utf8_lossy(&output.unwrap().stdout).into_owned()
    };
    check(&edit("sed -i 's/  replicas: 1$/  replicas: 3/'"), &["deployment.apps/web edited"]);
    assert_eq!(cluster.ok(&["get", "deployment", "web", "-o", "jsonpath={.spec.replicas}"]), "3");
    check(
        &cluster.ok(&["get", "deployments", "-o", "wide"]),
        &["UP-TO-DATE", "CONTAINERS", "IMAGES", "app=web"],
    );
    check(
        &cluster.ok(&["get", "all"]),
        &["pod/web-", "service/web", "deployment.apps/web", "replicaset.apps/web-"],
    );
    check(
        &cluster.fails(&[
            "patch",
            "deployment",
            "web",
            "-p",
            "{\"spec\":{\"selector\":{\"matchLabels\":{\"a\":\"b\"}}}}",
        ]),
        &["spec.selector: Invalid value", "field is immutable"],
    );
}

#[test]
fn bad_input_gets_upstreams_answer() {
    let cluster = Cluster::start();
    let create = |manifest: &str| {
        let file = cluster.data.with_extension("bad.yaml");
        std::fs::write(&file, manifest).unwrap();
        let printed = cluster.fails(&["create", "-f", file.to_str().unwrap()]);
        std::fs::remove_file(file).unwrap();
        printed
    };
    check(
        &create("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: Bad_Name}\n"),
        &[
            "The ConfigMap \"Bad_Name\" is invalid: metadata.name: Invalid value: \"Bad_Name\": a lowercase RFC 1123 subdomain",
        ],
    );
    check(
        &create("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\nspec: {a: 1}\n"),
        &["strict decoding error: unknown field \"spec\""],
    );
    check(
        &create("apiVersion: v1\nkind: Pod\nmetadata: {name: x}\nspec: {}\n"),
        &["The Pod \"x\" is invalid: spec.containers: Required value"],
    );
    check(
        &create("apiVersion: v1\nkind: Pod\nmetadata: {name: x}\nspec: {containers: 5}\n"),
        &["cannot unmarshal number into Go struct field PodSpec.spec.containers of type []v1.Container"],
    );
    let unheard = cluster.data.with_extension("unheard.yaml");
    std::fs::write(&unheard, "apiVersion: v1\nkind: Unheard\nmetadata: {name: x}\n").unwrap();
    check(
        &cluster.fails(&["create", "--validate=false", "-f", unheard.to_str().unwrap()]),
        &["no matches for kind \"Unheard\" in version \"v1\""],
    );
    std::fs::remove_file(unheard).unwrap();
}

#[test]
fn pods_are_run_watched_entered_and_read() {
    let cluster = Cluster::start();
    start_client(&cluster);
    check(
        &cluster.ok(&["get", "pods", "-o", "wide"]),
        &["STATUS", "NODE", "READINESS GATES", "Running", "node-1"],
    );
    check(
        &cluster.ok(&["describe", "pod", "client"]),
        &[
            "Scheduled",
            "Successfully assigned default/client to node-1",
            "Started",
            "QoS Class:",
            "BestEffort",
        ],
    );
    cluster.ok(&[
        "run",
        "talk",
        &format!("--image={}", image("web:v1")),
        "--restart=Never",
        "--",
        "sh",
        "-c",
        "for i in 1 2 3; do echo line $i; sleep 0.3; done",
    ]);
    eventually("it has started", || {
        let state =
            cluster.ok(&["get", "pod", "talk", "-o", "jsonpath={.status.containerStatuses[0].state}"]);
        (state.contains("running") || state.contains("terminated")).then_some(())
    });
    assert_eq!(cluster.ok(&["logs", "-f", "talk"]), "line 1\nline 2\nline 3\n");
    assert_eq!(cluster.ok(&["logs", "talk", "--tail=1"]), "line 3\n");
    cluster.ok(&["wait", "--for=jsonpath={.status.phase}=Succeeded", "pod/talk", "--timeout=60s"]);

    assert_eq!(cluster.ok(&["exec", "client", "--", "sh", "-c", "echo $VERSION"]), "v1\n");
    check(&cluster.fails(&["exec", "client", "--", "sh", "-c", "exit 4"]), &["exit code 4"]);
    let mut child = cluster
        .kubectl_command()
        .args(["exec", "-i", "client", "--", "cat"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"through and back\n").unwrap();
    assert_eq!(child.wait_with_output().unwrap().stdout, b"through and back\n");
    let script = "kubectl exec -it client -- sh -c 'stty size; tty'";
    let typed = cluster
        .host
        .command("script")
        .args(["-qec", script, "/dev/null"])
        .env("KUBECONFIG", cluster.kubeconfig())
        .output()
        .unwrap();
    check(&String::from_utf8_lossy(&typed.stdout), &["/dev/pts/"]);

    let mut watch = cluster.kubectl_command();
    // With a limit, so that the test fails and does not hang when an event never comes.
    let arguments = ["get", "pods", "-w", "--output-watch-events", "--no-headers", "--request-timeout=120s"];
    let mut watch = watch.args(arguments).stdout(Stdio::piped()).spawn().unwrap();
    let mut seen = BufReader::new(watch.stdout.take().unwrap()).lines().map(|line| {
        let line = line.unwrap();
        line.split_whitespace().take(2).collect::<Vec<_>>().join(" ")
    });
    assert_eq!(seen.by_ref().take(2).collect::<Vec<_>>(), ["ADDED client", "ADDED talk"]);
    cluster.ok(&["delete", "pod", "talk"]);
    assert!(seen.any(|event| event == "DELETED talk"), "the watch ended without a word of what was deleted");
    watch.kill().unwrap();
    watch.wait().unwrap();
}

#[test]
fn the_cluster_explains_itself() {
    let cluster = Cluster::start();
    check(&cluster.ok(&["version"]), &["Server Version: v1.36"]);
    check(&cluster.ok(&["cluster-info"]), &["Kubernetes control plane", "is running at"]);
    let resources = cluster.ok(&["api-resources"]);
    let rows: Vec<Vec<&str>> = resources.lines().map(|row| row.split_whitespace().collect()).collect();
    assert!(rows.contains(&vec!["pods", "po", "v1", "true", "Pod"]), "{resources}");
    assert!(rows.contains(&vec!["deployments", "deploy", "apps/v1", "true", "Deployment"]), "{resources}");
    check(&cluster.ok(&["api-versions"]), &["apps/v1", "rbac.authorization.k8s.io/v1"]);
    check(
        &cluster.ok(&["explain", "pod.spec.containers.image"]),
        &["KIND:       Pod", "FIELD: image <string>", "DESCRIPTION:"],
    );
    assert_eq!(cluster.ok(&["auth", "can-i", "create", "pods"]), "yes\n");
    assert_eq!(
        cluster.fails(&["auth", "can-i", "create", "pods", "--as=system:serviceaccount:default:default"]),
        "no\n"
    );
    check(&cluster.ok(&["auth", "whoami"]), &["kubernetes-admin", "system:masters"]);
    let token = cluster.ok(&["create", "token", "default"]);
    let refused = cluster.fails(&[
        "--token",
        token.trim(),
        "--kubeconfig",
        "/dev/null",
        "--server",
        "https://127.0.0.1:6443",
        "--insecure-skip-tls-verify",
        "get",
        "pods",
    ]);
    check(
        &refused,
        &["pods is forbidden: User \"system:serviceaccount:default:default\" cannot list resource \"pods\""],
    );
    check(&cluster.ok(&["get", "--raw", "/readyz?verbose"]), &["readyz check passed"]);
    check(&cluster.ok(&["get", "nodes", "-o", "wide"]), &["node-1", "Ready", "coxswain://"]);
    check(&cluster.ok(&["get", "namespaces"]), &["default", "kube-node-lease", "kube-public", "kube-system"]);
}
