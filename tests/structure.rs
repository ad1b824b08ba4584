//! The structure is tested: crates import only downwards, licences are permissive, the repository keeps its shape.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::host::succeed;

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn metadata(arguments: &[&str]) -> Value {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let mut command = Command::new(cargo);
    // Only this platform's dependencies have been fetched.
    command
        .args(["metadata", "--format-version=1", "--offline"])
        .arg(format!("--filter-platform={}-unknown-linux-gnu", std::env::consts::ARCH))
        .args(arguments)
        .current_dir(root());
    serde_json::from_str(&succeed(&mut command)).unwrap()
}

/// The rows of the table under `## Arrows` in `docs/architecture.md`: crate → what it may import.
fn arrows() -> BTreeMap<String, BTreeSet<String>> {
    let page = std::fs::read_to_string(root().join("docs/architecture.md")).unwrap();
    let section =
        page.split("## Arrows").nth(1).expect("a section `## Arrows`").split("\n## ").next().unwrap();
    let cells = |row: &str| row.split('|').map(|cell| cell.trim().replace('`', "")).collect::<Vec<_>>();
    section
        .lines()
        .filter(|line| line.starts_with("| `"))
        .map(|row| {
            let cells = cells(row);
            let imports = cells[2].split([',', ' ']).filter(|name| !name.is_empty() && *name != "–");
            (cells[1].clone(), imports.map(str::to_owned).collect())
        })
        .collect()
}

#[test]
fn crates_import_only_what_the_table_of_arrows_allows() {
    let allowed = arrows();
    let short = |name: &str| name.strip_prefix("coxswain-").unwrap_or(name).to_owned();
    for package in metadata(&["--no-deps"])["packages"].as_array().unwrap() {
        let name = short(package["name"].as_str().unwrap());
        if ["tests", "xtask"].contains(&name.as_str()) {
            continue;
        }
        let imports: BTreeSet<String> = package["dependencies"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|dependency| dependency["path"].is_string() && dependency["kind"] != "dev")
            .map(|dependency| short(dependency["name"].as_str().unwrap()))
            .collect();
        let may = allowed.get(&name).unwrap_or_else(|| panic!("{name} is not in the table of arrows"));
        let forbidden: Vec<_> = imports.difference(may).collect();
        assert!(
            forbidden.is_empty(),
            "{name} imports {forbidden:?}, which docs/architecture.md does not allow"
        );
    }
}

#[test]
fn every_dependency_has_a_permissive_licence() {
    const PERMISSIVE: [&str; 16] = [
        "0BSD",
        "Apache-2.0",
        "Apache-2.0 WITH LLVM-exception",
        "BSD-2-Clause",
        "BSD-3-Clause",
        "BSL-1.0",
        "CC0-1.0",
        "CDLA-Permissive-2.0",
        "ISC",
        "MIT",
        "MIT-0",
        "MPL-2.0",
        "MPL-2.0+",
        "Unicode-3.0",
        "Unlicense",
        "Zlib",
    ];
    // The C library behind seccomp filters is LGPL-2.1 and linked dynamically; its bindings are MIT OR Apache-2.0.
    let permissive = |expression: &str| {
        expression
            .replace('/', " OR ")
            .replace(['(', ')'], "")
            .split(" AND ")
            .all(|part| part.split(" OR ").any(|licence| PERMISSIVE.contains(&licence.trim())))
    };
    // Its manifest names a file instead of a licence; the file is the MIT licence's text.
    let by_its_file = ["rust-criu"];
    let mut wrong = Vec::new();
    for package in metadata(&[])["packages"].as_array().unwrap() {
        let licence = package["license"].as_str().unwrap_or("none");
        if !permissive(licence) && !by_its_file.contains(&package["name"].as_str().unwrap()) {
            wrong.push(format!("{}: {licence}", package["name"]));
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn the_repository_keeps_its_shape() {
    // The checkout may be another user's: a test that runs as root only reads its list of files.
    let safe = format!("safe.directory={}", root().display());
    let tracked = succeed(Command::new("git").args(["-c", &safe, "ls-files"]).current_dir(root()));
    let top: BTreeSet<&str> = tracked.lines().map(|path| path.split('/').next().unwrap()).collect();
    let known = BTreeSet::from([
        ".ci",
        ".gitignore",
        "Cargo.lock",
        "Cargo.toml",
        "LICENSE",
        "README.md",
        "charts",
        "conformance",
        "docs",
        "hack",
        "rustfmt.toml",
        "src",
        "tests",
    ]);
    let strange: Vec<_> = top.difference(&known).collect();
    assert!(
        strange.is_empty(),
        "{strange:?} at the top level: give them a place below, or a decision record"
    );
    let modules: Vec<&str> = tracked.lines().filter(|path| path.ends_with("/mod.rs")).collect();
    assert!(modules.is_empty(), "{modules:?}: a module is named by its own file");
}
