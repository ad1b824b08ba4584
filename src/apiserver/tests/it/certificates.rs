//! Certificate signing requests: who asked is what the server knows, and who may approve and sign is asked per signer.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use serde_json::{Value, json};

use crate::cluster::{Client, Cluster};

const REQUESTS: &str = "/apis/certificates.k8s.io/v1/certificatesigningrequests";
const SIGNER: &str = "kubernetes.io/kube-apiserver-client";

/// A request for a client certificate of somebody in a group.
fn request(name: &str, group: &str) -> Value {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "somebody");
    params.distinguished_name.push(DnType::OrganizationName, group);
    let pem = params.serialize_request(&KeyPair::generate().unwrap()).unwrap().pem().unwrap();
    json!({"kind": "CertificateSigningRequest", "apiVersion": "certificates.k8s.io/v1", "metadata": {"name": name},
        "spec": {"request": BASE64.encode(pem), "signerName": SIGNER, "usages": ["client auth"],
            "username": "forged", "groups": ["system:masters"]}})
}

/// Lets a user do everything with requests, and `verb` for the signers of a name.
async fn allow(admin: &Client, user: &str, verb: &str, signer: &str) {
    let group = "certificates.k8s.io";
    let all = json!({"verbs": ["*"], "apiGroups": [group], "resources": ["certificatesigningrequests",
        "certificatesigningrequests/approval", "certificatesigningrequests/status"]});
    let signers =
        json!({"verbs": [verb], "apiGroups": [group], "resources": ["signers"], "resourceNames": [signer]});
    let rbac = "/apis/rbac.authorization.k8s.io/v1";
    let role = json!({"kind": "ClusterRole", "apiVersion": "rbac.authorization.k8s.io/v1",
        "metadata": {"name": user}, "rules": [all, signers]});
    admin.post(&format!("{rbac}/clusterroles"), role).await.expect(201);
    let api = "rbac.authorization.k8s.io";
    let binding = json!({"kind": "ClusterRoleBinding", "apiVersion": "rbac.authorization.k8s.io/v1",
        "metadata": {"name": user}, "roleRef": {"apiGroup": api, "kind": "ClusterRole", "name": user},
        "subjects": [{"apiGroup": api, "kind": "User", "name": user}]});
    admin.post(&format!("{rbac}/clusterrolebindings"), binding).await.expect(201);
}

fn approved(mut csr: Value) -> Value {
    csr["status"]["conditions"] = json!([{"type": "Approved", "status": "True", "reason": "r"}]);
    csr
}

#[tokio::test]
async fn a_request_is_approved_by_an_approver_and_signed_by_a_signer_of_its_signer() {
    let cluster = Cluster::start().await;
    let admin = cluster.admin();
    for (user, verb, signer) in [
        ("asker", "none", "none"),
        ("approver", "approve", "kubernetes.io/*"),
        ("other", "approve", "example.com/*"),
        ("signer", "sign", SIGNER),
    ] {
        allow(&admin, user, verb, signer).await;
    }
    let user = |name: &str| cluster.user(name, &["people"]);
    let made = user("asker").post(REQUESTS, request("r", "x")).await.expect(201);
    assert_eq!(made.at("/spec/username"), "asker");
    assert_eq!(made.at("/spec/groups"), json!(["people", "system:authenticated"]));

    let approval = format!("{REQUESTS}/r/approval");
    for refused in ["asker", "other", "signer"] {
        let refused = user(refused).put(&approval, approved(made.json())).await.expect(403);
        let expected = format!("user not permitted to approve requests with signerName \"{SIGNER}\"");
        assert!(refused.message().contains(&expected), "{}", refused.message());
    }
    user("approver").put(&format!("{REQUESTS}/r/status"), approved(made.json())).await.expect(422);
    let now = user("approver").put(&approval, approved(made.json())).await.expect(200);
    assert_eq!(now.at("/status/conditions/0/type"), "Approved");
    assert!(now.at("/status/conditions/0/lastTransitionTime").is_string());

    let mut signed = now.json();
    let certificate = rcgen::generate_simple_self_signed(vec!["a".to_owned()]).unwrap().cert.pem();
    signed["status"]["certificate"] = json!(BASE64.encode(certificate));
    let status = format!("{REQUESTS}/r/status");
    let refused = user("approver").put(&status, signed.clone()).await.expect(403);
    assert!(refused.message().contains("user not permitted to sign"), "{}", refused.message());
    user("signer").put(&status, signed.clone()).await.expect(200);
    signed["metadata"]["resourceVersion"] = Value::Null;
    signed["status"]["conditions"] = json!([]);
    let refused = user("signer").put(&status, signed).await.expect(422);
    assert!(refused.message().contains("updates may not remove a condition"), "{}", refused.message());

    let selected = |signer: &str| format!("{REQUESTS}?fieldSelector=spec.signerName%3D{signer}");
    let count = |answer: crate::cluster::Answer| answer.at("/items").as_array().unwrap().len();
    assert_eq!(count(admin.get(&selected("kubernetes.io%2Fkube-apiserver-client")).await.expect(200)), 1);
    assert_eq!(count(admin.get(&selected("a.b%2Fc")).await.expect(200)), 0);
}

#[tokio::test]
async fn nobody_asks_for_a_certificate_of_the_masters() {
    let cluster = Cluster::start().await;
    let refused = cluster.admin().post(REQUESTS, request("r", "system:masters")).await.expect(403);
    let expected =
        "use of kubernetes.io/kube-apiserver-client signer with system:masters group is not allowed";
    assert!(refused.message().contains(expected), "{}", refused.message());
}
