//! A cluster and its machine: two side by side, clear refusals, images from archives, nothing left after `reset`.

use crate::cluster::{Cluster, SERVER, binary, eventually, scratch, text};
use crate::host::{both, succeed};
use crate::images::layout;

#[test]
fn what_is_in_use_or_wrong_is_said_in_one_line() {
    let cluster = Cluster::start();
    let refused = |arguments: &[&str]| {
        let output = cluster.host.command(binary()).arg("server").args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        both(&output).trim_end().to_owned()
    };
    let other = scratch("other");
    for (arguments, expected) in [
        (&["--data-dir", text(&cluster.data), "--port", "7443"][..], "is in use by process"),
        (&["--data-dir", text(&other)], "cannot listen on 0.0.0.0:6443"),
        (&["--data-dir", text(&other), "--cluster-cidr", "10.96.0.0/12"], "overlap"),
        (&["--data-dir", text(&other), "--config", "/does/not/exist"], "cannot read the config file"),
    ] {
        let printed = refused(arguments);
        assert!(printed.contains(expected) && printed.lines().count() == 1, "{arguments:?}: {printed}");
    }
    let reset = cluster.coxswain(&["reset"]);
    assert!(both(&reset).contains("in use by process"), "{}", both(&reset));
}

#[test]
fn two_clusters_run_side_by_side() {
    let cluster = Cluster::start();
    let data = scratch("second");
    let mut second = cluster
        .host
        .command(binary())
        .args(SERVER)
        .args(["--port", "7443", "--node-name", "node-2"])
        .args([
            "--cluster-cidr",
            "10.245.0.0/16",
            "--service-cidr",
            "10.97.0.0/16",
            "--data-dir",
            text(&data),
        ])
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let kubectl = |arguments: &[&str]| {
        cluster.kubectl_command().args(arguments).env("KUBECONFIG", data.join("kubeconfig")).output().unwrap()
    };
    let image = crate::images::image("web:v1");
    eventually("both are Ready", || {
        kubectl(&["wait", "--for=condition=Ready", "node/node-2", "--timeout=5s"])
            .status
            .success()
            .then_some(())
    });
    eventually("a pod can be made", || {
        kubectl(&["run", "there", &format!("--image={image}")]).status.success().then_some(())
    });
    cluster.ok(&["run", "here", &format!("--image={image}")]);
    cluster.ok(&["wait", "--for=condition=Ready", "pod/here", "--timeout=60s"]);
    let waited = kubectl(&["wait", "--for=condition=Ready", "pod/there", "--timeout=60s"]);
    assert!(waited.status.success(), "{}", both(&waited));
    assert!(both(&kubectl(&["get", "pods", "-o", "wide"])).contains("10.245."));

    second.kill().unwrap();
    second.wait().unwrap();
    succeed(cluster.host.command(binary()).args(["reset", "--data-dir", text(&data)]));
    cluster.ok(&["exec", "here", "--", "curl", "-s", "http://127.0.0.1:8080/"]);
}

#[test]
fn a_cluster_is_removed_though_its_directory_is_gone() {
    let mut cluster = Cluster::start();
    cluster.ok(&["run", "stays", &format!("--image={}", crate::images::image("web:v1"))]);
    cluster.ok(&["wait", "--for=condition=Ready", "pod/stays", "--timeout=60s"]);
    cluster.kill_server();
    for mount in cluster.mounts().iter().rev() {
        succeed(std::process::Command::new("umount").args(["--lazy", mount]));
    }
    std::fs::remove_dir_all(&cluster.data).unwrap();
    assert!(!cluster.cgroups().is_empty(), "its containers go on");
    let reset = cluster.coxswain(&["reset"]);
    assert!(reset.status.success(), "{}", both(&reset));
    assert!(both(&reset).contains("does not exist"), "{}", both(&reset));
    // That nothing is left is seen when the cluster is dropped.
}

#[test]
fn images_come_from_archives_while_the_server_runs() {
    let cluster = Cluster::start();
    let layout = layout(&scratch("archive"), "v1");
    let archive = layout.with_extension("tar");
    succeed(cluster.host.command("skopeo").args(["copy", "--insecure-policy", "--quiet"]).args([
        format!("oci:{}:latest", layout.display()),
        format!("docker-archive:{}:example.test/local/web:v9", archive.display()),
    ]));
    let imported = cluster.coxswain(&["image", "import", text(&archive)]);
    assert!(both(&imported).contains("example.test/local/web:v9"), "{}", both(&imported));
    assert!(both(&cluster.coxswain(&["image", "ls"])).contains("example.test/local/web:v9"));
    cluster.ok(&["run", "local", "--image=example.test/local/web:v9", "--image-pull-policy=Never"]);
    cluster.ok(&["wait", "--for=condition=Ready", "pod/local", "--timeout=60s"]);
    cluster.ok(&["delete", "pod", "local", "--now"]);
    let removed = cluster.coxswain(&["image", "rm", "example.test/local/web:v9"]);
    assert!(removed.status.success(), "{}", both(&removed));
    assert!(!both(&cluster.coxswain(&["image", "ls"])).contains("example.test/local/web:v9"));
}
