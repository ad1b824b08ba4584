//! Gathers the descriptions of types and fields for OpenAPI from k8s-openapi's schemas, once, while building: made at run
//! time they would cost 10 MiB that are never given back.
//!
//! The output is compressed; `openapi/descriptions.rs` reads it and describes its form.

use std::collections::BTreeMap;
use std::path::PathBuf;

use k8s_openapi::schemars::{JsonSchema, SchemaGenerator};
use serde_json::Value;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let mut generator = SchemaGenerator::default();
    let kinds = kinds(&mut generator);
    let schemas: BTreeMap<String, Value> =
        kinds.into_iter().chain(generator.take_definitions(true)).collect();
    let mut text = String::new();
    for (name, schema) in &schemas {
        for (field, description) in descriptions(schema) {
            text.push_str(&format!("{name}\u{1f}{field}\u{1f}{description}\u{1e}"));
        }
    }
    let compressed = zstd::encode_all(text.as_bytes(), 19).expect("memory can be compressed");
    let directory = std::env::var_os("OUT_DIR").expect("cargo sets OUT_DIR");
    std::fs::write(PathBuf::from(directory).join("descriptions.zst"), compressed)
        .expect("OUT_DIR can be written");
}

/// The kinds served; the types that they are made of follow from them. A test of `openapi` finds one that is missing.
fn kinds(generator: &mut SchemaGenerator) -> Vec<(String, Value)> {
    use k8s_openapi::api::{
        apps::v1 as apps, authentication::v1 as authentication, authorization::v1 as authorization,
        autoscaling::v1 as autoscaling, certificates::v1 as certificates, coordination::v1 as coordination,
        core::v1 as core, discovery::v1 as discovery, events::v1 as events, networking::v1 as networking,
        policy::v1 as policy, rbac::v1 as rbac, resource::v1 as resource, storage::v1 as storage,
    };
    use k8s_openapi::apimachinery::pkg::apis::meta::v1 as meta;

    let mut kinds = Vec::new();
    macro_rules! add {
        ($($kind:ty),* $(,)?) => {
            $(kinds.push((<$kind>::schema_name().into_owned(), schema::<$kind>(generator)));)*
        };
    }
    add!(apps::Deployment, apps::ReplicaSet);
    add!(authentication::SelfSubjectReview, authentication::TokenRequest, authentication::TokenReview);
    add!(
        authorization::LocalSubjectAccessReview,
        authorization::SelfSubjectAccessReview,
        authorization::SelfSubjectRulesReview,
        authorization::SubjectAccessReview,
    );
    add!(networking::IPAddress, networking::ServiceCIDR, storage::CSINode);
    add!(
        resource::DeviceClass,
        resource::ResourceClaim,
        resource::ResourceClaimTemplate,
        resource::ResourceSlice,
    );
    add!(autoscaling::Scale, coordination::Lease, discovery::EndpointSlice, events::Event, policy::Eviction);
    add!(
        core::Binding,
        core::ConfigMap,
        core::Endpoints,
        core::Event,
        core::Namespace,
        core::Node,
        core::Pod,
        core::PodTemplate,
        core::Secret,
        core::Service,
        core::ServiceAccount,
    );
    add!(certificates::CertificateSigningRequest);
    add!(rbac::ClusterRole, rbac::ClusterRoleBinding, rbac::Role, rbac::RoleBinding);
    add!(
        meta::APIResourceList,
        meta::DeleteOptions,
        meta::ListMeta,
        meta::Patch,
        meta::Status,
        meta::WatchEvent<Value>
    );
    kinds
}

fn schema<T: JsonSchema>(generator: &mut SchemaGenerator) -> Value {
    T::json_schema(generator).to_value()
}

/// A type's own description under the empty name, and those of its fields.
fn descriptions(schema: &Value) -> Vec<(&str, &str)> {
    let own = schema["description"].as_str().map(|text| ("", text));
    let fields = schema["properties"].as_object().into_iter().flatten();
    let fields = fields.filter_map(|(name, field)| Some((name.as_str(), field["description"].as_str()?)));
    own.into_iter().chain(fields).collect()
}
