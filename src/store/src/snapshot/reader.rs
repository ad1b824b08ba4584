//! From the bytes of a snapshot to its records. Believes nothing it can check, and holds one block in memory.

use std::io::{ErrorKind, Read};

use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::block::{self, FRAME, Frame, LARGEST_BODY};
use super::cipher::Cipher;
use super::{Error, Header, Passphrase, Summary, header};
use crate::{Key, record};

/// A record as an engine stores it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The engine's key of it.
    pub name: Bytes,
    /// The engine's value of it.
    pub value: Bytes,
}

/// Reads a snapshot front to back.
pub struct Reader<R> {
    input: R,
    header: Header,
    cipher: Option<Cipher>,
    digest: Sha256,
    /// Bytes read.
    at: u64,
    /// The number of the next block.
    index: u64,
    objects: u64,
    bytes: u64,
    /// The key that the newest record is of; records come in order and each key once.
    newest: String,
    summary: Option<Summary>,
}

impl<R: Read> Reader<R> {
    /// Reads the header. The passphrase is not looked at where the snapshot is not encrypted.
    ///
    /// # Errors
    /// Those of [`Header::read`], and [`Error::Encrypted`].
    pub fn new(mut input: R, passphrase: Option<&Passphrase>) -> Result<Self, Error> {
        let header = Header::read(&mut input)?;
        let cipher = Cipher::new(&header, passphrase)?;
        Ok(Self {
            input,
            header,
            cipher,
            digest: Sha256::new_with_prefix(header.encode()),
            at: header::SIZE as u64,
            index: 0,
            objects: 0,
            bytes: 0,
            newest: String::new(),
            summary: None,
        })
    }

    /// What it is of.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The records of the next block; `None` once the snapshot has ended as it should.
    ///
    /// # Errors
    /// [`Error::CutShort`], [`Error::Damaged`], [`Error::WrongPassphrase`] and [`Error::Io`].
    pub fn next_block(&mut self) -> Result<Option<Vec<Record>>, Error> {
        if self.summary.is_some() {
            return Ok(None);
        }
        let start = self.at;
        let digest: [u8; 32] = self.digest.clone().finalize().into();
        let (kind, body) = self.block(start)?;
        if kind == block::RECORDS {
            let payload =
                block::decompress(&body).ok_or_else(|| damaged(start, "it cannot be decompressed"))?;
            return self.records(start, payload.into()).map(Some);
        }
        let summary = Summary::decode(&body, self.header.revision)
            .ok_or_else(|| damaged(start, "its end block is not one"))?;
        let found = (self.objects, self.bytes, digest);
        if (summary.objects, summary.bytes, summary.sha256) != found {
            return Err(damaged(start, "its end block tells of other blocks than these"));
        }
        if self.fill(&mut [0])? > 0 {
            return Err(damaged(self.at - 1, "something follows its end"));
        }
        self.summary = Some(summary);
        Ok(None)
    }

    /// Reads what is left, and says what was in it all.
    ///
    /// # Errors
    /// As [`Reader::next_block`].
    pub fn verify(mut self) -> Result<Summary, Error> {
        loop {
            if self.next_block()?.is_none()
                && let Some(summary) = self.summary
            {
                return Ok(summary);
            }
        }
    }

    /// What the end block said, once [`Reader::next_block`] has come there.
    #[must_use]
    pub fn summary(&self) -> Option<&Summary> {
        self.summary.as_ref()
    }

    /// The next block's kind, and its body in clear.
    fn block(&mut self, start: u64) -> Result<(u8, Vec<u8>), Error> {
        let mut bytes = [0; FRAME];
        if self.fill(&mut bytes)? < FRAME {
            return Err(Error::CutShort { at: self.at });
        }
        let frame = Frame::decode(&bytes);
        if !matches!(frame.kind, block::RECORDS | block::END) || frame.length as usize > LARGEST_BODY {
            return Err(damaged(start, "it is not the beginning of a block"));
        }
        let mut body = Vec::new();
        // Not allocated ahead: the length may be wrong.
        let read = self.input.by_ref().take(frame.length.into()).read_to_end(&mut body)?;
        self.at += read as u64;
        if read < frame.length as usize {
            return Err(Error::CutShort { at: self.at });
        }
        if !frame.fits(self.index, &body) {
            return Err(damaged(start, "its checksum is another"));
        }
        self.digest.update(bytes);
        self.digest.update(&body);
        let body = match &self.cipher {
            None => body,
            Some(cipher) => cipher.open(self.index, frame.kind, body).ok_or_else(|| match self.index {
                0 => Error::WrongPassphrase,
                _ => damaged(start, "somebody altered it: it cannot be decrypted"),
            })?,
        };
        self.index += 1;
        Ok((frame.kind, body))
    }

    /// As many bytes as there are, up to the buffer's length.
    fn fill(&mut self, buffer: &mut [u8]) -> Result<usize, Error> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.input.read(&mut buffer[filled..]) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.at += filled as u64;
        Ok(filled)
    }

    fn records(&mut self, start: u64, mut payload: Bytes) -> Result<Vec<Record>, Error> {
        let mut records = Vec::new();
        while !payload.is_empty() {
            let record = split(&mut payload).ok_or_else(|| damaged(start, "a record in it is cut"))?;
            self.check(&record).ok_or_else(|| {
                let name = record.name.escape_ascii();
                damaged(start, &format!("the record {name} is not what a store writes"))
            })?;
            self.objects += 1;
            self.bytes += (record.name.len() + record.value.len()) as u64;
            records.push(record);
        }
        Ok(records)
    }

    /// `None` where the record is none that belongs here.
    fn check(&mut self, record: &Record) -> Option<()> {
        let (path, revision) = record::parse_data_key(&record.name)?;
        let is_of_then = (1..=self.header.revision).contains(&revision);
        let version = record::decode_data(&record.value, revision)?;
        if !is_of_then || version.deleted || path <= self.newest.as_str() {
            return None;
        }
        Key::parse(path)?;
        path.clone_into(&mut self.newest);
        Some(())
    }
}

fn split(payload: &mut Bytes) -> Option<Record> {
    let (name, rest) = payload.split_first_chunk::<4>()?;
    let (value, rest) = rest.split_first_chunk::<4>()?;
    let (name, value) = (u32::from_be_bytes(*name) as usize, u32::from_be_bytes(*value) as usize);
    if rest.len() < name.checked_add(value)? {
        return None;
    }
    drop(payload.split_to(block::RECORD_FRAME));
    Some(Record { name: payload.split_to(name), value: payload.split_to(value) })
}

fn damaged(at: u64, what: &str) -> Error {
    Error::Damaged { at, what: what.to_owned() }
}
