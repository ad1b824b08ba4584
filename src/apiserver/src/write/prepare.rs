//! Third stage: what the server owns is set, what the request may not change is put back (upstream `rest.BeforeCreate`,
//! `rest.BeforeUpdate`).

use std::collections::{HashMap, HashSet};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use machinery::field::{Error, Path};
use machinery::gvk::GroupKind;
use machinery::{Status, meta};

use super::{Draft, Intent, Old, Source, View};
use crate::special;

/// Upstream's `OptimisticLockErrorMsg`.
const LOCK: &str =
    "the object has been modified; please apply your changes to the latest version and try again";

/// Prepares the draft for creation or update.
pub(super) fn prepare(intent: &Intent<'_>, draft: &mut Draft) -> Result<(), Status> {
    match &draft.old {
        None => create(intent, draft),
        Some(old) => {
            check_preconditions(intent, draft.new.meta(), old)?;
            update(intent, draft);
            Ok(())
        }
    }
}

fn create(intent: &Intent<'_>, draft: &mut Draft) -> Result<(), Status> {
    let new = &mut draft.new;
    if let (Source::Replacement(_), Some(uid)) = (&intent.source, &new.meta().uid)
        && !uid.is_empty()
    {
        let why = format!("Precondition failed: UID in precondition: {uid}, UID in object meta: ");
        return Err(Status::conflict(&intent.group_resource(), &intent.name, why));
    }
    meta::wipe_system_fields(new.meta_mut());
    new.meta_mut().uid = Some(meta::new_uid());
    new.meta_mut().creation_timestamp = Some(meta::whole_seconds(intent.call.now));
    if new.meta().name.as_deref().unwrap_or_default().is_empty()
        && let Some(base) = new.meta().generate_name.clone().filter(|base| !base.is_empty())
    {
        new.meta_mut().name = Some(intent.kind.generate_name(&base));
    }
    owners(intent, new.meta_mut());
    intent.kind.preparation_warnings(new).into_iter().for_each(|warning| intent.call.warn(warning));
    intent.kind.prepare_for_create(new, &intent.context());
    Ok(())
}

/// An owner counts once (upstream `dedupOwnerReferencesAndAddWarning`).
fn owners(intent: &Intent<'_>, meta: &mut ObjectMeta) {
    let Some(owners) = &mut meta.owner_references else { return };
    let mut seen: Vec<OwnerReference> = Vec::with_capacity(owners.len());
    let mut places: HashMap<String, Vec<usize>> = HashMap::new();
    let mut repeated: Vec<String> = Vec::new();
    let mut is_told: HashSet<String> = HashSet::new();
    for owner in owners.drain(..) {
        let alike = places.entry(owner.uid.clone()).or_default();
        if !alike.iter().any(|at| seen[*at] == owner) {
            alike.push(seen.len());
            seen.push(owner);
        } else if is_told.insert(owner.uid.clone()) {
            repeated.push(owner.uid);
        }
    }
    *owners = seen;
    if !repeated.is_empty() {
        intent.call.warn(format!("{DOUBLED_OWNERS} {}", repeated.join(", ")));
    }
}

/// Upstream's warning.
const DOUBLED_OWNERS: &str = ".metadata.ownerReferences contains duplicate entries; API server dedups owner references in \
    1.20+, and may reject such requests as early as 1.24; please fix your requests; duplicate UID(s) observed:";

/// What the client sent as uid and `resourceVersion` must be the current object's.
fn check_preconditions(intent: &Intent<'_>, new: &ObjectMeta, old: &Old) -> Result<(), Status> {
    let resource = intent.group_resource();
    let current_uid = old.object.meta().uid.as_deref().unwrap_or_default();
    if let Some(uid) = new.uid.as_deref().filter(|uid| !uid.is_empty() && *uid != current_uid) {
        if matches!(intent.source, Source::Patch(..)) {
            return Err(immutable_uid(intent, uid));
        }
        let why =
            format!("Precondition failed: UID in precondition: {uid}, UID in object meta: {current_uid}");
        return Err(Status::conflict(&resource, &intent.name, why));
    }
    match new.resource_version.as_deref().unwrap_or_default() {
        "" | "0" if intent.kind.allow_unconditional_update => Ok(()),
        "" | "0" => {
            let path = Path::new("metadata").child("resourceVersion");
            let errors = [Error::invalid(&path, 0, "must be specified for an update")];
            Err(Status::invalid(&GroupKind::new(resource.group, resource.resource), &intent.name, &errors))
        }
        version if version.parse() == Ok(old.entry.revision) => Ok(()),
        version if version.parse::<u64>().is_err() => {
            let why = format!("strconv.ParseUint: parsing {version:?}: invalid syntax");
            Err(Status::failure(500, "", why))
        }
        _ => Err(Status::conflict(&resource, &intent.name, LOCK)),
    }
}

/// A patch is no precondition: its uid is a change, which upstream refuses twice, generically and for the kind.
fn immutable_uid(intent: &Intent<'_>, uid: &str) -> Status {
    let path = Path::new("metadata").child("uid");
    let errors = [(); 2].map(|()| Error::invalid(&path, uid, "field is immutable"));
    Status::invalid(&intent.kind.gvk.group_kind(), &intent.name, &errors)
}

fn update(intent: &Intent<'_>, draft: &mut Draft) {
    let Draft { new, old, .. } = draft;
    let old = &old.as_ref().expect("an update has an old object").object;
    new.meta_mut().uid.clone_from(&old.meta().uid);
    new.meta_mut().resource_version.clone_from(&old.meta().resource_version);
    match intent.view {
        View::Main => intent.kind.prepare_for_update(new, old, &intent.context()),
        View::Status => intent.kind.prepare_for_status_update(new, old, &intent.context()),
        View::Approval => intent.kind.prepare_for_approval_update(new, old, &intent.context()),
        View::EphemeralContainers => {
            intent.kind.prepare_for_ephemeral_containers_update(new, old, &intent.context());
        }
        View::Finalize => special::prepare_to_finalize(new, old),
    }
    let (new, old) = (new.meta_mut(), old.meta());
    owners(intent, new);
    new.creation_timestamp.clone_from(&old.creation_timestamp);
    if old.deletion_timestamp.is_some() {
        new.deletion_timestamp.clone_from(&old.deletion_timestamp);
    }
    if new.deletion_grace_period_seconds.is_none() {
        new.deletion_grace_period_seconds = old.deletion_grace_period_seconds;
    }
    new.self_link = None;
}
