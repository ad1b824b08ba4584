//! The annotation by which a node asks to be spared some controllers' pods (upstream:
//! `ValidateAvoidPodsInNodeAnnotations`). Nothing obeys it any more; its form is still checked.

use std::collections::BTreeMap;

use machinery::field::{Error, ErrorList, Path};
use machinery::json::{self, Tree};

const ANNOTATION: &str = "scheduler.alpha.kubernetes.io/preferAvoidPods";

pub(super) fn validate(annotations: Option<&BTreeMap<String, String>>, path: &Path) -> ErrorList {
    let Some(text) = annotations.and_then(|all| all.get(ANNOTATION)).filter(|text| !text.is_empty()) else {
        return vec![];
    };
    match entries(text) {
        Err(detail) => vec![Error::invalid(&path.child("AvoidPods"), ANNOTATION, detail)],
        Ok(entries) => {
            let path = path.child(ANNOTATION);
            let entries = entries.iter().enumerate();
            entries.filter_map(|(index, entry)| validate_entry(entry, &path.index(index))).collect()
        }
    }
}

fn entries(text: &str) -> Result<Vec<Tree<'_>>, String> {
    let tree = json::parse(text.as_bytes()).map_err(|error| error.to_string())?.tree;
    match tree {
        Tree::Null => Ok(vec![]),
        Tree::Object(mut members) => match members.remove("preferAvoidPods") {
            None | Some(Tree::Null) => Ok(vec![]),
            Some(Tree::Array(entries)) => Ok(entries),
            Some(other) => Err(format!(
                "json: cannot unmarshal {} into Go struct field AvoidPods.preferAvoidPods of type []v1.PreferAvoidPodsEntry",
                other.go_kind()
            )),
        },
        other => {
            Err(format!("json: cannot unmarshal {} into Go value of type v1.AvoidPods", other.go_kind()))
        }
    }
}

fn validate_entry(entry: &Tree<'_>, path: &Path) -> Option<Error> {
    let controller = entry.pointer(&["podSignature", "podController"]).filter(|value| !value.is_null());
    let Some(controller) = controller else {
        return Some(Error::required(&path.child("PodSignature"), ""));
    };
    let is_controller = controller.get("controller").and_then(Tree::as_bool).unwrap_or_default();
    let path = path.child("PodSignature.PodController.Controller");
    (!is_controller).then(|| Error::invalid(&path, false, "must point to a controller"))
}
