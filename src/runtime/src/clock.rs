//! The time of day and the identity of this boot.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::error::{At, Result};

/// Nanoseconds since 1970, as CRI messages have them.
pub(crate) fn now_ns() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

/// Changes with every boot: processes, mounts and namespaces of another one are gone.
pub(crate) fn boot_id() -> Result<String> {
    let path = "/proc/sys/kernel/random/boot_id";
    Ok(std::fs::read_to_string(path).at("read", path)?.trim().to_owned())
}
