//! Which kernel parameters a pod may set: those of its own namespaces that touch no other pod.
//!
//! The list is upstream's (kubelet/sysctl/safe_sysctls.go) for the kernels that we run on. Pure.

use k8s_openapi::api::core::v1::PodSpec;

/// Whose namespace a parameter is in.
#[derive(Clone, Copy, PartialEq)]
enum Namespace {
    Ipc,
    Net,
}

const SAFE: [(&str, Namespace); 12] = [
    ("kernel.shm_rmid_forced", Namespace::Ipc),
    ("net.ipv4.ip_local_port_range", Namespace::Net),
    ("net.ipv4.ip_local_reserved_ports", Namespace::Net),
    ("net.ipv4.ip_unprivileged_port_start", Namespace::Net),
    ("net.ipv4.ping_group_range", Namespace::Net),
    ("net.ipv4.tcp_fin_timeout", Namespace::Net),
    ("net.ipv4.tcp_keepalive_intvl", Namespace::Net),
    ("net.ipv4.tcp_keepalive_probes", Namespace::Net),
    ("net.ipv4.tcp_keepalive_time", Namespace::Net),
    ("net.ipv4.tcp_rmem", Namespace::Net),
    ("net.ipv4.tcp_syncookies", Namespace::Net),
    ("net.ipv4.tcp_wmem", Namespace::Net),
];

/// Why the pod's parameters cannot be set, if so.
pub(super) fn forbidden(spec: &PodSpec) -> Option<String> {
    let context = spec.security_context.as_ref()?;
    context.sysctls.iter().flatten().find_map(|sysctl| refusal(&dotted(&sysctl.name), spec))
}

fn refusal(name: &str, spec: &PodSpec) -> Option<String> {
    let Some((_, namespace)) = SAFE.into_iter().find(|(safe, _)| *safe == name) else {
        return Some(format!("forbidden sysctl: {name:?} not allowlisted"));
    };
    let (is_hosts, shown) = match namespace {
        Namespace::Ipc => (spec.host_ipc, "IPC"),
        Namespace::Net => (spec.host_network, "Net"),
    };
    let message = || format!("forbidden sysctl: {name:?} not allowed with host {shown} enabled");
    (is_hosts == Some(true)).then(message)
}

/// A parameter's name with dots between its parts, which may be written with slashes; then dots stand within parts.
pub(crate) fn dotted(name: &str) -> String {
    let is_slashed = name.find(['.', '/']).is_some_and(|at| name[at..].starts_with('/'));
    let swap = |character| match character {
        '.' => '/',
        '/' => '.',
        other => other,
    };
    if is_slashed { name.chars().map(swap).collect() } else { name.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(name: &str, on_host: bool, expected: Option<&str>) {
        let spec = json!({
            "containers": [], "hostNetwork": on_host, "hostIPC": on_host,
            "securityContext": {"sysctls": [{"name": name, "value": "1"}]},
        });
        assert_eq!(forbidden(&serde_json::from_value(spec).unwrap()).as_deref(), expected);
    }

    #[test]
    fn a_pod_sets_safe_parameters_of_its_own_namespaces_only() {
        check("net.ipv4.tcp_syncookies", false, None);
        check("net/ipv4/tcp_syncookies", false, None);
        check("kernel.msgmax", false, Some("forbidden sysctl: \"kernel.msgmax\" not allowlisted"));
        check(
            "net.ipv4.tcp_syncookies",
            true,
            Some("forbidden sysctl: \"net.ipv4.tcp_syncookies\" not allowed with host Net enabled"),
        );
        check(
            "kernel.shm_rmid_forced",
            true,
            Some("forbidden sysctl: \"kernel.shm_rmid_forced\" not allowed with host IPC enabled"),
        );
    }

    #[test]
    fn names_may_be_written_with_slashes() {
        assert_eq!(dotted("net/ipv4/conf/eth0.1/x"), "net.ipv4.conf.eth0/1.x");
        assert_eq!(dotted("net.ipv4.conf.eth0/1.x"), "net.ipv4.conf.eth0/1.x");
    }
}
