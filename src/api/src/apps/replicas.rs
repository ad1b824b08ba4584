//! What all kinds that keep replicas of a pod have in common: selector, template, status counts, warnings (upstream:
//! `ValidatePodTemplateSpecForReplicaSet`).

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::PodTemplateSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use machinery::field::{Error, ErrorList, Path};
use machinery::json::Tree;
use machinery::names;
use machinery::selector::label;

use crate::checks;
use crate::core::pod;

/// Marks the selector of an object that a client sent as present, which its type does not tell from absent where it is
/// empty: then it has no labels, rather than none.
pub(super) fn mark_present(selector: &mut LabelSelector, sent: &Tree<'_>) {
    let is_sent = sent.get("spec").and_then(|spec| spec.get("selector")).is_some_and(|sent| !sent.is_null());
    if is_sent && is_absent(selector) {
        selector.match_labels = Some(BTreeMap::new());
    }
}

fn is_absent(selector: &LabelSelector) -> bool {
    selector.match_labels.is_none() && selector.match_expressions.is_none()
}

/// The selector must select something, and the template's labels must fit it.
pub(super) fn validate(
    selector: &LabelSelector,
    template: Option<&PodTemplateSpec>,
    old: Option<&PodTemplateSpec>,
    spec: &Path,
) -> ErrorList {
    let path = spec.child("selector");
    let given = (!is_absent(selector)).then_some(selector);
    let mut errors = checks::label_selector(given, &path);
    if given.is_none() {
        errors.push(Error::required(&path, ""));
    } else if is_empty(selector) {
        errors.push(Error::invalid(&path, shown(given), "empty selector is invalid for deployment"));
    }
    match label::Selector::from_label_selector(given) {
        Err(_) => errors.push(Error::invalid(&path, shown(given), "invalid label selector")),
        Ok(parsed) => {
            let is_selected = |meta: &ObjectMeta| parsed.matches_map(meta.labels.as_ref());
            errors.extend(validate_template(template, old, is_selected, spec));
        }
    }
    errors
}

/// A selector as messages show it.
fn shown(selector: Option<&LabelSelector>) -> Tree<'static> {
    selector.map_or(Tree::Null, |selector| {
        checks::in_order("io.k8s.apimachinery.pkg.apis.meta.v1.LabelSelector", selector)
    })
}

/// The selector is decided once.
pub(super) fn validate_selector_unchanged(new: &LabelSelector, old: &LabelSelector) -> Option<Error> {
    let same = is_absent(new) == is_absent(old)
        && checks::same("io.k8s.apimachinery.pkg.apis.meta.v1.LabelSelector", new, old);
    let new = (!is_absent(new)).then_some(new);
    (!same).then(|| Error::invalid(&Path::new("spec.selector"), shown(new), "field is immutable"))
}

fn is_empty(selector: &LabelSelector) -> bool {
    selector.match_labels.as_ref().is_none_or(BTreeMap::is_empty)
        && selector.match_expressions.as_ref().is_none_or(Vec::is_empty)
}

fn validate_template(
    template: Option<&PodTemplateSpec>,
    old: Option<&PodTemplateSpec>,
    is_selected: impl Fn(&ObjectMeta) -> bool,
    spec: &Path,
) -> ErrorList {
    let path = spec.child("template");
    let absent = PodTemplateSpec::default();
    let template = template.unwrap_or(&absent);
    let meta = template.metadata.clone().unwrap_or_default();
    let mut errors = ErrorList::new();
    if !is_selected(&meta) {
        let detail = "`selector` does not match template `labels`";
        errors.push(Error::invalid(&path.child("metadata.labels"), &meta.labels, detail));
    }
    errors.extend(pod::template::validate(template, old, &path));
    let Some(pod_spec) = &template.spec else { return errors };
    let restart_policy = checks::text(&pod_spec.restart_policy);
    errors.extend(checks::supported_only(restart_policy, &["Always"], &path.child("spec.restartPolicy")));
    if pod_spec.active_deadline_seconds.is_some() {
        let detail = "activeDeadlineSeconds in ReplicaSet is not Supported";
        errors.push(Error::forbidden(&path.child("spec.activeDeadlineSeconds"), detail));
    }
    errors
}

/// Counts of a status: each not negative, none above the number of replicas.
pub(super) struct Counts<'a> {
    /// The generation, where upstream looks at it first.
    pub(super) generation: Option<i64>,
    pub(super) replicas: i32,
    /// Counts that may not exceed `replicas`, by field name.
    pub(super) parts: &'a [(&'a str, Option<i32>)],
    /// Other counts.
    pub(super) others: &'a [(&'a str, Option<i64>)],
    pub(super) ready: Option<i32>,
    pub(super) available: Option<i32>,
}

impl Counts<'_> {
    pub(super) fn validate(&self) -> ErrorList {
        let path = Path::new("status");
        let generation = self.generation.unwrap_or_default();
        let mut errors = checks::nonnegative(generation, &path.child("observedGeneration"));
        errors.extend(checks::nonnegative(self.replicas.into(), &path.child("replicas")));
        for (name, count) in self.parts {
            errors.extend(checks::nonnegative(count.unwrap_or_default().into(), &path.child(name)));
        }
        for (name, count) in self.others {
            errors.extend(checks::nonnegative(count.unwrap_or_default(), &path.child(name)));
        }
        for (name, count) in self.parts {
            let count = count.unwrap_or_default();
            if count > self.replicas {
                let detail = "cannot be greater than status.replicas";
                errors.push(Error::invalid(&path.child(name), count, detail));
            }
        }
        let available = self.available.unwrap_or_default();
        if available > self.ready.unwrap_or_default() {
            let detail = "cannot be greater than readyReplicas";
            errors.push(Error::invalid(&path.child("availableReplicas"), available, detail));
        }
        errors
    }
}

/// Warnings about a new object or a changed template.
pub(super) fn warnings(
    meta: &ObjectMeta,
    old: Option<&ObjectMeta>,
    template: Option<&PodTemplateSpec>,
) -> Vec<String> {
    let mut warnings = vec![];
    let Some(old) = old else {
        warnings.extend(long_name(meta));
        warnings.extend(template.map(template_warnings).unwrap_or_default());
        return warnings;
    };
    if meta.generation != old.generation {
        warnings.extend(template.map(template_warnings).unwrap_or_default());
    }
    warnings
}

fn template_warnings(template: &PodTemplateSpec) -> Vec<String> {
    pod::template::warnings(template, &Path::new("spec.template"))
}

fn long_name(meta: &ObjectMeta) -> Option<String> {
    let messages = names::dns1123_label(checks::text(&meta.name));
    let text = format!(
        "metadata.name: this is used in Pod names and hostnames, which can result in surprising behavior; a DNS label is recommended: [{}]",
        messages.join(" ")
    );
    (!messages.is_empty()).then_some(text)
}
