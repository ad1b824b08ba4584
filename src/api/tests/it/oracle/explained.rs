//! Differences that are not failures: those that are meant, and those that wait to be mended.

/// (kind, part of the sort of difference, why it is meant).
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
        "nodeSelector.nodeSelectorTerms  Invalid value",
        "k8s-openapi does not tell an empty list of terms from an absent one, which upstream shows as null",
    ),
    (
        "*",
        "cel.expression  ",
        "there is no compiler of CEL here yet, so that every expression is refused and never taken unchecked",
    ),
    (
        "ResourceClaim",
        "only we cannot read it",
        "k8s-openapi reads no condition without lastTransitionTime, which is refused as 400, not 422",
    ),
    (
        "ServiceCIDR",
        "only we cannot read it",
        "k8s-openapi reads no condition without lastTransitionTime, which is refused as 400; upstream takes its zero",
    ),
    (
        "IPAddress",
        "spec.parentRef",
        "k8s-openapi does not tell an empty reference from an absent one, for which upstream has another sentence",
    ),
    (
        "Event",
        "only we cannot read it",
        "k8s-openapi reads no series of events.k8s.io without lastObservedTime, which is refused as 400, not 422",
    ),
    (
        "Service",
        "only we cannot read it",
        "k8s-openapi reads no condition without lastTransitionTime, which is refused as 400; upstream takes its zero",
    ),
    (
        "CertificateSigningRequest",
        "spec.request",
        "k8s-openapi does not tell empty bytes from absent ones, which upstream shows as null",
    ),
];

/// (kind, part of the sort of difference, what is missing). Nobody meant these; what is mended leaves the list, which is
/// to be empty.
const OPEN: &[(&str, &str, &str)] = &[
    (
        "PodTemplate",
        "object  metadata.generation",
        "a change that counts upstream and not here, seen with seed 2",
    ),
    (
        "DeviceClass",
        "generateName was specified",
        "an update that takes the name away is refused with one sentence more upstream",
    ),
    (
        "ResourceClaimTemplate",
        "spec  Invalid value:: field is immutable",
        "how the whole spec is shown where it is refused, seen once in 900 questions",
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
        list.iter().any(|(of, part, _)| (*of == "*" || *of == kind) && sort.contains(part))
    };
    if is_in(MEANT) { Some(Known::Meant) } else { is_in(OPEN).then_some(Known::Open) }
}
