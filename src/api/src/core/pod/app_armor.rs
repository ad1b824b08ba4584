//! AppArmor profiles by annotation, the older way: a new pod's fields take over what its annotations say (upstream:
//! `applyAppArmorVersionSkew`).

use k8s_openapi::api::core::v1::{AppArmorProfile, Container, Pod, PodSpec};
use machinery::field::Path;

use super::ephemeral::with_container;
use super::validate;

pub(super) const PREFIX: &str = "container.apparmor.security.beta.kubernetes.io/";

/// The profile that an annotation names; `None` where it names none.
pub(super) fn profile_of(annotation: &str) -> Option<AppArmorProfile> {
    let profile = |type_: &str, file: Option<&str>| AppArmorProfile {
        type_: type_.to_owned(),
        localhost_profile: file.map(str::to_owned),
    };
    match annotation {
        "unconfined" => Some(profile("Unconfined", None)),
        "runtime/default" => Some(profile("RuntimeDefault", None)),
        other => {
            let file = other.strip_prefix("localhost/").filter(|file| !file.is_empty())?;
            Some(profile("Localhost", Some(file)))
        }
    }
}

/// What is to become of one container's annotation.
enum Fate {
    /// The container has a profile, or no annotation.
    Unneeded,
    /// The annotation says what holds for the pod anyway.
    Redundant,
    /// The annotation names no profile.
    Unusable,
    /// The field takes it over.
    Taken(AppArmorProfile),
}

fn fate(pod: &Pod, container: &Container) -> Fate {
    let context = container.security_context.as_ref();
    let key = format!("{PREFIX}{}", container.name);
    let annotation = pod.metadata.annotations.as_ref().and_then(|all| all.get(&key));
    let Some(annotation) =
        annotation.filter(|_| context.is_none_or(|context| context.app_armor_profile.is_none()))
    else {
        return Fate::Unneeded;
    };
    let is_valid = |profile: &AppArmorProfile| validate::app_armor_profile(profile, &Path::root()).is_empty();
    match profile_of(annotation).filter(is_valid) {
        None => Fate::Unusable,
        Some(profile) if of_pod(pod) == Some(&profile) => Fate::Redundant,
        Some(profile) => Fate::Taken(profile),
    }
}

fn of_pod(pod: &Pod) -> Option<&AppArmorProfile> {
    pod.spec.as_ref()?.security_context.as_ref()?.app_armor_profile.as_ref()
}

fn is_for_windows(spec: &PodSpec) -> bool {
    spec.os.as_ref().is_some_and(|os| os.name == "windows")
}

/// Fills in the fields.
pub(super) fn sync(pod: &mut Pod) {
    let before = pod.clone();
    let Some(spec) = pod.spec.as_mut().filter(|spec| !is_for_windows(spec)) else { return };
    let take = |container: &mut Container| {
        if let Fate::Taken(profile) = fate(&before, container) {
            container.security_context.get_or_insert_default().app_armor_profile = Some(profile);
        }
    };
    spec.init_containers.iter_mut().flatten().chain(&mut spec.containers).for_each(take);
    for ephemeral in spec.ephemeral_containers.iter_mut().flatten() {
        with_container(ephemeral, take);
    }
}

/// Warnings about annotations that the fields of `pod`, which has not been prepared yet, will take over or that name no
/// profile.
pub(super) fn warnings(pod: &Pod) -> Vec<String> {
    let Some(spec) = pod.spec.as_ref().filter(|spec| !is_for_windows(spec)) else { return vec![] };
    let ephemeral = spec.ephemeral_containers.iter().flatten().map(super::ephemeral::as_container);
    let containers = spec.init_containers.iter().flatten().chain(&spec.containers).cloned().chain(ephemeral);
    let warned =
        containers.filter(|container| matches!(fate(pod, container), Fate::Unusable | Fate::Taken(_)));
    let path = Path::new("metadata.annotations");
    warned.map(|container| deprecation(&path.key(&format!("{PREFIX}{}", container.name)))).collect()
}

/// The text about an annotation at `path`.
pub(super) fn deprecation(path: &Path) -> String {
    format!("{path}: deprecated since v1.30; use the \"appArmorProfile\" field instead")
}
