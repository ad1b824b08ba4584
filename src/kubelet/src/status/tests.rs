//! Statuses of pods in all states, compared field by field as the API shows them.

use serde_json::{Value, json};

use super::*;
use crate::{
    memory::Volumes,
    observed::{Container, Sandbox, State},
    plan::Waiting,
    probes::{Outcome, Verdicts},
};

#[derive(Default)]
struct Scene {
    spec: Value,
    old: Value,
    observed: Observed,
    memory: Memory,
    plan: Plan,
    is_stopped: bool,
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn web() -> Scene {
    let spec = json!({"containers": [{"name": "web", "image": "i"}]});
    Scene { spec, old: json!({"startTime": "1970-01-01T00:00:01Z"}), ..Scene::default() }
}

impl Scene {
    fn sandbox(mut self) -> Self {
        let ips = vec!["10.1.0.5".into()];
        self.observed.sandboxes = vec![Sandbox { id: "s".into(), is_ready: true, ips, ..Sandbox::default() }];
        self
    }

    fn container(mut self, name: &str, state: State, exit_code: i32) -> Self {
        let restart_count = u32::try_from(self.observed.containers.iter().filter(|c| c.name == name).count());
        let restart_count = restart_count.unwrap();
        let exited = state == State::Exited;
        self.observed.containers.insert(
            0,
            Container {
                id: format!("{name}{restart_count}"),
                sandbox_id: "s".into(),
                name: name.into(),
                state,
                restart_count,
                started_at: Some(at(10)),
                finished_at: exited.then(|| at(20)),
                exit_code,
                reason: match (exited, exit_code) {
                    (false, _) => String::new(),
                    (true, 0) => "Completed".into(),
                    (true, _) => "Error".into(),
                },
                ..Container::default()
            },
        );
        self
    }

    fn status(&self) -> Value {
        let metadata = json!({"name": "p", "namespace": "n", "uid": "u", "generation": 3});
        let pod = json!({"metadata": metadata, "spec": self.spec, "status": self.old});
        let pod: Pod = serde_json::from_value(pod).unwrap();
        let old = pod.status.clone().unwrap();
        let status = status(&Input {
            pod: &pod,
            observed: &self.observed,
            memory: &self.memory,
            plan: &self.plan,
            old: &old,
            host_ips: &["192.0.2.1".into()],
            runtime_name: "coxswain",
            is_stopped: self.is_stopped,
            now: at(100),
        });
        serde_json::to_value(status).unwrap()
    }
}

/// Compares parts of the status by JSON pointer.
#[track_caller]
fn check(scene: &Scene, expected: &[(&str, Value)]) {
    let status = scene.status();
    for (pointer, value) in expected {
        assert_eq!(status.pointer(pointer).unwrap_or(&Value::Null), value, "{pointer} in {status:#}");
    }
}

/// The conditions as `Type=Status` or `Type=Status/Reason`.
fn conditions(scene: &Scene) -> Vec<String> {
    let status = scene.status();
    let list = status["conditions"].as_array().unwrap();
    list.iter()
        .map(|condition| {
            let text = |key: &str| condition[key].as_str().unwrap_or_default();
            let reason = text("reason");
            let slash = if reason.is_empty() { "" } else { "/" };
            format!("{}={}{slash}{reason}", text("type"), text("status"))
        })
        .collect()
}

#[test]
fn a_new_pod_is_pending_and_its_containers_are_being_created() {
    check(
        &web(),
        &[
            ("/phase", json!("Pending")),
            ("/observedGeneration", json!(3)),
            ("/qosClass", json!("BestEffort")),
            ("/hostIP", json!("192.0.2.1")),
            ("/podIP", Value::Null),
            ("/containerStatuses/0/state/waiting/reason", json!("ContainerCreating")),
            ("/containerStatuses/0/ready", json!(false)),
            ("/containerStatuses/0/started", json!(false)),
        ],
    );
    assert_eq!(
        conditions(&web()),
        [
            "PodReadyToStartContainers=False",
            "Initialized=True",
            "Ready=False/ContainersNotReady",
            "ContainersReady=False/ContainersNotReady",
            "PodScheduled=True",
        ]
    );
}

#[test]
fn a_running_pod_is_ready() {
    let running = web().sandbox().container("web", State::Running, 0);
    check(
        &running,
        &[
            ("/phase", json!("Running")),
            ("/podIPs", json!([{"ip": "10.1.0.5"}])),
            ("/startTime", json!("1970-01-01T00:00:01Z")),
            ("/containerStatuses/0/containerID", json!("coxswain://web0")),
            ("/containerStatuses/0/state", json!({"running": {"startedAt": "1970-01-01T00:00:10Z"}})),
            ("/containerStatuses/0/ready", json!(true)),
            ("/conditions/2/observedGeneration", json!(3)),
        ],
    );
    assert_eq!(
        conditions(&running)[..4],
        ["PodReadyToStartContainers=True", "Initialized=True", "Ready=True", "ContainersReady=True",]
    );
}

#[test]
fn a_transition_time_stays_while_the_status_does() {
    let mut running = web().sandbox().container("web", State::Running, 0);
    let time = "1970-01-01T00:00:05Z";
    running.old["conditions"] = json!([
        {"type": "Ready", "status": "False", "lastTransitionTime": time},
        {"type": "Initialized", "status": "True", "lastTransitionTime": time},
        {"type": "Theirs", "status": "True"},
    ]);
    check(
        &running,
        &[
            ("/conditions/0/type", json!("Theirs")),
            ("/conditions/2/lastTransitionTime", json!(time)),
            ("/conditions/3/lastTransitionTime", json!("1970-01-01T00:01:40Z")),
        ],
    );
}

#[test]
fn a_restarted_container_shows_its_last_end() {
    let restarted = web().sandbox().container("web", State::Exited, 1).container("web", State::Running, 0);
    check(
        &restarted,
        &[
            ("/containerStatuses/0/restartCount", json!(1)),
            ("/containerStatuses/0/lastState/terminated/exitCode", json!(1)),
            ("/containerStatuses/0/lastState/terminated/containerID", json!("coxswain://web0")),
        ],
    );
    let mut crashing = web().sandbox().container("web", State::Exited, 1);
    let waiting = Waiting { reason: "CrashLoopBackOff".into(), message: "back-off".into() };
    crashing.plan.waiting.insert("web".into(), waiting);
    check(
        &crashing,
        &[
            ("/phase", json!("Running")),
            ("/containerStatuses/0/state/waiting/reason", json!("CrashLoopBackOff")),
            ("/containerStatuses/0/lastState/terminated/reason", json!("Error")),
        ],
    );
}

#[test]
fn the_end_of_all_containers_is_the_end_of_the_pod() {
    let with = |policy: &str, code| {
        let mut scene = web().sandbox().container("web", State::Exited, code);
        scene.spec["restartPolicy"] = json!(policy);
        scene
    };
    check(&with("Never", 0), &[("/phase", json!("Succeeded"))]);
    check(&with("Never", 1), &[("/phase", json!("Failed"))]);
    check(&with("OnFailure", 1), &[("/phase", json!("Running"))]);
    check(&with("Always", 0), &[("/phase", json!("Running"))]);
    assert_eq!(
        conditions(&with("Never", 0))[1..4],
        ["Initialized=True/PodCompleted", "Ready=False/PodCompleted", "ContainersReady=False/PodCompleted",]
    );
    let mut deleted = with("Always", 0);
    deleted.is_stopped = true;
    check(&deleted, &[("/phase", json!("Succeeded")), ("/podIP", json!("10.1.0.5"))]);
}

#[test]
fn init_containers_come_first() {
    let mut pod = web().sandbox();
    pod.spec["initContainers"] = json!([{"name": "a", "image": "i"}]);
    check(
        &pod,
        &[
            ("/phase", json!("Pending")),
            ("/initContainerStatuses/0/state/waiting/reason", json!("PodInitializing")),
            ("/containerStatuses/0/state/waiting/reason", json!("PodInitializing")),
        ],
    );
    assert_eq!(conditions(&pod)[1], "Initialized=False/ContainersNotInitialized");
    let done = pod.container("a", State::Exited, 0);
    check(&done, &[("/phase", json!("Pending")), ("/initContainerStatuses/0/ready", json!(true))]);
    assert_eq!(conditions(&done)[1], "Initialized=True");
    let running = done.container("web", State::Running, 0);
    check(&running, &[("/phase", json!("Running"))]);
}

#[test]
fn probes_decide_about_started_and_ready() {
    let mut pod = web().sandbox().container("web", State::Running, 0);
    let probe = json!({"exec": {"command": ["true"]}});
    pod.spec["containers"][0]["readinessProbe"] = probe.clone();
    pod.spec["containers"][0]["startupProbe"] = probe;
    let flags = |pod: &Scene, started: bool, ready: bool| {
        check(
            pod,
            &[("/containerStatuses/0/started", json!(started)), ("/containerStatuses/0/ready", json!(ready))],
        );
    };
    flags(&pod, false, false);
    let success = Some(Outcome::Success);
    pod.memory.probes.insert("web0".into(), Verdicts { startup: success, ..Verdicts::default() });
    flags(&pod, true, false);
    pod.memory
        .probes
        .insert("web0".into(), Verdicts { startup: success, readiness: success, liveness: None });
    flags(&pod, true, true);
}

#[test]
fn a_kubelets_restart_takes_no_container_out_of_service() {
    let mut pod = web().sandbox().container("web", State::Running, 0);
    pod.spec["containers"][0]["readinessProbe"] = json!({"exec": {"command": ["true"]}});
    let reported = |id: &str| {
        json!([{"name": "web", "image": "i", "imageID": "", "ready": true, "started": true, "restartCount": 0,
            "containerID": format!("coxswain://{id}"), "state": {"running": {"startedAt": "1970-01-01T00:00:10Z"}}}])
    };
    pod.old["containerStatuses"] = reported("web0");
    check(&pod, &[("/containerStatuses/0/ready", json!(true))]);
    pod.old["containerStatuses"] = reported("another");
    check(&pod, &[("/containerStatuses/0/ready", json!(false))]);
}

#[test]
fn a_container_that_vanished_while_nobody_looked_is_not_forgotten() {
    let mut pod = web().sandbox();
    pod.old["containerStatuses"] = json!([{"name": "web", "image": "i", "imageID": "", "ready": true, "restartCount": 2,
        "state": {"running": {"startedAt": "1970-01-01T00:00:10Z"}}}]);
    check(
        &pod,
        &[
            ("/containerStatuses/0/restartCount", json!(3)),
            ("/containerStatuses/0/lastState/terminated/reason", json!("ContainerStatusUnknown")),
            ("/phase", json!("Running")),
        ],
    );
    pod.is_stopped = true;
    check(
        &pod,
        &[("/phase", json!("Failed")), ("/containerStatuses/0/state/terminated/exitCode", json!(137))],
    );
}

#[test]
fn an_evicted_pod_failed_for_the_nodes_reason() {
    let mut pod = web().sandbox().container("web", State::Exited, 137);
    pod.memory.volumes = Volumes::Ready { refresh_at: None };
    pod.memory.evicted = Some(Verdict { reason: "DeadlineExceeded".into(), message: "too long".into() });
    check(
        &pod,
        &[
            ("/phase", json!("Failed")),
            ("/reason", json!("DeadlineExceeded")),
            ("/message", json!("too long")),
        ],
    );
}

#[test]
fn while_all_restart_the_pod_is_not_at_its_end_and_says_what_happens() {
    let rule = json!({"action": "RestartAllContainers", "exitCodes": {"operator": "In", "values": [88]}});
    let spec = json!({
        "restartPolicy": "Never",
        "initContainers": [{"name": "init", "image": "i"}],
        "containers": [
            {"name": "other", "image": "i"},
            {"name": "source", "image": "i", "restartPolicy": "Never", "restartPolicyRules": [rule]},
        ],
    });
    let scene = || Scene { spec: spec.clone(), ..web() }.sandbox();
    let mut due = scene();
    for (name, code) in [("init", 0), ("source", 88), ("other", 137)] {
        due = due.container(name, State::Exited, code);
    }
    let condition = |scene: &Scene| conditions(scene).pop().unwrap();
    assert_eq!(condition(&due), "AllContainersRestarting=True/RestartAllContainersStarted");
    check(&due, &[("/phase", json!("Running"))]);

    let forgotten = Scene { old: due.status(), ..scene() };
    assert_eq!(condition(&forgotten), "AllContainersRestarting=False");
    let reason = json!("RestartingAllContainers");
    for list in ["/initContainerStatuses/0", "/containerStatuses/0", "/containerStatuses/1"] {
        check(
            &forgotten,
            &[
                ("/phase", json!("Running")),
                (&format!("{list}/state/waiting/reason"), reason.clone()),
                (&format!("{list}/lastState/terminated/reason"), reason.clone()),
                (&format!("{list}/lastState/terminated/exitCode"), json!(137)),
                (&format!("{list}/restartCount"), json!(1)),
            ],
        );
    }
    // Counted once, however often it is looked at.
    let later = Scene { old: forgotten.status(), ..scene() };
    check(&later, &[("/phase", json!("Running")), ("/containerStatuses/0/restartCount", json!(1))]);
}

#[test]
fn a_removal_is_forgotten_when_what_came_back_has_ended() {
    let removal = json!({"terminated": {"exitCode": 137, "reason": "RestartingAllContainers"}});
    let old = |name: &str| {
        json!({"name": name, "restartCount": 1, "image": "i", "imageID": "", "ready": false,
        "state": {"running": {}}, "lastState": removal})
    };
    let scene = |init_exit, exit| {
        let spec = json!({
            "restartPolicy": "Never",
            "initContainers": [{"name": "init", "image": "i"}],
            "containers": [{"name": "web", "image": "i"}],
        });
        let old = json!({
            "initContainerStatuses": [old("init")],
            "containerStatuses": [old("web")],
        });
        let scene = Scene { spec, old, ..web() }.sandbox();
        let scene = scene.container("init", State::Exited, init_exit);
        match exit {
            Some(exit) => scene.container("web", State::Exited, exit),
            None => scene,
        }
    };
    let kept = ("/initContainerStatuses/0/lastState/terminated/reason", json!("RestartingAllContainers"));
    check(&scene(0, Some(0)), &[kept.clone(), ("/phase", json!("Succeeded"))]);
    check(&scene(0, Some(1)), &[kept.clone(), ("/phase", json!("Failed"))]);
    check(&scene(1, None), &[kept, ("/phase", json!("Failed"))]);
}
