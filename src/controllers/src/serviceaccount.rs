//! Gives every active namespace its `default` service account (upstream `pkg/controller/serviceaccount`).
//!
//! Keys are namespaces; they come from namespaces and from service accounts that were deleted.

use client::{Change, Key, Queue, Requeue, answer};
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use kube::{
    Api,
    api::{ObjectMeta, PostParams},
};

use crate::{Context, Error, feed::feed};

const NAME: &str = "default";

/// Runs the controller until the context is cancelled.
pub(crate) async fn controller(cx: Context) -> Result<(), Error> {
    let (namespaces, accounts) = (cx.informers.of::<Namespace>(), cx.informers.of::<ServiceAccount>());
    let client = cx.client("service-account-controller");
    namespaces.synced().await;
    accounts.synced().await;

    let queue = Queue::<String>::named("serviceaccount");
    feed(&namespaces, &queue, |change| match change {
        Change::Applied { new, .. } => new.metadata.name.clone(),
        Change::Deleted(_) => None,
    });
    feed(&accounts, &queue, |change| match change {
        Change::Deleted(last) if last.metadata.name.as_deref() == Some(NAME) => {
            last.metadata.namespace.clone()
        }
        _ => None,
    });

    let sync = |namespace: String| {
        let present = accounts.get_key(&Key::new(&namespace, NAME)).is_some();
        let missing = namespaces.get("", &namespace).is_some_and(|namespace| plan(&namespace, present));
        let client = client.clone();
        async move {
            if missing {
                apply(client, &namespace).await?;
            }
            Ok::<_, Error>(Requeue::No)
        }
    };
    client::work(queue, 1, sync, cx.cancel.clone()).await;
    Ok(())
}

/// Whether `namespace` is to get an account.
fn plan(namespace: &Namespace, present: bool) -> bool {
    let phase = namespace.status.as_ref().and_then(|status| status.phase.as_deref());
    !present && phase == Some("Active") && namespace.metadata.deletion_timestamp.is_none()
}

async fn apply(client: kube::Client, namespace: &str) -> Result<(), Error> {
    let account = ServiceAccount {
        metadata: ObjectMeta {
            name: Some(NAME.into()),
            namespace: Some(namespace.into()),
            ..ObjectMeta::default()
        },
        ..ServiceAccount::default()
    };
    match Api::<ServiceAccount>::namespaced(client, namespace).create(&PostParams::default(), &account).await
    {
        Err(error) if !answer::is_already_exists(&error) && !answer::is_namespace_terminating(&error) => {
            Err(error.into())
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::NamespaceStatus;

    use super::*;

    fn check(phase: &str, present: bool, expected: bool) {
        let status = NamespaceStatus { phase: Some(phase.into()), ..NamespaceStatus::default() };
        assert_eq!(plan(&Namespace { status: Some(status), ..Namespace::default() }, present), expected);
    }

    #[test]
    fn only_active_namespaces_without_an_account_get_one() {
        check("Active", false, true);
        check("Active", true, false);
        check("Terminating", false, false);
    }
}
