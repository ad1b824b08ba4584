//! What bindings of both scopes have in common: the reference to a role, subjects, and the table (upstream:
//! `ValidateRoleBinding`, `ValidateRoleBindingSubject`, `printRoleBinding`).

use k8s_openapi::api::rbac::v1::{RoleRef, Subject};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::jiff::Timestamp;
use machinery::field::{Error, ErrorList, Path};
use machinery::table::Column;
use serde_json::Value;

use crate::{cells, checks, defaults, names};

const GROUP: &str = "rbac.authorization.k8s.io";

pub(super) fn set_defaults(role: &mut RoleRef, subjects: Option<&mut Vec<Subject>>) {
    defaults::string(&mut role.api_group, GROUP);
    for subject in subjects.into_iter().flatten() {
        if matches!(subject.kind.as_str(), "User" | "Group") {
            defaults::string(&mut subject.api_group, GROUP);
        }
    }
}

/// `kinds`: the kinds of role that the binding may refer to.
pub(super) fn validate(role: &RoleRef, subjects: Option<&[Subject]>, kinds: &[&str]) -> ErrorList {
    let namespaced = kinds.contains(&"Role");
    let path = Path::new("roleRef");
    let mut errors = supported(checks::text(&role.api_group), &[GROUP], &path.child("apiGroup"));
    errors.extend(supported(&role.kind, kinds, &path.child("kind")));
    let name = path.child("name");
    if role.name.is_empty() {
        errors.push(Error::required(&name, ""));
    } else {
        errors.extend(checks::each(&name, role.name.as_str(), names::path_segment(&role.name, false)));
    }
    for (index, subject) in subjects.unwrap_or_default().iter().enumerate() {
        errors.extend(validate_subject(subject, namespaced, &Path::new("subjects").index(index)));
    }
    errors
}

fn validate_subject(subject: &Subject, namespaced: bool, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let name = path.child("name");
    if subject.name.is_empty() {
        errors.push(Error::required(&name, ""));
    }
    let group = checks::text(&subject.api_group);
    match subject.kind.as_str() {
        "ServiceAccount" => {
            if !subject.name.is_empty() {
                errors.extend(checks::reference(&subject.name, &name));
            }
            errors.extend(supported(group, &[""], &path.child("apiGroup")));
            if !namespaced && checks::text(&subject.namespace).is_empty() {
                errors.push(Error::required(&path.child("namespace"), ""));
            }
        }
        "User" | "Group" => errors.extend(supported(group, &[GROUP], &path.child("apiGroup"))),
        other => {
            let kinds = &["ServiceAccount", "User", "Group"];
            errors.extend(supported(other, kinds, &path.child("kind")));
        }
    }
    errors
}

/// These are plain strings upstream, no enumerations.
fn supported(value: &str, supported: &[&str], path: &Path) -> ErrorList {
    checks::supported_only(value, supported, path).into_iter().map(Error::plain).collect()
}

/// What a binding binds to is decided once.
pub(super) fn validate_role_unchanged(new: &RoleRef, old: &RoleRef) -> Option<Error> {
    let shown = || checks::internal("io.k8s.api.rbac.v1.RoleRef", new);
    (new != old).then(|| Error::invalid(&Path::new("roleRef"), shown(), "cannot change roleRef"))
}

pub(super) fn columns() -> Vec<Column> {
    vec![
        cells::name(),
        cells::column("Role", "string", "Role that is granted."),
        cells::age(),
        cells::wide("Users", "string", "Users it is granted to."),
        cells::wide("Groups", "string", "Groups it is granted to."),
        cells::wide("ServiceAccounts", "string", "Service accounts it is granted to."),
    ]
}

pub(super) fn row(
    meta: &ObjectMeta,
    role: &RoleRef,
    subjects: Option<&[Subject]>,
    now: Timestamp,
) -> Vec<Value> {
    let of = |kind: &str| {
        let subjects = subjects.unwrap_or_default().iter().filter(|subject| subject.kind == kind);
        subjects.map(shown).collect::<Vec<_>>().join(", ")
    };
    vec![
        cells::name_of(meta),
        format!("{}/{}", role.kind, role.name).into(),
        cells::age_of(meta, now),
        of("User").into(),
        of("Group").into(),
        of("ServiceAccount").into(),
    ]
}

fn shown(subject: &Subject) -> String {
    match checks::text(&subject.namespace) {
        namespace if subject.kind == "ServiceAccount" => format!("{namespace}/{}", subject.name),
        _ => subject.name.clone(),
    }
}
