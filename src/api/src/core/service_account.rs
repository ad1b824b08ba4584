//! ServiceAccount (upstream: `pkg/registry/core/serviceaccount`). Tokens are the API server's.

use k8s_openapi::api::core::v1::{ObjectReference, ServiceAccount};

use crate::kind::{Context, Kind};

const ENFORCE_MOUNTABLE: &str = "kubernetes.io/enforce-mountable-secrets";

impl Kind for ServiceAccount {
    const SINGULAR: &'static str = "serviceaccount";
    const SHORT_NAMES: &'static [&'static str] = &["sa"];
    const NAMESPACED: bool = true;
    const RETURNS_DELETED: bool = true;

    fn prepare_for_create(&mut self, _cx: &Context) {
        keep_names_of_secrets(self);
    }

    fn prepare_for_update(&mut self, _old: &Self, _cx: &Context) {
        keep_names_of_secrets(self);
    }

    fn warnings(&self, old: Option<&Self>) -> Vec<String> {
        if !enforces_mountable(self) || old.is_some_and(enforces_mountable) {
            return vec![];
        }
        vec![format!(
            "metadata.annotations[{ENFORCE_MOUNTABLE}]: deprecated in v1.32+; prefer separate namespaces to isolate access to mounted secrets"
        )]
    }
}

fn keep_names_of_secrets(account: &mut ServiceAccount) {
    for secret in account.secrets.iter_mut().flatten() {
        *secret = ObjectReference { name: secret.name.take(), ..Default::default() };
    }
}

fn enforces_mountable(account: &ServiceAccount) -> bool {
    let annotations = account.metadata.annotations.as_ref();
    annotations.is_some_and(|annotations| annotations.contains_key(ENFORCE_MOUNTABLE))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{context, object};

    #[test]
    fn only_names_of_secrets_are_kept() {
        let mut account: ServiceAccount =
            object(r#"{"secrets":[{"name":"a","namespace":"b","kind":"Secret"}]}"#);
        account.prepare_for_create(&context());
        assert_eq!(account, object(r#"{"secrets":[{"name":"a"}]}"#));
    }
}
