//! The table as `nft` lists it.

use std::{collections::BTreeMap, process::Command};

use super::*;
use crate::{
    netns,
    nft::Socket,
    proxy::{
        model::{Front, Manner, Protocol, Target},
        plan::{Programmed, plan},
    },
};

fn front(address: &str, port: u16) -> Front {
    Front { address: address.parse().unwrap(), protocol: Protocol::Tcp, port }
}

fn spread(backends: &[&str], manner: Manner) -> Option<Target> {
    let backends = backends.iter().map(|backend| backend.parse().unwrap()).collect();
    Some(Target::Spread { backends, manner })
}

fn list() -> String {
    let output = Command::new("nft").args(["list", "ruleset"]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn services_come_and_go_without_leaving_anything() {
    netns::in_private(|| {
        let mut socket = Socket::open()?;
        let mut batch = Batch::new("coxswain-test");
        begin(&mut batch, "10.244.0.0/16".parse().unwrap(), "10.96.0.0/16".parse().unwrap());
        batch.commit(&mut socket)?;
        let empty = list();

        let sticky = Manner { affinity_seconds: Some(10800), keeps_source: false };
        let mut programmed = Programmed::default();
        let mut carry_out = |desired: BTreeMap<Front, Option<Target>>| {
            let plan = plan(desired, &programmed);
            let mut batch = Batch::new("coxswain-test");
            change(&mut batch, &plan);
            batch.commit(&mut socket)?;
            programmed.note(plan);
            Ok::<_, crate::Error>(list())
        };
        let three = ["10.244.0.1:8080", "10.244.0.2:8080", "10.244.0.3:8080"];
        let full = carry_out(BTreeMap::from([
            (front("10.96.0.1", 80), spread(&three, Manner::default())),
            (front("10.96.0.1", 81), spread(&three, Manner::default())),
            (front("10.96.0.2", 80), spread(&three[..2], sticky)),
            (front("10.96.0.3", 80), Some(Target::Reject)),
            (front("10.96.0.4", 80), Some(Target::Drop)),
        ]))?;
        assert_eq!(full.matches("chain spread-").count(), 2);
        assert!(full.contains("10.96.0.1 . tcp . 80 . 0x00000002 : 10.244.0.3 . 8080"), "{full}");

        let fewer =
            carry_out(BTreeMap::from([(front("10.96.0.1", 80), spread(&three[1..], Manner::default()))]))?;
        assert!(fewer.contains("10.96.0.1 . tcp . 80 . 0x00000000 : 10.244.0.3 . 8080"), "{fewer}");
        assert!(!fewer.contains("10.96.0.1 . tcp . 80 . 0x00000002"), "{fewer}");

        let none = carry_out(BTreeMap::from([
            (front("10.96.0.1", 80), None),
            (front("10.96.0.1", 81), None),
            (front("10.96.0.2", 80), None),
            (front("10.96.0.3", 80), None),
            (front("10.96.0.4", 80), None),
        ]))?;
        assert_eq!(none, empty);
        Ok(())
    })
    .unwrap();
}
