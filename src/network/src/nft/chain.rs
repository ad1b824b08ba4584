//! A chain, and where a base chain hangs in the packet's way.

use super::attributes::Attributes;

/// What a base chain may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HookType {
    /// Accept, drop, reject.
    Filter,
    /// Translate addresses; sees only the first packet of a connection.
    Nat,
}

/// The place of a base chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    /// Packets that arrived, before routing.
    Prerouting,
    /// Packets for this machine.
    Input,
    /// Packets on their way through.
    Forward,
    /// Packets that this machine sends.
    Output,
    /// Packets that leave, after routing.
    Postrouting,
}

/// A chain of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    /// Its name.
    pub name: String,
    /// Type, hook and priority of a base chain; `None` for a chain that others jump to.
    pub base: Option<(HookType, Hook, i32)>,
}

impl Chain {
    /// A chain that rules and maps jump to.
    pub fn regular(name: impl Into<String>) -> Self {
        Self { name: name.into(), base: None }
    }

    /// A chain that the kernel calls, lower priorities first. What passes it is accepted.
    pub fn base(name: impl Into<String>, kind: HookType, hook: Hook, priority: i32) -> Self {
        Self { name: name.into(), base: Some((kind, hook, priority)) }
    }

    pub(crate) fn encode(&self, attributes: &mut Attributes) {
        const NAME: u16 = 3;
        const HOOK: u16 = 4;
        const TYPE: u16 = 7;
        attributes.string(NAME, &self.name);
        let Some((kind, hook, priority)) = self.base else { return };
        attributes.nest(HOOK, |nested| {
            nested.u32(1, hook as u32).bytes(2, &priority.to_be_bytes());
        });
        attributes.string(
            TYPE,
            match kind {
                HookType::Filter => "filter",
                HookType::Nat => "nat",
            },
        );
    }
}
