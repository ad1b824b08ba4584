//! ResourceClaimTemplate (upstream: `pkg/registry/resource/resourceclaimtemplate`). It never changes but by its metadata.

use k8s_openapi::api::resource::v1::{ResourceClaimTemplate, ResourceClaimTemplateSpec};
use machinery::field::{Error, ErrorList, Path};
use machinery::json::{Object, Tree};

use super::claim_spec;
use crate::checks;
use crate::kind::Kind;

const SPEC: &str = "io.k8s.api.resource.v1.ResourceClaimTemplateSpec";
const CLAIM_SPEC: &str = "io.k8s.api.resource.v1.ResourceClaimSpec";
const METADATA: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";

impl Kind for ResourceClaimTemplate {
    const SINGULAR: &'static str = "resourceclaimtemplate";
    const RETURNS_DELETED: bool = true;
    const NAMESPACED: bool = true;

    fn set_defaults(&mut self) {
        claim_spec::set_defaults(&mut self.spec.spec);
    }

    fn validate(&self) -> ErrorList {
        let path = Path::new("spec");
        let metadata = self.spec.metadata.clone().unwrap_or_default();
        let mut errors = checks::template_metadata(&metadata, &path.child("metadata"));
        errors.extend(claim_spec::validate(&self.spec.spec, &path.child("spec")));
        errors
    }

    fn validate_update(&self, old: &Self) -> ErrorList {
        let mut errors = checks::metadata(self);
        errors.extend(self.validate());
        errors.extend(checks::metadata_update(self, old));
        if !checks::same(SPEC, &self.spec, &old.spec) {
            errors.push(Error::invalid(&Path::new("spec"), shown(&self.spec), "field is immutable"));
        }
        errors
    }
}

/// The spec as upstream prints it, which embeds the metadata.
fn shown(spec: &ResourceClaimTemplateSpec) -> Tree<'static> {
    let metadata = checks::in_order(METADATA, &spec.metadata.clone().unwrap_or_default());
    let inner = [("Spec".into(), checks::internal(CLAIM_SPEC, &spec.spec))];
    let members = match metadata {
        Tree::Object(members) => members.into_iter().chain(inner).collect::<Object<'static>>(),
        _ => inner.into_iter().collect(),
    };
    Tree::Object(members)
}
