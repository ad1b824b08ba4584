//! Links in pages that a target sends: those to the target itself lead back to it through the API server (upstream
//! `apimachinery/pkg/util/proxy/transport.go`).
//!
//! Pure: from a page and where it came from to the page as the client gets it.

use std::borrow::Cow;
use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use lol_html::html_content::Element;
use lol_html::{ElementContentHandlers, RewriteStrSettings, Selector};

/// How large a compressed page may become.
const LIMIT: u64 = 64 * 1024 * 1024;

/// The attributes that hold links, by element.
const ATTRIBUTES: [(&str, &[&str]); 25] = [
    ("a", &["href"]),
    ("applet", &["codebase"]),
    ("area", &["href"]),
    ("audio", &["src"]),
    ("base", &["href"]),
    ("blockquote", &["cite"]),
    ("body", &["background"]),
    ("button", &["formaction"]),
    ("command", &["icon"]),
    ("del", &["cite"]),
    ("embed", &["src"]),
    ("form", &["action"]),
    ("frame", &["longdesc", "src"]),
    ("head", &["profile"]),
    ("html", &["manifest"]),
    ("iframe", &["longdesc", "src"]),
    ("img", &["longdesc", "src", "usemap"]),
    ("input", &["src", "usemap", "formaction"]),
    ("ins", &["cite"]),
    ("link", &["href"]),
    ("object", &["classid", "codebase", "data", "usemap"]),
    ("q", &["cite"]),
    ("script", &["src"]),
    ("source", &["src"]),
    ("video", &["poster", "src"]),
];

/// Where a page came from, and where the client believes it did.
pub(super) struct Origin<'a> {
    /// The hosts (with ports) under which the target is meant: its own, and the one that the client asked.
    pub(super) hosts: [&'a str; 2],
    /// What stands before the target's paths at the API server.
    pub(super) prefix: &'a str,
}

impl Origin<'_> {
    /// A link as the client can follow it; `None` where it may stay as it is.
    pub(super) fn rewritten(&self, link: &str) -> Option<String> {
        let (host, path) = split(link);
        if host.is_some_and(|host| !self.hosts.contains(&host)) || !path.starts_with('/') {
            return None;
        }
        if path.starts_with(self.prefix) {
            return host.map(|_| path.to_owned());
        }
        Some(format!("{}{path}", self.prefix))
    }

    /// A page with its links rewritten; `encoding` is how it is compressed, if it is. What cannot be read stays as it is.
    pub(super) fn page(&self, page: Vec<u8>, encoding: &str) -> Vec<u8> {
        match encoding {
            "" | "identity" => self.html(&page).unwrap_or(page),
            "gzip" => self.zipped(&page).unwrap_or(page),
            _ => page,
        }
    }

    fn zipped(&self, page: &[u8]) -> Option<Vec<u8>> {
        let mut plain = Vec::new();
        GzDecoder::new(page).take(LIMIT).read_to_end(&mut plain).ok()?;
        if plain.len() as u64 == LIMIT {
            return None;
        }
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(&self.html(&plain)?).ok()?;
        encoder.finish().ok()
    }

    fn html(&self, page: &[u8]) -> Option<Vec<u8>> {
        let text = std::str::from_utf8(page).ok()?;
        let mut settings = RewriteStrSettings::new();
        for (element, attributes) in ATTRIBUTES {
            for attribute in attributes {
                settings = settings.append_element_content_handler(self.handler(element, attribute));
            }
        }
        match lol_html::rewrite_str(text, settings) {
            Ok(rewritten) => Some(rewritten.into_bytes()),
            Err(error) => {
                tracing::debug!(%error, "the links of a page cannot be rewritten");
                None
            }
        }
    }

    fn handler<'h>(
        &'h self,
        element: &str,
        attribute: &'static str,
    ) -> (Cow<'static, Selector>, ElementContentHandlers<'h>) {
        let selector: Selector =
            format!("{element}[{attribute}]").parse().expect("a name and an attribute are a selector");
        let rewrite = move |element: &mut Element<'_, '_>| {
            let link = element.get_attribute(attribute).unwrap_or_default();
            if let Some(link) = self.rewritten(&link) {
                element.set_attribute(attribute, &link)?;
            }
            Ok(())
        };
        (Cow::Owned(selector), ElementContentHandlers::default().element(rewrite))
    }
}

/// A link's host with its port, if it has one, and what follows.
fn split(link: &str) -> (Option<&str>, &str) {
    let is_scheme = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let rest = match link.split_once("://") {
        Some((scheme, rest)) if is_scheme(scheme) => rest,
        _ => match link.strip_prefix("//") {
            Some(rest) => rest,
            None => return (None, link),
        },
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    (Some(&rest[..end]), &rest[end..])
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORIGIN: Origin<'static> =
        Origin { hosts: ["10.0.0.1:8080", "api.example.com:6443"], prefix: "/p/proxy" };

    #[test]
    fn links_to_the_target_lead_through_the_api_server() {
        for (given, expected) in [
            ("/a?b=c#d", Some("/p/proxy/a?b=c#d")),
            ("http://10.0.0.1:8080/a", Some("/p/proxy/a")),
            ("https://api.example.com:6443/a", Some("/p/proxy/a")),
            ("//10.0.0.1:8080/a/", Some("/p/proxy/a/")),
            ("http://elsewhere/a", None),
            ("relative", None),
            ("../up", None),
            ("#here", None),
            ("mailto:a@b", None),
            ("/p/proxy/a", None),
        ] {
            assert_eq!(ORIGIN.rewritten(given).as_deref(), expected, "{given}");
        }
    }

    #[test]
    fn a_page_changes_in_its_links_alone() {
        let page = br#"<!DOCTYPE html><a href="/x" title="/y">z &amp; /w</a><img src='/i.png'><p data="/q">"#;
        let expected = r#"<!DOCTYPE html><a href="/p/proxy/x" title="/y">z &amp; /w</a><img src="/p/proxy/i.png"><p data="/q">"#;
        let rewritten = String::from_utf8(ORIGIN.page(page.to_vec(), "")).unwrap();
        assert_eq!(rewritten.replace('\'', "\""), expected);
        assert_eq!(ORIGIN.page(page.to_vec(), "br"), page);
    }

    #[test]
    fn a_compressed_page_stays_compressed() {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(b"<a href=\"/x\">").unwrap();
        let answer = ORIGIN.page(encoder.finish().unwrap(), "gzip");
        let mut text = String::new();
        GzDecoder::new(answer.as_slice()).read_to_string(&mut text).unwrap();
        assert_eq!(text, "<a href=\"/p/proxy/x\">");
    }
}
