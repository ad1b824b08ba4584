//! Taints and tolerations (upstream `component-helpers/scheduling/corev1`).

use k8s_openapi::api::core::v1::{Taint, Toleration};

/// Whether `toleration` matches `taint`. An empty key or effect matches all; the operators are Equal (also when
/// absent) and Exists; the numeric ones are behind a gate that v1.36 has off.
pub fn tolerates(toleration: &Toleration, taint: &Taint) -> bool {
    let any_or_equal = |wanted: &Option<String>, actual: &str| {
        wanted.as_deref().is_none_or(|wanted| wanted.is_empty() || wanted == actual)
    };
    if !any_or_equal(&toleration.effect, &taint.effect) || !any_or_equal(&toleration.key, &taint.key) {
        return false;
    }
    let wanted = toleration.value.as_deref().unwrap_or_default();
    let actual = taint.value.as_deref().unwrap_or_default();
    match toleration.operator.as_deref().unwrap_or_default() {
        "" | "Equal" => wanted == actual,
        "Exists" => true,
        _ => false,
    }
}

/// The first of `taints` having one of `effects` that none of `tolerations` matches.
pub fn untolerated<'a>(
    taints: &'a [Taint],
    tolerations: &[Toleration],
    effects: &[&str],
) -> Option<&'a Taint> {
    taints
        .iter()
        .filter(|taint| effects.contains(&taint.effect.as_str()))
        .find(|taint| !tolerations.iter().any(|toleration| tolerates(toleration, taint)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `key operator value effect` of a toleration against `key=value:effect` of a taint.
    fn check(toleration: [&str; 4], taint: [&str; 3], expected: bool) {
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let [key, operator, value, effect] = toleration.map(some);
        let toleration = Toleration { key, operator, value, effect, toleration_seconds: None };
        let [key, value, effect] = taint;
        let taint = Taint { key: key.into(), value: some(value), effect: effect.into(), time_added: None };
        assert_eq!(tolerates(&toleration, &taint), expected, "{toleration:?} of {taint:?}");
    }

    #[test]
    fn operators_keys_and_effects_decide() {
        let taint = ["gpu", "5", "NoSchedule"];
        check(["gpu", "Equal", "5", "NoSchedule"], taint, true);
        check(["gpu", "", "5", ""], taint, true);
        check(["gpu", "Equal", "6", ""], taint, false);
        check(["gpu", "Exists", "", "NoExecute"], taint, false);
        check(["", "Exists", "", ""], taint, true);
        check(["gpu", "Gt", "4", ""], taint, false);
    }
}
