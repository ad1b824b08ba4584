//! Addresses in a directory of the test's own.

use super::*;

struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("coxswain-addresses-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn open(&self, network: &str) -> Addresses {
        let mut addresses = Addresses::open(self.0.clone()).unwrap();
        addresses.set_network(network.parse().unwrap()).unwrap();
        addresses
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

fn last_octet(addresses: &mut Addresses, sandbox: &str) -> u8 {
    addresses.assign(sandbox).unwrap().octets()[3]
}

#[test]
fn an_address_stays_with_its_sandbox_over_a_restart() {
    let directory = Directory::new("restart");
    assert_eq!(last_octet(&mut directory.open("10.0.0.0/24"), "a"), 1);
    let mut again = directory.open("10.0.0.0/24");
    assert_eq!((last_octet(&mut again, "a"), last_octet(&mut again, "b")), (1, 2));
}

#[test]
fn a_freed_address_rests_until_the_others_had_their_turn() {
    let directory = Directory::new("turn");
    let mut addresses = directory.open("10.0.0.0/29");
    assert_eq!(last_octet(&mut addresses, "a"), 1);
    addresses.free("a").unwrap();
    addresses.free("a").unwrap();
    let mut addresses = directory.open("10.0.0.0/29");
    let given: Vec<u8> = (2..=6).map(|n| last_octet(&mut addresses, &n.to_string())).collect();
    assert_eq!(given, [2, 3, 4, 5, 6]);
    assert_eq!(last_octet(&mut addresses, "b"), 1);
    assert!(matches!(addresses.assign("c"), Err(Error::Exhausted(_))));
}

#[test]
fn without_a_network_there_is_no_address() {
    let directory = Directory::new("unconfigured");
    let mut addresses = Addresses::open(directory.0.clone()).unwrap();
    assert!(matches!(addresses.assign("a"), Err(Error::NotConfigured)));
    assert!(matches!(addresses.set_network("10.0.0.0/31".parse().unwrap()), Err(Error::PodCidr(_))));
}

#[test]
fn an_empty_record_counts_as_none_and_a_damaged_one_is_named() {
    let directory = Directory::new("damaged");
    directory.open("10.0.0.0/24");
    let record = directory.0.join(SANDBOXES).join("a");
    fs::write(&record, "").unwrap();
    assert_eq!(last_octet(&mut directory.open("10.0.0.0/24"), "a"), 1);
    fs::write(&record, "nonsense").unwrap();
    let error = Addresses::open(directory.0.clone()).unwrap_err().to_string();
    assert!(error.contains("sandboxes/a") && error.contains("nonsense"), "{error}");
}
