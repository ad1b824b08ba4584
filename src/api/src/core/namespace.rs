//! Namespace (upstream: `pkg/registry/core/namespace`). Deletion by way of `spec.finalizers` and the `finalize`
//! subresource are the API server's.

use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::jiff::Timestamp;
use machinery::field::{Error, ErrorList, Path};
use machinery::table::Column;
use serde_json::Value;

use crate::kind::{Context, Kind, Selectable, Subresource};
use crate::{cells, checks, names};

const FINALIZER: &str = "kubernetes";
const NAME_LABEL: &str = "kubernetes.io/metadata.name";

impl Kind for Namespace {
    const SINGULAR: &'static str = "namespace";
    const SHORT_NAMES: &'static [&'static str] = &["ns"];
    const NAMESPACED: bool = false;
    // A namespace is emptied by its controller, never by deleting the collection.
    const VERBS: &'static [&'static str] = &["create", "delete", "get", "list", "patch", "update", "watch"];
    const SUBRESOURCES: &'static [Subresource] = &[Subresource::Status];
    const RETURNS_DELETED: bool = true;
    const FIELDS: &'static [Selectable] = &[Selectable::new("status.phase", &[&["status", "phase"]])];

    fn validate_name(name: &str, prefix: bool) -> Vec<String> {
        names::label(name, prefix)
    }

    fn set_defaults(&mut self) {
        label_with_name(self);
        let phase = &mut self.status.get_or_insert_default().phase;
        if phase.as_deref().unwrap_or_default().is_empty() {
            *phase = Some("Active".to_owned());
        }
    }

    fn prepare_for_create(&mut self, _cx: &Context) {
        let status = self.status.insert(Default::default());
        status.phase = Some("Active".to_owned());
        let finalizers = self.spec.get_or_insert_default().finalizers.get_or_insert_default();
        if !finalizers.iter().any(|finalizer| finalizer == FINALIZER) {
            finalizers.push(FINALIZER.to_owned());
        }
    }

    fn validate(&self) -> ErrorList {
        let finalizers = self.spec.iter().flat_map(|spec| spec.finalizers.iter().flatten());
        finalizers.flat_map(|name| finalizer(name, &Path::new("spec.finalizers"))).collect()
    }

    fn canonicalize(&mut self) {
        label_with_name(self);
    }

    fn prepare_for_update(&mut self, old: &Self, _cx: &Context) {
        self.spec.get_or_insert_default().finalizers =
            old.spec.as_ref().and_then(|spec| spec.finalizers.clone());
        self.status = old.status.clone();
    }

    fn prepare_for_status_update(&mut self, old: &Self, _cx: &Context) {
        self.spec = old.spec.clone();
    }

    fn validate_update(&self, old: &Self) -> ErrorList {
        let mut errors = checks::metadata(self);
        errors.extend(self.validate());
        errors.extend(checks::metadata_update(self, old));
        errors
    }

    fn validate_status_update(&self, old: &Self) -> ErrorList {
        let mut errors = checks::metadata_update(self, old);
        let phase = self.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default();
        let (expected, detail) = match self.metadata.deletion_timestamp {
            None => ("Active", "may only be 'Active' if `deletionTimestamp` is empty"),
            Some(_) => ("Terminating", "may only be 'Terminating' if `deletionTimestamp` is not empty"),
        };
        if phase != expected {
            errors.push(Error::invalid(&Path::new("status.Phase"), phase, detail));
        }
        errors
    }

    fn columns() -> Vec<Column> {
        vec![cells::name(), cells::column("Status", "string", "Phase of the namespace."), cells::age()]
    }

    fn row(&self, now: Timestamp) -> Vec<Value> {
        let phase = self.status.as_ref().and_then(|status| status.phase.as_deref());
        vec![cells::name_of(&self.metadata), cells::text(phase), cells::age_of(&self.metadata, now)]
    }
}

/// Every namespace can be selected by its name. A generated name is not known before preparation, hence twice.
fn label_with_name(namespace: &mut Namespace) {
    let meta = &mut namespace.metadata;
    if let Some(name) = meta.name.as_ref().filter(|name| !name.is_empty()) {
        meta.labels.get_or_insert_default().insert(NAME_LABEL.to_owned(), name.clone());
    }
}

/// What is wrong with the metadata and with the finalizers in a namespace's spec that `namespaces/finalize` would leave
/// (upstream: `ValidateNamespaceFinalizeUpdate`, which tells the place in the list, as creation does not).
pub fn validate_finalize(new: &Namespace, old: &Namespace) -> ErrorList {
    let mut errors = checks::metadata_update(new, old);
    let finalizers = new.spec.iter().flat_map(|spec| spec.finalizers.iter().flatten()).enumerate();
    let path = Path::new("spec.finalizers");
    errors.extend(finalizers.flat_map(|(index, name)| finalizer(name, &path.index(index))));
    errors
}

fn finalizer(name: &str, path: &Path) -> ErrorList {
    let mut errors = checks::qualified_name(name, path);
    errors.extend(checks::kube_finalizer(name, path));
    errors
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{context, errors_of, object, stored};

    #[test]
    fn a_new_namespace_is_active_labelled_and_finalized() {
        let mut namespace: Namespace =
            object(r#"{"metadata":{"name":"a"},"status":{"phase":"Terminating"}}"#);
        namespace.set_defaults();
        namespace.prepare_for_create(&context());
        let expected = r#"{"metadata":{"name":"a","labels":{"kubernetes.io/metadata.name":"a"}},
            "spec":{"finalizers":["kubernetes"]},"status":{"phase":"Active"}}"#;
        assert_eq!(namespace, object(expected));
    }

    #[test]
    fn finalizers_are_checked() {
        errors_of::<Namespace>(r#"{"spec":{"finalizers":["kubernetes","a.b/c"]}}"#, &[]);
        errors_of::<Namespace>(
            r#"{"spec":{"finalizers":["mine"]}}"#,
            &[
                "spec.finalizers: Invalid value: \"mine\": name is neither a standard finalizer name nor is it fully qualified",
            ],
        );
    }

    #[test]
    fn phase_follows_deletion() {
        let namespace: Namespace = stored(r#"{"status":{"phase":"Terminating"}}"#);
        let errors = namespace.validate_status_update(&namespace);
        assert_eq!(errors.len(), 1);
    }
}
