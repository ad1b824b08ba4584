//! The query options of the verbs, checked as upstream checks them
//! (`apimachinery/pkg/apis/meta/{v1,internalversion}/validation`).

use std::num::{IntErrorKind, ParseIntError};

use machinery::Status;
use machinery::field::{Error, ErrorList, Path};
use machinery::gvk::GroupKind;
use machinery::meta::validate_field_manager;

use crate::query::Query;

/// What happens to fields that the schema does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FieldValidation {
    Ignore,
    Warn,
    Strict,
}

/// Upstream's name of the options of a patch.
pub(crate) const PATCH: &str = "PatchOptions";

/// Options of create, update and patch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WriteOptions {
    pub(crate) dry_run: bool,
    pub(crate) field_validation: FieldValidation,
}

impl WriteOptions {
    /// Reads them; `kind` is upstream's name of the options, e.g. `CreateOptions`.
    pub(crate) fn read(query: &Query, kind: &str) -> Result<WriteOptions, Status> {
        let mut errors = ErrorList::new();
        errors.extend(dry_run_errors(&query.all("dryRun").collect::<Vec<_>>()));
        errors.extend(validate_field_manager(query.text("fieldManager"), &Path::new("fieldManager")));
        if kind == PATCH && query.get("force").is_some() {
            let why = "may not be specified for non-apply patch";
            errors.push(Error::forbidden(&Path::new("force"), why));
        }
        let field_validation = match query.text("fieldValidation") {
            "" | "Warn" => FieldValidation::Warn,
            "Ignore" => FieldValidation::Ignore,
            "Strict" => FieldValidation::Strict,
            other => {
                let path = Path::new("fieldValidation");
                errors.push(Error::not_supported(&path, other, &["", "Ignore", "Strict", "Warn"]));
                FieldValidation::Warn
            }
        };
        invalid_unless_empty(kind, &errors)?;
        Ok(WriteOptions { dry_run: query.get("dryRun").is_some(), field_validation })
    }
}

/// `All` is the only thing that can be dry.
pub(crate) fn dry_run_errors(values: &[&str]) -> ErrorList {
    let path = Path::new("dryRun");
    let is_known = values.iter().all(|value| *value == "All");
    (!is_known).then(|| Error::not_supported(&path, values, &["All"])).into_iter().collect()
}

/// 422 about options.
pub(crate) fn invalid_unless_empty(kind: &str, errors: &ErrorList) -> Result<(), Status> {
    Status::check(&GroupKind::new("meta.k8s.io", kind), "", errors)
}

/// How fresh an answer must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Freshness {
    /// Whatever is current.
    Any,
    /// As of this revision or later.
    NotOlderThan(u64),
    /// As of exactly this revision.
    Exact(u64),
}

/// Options of list, watch and deletecollection.
#[derive(Debug, Clone)]
pub(crate) struct ListOptions {
    pub(crate) limit: usize,
    pub(crate) continue_token: String,
    /// `None` where `resourceVersion` is not given; 0 means any.
    pub(crate) resource_version: Option<u64>,
    pub(crate) exact: bool,
    pub(crate) send_initial_events: Option<bool>,
    pub(crate) allow_bookmarks: bool,
    pub(crate) timeout_seconds: Option<i64>,
}

impl ListOptions {
    pub(crate) fn read(query: &Query, is_watch: bool) -> Result<ListOptions, Status> {
        let matching = query.text("resourceVersionMatch");
        let version = query.text("resourceVersion");
        let send_initial_events = query.optional_flag("sendInitialEvents");
        let errors = if is_watch {
            watch_errors(matching, query.text("continue"), send_initial_events)
        } else {
            list_errors(version, matching, query.text("continue"), send_initial_events)
        };
        invalid_unless_empty("ListOptions", &errors)?;
        let resource_version = revision(version).map_err(|why| match is_watch {
            true => Status::failure(500, "", why),
            false => Status::bad_request(format!("invalid resource version: {why}")),
        })?;
        let token = query.text("continue");
        if !token.is_empty() && resource_version.is_some_and(|version| version > 0) {
            return Err(Status::bad_request(
                "specifying resource version is not allowed when using continue",
            ));
        }
        // What may be of any age comes from memory, where upstream has no pages.
        let limit = query.number("limit")?.filter(|_| resource_version != Some(0)).unwrap_or(0).max(0);
        let legacy_exact = matching.is_empty() && limit > 0 && !is_watch;
        Ok(ListOptions {
            limit: usize::try_from(limit).unwrap_or(usize::MAX),
            continue_token: token.to_owned(),
            exact: matching == "Exact"
                || (legacy_exact && resource_version.is_some_and(|version| version > 0)),
            resource_version,
            send_initial_events,
            allow_bookmarks: query.flag("allowWatchBookmarks"),
            timeout_seconds: query.number("timeoutSeconds")?,
        })
    }

    pub(crate) fn freshness(&self) -> Freshness {
        match self.resource_version {
            None | Some(0) => Freshness::Any,
            Some(version) if self.exact => Freshness::Exact(version),
            Some(version) => Freshness::NotOlderThan(version),
        }
    }
}

/// A `resourceVersion` parameter, or what is wrong with it.
pub(crate) fn revision(text: &str) -> Result<Option<u64>, String> {
    match text {
        "" => Ok(None),
        text => text.parse().map(Some).map_err(|error: ParseIntError| {
            let is_large = *error.kind() == IntErrorKind::PosOverflow;
            let why = if is_large { "value out of range" } else { "invalid syntax" };
            let detail = format!("strconv.ParseUint: parsing {text:?}: {why}");
            Error::invalid(&Path::new("resourceVersion"), text, detail).to_string()
        }),
    }
}

fn match_errors(matching: &str) -> Option<Error> {
    let supported = ["Exact", "NotOlderThan"];
    (!matching.is_empty() && !supported.contains(&matching)).then(|| {
        Error::not_supported(&Path::new("resourceVersionMatch"), matching, &["Exact", "NotOlderThan", ""])
    })
}

fn list_errors(version: &str, matching: &str, token: &str, initial: Option<bool>) -> ErrorList {
    let path = Path::new("resourceVersionMatch");
    let mut errors = ErrorList::new();
    if !matching.is_empty() {
        if version.is_empty() {
            errors.push(Error::forbidden(
                &path,
                "resourceVersionMatch is forbidden unless resourceVersion is provided",
            ));
        }
        if !token.is_empty() {
            errors
                .push(Error::forbidden(&path, "resourceVersionMatch is forbidden when continue is provided"));
        }
        errors.extend(match_errors(matching));
        if matching == "Exact" && version == "0" {
            errors.push(Error::forbidden(
                &path,
                "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"",
            ));
        }
    }
    if initial.is_some() {
        let path = Path::new("sendInitialEvents");
        errors.push(Error::forbidden(&path, "sendInitialEvents is forbidden for list"));
    }
    errors
}

const NEEDS_MATCH: &str = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan";

fn watch_errors(matching: &str, token: &str, initial: Option<bool>) -> ErrorList {
    let path = Path::new("resourceVersionMatch");
    let mut errors = ErrorList::new();
    if !token.is_empty() {
        errors.push(Error::forbidden(&path, "resourceVersionMatch is forbidden when continue is provided"));
    }
    if !matching.is_empty() {
        if initial.is_none() {
            errors.push(Error::forbidden(
                &path,
                "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
            ));
        }
        if matching != "NotOlderThan" {
            if initial.is_some() {
                errors.push(Error::forbidden(&path, NEEDS_MATCH));
            }
            errors.push(Error::not_supported(&path, matching, &["NotOlderThan"]));
        }
    }
    if initial.is_some() && matching.is_empty() {
        errors.push(Error::forbidden(&path, NEEDS_MATCH));
    }
    errors
}
