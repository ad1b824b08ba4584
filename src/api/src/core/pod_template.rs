//! PodTemplate (upstream: `pkg/registry/core/podtemplate`, `ValidatePodTemplate`). Nothing makes pods from it.

use k8s_openapi::api::core::v1::{PodTemplate, PodTemplateSpec};
use k8s_openapi::jiff::Timestamp;
use machinery::field::{ErrorList, Path};
use machinery::table::Column;
use serde_json::Value;

use super::pod;
use crate::kind::{Context, Kind};
use crate::{cells, checks};

const TEMPLATE: &str = "io.k8s.api.core.v1.PodTemplateSpec";

impl Kind for PodTemplate {
    const SINGULAR: &'static str = "podtemplate";
    const NAMESPACED: bool = true;
    const RETURNS_DELETED: bool = true;

    fn set_defaults(&mut self) {
        pod::template::set_defaults(self.template.get_or_insert_default());
    }

    fn prepare_for_create(&mut self, _cx: &Context) {
        self.metadata.generation = Some(1);
        pod::template::prepare(self.template.get_or_insert_default());
    }

    fn validate(&self) -> ErrorList {
        pod::template::validate(&template_of(self), None, &Path::new("template"))
    }

    fn warnings(&self, old: Option<&Self>) -> Vec<String> {
        if old.is_some_and(|old| old.metadata.generation == self.metadata.generation) {
            return vec![];
        }
        pod::template::warnings(&template_of(self), &Path::new("template"))
    }

    fn prepare_for_update(&mut self, old: &Self, _cx: &Context) {
        pod::template::prepare(self.template.get_or_insert_default());
        if !checks::same(TEMPLATE, &template_of(self), &template_of(old)) {
            self.metadata.generation = Some(old.metadata.generation.unwrap_or_default() + 1);
        }
    }

    fn validate_update(&self, old: &Self) -> ErrorList {
        let mut errors = checks::metadata_update(self, old);
        let path = Path::new("template");
        errors.extend(pod::template::validate(&template_of(self), Some(&template_of(old)), &path));
        errors
    }

    fn columns() -> Vec<Column> {
        vec![
            cells::name(),
            cells::column("Containers", "string", "Names of the template's containers."),
            cells::column("Images", "string", "Images of the template's containers."),
            cells::column("Pod Labels", "string", "Labels of the template."),
        ]
    }

    fn row(&self, _now: Timestamp) -> Vec<Value> {
        let template = template_of(self);
        let [containers, images] = cells::containers(template.spec.as_ref());
        let labels = template.metadata.and_then(|metadata| metadata.labels);
        vec![cells::name_of(&self.metadata), containers, images, cells::labels(labels.as_ref()).into()]
    }
}

fn template_of(of: &PodTemplate) -> PodTemplateSpec {
    of.template.clone().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{context, errors_of, object};

    const TEMPLATE: &str = r#"{"metadata":{"name":"a"},
        "template":{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"c","image":"i"}]}}}"#;

    #[test]
    fn a_change_of_the_template_is_a_new_generation() {
        let mut old: PodTemplate = object(TEMPLATE);
        old.set_defaults();
        old.prepare_for_create(&context());
        assert_eq!(old.metadata.generation, Some(1));
        assert_eq!(old.validate(), vec![]);

        let mut new = old.clone();
        new.metadata.labels = Some([("only".to_owned(), "metadata".to_owned())].into());
        new.prepare_for_update(&old, &context());
        assert_eq!(new.metadata.generation, Some(1));
        template_spec(&mut new).containers[0].image = Some("j".to_owned());
        new.prepare_for_update(&old, &context());
        assert_eq!(new.metadata.generation, Some(2));
    }

    fn template_spec(of: &mut PodTemplate) -> &mut k8s_openapi::api::core::v1::PodSpec {
        of.template.get_or_insert_default().spec.get_or_insert_default()
    }

    #[test]
    fn errors_are_the_templates() {
        errors_of::<PodTemplate>(
            &TEMPLATE.replacen("\"name\":\"c\",", "", 1),
            &["template.spec.containers[0].name: Required value"],
        );
    }

    #[test]
    fn the_row_shows_containers_images_and_labels() {
        let template: PodTemplate = object(TEMPLATE);
        assert_eq!(template.row(Timestamp::UNIX_EPOCH), ["a", "c", "i", "a=b"].map(Value::from));
    }
}
