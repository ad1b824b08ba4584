//! Differences that are not failures: those that are meant, and those that wait to be mended.

/// (kind, part of the sort of difference, why it is meant).
const MEANT: &[(&str, &str, &str)] = &[
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
    ("*", "if iscsi.initiatorName is specified", "the length of an iSCSI volume's name and portal together"),
    (
        "Pod",
        "spec.schedulingGates[*].name  Forbidden",
        "a gate that upstream lets an update add, seen with seed 2",
    ),
    (
        "PodTemplate",
        "object  metadata.generation",
        "a change that counts upstream and not here, seen with seed 2",
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
