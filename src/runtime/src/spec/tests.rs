use std::collections::HashMap;

use super::*;
use crate::scratch::Scratch;

struct Case {
    config: v1::ContainerConfig,
    image: ImageConfig,
}

impl Case {
    fn new() -> Self {
        let mut image = ImageConfig::default();
        image.config.entrypoint = vec!["/entry".into()];
        image.config.cmd = vec!["default".into()];
        image.config.env = vec!["A=image".into(), "B=image".into()];
        Self { config: v1::ContainerConfig::default(), image }
    }

    fn make(&self) -> Result<Value> {
        let scratch = Scratch::new();
        make(&Input {
            config: &self.config,
            sandbox: &v1::PodSandboxConfig { hostname: "pod".into(), ..Default::default() },
            image: &self.image,
            rootfs: scratch.path(),
            sandbox_dir: scratch.path(),
            cgroup_path: "/pods/one",
            cgroups: &Cgroups { hierarchies: Vec::new() },
            pid_namespace: PidNamespace::New,
        })
        .map(|output| output.spec)
    }
}

fn strings(value: &Value) -> Vec<String> {
    serde_json::from_value(value.clone()).unwrap()
}

fn check_args(command: &[&str], args: &[&str], expected: &[&str]) {
    let mut case = Case::new();
    case.config.command = command.iter().map(|s| (*s).to_owned()).collect();
    case.config.args = args.iter().map(|s| (*s).to_owned()).collect();
    assert_eq!(strings(&case.make().unwrap()["process"]["args"]), expected);
}

#[test]
fn a_command_replaces_entry_point_and_arguments_and_arguments_only_the_latter() {
    check_args(&[], &[], &["/entry", "default"]);
    check_args(&[], &["x"], &["/entry", "x"]);
    check_args(&["c"], &[], &["c"]);
    check_args(&["c"], &["x"], &["c", "x"]);
}

#[test]
fn an_image_and_a_request_without_command_are_refused() {
    let mut case = Case::new();
    case.image = ImageConfig::default();
    assert_eq!(case.make().unwrap_err().to_string(), "no command specified");
}

#[test]
fn the_requests_environment_wins_over_the_images_and_a_path_is_always_there() {
    let mut case = Case::new();
    case.config.envs = vec![v1::KeyValue { key: "B".into(), value: "mine".into() }];
    let env = strings(&case.make().unwrap()["process"]["env"]);
    assert_eq!(env[1..], ["HOSTNAME=pod", "A=image", "B=mine"]);
    assert!(env[0].starts_with("PATH=/usr/local/sbin:"));
}

#[test]
fn a_privileged_container_is_not_masked_and_sees_a_writable_sys() {
    let mut case = Case::new();
    let security =
        v1::LinuxContainerSecurityContext { masked_paths: vec!["/proc/keys".into()], ..Default::default() };
    let linux =
        |security| Some(v1::LinuxContainerConfig { security_context: Some(security), resources: None });
    case.config.linux = linux(security.clone());
    assert_eq!(strings(&case.make().unwrap()["linux"]["maskedPaths"]), ["/proc/keys"]);
    case.config.linux = linux(v1::LinuxContainerSecurityContext { privileged: true, ..security });
    let spec = case.make().unwrap();
    assert!(strings(&spec["linux"]["maskedPaths"]).is_empty());
    let mounts: HashMap<String, Vec<String>> = spec["mounts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|m| (m["destination"].as_str().unwrap().to_owned(), strings(&m["options"])))
        .collect();
    assert!(mounts["/sys"].contains(&"rw".to_owned()));
}

#[test]
fn inner_mounts_follow_outer_ones_and_replace_the_standard_ones() {
    let mut case = Case::new();
    let mount = |path: &str| v1::Mount {
        container_path: path.into(),
        host_path: "/tmp".into(),
        ..Default::default()
    };
    case.config.mounts = vec![mount("/a/b"), mount("/a"), mount("/dev/mqueue")];
    let spec = case.make().unwrap();
    let destinations: Vec<&str> =
        spec["mounts"].as_array().unwrap().iter().map(|m| m["destination"].as_str().unwrap()).collect();
    assert_eq!(destinations[destinations.len() - 3..], ["/a", "/a/b", "/dev/mqueue"]);
    assert_eq!(destinations.iter().filter(|d| **d == "/dev/mqueue").count(), 1);
}

#[test]
fn the_specification_is_one_that_libcontainer_reads() {
    let mut case = Case::new();
    let seccomp = v1::SecurityProfile { profile_type: 0, localhost_ref: String::new() };
    let security = v1::LinuxContainerSecurityContext { seccomp: Some(seccomp), ..Default::default() };
    case.config.linux = Some(v1::LinuxContainerConfig {
        security_context: Some(security),
        resources: Some(v1::LinuxContainerResources {
            cpu_shares: 10,
            memory_limit_in_bytes: 1 << 20,
            ..Default::default()
        }),
    });
    let spec: libcontainer::oci_spec::runtime::Spec = serde_json::from_value(case.make().unwrap()).unwrap();
    assert_eq!(spec.process().as_ref().unwrap().cwd(), Path::new("/"));
    assert!(spec.linux().as_ref().unwrap().seccomp().is_some());
}

#[test]
fn protection_that_is_not_built_is_refused_and_limits_wait_for_the_start() {
    let confined = |profile: v1::security_profile::ProfileType| {
        let mut case = Case::new();
        let apparmor = v1::SecurityProfile { profile_type: profile.into(), localhost_ref: String::new() };
        let security = v1::LinuxContainerSecurityContext { apparmor: Some(apparmor), ..Default::default() };
        let resources = v1::LinuxContainerResources {
            cpu_quota: 1000,
            cpu_shares: 10,
            memory_limit_in_bytes: 1 << 20,
            ..Default::default()
        };
        case.config.linux =
            Some(v1::LinuxContainerConfig { security_context: Some(security), resources: Some(resources) });
        case.make()
    };
    let refused = confined(v1::security_profile::ProfileType::RuntimeDefault).unwrap_err();
    assert_eq!(refused.to_string(), "AppArmor is not supported by this runtime");
    let spec = confined(v1::security_profile::ProfileType::Unconfined).unwrap();
    let resources = &spec["linux"]["resources"];
    assert_eq!((&resources["cpu"], resources.get("memory")), (&json!({"shares": 10}), None));
}
