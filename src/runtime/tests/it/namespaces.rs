//! What containers of a pod share, with each other and with the machine.

use cri::{Code, Runtime, v1};

use crate::machine::{Machine, container, script, secured};

fn options(
    network: v1::NamespaceMode,
    pid: v1::NamespaceMode,
    ipc: v1::NamespaceMode,
) -> v1::NamespaceOption {
    v1::NamespaceOption { network: network as i32, pid: pid as i32, ipc: ipc as i32, ..Default::default() }
}

fn with_options(machine: &Machine, options: v1::NamespaceOption) -> v1::PodSandboxConfig {
    let mut config = machine.sandbox_config();
    let linux = config.linux.as_mut().unwrap();
    linux.security_context.as_mut().unwrap().namespace_options = Some(options);
    config
}

fn own(name: &str) -> String {
    std::fs::read_link(format!("/proc/self/ns/{name}")).unwrap().to_string_lossy().into_owned() + "\n"
}

#[tokio::test(flavor = "multi_thread")]
async fn containers_of_a_pod_share_network_name_and_memory_but_not_processes() {
    let machine = Machine::new().await;
    let mut config = machine.sandbox_config();
    config.dns_config = Some(v1::DnsConfig {
        servers: vec!["10.0.0.10".into()],
        searches: vec!["a.local".into()],
        options: vec!["ndots:5".into()],
    });
    config.linux.as_mut().unwrap().sysctls.insert("net.ipv4.ip_unprivileged_port_start".into(), "0".into());
    let sandbox = machine.sandbox_of(config).await;
    let one = machine.run(&sandbox, container(&["sleep", "1000"])).await;
    let two = machine.run(&sandbox, container(&["sleep", "1001"])).await;
    machine.shell(&one, "echo shared > /dev/shm/file").await;
    assert_eq!(
        machine.shell(&two, "cat /dev/shm/file; hostname; cat /etc/hostname").await,
        "shared\npod-name\npod-name\n"
    );
    for name in ["net", "ipc", "uts"] {
        let link = format!("readlink /proc/self/ns/{name}");
        let inside = machine.shell(&one, &link).await;
        assert_eq!(inside, machine.shell(&two, &link).await);
        assert_ne!(inside, own(name));
    }
    assert!(!machine.shell(&two, "ps").await.contains("sleep 1000"));
    assert_eq!(
        machine.shell(&one, "cat /etc/resolv.conf").await,
        "search a.local\nnameserver 10.0.0.10\noptions ndots:5\n"
    );
    assert_eq!(machine.shell(&one, "cat /proc/sys/net/ipv4/ip_unprivileged_port_start").await, "0\n");
    assert!(machine.shell(&one, "ip address show lo").await.contains("127.0.0.1/8"));
    let request = v1::PodSandboxStatusRequest { pod_sandbox_id: sandbox, verbose: false };
    let status = machine.runtime().pod_sandbox_status(request).await.unwrap();
    assert_eq!(status.status.unwrap().network.unwrap().ip, "10.1.2.3");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_may_share_its_processes() {
    let machine = Machine::new().await;
    let shared = options(v1::NamespaceMode::Pod, v1::NamespaceMode::Pod, v1::NamespaceMode::Pod);
    let sandbox = machine.sandbox_of(with_options(&machine, shared.clone())).await;
    let security = || v1::LinuxContainerSecurityContext {
        namespace_options: Some(shared.clone()),
        ..Default::default()
    };
    let one = machine.run(&sandbox, secured(container(&["sleep", "1000"]), security())).await;
    let two = machine.run(&sandbox, secured(container(&["sleep", "1001"]), security())).await;
    let seen = machine.shell(&two, "ps").await;
    assert!(seen.contains("sleep 1000") && seen.contains("sleep 1001") && seen.contains("pause"), "{seen}");
    // The end of one container takes neither the namespace nor the other.
    let stop = v1::StopContainerRequest { container_id: one.clone(), timeout: 0 };
    machine.runtime().stop_container(stop).await.unwrap();
    assert!(machine.shell(&two, "ps").await.contains("sleep 1001"));
    machine.remove_sandbox(&sandbox).await;
    assert_eq!(machine.leftovers(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_may_use_the_machines_namespaces() {
    let machine = Machine::new().await;
    let host = options(v1::NamespaceMode::Node, v1::NamespaceMode::Node, v1::NamespaceMode::Node);
    let sandbox = machine.sandbox_of(with_options(&machine, host.clone())).await;
    let security = v1::LinuxContainerSecurityContext { namespace_options: Some(host), ..Default::default() };
    let text = "(sleep 1234 &) ; for n in net ipc pid uts; do readlink /proc/self/ns/$n; done";
    let (status, log) = machine.script(&sandbox, secured(script(text), security)).await;
    assert_eq!(status.exit_code, 0);
    assert_eq!(log, ["net", "ipc", "pid", "uts"].map(own).concat());
    // What the first process left behind in the machine's PID namespace is gone with it.
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let leftover = processes
        .filter_map(|p| std::fs::read(p.path().join("cmdline")).ok())
        .any(|c| c == b"sleep\x001234\x00");
    assert!(!leftover);
    assert!(machine.network.attached.lock().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_may_join_the_processes_of_another() {
    let machine = Machine::new().await;
    let sandbox = machine.sandbox().await;
    let target = machine.run(&sandbox, container(&["sleep", "1000"])).await;
    let join = v1::NamespaceOption {
        pid: v1::NamespaceMode::Target as i32,
        target_id: target,
        ..Default::default()
    };
    let security = v1::LinuxContainerSecurityContext { namespace_options: Some(join), ..Default::default() };
    let (_, log) = machine.script(&sandbox, secured(container(&["ps"]), security)).await;
    assert!(log.contains("sleep 1000"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_built_is_refused() {
    let machine = Machine::new().await;
    let mut options = options(v1::NamespaceMode::Pod, v1::NamespaceMode::Container, v1::NamespaceMode::Pod);
    options.userns_options =
        Some(v1::UserNamespace { mode: v1::NamespaceMode::Pod as i32, ..Default::default() });
    let config = Some(with_options(&machine, options));
    let request = v1::RunPodSandboxRequest { config, runtime_handler: String::new() };
    assert_eq!(machine.runtime().run_pod_sandbox(request).await.unwrap_err().code(), Code::Unimplemented);
    let request =
        v1::RunPodSandboxRequest { config: Some(machine.sandbox_config()), runtime_handler: "kata".into() };
    assert_eq!(machine.runtime().run_pod_sandbox(request).await.unwrap_err().code(), Code::InvalidArgument);
    assert_eq!(machine.leftovers(), Vec::<String>::new());
}
