//! The names of what an instance has on the machine, so that instances share it and `reset` finds everything.

use ipnet::Ipv4Net;

/// The proxy's table.
pub(crate) fn table(instance: &str) -> String {
    format!("coxswain-{instance}")
}

/// The table of pod networking. Not the proxy's, which that one replaces as a whole whenever it starts.
pub(crate) fn pods_table(instance: &str) -> String {
    format!("coxswain-{instance}-pods")
}

/// The table of the tunnel to other nodes.
pub(crate) fn mesh_table(instance: &str) -> String {
    format!("coxswain-{instance}-mesh")
}

/// What the names of an instance's links begin with.
pub(crate) fn link_prefix(instance: &str) -> String {
    format!("cx{}", instance.get(..4).unwrap_or(instance))
}

/// The host's end of a sandbox's link: 14 of the 15 characters that the kernel allows.
pub(crate) fn link(instance: &str, sandbox: &str) -> String {
    let sandbox: String = sandbox.chars().filter(char::is_ascii_alphanumeric).take(8).collect();
    format!("{}{sandbox}", link_prefix(instance))
}

/// The link of the tunnel to other nodes. No sandbox's link has a dash in its name.
pub(crate) fn tunnel(instance: &str) -> String {
    let instance = instance.get(..8).unwrap_or(instance);
    format!("cx{instance}-vx")
}

/// The number of the tunnel's network. Clusters that share machines have ranges of their own, and every node of a cluster
/// knows the cluster's range: so the number follows from it. Zero is left to those who choose nothing.
pub(crate) fn tunnel_network(cluster_cidr: Ipv4Net) -> u32 {
    (spread(cluster_cidr.to_string().bytes()) >> 8) | 1
}

/// The metric of an instance's routes: the same network may be routed by another instance too. Zero would mean "none".
pub(crate) fn route_metric(instance: &str) -> u32 {
    spread(instance.bytes()) | 1
}

/// FNV-1a: any even spread does, as long as it is the same in every version.
fn spread(bytes: impl Iterator<Item = u8>) -> u32 {
    bytes.fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_of_instances_and_sandboxes_differ_and_fit() {
        assert_eq!(link("01234567", "89abcdef0123"), "cx012389abcdef");
        assert!(link("01234567", "89abcdef0123").len() <= 15);
        assert_ne!(route_metric("01234567"), route_metric("01234568"));
        assert_eq!(tunnel("01234567"), "cx01234567-vx");
        assert!(tunnel("01234567").starts_with(&link_prefix("01234567")));
    }

    #[test]
    fn the_tunnels_number_follows_from_the_clusters_range() {
        let number = |network: &str| tunnel_network(network.parse().unwrap());
        assert_eq!(number("10.244.0.0/16"), number("10.244.0.0/16"));
        assert_ne!(number("10.244.0.0/16"), number("10.245.0.0/16"));
        assert!(number("10.244.0.0/16") < 1 << 24);
    }
}
