//! Binding: the body of `pods/…/binding`, which gives a pod to a node (upstream: `ValidatePodBinding`).

use k8s_openapi::api::core::v1::Binding;
use machinery::field::{Error, ErrorList, Path};

use crate::checks::text;
use crate::kind::{CREATE_ONLY, Kind};

impl Kind for Binding {
    const SINGULAR: &'static str = "binding";
    const NAMESPACED: bool = true;
    const VERBS: &'static [&'static str] = CREATE_ONLY;

    fn validate(&self) -> ErrorList {
        let path = Path::new("target");
        let mut errors = ErrorList::new();
        let kind = text(&self.target.kind);
        if !matches!(kind, "" | "Node") {
            errors.push(Error::not_supported(&path.child("kind"), kind, &["Node", "<empty>"]).plain());
        }
        if text(&self.target.name).is_empty() {
            errors.push(Error::required(&path.child("name"), ""));
        }
        errors
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::errors_of;

    #[test]
    fn a_pod_is_given_to_a_node_that_is_named() {
        errors_of::<Binding>(r#"{"target":{"kind":"Node","name":"n"}}"#, &[]);
        errors_of::<Binding>(
            r#"{"target":{"kind":"Pod"}}"#,
            &[
                "target.kind: Unsupported value: \"Pod\": supported values: \"Node\", \"<empty>\"",
                "target.name: Required value",
            ],
        );
    }
}
