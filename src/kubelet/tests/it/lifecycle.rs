//! Pods that end, crash, or outlive their kubelet.

use serde_json::json;

use crate::cluster::{Cluster, PODS, soon};

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_pod_leaves_nothing_behind() {
    let cluster = Cluster::ready().await;
    let mounts = json!([{"name": "scratch", "mountPath": "/scratch"}]);
    cluster.pod(
        "web",
        json!({
            "containers": [{"name": "web", "image": "present", "volumeMounts": mounts}],
            "volumes": [{"name": "scratch", "emptyDir": {}}],
        }),
    );
    cluster.until_status("web", "/phase", json!("Running")).await;
    cluster.api.update(PODS, "web", |pod| {
        pod["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        pod["metadata"]["deletionGracePeriodSeconds"] = json!(7);
    });
    let last = soon(cluster.api.until(|api| api.deleted(PODS, "web"))).await;
    let status = &last["status"];
    assert_eq!(status["phase"], "Succeeded");
    assert_eq!(status["containerStatuses"][0]["state"]["terminated"]["exitCode"], 0);
    assert!(cluster.runtime.books(|books| books.containers.is_empty() && books.sandboxes.is_empty()));
    assert_eq!(std::fs::read_dir(cluster.dir.join("kubelet/pods")).unwrap().count(), 0);
    assert_eq!(std::fs::read_dir(cluster.dir.join("logs")).unwrap().count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_ends_succeeds_and_keeps_its_container_until_deleted() {
    let cluster = Cluster::ready().await;
    cluster.pod("job", json!({"containers": [{"name": "c", "image": "present"}], "restartPolicy": "Never"}));
    cluster.until_status("job", "/phase", json!("Running")).await;
    cluster.runtime.exit(&cluster.runtime.container("c").unwrap().status.id, 0);
    let pod = cluster.until_status("job", "/phase", json!("Succeeded")).await;
    assert_eq!(pod["status"]["containerStatuses"][0]["state"]["terminated"]["reason"], "Completed");
    assert!(cluster.runtime.container("c").is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_that_crashes_is_restarted_once_and_then_backs_off() {
    let cluster = Cluster::ready().await;
    cluster.pod("web", json!({"containers": [{"name": "web", "image": "present"}]}));
    cluster.until_status("web", "/phase", json!("Running")).await;
    cluster.runtime.exit(&cluster.runtime.container("web").unwrap().status.id, 3);
    let pod = cluster.until_status("web", "/containerStatuses/0/restartCount", json!(1)).await;
    assert_eq!(pod["status"]["containerStatuses"][0]["lastState"]["terminated"]["exitCode"], 3);
    cluster.until_status("web", "/containerStatuses/0/ready", json!(true)).await;
    cluster.runtime.exit(&cluster.runtime.container("web").unwrap().status.id, 3);
    let waiting = "/containerStatuses/0/state/waiting/reason";
    let pod = cluster.until_status("web", waiting, json!("CrashLoopBackOff")).await;
    assert_eq!(
        pod["status"]["containerStatuses"][0]["state"]["waiting"]["message"],
        "back-off 10s restarting failed container=web pod=web_default(uid-of-web)"
    );
    let message = cluster.until_event("BackOff").await;
    assert_eq!(message, "Back-off restarting failed container web in pod web_default(uid-of-web)");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_kubelet_adopts_what_runs_and_reports_what_ended_meanwhile() {
    let mut cluster = Cluster::ready().await;
    cluster.pod("web", json!({"containers": [{"name": "web", "image": "present"}]}));
    cluster.pod("job", json!({"containers": [{"name": "c", "image": "present"}], "restartPolicy": "Never"}));
    cluster.until_status("web", "/containerStatuses/0/ready", json!(true)).await;
    cluster.until_status("job", "/containerStatuses/0/ready", json!(true)).await;
    let before = cluster.runtime.container("web").unwrap().status.id;
    cluster.stop().await;
    cluster.runtime.exit(&cluster.runtime.container("c").unwrap().status.id, 5);

    cluster.start();
    let job = cluster.until_status("job", "/phase", json!("Failed")).await;
    assert_eq!(job["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"], 5);
    // The worker of the other pod has looked, too, once a change of its own gets through.
    cluster.api.update(PODS, "web", |pod| pod["metadata"]["generation"] = json!(2));
    let web = cluster.until_status("web", "/observedGeneration", json!(2)).await;
    assert_eq!(web["status"]["containerStatuses"][0]["containerID"], format!("books://{before}"));
    assert_eq!(web["status"]["containerStatuses"][0]["restartCount"], 0);
    assert_eq!(cluster.runtime.container("web").unwrap().status.id, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kubelet_that_panics_is_begun_anew_and_restarts_nothing() {
    let cluster = Cluster::ready().await;
    cluster.pod("web", json!({"containers": [{"name": "web", "image": "present"}]}));
    cluster.until_status("web", "/containerStatuses/0/ready", json!(true)).await;
    let before = cluster.runtime.container("web").unwrap().status.id;
    cluster.runtime.make_listeners_panic();
    // The first has gone, the next has come.
    for count in [0, 1] {
        soon(async {
            while cluster.runtime.listeners() != count {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
    cluster.pod("late", json!({"containers": [{"name": "late", "image": "present"}]}));
    cluster.until_status("late", "/containerStatuses/0/ready", json!(true)).await;
    cluster.api.update(PODS, "web", |pod| pod["metadata"]["generation"] = json!(2));
    let web = cluster.until_status("web", "/observedGeneration", json!(2)).await;
    assert_eq!(web["status"]["containerStatuses"][0]["restartCount"], 0);
    assert_eq!(cluster.runtime.container("web").unwrap().status.id, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_belongs_to_no_pod_is_removed_at_the_start() {
    let mut cluster = Cluster::ready().await;
    cluster.pod("web", json!({"containers": [{"name": "web", "image": "present"}]}));
    cluster.until_status("web", "/phase", json!("Running")).await;
    cluster.stop().await;
    cluster.api.remove(PODS, "web");
    cluster.runtime.books(|books| {
        let mut others = books.sandboxes[0].clone();
        others.id = "of-another-kubelet".into();
        others.annotations.clear();
        books.sandboxes.push(others);
    });
    cluster.start();
    soon(async {
        while cluster.runtime.books(|books| books.sandboxes.len()) > 1
            || std::fs::read_dir(cluster.dir.join("kubelet/pods")).unwrap().count() > 0
        {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(cluster.runtime.books(|books| books.sandboxes[0].id.clone()), "of-another-kubelet");
}

fn set_image(cluster: &Cluster, image: &str) {
    cluster.api.update(PODS, "web", |pod| pod["spec"]["containers"][0]["image"] = json!(image));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_whose_container_cannot_be_replaced_is_not_shown_as_ready() {
    let cluster = Cluster::ready().await;
    cluster.pod("web", json!({"containers": [{"name": "web", "image": "present"}]}));
    cluster.until_status("web", "/containerStatuses/0/ready", json!(true)).await;
    set_image(&cluster, "present-2");
    cluster.until_status("web", "/containerStatuses/0/restartCount", json!(1)).await;
    cluster.until_status("web", "/containerStatuses/0/ready", json!(true)).await;
    // The first container is to be removed before the third starts.
    cluster.runtime.books(|books| books.refuses_to_remove = true);
    set_image(&cluster, "present-3");
    cluster.until_status("web", "/containerStatuses/0/ready", json!(false)).await;
    cluster.runtime.books(|books| books.refuses_to_remove = false);
    cluster.until_status("web", "/containerStatuses/0/restartCount", json!(2)).await;
    cluster.until_status("web", "/containerStatuses/0/ready", json!(true)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replacement_that_fails_to_start_is_as_final_as_the_policy_says() {
    let cluster = Cluster::ready().await;
    cluster
        .pod("web", json!({"containers": [{"name": "web", "image": "present"}], "restartPolicy": "Never"}));
    cluster.until_status("web", "/containerStatuses/0/ready", json!(true)).await;
    cluster.runtime.books(|books| books.refuses_to_start = true);
    set_image(&cluster, "present-2");
    cluster.until_status("web", "/phase", json!("Failed")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_whose_next_image_is_being_pulled_has_not_ended() {
    let cluster = Cluster::ready().await;
    cluster
        .pod("web", json!({"containers": [{"name": "web", "image": "present"}], "restartPolicy": "Never"}));
    cluster.until_status("web", "/containerStatuses/0/ready", json!(true)).await;
    cluster.runtime.books(|books| books.pulls_slowly = true);
    set_image(&cluster, "slow");
    cluster.until_event("Pulling").await;
    // Time enough to say something wrong: what the pod's worker does next takes less than all of another one's work.
    cluster.pod("other", json!({"containers": [{"name": "c", "image": "present"}]}));
    cluster.until_status("other", "/containerStatuses/0/ready", json!(true)).await;
    assert_eq!(cluster.api.get(PODS, "web").unwrap()["status"]["phase"], "Running");
    cluster.runtime.books(|books| books.pulls_slowly = false);
    cluster.until_status("web", "/containerStatuses/0/restartCount", json!(1)).await;
    cluster.until_status("web", "/containerStatuses/0/ready", json!(true)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replacement_whose_image_cannot_be_pulled_is_as_final_as_the_policy_says() {
    let cluster = Cluster::ready().await;
    cluster
        .pod("web", json!({"containers": [{"name": "web", "image": "present"}], "restartPolicy": "Never"}));
    cluster.until_status("web", "/containerStatuses/0/ready", json!(true)).await;
    set_image(&cluster, "missing");
    cluster.until_status("web", "/phase", json!("Succeeded")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_for_debugging_is_started_once_and_counts_for_nothing() {
    let cluster = Cluster::ready().await;
    cluster.pod("web", json!({"containers": [{"name": "web", "image": "present"}]}));
    cluster.until_status("web", "/containerStatuses/0/ready", json!(true)).await;
    let look = json!({"name": "look", "image": "present", "targetContainerName": "web"});
    let lost = json!({"name": "lost", "image": "present", "targetContainerName": "nobody"});
    cluster.api.update(PODS, "web", |pod| {
        pod["spec"]["ephemeralContainers"] = json!([look, lost]);
        pod["metadata"]["generation"] = json!(2);
    });
    let reason = "/ephemeralContainerStatuses/1/state/waiting/reason";
    let pod = cluster.until_status("web", reason, json!("CreateContainerConfigError")).await;
    let waiting = &pod["status"]["ephemeralContainerStatuses"][1]["state"]["waiting"];
    assert_eq!(waiting["message"], "unable to find target container nobody");
    let started = cluster.runtime.container("look").unwrap();
    let linux = started.config.linux.unwrap().security_context.unwrap();
    let target = cluster.runtime.container("web").unwrap().status.id;
    assert_eq!(linux.namespace_options.unwrap().target_id, target);
    cluster.runtime.exit(&started.status.id, 3);
    let code = "/ephemeralContainerStatuses/0/state/terminated/exitCode";
    let pod = cluster.until_status("web", code, json!(3)).await;
    assert_eq!(pod["status"]["phase"], "Running");
    assert_eq!(cluster.runtime.container("look").unwrap().status.id, started.status.id);
}
