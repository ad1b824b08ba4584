//! Whether the node takes a pod that was bound to it.
//!
//! Pure; the scheduler has decided, but may have decided on old facts. Reasons and texts are upstream's
//! (kubelet/lifecycle/predicate.go).

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Pod, PodSpec, Taint};
use objects::{
    node_selector::Candidate,
    resources::{Amounts, requests},
    taints::untolerated,
};

use crate::{
    memory::Verdict,
    pod::{self, Role},
    spec::security,
};

pub(crate) mod sysctls;

/// Refusals that may come from an old look at the Node. (Upstream looks again for affinity only.)
pub(crate) const ASKED_AGAIN: [&str; 2] = [NODE_AFFINITY, TAINT_TOLERATION];
const NODE_AFFINITY: &str = "NodeAffinity";
const TAINT_TOLERATION: &str = "TaintToleration";

const OS_LABEL: &str = "kubernetes.io/os";
const OS: &str = "linux";

/// What the node offers.
pub(crate) struct Offer {
    pub name: String,
    pub allocatable: Amounts,
    pub labels: BTreeMap<String, String>,
    pub taints: Vec<Taint>,
    pub has_apparmor: bool,
}

/// Refuses a pod that does not fit beside `others`, or that wants another kind of node. Where several things are wrong the
/// first in upstream's order is told.
pub(crate) fn admit<'a>(
    pod: &Pod,
    others: impl Iterator<Item = &'a Pod> + Clone,
    node: &Offer,
) -> Result<(), Verdict> {
    let spec = pod::spec(pod);
    // Upstream asks one handler about these before all that the scheduler looks at too.
    if let Some(message) = sysctls::forbidden(spec) {
        return refuse("SysctlForbidden", message);
    }
    runs_here(pod)?;
    fits(spec, others.clone(), &node.allocatable)?;
    if !(Candidate { name: &node.name, labels: Some(&node.labels) }).is_wanted_by(spec) {
        return refuse(
            NODE_AFFINITY,
            "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector".into(),
        );
    }
    let ports: Vec<HostPort> = host_ports(pod).collect();
    if others.clone().flat_map(host_ports).any(|taken| ports.iter().any(|port| port.conflicts(&taken))) {
        let message =
            "Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports";
        return refuse("NodePorts", message.into());
    }
    // Other effects concern only who chooses a node.
    if untolerated(&node.taints, spec.tolerations.as_deref().unwrap_or_default(), &["NoExecute"]).is_some() {
        let message = "Predicate TaintToleration failed: node(s) had taints that the pod didn't tolerate";
        return refuse(TAINT_TOLERATION, message.into());
    }
    if !node.has_apparmor && security::wants_apparmor(pod) {
        return refuse("AppArmor", "Cannot enforce AppArmor: AppArmor is not enabled on the host".into());
    }
    Ok(())
}

/// Refuses a pod of another operating system. A pod may also say which by a label of its own, strange as that is.
fn runs_here(pod: &Pod) -> Result<(), Verdict> {
    let labels = pod.metadata.labels.as_ref();
    if labels.and_then(|labels| labels.get(OS_LABEL)).is_some_and(|os| os != OS) {
        let message = "Failed to admit pod as the `kubernetes.io/os` label doesn't match node label";
        return refuse("PodOSSelectorNodeLabelDoesNotMatch", message.into());
    }
    if pod::spec(pod).os.as_ref().is_some_and(|os| os.name != OS) {
        let message = "Failed to admit pod as the OS field doesn't match node OS";
        return refuse("PodOSNotSupported", message.into());
    }
    Ok(())
}

fn fits<'a>(
    spec: &PodSpec,
    others: impl Iterator<Item = &'a Pod>,
    allocatable: &Amounts,
) -> Result<(), Verdict> {
    let mut used = Amounts::default();
    for other in others {
        used.add(&requests(pod::spec(other)));
        used.set("pods", used.get("pods") + 1);
    }
    let mut wanted = requests(spec);
    wanted.set("pods", 1);
    for (name, amount) in wanted.iter() {
        let (in_use, capacity) = (used.get(name), allocatable.get(name));
        // What the node does not count is not its to refuse.
        if amount > 0 && allocatable.contains(name) && amount > capacity - in_use {
            let message = format!(
                "Node didn't have enough resource: {name}, requested: {amount}, used: {in_use}, capacity: {capacity}"
            );
            return refuse(&format!("OutOf{name}"), message);
        }
    }
    Ok(())
}

/// A port of the node, as a pod asks for it.
struct HostPort {
    address: String,
    protocol: String,
    port: i32,
}

impl HostPort {
    fn conflicts(&self, other: &Self) -> bool {
        let is_any = |address: &str| matches!(address, "" | "0.0.0.0");
        self.port == other.port
            && self.protocol == other.protocol
            && (is_any(&self.address) || is_any(&other.address) || self.address == other.address)
    }
}

fn host_ports(pod: &Pod) -> impl Iterator<Item = HostPort> {
    let running = pod::containers(pod::spec(pod)).filter(|(role, _)| *role != Role::Init);
    running.flat_map(|(_, container)| container.ports.iter().flatten()).filter_map(|port| {
        Some(HostPort {
            address: port.host_ip.clone().unwrap_or_default(),
            protocol: port.protocol.clone().unwrap_or_else(|| "TCP".into()),
            port: port.host_port.filter(|port| *port > 0)?,
        })
    })
}

fn refuse(reason: &str, message: String) -> Result<(), Verdict> {
    Err(Verdict { reason: reason.into(), message })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn pod(spec: Value) -> Pod {
        let mut spec = spec;
        let resources = json!({"requests": spec["requests"]});
        spec["containers"] = json!([{"name": "c", "resources": resources, "ports": spec["ports"]}]);
        serde_json::from_value(json!({"metadata": {}, "spec": spec})).unwrap()
    }

    fn check(mut spec: Value, others: &[Pod], expected: Result<(), (&str, &str)>) {
        let mut allocatable = Amounts::default();
        allocatable.set("cpu", 2000);
        allocatable.set("memory", 1 << 30);
        allocatable.set("pods", 3);
        let labels = BTreeMap::from([("disk".to_owned(), "ssd".to_owned())]);
        let expected =
            expected.map_err(|(reason, message)| Verdict { reason: reason.into(), message: message.into() });
        let taint =
            |key: &str, effect: &str| Taint { key: key.into(), effect: effect.into(), ..Taint::default() };
        let taints = vec![taint("cordoned", "NoSchedule"), taint("broken", "NoExecute")];
        let node = Offer { name: "node".into(), allocatable, labels, taints, has_apparmor: false };
        let tolerates_all = json!([{"operator": "Exists"}]);
        if spec["tolerations"].is_null() {
            spec["tolerations"] = tolerates_all;
        }
        assert_eq!(admit(&pod(spec), others.iter(), &node), expected);
    }

    #[test]
    fn pods_are_taken_while_they_fit() {
        let others = [pod(json!({"requests": {"cpu": "1500m"}}))];
        check(json!({"requests": {"cpu": "500m"}}), &others, Ok(()));
        check(
            json!({"requests": {"cpu": "501m"}}),
            &others,
            Err((
                "OutOfcpu",
                "Node didn't have enough resource: cpu, requested: 501, used: 1500, capacity: 2000",
            )),
        );
        let many = [pod(json!({})), pod(json!({})), pod(json!({}))];
        check(
            json!({}),
            &many,
            Err(("OutOfpods", "Node didn't have enough resource: pods, requested: 1, used: 3, capacity: 3")),
        );
    }

    #[test]
    fn pods_for_other_nodes_are_refused() {
        check(json!({"nodeSelector": {"disk": "ssd"}}), &[], Ok(()));
        let refused = Err((
            "NodeAffinity",
            "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector",
        ));
        check(json!({"nodeSelector": {"disk": "hdd"}}), &[], refused);
        let affinity = |value: &str| {
            let one = json!({"key": "disk", "operator": "In", "values": [value]});
            let terms = json!({"nodeSelectorTerms": [{"matchExpressions": [one]}]});
            json!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}}})
        };
        check(affinity("ssd"), &[], Ok(()));
        check(affinity("hdd"), &[], refused);
    }

    #[test]
    fn a_pod_bound_past_the_scheduler_is_refused_for_taints_that_end_pods_and_for_no_others() {
        let refused = Err((
            "TaintToleration",
            "Predicate TaintToleration failed: node(s) had taints that the pod didn't tolerate",
        ));
        check(json!({"tolerations": []}), &[], refused);
        check(json!({"tolerations": [{"key": "cordoned", "operator": "Exists"}]}), &[], refused);
        check(json!({"tolerations": [{"key": "broken", "operator": "Exists"}]}), &[], Ok(()));
    }

    #[test]
    fn of_several_reasons_the_first_in_upstreams_order_is_told() {
        let all = json!({"requests": {"cpu": "3"}, "nodeSelector": {"disk": "hdd"}, "tolerations": []});
        let resources = "Node didn't have enough resource: cpu, requested: 3000, used: 0, capacity: 2000";
        check(all.clone(), &[], Err(("OutOfcpu", resources)));
        let mut all = all;
        all["os"] = json!({"name": "windows"});
        let system = "Failed to admit pod as the OS field doesn't match node OS";
        check(all.clone(), &[], Err(("PodOSNotSupported", system)));
        all["securityContext"] = json!({"sysctls": [{"name": "kernel.msgmax", "value": "1"}]});
        let sysctl = "forbidden sysctl: \"kernel.msgmax\" not allowlisted";
        check(all, &[], Err(("SysctlForbidden", sysctl)));
    }

    #[test]
    fn a_host_port_is_one_pods_at_a_time() {
        let port = |address: &str, port: u16| json!({"ports": [{"containerPort": 80, "hostPort": port, "hostIP": address}]});
        let others = [pod(port("127.0.0.1", 81))];
        let taken = Err((
            "NodePorts",
            "Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports",
        ));
        check(port("", 81), &others, taken);
        check(port("127.0.0.1", 81), &others, taken);
        check(port("127.0.0.1", 82), &others, Ok(()));
        check(port("192.0.2.1", 81), &others, Ok(()));
        check(json!({"ports": [{"containerPort": 81}]}), &others, Ok(()));
    }

    #[test]
    fn a_profile_that_the_kernel_cannot_enforce_is_refused() {
        let profile = |type_: &str| json!({"securityContext": {"appArmorProfile": {"type": type_}}});
        let refused = Err(("AppArmor", "Cannot enforce AppArmor: AppArmor is not enabled on the host"));
        check(profile("RuntimeDefault"), &[], refused);
        check(profile("Localhost"), &[], refused);
        check(profile("Unconfined"), &[], Ok(()));
    }
}
