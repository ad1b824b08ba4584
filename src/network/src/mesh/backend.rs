//! The ways in which packets get from node to node.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// How pods of other nodes are reached; the same on every node of a cluster.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Backend {
    /// By a route through the other node's address. All nodes must be in one network.
    #[default]
    Routes,
    /// In VXLAN packets between the nodes, over any network that lets UDP through.
    Vxlan,
}

/// A name that no backend has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no pod network: use routes or vxlan")]
pub struct UnknownBackend(String);

impl Backend {
    /// Bytes of each packet that the way itself takes: for VXLAN an outer IPv4 header (20), UDP (8), VXLAN (8) and the
    /// inner Ethernet header (14).
    pub(crate) fn overhead(self) -> u32 {
        match self {
            Backend::Routes => 0,
            Backend::Vxlan => 50,
        }
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Backend::Routes => "routes",
            Backend::Vxlan => "vxlan",
        })
    }
}

impl FromStr for Backend {
    type Err = UnknownBackend;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let known = [Backend::Routes, Backend::Vxlan];
        let found = known.into_iter().find(|backend| backend.to_string() == name);
        found.ok_or_else(|| UnknownBackend(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backends_are_read_as_they_are_written() {
        for backend in [Backend::Routes, Backend::Vxlan] {
            assert_eq!(backend.to_string().parse(), Ok(backend));
        }
        assert!("bridge".parse::<Backend>().unwrap_err().to_string().contains("routes or vxlan"));
    }
}
