//! The filters of list calls: every condition that is set must hold. Pure.

use std::collections::HashMap;

use cri::v1;

/// A filter over entries of a list.
pub(crate) trait Matches<T> {
    fn matches(&self, entry: &T) -> bool;
}

impl Matches<v1::PodSandbox> for v1::PodSandboxFilter {
    fn matches(&self, entry: &v1::PodSandbox) -> bool {
        has_id(&entry.id, &self.id)
            && self.state.as_ref().is_none_or(|wanted| wanted.state == entry.state)
            && has_labels(&entry.labels, &self.label_selector)
    }
}

impl Matches<v1::PodSandbox> for v1::PodSandboxStatsFilter {
    fn matches(&self, entry: &v1::PodSandbox) -> bool {
        has_id(&entry.id, &self.id) && has_labels(&entry.labels, &self.label_selector)
    }
}

impl Matches<v1::Container> for v1::ContainerFilter {
    fn matches(&self, entry: &v1::Container) -> bool {
        has_id(&entry.id, &self.id)
            && has_id(&entry.pod_sandbox_id, &self.pod_sandbox_id)
            && self.state.as_ref().is_none_or(|wanted| wanted.state == entry.state)
            && has_labels(&entry.labels, &self.label_selector)
    }
}

impl Matches<v1::Container> for v1::ContainerStatsFilter {
    fn matches(&self, entry: &v1::Container) -> bool {
        has_id(&entry.id, &self.id)
            && has_id(&entry.pod_sandbox_id, &self.pod_sandbox_id)
            && has_labels(&entry.labels, &self.label_selector)
    }
}

/// People give the start of an ID; an empty one is no condition.
fn has_id(id: &str, wanted: &str) -> bool {
    id.starts_with(wanted)
}

fn has_labels(labels: &HashMap<String, String>, wanted: &HashMap<String, String>) -> bool {
    wanted.iter().all(|(name, value)| labels.get(name) == Some(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_condition_must_hold() {
        let labels = HashMap::from([("app".to_owned(), "web".to_owned())]);
        let entry = v1::Container {
            id: "abc".into(),
            pod_sandbox_id: "s".into(),
            labels: labels.clone(),
            state: 1,
            ..Default::default()
        };
        let check = |filter: v1::ContainerFilter, expected| {
            assert_eq!(filter.matches(&entry), expected, "{filter:?}");
        };
        check(v1::ContainerFilter::default(), true);
        check(v1::ContainerFilter { id: "ab".into(), label_selector: labels, ..Default::default() }, true);
        check(v1::ContainerFilter { id: "b".into(), ..Default::default() }, false);
        let state = Some(v1::ContainerStateValue { state: 2 });
        check(v1::ContainerFilter { id: "abc".into(), state, ..Default::default() }, false);
    }
}
