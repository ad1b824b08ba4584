//! What is for Windows only: options of security contexts, and pods whose containers are processes of the host (upstream:
//! `validateWindowsSecurityContextOptions`, `validateWindowsHostProcessPod`).

use k8s_openapi::api::core::v1::{PodSpec, SecurityContext, WindowsSecurityContextOptions};
use machinery::field::{Error, ErrorList, Path};
use machinery::names;

use super::super::ephemeral::as_container;
use crate::checks;

const MAX_CREDENTIAL_SPEC: usize = 64 * 1024;
const MAX_DOMAIN: usize = 256;
const MAX_USER: usize = 104;
const NOT_IN_USERS: &str = "\"/\\:;|=,+*?<>@[]";

pub(super) fn validate_options(options: &WindowsSecurityContextOptions, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    if let Some(name) = &options.gmsa_credential_spec_name {
        let messages = names::dns1123_subdomain(name);
        let found = checks::each(&path.child("gmsaCredentialSpecName"), name.as_str(), messages);
        errors.extend(found.into_iter().map(Error::named));
    }
    if let Some(spec) = &options.gmsa_credential_spec {
        let path = path.child("gmsaCredentialSpec");
        if spec.is_empty() {
            errors.push(Error::invalid(&path, spec, "gmsaCredentialSpec cannot be an empty string"));
        } else if spec.len() > MAX_CREDENTIAL_SPEC {
            errors.push(Error::invalid(&path, spec, "gmsaCredentialSpec size must be under 64 KiB"));
        }
    }
    if let Some(name) = &options.run_as_user_name {
        let path = path.child("runAsUserName");
        let details = user_name(name).into_iter();
        let error = |detail| Error::invalid(&path, name, format!("runAsUserName{detail}")).named();
        errors.extend(details.map(error));
    }
    errors
}

/// What is wrong with `[domain\]user`.
fn user_name(name: &str) -> Vec<String> {
    let parts: Vec<&str> = name.split('\\').collect();
    let (domain, user) = match parts.as_slice() {
        _ if name.is_empty() => return vec![" cannot be an empty string".to_owned()],
        _ if name.chars().any(|c| c.is_ascii_control()) => {
            return vec![" cannot contain control characters".to_owned()];
        }
        [user] => (None, *user),
        [domain, user] => (Some(*domain), *user),
        _ => return vec![" cannot contain more than one backslash".to_owned()],
    };
    let mut details = vec![];
    if let Some(domain) = domain {
        if domain.len() >= MAX_DOMAIN {
            details.push(format!("'s Domain length must be under {MAX_DOMAIN} characters"));
        }
        if !is_net_bios(domain) && !is_dns(domain) {
            details.push("'s Domain doesn't match the NetBios nor the DNS format".to_owned());
        }
    }
    if user.is_empty() {
        details.push("'s User cannot be empty".to_owned());
    } else if user.len() > MAX_USER {
        details.push(format!("'s User length must not be longer than {MAX_USER} characters"));
    }
    if !user.is_empty() && user.chars().all(|c| matches!(c, '.' | ' ')) {
        details.push("'s User cannot contain only periods or spaces".to_owned());
    }
    if user.contains(|c| NOT_IN_USERS.contains(c)) {
        details.push(format!("'s User cannot contain the following characters: {NOT_IN_USERS}"));
    }
    details
}

/// Up to 15 characters, none of those that file names may not have either.
fn is_net_bios(domain: &str) -> bool {
    let is_fit = |c: char| !"\\/:*?\"<>|.".contains(c) && !c.is_whitespace();
    (1..=15).contains(&domain.chars().count()) && domain.chars().all(is_fit)
}

fn is_dns(domain: &str) -> bool {
    let is_label = |label: &str| {
        let bytes = label.as_bytes();
        let is_end = |byte: &u8| byte.is_ascii_alphanumeric();
        (1..=63).contains(&bytes.len())
            && bytes.first().is_some_and(is_end)
            && bytes.last().is_some_and(is_end)
            && bytes.iter().all(|byte| is_end(byte) || *byte == b'-')
    };
    !domain.is_empty() && domain.split('.').all(is_label)
}

/// Where one container is a process of the host all are, and the network is the host's.
pub(super) fn validate_host_process(spec: &PodSpec, path: &Path) -> ErrorList {
    let of_pod = spec.security_context.as_ref().and_then(|context| context.windows_options.as_ref());
    let of_pod = of_pod.and_then(|options| options.host_process);
    let mut errors = ErrorList::new();
    let containers = contexts(spec, path);
    let mut host_processes = 0;
    for (context, path) in &containers {
        let options = context.as_ref().and_then(|context| context.windows_options.as_ref());
        let own = options.and_then(|options| options.host_process);
        if let (Some(of_pod), Some(own)) = (of_pod, own)
            && of_pod != own
        {
            let path = path.child("securityContext.windowsOptions.hostProcess");
            let detail =
                format!("pod hostProcess value must be identical if both are specified, was {of_pod}");
            errors.push(Error::invalid(&path, own, detail));
        }
        host_processes += usize::from(own.or(of_pod) == Some(true));
    }
    if host_processes == 0 {
        return errors;
    }
    if host_processes != containers.len() {
        let detail =
            "If pod contains any hostProcess containers then all containers must be HostProcess containers";
        errors.push(Error::invalid(path, "", detail));
    }
    if spec.host_network != Some(true) {
        let detail = "hostNetwork must be true if pod contains any hostProcess containers";
        errors.push(Error::invalid(&path.child("hostNetwork"), false, detail));
    }
    errors
}

/// The security contexts of all containers, in the order in which upstream visits them.
pub(super) fn contexts(spec: &PodSpec, path: &Path) -> Vec<(Option<SecurityContext>, Path)> {
    let mut found = vec![];
    let [main, init] = super::lists(spec, path);
    for (containers, path) in [init, main] {
        let containers = containers.iter().enumerate();
        found.extend(
            containers.map(|(index, container)| (container.security_context.clone(), path.index(index))),
        );
    }
    let path = path.child("ephemeralContainers");
    for (index, ephemeral) in spec.ephemeral_containers.iter().flatten().enumerate() {
        found.push((as_container(ephemeral).security_context, path.index(index)));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_have_windows_names() {
        for right in ["ContainerUser", "domain\\user", "a.example.com\\user", "a b"] {
            assert_eq!(user_name(right), Vec::<String>::new(), "{right}");
        }
        for wrong in ["", "a\nb", "a\\b\\c", "\\user", "a/b\\user", "domain\\", ". .", "a@b"] {
            assert_ne!(user_name(wrong), Vec::<String>::new(), "{wrong}");
        }
    }
}
