//! A service account's token, from inside a pod: what its role allows works, and the rest is upstream's Forbidden.

use crate::cluster::Cluster;
use crate::deployment::start_client;

const ASK: &str = r#"
D=/var/run/secrets/kubernetes.io/serviceaccount
curl -s --cacert $D/ca.crt -H "Authorization: Bearer $(cat $D/token)" https://kubernetes.default.svc$0
"#;

#[test]
fn a_token_may_do_what_its_role_allows_and_nothing_else() {
    let cluster = Cluster::start();
    start_client(&cluster);
    cluster.ok(&["create", "role", "reader", "--verb=get,list", "--resource=configmaps"]);
    cluster.ok(&["create", "rolebinding", "reader", "--role=reader", "--serviceaccount=default:default"]);
    let ask = |path: &str| cluster.ok(&["exec", "client", "--", "sh", "-c", ASK, path]);

    let allowed = ask("/api/v1/namespaces/default/configmaps");
    assert!(allowed.contains("\"ConfigMapList\"") && allowed.contains("kube-root-ca.crt"), "{allowed}");
    let refused = ask("/api/v1/namespaces/default/secrets");
    let message = "secrets is forbidden: User \\\"system:serviceaccount:default:default\\\" cannot list resource \
                   \\\"secrets\\\" in API group \\\"\\\" in the namespace \\\"default\\\"";
    // Indented, since it is curl that asks.
    assert!(refused.contains(message) && refused.contains("\n  \"reason\": \"Forbidden\",\n"), "{refused}");
}
