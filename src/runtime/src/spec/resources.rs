//! How much of the machine a container may use, but for the limits that would hinder its own start: see
//! [`crate::limits::AtStart`].

use cri::v1;
use serde_json::{Map, Value, json};

use crate::cgroups::Cgroups;

/// Shares and sets as the request gives them; 0 means none. `device_rules` come from `devices`.
pub(super) fn make(config: &v1::ContainerConfig, cgroups: &Cgroups, device_rules: Vec<Value>) -> Value {
    let asked = config.linux.as_ref().and_then(|linux| linux.resources.clone()).unwrap_or_default();
    let mut resources = Map::new();
    resources.insert("devices".to_owned(), Value::Array(device_rules));
    let mut cpu = Map::new();
    if asked.cpu_shares != 0 {
        cpu.insert("shares".to_owned(), json!(asked.cpu_shares));
    }
    for (name, value) in [("cpus", &asked.cpuset_cpus), ("mems", &asked.cpuset_mems)] {
        if !value.is_empty() {
            cpu.insert(name.to_owned(), json!(value));
        }
    }
    if !cpu.is_empty() {
        resources.insert("cpu".to_owned(), Value::Object(cpu));
    }
    if cgroups.is_unified() && !asked.unified.is_empty() {
        resources.insert("unified".to_owned(), json!(asked.unified));
    }
    if cgroups.has_controller("hugetlb") {
        let pages: Vec<Value> = asked
            .hugepage_limits
            .iter()
            .map(|p| json!({"pageSize": p.page_size, "limit": p.limit}))
            .collect();
        if !pages.is_empty() {
            resources.insert("hugepageLimits".to_owned(), Value::Array(pages));
        }
    }
    Value::Object(resources)
}
