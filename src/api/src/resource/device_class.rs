//! DeviceClass (upstream: `pkg/registry/resource/deviceclass`, `ValidateDeviceClass`).

use k8s_openapi::api::resource::v1::{DeviceClass, DeviceClassConfiguration, DeviceClassSpec};
use machinery::field::{Error, ErrorList, Path};
use machinery::json;

use super::claim_spec::MAX_CONFIGURATIONS;
use super::configuration::{self, Age};
use super::{lists, selectors};
use crate::checks;
use crate::core::resources;
use crate::kind::{Context, Kind};
use crate::names;

const SPEC: &str = "io.k8s.api.resource.v1.DeviceClassSpec";
const CONFIGURATION: &str = "io.k8s.api.resource.v1.DeviceClassConfiguration";

impl Kind for DeviceClass {
    const SINGULAR: &'static str = "deviceclass";
    const RETURNS_DELETED: bool = true;
    const NAMESPACED: bool = false;

    /// Of a name that was generated upstream looks at the whole only.
    fn validate_name(name: &str, prefix: bool) -> Vec<String> {
        if prefix { Vec::new() } else { names::subdomain(name, false) }
    }

    fn prepare_for_create(&mut self, _cx: &Context) {
        self.metadata.generation = Some(1);
    }

    fn validate(&self) -> ErrorList {
        validate_spec(&self.spec, Age::New)
    }

    fn prepare_for_update(&mut self, old: &Self, _cx: &Context) {
        if !checks::same(SPEC, &self.spec, &old.spec) {
            self.metadata.generation = Some(old.metadata.generation.unwrap_or_default() + 1);
        }
    }

    fn validate_update(&self, old: &Self) -> ErrorList {
        let mut errors = ungenerated(self);
        errors.extend(checks::metadata(self));
        errors.extend(checks::metadata_update(self, old));
        let age = if same_configuration(&self.spec, &old.spec) { Age::Stored } else { Age::New };
        errors.extend(validate_spec(&self.spec, age));
        errors
    }
}

/// An update that takes the name away would have one generated, which upstream tells of this kind alone.
fn ungenerated(class: &DeviceClass) -> ErrorList {
    let (base, name) = (checks::text(&class.metadata.generate_name), checks::text(&class.metadata.name));
    if base.is_empty() || !name.is_empty() {
        return ErrorList::new();
    }
    let why = format!("generateName was specified ({}), but no name was generated", json::quoted(base));
    vec![Error::internal(&Path::new("metadata.name"), why)]
}

fn same_configuration(new: &DeviceClassSpec, old: &DeviceClassSpec) -> bool {
    let (new, old) = (new.config.as_deref().unwrap_or_default(), old.config.as_deref().unwrap_or_default());
    new.len() == old.len() && new.iter().zip(old).all(|(new, old)| checks::same(CONFIGURATION, new, old))
}

fn validate_spec(spec: &DeviceClassSpec, configuration_age: Age) -> ErrorList {
    let path = Path::new("spec");
    let mut errors = selectors::validate(spec.selectors.as_deref(), &path.child("selectors"));
    let configurations = spec.config.as_deref().unwrap_or_default();
    errors.extend(lists::bounded(
        configurations,
        MAX_CONFIGURATIONS,
        &path.child("config"),
        |DeviceClassConfiguration { opaque }, path| {
            configuration::validate(opaque.as_ref(), configuration_age, path)
        },
    ));
    if let Some(name) = spec.extended_resource_name.as_deref().filter(|name| !resources::is_extended(name)) {
        let path = path.child("extendedResourceName");
        errors.push(Error::invalid(&path, name, "must be a valid extended resource name"));
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::errors_of;

    #[test]
    fn an_expression_is_refused_and_never_taken_unchecked() {
        errors_of::<DeviceClass>("{}", &[]);
        errors_of::<DeviceClass>(
            r#"{"spec":{"selectors":[{"cel":{"expression":"true"}},{}],"extendedResourceName":"cpu"}}"#,
            &[
                "spec.selectors[0].cel.expression: Invalid value: \"true\": CEL expressions cannot be compiled by this server yet",
                "spec.selectors[1].cel: Required value",
                "spec.extendedResourceName: Invalid value: \"cpu\": must be a valid extended resource name",
            ],
        );
    }
}
