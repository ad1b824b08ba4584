//! The grammar of image names, as far as the default of the pull policy needs it (upstream: `ParseImageName`, which asks
//! `distribution/reference`). Names that cannot be read are the kubelet's to refuse.

const MAX_NAME: usize = 255;
const MAX_TAG: usize = 128;

/// Whether an image is named by the tag `latest`, which it also is where neither tag nor digest is given.
pub(super) fn is_latest(image: &str) -> bool {
    let is_identifier =
        image.len() == 64 && image.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if is_identifier {
        return false;
    }
    let (domain, rest) = split_domain(image);
    let (name, digest) = rest.split_once('@').map_or((rest, None), |(name, digest)| (name, Some(digest)));
    let (path, tag) = name.split_once(':').map_or((name, None), |(path, tag)| (path, Some(tag)));
    let is_readable = domain.is_none_or(is_domain)
        && path.split('/').all(is_component)
        && full_path(domain, path) <= MAX_NAME
        && tag.is_none_or(is_tag)
        && digest.is_none_or(is_digest);
    is_readable && (tag == Some("latest") || (tag.is_none() && digest.is_none()))
}

/// The host before the first slash, where it is one: it has a dot, a port or capitals, or is `localhost`.
fn split_domain(image: &str) -> (Option<&str>, &str) {
    match image.split_once('/') {
        Some((host, rest))
            if host == "localhost" || host.contains(['.', ':']) || host.to_lowercase() != host =>
        {
            (Some(host), rest)
        }
        _ => (None, image),
    }
}

/// Bytes of the repository's path as the registry knows it: official images are in `library/`.
fn full_path(domain: Option<&str>, path: &str) -> usize {
    let is_of_hub = domain.is_none_or(|domain| matches!(domain, "docker.io" | "index.docker.io"));
    let library = if is_of_hub && !path.contains('/') { "library/".len() } else { 0 };
    library + path.len()
}

fn is_domain(domain: &str) -> bool {
    let split = domain.rsplit_once(':').filter(|_| !domain.ends_with(']'));
    let (host, port) = split.map_or((domain, None), |(host, port)| (host, Some(port)));
    let is_port = |port: &str| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    let is_name = |name: &str| {
        let is_end = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
        let bytes = name.as_bytes();
        is_end(bytes.first())
            && is_end(bytes.last())
            && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-')
    };
    let address = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let is_address = |address: &str| {
        !address.is_empty() && address.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b':')
    };
    port.is_none_or(is_port) && address.map_or_else(|| host.split('.').all(is_name), is_address)
}

/// Lower-case letters and digits, with single dots, one or two underscores or any number of dashes between them.
fn is_component(component: &str) -> bool {
    let is_inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let is_separator = |separator: &str| {
        matches!(separator, "" | "." | "_" | "__") || separator.bytes().all(|byte| byte == b'-')
    };
    component.starts_with(is_inner)
        && component.ends_with(is_inner)
        && component.split(is_inner).all(is_separator)
}

fn is_tag(tag: &str) -> bool {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    tag.len() <= MAX_TAG
        && tag.starts_with(is_word)
        && tag.chars().all(|c| is_word(c) || matches!(c, '.' | '-'))
}

/// Of the digests that can be written, those of a known algorithm and its length.
fn is_digest(digest: &str) -> bool {
    let Some((algorithm, hex)) = digest.split_once(':') else { return false };
    let length = match algorithm {
        "sha256" => 64,
        "sha384" => 96,
        "sha512" => 128,
        _ => return false,
    };
    hex.len() == length && hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_readable_names_without_a_tag_are_the_latest() {
        for image in ["a", "a:latest", "r:5000/a", "r:5000/b/a:latest", "a.b/c__d-e", "A/b", "[::1]:80/a"] {
            assert!(is_latest(image), "{image}");
        }
        let digest = format!("a@sha256:{}", "0".repeat(64));
        let (identifier, long) = ("a".repeat(64), "a".repeat(250));
        for image in
            ["", "a:1", "r:5000/a:1", &digest, "a@sha256:0", "A", "a..b", "a b", "-a", &identifier, &long]
        {
            assert!(!is_latest(image), "{image}");
        }
        assert!(is_latest(&format!("a:latest@sha256:{}", "0".repeat(64))));
    }
}
