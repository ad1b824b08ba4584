//! The names of what an instance has on the machine, so that instances share it and `reset` finds everything.

/// The proxy's table.
pub(crate) fn table(instance: &str) -> String {
    format!("coxswain-{instance}")
}

/// The table of pod networking. Not the proxy's, which that one replaces as a whole whenever it starts.
pub(crate) fn pods_table(instance: &str) -> String {
    format!("coxswain-{instance}-pods")
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

/// The metric of an instance's routes: the same network may be routed by another instance too.
pub(crate) fn route_metric(instance: &str) -> u32 {
    // FNV-1a: any even spread does; zero would mean "no metric".
    instance.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
        | 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_of_instances_and_sandboxes_differ_and_fit() {
        assert_eq!(link("01234567", "89abcdef0123"), "cx012389abcdef");
        assert!(link("01234567", "89abcdef0123").len() <= 15);
        assert_ne!(route_metric("01234567"), route_metric("01234568"));
    }
}
