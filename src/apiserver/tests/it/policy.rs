//! The committed table of default roles is that of the Kubernetes version that we name.

use std::path::Path;
use std::process::Command;

#[test]
fn the_committed_default_roles_are_what_the_generator_writes() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../hack/rbac");
    let output = Command::new("./generate").arg("--check").current_dir(folder).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "hack/rbac/generate --check failed:\n{out}{err}");
}
