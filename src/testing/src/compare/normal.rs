//! What two servers cannot have in common is replaced: uids, revisions, times, ages, tokens, addresses and ports that were
//! drawn. Where a value stands twice in a transcript, its replacement does, too: the first revision of an object `a` that
//! is seen is `revision-a-1` wherever it comes again, so that one which should not have moved is noticed.
//!
//! Descriptions of table columns are left out: they are prose, in our own words.

use std::net::Ipv4Addr;
use std::time::Duration;

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Number, Value};

use super::answer::Answer;
use super::case::Step;

/// Times that are this near were made by the server; others were in the request.
const NEAR: Duration = Duration::from_secs(3 * 24 * 60 * 60);

/// What begins the name of a credential in `authentication.kubernetes.io/credential-id`.
const CREDENTIALS: [&str; 2] = ["JTI", "X509SHA256"];

/// Lists that stock makes in the order of a Go map.
const UNORDERED: [&str; 2] = ["nonResourceRules", "resourceRules"];

/// The replacements of one transcript.
pub(super) struct Normal {
    uids: Seen,
    revisions: Seen,
    addresses: Seen,
    ports: Seen,
    /// The server's own, as `:6443`.
    port: String,
    /// Whether the present step is a dry run.
    dry: bool,
}

/// Values and what stands for each.
#[derive(Default)]
struct Seen(Vec<(String, String)>);

impl Seen {
    /// What stands for a value of `kind` that belongs to what is called `of`.
    fn replacement(&mut self, value: &str, kind: &str, of: &str) -> String {
        if let Some(known) = self.known(value) {
            return known.to_owned();
        }
        let prefix = if of.is_empty() { format!("{kind}-") } else { format!("{kind}-{of}-") };
        let is_one = |name: &str| name.strip_prefix(&prefix).is_some_and(|rest| rest.parse::<u32>().is_ok());
        let before = self.0.iter().filter(|(_, name)| is_one(name)).count();
        let name = format!("{prefix}{}", before + 1);
        self.0.push((value.to_owned(), name.clone()));
        name
    }

    /// What stands for a value that was drawn; one that a dry run draws is never seen again.
    fn drawn(&mut self, value: &str, kind: &str, dry: bool) -> String {
        match self.known(value) {
            None if dry => format!("{kind}-dry"),
            _ => self.replacement(value, kind, ""),
        }
    }

    fn known(&self, value: &str) -> Option<&str> {
        self.0.iter().find(|(own, _)| own == value).map(|(_, name)| name.as_str())
    }
}

impl Normal {
    /// `port` is the server's own, as `:6443`.
    pub(super) fn new(port: &str) -> Self {
        Self {
            uids: Seen::default(),
            revisions: Seen::default(),
            addresses: Seen::default(),
            ports: Seen::default(),
            port: port.to_owned(),
            dry: false,
        }
    }

    /// An answer with everything replaced; `managedFields` stay only where the step asks for them.
    pub(super) fn answer(&mut self, mut answer: Answer, step: &Step) -> Answer {
        self.dry = step.request.contains("dryRun=All");
        self.value(&mut answer.body, step.managed);
        if step.part {
            by_name(&mut answer.body);
        }
        for value in answer.headers.values_mut() {
            self.text(value);
        }
        answer
    }

    fn value(&mut self, value: &mut Value, managed: bool) {
        match value {
            Value::String(text) => self.text(text),
            Value::Array(items) => items.iter_mut().for_each(|item| self.value(item, managed)),
            Value::Object(fields) => self.object(fields, managed),
            _ => {}
        }
    }

    fn object(&mut self, fields: &mut Map<String, Value>, managed: bool) {
        if !managed {
            fields.remove("managedFields");
        }
        let is_list = fields.contains_key("items") || fields.contains_key("rows");
        if let Some(metadata) = fields.get_mut("metadata").filter(|_| is_list) {
            // Other topics write meanwhile, so a collection's revision says nothing.
            replace(metadata, "resourceVersion", "<revision of the list>");
        }
        if fields.get("type").is_some_and(|kind| kind == "BOOKMARK") {
            // The object itself, or the one that a table shows.
            for at in ["", "/rows/0/object"] {
                let place = fields.get_mut("object").and_then(|object| object.pointer_mut(at));
                if let Some(metadata) = place.and_then(|object| object.get_mut("metadata")) {
                    replace(metadata, "resourceVersion", "<revision of the bookmark>");
                }
            }
        }
        if fields.contains_key("format") && fields.contains_key("priority") {
            fields.remove("description");
        }
        let own_name = fields.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
        for (name, value) in fields.iter_mut() {
            if !self.field(name, value, &own_name) {
                self.value(value, managed);
            }
            if UNORDERED.contains(&name.as_str())
                && let Value::Array(items) = value
            {
                items.sort_by_cached_key(Value::to_string);
            }
        }
    }

    /// Replaces a field that is known by its name; says whether it is one. `of` is the name beside it.
    fn field(&mut self, name: &str, value: &mut Value, of: &str) -> bool {
        match (name, &*value) {
            ("uid", Value::String(text)) if is_uid(text) && self.dry && self.uids.known(text).is_none() => {
                *value = format!("uid-{of}-dry").into();
            }
            ("uid", Value::String(text)) if is_uid(text) => {
                *value = self.uids.replacement(text, "uid", of).into();
            }
            ("resourceVersion", Value::String(text))
                if text.parse::<u64>().is_ok_and(|revision| revision > 0) =>
            {
                *value = self.revisions.replacement(text, "revision", of).into();
            }
            ("continue", Value::String(text)) if !text.is_empty() => *value = "<continue>".into(),
            ("token", Value::String(text)) if text.starts_with("ey") => *value = "<token>".into(),
            ("nodePort" | "healthCheckNodePort", Value::Number(port)) if is_drawn_port(port) => {
                *value = self.ports.drawn(&port.to_string(), "node-port", self.dry).into();
            }
            ("cells", Value::Array(cells)) => {
                let mut cells = cells.clone();
                for cell in &mut cells {
                    match cell {
                        Value::String(text) if is_age(text) => "<age>".clone_into(text),
                        cell => self.value(cell, false),
                    }
                }
                *value = cells.into();
            }
            _ => return false,
        }
        true
    }

    fn text(&mut self, text: &mut String) {
        if is_server_time(text) {
            *text = if text.contains('.') { "<time with fraction>" } else { "<time>" }.to_owned();
        } else if is_drawn_address(text) {
            *text = self.addresses.drawn(text, "address", self.dry);
        } else if let Some((kind, _)) = text.split_once('=').filter(|(kind, _)| CREDENTIALS.contains(kind)) {
            *text = format!("{kind}=<credential>");
        } else if text.starts_with("-----BEGIN CERTIFICATE") {
            "<certificate>".clone_into(text);
        } else if text.len() < 4096 {
            *text = self.within(text);
        }
    }

    /// Replaces what is known already in a sentence.
    fn within(&self, text: &str) -> String {
        let text = match self.port.as_str() {
            "" => text.to_owned(),
            port => text.replace(port, ":<port>"),
        };
        // The file depends on how a binary was built.
        let text = match text.split_once("in scheme \"") {
            Some((before, _)) => format!("{before}in scheme \"<file>\""),
            None => text,
        };
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '-';
        let mut out = String::with_capacity(text.len());
        let mut rest = text.as_str();
        while !rest.is_empty() {
            let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
            let (word, behind) = rest.split_at(end);
            let revision =
                || self.revisions.known(word).filter(|_| word.len() > 2 && text.contains("ersion"));
            let replaced = self.uids.known(word).or_else(revision);
            out.push_str(replaced.unwrap_or(word));
            let next = behind.chars().next().map_or(0, char::len_utf8);
            out.push_str(&behind[..next]);
            rest = &behind[next..];
        }
        out
    }
}

/// Lists of named things become mappings, so that what is not in both does not move the rest.
fn by_name(value: &mut Value) {
    match value {
        Value::Array(items) => {
            items.iter_mut().for_each(by_name);
            let names: Option<Vec<String>> = items.iter().map(name_of).collect();
            if let Some(names) = names.filter(|names| !names.is_empty()) {
                *value = names.into_iter().zip(std::mem::take(items)).collect::<Map<_, _>>().into();
            }
        }
        Value::Object(fields) => fields.values_mut().for_each(by_name),
        _ => {}
    }
}

fn name_of(item: &Value) -> Option<String> {
    let name =
        ["/name", "/metadata/name", "/resource", "/subresource"].into_iter().find_map(|at| item.pointer(at));
    match item {
        Value::String(path) if path.starts_with('/') => Some(path.clone()),
        _ => name?.as_str().map(str::to_owned),
    }
}

fn replace(object: &mut Value, field: &str, with: &str) {
    if let Some(value) =
        object.get_mut(field).filter(|value| value.as_str().is_some_and(|text| text.len() > 1))
    {
        *value = with.into();
    }
}

/// RFC 4122 text form. A uid that a request names on purpose is all of one digit.
fn is_uid(text: &str) -> bool {
    let groups: Vec<&str> = text.split('-').collect();
    groups.iter().map(|group| group.len()).eq([8, 4, 4, 4, 12])
        && groups[0].bytes().any(|byte| byte != groups[0].as_bytes()[0])
}

/// As tables show it: seconds pass while servers are compared, days and years since stock's answers were recorded.
fn is_age(text: &str) -> bool {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_of = |unit| text.strip_suffix(unit).is_some_and(is_number);
    let of_years = text.split_once('y').filter(|(years, _)| is_number(years));
    let is_of_years = |days: &str| days.is_empty() || days.strip_suffix('d').is_some_and(is_number);
    text == "<invalid>" || is_of('s') || is_of('d') || of_years.is_some_and(|(_, days)| is_of_years(days))
}

fn is_server_time(text: &str) -> bool {
    (20..=30).contains(&text.len())
        && text.parse::<Timestamp>().is_ok_and(|time| {
            let near = SignedDuration::try_from(NEAR).expect("three days are a duration");
            time.duration_since(Timestamp::now()).abs() < near
        })
}

/// An address that was drawn from the service range. The first 256 are for those who ask for one.
fn is_drawn_address(text: &str) -> bool {
    text.parse::<Ipv4Addr>().is_ok_and(|address| {
        let [first, second, third, _] = address.octets();
        [first, second] == [10, 96] && third != 0
    })
}

/// A port that was drawn from the range of node ports. The first 86 are for those who ask for one; in a dry run stock shows
/// ports right behind the range instead of drawing any (upstream `pkg/registry/core/service/portallocator`).
fn is_drawn_port(port: &Number) -> bool {
    port.as_u64().is_some_and(|port| (30086..=32800).contains(&port))
}

#[cfg(test)]
mod tests;
