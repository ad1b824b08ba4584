//! What breaks is mended: killed containers, deleted pods, deleted namespaces; and what cannot start says why.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::cluster::{Cluster, eventually};
use crate::deployment::web;
use crate::images::image;

#[test]
fn a_killed_container_is_restarted_with_back_off() {
    let cluster = Cluster::start();
    let uid = || cluster.ok(&["get", "pod", "flaky", "-o", "jsonpath={.metadata.uid}"]);
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
    // The first restart is at once, the second 10 s after the container's end, the third 20 s.
    let backing_off = |delay: &str| {
        eventually(&format!("it waits for {delay} in CrashLoopBackOff"), || {
            let message = waiting(&cluster, "flaky", "CrashLoopBackOff");
            let expected =
                format!("back-off {delay} restarting failed container=flaky pod=flaky_default({})", uid());
            (message == expected).then_some(())
        });
        let status =
            "jsonpath={.status.containerStatuses[0]['restartCount','lastState.terminated.exitCode']}";
        cluster.ok(&["get", "pod", "flaky", "-o", status])
    };
    assert_eq!(backing_off("10s"), "1 3");
    assert_eq!(backing_off("20s"), "2 3");
    let message = format!("Back-off restarting failed container flaky in pod flaky_default({})", uid());
    let told = event(&cluster, "flaky", ("Warning", "BackOff", &message), 2);
    // From one back-off to the next it has waited for the first.
    assert!(span_s(&told) >= 10, "{told}");
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

/// A pod of one container, as JSON.
fn pod(name: &str, container: &Value) -> String {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": {"containers": [container]}})
        .to_string()
}

/// Waits until the pod's container waits for `reason`, and returns its status' message.
fn waiting(cluster: &Cluster, pod: &str, reason: &str) -> String {
    eventually(&format!("{pod} waits because of {reason}"), || {
        let path = "jsonpath={.status.containerStatuses[0].state.waiting}";
        let waiting: Value =
            serde_json::from_str(&cluster.ok(&["get", "pod", pod, "-o", path])).unwrap_or_default();
        (waiting["reason"] == reason).then(|| waiting["message"].as_str().unwrap_or_default().to_owned())
    })
}

/// Waits for an event of the pod whose message begins so, `count` times, and returns it.
fn event(cluster: &Cluster, pod: &str, (kind, reason, message): (&str, &str, &str), count: i64) -> Value {
    let selector = format!("--field-selector=involvedObject.name={pod},reason={reason},type={kind}");
    eventually(&format!("{pod} has {count} events {reason} that say: {message}"), || {
        let list: Value =
            serde_json::from_str(&cluster.ok(&["get", "events", "-o", "json", &selector])).unwrap();
        let says = |event: &&Value| {
            event["message"].as_str().unwrap().starts_with(message) && event["count"].as_i64() >= Some(count)
        };
        list["items"].as_array().unwrap().iter().find(says).cloned()
    })
}

/// Seconds from the first to the last time that an event happened.
fn span_s(event: &Value) -> i64 {
    let time = |name: &str| event[name].as_str().unwrap().parse::<Timestamp>().unwrap();
    time("lastTimestamp").duration_since(time("firstTimestamp")).as_secs()
}

#[test]
fn an_image_that_cannot_be_pulled_is_told_and_tried_again_later_and_later() {
    let cluster = Cluster::start();
    let (unknown, down) = (image("absent:v1"), "127.0.0.1:5999/test/web:v1".to_owned());
    let causes = [("unknown", &unknown, "not found"), ("down", &down, "Connection refused")];
    for (name, image, _) in causes {
        cluster.ok(&["run", name, &format!("--image={image}")]);
    }
    for (name, image, cause) in causes {
        let failed = format!("Failed to pull image {image:?}: failed to pull and unpack image {image:?}: ");
        let failed = event(&cluster, name, ("Warning", "Failed", &failed), 1);
        assert!(failed["message"].as_str().unwrap().contains(cause), "{failed}");
        event(&cluster, name, ("Warning", "Failed", "Error: ErrImagePull"), 1);
        let message = waiting(&cluster, name, "ImagePullBackOff");
        let begins = format!("Back-off pulling image {image:?}: ErrImagePull: failed to pull");
        assert!(message.starts_with(&begins) && message.contains(cause), "{message}");
        event(&cluster, name, ("Normal", "BackOff", &format!("Back-off pulling image {image:?}")), 1);
        event(&cluster, name, ("Warning", "Failed", "Error: ImagePullBackOff"), 1);
    }
    // 10 s to the second attempt, 20 s more to the third; events tell whole seconds.
    for (name, image, _) in causes {
        let third = event(&cluster, name, ("Normal", "Pulling", &format!("Pulling image {image:?}")), 3);
        assert!(span_s(&third) >= 29, "{third}");
    }
    // And once there is a way, the pod starts.
    cluster.ok(&["set", "image", "pod/down", &format!("down={}", image("web:v1"))]);
    cluster.ok(&["wait", "--for=condition=Ready", "pod/down", "--timeout=90s"]);
}

#[test]
fn a_container_that_cannot_be_configured_or_started_says_why_and_harms_nothing_else() {
    let cluster = Cluster::start();
    let image = image("web:v1");
    let reference = json!({"name": "A", "valueFrom": {"configMapKeyRef": {"name": "none", "key": "k"}}});
    cluster.apply(&pod("unset", &json!({"name": "c", "image": image, "env": [reference]})));
    cluster.apply(&pod("misnamed", &json!({"name": "c", "image": "Not/A/Name!"})));
    cluster.apply(&pod("never", &json!({"name": "c", "image": "absent:v1", "imagePullPolicy": "Never"})));
    cluster.apply(&pod("nothing", &json!({"name": "c", "image": image, "command": ["/no/such/program"]})));

    let missing = "configmap \"none\" not found";
    assert_eq!(waiting(&cluster, "unset", "CreateContainerConfigError"), missing);
    event(&cluster, "unset", ("Warning", "Failed", &format!("Error: {missing}")), 1);

    let invalid =
        "Failed to apply default image tag \"Not/A/Name!\": couldn't parse image name \"Not/A/Name!\": ";
    assert!(waiting(&cluster, "misnamed", "InvalidImageName").starts_with(invalid));
    event(&cluster, "misnamed", ("Warning", "InspectFailed", invalid), 1);
    event(&cluster, "misnamed", ("Warning", "Failed", "Error: InvalidImageName"), 1);

    let absent = "Container image \"absent:v1\" is not present with pull policy of Never";
    assert_eq!(waiting(&cluster, "never", "ErrImageNeverPull"), absent);
    event(&cluster, "never", ("Warning", "ErrImageNeverPull", absent), 1);
    event(&cluster, "never", ("Warning", "Failed", "Error: ErrImageNeverPull"), 1);

    // What failed to start has ended, too: with 128, and from the second time on it backs off, twice as long each time.
    let failed = event(&cluster, "nothing", ("Warning", "Failed", "Error: "), 1);
    assert!(failed["message"].as_str().unwrap().contains("/no/such/program"), "{failed}");
    let message = waiting(&cluster, "nothing", "CrashLoopBackOff");
    let back_off =
        |seconds: u32| format!("back-off {seconds}s restarting failed container=c pod=nothing_default(");
    assert!([10, 20, 40].into_iter().any(|seconds| message.starts_with(&back_off(seconds))), "{message}");
    let ended = "jsonpath={.status.containerStatuses[0].lastState.terminated['exitCode','reason']}";
    assert_eq!(cluster.ok(&["get", "pod", "nothing", "-o", ended]), "128 StartError");

    cluster.ok(&["run", "fine", &format!("--image={image}")]);
    cluster.ok(&["wait", "--for=condition=Ready", "pod/fine", "--timeout=60s"]);
    cluster.ok(&["create", "configmap", "none", "--from-literal=k=v"]);
    cluster.ok(&["wait", "--for=condition=Ready", "pod/unset", "--timeout=60s"]);
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
