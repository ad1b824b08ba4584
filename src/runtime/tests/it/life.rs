//! From created to removed: exit codes, logs, reasons, stopping, limits.

use std::path::Path;
use std::time::{Duration, Instant};

use cri::{Code, Runtime, v1};
use futures::StreamExt;

use crate::machine::{Machine, PATIENCE, container, log_text, script, secured};

#[tokio::test(flavor = "multi_thread")]
async fn a_container_runs_to_its_end_and_leaves_exit_code_and_log() {
    let machine = Machine::new().await;
    let sandbox = machine.sandbox().await;
    let (status, _) = machine.script(&sandbox, script("echo out; echo err >&2; printf end; exit 3")).await;
    assert_eq!((status.exit_code, status.reason.as_str()), (3, "Error"));
    assert!(status.started_at >= status.created_at && status.finished_at >= status.started_at);
    let log = std::fs::read_to_string(&status.log_path).unwrap();
    let lines: Vec<(&str, &str, &str)> = log
        .lines()
        .map(|line| {
            let fields: Vec<&str> = line.splitn(4, ' ').collect();
            (fields[1], fields[2], fields[3])
        })
        .collect();
    for expected in [("stdout", "F", "out"), ("stderr", "F", "err"), ("stdout", "P", "end")] {
        assert!(lines.contains(&expected), "{log}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_images_command_environment_and_whiteouts_count() {
    let machine = Machine::new().await;
    let sandbox = machine.sandbox().await;
    let (status, log) = machine.script(&sandbox, container(&[])).await;
    assert_eq!((log.as_str(), status.reason.as_str()), ("default\n", "Completed"));
    let mut config = script("echo $FROM $MINE $HOSTNAME; ls /gone; pwd");
    config.envs = vec![v1::KeyValue { key: "MINE".into(), value: "request".into() }];
    config.working_dir = "/made/for/it".into();
    assert_eq!(machine.script(&sandbox, config).await.1, "image request pod-name\nnew\n/made/for/it\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_program_is_a_start_error_with_runcs_words() {
    let machine = Machine::new().await;
    let sandbox = machine.sandbox().await;
    let id = machine.create(&sandbox, container(&["no-such-program"])).await.unwrap();
    let error = machine.start(&id).await.unwrap_err();
    let words = "exec: \"no-such-program\": executable file not found in $PATH";
    assert!(error.message().contains(words), "{error}");
    let status = machine.status(&id).await;
    assert_eq!((status.exit_code, status.reason.as_str()), (128, "StartError"));
    assert!(status.message.contains(words) && status.finished_at > 0 && status.started_at == 0);
    assert_eq!(machine.start(&id).await.unwrap_err().code(), Code::FailedPrecondition);
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_asks_first_and_kills_after_the_timeout() {
    let machine = Machine::new().await;
    let sandbox = machine.sandbox().await;
    let polite =
        machine.run(&sandbox, script("trap 'exit 5' TERM; echo up; while :; do sleep 0.05; done")).await;
    let stubborn = machine.run(&sandbox, script("trap '' TERM; echo up; while :; do sleep 0.05; done")).await;
    for id in [&polite, &stubborn] {
        wait_for_log(&machine.status(id).await.log_path, "up").await;
    }
    let stop = |id: &String, timeout| v1::StopContainerRequest { container_id: id.clone(), timeout };
    machine.runtime().stop_container(stop(&polite, 20)).await.unwrap();
    assert_eq!(machine.status(&polite).await.exit_code, 5);
    let before = Instant::now();
    machine.runtime().stop_container(stop(&stubborn, 1)).await.unwrap();
    assert!(before.elapsed() >= Duration::from_secs(1));
    assert_eq!(machine.status(&stubborn).await.exit_code, 137);
    machine.runtime().stop_container(stop(&stubborn, 1)).await.unwrap();
    machine.runtime().stop_container(stop(&"none".to_owned(), 1)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_does_not_listen_yet_is_asked_to_stop_when_it_does() {
    let machine = Machine::new().await;
    let sandbox = machine.sandbox().await;
    let late = script("sleep 0.5; trap 'exit 5' TERM; while :; do sleep 0.05; done");
    let id = machine.run(&sandbox, late).await;
    let stop = v1::StopContainerRequest { container_id: id.clone(), timeout: 60 };
    machine.runtime().stop_container(stop).await.unwrap();
    assert_eq!(machine.status(&id).await.exit_code, 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_over_its_memory_is_reported_so() {
    let machine = Machine::new().await;
    let sandbox = machine.sandbox().await;
    let mut config = script("head -c 200000000 /dev/zero | tail > /dev/null");
    config.command = ["tail", "/dev/zero"].map(str::to_owned).to_vec();
    let limits = v1::LinuxContainerResources { memory_limit_in_bytes: 20 << 20, ..Default::default() };
    config.linux.as_mut().unwrap().resources = Some(limits);
    let (status, _) = machine.script(&sandbox, config).await;
    assert_eq!((status.exit_code, status.reason.as_str()), (137, "OOMKilled"));
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_are_in_the_containers_cgroup_and_can_be_changed() {
    let machine = Machine::new().await;
    let sandbox = machine.sandbox().await;
    let mut config = container(&["sleep", "1000"]);
    let limits = |mib: i64| v1::LinuxContainerResources {
        memory_limit_in_bytes: mib << 20,
        cpu_quota: 50_000,
        cpu_period: 100_000,
        cpu_shares: 512,
        oom_score_adj: 900,
        ..Default::default()
    };
    config.linux.as_mut().unwrap().resources = Some(limits(64));
    let id = machine.run(&sandbox, config).await;
    let read = || {
        let path = format!("{}/pods/one/{id}", machine.cgroup);
        ["memory/{}/memory.limit_in_bytes", "{}/memory.max"]
            .iter()
            .find_map(|p| {
                std::fs::read_to_string(Path::new("/sys/fs/cgroup").join(p.replace("{}", &path[1..]))).ok()
            })
            .unwrap()
    };
    assert_eq!(read().trim(), (64 << 20).to_string());
    assert_eq!(machine.shell(&id, "cat /proc/1/oom_score_adj").await.trim(), "900");
    let change = v1::UpdateContainerResourcesRequest {
        container_id: id.clone(),
        linux: Some(limits(96)),
        ..Default::default()
    };
    machine.runtime().update_container_resources(change).await.unwrap();
    assert_eq!(read().trim(), (96 << 20).to_string());
    let stats = v1::ContainerStatsRequest { container_id: id.clone() };
    let stats = machine.runtime().container_stats(stats).await.unwrap().stats.unwrap();
    assert!(stats.cpu.unwrap().usage_core_nano_seconds.unwrap().value > 0);
    assert!(stats.memory.unwrap().available_bytes.unwrap().value <= 96 << 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn users_capabilities_and_read_only_roots_are_as_asked() {
    let machine = Machine::new().await;
    let sandbox = machine.sandbox().await;
    let capabilities = v1::Capability { drop_capabilities: vec!["ALL".into()], ..Default::default() };
    let security = v1::LinuxContainerSecurityContext {
        run_as_username: "web".into(),
        supplemental_groups: vec![60],
        readonly_rootfs: true,
        no_new_privs: true,
        capabilities: Some(capabilities),
        masked_paths: vec!["/proc/keys".into()],
        readonly_paths: vec!["/proc/sys".into()],
        seccomp: Some(v1::SecurityProfile::default()),
        ..Default::default()
    };
    let text = "id -u; id -G; touch /tmp/x 2>/dev/null || echo read-only; wc -c < /proc/keys; \
                grep -E 'CapBnd|NoNewPrivs|Seccomp:' /proc/self/status | tr -s '\\t' ' '; sleep 1000";
    let id = machine.run(&sandbox, secured(script(text), security)).await;
    let path = machine.status(&id).await.log_path;
    wait_for_log(&path, "Seccomp").await;
    let expected = "33\n34 50 60\nread-only\n0\nCapBnd: 0000000000000000\nNoNewPrivs: 1\nSeccomp: 2\n";
    assert_eq!(log_text(Path::new(&path)), expected);
    // A command in the container has no more rights than the container.
    let inside =
        "id -u; id -G; grep -E 'CapBnd|CapEff|NoNewPrivs|Seccomp:' /proc/self/status | tr -s '\\t' ' '";
    let expected =
        "33\n34 50 60\nCapEff: 0000000000000000\nCapBnd: 0000000000000000\nNoNewPrivs: 1\nSeccomp: 2\n";
    assert_eq!(machine.shell(&id, inside).await, expected);
    let status = machine.status(&id).await;
    let user = status.user.unwrap().linux.unwrap();
    assert_eq!((user.uid, user.gid, user.supplemental_groups), (33, 34, vec![34, 50, 60]));
}

#[tokio::test(flavor = "multi_thread")]
async fn privileged_containers_have_devices_and_others_cannot_make_them() {
    let machine = Machine::new().await;
    let sandbox = machine.sandbox().await;
    let privileged = v1::LinuxContainerSecurityContext { privileged: true, ..Default::default() };
    let (status, log) =
        machine.script(&sandbox, secured(script("ls /dev | wc -l; mount -t tmpfs x /tmp"), privileged)).await;
    assert_eq!(status.exit_code, 0, "{log}");
    assert!(log.trim().parse::<u32>().unwrap() > 20, "{log}");
    // The root file system has no devices at all; in /dev there may be any, of which only some can be opened.
    let try_devices = "mknod /tmp/d b 259 0; head -c 1 /tmp/d >/dev/null 2>&1 && echo read; \
        mknod /dev/d c 1 11 && echo made; head -c 1 /dev/d >/dev/null 2>&1 && echo read; \
        head -c 1 /dev/zero | wc -c; mount -t tmpfs x /tmp 2>/dev/null || echo no";
    let (_, log) = machine.script(&sandbox, script(try_devices)).await;
    assert_eq!(log, "made\n1\nno\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn host_directories_are_mounted_as_asked() {
    let machine = Machine::new().await;
    let sandbox = machine.sandbox().await;
    let host = machine.root.join("volume");
    std::fs::create_dir(&host).unwrap();
    std::fs::write(host.join("file"), "from the host\n").unwrap();
    let mount = |path: &str, readonly| v1::Mount {
        container_path: path.into(),
        host_path: host.to_string_lossy().into_owned(),
        readonly,
        ..Default::default()
    };
    let mut config = script("cat /in/file; touch /in/no 2>/dev/null || echo refused; echo hi > /out/made");
    config.mounts = vec![mount("/in", true), mount("/out", false)];
    assert_eq!(machine.script(&sandbox, config).await.1, "from the host\nrefused\n");
    assert_eq!(std::fs::read_to_string(host.join("made")).unwrap(), "hi\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotated_log_goes_on_in_a_new_file() {
    let machine = Machine::new().await;
    let sandbox = machine.sandbox().await;
    let id = machine
        .run(&sandbox, script("echo one; while [ ! -e /tmp/go ]; do sleep 0.05; done; echo two; sleep 1000"))
        .await;
    let path = machine.status(&id).await.log_path;
    wait_for_log(&path, "one").await;
    std::fs::rename(&path, format!("{path}.old")).unwrap();
    let reopen = v1::ReopenContainerLogRequest { container_id: id.clone() };
    machine.runtime().reopen_container_log(reopen).await.unwrap();
    machine.shell(&id, "touch /tmp/go").await;
    wait_for_log(&path, "two").await;
    assert_eq!(log_text(Path::new(&format!("{path}.old"))), "one\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_sandbox_leaves_nothing() {
    let machine = Machine::new().await;
    let sandbox = machine.sandbox().await;
    let mut events = machine.runtime().get_container_events(v1::GetEventsRequest {}).await.unwrap();
    let id = machine.run(&sandbox, container(&["sleep", "1000"])).await;
    assert!(!machine.leftovers().is_empty());
    machine.remove_sandbox(&sandbox).await;
    assert_eq!(machine.leftovers(), Vec::<String>::new());
    assert!(machine.network.attached.lock().unwrap().is_empty());
    for directory in ["sandboxes", "containers"] {
        assert_eq!(std::fs::read_dir(machine.root.join("runtime").join(directory)).unwrap().count(), 0);
    }
    let status = v1::ContainerStatusRequest { container_id: id.clone(), verbose: false };
    assert_eq!(machine.runtime().container_status(status).await.unwrap_err().code(), Code::NotFound);
    machine.remove_sandbox(&sandbox).await;

    let mut kinds = Vec::new();
    while kinds.len() < 5 {
        let event = tokio::time::timeout(PATIENCE, events.next()).await.unwrap().unwrap().unwrap();
        assert_eq!(event.pod_sandbox_status.unwrap().metadata.unwrap().uid, "uid");
        kinds.push((event.container_id == id, event.container_event_type));
    }
    assert_eq!(kinds, [(true, 0), (true, 1), (true, 2), (false, 2), (true, 3)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_monitor_is_small() {
    let machine = Machine::new().await;
    let sandbox = machine.sandbox().await;
    machine.run(&sandbox, container(&["sleep", "1000"])).await;
    let record = machine.root.join("runtime/sandboxes").join(&sandbox).join("sandbox.json");
    let record: serde_json::Value = serde_json::from_slice(&std::fs::read(record).unwrap()).unwrap();
    let pid = record["monitor"].as_str().unwrap().split(' ').next().unwrap().to_owned();
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let rss = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    let kib: u32 = rss.split_whitespace().nth(1).unwrap().parse().unwrap();
    assert!(kib <= 1536, "{rss}");
}

/// Waits until a log has a word: by its changes, a few milliseconds apart.
pub(crate) async fn wait_for_log(path: &str, word: &str) {
    let found = async {
        while !std::fs::read_to_string(path).is_ok_and(|text| text.contains(word)) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, found).await.unwrap_or_else(|_| panic!("{word} in {path}"));
}
