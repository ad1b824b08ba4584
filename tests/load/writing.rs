//! One writer: what it asks for, and what the answer says of it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::mpsc::Sender;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{DeleteParams, ObjectMeta, Patch, PatchParams, PostParams, Preconditions};
use kube::{Api, Error};
use rand::Rng;
use rand::distr::Alphanumeric;
use testing::history::{Call, Requires, Said};
use tokio::sync::watch;

use super::record::{Record, name};
use super::{Answer, KEYS, PAUSE, connect, version};

/// What a writer does to an object.
enum Order {
    Create,
    Replace(Requires),
    Patch,
    Delete(u64),
}

impl Order {
    fn requires(&self) -> Requires {
        match *self {
            Self::Create => Requires::Absent,
            Self::Replace(requires) => requires,
            Self::Patch => Requires::Present,
            Self::Delete(known) => Requires::At(known),
        }
    }
}

impl Record {
    /// Writes one after the other until told to stop, whatever becomes of the server.
    pub(super) async fn write_until(
        &self,
        stopped: &watch::Receiver<bool>,
        kubeconfig: &Path,
        bytes: usize,
        tell: &Sender<Answer>,
    ) {
        let api = connect(kubeconfig).await;
        while !*stopped.borrow() {
            let name = name(rand::rng().random_range(0..KEYS));
            let (order, call) = self.order(&name);
            let (call, answer) = self.place(&api, order, call, bytes).await;
            let call = self.calls.answer(call, said(&answer));
            match (answer, call.said) {
                (_, Said::Done(_) | Said::Accepted) => drop(tell.send(Ok(()))),
                (Err(Error::Api(status)), Said::Unknown) => {
                    self.refusals.lock().unwrap().push(status.to_string());
                    drop(tell.send(Err(status.to_string())));
                    tokio::time::sleep(PAUSE).await;
                }
                (_, Said::Unknown) => tokio::time::sleep(PAUSE).await,
                _ => {}
            }
        }
    }

    /// Writes an object that no writer writes, and gives its revision: what comes later in the order has begun later.
    pub(super) async fn mark(&self, api: &Api<ConfigMap>) -> u64 {
        loop {
            for order in [Order::Replace(Requires::Present), Order::Create] {
                let call = self.calls.ask("load-mark", order.requires(), false);
                let (call, answer) = self.place(api, order, call, 0).await;
                self.calls.answer(call, said(&answer));
                if let Ok(Some(revision)) = answer {
                    return revision;
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Something to do to an object, which may fail: others write it, too.
    fn order(&self, name: &str) -> (Order, Call) {
        let known = self.versions.lock().unwrap().get(name).copied();
        let any = rand::rng().random_range(0..10);
        let order = match (known, any) {
            (None, _) | (_, 0) => Order::Create,
            (Some(known), 1..4) => Order::Replace(Requires::At(known)),
            (_, 4..6) => Order::Replace(Requires::Present),
            (Some(known), 6..8) => match self.delete(name, known) {
                Some(call) => return (Order::Delete(known), call),
                None => Order::Patch,
            },
            _ => Order::Patch,
        };
        let call = self.calls.ask(name, order.requires(), false);
        (order, call)
    }

    /// The only call that is to delete that version of an object, unless there is one already.
    fn delete(&self, name: &str, known: u64) -> Option<Call> {
        let mut deletions = self.deletions.lock().unwrap();
        let version = (name.to_owned(), known);
        if deletions.contains_key(&version) {
            return None;
        }
        let call = self.calls.ask(name, Requires::At(known), true);
        deletions.insert(version, call.write);
        Some(call)
    }

    /// Asks the server; gives the version that there is now, if it tells one.
    async fn place(
        &self,
        api: &Api<ConfigMap>,
        order: Order,
        call: Call,
        bytes: usize,
    ) -> (Call, Result<Option<u64>, Error>) {
        let object = object(&call, bytes);
        let written = match order {
            Order::Create => api.create(&PostParams::default(), &object).await.map(Some),
            Order::Replace(_) => api.replace(&call.key, &PostParams::default(), &object).await.map(Some),
            Order::Patch => {
                api.patch(&call.key, &PatchParams::default(), &Patch::Merge(&object)).await.map(Some)
            }
            Order::Delete(known) => {
                let resource_version = Some(known.to_string());
                let preconditions = Some(Preconditions { resource_version, uid: None });
                let params = DeleteParams { preconditions, ..DeleteParams::default() };
                api.delete(&call.key, &params).await.map(|_| None)
            }
        };
        let written = written.map(|object| object.as_ref().map(version));
        if let Ok(Some((name, revision))) = &written {
            self.saw(name, Some(*revision));
        }
        let is_gone = matches!(&written, Ok(None)) || code(&written) == Some(404);
        if is_gone {
            self.saw(&call.key, None);
        }
        (call, written.map(|version| version.map(|(_, revision)| revision)))
    }

    /// Somebody has seen an object at a version, or none.
    pub(super) fn saw(&self, name: &str, revision: Option<u64>) {
        let mut versions = self.versions.lock().unwrap();
        match revision {
            Some(revision) => drop(versions.insert(name.to_owned(), revision)),
            None => drop(versions.remove(name)),
        }
    }
}

/// The object as a call writes it.
fn object(call: &Call, bytes: usize) -> ConfigMap {
    let filling = rand::rng().sample_iter(Alphanumeric).take(bytes).map(char::from).collect();
    let labels = [("load", "yes".to_owned()), ("odd", (call.write % 2 == 1).to_string())];
    let data = [("write", call.write.to_string()), ("filling", filling)];
    let owned = |pairs: [(&str, String); 2]| {
        Some(pairs.map(|(name, value)| (name.to_owned(), value)).into_iter().collect::<BTreeMap<_, _>>())
    };
    let resource_version = match call.requires {
        Requires::At(revision) => Some(revision.to_string()),
        _ => None,
    };
    let metadata = ObjectMeta {
        name: Some(call.key.clone()),
        labels: owned(labels),
        resource_version,
        ..Default::default()
    };
    ConfigMap { metadata, data: owned(data), ..Default::default() }
}

fn code<T>(answer: &Result<T, Error>) -> Option<u16> {
    let Err(Error::Api(status)) = answer else { return None };
    Some(status.code)
}

/// What an answer says of the write.
fn said(answer: &Result<Option<u64>, Error>) -> Said {
    match (answer, code(answer)) {
        (Ok(Some(revision)), _) => Said::Done(*revision),
        (Ok(None), _) => Said::Accepted,
        (_, Some(404)) => Said::Refused(None),
        (_, Some(409)) => Said::Unmet,
        _ => Said::Unknown,
    }
}
