//! What is left in a namespace after everything in it was asked to go. Pure.

use super::Counts;

/// Seconds to expect where finalizers hold objects back.
const FINALIZER_SECONDS: u64 = 15;

#[derive(Debug, Default)]
pub(super) struct Remains {
    /// Objects left, by `resource.group`.
    pub(super) objects: Counts,
    /// Objects held back, by finalizer.
    pub(super) finalizers: Counts,
    pub(super) errors: Vec<String>,
    pub(super) discovery_error: Option<String>,
    /// Seconds until the rest should be gone; `None` where nothing is waited for.
    pub(super) wait: Option<u64>,
}

impl Remains {
    /// Counts what is left of one kind in `namespace`: the finalizers of each object, and the seconds of grace it has.
    pub(super) fn add(
        &mut self,
        namespace: &str,
        (resource, group): (&str, &str),
        left: &[Vec<String>],
        grace: Option<u64>,
    ) {
        if left.is_empty() {
            return;
        }
        *self.objects.entry(format!("{resource}.{group}")).or_default() += left.len();
        for finalizer in left.iter().flatten() {
            *self.finalizers.entry(finalizer.clone()).or_default() += 1;
        }
        let held = left.iter().any(|finalizers| !finalizers.is_empty());
        match grace.or(held.then_some(FINALIZER_SECONDS)) {
            Some(seconds) => self.wait = self.wait.max(Some(seconds)),
            None => self.errors.push(format!(
                "unexpected items still remain in namespace: {namespace} for gvr: {group}/{resource}"
            )),
        }
    }

    /// Whether nothing is left and nothing failed.
    pub(super) fn is_empty(&self) -> bool {
        self.objects.is_empty() && self.errors.is_empty()
    }
}
