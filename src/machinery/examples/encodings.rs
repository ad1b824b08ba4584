//! What an object costs in each encoding: `cargo run --release -p coxswain-machinery --example encodings`.
#![allow(clippy::unwrap_used)]

use std::hint::black_box;

use coxswain_machinery::gvk::GroupVersionKind;
use coxswain_machinery::{json, protobuf, schema};
use serde_json::{Value, json};

const BATCHES: u32 = 8;
const ROUNDS: u32 = 5_000;

fn main() {
    let kind = GroupVersionKind::new("", "v1", "Pod");
    let of = schema::of(&kind).unwrap();
    let stored = schema::canonical(&json::Tree::from_value(&pod()), of);
    let tree = json::parse(&stored).unwrap().tree;
    let binary = protobuf::encode(&tree, of, &kind);
    println!("a pod of {} bytes of JSON, {} of protobuf", stored.len(), binary.len());
    time("JSON to tree", || drop(black_box(json::parse(&stored).unwrap())));
    time("tree to protobuf", || drop(black_box(protobuf::message(&tree, of))));
    time("JSON to protobuf: an item of a list, an event for all its watchers", || {
        drop(black_box(protobuf::message(&json::parse(&stored).unwrap().tree, of)));
    });
    time("protobuf to tree: a body", || drop(black_box(protobuf::decode(&binary, &kind).unwrap())));
    time("tree to JSON", || drop(black_box(tree.to_vec())));
    let mut out = Vec::new();
    time("JSON event to a watcher", || {
        out.clear();
        out.extend_from_slice(b"{\"type\":\"ADDED\",\"object\":");
        out.extend_from_slice(black_box(&stored));
        out.extend_from_slice(b"}\n");
    });
    time("protobuf event to a further watcher", || {
        out.clear();
        protobuf::event("ADDED", black_box(&binary), &mut out);
    });
}

/// Prints the CPU time of the best of some batches: the others were disturbed.
fn time(what: &str, mut act: impl FnMut()) {
    let batch = |_| {
        let before = cpu_ns();
        (0..ROUNDS).for_each(|_| act());
        cpu_ns() - before
    };
    let best = (0..BATCHES).map(batch).min().unwrap();
    println!("{what}: {:.2} µs", best as f64 / 1e3 / f64::from(ROUNDS));
}

/// What the scheduler has given this thread so far.
fn cpu_ns() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    text.split(' ').next().unwrap().parse().unwrap()
}

/// A pod such as clusters are full of.
fn pod() -> Value {
    let container = |name: &str| {
        json!({
            "name": name, "image": format!("registry.example.com/team/{name}:v1.2.3"), "command": ["/bin/server"],
            "args": ["--listen=:8080", "--log-level=info"],
            "ports": [{"name": "http", "containerPort": 8080, "protocol": "TCP"}],
            "env": [
                {"name": "POD_NAME", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.name"}}},
                {"name": "MODE", "value": "production"}, {"name": "REGION", "value": "somewhere"},
            ],
            "resources": {"limits": {"cpu": "500m", "memory": "256Mi"}, "requests": {"cpu": "100m", "memory": "128Mi"}},
            "volumeMounts": [
                {"name": "data", "mountPath": "/data"},
                {"name": "kube-api-access-x7k2p", "readOnly": true, "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"},
            ],
            "livenessProbe": {"httpGet": {"path": "/healthz", "port": 8080, "scheme": "HTTP"}, "timeoutSeconds": 1,
                "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3},
            "readinessProbe": {"httpGet": {"path": "/readyz", "port": "http", "scheme": "HTTP"}, "timeoutSeconds": 1,
                "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3},
            "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File", "imagePullPolicy": "IfNotPresent",
        })
    };
    let condition = |name: &str| json!({"type": name, "status": "True", "lastProbeTime": null, "lastTransitionTime": "2026-01-02T03:04:05Z"});
    let status = |name: &str| {
        json!({
            "name": name, "state": {"running": {"startedAt": "2026-01-02T03:04:05Z"}}, "lastState": {}, "ready": true,
            "restartCount": 0, "image": format!("registry.example.com/team/{name}:v1.2.3"),
            "imageID": format!("registry.example.com/team/{name}@sha256:{}", "0123456789abcdef".repeat(4)),
            "containerID": format!("coxswain://{}", "fedcba9876543210".repeat(4)), "started": true,
        })
    };
    let conditions = ["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"]
        .map(condition);
    json!({
        "kind": "Pod", "apiVersion": "v1",
        "metadata": {
            "name": "web-6bf8688444-k9t5h", "generateName": "web-6bf8688444-", "namespace": "default",
            "uid": "0d5a4c8e-4a0e-4a3e-9c53-0d6b5f1c2a77", "resourceVersion": "123456", "creationTimestamp": "2026-01-02T03:04:05Z",
            "labels": {"app": "web", "pod-template-hash": "6bf8688444", "tier": "front"},
            "annotations": {"example.com/config-hash": "0123456789abcdef0123456789abcdef"},
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-6bf8688444",
                "uid": "7f1f6a1e-2f5c-4ed1-8b26-0a7d9c6f3b11", "controller": true, "blockOwnerDeletion": true}],
        },
        "spec": {
            "volumes": [
                {"name": "data", "emptyDir": {}},
                {"name": "kube-api-access-x7k2p", "projected": {"defaultMode": 420, "sources": [
                    {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
                    {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
                    {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}]}},
                ]}},
            ],
            "containers": [container("web"), container("sidecar")],
            "restartPolicy": "Always", "terminationGracePeriodSeconds": 30, "dnsPolicy": "ClusterFirst",
            "serviceAccountName": "default", "serviceAccount": "default", "nodeName": "node-1", "securityContext": {},
            "schedulerName": "default-scheduler", "priority": 0, "enableServiceLinks": true, "preemptionPolicy": "PreemptLowerPriority",
            "tolerations": [
                {"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300},
                {"key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300},
            ],
        },
        "status": {
            "phase": "Running",
            "conditions": conditions,
            "hostIP": "192.0.2.10", "hostIPs": [{"ip": "192.0.2.10"}], "podIP": "10.244.0.5", "podIPs": [{"ip": "10.244.0.5"}],
            "startTime": "2026-01-02T03:04:05Z", "containerStatuses": [status("web"), status("sidecar")], "qosClass": "Burstable",
        },
    })
}
