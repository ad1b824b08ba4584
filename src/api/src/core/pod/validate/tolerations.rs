//! Tolerations by annotation, the oldest way, which nothing reads any more but validation (upstream:
//! `ValidateTolerationsInPodAnnotations`).

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Toleration;
use machinery::field::{Error, ErrorList, Path};
use machinery::json::{self, Tree};

use super::Allowed;
use super::scheduling::validate_tolerations;

const KEY: &str = "scheduler.alpha.kubernetes.io/tolerations";

/// Fields of a toleration, which Go finds whatever the case of their letters.
const FIELDS: &[&str] = &["key", "operator", "value", "effect", "tolerationSeconds"];

/// Errors of the annotations at `path`.
pub(super) fn validate(annotations: &BTreeMap<String, String>, allowed: &Allowed, path: &Path) -> ErrorList {
    let given = annotations.get(KEY).filter(|text| !text.is_empty());
    let Some(text) = given else { return vec![] };
    match read(text) {
        Ok(tolerations) => validate_tolerations(&tolerations, allowed, &path.child(KEY)),
        Err(why) => vec![Error::invalid(path, KEY, why)],
    }
}

/// The list, or what Go says of a text that is none.
fn read(text: &str) -> Result<Vec<Toleration>, String> {
    let parsed = json::parse(text.as_bytes()).map_err(|error| error.to_string())?;
    let unfit = |tree: &Tree<'_>, type_: &str| {
        format!("json: cannot unmarshal {} into Go value of type {type_}", go_kind(tree))
    };
    match &parsed.tree {
        Tree::Null => Ok(vec![]),
        Tree::Array(items) => items
            .iter()
            .map(|item| match item {
                Tree::Null => Ok(Toleration::default()),
                Tree::Object(members) => {
                    let named = |(name, value): (&str, &Tree<'_>)| {
                        let field = FIELDS.iter().find(|field| field.eq_ignore_ascii_case(name))?;
                        Some(((*field).into(), value.clone().into_owned()))
                    };
                    let known = members.iter().filter_map(named).collect();
                    json::from_tree(&Tree::Object(known)).map_err(|error| error.to_string())
                }
                other => Err(unfit(other, "core.Toleration")),
            })
            .collect(),
        other => Err(unfit(other, "[]core.Toleration")),
    }
}

fn go_kind(tree: &Tree<'_>) -> &'static str {
    match tree {
        Tree::Null => "null",
        Tree::Bool(_) => "bool",
        Tree::String(_) => "string",
        Tree::Array(_) => "array",
        Tree::Object(_) => "object",
        _ => "number",
    }
}
