//! What a node needs to join, and afterwards: `cluster-info`, and who (nodes, and the controllers that upstream does not
//! have) may do what. Names and rules are kubeadm's where
//! kubeadm has them, so that its tools and documentation hold here; those that begin with `coxswain:` are ours (decision
//! 0010).

use anyhow::Context;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding};
use serde_json::{Value, json};

use super::{Joining, put_in, put_out};
use crate::node;
use crate::settings;
use crate::token::GROUP as BOOTSTRAPPERS;

const RBAC: &str = "rbac.authorization.k8s.io";
const INFO: &str = "kubeadm:bootstrap-signer-clusterinfo";
const GET_NODES: &str = "kubeadm:get-nodes";
const NODE: &str = "coxswain:node";
const SETTINGS: &str = "coxswain:settings";
const APPROVER: &str = "coxswain:kubelet-serving-approver";
const DNS_ENDPOINTS: &str = "coxswain:dns-endpoints-controller";

/// Writes all of it, kind beside kind.
pub(super) async fn write(client: &kube::Client, joining: &Joining) -> anyhow::Result<()> {
    tokio::try_join!(
        put_in::<ConfigMap>(client, cluster_info(joining)?),
        async {
            for role in roles() {
                put_in::<Role>(client, role).await?;
            }
            Ok(())
        },
        async {
            for binding in bindings() {
                put_in::<RoleBinding>(client, binding).await?;
            }
            Ok(())
        },
        async {
            for role in cluster_roles() {
                put_out::<ClusterRole>(client, role).await?;
            }
            Ok(())
        },
        async {
            for binding in cluster_bindings() {
                put_out::<ClusterRoleBinding>(client, binding).await?;
            }
            Ok(())
        },
    )?;
    Ok(())
}

/// Readable by everybody: it holds no secret. Tokens sign it.
fn cluster_info(joining: &Joining) -> anyhow::Result<Value> {
    let kubeconfig = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "", "cluster": {
            "server": joining.server,
            "certificate-authority-data": BASE64.encode(&joining.authority),
        }}],
    });
    let kubeconfig = serde_saphyr::to_string(&kubeconfig).context("cannot write cluster-info")?;
    Ok(json!({
        "metadata": {"name": "cluster-info", "namespace": "kube-public"},
        "data": {"kubeconfig": kubeconfig},
    }))
}

fn roles() -> [Value; 3] {
    let slices = ["create", "delete", "list", "update"];
    [
        role("kube-public", INFO, &[rule(&["get"], "", &["configmaps"], &["cluster-info"])]),
        role(settings::NAMESPACE, SETTINGS, &[rule(&["get"], "", &["configmaps"], &[settings::NAME])]),
        role("kube-system", DNS_ENDPOINTS, &[rule(&slices, "discovery.k8s.io", &["endpointslices"], &[])]),
    ]
}

fn bindings() -> [Value; 3] {
    [
        binding("kube-public", INFO, "Role", INFO, &[user("system:anonymous")]),
        binding(
            settings::NAMESPACE,
            SETTINGS,
            "Role",
            SETTINGS,
            &[group(objects::bootstrap_token::GROUP), group(node::GROUP)],
        ),
        binding("kube-system", DNS_ENDPOINTS, "Role", DNS_ENDPOINTS, &[account("dns-endpoints-controller")]),
    ]
}

fn cluster_roles() -> [Value; 3] {
    const CERTIFICATES: &str = "certificates.k8s.io";
    let read = ["list", "watch"];
    [
        role("", GET_NODES, &[rule(&["get"], "", &["nodes"], &[])]),
        role(
            "",
            NODE,
            &[
                rule(&read, "", &["namespaces", "nodes"], &[]),
                rule(&read, "discovery.k8s.io", &["endpointslices"], &[]),
            ],
        ),
        role(
            "",
            APPROVER,
            &[
                rule(&["update"], CERTIFICATES, &["certificatesigningrequests/approval"], &[]),
                rule(&["approve"], CERTIFICATES, &["signers"], &["kubernetes.io/kubelet-serving"]),
            ],
        ),
    ]
}

fn cluster_bindings() -> [Value; 6] {
    let bind = |name: &str, role: &str, subject: Value| binding("", name, "ClusterRole", role, &[subject]);
    let requests = "system:certificates.k8s.io:certificatesigningrequests";
    [
        bind("kubeadm:kubelet-bootstrap", "system:node-bootstrapper", group(BOOTSTRAPPERS)),
        bind(GET_NODES, GET_NODES, group(BOOTSTRAPPERS)),
        bind("kubeadm:node-autoapprove-bootstrap", &format!("{requests}:nodeclient"), group(BOOTSTRAPPERS)),
        bind(
            "kubeadm:node-autoapprove-certificate-rotation",
            &format!("{requests}:selfnodeclient"),
            group(node::GROUP),
        ),
        bind(NODE, NODE, group(node::GROUP)),
        bind(APPROVER, APPROVER, account("kubelet-serving-approver")),
    ]
}

fn rule(verbs: &[&str], group: &str, resources: &[&str], names: &[&str]) -> Value {
    let mut rule = json!({"verbs": verbs, "apiGroups": [group], "resources": resources});
    if !names.is_empty() {
        rule["resourceNames"] = json!(names);
    }
    rule
}

fn role(namespace: &str, name: &str, rules: &[Value]) -> Value {
    json!({"metadata": metadata(namespace, name), "rules": rules})
}

fn binding(namespace: &str, name: &str, kind: &str, role: &str, subjects: &[Value]) -> Value {
    json!({
        "metadata": metadata(namespace, name),
        "roleRef": {"apiGroup": RBAC, "kind": kind, "name": role},
        "subjects": subjects,
    })
}

fn metadata(namespace: &str, name: &str) -> Value {
    if namespace.is_empty() { json!({"name": name}) } else { json!({"name": name, "namespace": namespace}) }
}

/// A controller of `kube-system`.
fn account(name: &str) -> Value {
    json!({"kind": "ServiceAccount", "namespace": "kube-system", "name": name})
}

fn user(name: &str) -> Value {
    json!({"apiGroup": RBAC, "kind": "User", "name": name})
}

fn group(name: &str) -> Value {
    json!({"apiGroup": RBAC, "kind": "Group", "name": name})
}
