//! The grammar of image names (distribution/reference), as far as the kubelet must refuse bad ones.

/// The name with `:latest` where it has neither tag nor digest; `Err` says what is wrong.
pub(crate) fn with_default_tag(name: &str) -> Result<String, String> {
    let invalid = |why: &str| Err(format!("couldn't parse image name {name:?}: {why}"));
    let (rest, digest) = match name.split_once('@') {
        Some((rest, digest)) => (rest, Some(digest)),
        None => (name, None),
    };
    let slash = rest.rfind('/').map_or(0, |at| at + 1);
    let (path, tag) = match rest[slash..].rfind(':') {
        Some(colon) => (&rest[..slash + colon], Some(&rest[slash + colon + 1..])),
        None => (rest, None),
    };
    let (_, repository) = split_domain(path);
    if !repository.is_empty() && repository.chars().any(|character| character.is_ascii_uppercase()) {
        return invalid("invalid reference format: repository name must be lowercase");
    }
    let good = !repository.is_empty()
        && repository.split('/').all(is_path_component)
        && tag.is_none_or(is_tag)
        && digest.is_none_or(is_digest);
    if !good {
        return invalid("invalid reference format");
    }
    Ok(if tag.is_none() && digest.is_none() { format!("{name}:latest") } else { name.to_owned() })
}

/// The registry's host (with port), if the name begins with one, and the rest.
pub(crate) fn split_domain(name: &str) -> (Option<&str>, &str) {
    match name.split_once('/') {
        Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" => (Some(first), rest),
        _ => (None, name),
    }
}

fn is_path_component(part: &str) -> bool {
    let alphanumeric = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = part.as_bytes();
    let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else { return false };
    let separators = part.split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
    let good = |separator: &str| {
        matches!(separator, "" | "." | "_" | "__") || separator.bytes().all(|byte| byte == b'-')
    };
    alphanumeric(*first) && alphanumeric(*last) && separators.into_iter().all(good)
}

fn is_tag(tag: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    (1..=128).contains(&tag.len())
        && tag.bytes().next().is_some_and(word)
        && tag.bytes().all(|byte| word(byte) || byte == b'.' || byte == b'-')
}

fn is_digest(digest: &str) -> bool {
    digest.split_once(':').is_some_and(|(algorithm, hex)| {
        !algorithm.is_empty() && hex.len() >= 32 && hex.bytes().all(|byte| byte.is_ascii_hexdigit())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, expected: Option<&str>) {
        assert_eq!(with_default_tag(name).ok().as_deref(), expected, "{name}");
    }

    #[test]
    fn names_get_a_tag_and_bad_ones_are_refused() {
        check("busybox", Some("busybox:latest"));
        check("busybox:1.36", Some("busybox:1.36"));
        check("127.0.0.1:5000/a/b_c--d.e", Some("127.0.0.1:5000/a/b_c--d.e:latest"));
        check("localhost/a:t", Some("localhost/a:t"));
        let digest = format!("a/b@sha256:{}", "0".repeat(64));
        check(&digest, Some(&digest));
        for bad in ["", "A", "a//b", "-a", "a:", "a:-", "a b", "a@sha256:12", "x/a_", "a..b"] {
            check(bad, None);
        }
    }
}
