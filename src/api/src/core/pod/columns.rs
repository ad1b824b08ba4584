//! The table of pods (upstream: `printPod`): above all, one word for how a pod is.

use k8s_openapi::api::core::v1::{Container, ContainerState, ContainerStatus, Pod, PodSpec, PodStatus};
use k8s_openapi::jiff::Timestamp;
use machinery::table::{Column, RowCondition};
use serde_json::Value;

use super::spec_of;
use crate::cells::{self, NONE};
use crate::checks::text;

pub(super) fn columns() -> Vec<Column> {
    vec![
        cells::name(),
        cells::column("Ready", "string", "Containers ready, of all."),
        cells::column("Status", "string", "How the pod is, in one word."),
        cells::column("Restarts", "string", "Restarts of its containers, and how long ago the last was."),
        cells::age(),
        cells::wide("IP", "string", "Address of the pod."),
        cells::wide("Node", "string", "Node that it runs on."),
        cells::wide("Nominated Node", "string", "Node that is being cleared for it."),
        cells::wide("Readiness Gates", "string", "Further conditions met, of those it waits for."),
    ]
}

pub(super) fn row(pod: &Pod, now: Timestamp) -> Vec<Value> {
    let unset = PodStatus::default();
    let status = pod.status.as_ref().unwrap_or(&unset);
    let spec = spec_of(pod);
    let summary = Summary::of(pod, spec, status);
    let restarts = match summary.last_restart {
        Some(last) if summary.restarts != 0 => {
            format!("{} ({} ago)", summary.restarts, cells::since_instant(last, now))
        }
        _ => summary.restarts.to_string(),
    };
    let ip = status.pod_ips.iter().flatten().next().map(|first| first.ip.as_str());
    vec![
        cells::name_of(&pod.metadata),
        format!("{}/{}", summary.ready, summary.total).into(),
        summary.reason.into(),
        restarts.into(),
        cells::age_of(&pod.metadata, now),
        cells::text_or_none(ip),
        cells::text_or_none(spec.node_name.as_deref()),
        cells::text_or_none(status.nominated_node_name.as_deref()),
        gates(spec, status).into(),
    ]
}

fn is_true(status: &PodStatus, type_: &str) -> bool {
    let mut conditions = status.conditions.iter().flatten();
    conditions.find(|condition| condition.type_ == type_).is_some_and(|condition| condition.status == "True")
}

fn gates(spec: &PodSpec, status: &PodStatus) -> String {
    let gates = spec.readiness_gates.as_deref().unwrap_or_default();
    if gates.is_empty() {
        return NONE.to_owned();
    }
    let met = gates.iter().filter(|gate| is_true(status, &gate.condition_type)).count();
    format!("{met}/{}", gates.len())
}

/// What the row says of the containers.
struct Summary {
    ready: usize,
    total: usize,
    reason: String,
    restarts: i32,
    last_restart: Option<Timestamp>,
}

impl Summary {
    fn of(pod: &Pod, spec: &PodSpec, status: &PodStatus) -> Summary {
        let sidecars = spec.init_containers.iter().flatten().filter(|container| is_sidecar(container));
        let mut summary = Summary {
            ready: 0,
            total: spec.containers.len() + sidecars.count(),
            reason: initial_reason(status),
            restarts: 0,
            last_restart: None,
        };
        let is_initializing = summary.look_at_init(spec, status);
        if !is_initializing || is_true(status, "Initialized") {
            summary.restarts = 0;
            summary.last_restart = None;
            let statuses = status.init_container_statuses.iter().flatten();
            statuses.filter(|found| is_sidecar_status(spec, found)).for_each(|found| summary.count(found));
            summary.look_at_containers(status);
        }
        if pod.metadata.deletion_timestamp.is_some() {
            if text(&status.reason) == "NodeLost" {
                summary.reason = "Unknown".to_owned();
            } else if !matches!(text(&status.phase), "Failed" | "Succeeded") {
                summary.reason = "Terminating".to_owned();
            }
        }
        summary
    }

    fn count(&mut self, status: &ContainerStatus) {
        self.restarts += status.restart_count;
        let last = status.last_state.as_ref().and_then(|state| state.terminated.as_ref());
        let finished = last.and_then(|ended| ended.finished_at.as_ref()).map(|time| time.0);
        self.last_restart = self.last_restart.max(finished);
    }

    /// Whether an init container is still to end, and what it is at.
    fn look_at_init(&mut self, spec: &PodSpec, status: &PodStatus) -> bool {
        let total = spec.init_containers.as_ref().map_or(0, Vec::len);
        for (index, found) in status.init_container_statuses.iter().flatten().enumerate() {
            self.count(found);
            let is_sidecar = is_sidecar_status(spec, found);
            let state = found.state.clone().unwrap_or_default();
            if state.terminated.as_ref().is_some_and(|ended| ended.exit_code == 0) {
                continue;
            }
            if is_sidecar && found.started == Some(true) {
                self.ready += usize::from(found.ready);
                continue;
            }
            self.reason = init_reason(&state).unwrap_or_else(|| format!("Init:{index}/{total}"));
            return true;
        }
        false
    }

    /// The first container that is not well gives the reason.
    fn look_at_containers(&mut self, status: &PodStatus) {
        let mut has_running = false;
        let mut failure = None;
        for found in status.container_statuses.iter().flatten().rev() {
            self.count(found);
            let state = found.state.clone().unwrap_or_default();
            let waiting = state.waiting.as_ref().map(|waiting| text(&waiting.reason)).unwrap_or_default();
            if !waiting.is_empty() {
                self.reason = waiting.to_owned();
            } else if let Some(reason) = ended_reason(&state) {
                self.reason = reason;
                if state.terminated.is_some_and(|ended| ended.exit_code != 0) {
                    failure = Some(self.reason.clone());
                }
            } else if found.ready && state.running.is_some() {
                has_running = true;
                self.ready += 1;
            }
        }
        if self.reason == "Completed" {
            if has_running && is_true(status, "Ready") {
                self.reason = "Running".to_owned();
            } else if let Some(failure) = failure {
                self.reason = failure;
            } else if has_running {
                self.reason = "NotReady".to_owned();
            }
        }
    }
}

fn initial_reason(status: &PodStatus) -> String {
    let is_gated = |reason: &Option<String>| reason.as_deref() == Some("SchedulingGated");
    let mut conditions = status.conditions.iter().flatten();
    if conditions.any(|condition| condition.type_ == "PodScheduled" && is_gated(&condition.reason)) {
        return "SchedulingGated".to_owned();
    }
    match text(&status.reason) {
        "" => text(&status.phase).to_owned(),
        reason => reason.to_owned(),
    }
}

fn is_sidecar(container: &Container) -> bool {
    container.restart_policy.as_deref() == Some("Always")
}

fn is_sidecar_status(spec: &PodSpec, status: &ContainerStatus) -> bool {
    let mut containers = spec.init_containers.iter().flatten();
    containers.find(|container| container.name == status.name).is_some_and(is_sidecar)
}

fn init_reason(state: &ContainerState) -> Option<String> {
    let waiting = state.waiting.as_ref().map(|waiting| text(&waiting.reason)).unwrap_or_default();
    let reason = ended_reason(state)
        .or_else(|| (!matches!(waiting, "" | "PodInitializing")).then(|| waiting.to_owned()))?;
    Some(format!("Init:{reason}"))
}

fn ended_reason(state: &ContainerState) -> Option<String> {
    let ended = state.terminated.as_ref()?;
    Some(match (text(&ended.reason), ended.signal.unwrap_or(0)) {
        ("", 0) => format!("ExitCode:{}", ended.exit_code),
        ("", signal) => format!("Signal:{signal}"),
        (reason, _) => reason.to_owned(),
    })
}

/// A pod that has ended is marked, so that its row can be left out.
pub(super) fn row_conditions(pod: &Pod) -> Vec<RowCondition> {
    let phase = pod.status.as_ref().map_or("", |status| text(&status.phase));
    let message = match phase {
        "Succeeded" => "The pod has completed successfully.",
        "Failed" => "The pod failed.",
        _ => return vec![],
    };
    vec![RowCondition {
        type_: "Completed".to_owned(),
        status: "True".to_owned(),
        reason: phase.to_owned(),
        message: message.to_owned(),
    }]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::object;

    /// Ready, status and restarts of a pod with two containers.
    #[track_caller]
    fn check(metadata: &str, spec: &str, status: &str, expected: [&str; 3]) {
        let pod: Pod = object(&format!(
            r#"{{"metadata":{{{metadata}}},"spec":{{"containers":[{{"name":"a"}},{{"name":"b"}}]{spec}}},"status":{{{status}}}}}"#
        ));
        let row = row(&pod, Timestamp::from_second(100).unwrap());
        assert_eq!(row[1..4], expected.map(Value::from));
    }

    const RUNNING: &str = r#"{"name":"a","image":"","imageID":"","ready":true,"restartCount":1,"state":{"running":{}},
        "lastState":{"terminated":{"exitCode":1,"finishedAt":"1970-01-01T00:01:30Z"}}}"#;

    #[test]
    fn a_pod_without_containers_shows_its_phase() {
        check("", "", r#""phase":"Pending""#, ["0/2", "Pending", "0"]);
        check("", "", r#""phase":"Failed","reason":"Evicted""#, ["0/2", "Evicted", "0"]);
        let gated = r#""phase":"Pending","conditions":[{"type":"PodScheduled","status":"False","reason":"SchedulingGated"}]"#;
        check("", "", gated, ["0/2", "SchedulingGated", "0"]);
    }

    #[test]
    fn containers_give_the_reason() {
        let of = |second: &str| {
            format!(
                r#""phase":"Running","containerStatuses":[{RUNNING},{{"name":"b","image":"","imageID":"","ready":false,"restartCount":2,"state":{second}}}]"#
            )
        };
        check(
            "",
            "",
            &of(r#"{"waiting":{"reason":"CrashLoopBackOff"}}"#),
            ["1/2", "CrashLoopBackOff", "3 (10s ago)"],
        );
        check("", "", &of(r#"{"terminated":{"exitCode":3}}"#), ["1/2", "ExitCode:3", "3 (10s ago)"]);
        check(
            "",
            "",
            &of(r#"{"terminated":{"exitCode":0,"reason":"Completed"}}"#),
            ["1/2", "NotReady", "3 (10s ago)"],
        );
    }

    #[test]
    fn init_containers_come_first() {
        let spec = r#","initContainers":[{"name":"i"},{"name":"j"}]"#;
        let of = |state: &str| {
            format!(
                r#""phase":"Pending","initContainerStatuses":[{{"name":"i","image":"","imageID":"","ready":false,"restartCount":0,"state":{state}}}]"#
            )
        };
        check("", spec, &of(r#"{"running":{}}"#), ["0/2", "Init:0/2", "0"]);
        check("", spec, &of(r#"{"terminated":{"exitCode":1,"reason":"Error"}}"#), ["0/2", "Init:Error", "0"]);
        check("", spec, &of(r#"{"waiting":{"reason":"ErrImagePull"}}"#), ["0/2", "Init:ErrImagePull", "0"]);
    }

    #[test]
    fn sidecars_count_as_containers() {
        let spec = r#","initContainers":[{"name":"i","restartPolicy":"Always"}]"#;
        let status = r#""phase":"Running","initContainerStatuses":[{"name":"i","image":"","imageID":"","ready":true,"started":true,
            "restartCount":1,"state":{"running":{}}}]"#;
        check("", spec, status, ["1/3", "Running", "1"]);
    }

    #[test]
    fn a_pod_that_is_deleted_is_terminating() {
        let deleted = r#""deletionTimestamp":"1970-01-01T00:00:00Z""#;
        check(deleted, "", r#""phase":"Running""#, ["0/2", "Terminating", "0"]);
        check(deleted, "", r#""phase":"Succeeded""#, ["0/2", "Succeeded", "0"]);
        check(deleted, "", r#""phase":"Running","reason":"NodeLost""#, ["0/2", "Unknown", "0"]);
    }

    #[test]
    fn a_row_says_that_the_pod_has_ended() {
        let reasons = |phase: &str| -> Vec<String> {
            let pod: Pod = crate::testing::object(&format!(r#"{{"status":{{"phase":"{phase}"}}}}"#));
            row_conditions(&pod).into_iter().map(|condition| condition.reason).collect()
        };
        assert_eq!(reasons("Failed"), ["Failed"]);
        assert_eq!(reasons("Succeeded"), ["Succeeded"]);
        assert_eq!(reasons("Running"), [""; 0]);
    }
}
