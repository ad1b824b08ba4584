//! The environment of a container: literals, references, whole config maps and secrets, services.
//!
//! What it refers to is brought in [`Sources`]. An error's text becomes the message of `CreateContainerConfigError`.

use std::{collections::BTreeMap, sync::Arc};

use k8s_openapi::api::core::v1::{ConfigMap, Container, EnvVarSource, Pod, Secret};

use super::{
    expansion::expand,
    fields::{self, NodeFacts},
};
use crate::pod;

/// What the variables of a pod's containers may refer to.
pub(crate) struct Sources<'a> {
    pub config_maps: &'a BTreeMap<String, Arc<ConfigMap>>,
    pub secrets: &'a BTreeMap<String, Arc<Secret>>,
    pub services: BTreeMap<String, String>,
    pub pod_ips: &'a [String],
    pub node: &'a NodeFacts,
}

/// The variables of one container, by name.
pub(crate) fn variables(
    pod: &Pod,
    container: &Container,
    sources: &Sources<'_>,
) -> Result<BTreeMap<String, String>, String> {
    let mut out = from_whole_objects(container, sources)?;
    for variable in container.env.as_deref().unwrap_or_default() {
        let literal = variable.value.as_deref().unwrap_or_default();
        let value = match &variable.value_from {
            Some(source) if literal.is_empty() => match resolve(pod, container, source, sources)? {
                Some(value) => value,
                None => continue,
            },
            _ => expand(literal, |name| out.get(name).or_else(|| sources.services.get(name)).cloned()),
        };
        out.insert(variable.name.clone(), value);
    }
    for (name, value) in &sources.services {
        out.entry(name.clone()).or_insert_with(|| value.clone());
    }
    Ok(out)
}

fn from_whole_objects(
    container: &Container,
    sources: &Sources<'_>,
) -> Result<BTreeMap<String, String>, String> {
    let mut out = BTreeMap::new();
    for from in container.env_from.as_deref().unwrap_or_default() {
        let prefix = from.prefix.as_deref().unwrap_or_default();
        if let Some(reference) = &from.config_map_ref {
            let optional = reference.optional == Some(true);
            let object = sources.config_map(&reference.name, optional)?;
            let data = object.iter().filter_map(|object| object.data.as_ref()).flatten();
            out.extend(data.map(|(key, value)| (format!("{prefix}{key}"), value.clone())));
        } else if let Some(reference) = &from.secret_ref {
            let object = sources.secret(&reference.name, reference.optional == Some(true))?;
            let data = object.iter().filter_map(|object| object.data.as_ref()).flatten();
            out.extend(data.map(|(key, value)| (format!("{prefix}{key}"), text(&value.0))));
        }
    }
    Ok(out)
}

/// The value a variable refers to; `None` where an optional source is absent.
fn resolve(
    pod: &Pod,
    container: &Container,
    source: &EnvVarSource,
    sources: &Sources<'_>,
) -> Result<Option<String>, String> {
    if let Some(field) = &source.field_ref {
        return fields::field(pod, &field.field_path, sources.pod_ips, sources.node).map(Some);
    }
    if let Some(selector) = &source.resource_field_ref {
        let named = selector.container_name.as_deref().filter(|name| !name.is_empty());
        let other = named.and_then(|name| pod::container(pod::spec(pod), name)).map(|(_, other)| other);
        let of = other.as_ref().unwrap_or(container);
        return fields::resource(selector, of, &sources.node.allocatable).map(Some);
    }
    if let Some(reference) = &source.config_map_key_ref {
        let optional = reference.optional == Some(true);
        let object = sources.config_map(&reference.name, optional)?;
        let value = object.and_then(|object| object.data.as_ref()?.get(&reference.key).cloned());
        return required(value, optional, || missing(&reference.key, "ConfigMap", pod, &reference.name));
    }
    if let Some(reference) = &source.secret_key_ref {
        let optional = reference.optional == Some(true);
        let object = sources.secret(&reference.name, optional)?;
        let value = object.and_then(|object| object.data.as_ref()?.get(&reference.key).map(|v| text(&v.0)));
        return required(value, optional, || missing(&reference.key, "Secret", pod, &reference.name));
    }
    Err("unsupported source of an environment variable".into())
}

fn required(
    value: Option<String>,
    optional: bool,
    message: impl FnOnce() -> String,
) -> Result<Option<String>, String> {
    if value.is_none() && !optional { Err(message()) } else { Ok(value) }
}

fn missing(key: &str, kind: &str, pod: &Pod, name: &str) -> String {
    format!("couldn't find key {key} in {kind} {}/{name}", pod::namespace(pod))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

impl<'a> Sources<'a> {
    fn config_map(&self, name: &str, optional: bool) -> Result<Option<&'a Arc<ConfigMap>>, String> {
        let object = self.config_maps.get(name);
        if object.is_none() && !optional { Err(format!("configmap {name:?} not found")) } else { Ok(object) }
    }

    fn secret(&self, name: &str, optional: bool) -> Result<Option<&'a Arc<Secret>>, String> {
        let object = self.secrets.get(name);
        if object.is_none() && !optional { Err(format!("secret {name:?} not found")) } else { Ok(object) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn check(container: Value, expected: Result<&[(&str, &str)], &str>) {
        let mut container = container;
        container["name"] = json!("c");
        let container: Container = serde_json::from_value(container).unwrap();
        let pod = serde_json::from_value(
            json!({"metadata": {"name": "p", "namespace": "n"}, "spec": {"containers": []}}),
        );
        let config = serde_json::from_value(json!({"data": {"k": "v", "l": "w"}})).unwrap();
        let secret = serde_json::from_value(json!({"data": {"pw": "c2VjcmV0"}})).unwrap();
        let sources = Sources {
            config_maps: &BTreeMap::from([("cm".to_owned(), Arc::new(config))]),
            secrets: &BTreeMap::from([("s".to_owned(), Arc::new(secret))]),
            services: BTreeMap::from([("KUBERNETES_SERVICE_HOST".to_owned(), "10.96.0.1".to_owned())]),
            pod_ips: &["10.1.0.5".into()],
            node: &NodeFacts::default(),
        };
        let actual = variables(&pod.unwrap(), &container, &sources);
        match expected {
            Ok(expected) => {
                let mut actual = actual.unwrap();
                actual.remove("KUBERNETES_SERVICE_HOST");
                let expected: BTreeMap<_, _> =
                    expected.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
                assert_eq!(actual, expected);
            }
            Err(message) => assert_eq!(actual.unwrap_err(), message),
        }
    }

    #[test]
    fn values_are_literal_expanded_or_referred_to() {
        let env = json!([
            {"name": "A", "value": "1"},
            {"name": "B", "value": "$(A)-$(KUBERNETES_SERVICE_HOST)-$(C)"},
            {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
            {"name": "CM", "valueFrom": {"configMapKeyRef": {"name": "cm", "key": "k"}}},
            {"name": "S", "valueFrom": {"secretKeyRef": {"name": "s", "key": "pw"}}},
        ]);
        let expected =
            [("A", "1"), ("B", "1-10.96.0.1-$(C)"), ("CM", "v"), ("IP", "10.1.0.5"), ("S", "secret")];
        check(json!({"env": env}), Ok(&expected));
    }

    #[test]
    fn own_variables_override_those_of_whole_objects() {
        let from = json!([{"prefix": "P_", "configMapRef": {"name": "cm"}}, {"secretRef": {"name": "s"}}]);
        let env = json!([{"name": "P_k", "value": "own"}]);
        check(json!({"envFrom": from, "env": env}), Ok(&[("P_k", "own"), ("P_l", "w"), ("pw", "secret")]));
    }

    #[test]
    fn optional_sources_may_be_absent_and_others_may_not() {
        let optional = json!([{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "x", "key": "k", "optional": true}}}]);
        check(json!({"env": optional, "envFrom": [{"secretRef": {"name": "x", "optional": true}}]}), Ok(&[]));
        check(json!({"envFrom": [{"configMapRef": {"name": "x"}}]}), Err("configmap \"x\" not found"));
        let key = json!([{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "x"}}}]);
        check(json!({"env": key}), Err("couldn't find key x in Secret n/s"));
    }
}
