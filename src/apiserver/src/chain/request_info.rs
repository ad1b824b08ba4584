//! What a request is about, read from its method and path alone (upstream `endpoints/request/requestinfo.go`).
//!
//! Authorization, dispatch and the verbs read it. Knows no registry: a path that names nothing is still described.

use std::borrow::Cow;

use http::{Method, Uri};
use percent_encoding::percent_decode_str;

use crate::query::Query;

/// A request, described. Non-resource requests have only path and verb.
#[derive(Debug, Clone, Default)]
pub(crate) struct RequestInfo {
    /// The decoded path.
    pub(crate) path: String,
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`; for a non-resource request
    /// the method in lower case.
    pub(crate) verb: Cow<'static, str>,
    pub(crate) is_resource: bool,
    pub(crate) group: String,
    pub(crate) version: String,
    pub(crate) namespace: String,
    pub(crate) resource: String,
    pub(crate) subresource: String,
    pub(crate) name: String,
    /// What follows the subresource, in pieces.
    pub(crate) rest: Vec<String>,
    /// The verb came from the path (`/api/v1/watch/...`), which upstream deprecated but serves.
    pub(crate) verb_in_path: bool,
    pub(crate) field_selector: String,
    pub(crate) label_selector: String,
}

impl RequestInfo {
    /// Describes a request, or says why that cannot be done.
    pub(crate) fn new(method: &Method, uri: &Uri, query: &Query) -> Result<RequestInfo, String> {
        let path = percent_decode_str(uri.path()).decode_utf8_lossy().into_owned();
        let mut info = RequestInfo {
            verb: Cow::Owned(method.as_str().to_ascii_lowercase()),
            path: path.clone(),
            ..RequestInfo::default()
        };
        let parts: Vec<&str> = path.trim_matches('/').split('/').filter(|_| path != "/").collect();
        let parts = match parts.as_slice() {
            ["api", version, rest @ ..] if !rest.is_empty() => {
                info.version = (*version).to_owned();
                rest
            }
            ["apis", group, version, rest @ ..] if !rest.is_empty() => {
                info.group = (*group).to_owned();
                info.version = (*version).to_owned();
                rest
            }
            _ => return Ok(info),
        };
        info.is_resource = true;
        let parts = info.read_verb(method, parts)?;
        info.read_resource(parts);
        info.refine_verb(query);
        Ok(info)
    }

    fn read_verb<'a>(&mut self, method: &Method, parts: &'a [&'a str]) -> Result<&'a [&'a str], String> {
        if let ["watch", rest @ ..] = parts {
            if rest.is_empty() {
                return Err(format!("unable to determine kind and namespace from url, {}", self.path));
            }
            self.verb = Cow::Borrowed("watch");
            self.verb_in_path = true;
            return Ok(rest);
        }
        self.verb = Cow::Borrowed(match *method {
            Method::POST => "create",
            Method::GET | Method::HEAD => "get",
            Method::PUT => "update",
            Method::PATCH => "patch",
            Method::DELETE => "delete",
            _ => "",
        });
        Ok(parts)
    }

    /// `namespaces/{ns}/{resource}…` is about the resource, except where it is about the namespace itself.
    fn read_resource(&mut self, parts: &[&str]) {
        let parts = match parts {
            ["namespaces", namespace, rest @ ..] => {
                self.namespace = (*namespace).to_owned();
                let about_namespace = matches!(rest.first(), None | Some(&("status" | "finalize")));
                if about_namespace { parts } else { rest }
            }
            _ => parts,
        };
        let part = |at: usize| parts.get(at).map(|part| (*part).to_owned()).unwrap_or_default();
        self.resource = part(0);
        self.name = part(1);
        self.subresource = part(2);
        self.rest = parts.iter().skip(3).map(|part| (*part).to_owned()).collect();
    }

    /// A get without a name is a list or a watch, a delete without one deletes a collection.
    fn refine_verb(&mut self, query: &Query) {
        if self.name.is_empty() && self.verb == "get" {
            self.verb = Cow::Borrowed(if query.flag("watch") { "watch" } else { "list" });
            self.name = exact_name(query.text("fieldSelector")).unwrap_or_default().to_owned();
        }
        if self.name.is_empty() && self.verb == "delete" {
            self.verb = Cow::Borrowed("deletecollection");
        }
        if !self.verb_in_path && matches!(&*self.verb, "list" | "watch" | "deletecollection") {
            self.field_selector = query.text("fieldSelector").to_owned();
            self.label_selector = query.text("labelSelector").to_owned();
        }
    }

    /// Requests without an end of their own: no deadline, ended when the server drains.
    pub(crate) fn is_long_running(&self) -> bool {
        self.verb == "watch"
            || (self.is_resource
                && matches!(self.subresource.as_str(), "attach" | "exec" | "proxy" | "log" | "portforward"))
    }
}

/// The name that a field selector requires, if it requires one.
fn exact_name(selector: &str) -> Option<&str> {
    let wanted = selector.split(',').find_map(|term| {
        let (field, value) = term.split_once('=')?;
        (field == "metadata.name").then(|| value.strip_prefix('=').unwrap_or(value))
    })?;
    machinery::names::path_segment_name(wanted).is_empty().then_some(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `verb group/version namespace resource name subresource`, with `-` for what is empty.
    #[track_caller]
    fn check(method: &str, uri: &str, expected: &str) {
        let uri: Uri = uri.parse().unwrap();
        let method: Method = method.parse().unwrap();
        let info = RequestInfo::new(&method, &uri, &Query::parse(uri.query())).unwrap();
        let dash = |text: &str| if text.is_empty() { "-".to_owned() } else { text.to_owned() };
        let got = if info.is_resource {
            let words =
                [&info.group, &info.version, &info.namespace, &info.resource, &info.name, &info.subresource];
            format!("{} {}", info.verb, words.map(|word| dash(word)).join(" "))
        } else {
            format!("{} {}", info.verb, info.path)
        };
        assert_eq!(got, expected);
    }

    #[test]
    fn requests_are_described_as_upstream_describes_them() {
        check("GET", "/", "get /");
        check("GET", "/api/v1", "get /api/v1");
        check("GET", "/apis/apps", "get /apis/apps");
        check("GET", "/apis/apps/v1", "get /apis/apps/v1");
        check("GET", "/healthz/ping", "get /healthz/ping");
        check("GET", "/api/v1/pods", "list - v1 - pods - -");
        check("GET", "/api/v1/pods?watch=1", "watch - v1 - pods - -");
        check("GET", "/api/v1/pods?watch=false", "list - v1 - pods - -");
        check("GET", "/api/v1/watch/namespaces/a/pods/p", "watch - v1 a pods p -");
        check("GET", "/api/v1/namespaces", "list - v1 - namespaces - -");
        check("GET", "/api/v1/namespaces/a", "get - v1 a namespaces a -");
        check("PUT", "/api/v1/namespaces/a/finalize", "update - v1 a namespaces a finalize");
        check("PUT", "/api/v1/namespaces/a/status", "update - v1 a namespaces a status");
        check("POST", "/api/v1/namespaces/a/pods/p/exec", "create - v1 a pods p exec");
        check(
            "DELETE",
            "/apis/apps/v1/namespaces/a/deployments",
            "deletecollection apps v1 a deployments - -",
        );
        check(
            "PATCH",
            "/apis/apps/v1/namespaces/a/deployments/d/scale",
            "patch apps v1 a deployments d scale",
        );
        check("GET", "/api/v1/namespaces/a/pods?fieldSelector=metadata.name%3Dp", "list - v1 a pods p -");
        check("OPTIONS", "/api/v1/pods", " - v1 - pods - -");
    }
}
