//! Addresses and CIDRs as upstream's older fields take them: IPv4 with leading zeros is still read, with a warning.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use machinery::field::{Error, ErrorList, Path};
use serde::Serialize;

/// Reads an address as upstream's `ParseIPSloppy`: decimal octets may have leading zeros.
pub(crate) fn parse_ip(text: &str) -> Option<IpAddr> {
    text.parse().ok().or_else(|| parse_padded(text).map(IpAddr::V4))
}

fn parse_padded(text: &str) -> Option<Ipv4Addr> {
    let mut octets = [0_u8; 4];
    let mut parts = text.split('.');
    for octet in &mut octets {
        let part = parts.next()?;
        if part.is_empty() || !part.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        *octet = part.trim_start_matches('0').parse().or_else(|_| part.parse()).ok()?;
    }
    parts.next().is_none().then(|| octets.into())
}

/// An address in a field that once was checked loosely: it need not be in canonical form.
pub(crate) fn legacy_ip(text: &str, path: &Path) -> ErrorList {
    let detail = match (parse_ip(text), text.parse::<IpAddr>()) {
        (None, _) => "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)",
        (Some(_), Err(_)) => "must not have leading 0s",
        (Some(_), Ok(address)) if is_mapped(address) => "must not be an IPv4-mapped IPv6 address",
        _ => return ErrorList::new(),
    };
    vec![Error::invalid(path, text, detail)]
}

/// As [`legacy_ip`]; an address that is already stored was taken under older rules and may stay.
pub(crate) fn kept_ip<'a>(text: &str, old: impl IntoIterator<Item = &'a str>, path: &Path) -> ErrorList {
    if old.into_iter().any(|old| old == text) { ErrorList::new() } else { legacy_ip(text, path) }
}

/// What is wrong with a list of addresses that may have one of each family, as far as they can be read (upstream:
/// `IsDualStackIPStrings` and what is said of its answer).
pub(crate) fn dual_stack(ips: &[&str], shown: impl Serialize, path: &Path) -> ErrorList {
    let unreadable = ips.iter().position(|ip| parse_ip(ip).is_none());
    let error = |index: usize| {
        let why = format!("failed to check for dual stack with error:invalid IP[{index}]: {}", ips[index]);
        Error::internal(path, why)
    };
    let mut errors = ErrorList::from_iter(unreadable.map(error));
    let is_v4 = |ip: &&str| parse_ip(ip).is_some_and(|address| address.to_canonical().is_ipv4());
    let has_both = ips.iter().any(is_v4) && !ips.iter().all(is_v4);
    if unreadable.is_some() || !has_both {
        errors.push(Error::invalid(path, shown, "may specify no more than one IP for each IP family"));
    }
    errors
}

/// An address in a field that was never checked loosely.
pub(crate) fn strict_ip(text: &str, path: &Path) -> ErrorList {
    let errors = legacy_ip(text, path);
    match parse_ip(text) {
        Some(address) if errors.is_empty() && address.to_string() != text => {
            vec![Error::invalid(path, text, format!("must be in canonical form (\"{address}\")"))]
        }
        _ => errors,
    }
}

fn is_mapped(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(address) if address.to_ipv4_mapped().is_some())
}

/// An address that traffic may be sent to by way of endpoints.
pub(crate) fn endpoint_ip(text: &str, path: &Path) -> ErrorList {
    let Some(address) = parse_ip(text) else {
        return vec![Error::invalid(path, text, "must be a valid IP address")];
    };
    let mut errors = ErrorList::new();
    let mut refuse = |detail: String| errors.push(Error::invalid(path, text, detail));
    let address = address.to_canonical();
    if address.is_unspecified() {
        refuse(format!("may not be unspecified ({text})"));
    }
    if address.is_loopback() {
        refuse("may not be in the loopback range (127.0.0.0/8, ::1/128)".into());
    }
    if is_link_local(address) {
        refuse("may not be in the link-local range (169.254.0.0/16, fe80::/10)".into());
    }
    if is_link_local_multicast(address) {
        refuse("may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)".into());
    }
    errors
}

fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    }
}

fn is_link_local_multicast(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.octets()[..3] == [224, 0, 0],
        IpAddr::V6(address) => address.segments()[0] & 0xff0f == 0xff02,
    }
}

/// An address block: the address as written and the length of its prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cidr {
    /// The address, bits beyond the prefix included.
    pub(crate) address: IpAddr,
    /// The length of the prefix in bits.
    pub(crate) prefix: u8,
}

impl Cidr {
    /// Reads a block as upstream's `ParseCIDRSloppy`.
    pub(crate) fn parse(text: &str) -> Option<Cidr> {
        let (address, prefix) = text.split_once('/')?;
        let address = parse_ip(address)?;
        if prefix.is_empty() || !prefix.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let prefix: u8 = prefix.parse().ok()?;
        let bits = if address.is_ipv4() { 32 } else { 128 };
        (prefix <= bits).then_some(Cidr { address, prefix })
    }

    /// The address with the bits beyond the prefix cleared.
    pub(crate) fn network(self) -> IpAddr {
        match self.address {
            IpAddr::V4(address) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.prefix)).unwrap_or(0);
                Ipv4Addr::from(u32::from(address) & mask).into()
            }
            IpAddr::V6(address) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.prefix)).unwrap_or(0);
                Ipv6Addr::from(u128::from(address) & mask).into()
            }
        }
    }
}

/// As [`legacy_cidr`]; a block that is already stored may stay.
pub(crate) fn kept_cidr<'a>(text: &str, old: impl IntoIterator<Item = &'a str>, path: &Path) -> ErrorList {
    if old.into_iter().any(|old| old == text) { ErrorList::new() } else { legacy_cidr(text, path) }
}

/// An address block in a field that once was checked loosely: it need not be in canonical form.
pub(crate) fn legacy_cidr(text: &str, path: &Path) -> ErrorList {
    let detail = match Cidr::parse(text) {
        None => "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)",
        Some(_) if has_leading_zeros(text) => "must not have leading 0s in IP or prefix length",
        Some(cidr) if is_mapped(cidr.address) => "must not have an IPv4-mapped IPv6 address",
        Some(cidr) if cidr.network() != cidr.address => "must not have bits set beyond the prefix length",
        Some(_) => return ErrorList::new(),
    };
    vec![Error::invalid(path, text, detail)]
}

/// An address block in a field that was never checked loosely.
pub(crate) fn strict_cidr(text: &str, path: &Path) -> ErrorList {
    let errors = legacy_cidr(text, path);
    let canonical = Cidr::parse(text).map(|cidr| format!("{}/{}", cidr.network(), cidr.prefix));
    match canonical {
        Some(canonical) if errors.is_empty() && canonical != text => {
            vec![Error::invalid(path, text, format!("must be in canonical form (\"{canonical}\")"))]
        }
        _ => errors,
    }
}

/// The address of an interface with the length of its network's prefix, in canonical form.
pub(crate) fn interface_address(text: &str, path: &Path) -> ErrorList {
    let Some(cidr) = Cidr::parse(text) else {
        let detail = "must be a valid address in CIDR form, (e.g. 10.9.8.7/24 or 2001:db8::1/64)";
        return vec![Error::invalid(path, text, detail)];
    };
    let canonical = match cidr.address.to_canonical() {
        IpAddr::V4(address) if cidr.address.is_ipv6() && cidr.prefix > 32 => {
            format!("{address}/{}", i32::from(cidr.prefix) - 96)
        }
        address => format!("{address}/{}", cidr.prefix),
    };
    let detail = || format!("must be in canonical form (\"{canonical}\")");
    ErrorList::from_iter((text != canonical).then(|| Error::invalid(path, text, detail())))
}

fn has_leading_zeros(cidr: &str) -> bool {
    let (address, prefix) = cidr.split_once('/').unwrap_or((cidr, ""));
    address.parse::<IpAddr>().is_err() || (prefix.len() > 1 && prefix.starts_with('0'))
}

/// Warnings about an address that is read but not in its standard form.
pub(crate) fn ip_warnings(text: &str, path: &Path) -> Vec<String> {
    let Some(address) = parse_ip(text) else { return vec![] };
    let canonical = address.to_canonical();
    let is_standard = text.parse::<IpAddr>().is_ok() && canonical == address;
    if !is_standard {
        return vec![format!("{path}: non-standard IP address {text:?} is invalid: use \"{canonical}\"")];
    }
    if address.is_ipv6() && address.to_string() != text {
        return vec![format!(
            "{path}: IPv6 address {text:?} should be in RFC 5952 canonical format (\"{address}\")"
        )];
    }
    vec![]
}

/// Warnings about an address block that is read but not in its standard form.
pub(crate) fn cidr_warnings(text: &str, path: &Path) -> Vec<String> {
    let Some(cidr) = Cidr::parse(text) else { return vec![] };
    let network = cidr.network();
    if network == cidr.address {
        return vec![];
    }
    let bits = if network.is_ipv4() { 32 } else { 128 };
    let (prefix, address) = (cidr.prefix, cidr.address);
    vec![format!(
        "{path}: CIDR value {text:?} is ambiguous in this context (should be \"{network}/{prefix}\" or \"{address}/{bits}\"?)"
    )]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_with_leading_zeros_are_read() {
        assert_eq!(parse_ip("010.000.1.08"), Some(IpAddr::from([10, 0, 1, 8])));
        for wrong in ["", "1.2.3", "1.2.3.4.5", "1.2.3.256", "1.2..3", "a.b.c.d"] {
            assert_eq!(parse_ip(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_block_has_a_network() {
        let network = |text| Cidr::parse(text).map(|cidr| cidr.network().to_string());
        assert_eq!(network("10.1.2.3/16").as_deref(), Some("10.1.0.0"));
        assert_eq!(network("10.1.2.3/0").as_deref(), Some("0.0.0.0"));
        assert_eq!(network("fd00::1/64").as_deref(), Some("fd00::"));
        assert_eq!(network("10.1.2.3/33"), None);
        assert_eq!(network("10.1.2.3/+8"), None);
    }

    #[test]
    fn endpoints_may_not_be_local() {
        let wrong = |text| endpoint_ip(text, &Path::new("ip")).len();
        assert_eq!([wrong("10.0.0.1"), wrong("fd00::1")], [0, 0]);
        for text in ["0.0.0.0", "127.0.0.1", "169.254.1.1", "224.0.0.1", "fe80::1", "::1", "x"] {
            assert_eq!(wrong(text), 1, "{text}");
        }
    }
}
