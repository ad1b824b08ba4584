//! What comes in kinds (controllers, plugins of the scheduler, of admission, of volumes) is a file and a line in a list, under
//! upstream's name. This walks the lists as they are written, the folders beside them, and upstream's own lists.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::structure::root;

/// One list: the file it stands in and the folder that its entries' files are in, both below `src/`.
struct List {
    source: &'static str,
    folder: &'static str,
    /// What begins and what ends the list.
    between: (&'static str, &'static str),
}

/// The modules and the names in a list, in its order. An entry is `module::Name` or `"name" => module`.
fn entries(list: &List) -> Vec<(String, String)> {
    let source = fs::read_to_string(root().join("src").join(list.source)).unwrap();
    let (begin, end) = list.between;
    let text = source.split(begin).nth(1).unwrap_or_else(|| panic!("{} has no {begin:?}", list.source));
    let entry = |line: &str| {
        let line = line.trim().trim_start_matches('&').trim_start_matches("Box::new(");
        let line = line.trim_end_matches([',', ')']);
        match line.split_once(" => ") {
            Some((name, module)) => Some((module.to_owned(), name.trim_matches('"').to_owned())),
            None => line.split_once("::").map(|(module, name)| (module.to_owned(), name.to_owned())),
        }
    };
    text.split(end).next().unwrap().lines().filter_map(entry).collect()
}

/// Every entry has its file, and no file of the folder is in no list but for those `beside`.
fn check_files(lists: &[List], beside: &[&str]) {
    let mut listed: BTreeSet<String> = beside.iter().map(ToString::to_string).collect();
    let folder = root().join("src").join(lists[0].folder);
    for (module, name) in lists.iter().flat_map(entries) {
        assert!(folder.join(&module).with_extension("rs").exists(), "{name} has no file {module}.rs");
        listed.insert(module);
    }
    let files = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    let rust = files.filter(|path| path.extension().is_some_and(|extension| extension == "rs"));
    let unlisted: Vec<PathBuf> =
        rust.filter(|path| !listed.contains(path.file_stem().unwrap().to_str().unwrap())).collect();
    assert!(unlisted.is_empty(), "{unlisted:?} are in no list");
}

/// `NodeResourcesFit` as a file is called: `node_resources_fit`.
fn snake_case(name: &str) -> String {
    let mut out = String::new();
    for character in name.chars() {
        if character.is_ascii_uppercase() && !out.is_empty() {
            out.push('_');
        }
        out.push(character.to_ascii_lowercase());
    }
    out
}

fn upstream(path: &str) -> String {
    let module = testing::upstream::module("k8s.io/kubernetes");
    fs::read_to_string(module.join(path)).unwrap()
}

/// The texts in double quotes.
fn quoted(text: &str) -> BTreeSet<&str> {
    text.lines().flat_map(|line| line.split('"').skip(1).step_by(2)).collect()
}

fn check_names<'a>(ours: impl Iterator<Item = &'a String>, theirs: &BTreeSet<&str>) {
    let strange: Vec<_> = ours.filter(|name| !theirs.contains(name.as_str())).collect();
    assert!(strange.is_empty(), "{strange:?} are not upstream's names");
}

#[test]
fn scheduler_plugins_are_files_under_upstreams_names() {
    let list = |begin| List {
        source: "scheduler/src/plugins.rs",
        folder: "scheduler/src/plugins",
        between: (begin, "];"),
    };
    let lists = [list("FILTERS: &[&dyn Filter] = &["), list("SCORES: &[&dyn Score] = &[")];
    check_files(&lists, &[]);
    let names = upstream("pkg/scheduler/framework/plugins/names/names.go");
    for list in &lists {
        let entries = entries(list);
        assert!(entries.len() > 3, "the list was read: {entries:?}");
        check_names(entries.iter().map(|(_, name)| name), &quoted(&names));
        for (module, name) in entries {
            assert_eq!(module, snake_case(&name));
        }
    }
}

#[test]
fn admission_plugins_are_files_in_upstreams_order() {
    let list = List {
        source: "apiserver/src/admission.rs",
        folder: "apiserver/src/admission",
        between: ("fn plugins() -> Vec<Box<dyn Plugin>> {", "\n}"),
    };
    check_files(std::slice::from_ref(&list), &[]);
    let options = upstream("pkg/kubeapiserver/options/plugins.go");
    let ordered = options.split("AllOrderedPlugins = []string{").nth(1).unwrap().split("\n}").next().unwrap();
    let order: Vec<&str> = ordered
        .lines()
        .filter(|line| line.contains("PluginName"))
        .filter_map(|line| line.split("// ").nth(1)?.split(',').next())
        .collect();
    let places: Vec<Option<usize>> =
        entries(&list).iter().map(|(_, name)| order.iter().position(|theirs| theirs == name)).collect();
    assert!(places.len() > 3 && places.iter().all(Option::is_some), "{places:?} in {order:?}");
    assert!(places.is_sorted(), "{places:?} is not upstream's order");
}

#[test]
fn volume_plugins_are_files_under_upstreams_names() {
    let list = List {
        source: "kubelet/src/volumes.rs",
        folder: "kubelet/src/volumes",
        between: ("PLUGINS: [&dyn Plugin; ", "];"),
    };
    // What plugins are made with, and what is done with volumes of any type.
    check_files(
        std::slice::from_ref(&list),
        &["atomic", "items", "mounts", "ownership", "subpath", "tear_down", "tmpfs"],
    );
    let theirs = testing::upstream::module("k8s.io/kubernetes").join("pkg/volume");
    let theirs: String = go_files(&theirs).map(|file| fs::read_to_string(file).unwrap()).collect();
    // Aligned by gofmt.
    let theirs = theirs.split_whitespace().collect::<Vec<_>>().join(" ");
    for (module, _) in entries(&list) {
        let source = root().join("src").join(list.folder).join(module).with_extension("rs");
        let source = fs::read_to_string(source).unwrap();
        let name = *quoted(&source).iter().find(|name| name.starts_with("kubernetes.io/")).unwrap();
        assert!(theirs.contains(&format!("PluginName = \"{name}\"")), "{name} is not upstream's");
    }
}

/// The Go files of the folders below one.
fn go_files(folder: &Path) -> impl Iterator<Item = PathBuf> {
    let folders =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir());
    let files = folders.flat_map(|folder| fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()));
    files.filter(|path| path.extension().is_some_and(|extension| extension == "go"))
}

#[test]
fn controllers_have_upstreams_names() {
    let list = List {
        source: "controllers/src/lib.rs",
        folder: "controllers/src",
        between: ("    controllers! {", "    }"),
    };
    let entries = entries(&list);
    assert!(entries.len() > 10, "the list was read: {entries:?}");
    let names = upstream("cmd/kube-controller-manager/names/controller_names.go");
    let mut theirs = quoted(&names);
    // Two that upstream leaves to others: kubelets' serving certificates to the administrator, and DNS to pods of CoreDNS.
    theirs.extend(["kubelet-serving-certificate-approving-controller", "dns-endpoints-controller"]);
    check_names(entries.iter().map(|(_, name)| name), &theirs);
    for (module, name) in entries {
        let places = ["", "certificates"].map(|folder| root().join("src/controllers/src").join(folder));
        let found = places.iter().any(|place| place.join(&module).with_extension("rs").exists());
        assert!(found, "{name} has no file {module}.rs");
    }
}
