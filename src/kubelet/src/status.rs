//! What the API says about a pod: from spec, what runs and what is remembered to `PodStatus`.
//!
//! Pure; the worker writes the result if it differs from what was written last. Reasons, messages and their order are
//! upstream's (kubelet_pods.go, status/generate.go).

use jiff::Timestamp;
use k8s_openapi::{
    api::core::v1::{HostIP, Pod, PodIP, PodStatus},
    apimachinery::pkg::apis::meta::v1::Time,
};

use crate::{
    memory::{Memory, Verdict},
    observed::Observed,
    plan::Plan,
    pod,
};

mod conditions;
mod containers;
pub(crate) mod patch;
mod phase;
mod restart_all;

/// What a status is made from.
pub(crate) struct Input<'a> {
    pub pod: &'a Pod,
    pub observed: &'a Observed,
    pub memory: &'a Memory,
    pub plan: &'a Plan,
    /// The status before: this worker's last one, or else what the API has.
    pub old: &'a PodStatus,
    pub host_ips: &'a [String],
    /// How the runtime is called in container ids.
    pub runtime_name: &'a str,
    /// Whether the pod is stopped for good.
    pub is_stopped: bool,
    pub now: Timestamp,
}

/// The status of a pod that runs, ran or will run here.
pub(crate) fn status(input: &Input<'_>) -> PodStatus {
    let spec = pod::spec(input.pod);
    let mut status = PodStatus {
        observed_generation: input.pod.metadata.generation,
        qos_class: Some(objects::pod::qos_class(input.pod).to_owned()),
        start_time: input.old.start_time.clone().or(Some(Time(whole_second(input.now)))),
        nominated_node_name: input.old.nominated_node_name.clone(),
        ..PodStatus::default()
    };
    containers::fill(input, &mut status);
    if input.is_stopped {
        containers::end_all(input, &mut status);
    }
    addresses(input, &mut status);
    phase::fill(input, &mut status);
    conditions::fill(input, &mut status);
    if pod::is_host_network(spec) && status.pod_ip.is_none() {
        status.pod_ip = input.host_ips.first().cloned();
        status.pod_ips = status.pod_ip.clone().map(|ip| vec![PodIP { ip }]);
    }
    status
}

/// The status of a pod that this node does not take.
pub(crate) fn rejected(pod: &Pod, verdict: &Verdict, now: Timestamp) -> PodStatus {
    let old = pod.status.clone().unwrap_or_default();
    PodStatus {
        observed_generation: pod.metadata.generation,
        qos_class: Some(objects::pod::qos_class(pod).to_owned()),
        phase: Some("Failed".into()),
        reason: Some(verdict.reason.clone()),
        message: Some(format!("Pod was rejected: {}", verdict.message)),
        start_time: old.start_time.or(Some(Time(whole_second(now)))),
        conditions: old.conditions,
        ..PodStatus::default()
    }
}

fn addresses(input: &Input<'_>, status: &mut PodStatus) {
    // A stopped pod keeps the address it had: its readers may still want to know it.
    let ips = input.observed.ips();
    status.pod_ips = match ips.is_empty() {
        true => input.old.pod_ips.clone().filter(|_| status_keeps_address(input)),
        false => Some(ips.iter().map(|ip| PodIP { ip: ip.clone() }).collect()),
    };
    status.pod_ip = status.pod_ips.as_ref().and_then(|ips| ips.first()).map(|ip| ip.ip.clone());
    status.host_ip = input.host_ips.first().cloned();
    status.host_ips = Some(input.host_ips.iter().map(|ip| HostIP { ip: ip.clone() }).collect());
}

fn status_keeps_address(input: &Input<'_>) -> bool {
    input.plan.is_done || input.is_stopped
}

/// The API keeps times in whole seconds.
pub(crate) fn whole_second(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

#[cfg(test)]
mod tests;
