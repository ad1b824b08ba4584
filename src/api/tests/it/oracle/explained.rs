//! Differences that are not failures: those that are meant, and those that wait to be mended.

/// (kind, part of the sort of difference, why it is meant).
const MEANT: &[(&str, &str, &str)] = &[
    (
        "*",
        "an absent list is read as empty",
        "k8s-openapi does not tell an absent required list from an empty one, nor do clients",
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
        "Deployment",
        "spec.selector",
        "k8s-openapi does not tell an absent selector from an empty one; what is said is upstream's text for the absent one",
    ),
    ("ReplicaSet", "spec.selector", "as Deployment"),
    (
        "Deployment",
        "spec.template.metadata.labels  Invalid value:: `selector`",
        "as above: an empty selector fits no labels",
    ),
    ("ReplicaSet", "spec.template.metadata.labels  Invalid value:: `selector`", "as above"),
    (
        "CertificateSigningRequest",
        "spec.request",
        "k8s-openapi does not tell absent bytes from empty ones, which upstream shows as null",
    ),
];

/// (kind, part of the sort of difference, what is missing). Nobody meant these; what is mended leaves the list.
const OPEN: &[(&str, &str, &str)] = &[
    ("*", "order of errors", "errors of one object in another order"),
    ("*", "order of warnings", "warnings of one object in another order"),
    ("*", "volumeClaimTemplate", "the claim template of an ephemeral volume is checked in part"),
    ("*", "csi.", "a CSI volume's driver and secret, where the name is not ASCII"),
    ("*", "iscsi.initiatorname", "the form of iSCSI initiator names"),
    ("*", "cephfs.monitors", "an empty list of monitors that older servers took"),
    ("*", "imagePullPolicy", "image references that cannot be parsed, by the grammar of image names"),
    ("*", "has no sources provided", "the place of this warning among others"),
    ("*", "lifecycle", "a lifecycle of which only a dropped field was set stays as an empty one"),
    ("*", "seLinuxChangePolicy", "what a template had before its update may stay"),
    ("*", "resizePolicy", "what a template had before its update may stay"),
    ("*", "fileKeyRef", "files of environments in ephemeral containers"),
    ("*", "volumeDevices", "an empty name of a device, and devices of pods with users of their own"),
    ("*", "overhead", "strings of named types in messages about resources; huge pages in overhead"),
    ("*", "hugepages-", "amounts of huge pages beyond what is counted exactly"),
    ("*", "hostIP set without hostPort", "the warning about an address without a port"),
    ("*", "dnsConfig.searches", "upstream's limit for a search path with an underscore"),
    ("*", "tolerations[*]", "strings of named types in messages about tolerations"),
    ("*", "sysctls", "sysctls that older servers took with hostNetwork"),
    ("*", "restartPolicyRules", "rules of init containers"),
    ("*", "terminationGracePeriodSeconds", "a negative grace period is stored as 1"),
    ("*", "container not found", "annotations of pods that are updated without containers"),
    (
        "*",
        "metadata.annotations.seccomp",
        "profiles by annotation are looked at twice in an update of a status",
    ),
    (
        "Pod",
        "status.",
        "parts of the status: allocated resources, volume status, address families, claims of the node",
    ),
    ("Service", "spec.clusterIPs", "addresses that older servers took, and of families that are no families"),
    ("Service", "spec.ipFamil", "corner cases of upstream's initIPFamilyFields"),
    ("Service", "spec.LoadBalancerSourceRanges", "ranges that older servers took"),
    ("Service", "missing error  spec.", "what upstream says beside an address that older servers took"),
    ("Service", "surplus error  spec.type", "as above"),
    ("EndpointSlice", "metadata.generation", "a change between an absent and an empty value"),
    ("Deployment", "metadata.generation", "a change between an absent and an empty value"),
    ("ReplicaSet", "metadata.generation", "a change between an absent and an empty value"),
    ("Deployment", "spec.strategy.rollingUpdate", "an amount that is null"),
    ("ReplicaSet", "cell  Selector", "values that a selector names twice"),
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
