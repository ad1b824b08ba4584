//! Differences that are not failures: those that are meant, and those that wait to be mended.

/// (kind, sort of difference, why it is meant). `…` stands for anything.
const MEANT: &[(&str, &str, &str)] = &[
    (
        "ResourceSlice",
        "upstream panics",
        "upstream divides by a range's step of nothing, which is refused here",
    ),
    (
        "ResourceSlice",
        "only we cannot read it",
        "k8s-openapi has a range's minimum always, which upstream's may lack in an object that is refused",
    ),
    (
        "ResourceSlice",
        "… error  spec.nodeSelector.nodeSelectorTerms  Invalid value:: must have exactly one node selector term",
        "k8s-openapi does not tell an empty list of terms from an absent one, which upstream shows as null",
    ),
    (
        "*",
        "surplus error  …cel.expression  Invalid value:: CEL expressions cannot be compiled by this server yet",
        "there is no compiler of CEL here yet, so that every expression is refused and never taken unchecked",
    ),
    (
        "*",
        "missing error  …cel.expression  Invalid value:: compilation failed: …",
        "upstream's compiler says what is wrong",
    ),
    (
        "*",
        "missing error  …cel.expression  Invalid value:: must evaluate to bool or the unknown type, not …",
        "upstream's compiler knows the type",
    ),
    (
        "IPAddress",
        "missing error  spec.parentRef.name  Required value",
        "k8s-openapi does not tell an empty reference from an absent one, for which upstream has another sentence",
    ),
    ("IPAddress", "missing error  spec.parentRef.resource  Required value", "see the name"),
    ("IPAddress", "surplus error  spec.parentRef  Required value", "see the name"),
    (
        "IPAddress",
        "missing error  spec.parentRef  Invalid value:: field is immutable",
        "an empty reference that becomes an absent one, or the reverse; how it is shown",
    ),
    ("IPAddress", "surplus error  spec.parentRef  Invalid value:: field is immutable", "how it is shown"),
    (
        "Event",
        "only we cannot read it",
        "k8s-openapi reads no series of events.k8s.io without lastObservedTime, which is refused as 400, not 422",
    ),
    (
        "CertificateSigningRequest",
        "missing error  spec.request  Invalid value:: PEM block type must be CERTIFICATE REQUEST",
        "k8s-openapi does not tell empty bytes from absent ones, which upstream shows as null",
    ),
    (
        "CertificateSigningRequest",
        "surplus error  spec.request  Invalid value:: PEM block type must be CERTIFICATE REQUEST",
        "see the missing one",
    ),
];

/// (kind, sort of difference, what is missing). Nobody meant these; what is mended leaves the list, which is to be empty.
const OPEN: &[(&str, &str, &str)] = &[
    (
        "PodTemplate",
        "object  metadata.generation",
        "a change that counts upstream and not here, seen with seed 2",
    ),
    (
        "ResourceClaimTemplate",
        "missing error  spec  Invalid value:: field is immutable",
        "how the whole spec is shown where it is refused, seen once in 900 questions",
    ),
    (
        "ResourceClaimTemplate",
        "surplus error  spec  Invalid value:: field is immutable",
        "how the whole spec is shown where it is refused, seen once in 900 questions",
    ),
    (
        "ResourceClaim",
        "missing error  status.allocation  Invalid value:: field is immutable",
        "how the whole allocation is shown where it is refused, seen twice in 146 questions",
    ),
    (
        "ResourceClaim",
        "surplus error  status.allocation  Invalid value:: field is immutable",
        "how the whole allocation is shown where it is refused, seen twice in 146 questions",
    ),
    (
        "DeviceClass",
        "missing error  metadata.name  Invalid value:: must be no more than # bytes",
        "upstream counts the names of this kind in bytes, and we in characters, seen with 900 objects",
    ),
    (
        "DeviceClass",
        "surplus error  metadata.name  Invalid value:: must be no more than # characters",
        "upstream counts the names of this kind in bytes, and we in characters, seen with 900 objects",
    ),
    (
        "EndpointSlice",
        "missing error  ports[*].protocol  Unsupported value:: supported values: \"\", \"\", \"\"",
        "an update's unknown protocol that is not told, seen once in 450 questions",
    ),
    (
        "Event",
        "surplus error  involvedObject  Invalid value:: field is immutable",
        "an update that upstream takes, seen once in 450 questions",
    ),
];

/// What is known about a difference.
pub(super) enum Known {
    /// It is meant.
    Meant,
    /// It waits to be mended.
    Open,
}

/// What is known about this difference, if anything.
pub(super) fn known(kind: &str, sort: &str) -> Option<Known> {
    let is_in = |list: &[(&str, &str, &str)]| {
        list.iter().any(|(of, pattern, _)| (*of == "*" || *of == kind) && is_like(sort, pattern))
    };
    if is_in(MEANT) { Some(Known::Meant) } else { is_in(OPEN).then_some(Known::Open) }
}

/// Whether a text is as a pattern says, in which `…` stands for anything.
fn is_like(text: &str, pattern: &str) -> bool {
    let Some((before, after)) = pattern.split_once('…') else { return text == pattern };
    let Some(rest) = text.strip_prefix(before) else { return false };
    rest.char_indices().map(|(at, _)| at).chain([rest.len()]).any(|at| is_like(&rest[at..], after))
}

#[test]
fn what_is_known_is_known_exactly() {
    assert!(is_like("missing error  a.b  wrong: x", "missing error  …b  wrong: …"));
    assert!(!is_like("missing error  a.b  wrong", "missing error  a.b"));
    assert!(!is_like("missing error  a.b  wrong", "error  a.b  wrong"));
    assert!(!is_like("surplus error  a.b  wrong", "missing error  …b  wrong"));
}
