//! Acting as somebody else: `Impersonate-User`, `-Group`, `-Uid`, `-Extra-*`, each of which must be authorized
//! (upstream `endpoints/filters/impersonation`).

use std::collections::BTreeMap;
use std::sync::Arc;

use http::{HeaderMap, HeaderName};
use machinery::Status;
use machinery::json::quoted;
use percent_encoding::percent_decode_str;

use super::authorize::{self, Attributes, Resource};
use crate::server::Server;
use crate::user::{self, ANONYMOUS, AUTHENTICATED, UNAUTHENTICATED, User};

const USER: HeaderName = HeaderName::from_static("impersonate-user");
const GROUP: HeaderName = HeaderName::from_static("impersonate-group");
const UID: HeaderName = HeaderName::from_static("impersonate-uid");
const EXTRA: &str = "impersonate-extra-";

/// The user as whom the request is served. Takes the impersonation headers out of the request.
pub(crate) fn user(server: &Server, headers: &mut HeaderMap, asking: Arc<User>) -> Result<Arc<User>, Status> {
    let wanted = match Wanted::read(headers)? {
        Some(wanted) => wanted,
        None => return Ok(asking),
    };
    wanted.authorize(server, &asking)?;
    let names: Vec<HeaderName> =
        headers.keys().filter(|name| name.as_str().starts_with("impersonate-")).cloned().collect();
    for name in names {
        headers.remove(name);
    }
    Ok(Arc::new(wanted.into_user()))
}

/// What the headers ask for.
struct Wanted {
    user: String,
    groups: Vec<String>,
    uid: String,
    extra: Vec<(String, String)>,
}

impl Wanted {
    fn read(headers: &HeaderMap) -> Result<Option<Wanted>, Status> {
        let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        let one = |name: &HeaderName| headers.get(name).map(text).unwrap_or_default();
        let wanted = Wanted {
            user: one(&USER),
            groups: headers.get_all(&GROUP).iter().map(text).collect(),
            uid: one(&UID),
            extra: headers
                .iter()
                .filter_map(|(name, value)| Some((decoded(name.as_str().strip_prefix(EXTRA)?), text(value))))
                .collect(),
        };
        if !wanted.user.is_empty() {
            return Ok(Some(wanted));
        }
        if wanted.groups.is_empty() && wanted.uid.is_empty() && wanted.extra.is_empty() {
            return Ok(None);
        }
        Err(Status::bad_request(format!(
            "requested {} without impersonating a user name",
            wanted.in_go_words()
        )))
    }

    /// As Go shows what was asked for.
    fn in_go_words(&self) -> String {
        let list = |items: &[&String]| match items {
            [] => "[]string(nil)".to_owned(),
            items => format!(
                "[]string{{{}}}",
                items.iter().map(|item| quoted(item)).collect::<Vec<_>>().join(", ")
            ),
        };
        let mut values: BTreeMap<&str, Vec<&String>> = BTreeMap::new();
        for (key, value) in &self.extra {
            values.entry(key).or_default().push(value);
        }
        let pairs: Vec<String> =
            values.iter().map(|(key, values)| format!("{}:{}", quoted(key), list(values))).collect();
        let extra = if pairs.is_empty() { "(nil)".to_owned() } else { format!("{{{}}}", pairs.join(", ")) };
        format!(
            "&user.DefaultInfo{{Name:\"\", UID:{}, Groups:{}, Extra:map[string][]string{extra}}}",
            quoted(&self.uid),
            list(&self.groups.iter().collect::<Vec<_>>())
        )
    }

    fn authorize(&self, server: &Server, asking: &User) -> Result<(), Status> {
        let check = |resource: Resource<'_>| {
            authorize::check(
                server,
                &Attributes { user: asking, verb: "impersonate", target: resource.into() },
            )
        };
        match user::split_service_account(&self.user) {
            Some((namespace, name)) => {
                check(Resource { resource: "serviceaccounts", namespace, name, ..Resource::default() })?;
            }
            None => {
                check(Resource { resource: "users", name: &self.user, ..Resource::default() })?;
            }
        }
        for group in &self.groups {
            check(Resource { resource: "groups", name: group, ..Resource::default() })?;
        }
        let authentication = Resource { group: "authentication.k8s.io", ..Resource::default() };
        for (key, value) in &self.extra {
            check(Resource { resource: "userextras", subresource: key, name: value, ..authentication })?;
        }
        if !self.uid.is_empty() {
            check(Resource { resource: "uids", name: &self.uid, ..authentication })?;
        }
        Ok(())
    }

    fn into_user(self) -> User {
        let mut groups = self.groups;
        if groups.is_empty()
            && let Some((namespace, _)) = user::split_service_account(&self.user)
        {
            groups = user::service_account_groups(namespace);
        }
        let has = |groups: &[String], name: &str| groups.iter().any(|group| group == name);
        if self.user == ANONYMOUS {
            if !has(&groups, UNAUTHENTICATED) {
                groups.push(UNAUTHENTICATED.to_owned());
            }
        } else if !has(&groups, AUTHENTICATED) && !has(&groups, UNAUTHENTICATED) {
            groups.push(AUTHENTICATED.to_owned());
        }
        let mut user = User { name: self.user, uid: self.uid, groups, ..User::default() };
        for (key, value) in self.extra {
            user.extra.entry(key).or_default().push(value);
        }
        user
    }
}

/// Extra keys arrive percent-encoded, since header names are restricted.
fn decoded(key: &str) -> String {
    percent_decode_str(key).decode_utf8_lossy().into_owned()
}
