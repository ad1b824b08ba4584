//! One runtime for one test, and short words for what tests do with it.

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use coxswain_runtime::{self as runtime, BuiltIn, Config, NetworkError, PodNetwork};
use cri::{Runtime, Status, v1};

use crate::image::{NAME, Recipe};

/// Longer than anything here may take; a test that waits so long has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A network that connects nothing and remembers what it was asked.
#[derive(Default)]
pub(crate) struct NoNetwork {
    pub(crate) attached: Mutex<Vec<String>>,
}

#[async_trait::async_trait]
impl PodNetwork for NoNetwork {
    async fn configure(&self, _: &str) -> Result<(), NetworkError> {
        Ok(())
    }

    async fn attach(
        &self,
        sandbox: &str,
        netns: &Path,
        _: &[v1::PortMapping],
    ) -> Result<Vec<IpAddr>, NetworkError> {
        std::fs::metadata(netns)?;
        self.attached.lock().unwrap().push(sandbox.to_owned());
        Ok(vec!["10.1.2.3".parse()?])
    }

    async fn detach(&self, sandbox: &str) -> Result<(), NetworkError> {
        self.attached.lock().unwrap().retain(|known| known != sandbox);
        Ok(())
    }
}

pub(crate) struct Machine {
    pub(crate) root: PathBuf,
    pub(crate) cgroup: String,
    pub(crate) network: Arc<NoNetwork>,
    runtime: Option<Arc<BuiltIn>>,
}

impl Machine {
    /// A runtime that has the image.
    pub(crate) async fn new() -> Self {
        let machine = Self::without_image().await;
        let archive = machine.root.join("box.tar");
        Recipe::default().docker_archive(&archive);
        let root = machine.root.join("runtime");
        tokio::task::spawn_blocking(move || {
            runtime::images::Images::open(root).unwrap().import(&archive).unwrap()
        })
        .await
        .unwrap();
        machine
    }

    pub(crate) async fn without_image() -> Self {
        let id = hex::encode(rand::random::<[u8; 6]>());
        let root = std::env::temp_dir().join(format!("coxswain-it-{id}"));
        std::fs::create_dir_all(root.join("import")).unwrap();
        let mut machine =
            Self { root, cgroup: format!("/coxswain-it-{id}"), network: Arc::default(), runtime: None };
        machine.open().await;
        machine
    }

    /// Opens the runtime, as a new process would.
    pub(crate) async fn open(&mut self) {
        let test = std::env::current_exe().unwrap();
        let target = test.parent().and_then(Path::parent).unwrap();
        let config = Config {
            root: self.root.join("runtime"),
            import_dir: Some(self.root.join("import")),
            cgroup_root: self.cgroup.clone(),
            executable: target.join("examples/shim"),
            plain_http_registries: Vec::new(),
            network: Arc::clone(&self.network) as Arc<dyn PodNetwork>,
        };
        self.runtime = Some(BuiltIn::open(config).await.unwrap());
    }

    /// Drops the runtime, as if its process had been killed.
    pub(crate) fn close(&mut self) {
        self.runtime = None;
    }

    pub(crate) fn runtime(&self) -> &Arc<BuiltIn> {
        self.runtime.as_ref().unwrap()
    }

    pub(crate) fn sandbox_config(&self) -> v1::PodSandboxConfig {
        let namespaces =
            v1::NamespaceOption { pid: v1::NamespaceMode::Container as i32, ..Default::default() };
        v1::PodSandboxConfig {
            metadata: Some(v1::PodSandboxMetadata {
                name: "pod".into(),
                uid: "uid".into(),
                namespace: "ns".into(),
                attempt: 0,
            }),
            hostname: "pod-name".into(),
            log_directory: self.root.to_string_lossy().into_owned(),
            labels: HashMap::from([("app".into(), "web".into())]),
            linux: Some(v1::LinuxPodSandboxConfig {
                cgroup_parent: format!("{}/pods/one", self.cgroup),
                security_context: Some(v1::LinuxSandboxSecurityContext {
                    namespace_options: Some(namespaces),
                    ..Default::default()
                }),
                ..Default::default()
            }),
            ..Default::default()
        }
    }

    pub(crate) async fn sandbox(&self) -> String {
        self.sandbox_of(self.sandbox_config()).await
    }

    pub(crate) async fn sandbox_of(&self, config: v1::PodSandboxConfig) -> String {
        let request = v1::RunPodSandboxRequest { config: Some(config), runtime_handler: String::new() };
        self.runtime().run_pod_sandbox(request).await.unwrap().pod_sandbox_id
    }

    pub(crate) async fn create(&self, sandbox: &str, config: v1::ContainerConfig) -> Result<String, Status> {
        let request = v1::CreateContainerRequest {
            pod_sandbox_id: sandbox.into(),
            config: Some(config),
            sandbox_config: None,
        };
        Ok(self.runtime().create_container(request).await?.container_id)
    }

    pub(crate) async fn start(&self, container: &str) -> Result<(), Status> {
        let request = v1::StartContainerRequest { container_id: container.into() };
        self.runtime().start_container(request).await.map(drop)
    }

    /// Creates and starts.
    pub(crate) async fn run(&self, sandbox: &str, config: v1::ContainerConfig) -> String {
        let id = self.create(sandbox, config).await.unwrap();
        self.start(&id).await.unwrap();
        id
    }

    pub(crate) async fn status(&self, container: &str) -> v1::ContainerStatus {
        let request = v1::ContainerStatusRequest { container_id: container.into(), verbose: false };
        self.runtime().container_status(request).await.unwrap().status.unwrap()
    }

    /// Waits for the end of a container, by its events.
    pub(crate) async fn ended(&self, container: &str) -> v1::ContainerStatus {
        use futures::StreamExt;
        let mut events = self.runtime().get_container_events(v1::GetEventsRequest {}).await.unwrap();
        tokio::time::timeout(PATIENCE, async {
            loop {
                let status = self.status(container).await;
                if status.state == v1::ContainerState::ContainerExited as i32 {
                    return status;
                }
                events.next().await.unwrap().unwrap();
            }
        })
        .await
        .expect("the container ends")
    }

    /// Runs a shell script in a new container to its end; answers status and log.
    pub(crate) async fn script(
        &self,
        sandbox: &str,
        config: v1::ContainerConfig,
    ) -> (v1::ContainerStatus, String) {
        let id = self.run(sandbox, config).await;
        let status = self.ended(&id).await;
        let text = log_text(Path::new(&status.log_path));
        (status, text)
    }

    pub(crate) async fn exec(
        &self,
        container: &str,
        command: &[&str],
    ) -> Result<v1::ExecSyncResponse, Status> {
        let cmd = command.iter().map(|s| (*s).to_owned()).collect();
        let request = v1::ExecSyncRequest { container_id: container.into(), cmd, timeout: 20 };
        self.runtime().exec_sync(request).await
    }

    /// The output of a shell script in a running container.
    pub(crate) async fn shell(&self, container: &str, script: &str) -> String {
        let answer = self.exec(container, &["sh", "-c", script]).await.unwrap();
        assert_eq!(answer.exit_code, 0, "{script}: {}", String::from_utf8_lossy(&answer.stderr));
        String::from_utf8(answer.stdout).unwrap()
    }

    pub(crate) async fn remove_sandbox(&self, sandbox: &str) {
        let request = v1::RemovePodSandboxRequest { pod_sandbox_id: sandbox.into() };
        self.runtime().remove_pod_sandbox(request).await.unwrap();
    }

    /// Whatever of this machine is mounted or in a cgroup.
    pub(crate) fn leftovers(&self) -> Vec<String> {
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        let root = self.root.to_string_lossy().into_owned();
        let mut left: Vec<String> =
            mounts.lines().filter(|line| line.contains(&root)).map(str::to_owned).collect();
        let hierarchies = std::fs::read_dir("/sys/fs/cgroup").unwrap().flatten().map(|entry| entry.path());
        for hierarchy in hierarchies.chain(["/sys/fs/cgroup".into()]) {
            let pods = hierarchy.join(self.cgroup.trim_start_matches('/')).join("pods/one");
            left.extend(pods.exists().then(|| pods.to_string_lossy().into_owned()));
        }
        left
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.close();
        runtime::reset(&self.root.join("runtime"), &self.cgroup).unwrap();
        let left = self.leftovers();
        std::fs::remove_dir_all(&self.root).unwrap();
        if !std::thread::panicking() {
            assert!(left.is_empty(), "{left:#?}");
        }
    }
}

/// A container that runs a shell script.
pub(crate) fn script(text: &str) -> v1::ContainerConfig {
    container(&["sh", "-c", text])
}

pub(crate) fn container(command: &[&str]) -> v1::ContainerConfig {
    let name = format!("c{}", hex::encode(rand::random::<[u8; 4]>()));
    v1::ContainerConfig {
        log_path: format!("{name}.log"),
        metadata: Some(v1::ContainerMetadata { name, attempt: 0 }),
        image: Some(v1::ImageSpec { image: NAME.into(), ..Default::default() }),
        command: command.iter().map(|s| (*s).to_owned()).collect(),
        linux: Some(v1::LinuxContainerConfig::default()),
        ..Default::default()
    }
}

/// Gives a container a security context.
pub(crate) fn secured(
    mut config: v1::ContainerConfig,
    security: v1::LinuxContainerSecurityContext,
) -> v1::ContainerConfig {
    config.linux.as_mut().unwrap().security_context = Some(security);
    config
}

/// What a log says, without times and tags.
pub(crate) fn log_text(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().map(|line| line.splitn(4, ' ').nth(3).unwrap().to_owned() + "\n").collect()
}
