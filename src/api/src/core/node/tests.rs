use super::*;
use crate::testing::{defaulted, errors_of, errors_of_update};

#[test]
fn what_is_not_said_to_be_reserved_is_allocatable() {
    defaulted::<Node>(
        r#"{"status":{"capacity":{"cpu":"2"}}}"#,
        r#"{"status":{"capacity":{"cpu":"2"},"allocatable":{"cpu":"2"}}}"#,
    );
}

#[test]
fn taints_are_unique_and_have_known_effects() {
    let check = errors_of::<Node>;
    check(r#"{"spec":{"taints":[{"key":"a","effect":"NoSchedule"},{"key":"a","effect":"NoExecute"}]}}"#, &[]);
    check(
        r#"{"spec":{"taints":[{"key":"a","effect":"Never"}]}}"#,
        &[
            "metadata.taints[0].effect: Unsupported value: \"Never\": supported values: \"NoSchedule\", \"PreferNoSchedule\", \"NoExecute\"",
        ],
    );
    check(
        r#"{"spec":{"taints":[{"key":"a","effect":"NoSchedule"},{"key":"a","effect":"NoSchedule"}]}}"#,
        &[
            "metadata.taints[1]: Duplicate value: {\"Key\":\"a\",\"Value\":\"\",\"Effect\":\"NoSchedule\",\"TimeAdded\":null}: taints must be unique by key and effect pair",
        ],
    );
}

#[test]
fn pod_cidrs_are_one_per_family() {
    let check = errors_of::<Node>;
    check(r#"{"spec":{"podCIDRs":["10.0.0.0/24","fd00::/64"]}}"#, &[]);
    check(
        r#"{"spec":{"podCIDRs":["10.0.0.0/24","10.0.1.0/24"]}}"#,
        &[
            "spec.podCIDRs: Invalid value: [\"10.0.0.0/24\",\"10.0.1.0/24\"]: may specify no more than one CIDR for each IP family",
        ],
    );
}

#[test]
fn a_pod_cidr_stays() {
    let detail = "spec.podCIDRs: Forbidden: node updates may not change podCIDR except from \"\" to valid";
    let check = errors_of_update::<Node>;
    check("{}", r#"{"spec":{"podCIDRs":["10.0.0.0/24"]}}"#, &[]);
    check(r#"{"spec":{"podCIDRs":["10.0.0.0/24"]}}"#, r#"{"spec":{"podCIDRs":["10.0.1.0/24"]}}"#, &[detail]);
}

#[test]
fn one_pod_cidr_is_the_first_of_all() {
    let both = r#"{"spec":{"podCIDR":"10.0.0.0/24","podCIDRs":["10.0.0.0/24"]}}"#;
    defaulted::<Node>(r#"{"spec":{"podCIDR":"10.0.0.0/24"}}"#, both);
    defaulted::<Node>(r#"{"spec":{"podCIDRs":["10.0.0.0/24"]}}"#, both);
}
