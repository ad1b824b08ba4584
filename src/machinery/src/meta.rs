//! The metadata that every object has.
//!
//! Over `k8s-openapi`'s `ObjectMeta`: names and uids for new objects, what may be in it, what an update may change, who
//! controls an object. Called by the request path and by controllers. Never looks at spec or status.

mod validate;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use rand::Rng;
use rand::seq::IndexedRandom;

pub use validate::{
    TOTAL_ANNOTATION_SIZE_LIMIT, validate_annotations, validate_field_manager, validate_immutable,
    validate_label_requirement, validate_label_selector, validate_labels, validate_non_negative,
    validate_object_meta, validate_object_meta_update,
};

/// The finalizer by which the garbage collector orphans dependents.
pub const FINALIZER_ORPHAN: &str = "orphan";
/// The finalizer by which the garbage collector deletes dependents first.
pub const FINALIZER_FOREGROUND_DELETION: &str = "foregroundDeletion";
/// The longest base of a generated name; what follows is the suffix.
pub const MAX_GENERATED_BASE: usize = 58;

const ALPHANUMERICS: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";

/// A name that begins with `base` (as much as fits) and ends with five random characters.
pub fn generate_name(base: &str) -> String {
    let mut end = base.len().min(MAX_GENERATED_BASE);
    while !base.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{}", &base[..end], random_suffix(5))
}

/// Random characters of upstream's alphabet, which makes no words.
pub fn random_suffix(len: usize) -> String {
    let mut rng = rand::rng();
    (0..len)
        .map(|_| char::from(*ALPHANUMERICS.choose(&mut rng).expect("the alphabet is not empty")))
        .collect()
}

/// Writes a hash, or another text of digits, in the same alphabet, as names of ReplicaSets do.
pub fn safe_encode(text: &str) -> String {
    text.chars().map(|c| char::from(ALPHANUMERICS[c as usize % ALPHANUMERICS.len()])).collect()
}

/// A new random uid (UUID version 4).
pub fn new_uid() -> String {
    let bits: u128 = rand::rng().random();
    let bits = bits & !(0xf << 76) & !(0x3 << 62) | (0x4 << 76) | (0x2 << 62);
    let hex = format!("{bits:032x}");
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

/// This moment in whole seconds, as objects carry it.
pub fn now() -> Time {
    whole_seconds(Timestamp::now())
}

/// A moment in whole seconds.
pub fn whole_seconds(moment: Timestamp) -> Time {
    Time(Timestamp::from_second(moment.as_second()).expect("the seconds of a timestamp are in its range"))
}

/// Whether the object carries this finalizer.
pub fn has_finalizer(meta: &ObjectMeta, name: &str) -> bool {
    meta.finalizers.iter().flatten().any(|finalizer| finalizer == name)
}

/// Clears what only the server sets, before an object is created.
pub fn wipe_system_fields(meta: &mut ObjectMeta) {
    meta.creation_timestamp = None;
    meta.uid = None;
    meta.deletion_timestamp = None;
    meta.deletion_grace_period_seconds = None;
    meta.self_link = None;
}

#[cfg(test)]
mod tests;
