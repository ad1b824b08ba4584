//! A kubeconfig, read from its file. What is wrong with one is said without what stands in it: it holds keys and tokens, and
//! an error ends up in a log.

use std::path::Path;

use anyhow::anyhow;
use kube::config::{Kubeconfig, KubeconfigError};

/// Reads the file.
///
/// # Errors
/// It cannot be read, or is no kubeconfig.
pub(crate) fn read(path: &Path) -> anyhow::Result<Kubeconfig> {
    Kubeconfig::read_from(path).map_err(|error| match error {
        KubeconfigError::Parse(error) => match error.location() {
            Some(place) => {
                anyhow!("it is not a kubeconfig: line {}, column {}", place.line(), place.column())
            }
            None => anyhow!("it is not a kubeconfig"),
        },
        error => error.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_does_not_show_what_stands_in_the_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let secret = "c2VjcmV0LWtleQ==";
        for wrong in ["client-key-data:", "client-key-data: [", "token: {a: b}\n    client-key-data: 1: "] {
            let text = format!("kind: Config\nusers:\n- name: a\n  user:\n    {wrong}{secret}\n    b: c\n");
            std::fs::write(file.path(), text).unwrap();
            let error = format!("{:#}", read(file.path()).unwrap_err());
            assert!(error.starts_with("it is not a kubeconfig: line ") && !error.contains(secret), "{error}");
        }
    }
}
