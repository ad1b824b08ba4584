//! Which capabilities a container has.

use std::collections::BTreeSet;

use cri::v1;
use serde_json::{Value, json};

use crate::error::{Error, Result};

/// In the kernel's order: the position is the number.
const NAMES: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

/// What a container has that asks for nothing; containerd's set.
const DEFAULT: [&str; 14] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "FSETID",
    "FOWNER",
    "MKNOD",
    "NET_RAW",
    "SETGID",
    "SETUID",
    "SETFCAP",
    "SETPCAP",
    "NET_BIND_SERVICE",
    "SYS_CHROOT",
    "KILL",
    "AUDIT_WRITE",
];

/// The sets of a container.
pub(super) fn make(security: &v1::LinuxContainerSecurityContext) -> Result<Value> {
    let asked = security.capabilities.clone().unwrap_or_default();
    let mut set: BTreeSet<&str> = match security.privileged {
        true => NAMES.into(),
        false => DEFAULT.into(),
    };
    if !security.privileged {
        let (add, drop) = (parse(&asked.add_capabilities)?, parse(&asked.drop_capabilities)?);
        // "ALL" on one side is qualified by names on the other.
        if add.is_all {
            set.extend(NAMES);
        }
        if drop.is_all {
            set.clear();
        }
        set.extend(add.names);
        drop.names.iter().for_each(|name| {
            set.remove(name);
        });
    }
    let own = own_set();
    let ambient = parse(&asked.add_ambient_capabilities)?.names;
    let names = |set: &BTreeSet<&str>| -> Vec<String> {
        let is_ours =
            |name: &&&str| NAMES.iter().position(|n| n == *name).is_some_and(|n| own & (1 << n) != 0);
        set.iter().filter(is_ours).map(|name| format!("CAP_{name}")).collect()
    };
    let with_ambient: BTreeSet<&str> = set.union(&ambient).copied().collect();
    Ok(json!({
        "bounding": names(&with_ambient),
        "effective": names(&with_ambient),
        "permitted": names(&with_ambient),
        "inheritable": names(&ambient),
        "ambient": names(&ambient),
    }))
}

#[derive(Default)]
struct Asked {
    is_all: bool,
    names: BTreeSet<&'static str>,
}

fn parse(texts: &[String]) -> Result<Asked> {
    let mut asked = Asked::default();
    for text in texts {
        let upper = text.to_uppercase();
        let name = upper.strip_prefix("CAP_").unwrap_or(&upper);
        if name == "ALL" {
            asked.is_all = true;
            continue;
        }
        let known = NAMES.into_iter().find(|known| *known == name);
        asked.names.insert(known.ok_or_else(|| Error::Invalid(format!("unknown capability {text:?}")))?);
    }
    Ok(asked)
}

/// What this process has: more cannot be given.
fn own_set() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let value = status.lines().find_map(|line| line.strip_prefix("CapPrm:")).unwrap_or_default();
    u64::from_str_radix(value.trim(), 16).unwrap_or(0)
}

pub(super) fn has_sys_resource() -> bool {
    own_set() & (1 << 24) != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(add: &[&str], drop: &[&str], expected: &dyn Fn(&[String]) -> bool) {
        let list = |texts: &[&str]| texts.iter().map(|t| (*t).to_owned()).collect();
        let capabilities = v1::Capability {
            add_capabilities: list(add),
            drop_capabilities: list(drop),
            ..Default::default()
        };
        let security =
            v1::LinuxContainerSecurityContext { capabilities: Some(capabilities), ..Default::default() };
        let made = make(&security).unwrap();
        let names: Vec<String> = serde_json::from_value(made["bounding"].clone()).unwrap();
        assert!(expected(&names), "{names:?}");
    }

    #[test]
    fn names_are_added_to_and_dropped_from_the_default() {
        let has = |names: &[String], name: &str| names.iter().any(|n| n == name);
        check(&[], &[], &|names| names.len() == 14);
        check(&["NET_ADMIN"], &["MKNOD"], &|n| {
            has(n, "CAP_NET_ADMIN") && !has(n, "CAP_MKNOD") && n.len() == 14
        });
        check(&[], &["ALL"], &<[String]>::is_empty);
        check(&["cap_chown"], &["ALL"], &|n| n == ["CAP_CHOWN"]);
        check(&["ALL"], &["CHOWN"], &|n| !has(n, "CAP_CHOWN") && has(n, "CAP_SYS_ADMIN"));
    }
}
