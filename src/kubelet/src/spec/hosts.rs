//! The content of a pod's `/etc/hosts`.

use std::fmt::Write;

use k8s_openapi::api::core::v1::HostAlias;

/// For a pod with its own network: the fixed lines, the pod's own name, its aliases.
pub(crate) fn managed(ips: &[String], hostname: &str, domain: &str, aliases: &[HostAlias]) -> String {
    let mut out = String::from("# Kubernetes-managed hosts file.\n");
    for (ip, names) in [
        ("127.0.0.1", "localhost"),
        ("::1", "localhost ip6-localhost ip6-loopback"),
        ("fe00::0", "ip6-localnet"),
        ("fe00::0", "ip6-mcastprefix"),
        ("fe00::1", "ip6-allnodes"),
        ("fe00::2", "ip6-allrouters"),
    ] {
        line(&mut out, ip, names);
    }
    for ip in ips {
        match domain {
            "" => line(&mut out, ip, hostname),
            domain => line(&mut out, ip, &format!("{hostname}.{domain}\t{hostname}")),
        }
    }
    append_aliases(out, aliases)
}

/// For a pod on the node's network: the node's own file and the pod's aliases.
pub(crate) fn of_node(node_file: &str, aliases: &[HostAlias]) -> String {
    append_aliases(format!("# Kubernetes-managed hosts file (host network).\n{node_file}"), aliases)
}

fn append_aliases(mut out: String, aliases: &[HostAlias]) -> String {
    if !aliases.is_empty() {
        out.push_str("\n# Entries added by HostAliases.\n");
    }
    for alias in aliases {
        line(&mut out, &alias.ip, &alias.hostnames.as_deref().unwrap_or_default().join("\t"));
    }
    out
}

fn line(out: &mut String, ip: &str, names: &str) {
    writeln!(out, "{ip}\t{names}").expect("writing to a string cannot fail");
}
