//! Values as upstream's messages show them: structs in the order of their fields, and internal types, which have no JSON
//! tags, under the names that their fields have in Go.
//!
//! Validation hands the result to `field::Error` as the wrong value.

use machinery::json::{self, Object, Tree};
use machinery::schema::{self, Field, Shape, Type};
use serde::Serialize;

/// A value of an API type that upstream has in one version only (those of `meta/v1`), with its fields in order.
pub(crate) fn in_order<T: Serialize + ?Sized>(name: &str, value: &T) -> Tree<'static> {
    let tree = json::to_tree(value).expect("API values are plain data");
    match tree {
        Tree::Array(items) => Tree::Array(items.iter().map(|item| ordered(item, named(name))).collect()),
        other => ordered(&other, named(name)),
    }
}

/// A value of an API type as upstream prints its internal form.
pub(crate) fn internal<T: Serialize + ?Sized>(name: &str, value: &T) -> Tree<'static> {
    with_go_names(Some(&json::to_tree(value).expect("API values are plain data")), named(name))
}

fn named(name: &str) -> &'static Type {
    schema::named(name).expect("the schema facts cover every type that a built-in kind holds")
}

fn ordered(tree: &Tree<'_>, type_: &Type) -> Tree<'static> {
    let bytes = schema::canonical(tree, type_);
    json::parse(&bytes).expect("canonical JSON is JSON").tree.into_owned()
}

fn with_go_names(tree: Option<&Tree<'_>>, type_: &Type) -> Tree<'static> {
    let member = |field: &Field| {
        let value = tree.and_then(|tree| tree.get(field.name)).filter(|value| !value.is_null());
        (go_name(field.name).into(), go_value(value, &field.shape, field.pointer))
    };
    Tree::Object(type_.fields.iter().map(member).collect())
}

fn go_value(value: Option<&Tree<'_>>, shape: &Shape, pointer: bool) -> Tree<'static> {
    match (value, shape) {
        (None, _) if pointer => Tree::Null,
        // Types of meta/v1 keep their tags inside of internal ones.
        (Some(value), Shape::Struct(of)) if of.name().contains(".meta.v1.") => ordered(value, of.get()),
        (value, Shape::Struct(of)) => with_go_names(value, of.get()),
        (Some(Tree::Array(items)), Shape::List(element, _)) => {
            Tree::Array(items.iter().map(|item| go_value(Some(item), element, false)).collect())
        }
        (Some(Tree::Object(members)), Shape::Map(element, _)) => {
            let pairs = members.iter();
            let member =
                |(key, value): (&str, _)| (key.to_owned().into(), go_value(Some(value), element, false));
            Tree::Object(pairs.map(member).collect::<Object<'static>>())
        }
        (Some(value), _) => value.clone().into_owned(),
        (None, Shape::String(_)) => Tree::from(""),
        (None, Shape::Bool) => Tree::Bool(false),
        (None, Shape::Int32 | Shape::Int64 | Shape::Float) => Tree::Int(0),
        (None, _) => Tree::Null,
    }
}

/// Beginnings of JSON names that Go writes in capitals.
const CAPITALS: &[(&str, &str)] = &[
    ("api", "API"),
    ("cel", "CEL"),
    ("cidrs", "CIDRs"),
    ("fs", "FS"),
    ("gmsa", "GMSA"),
    ("grpc", "GRPC"),
    ("http", "HTTP"),
    ("ip", "IP"),
    ("se", "SE"),
    ("tcp", "TCP"),
    ("uid", "UID"),
    ("uri", "URI"),
];

/// The name of a Go field, from its name in JSON.
fn go_name(name: &str) -> String {
    let end = name.find(|c: char| c.is_uppercase()).unwrap_or(name.len());
    let (first, rest) = name.split_at(end);
    if let Some((_, capitals)) = CAPITALS.iter().find(|(small, _)| *small == first) {
        return format!("{capitals}{rest}");
    }
    let (letter, tail) = first.split_at(first.len().min(1));
    format!("{}{tail}{rest}", letter.to_uppercase())
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::SeccompProfile;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;

    use super::*;

    #[test]
    fn internal_types_show_every_field_under_its_go_name() {
        let profile = SeccompProfile { type_: "Unconfined".to_owned(), ..Default::default() };
        let shown = internal("io.k8s.api.core.v1.SeccompProfile", &profile).to_string();
        assert_eq!(shown, r#"{"Type":"Unconfined","LocalhostProfile":null}"#);
        assert_eq!(
            ["seLinuxOptions", "apiGroup", "name"].map(go_name),
            ["SELinuxOptions", "APIGroup", "Name"]
        );
    }

    #[test]
    fn versioned_types_keep_the_order_of_their_fields() {
        let owner =
            OwnerReference { api_version: "v1".to_owned(), kind: "A".to_owned(), ..Default::default() };
        let shown = in_order("io.k8s.apimachinery.pkg.apis.meta.v1.OwnerReference", &[owner]).to_string();
        assert_eq!(shown, r#"[{"apiVersion":"v1","kind":"A","name":"","uid":""}]"#);
    }
}
