//! Commands in running containers.

use std::time::{Duration, Instant};

use cri::{Code, Runtime, v1};

use crate::machine::{Machine, container, script, secured};

#[tokio::test(flavor = "multi_thread")]
async fn a_command_gives_output_errors_and_exit_code() {
    let machine = Machine::new().await;
    let sandbox = machine.sandbox().await;
    let id = machine.run(&sandbox, container(&["sleep", "1000"])).await;
    let answer = machine.exec(&id, &["sh", "-c", "echo out; echo err >&2; exit 7"]).await.unwrap();
    assert_eq!((answer.exit_code, &answer.stdout[..], &answer.stderr[..]), (7, &b"out\n"[..], &b"err\n"[..]));
    assert_eq!(machine.exec(&id, &["sh", "-c", "kill -9 $$"]).await.unwrap().exit_code, 137);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_is_in_all_namespaces_and_groups_of_its_container() {
    let machine = Machine::new().await;
    let sandbox = machine.sandbox().await;
    let mut config = container(&["sleep", "1000"]);
    config.envs = vec![v1::KeyValue { key: "MINE".into(), value: "yes".into() }];
    config.working_dir = "/tmp".into();
    let id = machine.run(&sandbox, config).await;
    let same = "for n in ipc mnt net pid user uts cgroup; do \
        [ $(readlink /proc/1/ns/$n) = $(readlink /proc/self/ns/$n) ] || echo $n; done; \
        cat /proc/1/cgroup > /tmp/one; cat /proc/self/cgroup | while read l; do grep -qF $l /tmp/one || echo $l; done";
    assert_eq!(machine.shell(&id, same).await, "");
    assert_eq!(
        machine.shell(&id, "echo $MINE $HOSTNAME; pwd; hostname; echo $HOME").await,
        "yes pod-name\n/tmp\npod-name\n/root\n"
    );
    let descriptors = machine.shell(&id, "ls /proc/self/fd | tr '\\n' ' '").await;
    assert_eq!(descriptors, "0 1 2 3 ", "3 is the directory itself");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_takes_too_long_is_killed() {
    let machine = Machine::new().await;
    let sandbox = machine.sandbox().await;
    let id = machine.run(&sandbox, container(&["sleep", "1000"])).await;
    let request =
        v1::ExecSyncRequest { container_id: id.clone(), cmd: vec!["sleep".into(), "77".into()], timeout: 1 };
    let before = Instant::now();
    let error = machine.runtime().exec_sync(request).await.unwrap_err();
    assert_eq!(error.code(), Code::DeadlineExceeded);
    assert!(before.elapsed() < Duration::from_secs(10));
    let gone = async {
        while machine.shell(&id, "ps").await.contains("sleep 77") {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(crate::machine::PATIENCE, gone).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_is_not_there_and_a_container_that_does_not_run_are_errors() {
    let machine = Machine::new().await;
    let sandbox = machine.sandbox().await;
    let id = machine.run(&sandbox, container(&["sleep", "1000"])).await;
    let error = machine.exec(&id, &["nothing"]).await.unwrap_err();
    assert!(error.message().contains("exec: \"nothing\": executable file not found in $PATH"), "{error}");
    let idle = machine.create(&sandbox, container(&["sleep", "1"])).await.unwrap();
    assert_eq!(machine.exec(&idle, &["true"]).await.unwrap_err().code(), Code::FailedPrecondition);
    assert_eq!(machine.exec("none", &["true"]).await.unwrap_err().code(), Code::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_left_behind_does_not_hold_up_the_answer() {
    let machine = Machine::new().await;
    let sandbox = machine.sandbox().await;
    let id = machine.run(&sandbox, container(&["sleep", "1000"])).await;
    let before = Instant::now();
    let answer = machine.exec(&id, &["sh", "-c", "sleep 60 & echo ok"]).await.unwrap();
    assert_eq!((answer.exit_code, &answer.stdout[..]), (0, &b"ok\n"[..]));
    assert!(before.elapsed() < Duration::from_secs(20));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_without_rights_stays_without() {
    let machine = Machine::new().await;
    let sandbox = machine.sandbox().await;
    let security = v1::LinuxContainerSecurityContext {
        run_as_user: Some(v1::Int64Value { value: 1000 }),
        run_as_group: Some(v1::Int64Value { value: 2000 }),
        ..Default::default()
    };
    let id = machine.run(&sandbox, secured(script("sleep 1000"), security)).await;
    let rights = "id -u; id -G; grep CapEff /proc/self/status | tr -s '\\t' ' '";
    assert_eq!(machine.shell(&id, rights).await, "1000\n2000\nCapEff: 0000000000000000\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_pipes_end_programs_of_containers_and_commands() {
    let machine = Machine::new().await;
    let sandbox = machine.sandbox().await;
    // The lowest 16 signals, in which the usual ones are.
    let ignored = "grep SigIgn /proc/self/status | tail -c 5";
    let (_, log) = machine.script(&sandbox, script(ignored)).await;
    assert_eq!(log, "0000\n");
    let id = machine.run(&sandbox, container(&["sleep", "1000"])).await;
    assert_eq!(machine.shell(&id, ignored).await, "0000\n");
}
