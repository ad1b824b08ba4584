//! By what components tell who their clients are: the authority of client certificates, in ConfigMap
//! `kube-system/extension-apiserver-authentication` (upstream
//! `pkg/controlplane/controller/clusterauthenticationtrust`). Its reader role is among upstream's default roles.

use k8s_openapi::api::core::v1::ConfigMap;
use serde_json::json;

/// The ConfigMap's namespace.
pub(crate) const NAMESPACE: &str = "kube-system";
/// The ConfigMap's name.
pub(crate) const NAME: &str = "extension-apiserver-authentication";
/// The key of the authority's certificate, PEM.
pub(crate) const CLIENT_CA: &str = "client-ca-file";

/// Publishes the authority.
pub(super) async fn write(client: &kube::Client, authority: &str) -> anyhow::Result<()> {
    let map = json!({
        "metadata": {"name": NAME, "namespace": NAMESPACE},
        "data": {CLIENT_CA: authority},
    });
    super::put_in::<ConfigMap>(client, map).await
}
