//! Plans for pods in all states. A scene says what runs; the plan is compared as text, one word a step.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use serde_json::{Value, json};

use super::*;
use crate::{
    memory::{Backoff, Failure, Remembered, START_FAILED},
    observed::Sandbox,
    probes::Verdicts,
};

/// What there is before a plan is made. Times are seconds.
#[derive(Default)]
struct Scene {
    spec: Value,
    metadata: Value,
    sandboxes: Vec<Sandbox>,
    containers: Vec<Container>,
    memory: Memory,
    is_terminal: bool,
    is_removed: bool,
}

const NOW: i64 = 10_000;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn scene(spec: Value) -> Scene {
    let memory = Memory { volumes: Volumes::Ready { refresh_at: None }, ..Memory::default() };
    Scene { spec, metadata: json!({}), memory, ..Scene::default() }
}

fn web() -> Scene {
    scene(json!({"containers": [{"name": "web", "image": "i"}]}))
}

impl Scene {
    fn sandbox(mut self) -> Self {
        let id = format!("s{}", self.sandboxes.len());
        let ips = vec!["10.1.0.5".into()];
        let attempt = u32::try_from(self.sandboxes.len()).unwrap();
        self.sandboxes.iter_mut().for_each(|old| old.is_ready = false);
        self.sandboxes.insert(0, Sandbox { id, attempt, is_ready: true, ips, ..Sandbox::default() });
        self
    }

    /// Adds the newest container of that name; `exit` is its exit code and when it ended.
    fn container(mut self, name: &str, state: State, exit: Option<(i32, i64)>) -> Self {
        let spec = json!({"name": name, "image": "i"});
        let hash = labels::hash(&serde_json::from_value(spec).unwrap());
        let restart_count = u32::try_from(self.containers.iter().filter(|c| c.name == name).count()).unwrap();
        self.containers.insert(
            0,
            Container {
                id: format!("{name}{restart_count}"),
                sandbox_id: self.sandboxes.first().map_or_else(String::new, |sandbox| sandbox.id.clone()),
                name: name.into(),
                state,
                restart_count,
                hash,
                started_at: Some(at(1)),
                finished_at: exit.map(|(_, second)| at(second)),
                exit_code: exit.map_or(0, |(code, _)| code),
                ..Container::default()
            },
        );
        self
    }

    fn running(self, name: &str) -> Self {
        self.container(name, State::Running, None)
    }

    fn exited(self, name: &str, code: i32) -> Self {
        self.container(name, State::Exited, Some((code, NOW - 1)))
    }

    fn deleted(mut self) -> Self {
        self.metadata =
            json!({"deletionTimestamp": "1970-01-01T02:46:40Z", "deletionGracePeriodSeconds": 30});
        self
    }

    fn plan(&self) -> Plan {
        let mut metadata = self.metadata.clone();
        metadata["name"] = json!("p");
        metadata["namespace"] = json!("n");
        metadata["uid"] = json!("u");
        let pod: Pod = serde_json::from_value(json!({"metadata": metadata, "spec": self.spec})).unwrap();
        let observed = Observed { sandboxes: self.sandboxes.clone(), containers: self.containers.clone() };
        plan(&Input {
            pod: &pod,
            observed: &observed,
            memory: &self.memory,
            started_at: Some(at(NOW - 100)),
            is_removed: self.is_removed,
            is_terminal: self.is_terminal,
            now: at(NOW),
        })
    }
}

fn word(step: &Step) -> String {
    match step {
        Step::Evict(verdict) => format!("evict:{}", verdict.reason),
        Step::PrepareVolumes => "volumes".into(),
        Step::StopSandbox { id, .. } => format!("stop:{id}"),
        Step::CreateSandbox { attempt } => format!("sandbox:{attempt}"),
        Step::RemoveSandbox { id } => format!("rmsandbox:{id}"),
        Step::Start { name, .. } => format!("start:{name}"),
        Step::Kill(kill) => format!("kill:{}:{}s", kill.id, kill.grace_s),
        Step::RemoveContainer { id, keeps_log } => {
            format!("rm:{id}{}", if *keeps_log { ":log-kept" } else { "" })
        }
        Step::TearDown => "teardown".into(),
        Step::Forget => "forget".into(),
        Step::Delete => "delete".into(),
    }
}

/// Compares the steps, the containers that wait and, where given, the second at which to ask again.
#[track_caller]
fn check(scene: &Scene, steps: &[&str], waiting: &[(&str, &str)], wake_at: Option<i64>) {
    let plan = scene.plan();
    assert_eq!(plan.steps.iter().map(word).collect::<Vec<_>>(), steps);
    let actual: BTreeMap<&str, &str> =
        plan.waiting.iter().map(|(name, waiting)| (name.as_str(), waiting.reason.as_str())).collect();
    assert_eq!(actual, waiting.iter().copied().collect());
    assert_eq!(plan.wake_at.map(Timestamp::as_second), wake_at);
}

#[test]
fn a_new_pod_gets_volumes_then_a_sandbox_then_its_container() {
    let mut new = web();
    new.memory.volumes = Volumes::Unknown;
    check(&new, &["volumes"], &[], None);
    check(&web(), &["sandbox:0"], &[], None);
    check(&web().sandbox(), &["start:web"], &[], None);
    check(&web().sandbox().running("web"), &[], &[], None);
}

#[test]
fn an_adopted_pod_is_left_alone() {
    let mut adopted = web().sandbox().running("web");
    adopted.memory.volumes = Volumes::Unknown;
    check(&adopted, &["volumes"], &[], None);
}

#[test]
fn init_containers_run_one_after_the_other() {
    let spec = json!({
        "initContainers": [{"name": "a", "image": "i"}, {"name": "b", "image": "i"}],
        "containers": [{"name": "web", "image": "i"}],
        "restartPolicy": "Never",
    });
    let pod = || scene(spec.clone()).sandbox();
    check(&pod(), &["start:a"], &[], None);
    check(&pod().running("a"), &[], &[], None);
    check(&pod().exited("a", 0), &["start:b"], &[], None);
    check(&pod().exited("a", 0).exited("b", 0), &["start:web"], &[], None);
    check(&pod().exited("a", 0).exited("b", 0).running("web"), &[], &[], None);
    check(&pod().exited("a", 1), &[], &[], None);
    assert!(pod().exited("a", 1).plan().is_done);
}

#[test]
fn sidecars_start_before_and_are_kept_running() {
    let spec = json!({
        "initContainers": [{"name": "side", "image": "i", "restartPolicy": "Always"}],
        "containers": [{"name": "web", "image": "i"}],
    });
    let pod = || scene(spec.clone()).sandbox();
    check(&pod(), &["start:side"], &[], None);
    check(&pod().running("side"), &["start:web"], &[], None);
    check(&pod().running("web").exited("side", 0), &["start:side"], &[], None);
    let stopping = pod().running("side").running("web").deleted();
    check(&stopping, &["kill:web0:30s"], &[], None);
    check(&pod().running("side").exited("web", 0).deleted(), &["kill:side0:30s"], &[], None);
}

#[test]
fn the_restart_policy_decides_what_follows_an_exit() {
    let with = |policy: &str, code| {
        let mut scene = web().sandbox().exited("web", code);
        scene.spec["restartPolicy"] = json!(policy);
        scene
    };
    check(&with("Always", 0), &["start:web"], &[], None);
    check(&with("OnFailure", 1), &["start:web"], &[], None);
    for done in [with("OnFailure", 0), with("Never", 1)] {
        check(&done, &[], &[], None);
        assert!(done.plan().is_done);
    }
}

#[test]
fn a_container_that_keeps_ending_backs_off() {
    let mut crashing = web().sandbox().exited("web", 1);
    let backoff = Some(Backoff { delay: SignedDuration::from_secs(80), updated: at(NOW - 2) });
    crashing.memory.containers.insert("web".into(), Remembered { backoff, ..Remembered::default() });
    check(&crashing, &[], &[("web", "CrashLoopBackOff")], Some(NOW + 79));
    let message = &crashing.plan().waiting["web"].message;
    assert_eq!(message, "back-off 1m20s restarting failed container=web pod=p_n(u)");
}

#[test]
fn a_failed_pull_is_shown_then_backs_off_then_is_tried_again() {
    let failed = |at_second| {
        let mut scene = web().sandbox();
        let failure = Some(Failure {
            reason: "ErrImagePull",
            message: "not found".into(),
            at: at(at_second),
            retry_at: at(at_second + 20),
        });
        let known = Remembered { failure, ..Remembered::default() };
        scene.memory.containers.insert("web".into(), known);
        scene
    };
    check(&failed(NOW), &[], &[("web", "ErrImagePull")], Some(NOW + 5));
    check(&failed(NOW - 10), &[], &[("web", "ImagePullBackOff")], Some(NOW + 10));
    assert_eq!(
        failed(NOW - 10).plan().waiting["web"].message,
        "Back-off pulling image \"i\": ErrImagePull: not found"
    );
    check(&failed(NOW - 20), &["start:web"], &[], None);
}

#[test]
fn a_container_that_could_not_be_started_is_shown_so_then_backs_off_as_one_that_ended() {
    let failed = |seconds_ago, attempts| {
        let mut scene = web().sandbox().exited("web", 128);
        let at_second = NOW - seconds_ago;
        let (reason, message) = (START_FAILED, "no such file".to_owned());
        let failure = Failure { reason, message, at: at(at_second), retry_at: at(at_second + 10) };
        let backoff =
            (attempts > 1).then(|| Backoff { delay: SignedDuration::from_secs(10), updated: at(at_second) });
        let known = Remembered { failure: Some(failure), backoff, ..Remembered::default() };
        scene.memory.containers.insert("web".into(), known);
        scene
    };
    check(&failed(0, 1), &[], &[("web", START_FAILED)], Some(NOW + 1));
    check(&failed(1, 1), &["start:web"], &[], None);
    check(&failed(0, 2), &[], &[("web", START_FAILED)], Some(NOW + 1));
    check(&failed(1, 2), &[], &[("web", "CrashLoopBackOff")], Some(NOW + 9));
    // Where the runtime has no end of it there is no back-off: the failure itself says when to go on.
    let mut unknown = failed(1, 1);
    unknown.containers.clear();
    check(&unknown, &[], &[("web", START_FAILED)], Some(NOW + 9));
}

#[test]
fn a_failed_liveness_probe_and_a_changed_image_kill_the_container() {
    let mut unhealthy = web().sandbox().running("web");
    let verdicts = Verdicts { liveness: Some(Outcome::Failure), ..Verdicts::default() };
    unhealthy.memory.probes.insert("web0".into(), verdicts);
    check(&unhealthy, &["kill:web0:30s"], &[], None);
    unhealthy.memory.killing.insert("web0".into(), at(NOW + 30));
    check(&unhealthy, &[], &[], None);

    let mut changed = web().sandbox().running("web");
    changed.spec["containers"][0]["image"] = json!("other");
    let Some(Step::Kill(kill)) = changed.plan().steps.pop() else { panic!("it is killed") };
    assert!(kill.restart);
    assert_eq!(kill.message, "Container web definition changed, will be restarted");
}

#[test]
fn a_lost_sandbox_is_replaced_and_everything_starts_anew() {
    let mut lost = web().sandbox().exited("web", 137);
    lost.sandboxes[0].is_ready = false;
    check(&lost, &["stop:s0", "sandbox:1"], &[], None);
    let mut lost = web().sandbox().running("web");
    lost.sandboxes[0].is_ready = false;
    check(&lost, &["kill:web0:30s"], &[], None);
    lost.spec["restartPolicy"] = json!("Never");
    assert!(!lost.plan().is_done, "it still runs");
}

#[test]
fn a_deleted_pod_is_stopped_taken_down_and_removed_in_this_order() {
    let mut pod = web().sandbox().running("web").deleted();
    check(&pod, &["kill:web0:30s"], &[], None);
    pod.memory.killing.insert("web0".into(), at(NOW + 30));
    check(&pod, &[], &[], None);
    pod.metadata["deletionGracePeriodSeconds"] = json!(1);
    check(&pod, &["kill:web0:2s"], &[], None);

    let mut pod = web().sandbox().exited("web", 0).deleted();
    check(&pod, &["stop:s0", "teardown"], &[], None);
    pod.sandboxes[0].is_ready = false;
    pod.memory.is_torn_down = true;
    check(&pod, &["forget"], &[], None);
    pod.memory.is_forgotten = true;
    check(&pod, &["delete"], &[], None);
    pod.memory.is_deleted = true;
    check(&pod, &[], &[], None);
}

#[test]
fn a_finished_pod_keeps_its_last_containers() {
    let mut done = web().sandbox().exited("web", 0);
    done.is_terminal = true;
    check(&done, &["stop:s0", "teardown"], &[], None);
    done.sandboxes[0].is_ready = false;
    done.memory.is_torn_down = true;
    check(&done, &[], &[], None);
}

#[test]
fn only_the_newest_dead_container_of_a_name_is_kept() {
    let pod = web().sandbox().exited("web", 1).exited("web", 1).exited("web", 1).running("web");
    check(&pod, &["rm:web1", "rm:web0"], &[], None);
}

#[test]
fn a_period_longer_than_there_is_time_is_as_good_as_for_ever() {
    let spec = json!({
        "containers": [{"name": "web", "image": "i"}],
        "terminationGracePeriodSeconds": i64::MAX,
        "activeDeadlineSeconds": i64::MAX,
    });
    let left = Timestamp::MAX.as_second() - NOW;
    let mut deleted = scene(spec.clone()).sandbox().running("web");
    deleted.metadata =
        json!({"deletionTimestamp": "9999-12-30T22:00:00Z", "deletionGracePeriodSeconds": i64::MAX});
    check(&deleted, &[&format!("kill:web0:{left}s")], &[], None);
    deleted.memory.killing.insert("web0".into(), Timestamp::MAX);
    check(&deleted, &[], &[], None);

    let mut unhealthy = scene(spec).sandbox().running("web");
    let failed = Verdicts { liveness: Some(Outcome::Failure), ..Verdicts::default() };
    unhealthy.memory.probes.insert("web0".into(), failed);
    check(&unhealthy, &[&format!("kill:web0:{}s", i64::MAX)], &[], Some(Timestamp::MAX.as_second()));
}

#[test]
fn a_pod_past_its_deadline_is_failed() {
    let mut pod = web().sandbox().running("web");
    pod.spec["activeDeadlineSeconds"] = json!(101);
    check(&pod, &[], &[], Some(NOW + 1));
    pod.spec["activeDeadlineSeconds"] = json!(100);
    check(&pod, &["evict:DeadlineExceeded"], &[], None);
}

/// A pod whose container `source` restarts all when it ends with 88.
fn restarting_all() -> Scene {
    let rule = json!({"action": "RestartAllContainers", "exitCodes": {"operator": "In", "values": [88]}});
    scene(json!({
        "restartPolicy": "Never",
        "initContainers": [{"name": "init", "image": "i"}],
        "containers": [
            {"name": "source", "image": "i", "restartPolicy": "Never", "restartPolicyRules": [rule]},
            {"name": "other", "image": "i"},
        ],
    }))
}

#[test]
fn an_end_that_restarts_all_stops_the_others_then_forgets_all_and_begins_with_initialisation() {
    let begun = || restarting_all().sandbox().exited("init", 0);
    check(&begun().exited("source", 88).running("other"), &["kill:other0:0s"], &[], None);
    let stopped = begun().exited("source", 88).exited("other", 137);
    check(&stopped, &["rm:other0:log-kept", "rm:init0:log-kept", "rm:source0:log-kept"], &[], None);
    // The one that asked for it is forgotten last, so that a new kubelet still knows.
    let half = restarting_all().sandbox().exited("source", 88);
    check(&half, &["rm:source0:log-kept"], &[], None);
    check(&restarting_all().sandbox(), &["start:init"], &[], None);
    // Another exit code is an end like any other.
    check(&begun().exited("source", 1).running("other"), &[], &[], None);
}
