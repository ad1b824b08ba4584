//! Deletes bootstrap tokens when they expire (upstream `pkg/controller/bootstrap/tokencleaner`).

use std::time::Duration;

use client::{Change, Key, Queue, Requeue, Selection, answer};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api,
    api::{DeleteParams, Preconditions},
};
use objects::bootstrap_token::{self, Expiry};

use crate::{Context, Error, feed::feed, ignore_absent};

const ACCOUNT: &str = "token-cleaner";

/// Runs the controller until the context is cancelled.
pub(crate) async fn controller(cx: Context) -> Result<(), Error> {
    let secrets = cx.informers.selected::<Secret>(bootstrap_secrets());
    let api = Api::<Secret>::namespaced(cx.client(ACCOUNT), bootstrap_token::NAMESPACE);
    secrets.synced().await;

    let queue = Queue::<String>::named("token_cleaner");
    feed(&secrets, &queue, |change| match change {
        Change::Applied { new, .. } if bootstrap_token::is_token(new) => new.metadata.name.clone(),
        _ => None,
    });
    let sync = |name: String| {
        let secret = secrets.get_key(&Key::new(bootstrap_token::NAMESPACE, &name));
        let api = api.clone();
        async move {
            let now = Timestamp::now();
            let Some(secret) = secret else { return Ok(Requeue::No) };
            match bootstrap_token::expiry(&secret, now) {
                Expiry::Never => Ok(Requeue::No),
                Expiry::At(end) => Ok(Requeue::After(Duration::try_from(end - now).unwrap_or_default())),
                Expiry::Past => delete(&api, &name, &secret).await.map(|()| Requeue::No),
            }
        }
    };
    client::work(queue, 1, sync, cx.cancel.clone()).await;
    Ok(())
}

/// Bootstrap tokens only: a cluster has many secrets of other types.
pub(crate) fn bootstrap_secrets() -> Selection {
    Selection::fields(format!("type={}", bootstrap_token::SECRET_TYPE))
}

/// Deletes this secret, not another that has taken its name meanwhile.
async fn delete(api: &Api<Secret>, name: &str, secret: &Secret) -> Result<(), Error> {
    let preconditions = Preconditions { uid: secret.metadata.uid.clone(), resource_version: None };
    let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
    match api.delete(name, &params).await {
        Err(error) if answer::is_conflict(&error) => Ok(()),
        outcome => ignore_absent(outcome),
    }
}
