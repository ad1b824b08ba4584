//! The system calls that a container may not make. `RuntimeDefault` forbids what no confined program needs: loading
//! code into the kernel, changing namespaces, mounts, clocks and keys, looking into other processes. A capability that
//! the container has lifts what is forbidden for want of it. `Localhost` is a file in the OCI format.

use cri::v1;
use serde_json::{Value, json};

use super::capabilities;
use crate::error::{At, Error, Result};

const EPERM: u32 = 1;
const ENOSYS: u32 = 38;

/// Forbidden whatever the container's capabilities are.
const ALWAYS: &[&str] = &[
    "add_key",
    "create_module",
    "get_kernel_syms",
    "keyctl",
    "kexec_file_load",
    "kexec_load",
    "move_pages",
    "nfsservctl",
    "query_module",
    "request_key",
    "sysfs",
    "_sysctl",
    "uselib",
    "userfaultfd",
    "ustat",
    "vm86",
    "vm86old",
];

/// Forbidden without the capability.
const BY_CAPABILITY: &[(&str, &[&str])] = &[
    (
        "CAP_SYS_ADMIN",
        &[
            "bpf",
            "fanotify_init",
            "fsconfig",
            "fsmount",
            "fsopen",
            "fspick",
            "lookup_dcookie",
            "mount",
            "mount_setattr",
            "move_mount",
            "open_tree",
            "perf_event_open",
            "pivot_root",
            "quotactl",
            "quotactl_fd",
            "setdomainname",
            "sethostname",
            "setns",
            "swapoff",
            "swapon",
            "umount",
            "umount2",
            "unshare",
        ],
    ),
    ("CAP_SYS_BOOT", &["reboot"]),
    ("CAP_SYS_MODULE", &["delete_module", "finit_module", "init_module"]),
    ("CAP_SYS_PACCT", &["acct"]),
    ("CAP_SYS_PTRACE", &["kcmp", "process_madvise"]),
    ("CAP_SYS_RAWIO", &["ioperm", "iopl"]),
    ("CAP_SYS_TIME", &["clock_adjtime", "clock_settime", "settimeofday", "stime"]),
    ("CAP_SYS_NICE", &["get_mempolicy", "mbind", "set_mempolicy"]),
    ("CAP_DAC_READ_SEARCH", &["open_by_handle_at"]),
    ("CAP_SYS_TTY_CONFIG", &["vhangup"]),
];

/// `CLONE_NEWTIME` to `CLONE_NEWNET`: a `clone` with one of these makes a namespace.
const NAMESPACE_FLAGS: [u64; 7] =
    [0x0002_0000, 0x0200_0000, 0x0400_0000, 0x0800_0000, 0x1000_0000, 0x2000_0000, 0x4000_0000];
/// Address families of sockets that reach around a network namespace.
const SOCKET_FAMILIES: [u64; 1] = [40];

/// The profile that a container asked for; `None` is no restriction.
pub(super) fn profile(security: &v1::LinuxContainerSecurityContext) -> Result<Option<Value>> {
    let Some(asked) = security.seccomp.as_ref().filter(|_| !security.privileged) else { return Ok(None) };
    match v1::security_profile::ProfileType::try_from(asked.profile_type) {
        Ok(v1::security_profile::ProfileType::RuntimeDefault) => default_profile(security).map(Some),
        Ok(v1::security_profile::ProfileType::Localhost) => read_profile(&asked.localhost_ref).map(Some),
        Ok(v1::security_profile::ProfileType::Unconfined) => Ok(None),
        Err(_) => Err(Error::Invalid(format!("unknown seccomp profile type {}", asked.profile_type))),
    }
}

fn default_profile(security: &v1::LinuxContainerSecurityContext) -> Result<Value> {
    let made = capabilities::make(security)?;
    let has = |name: &str| made["bounding"].as_array().is_some_and(|set| set.iter().any(|c| c == name));
    let mut names: Vec<&str> = ALWAYS.to_vec();
    for (capability, calls) in BY_CAPABILITY {
        if !has(capability) {
            names.extend(*calls);
        }
    }
    let mut rules = vec![json!({"names": names, "action": "SCMP_ACT_ERRNO", "errnoRet": EPERM})];
    if !has("CAP_SYS_ADMIN") {
        rules.extend(NAMESPACE_FLAGS.map(|flag| {
            let test = json!({"index": 0, "value": flag, "valueTwo": flag, "op": "SCMP_CMP_MASKED_EQ"});
            json!({"names": ["clone"], "action": "SCMP_ACT_ERRNO", "errnoRet": EPERM, "args": [test]})
        }));
        // Its flags are in memory, where a filter cannot look; the C library then falls back to `clone`.
        rules.push(json!({"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": ENOSYS}));
    }
    rules.extend(SOCKET_FAMILIES.map(|family| {
        let test = json!({"index": 0, "value": family, "op": "SCMP_CMP_EQ"});
        json!({"names": ["socket"], "action": "SCMP_ACT_ERRNO", "errnoRet": EPERM, "args": [test]})
    }));
    Ok(json!({"defaultAction": "SCMP_ACT_ALLOW", "architectures": architectures(), "syscalls": rules}))
}

/// A 64-bit machine also runs 32-bit programs: they must not be a way around.
fn architectures() -> Vec<&'static str> {
    match std::env::consts::ARCH {
        "x86_64" => vec!["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
        "aarch64" => vec!["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"],
        _ => Vec::new(),
    }
}

fn read_profile(reference: &str) -> Result<Value> {
    let path = reference.strip_prefix("localhost/").unwrap_or(reference);
    let bytes = std::fs::read(path).at("read seccomp profile", path)?;
    serde_json::from_slice(&bytes).map_err(|source| Error::Malformed { path: path.into(), source })
}
