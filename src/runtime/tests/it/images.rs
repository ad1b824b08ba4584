//! Images from archives, and their removal.

use coxswain_runtime::images::Images;
use cri::{Runtime, v1};
use serde_json::json;

use crate::image::{NAME, Recipe};
use crate::machine::{Machine, container};

async fn image_status(machine: &Machine, name: &str) -> Option<v1::Image> {
    let image = Some(v1::ImageSpec { image: name.into(), ..Default::default() });
    machine.runtime().image_status(v1::ImageStatusRequest { image, verbose: false }).await.unwrap().image
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_imported_beside_a_running_runtime_is_seen_at_once() {
    let machine = Machine::without_image().await;
    assert_eq!(image_status(&machine, "box:1").await, None);
    let archive = machine.root.join("box.tar");
    Recipe::default().docker_archive(&archive);
    let images = Images::open(machine.root.join("runtime")).unwrap();
    assert_eq!(images.import(&archive).unwrap(), [NAME]);
    let image = image_status(&machine, "box:1").await.unwrap();
    assert_eq!(image.repo_tags, [NAME]);
    assert_eq!(image_status(&machine, &image.id).await.unwrap(), image);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compressed_oci_layout_holds_the_same_image() {
    let machine = Machine::without_image().await;
    let archive = machine.root.join("box.tar.gz");
    Recipe::default().oci_layout(&archive);
    let images = Images::open(machine.root.join("runtime")).unwrap();
    assert_eq!(images.import(&archive).unwrap(), [NAME]);
    let sandbox = machine.sandbox().await;
    assert_eq!(machine.script(&sandbox, container(&[])).await.1, "default\n");
    let image = image_status(&machine, NAME).await.unwrap();
    assert!(image.repo_digests[0].starts_with("docker.io/library/box@sha256:"));
    assert_eq!(image_status(&machine, &image.repo_digests[0]).await.unwrap().id, image.id);
}

#[tokio::test(flavor = "multi_thread")]
async fn archives_in_the_import_directory_are_there_before_the_image_is_asked_for() {
    let mut machine = Machine::without_image().await;
    let recipe = Recipe { config: json!({"User": "web:media"}), ..Recipe::default() };
    recipe.docker_archive(&machine.root.join("import/box.tar"));
    machine.close();
    machine.open().await;
    let image = image_status(&machine, NAME).await.unwrap();
    assert_eq!((image.username.as_str(), image.uid), ("web", None));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tag_moves_to_the_newer_image() {
    let machine = Machine::new().await;
    let old = image_status(&machine, NAME).await.unwrap();
    let newer = Recipe { extra: vec![("note", b"newer")], ..Recipe::default() };
    let archive = machine.root.join("newer.tar");
    newer.docker_archive(&archive);
    Images::open(machine.root.join("runtime")).unwrap().import(&archive).unwrap();
    assert_ne!(image_status(&machine, NAME).await.unwrap().id, old.id);
    assert!(image_status(&machine, &old.id).await.unwrap().repo_tags.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_image_leaves_its_layers_only_to_containers() {
    let machine = Machine::new().await;
    let sandbox = machine.sandbox().await;
    let id = machine.run(&sandbox, container(&["sleep", "1000"])).await;
    let layers = || std::fs::read_dir(machine.root.join("runtime/layers")).unwrap().count();
    let image = Some(v1::ImageSpec { image: NAME.into(), ..Default::default() });
    let remove = v1::RemoveImageRequest { image };
    machine.runtime().remove_image(remove.clone()).await.unwrap();
    assert_eq!(image_status(&machine, NAME).await, None);
    assert_eq!(layers(), 2);
    assert_eq!(machine.shell(&id, "cat /gone/new").await, "new");
    machine.remove_sandbox(&sandbox).await;
    machine.runtime().remove_image(remove).await.unwrap();
    assert_eq!(layers(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_archive_or_is_damaged_is_refused_and_leaves_nothing() {
    let machine = Machine::without_image().await;
    let images = Images::open(machine.root.join("runtime")).unwrap();
    let archive = machine.root.join("box.tar");
    std::fs::write(&archive, "nothing of the kind").unwrap();
    assert!(images.import(&archive).is_err());
    Recipe::default().docker_archive(&archive);
    let mut bytes = std::fs::read(&archive).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&archive, bytes).unwrap();
    let error = images.import(&archive).unwrap_err().to_string();
    assert!(error.contains("its image says sha256:"), "{error}");
    assert_eq!(images.list().unwrap(), []);
    assert_eq!(std::fs::read_dir(machine.root.join("runtime/layers")).unwrap().count(), 0);
}
