use super::*;

const TABLE: &str = "as=Table;v=v1;g=meta.k8s.io";

#[track_caller]
fn check(header: &str, expected: Option<(Encoding, Shape)>) {
    let got = resource(header, "", Subject::Object, String::new).ok();
    assert_eq!(got.map(|accept| (accept.encoding, accept.shape)), expected, "{header}");
}

#[track_caller]
fn check_encoding(header: &str, expected: Encoding) {
    check(header, Some((expected, Shape::Object)));
}

#[test]
fn encodings_are_chosen_as_upstream_chooses_them() {
    check_encoding("", Encoding::Json);
    check_encoding("*/*", Encoding::Json);
    check_encoding("*", Encoding::Json);
    check_encoding("application/*", Encoding::Json);
    check_encoding("application/yaml", Encoding::Yaml);
    check_encoding("application/vnd.kubernetes.protobuf,application/json", Encoding::Protobuf);
    check_encoding("application/vnd.kubernetes.protobuf, */*", Encoding::Protobuf);
    check_encoding("text/html, application/yaml ;q=0.1", Encoding::Yaml);
    check_encoding("application/json;stream=watch", Encoding::Json);
    check_encoding("application/yaml;stream=watch,application/json", Encoding::Json);
    check_encoding("application/yaml;sv=v2,application/json", Encoding::Json);
    check_encoding("application/json;charset=utf-8", Encoding::Json);
    check("text/html", None);
    check("application/json;stream=other", None);
    check("application/json/x", None);
    check("json", None);
    check(" ", None);
}

#[test]
fn qualities_and_asterisks_order_the_ranges() {
    check_encoding("application/json;q=0.5,application/yaml", Encoding::Yaml);
    check_encoding("application/json;q=0.5,application/yaml;q=0.4", Encoding::Json);
    check_encoding("*/*,application/yaml", Encoding::Yaml);
    check_encoding("*/*,application/yaml;q=0.1", Encoding::Yaml);
    // The comparison is of no order, so who comes second may overtake.
    check_encoding("application/yaml;q=0.1,*/*", Encoding::Json);
    check_encoding("application/yaml;q=many,application/json;q=0.1", Encoding::Json);
    let many = "text/plain;q=0.1,".repeat(5_000);
    check_encoding(&format!("{many}application/yaml;q=0.2"), Encoding::Yaml);
}

#[test]
fn transformations_fall_back_where_they_are_not_served() {
    let table = |version| Shape::Table(version, IncludeObject::Metadata);
    check(&format!("application/json;{TABLE}"), Some((Encoding::Json, table(MetaVersion::V1))));
    let older = "application/json;as=Table;v=v1beta1;g=meta.k8s.io";
    check(older, Some((Encoding::Json, table(MetaVersion::V1Beta1))));
    check(&format!("application/vnd.kubernetes.protobuf;{TABLE}"), None);
    check_encoding(
        &format!("application/vnd.kubernetes.protobuf;{TABLE},application/vnd.kubernetes.protobuf"),
        Encoding::Protobuf,
    );
    check(&format!("*/*;{TABLE}"), Some((Encoding::Json, table(MetaVersion::V1))));
    check_encoding("application/json;as=Table;v=v2;g=meta.k8s.io,application/json", Encoding::Json);
    check("application/json;v=v1", None);
    check(
        "application/vnd.kubernetes.protobuf;as=PartialObjectMetadata;g=meta.k8s.io;v=v1",
        Some((Encoding::Protobuf, Shape::Metadata(MetaVersion::V1))),
    );
}

#[test]
fn lists_are_not_objects_nor_objects_lists() {
    let of = |kind: &str, subject| {
        let header = format!("application/json;as={kind};g=meta.k8s.io;v=v1");
        resource(&header, "", subject, || "*core.Pod".to_owned()).map(|accept| accept.shape)
    };
    let metadata = Ok(Shape::Metadata(MetaVersion::V1));
    assert_eq!(of("PartialObjectMetadata", Subject::Object), metadata);
    assert_eq!(of("PartialObjectMetadataList", Subject::List), metadata);
    let refused = of("PartialObjectMetadataList", Subject::Object).unwrap_err();
    assert_eq!(refused.code(), 406);
    assert_eq!(
        refused.message(),
        "you requested PartialObjectMetadataList, but the requested object is not a list (*core.Pod)"
    );
    assert_eq!(of("PartialObjectMetadata", Subject::List).unwrap_err().code(), 406);
}

#[test]
fn what_cannot_be_transformed_is_taken_as_it_is() {
    let check = |header: &str, expected: Option<Encoding>| {
        assert_eq!(plain(header).ok().map(|accept| accept.encoding), expected, "{header}");
    };
    check(&format!("application/json;{TABLE}"), None);
    check(&format!("application/json;{TABLE},application/yaml"), Some(Encoding::Yaml));
    check("application/vnd.kubernetes.protobuf", Some(Encoding::Protobuf));
}
