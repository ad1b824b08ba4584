//! Tolerations, spreading over topologies, and gates (upstream: `ValidateTolerations`,
//! `validateTopologySpreadConstraints`, `validateSchedulingGates`).

use k8s_openapi::api::core::v1::{PodSpec, Toleration, TopologySpreadConstraint};
use machinery::field::{Error, ErrorList, Path};
use machinery::{json, names};

use super::{Allowed, affinity};
use crate::checks::{self, text};
use crate::core::node::TAINT_EFFECTS;

const ACTIONS: &[&str] = &["DoNotSchedule", "ScheduleAnyway"];

pub(in super::super) fn validate_tolerations(
    tolerations: &[Toleration],
    allowed: &Allowed,
    path: &Path,
) -> ErrorList {
    let tolerations = tolerations.iter().enumerate();
    tolerations
        .flat_map(|(index, toleration)| validate_toleration(toleration, allowed, &path.index(index)))
        .collect()
}

fn validate_toleration(toleration: &Toleration, allowed: &Allowed, path: &Path) -> ErrorList {
    let (key, value) = (text(&toleration.key), text(&toleration.value));
    let (operator, effect) = (text(&toleration.operator), text(&toleration.effect));
    let operator_path = path.child("operator");
    let mut errors = ErrorList::new();
    if !key.is_empty() {
        errors.extend(checks::label_key(key, &path.child("key")));
    } else if operator != "Exists" {
        let detail =
            "operator must be Exists when `key` is empty, which means \"match all values and all keys\"";
        errors.push(Error::invalid(&operator_path, operator, detail).named());
    }
    if toleration.toleration_seconds.is_some() && effect != "NoExecute" {
        let detail = "effect must be 'NoExecute' when `tolerationSeconds` is set";
        errors.push(Error::invalid(&path.child("effect"), effect, detail).named());
    }
    match operator {
        "Equal" | "" => {
            let messages = names::label_value(value);
            if !messages.is_empty() {
                errors.push(Error::invalid(&operator_path, value, messages.join(";")));
            }
        }
        "Exists" if !value.is_empty() => {
            let detail = "value must be empty when `operator` is 'Exists'";
            errors.push(Error::invalid(&operator_path, value, detail));
        }
        "Exists" => {}
        "Lt" | "Gt" if allowed.comparisons => errors.extend(validate_number(value, &path.child("value"))),
        "Lt" | "Gt" => {
            let operators = &["Equal", "Exists", "Lt", "Gt"];
            errors.push(Error::not_supported(&operator_path, operator, operators));
        }
        other => errors.push(Error::not_supported(&operator_path, other, &["Equal", "Exists"])),
    }
    if !effect.is_empty() {
        errors.extend(checks::supported_only(effect, TAINT_EFFECTS, &path.child("effect")));
    }
    errors
}

/// A number that taints are compared with, in decimal digits that can be read in one way only.
fn validate_number(value: &str, path: &Path) -> ErrorList {
    let digits = value.strip_prefix('-').unwrap_or(value);
    let is_plain = value == "0"
        || (digits.bytes().all(|byte| byte.is_ascii_digit())
            && !digits.is_empty()
            && !digits.starts_with('0'));
    let detail = if value.is_empty() {
        "must be non-empty"
    } else {
        "must be a valid decimal integer in canonical form"
    };
    let mut errors = ErrorList::from_iter((!is_plain).then(|| Error::invalid(path, value, detail)));
    if value.parse::<i64>().is_err() {
        let number = value.strip_prefix(['-', '+']).unwrap_or(value);
        let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
        let why = if is_number { "value out of range" } else { "invalid syntax" };
        let detail = format!("strconv.ParseInt: parsing {}: {why}", json::quoted(value));
        errors.push(Error::invalid(path, value, detail));
    }
    errors
}

pub(super) fn validate_gates(spec: &PodSpec, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    for (index, gate) in spec.readiness_gates.iter().flatten().enumerate() {
        let path = path.child("readinessGates").index(index).child("conditionType");
        errors.extend(checks::qualified_name(&gate.condition_type, &path));
    }
    let gates = spec.scheduling_gates.as_deref().unwrap_or_default();
    for (index, gate) in gates.iter().enumerate() {
        let path = path.child("schedulingGates").index(index);
        errors.extend(checks::qualified_name(&gate.name, &path));
        if gates[..index].iter().any(|other| other.name == gate.name) {
            errors.push(Error::duplicate(&path, gate.name.as_str()));
        }
    }
    errors
}

pub(super) fn validate_spread(
    constraints: &[TopologySpreadConstraint],
    allowed: &Allowed,
    path: &Path,
) -> ErrorList {
    let mut errors = ErrorList::new();
    for (index, constraint) in constraints.iter().enumerate() {
        let path = path.index(index);
        errors.extend(above_zero(constraint.max_skew, &path.child("maxSkew")));
        if constraint.topology_key.is_empty() {
            errors.push(Error::required(&path.child("topologyKey"), "can not be empty"));
        }
        let action = constraint.when_unsatisfiable.as_str();
        errors.extend(checks::supported_only(action, ACTIONS, &path.child("whenUnsatisfiable")));
        let repeats = |other: &TopologySpreadConstraint| {
            other.topology_key == constraint.topology_key && other.when_unsatisfiable == action
        };
        if constraints[index + 1..].iter().any(repeats) {
            let value = format!("{{{}, {action}}}", constraint.topology_key);
            errors.push(Error::duplicate(&path.child("{topologyKey, whenUnsatisfiable}"), value));
        }
        errors.extend(validate_constraint(constraint, allowed, &path));
    }
    errors
}

fn above_zero(value: i32, path: &Path) -> Option<Error> {
    (value <= 0).then(|| Error::invalid(path, value, "must be greater than zero"))
}

fn validate_constraint(constraint: &TopologySpreadConstraint, allowed: &Allowed, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let action = constraint.when_unsatisfiable.as_str();
    if let Some(domains) = constraint.min_domains {
        let path = path.child("minDomains");
        errors.extend(above_zero(domains, &path));
        if action != "DoNotSchedule" {
            let detail = format!("can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {action}");
            errors.push(Error::invalid(&path, domains, detail));
        }
    }
    let policies = [
        (&constraint.node_affinity_policy, "nodeAffinityPolicy"),
        (&constraint.node_taints_policy, "nodeTaintsPolicy"),
    ];
    for (policy, name) in policies {
        let supported = &["Honor", "Ignore"];
        errors.extend(
            policy.iter().flat_map(|policy| checks::supported_only(policy, supported, &path.child(name))),
        );
    }
    let selector = constraint.label_selector.as_ref();
    let keys = constraint.match_label_keys.as_deref();
    if allowed.spread_keys {
        errors.extend(affinity::validate_unmerged_keys(keys, selector, &path.child("matchLabelKeys")));
    } else {
        errors.extend(affinity::validate_label_keys(keys, None, selector, path));
    }
    if !allowed.spread_values {
        errors.extend(checks::label_selector(selector, &path.child("labelSelector")));
    }
    errors
}
