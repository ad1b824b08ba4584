//! Upstream's own files: the Go modules of the Kubernetes version that `hack/schema` names. Read where the Go tool keeps
//! them; nothing of them is copied.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The folder of the Go module that names the version.
#[must_use]
pub fn generator() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../hack/schema")
}

/// Runs a command in [`generator`] and answers its standard output; panics with what it said where it fails.
pub fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).current_dir(generator()).output();
    let output = output.unwrap_or_else(|error| panic!("{program}, which hack/test installs: {error}"));
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{program} failed:\n{out}{err}");
    out.into_owned()
}

/// The folder of a module such as `k8s.io/api`, downloaded where the Go tool does not have it yet.
#[must_use]
pub fn module(name: &str) -> PathBuf {
    let answer = run("go", &["mod", "download", "-json", name]);
    let module: serde_json::Value = serde_json::from_str(&answer).expect("go mod download answers JSON");
    module["Dir"].as_str().unwrap_or_else(|| panic!("{name} has no folder: {answer}")).into()
}
