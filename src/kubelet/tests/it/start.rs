//! Pods that start, or cannot.

use serde_json::json;

use crate::cluster::Cluster;

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_runs_with_its_environment_and_volumes() {
    let cluster = Cluster::ready().await;
    let configs = "/api/v1/namespaces/default/configmaps";
    cluster.api.put(configs, json!({"metadata": {"name": "cm", "namespace": "default"}, "data": {"k": "v"}}));
    let env = json!([
        {"name": "K", "valueFrom": {"configMapKeyRef": {"name": "cm", "key": "k"}}},
        {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
    ]);
    let mounts = json!([{"name": "config", "mountPath": "/config"}]);
    cluster.pod("web", json!({
        "containers": [{"name": "web", "image": "present", "env": env, "command": ["run", "$(K)"], "volumeMounts": mounts}],
        "volumes": [{"name": "config", "configMap": {"name": "cm"}}],
    }));
    let pod = cluster.until_status("web", "/containerStatuses/0/ready", json!(true)).await;
    assert_eq!(pod["status"]["phase"], "Running");
    assert_eq!(pod["status"]["podIP"], "10.1.0.5");
    assert_eq!(pod["status"]["hostIP"], "127.0.0.1");

    let container = cluster.runtime.container("web").unwrap();
    let value = |key: &str| container.config.envs.iter().find(|env| env.key == key).unwrap().value.clone();
    assert_eq!([value("K"), value("IP")], ["v", "10.1.0.5"]);
    assert_eq!(container.config.command, ["run", "v"]);
    let mount = container.config.mounts.iter().find(|mount| mount.container_path == "/config").unwrap();
    let file = std::path::Path::new(&mount.host_path).join("k");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "v");
    let message = cluster.until_event("Pulled").await;
    assert_eq!(
        message,
        "Container image \"present\" already present on machine and can be accessed by the pod"
    );

    cluster
        .api
        .put(configs, json!({"metadata": {"name": "cm", "namespace": "default"}, "data": {"k": "new"}}));
    crate::cluster::soon(async {
        // Whoever is on the way to the old one when that is replaced finds it gone.
        while !std::fs::read_to_string(&file).is_ok_and(|text| text == "new") {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_is_pulled_if_it_is_absent_and_the_failure_is_told_if_it_cannot_be() {
    let cluster = Cluster::ready().await;
    cluster.pod("web", json!({"containers": [{"name": "web", "image": "remote"}]}));
    cluster.until_status("web", "/phase", json!("Running")).await;
    assert_eq!(cluster.runtime.books(|books| books.pulled.clone()), ["remote:latest"]);

    cluster.pod("bad", json!({"containers": [{"name": "bad", "image": "missing:1"}]}));
    let waiting = "/containerStatuses/0/state/waiting/reason";
    cluster.until_status("bad", waiting, json!("ErrImagePull")).await;
    cluster
        .pod("never", json!({"containers": [{"name": "c", "image": "absent", "imagePullPolicy": "Never"}]}));
    cluster.until_status("never", waiting, json!("ErrImageNeverPull")).await;
    cluster.pod("name", json!({"containers": [{"name": "c", "image": "NOT A NAME"}]}));
    cluster.until_status("name", waiting, json!("InvalidImageName")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_config_map_is_waited_for() {
    let cluster = Cluster::ready().await;
    let from = json!([{"configMapRef": {"name": "late"}}]);
    cluster.pod("web", json!({"containers": [{"name": "web", "image": "present", "envFrom": from}]}));
    let waiting = "/containerStatuses/0/state/waiting";
    let expected = json!({"reason": "CreateContainerConfigError", "message": "configmap \"late\" not found"});
    cluster.until_status("web", waiting, expected).await;
    let configs = "/api/v1/namespaces/default/configmaps";
    cluster.api.put(configs, json!({"metadata": {"name": "late", "namespace": "default"}, "data": {}}));
    cluster.until_status("web", "/phase", json!("Running")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_type_of_volume_is_named() {
    let cluster = Cluster::ready().await;
    cluster.pod("web", json!({
        "containers": [{"name": "web", "image": "present", "volumeMounts": [{"name": "v", "mountPath": "/v"}]}],
        "volumes": [{"name": "v", "nfs": {"server": "s", "path": "/"}}],
    }));
    let message = cluster.until_event("FailedMount").await;
    assert_eq!(message, "MountVolume.SetUp failed for volume \"v\" : volume type nfs is not supported");
    cluster
        .until_status("web", "/containerStatuses/0/state/waiting/reason", json!("ContainerCreating"))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_does_not_fit_is_rejected() {
    let cluster = Cluster::ready().await;
    let resources = json!({"requests": {"cpu": "100000"}});
    cluster.pod("big", json!({"containers": [{"name": "c", "image": "present", "resources": resources}]}));
    let pod = cluster.until_status("big", "/phase", json!("Failed")).await;
    assert_eq!(pod["status"]["reason"], "OutOfcpu");
    assert!(cluster.runtime.container("c").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_was_refused_stays_refused_when_its_worker_panics() {
    let cluster = Cluster::ready().await;
    cluster.runtime.books(|books| books.panics_for = Some("uid-of-big".into()));
    let resources = json!({"requests": {"cpu": "100000"}});
    cluster.pod("big", json!({"containers": [{"name": "c", "image": "present", "resources": resources}]}));
    crate::cluster::soon(async {
        while cluster.runtime.books(|books| books.panics_for.is_some()) {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let pod = cluster.until_status("big", "/phase", json!("Failed")).await;
    assert_eq!(pod["status"]["reason"], "OutOfcpu");
    assert!(cluster.runtime.container("c").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn readiness_follows_the_probe() {
    let cluster = Cluster::ready().await;
    cluster.runtime.books(|books| books.exec_exit_code = 1);
    let probe = json!({"exec": {"command": ["ready"]}, "periodSeconds": 1, "failureThreshold": 1});
    cluster.pod("web", json!({"containers": [{"name": "web", "image": "present", "readinessProbe": probe}]}));
    assert_eq!(cluster.until_event("Unhealthy").await, "Readiness probe failed: not yet");
    let pod = cluster.until_status("web", "/phase", json!("Running")).await;
    assert_eq!(pod["status"]["containerStatuses"][0]["ready"], false);
    cluster.runtime.books(|books| books.exec_exit_code = 0);
    cluster.until_status("web", "/containerStatuses/0/ready", json!(true)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_shown_in_memory_and_taken_away_with_the_pod() {
    let cluster = Cluster::ready().await;
    let sources = json!([
        {"serviceAccountToken": {"path": "token", "expirationSeconds": 3600}},
        {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": {"fieldPath": "metadata.namespace"}}]}},
    ]);
    let mounts = json!([{"name": "token", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"}]);
    cluster.pod(
        "web",
        json!({
            "containers": [{"name": "web", "image": "present", "volumeMounts": mounts}],
            "volumes": [{"name": "token", "projected": {"sources": sources}}],
        }),
    );
    cluster.until_status("web", "/phase", json!("Running")).await;
    let mount = cluster.runtime.container("web").unwrap().config.mounts[0].clone();
    assert!(mount.readonly);
    let dir = std::path::PathBuf::from(mount.host_path);
    assert_eq!(std::fs::read_to_string(dir.join("token")).unwrap(), "the-token");
    assert_eq!(std::fs::read_to_string(dir.join("namespace")).unwrap(), "default");
    assert_eq!(cluster.mounts(), [dir]);
    cluster.api.remove(crate::cluster::PODS, "web");
    crate::cluster::soon(async {
        while !cluster.mounts().is_empty() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}
