//! ServiceCIDR: a range that addresses of services are taken from (upstream: `pkg/registry/networking/servicecidr`,
//! `ValidateServiceCIDR`).

use k8s_openapi::api::networking::v1::ServiceCIDR;
use k8s_openapi::jiff::Timestamp;
use machinery::field::{Error, ErrorList, Path};
use machinery::table::Column;
use serde_json::Value;

use crate::kind::{Context, Kind, Subresource};
use crate::{cells, checks};

const SPEC: &str = "io.k8s.api.networking.v1.ServiceCIDRSpec";

impl Kind for ServiceCIDR {
    const SINGULAR: &'static str = "servicecidr";
    const NAMESPACED: bool = false;
    const SUBRESOURCES: &'static [Subresource] = &[Subresource::Status];

    fn prepare_for_create(&mut self, _cx: &Context) {
        self.status = None;
    }

    fn validate(&self) -> ErrorList {
        validate_blocks(self)
    }

    fn prepare_for_update(&mut self, old: &Self, _cx: &Context) {
        self.status = old.status.clone();
    }

    /// Blocks stay; one of the other family may be added.
    fn validate_update(&self, old: &Self) -> ErrorList {
        let mut errors = checks::metadata_update(self, old);
        let path = Path::new("spec.cidrs");
        match (blocks(self), blocks(old)) {
            (new, old) if new.len() == old.len() => errors.extend(changed(new, old, &path)),
            (new @ [_, _], old @ [_]) => {
                errors.extend(changed(new, old, &path));
                errors.extend(validate_blocks(self));
            }
            (new, _) => {
                let shown = self.spec.as_ref().and_then(|spec| spec.cidrs.as_ref()).map(|_| new);
                errors.push(Error::invalid(&path, shown, "field is immutable"));
            }
        }
        errors
    }

    fn prepare_for_status_update(&mut self, old: &Self, _cx: &Context) {
        self.spec = old.spec.clone();
        checks::keep_metadata(&mut self.metadata, &old.metadata);
    }

    fn columns() -> Vec<Column> {
        vec![cells::name(), cells::column("CIDRs", "string", "The blocks."), cells::age()]
    }

    fn row(&self, now: Timestamp) -> Vec<Value> {
        let shown = Value::from(blocks(self).join(","));
        vec![cells::name_of(&self.metadata), shown, cells::age_of(&self.metadata, now)]
    }
}

fn blocks(range: &ServiceCIDR) -> &[String] {
    range.spec.as_ref().and_then(|spec| spec.cidrs.as_deref()).unwrap_or_default()
}

fn changed(new: &[String], old: &[String], path: &Path) -> ErrorList {
    let pairs = new.iter().zip(old).enumerate().filter(|(_, (new, old))| new != old);
    pairs
        .map(|(index, (new, _))| Error::invalid(&path.index(index), new.as_str(), "field is immutable"))
        .collect()
}

/// At most one block of each family.
fn validate_blocks(range: &ServiceCIDR) -> ErrorList {
    let path = Path::new("spec.cidrs");
    let blocks = blocks(range);
    match blocks.len() {
        0 => return vec![Error::required(&path, "at least one CIDR required")],
        1 | 2 => {}
        _ => {
            let spec = range.spec.clone().unwrap_or_default();
            return vec![Error::invalid(
                &path,
                checks::internal(SPEC, &spec),
                "may only hold up to 2 values",
            )];
        }
    }
    let each = blocks.iter().enumerate();
    let mut errors: ErrorList =
        each.flat_map(|(index, block)| checks::strict_cidr(block, &path.index(index))).collect();
    let is_v4 = |block: &String| checks::Cidr::parse(block).map(|cidr| cidr.address.is_ipv4());
    if let [one, other] = blocks
        && is_v4(one).is_some()
        && is_v4(one) == is_v4(other)
    {
        let detail =
            "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64";
        errors.push(Error::invalid(&path, blocks, detail));
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{errors_of, errors_of_update};

    #[test]
    fn a_range_has_one_block_of_a_family() {
        errors_of::<ServiceCIDR>(r#"{"spec":{"cidrs":["10.0.0.0/16","fd00::/112"]}}"#, &[]);
        errors_of::<ServiceCIDR>("{}", &["spec.cidrs: Required value: at least one CIDR required"]);
        errors_of::<ServiceCIDR>(
            r#"{"spec":{"cidrs":["10.0.0.0/16","10.1.0.0/16"]}}"#,
            &[
                r#"spec.cidrs: Invalid value: ["10.0.0.0/16","10.1.0.0/16"]: may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64"#,
            ],
        );
    }

    #[test]
    fn a_family_is_added_and_nothing_is_changed() {
        let old = r#"{"spec":{"cidrs":["10.0.0.0/16"]}}"#;
        errors_of_update::<ServiceCIDR>(old, r#"{"spec":{"cidrs":["10.0.0.0/16","fd00::/112"]}}"#, &[]);
        errors_of_update::<ServiceCIDR>(
            old,
            r#"{"spec":{"cidrs":["10.1.0.0/16"]}}"#,
            &["spec.cidrs[0]: Invalid value: \"10.1.0.0/16\": field is immutable"],
        );
    }
}
