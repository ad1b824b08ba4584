//! A runtime that goes and comes back, and monitors that do not.

use std::path::{Path, PathBuf};

use cri::{Runtime, v1};

use crate::machine::{Machine, PATIENCE, container, log_text, script};

#[tokio::test(flavor = "multi_thread")]
async fn what_runs_goes_on_and_what_ended_meanwhile_is_reported() {
    let mut machine = Machine::new().await;
    let sandbox = machine.sandbox().await;
    let stays = machine.run(&sandbox, container(&["sleep", "1000"])).await;
    let ends =
        machine.run(&sandbox, script("while [ ! -e /tmp/go ]; do sleep 0.05; done; echo late; exit 9")).await;
    let prepared = machine.create(&sandbox, script("echo prepared")).await.unwrap();
    let before = machine.status(&stays).await;
    let rootfs = machine.root.join("runtime/containers").join(&ends).join("rootfs");
    machine.close();
    std::fs::write(rootfs.join("tmp/go"), "").unwrap();
    let exit = machine.root.join("runtime/containers").join(&ends).join("exit");
    let written = async {
        while !exit.exists() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, written).await.unwrap();
    machine.open().await;

    assert_eq!(machine.status(&stays).await, before);
    let ended = machine.status(&ends).await;
    assert_eq!((ended.exit_code, ended.reason.as_str()), (9, "Error"));
    assert_eq!(log_text(Path::new(&ended.log_path)), "late\n");
    machine.start(&prepared).await.unwrap();
    assert_eq!(machine.ended(&prepared).await.exit_code, 0);
    assert_eq!(machine.shell(&stays, "echo still here").await, "still here\n");
    let list = machine.runtime().list_pod_sandbox(v1::ListPodSandboxRequest::default()).await.unwrap();
    assert_eq!((list.items.len(), list.items[0].state), (1, 0));
    machine.remove_sandbox(&sandbox).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_monitor_a_sandbox_is_not_ready_and_its_containers_end() {
    let machine = Machine::new().await;
    let sandbox = machine.sandbox().await;
    let id = machine.run(&sandbox, container(&["sleep", "1000"])).await;
    kill_monitor(&machine, &sandbox);
    let status = machine.ended(&id).await;
    assert_eq!((status.exit_code, status.reason.as_str()), (255, "Unknown"));
    let request = v1::PodSandboxStatusRequest { pod_sandbox_id: sandbox.clone(), verbose: false };
    let status = machine.runtime().pod_sandbox_status(request).await.unwrap().status.unwrap();
    assert_eq!(status.state, v1::PodSandboxState::SandboxNotready as i32);
    assert!(machine.create(&sandbox, container(&["true"])).await.is_err());
    machine.remove_sandbox(&sandbox).await;
    assert_eq!(machine.leftovers(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_monitor_that_died_meanwhile_is_noticed_on_return() {
    let mut machine = Machine::new().await;
    let sandbox = machine.sandbox().await;
    let id = machine.run(&sandbox, container(&["sleep", "1000"])).await;
    machine.close();
    kill_monitor(&machine, &sandbox);
    machine.open().await;
    assert_eq!(machine.ended(&id).await.reason, "Unknown");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_monitor_that_cannot_be_reached_for_a_moment_costs_no_container() {
    let mut machine = Machine::new().await;
    let sandbox = machine.sandbox().await;
    let id = machine.run(&sandbox, container(&["sleep", "1000"])).await;
    let before = machine.status(&id).await;
    machine.close();
    let directory = machine.root.join("runtime/sandboxes").join(&sandbox);
    let (here, away) = (directory.join("monitor.sock"), directory.join("monitor.away"));
    std::fs::rename(&here, &away).unwrap();
    let back = std::thread::spawn(move || {
        std::thread::sleep(std::time::Duration::from_millis(300));
        std::fs::rename(away, here).unwrap();
    });
    machine.open().await;
    back.join().unwrap();
    assert_eq!(machine.status(&id).await, before);
    assert_eq!(machine.shell(&id, "echo still here").await, "still here\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_whose_end_could_not_be_written_down_has_ended_all_the_same() {
    let mut machine = Machine::new().await;
    let sandbox = machine.sandbox().await;
    let id = machine.run(&sandbox, container(&["sleep", "1000"])).await;
    machine.close();
    end_unwritten(&machine, &id).await;
    machine.open().await;
    let status = machine.ended(&id).await;
    assert_eq!((status.exit_code, status.reason.as_str()), (255, "Unknown"));
    machine.remove_sandbox(&sandbox).await;
    assert_eq!(machine.leftovers(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_that_could_not_be_written_down_is_as_soon_as_it_can() {
    let mut machine = Machine::new().await;
    let sandbox = machine.sandbox().await;
    let id = machine.run(&sandbox, container(&["sleep", "1000"])).await;
    machine.close();
    let directory = end_unwritten(&machine, &id).await;
    std::fs::remove_dir(directory.join("exit.tmp")).unwrap();
    let written = async {
        while !directory.join("exit").exists() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, written).await.unwrap();
    machine.open().await;
    let status = machine.ended(&id).await;
    assert_eq!((status.exit_code, status.reason.as_str()), (137, "Error"));
}

/// Kills a container while its monitor cannot write (as good as a full disk), and waits until it has tried.
async fn end_unwritten(machine: &Machine, id: &str) -> PathBuf {
    let directory = machine.root.join("runtime/containers").join(id);
    std::fs::create_dir(directory.join("exit.tmp")).unwrap();
    let pid = std::fs::read_to_string(directory.join("pid")).unwrap();
    let pid = pid.split(' ').next().unwrap().parse().unwrap();
    kill(pid);
    let reaped = async {
        while Path::new(&format!("/proc/{pid}")).exists() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, reaped).await.unwrap();
    directory
}

fn kill_monitor(machine: &Machine, sandbox: &str) {
    let record = machine.root.join("runtime/sandboxes").join(sandbox).join("sandbox.json");
    let record: serde_json::Value = serde_json::from_slice(&std::fs::read(record).unwrap()).unwrap();
    kill(record["monitor"].as_str().unwrap().split(' ').next().unwrap().parse().unwrap());
}

/// Kills a process and waits until it is gone.
fn kill(pid: i32) {
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL).unwrap();
    let gone = |pid: i32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.is_empty() || stat.contains(") Z ")
    };
    while !gone(pid) {
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
}
