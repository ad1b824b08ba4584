//! The format, whole and damaged in every kind of place.

use super::header::SIZE;
use super::*;
use crate::{Key, Value, record};

/// Records of keys `a000`…, one per revision from 1 on, their values of `size` bytes that do not compress well.
fn records(count: u64, size: usize) -> Vec<Record> {
    let record = |revision: u64| {
        let key = Key::new("", "configmaps", "default", &format!("a{revision:03}"));
        let value = Value::whole((0..size).map(|at| ((at as u64 * 7919 * revision) >> 5) as u8).collect());
        Record {
            name: record::data_key(&key, revision),
            value: record::encode_data(&value, false, revision, revision),
        }
    };
    (1..=count).map(record).collect()
}

fn passphrase() -> Passphrase {
    Passphrase::new(b"correct horse battery").unwrap()
}

fn written(records: &[Record], passphrase: Option<&Passphrase>) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new(), &Header::new(records.len() as u64, 5), passphrase).unwrap();
    for record in records {
        writer.record(&record.name, &record.value).unwrap();
    }
    writer.finish().unwrap().0
}

fn read(bytes: &[u8], passphrase: Option<&Passphrase>) -> Result<Vec<Record>, Error> {
    let mut reader = Reader::new(bytes, passphrase)?;
    let mut records = Vec::new();
    while let Some(block) = reader.next_block()? {
        records.extend(block);
    }
    assert_eq!(reader.summary().unwrap().objects, records.len() as u64);
    Ok(records)
}

/// Where the blocks begin, and where the file ends.
fn blocks(bytes: &[u8]) -> Vec<usize> {
    let mut starts = vec![SIZE];
    while *starts.last().unwrap() < bytes.len() {
        let start = *starts.last().unwrap();
        let length = u32::from_be_bytes(bytes[start + 1..start + 5].try_into().unwrap());
        starts.push(start + block::FRAME + length as usize);
    }
    starts
}

#[test]
fn what_was_written_comes_back_in_blocks_with_and_without_a_passphrase() {
    for records in [records(0, 0), records(1, 0), records(300, 3000), records(2, 1 << 20)] {
        for passphrase in [None, Some(passphrase())] {
            let bytes = written(&records, passphrase.as_ref());
            assert_eq!(read(&bytes, passphrase.as_ref()).unwrap(), records);
            let summary = Reader::new(&*bytes, passphrase.as_ref()).unwrap().verify().unwrap();
            assert_eq!((summary.objects, summary.revision), (records.len() as u64, records.len() as u64));
        }
    }
    assert!(blocks(&written(&records(300, 3000), None)).len() > 4, "it has several blocks");
}

/// Flips a bit and reads; what is found has to name the place.
fn check_flipped(bytes: &[u8], starts: &[usize], at: usize, passphrase: Option<&Passphrase>) {
    let mut damaged = bytes.to_vec();
    damaged[at] ^= 0x10;
    let found = match read(&damaged, passphrase) {
        Ok(_) => panic!("byte {at} of {} was not missed", bytes.len()),
        Err(found) => found,
    };
    let start = starts.iter().rev().find(|start| **start <= at).copied().unwrap_or(0);
    match found {
        Error::Damaged { at, .. } => assert_eq!(at, start as u64),
        Error::NotASnapshot => assert!(at < 8),
        Error::Newer { .. } => assert!((8..10).contains(&at)),
        // A length that reaches beyond the end.
        Error::CutShort { at: end } => assert_eq!(end, bytes.len() as u64),
        other => panic!("byte {at}: {other}"),
    }
}

#[test]
fn a_flipped_bit_is_found_wherever_it_is() {
    let bytes = written(&records(200, 3000), None);
    let starts = blocks(&bytes);
    // The header, the frame and the beginning of each block, the last bytes of each, and a sample of the rest.
    let near = |at: &usize| *at < SIZE || starts.iter().any(|start| at.abs_diff(*start) < 16);
    for at in (0..bytes.len()).filter(|at| near(at) || at % 40_009 == 0) {
        check_flipped(&bytes, &starts, at, None);
    }
}

/// At few places: each costs the work on the passphrase.
#[test]
fn a_flipped_bit_of_an_encrypted_one_is_found_too() {
    let bytes = written(&records(200, 3000), Some(&passphrase()));
    let starts = blocks(&bytes);
    for at in [starts[0], starts[1] + 7, starts[1] + 500, bytes.len() - 1] {
        check_flipped(&bytes, &starts, at, Some(&passphrase()));
    }
}

#[test]
fn one_that_is_cut_short_or_goes_on_is_found() {
    let bytes = written(&records(200, 3000), None);
    let starts = blocks(&bytes);
    let near = |at: &usize| starts.iter().any(|start| at.abs_diff(*start) < 20);
    for at in (0..bytes.len()).filter(|at| near(at) || at % 10_007 == 0) {
        match read(&bytes[..at], None).unwrap_err() {
            Error::CutShort { at: end } => assert_eq!(end, at as u64),
            Error::NotASnapshot => assert_eq!(at, 0),
            other => panic!("cut at {at}: {other}"),
        }
    }
    let longer = [&bytes[..], b"x"].concat();
    assert!(read(&longer, None).unwrap_err().to_string().contains("follows its end"));
}

#[test]
fn blocks_that_were_exchanged_or_left_out_are_found() {
    let bytes = written(&records(300, 3000), None);
    let starts = blocks(&bytes);
    let piece = |n: usize| &bytes[starts[n]..starts[n + 1]];
    let rest = &bytes[starts[2]..];
    for altered in [
        [&bytes[..SIZE], piece(1), piece(0), rest].concat(),
        [&bytes[..SIZE], piece(0), rest].concat(),
        [&bytes[..SIZE], piece(0), piece(0), rest].concat(),
        [&bytes[..SIZE], &bytes[starts[starts.len() - 2]..]].concat(),
    ] {
        let error = read(&altered, None).unwrap_err();
        assert!(matches!(error, Error::Damaged { .. }), "{error}");
    }
}

#[test]
fn an_encrypted_one_shows_nothing_and_opens_with_its_passphrase_only() {
    let key = Key::new("", "secrets", "default", "secret-name");
    let value = Value::whole(b"secret-value".repeat(9).into());
    let name = record::data_key(&key, 1);
    let records = [Record { name, value: record::encode_data(&value, false, 1, 1) }];
    let bytes = written(&records, Some(&passphrase()));
    for secret in [&b"secret-value"[..], b"secret-name"] {
        assert!(memchr::memmem::find(&bytes, secret).is_none());
    }
    assert!(matches!(read(&bytes, None), Err(Error::Encrypted)));
    let other = Passphrase::new(b"incorrect horse battery").unwrap();
    assert!(matches!(read(&bytes, Some(&other)), Err(Error::WrongPassphrase)));
    assert_eq!(read(&bytes, Some(&passphrase())).unwrap(), records);
    assert!(Passphrase::new(b"too short").is_none());
}

/// Somebody who can compute checksums but has no passphrase.
#[test]
fn a_forged_block_does_not_pass_for_an_encrypted_one() {
    let bytes = written(&records(200, 3000), Some(&passphrase()));
    let starts = blocks(&bytes);
    let mut forged = bytes.clone();
    let (start, end) = (starts[1], starts[2]);
    forged[end - 1] ^= 1;
    let frame = block::Frame::of(1, block::RECORDS, &forged[start + block::FRAME..end]).encode();
    forged[start..start + block::FRAME].copy_from_slice(&frame);
    let error = read(&forged, Some(&passphrase())).unwrap_err();
    assert!(error.to_string().contains("somebody altered it"), "{error}");
}

#[test]
fn one_of_a_newer_program_is_refused_by_its_version() {
    for (at, what) in [(9, "format"), (11, "form of records")] {
        let mut bytes = written(&records(1, 1), None);
        bytes[at] = 9;
        let checksum = xxhash_rust::xxh3::xxh3_64(&bytes[..SIZE - 8]);
        bytes[SIZE - 8..SIZE].copy_from_slice(&checksum.to_be_bytes());
        let error = read(&bytes, None).unwrap_err();
        assert!(error.to_string().contains(&format!("its {what} has version 9")), "{error}");
    }
}

/// Checksums that are right do not make records right.
#[test]
fn records_that_no_store_wrote_are_refused() {
    fn check(change: impl FnOnce(&mut Vec<Record>)) {
        let mut records = records(3, 10);
        change(&mut records);
        let error = read(&written(&records, None), None).unwrap_err();
        assert!(matches!(error, Error::Damaged { .. }), "{error}");
    }
    check(|records| records.swap(0, 1));
    check(|records| records[1] = records[0].clone());
    check(|records| records[1].value = records[0].value.clone());
    check(|records| records[1].name = b"m/horizon".to_vec().into());
    check(|records| {
        // Of a revision behind the snapshot's.
        let key = Key::new("", "configmaps", "default", "a999");
        records[2].name = record::data_key(&key, 9);
        records[2].value = record::encode_data(&Value::whole(b"x".to_vec().into()), false, 9, 9);
    });
}
