//! From records to the bytes of a snapshot. Holds one block in memory.

use std::io::Write;

use sha2::{Digest, Sha256};

use super::block::{self, FULL, Frame, RECORD_FRAME};
use super::cipher::Cipher;
use super::{Error, Header, Passphrase, Summary};

/// Writes a snapshot; it is one only after [`Writer::finish`].
pub struct Writer<W> {
    out: W,
    header: Header,
    cipher: Option<Cipher>,
    digest: Sha256,
    /// The number of the next block.
    index: u64,
    payload: Vec<u8>,
    objects: u64,
    bytes: u64,
}

impl<W: Write> Writer<W> {
    /// Writes the header. With a passphrase, all that follows is encrypted, which costs half a second here.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn new(mut out: W, header: &Header, passphrase: Option<&Passphrase>) -> Result<Self, Error> {
        let header = match passphrase {
            Some(_) => Cipher::prepare(header),
            None => Header { stretch: None, ..*header },
        };
        let cipher = Cipher::new(&header, passphrase)?;
        let bytes = header.encode();
        out.write_all(&bytes)?;
        let digest = Sha256::new_with_prefix(bytes);
        Ok(Self { out, header, cipher, digest, index: 0, payload: Vec::new(), objects: 0, bytes: 0 })
    }

    /// Adds a record, in the order of names.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn record(&mut self, name: &[u8], value: &[u8]) -> Result<(), Error> {
        let size = RECORD_FRAME + name.len() + value.len();
        if !self.payload.is_empty() && self.payload.len() + size > FULL {
            self.flush()?;
        }
        for part in [name, value] {
            let length = u32::try_from(part.len()).expect("keys and values are limited");
            self.payload.extend_from_slice(&length.to_be_bytes());
        }
        self.payload.extend_from_slice(name);
        self.payload.extend_from_slice(value);
        self.objects += 1;
        self.bytes += (name.len() + value.len()) as u64;
        Ok(())
    }

    /// Writes what is left and the end; gives back what it was written to.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn finish(mut self) -> Result<(W, Summary), Error> {
        if !self.payload.is_empty() {
            self.flush()?;
        }
        let summary = Summary {
            revision: self.header.revision,
            objects: self.objects,
            bytes: self.bytes,
            sha256: self.digest.clone().finalize().into(),
        };
        self.block(block::END, summary.encode())?;
        self.out.flush()?;
        Ok((self.out, summary))
    }

    fn flush(&mut self) -> Result<(), Error> {
        let body = block::compress(&self.payload)?;
        self.payload.clear();
        self.block(block::RECORDS, body)
    }

    fn block(&mut self, kind: u8, mut body: Vec<u8>) -> Result<(), Error> {
        if let Some(cipher) = &self.cipher {
            cipher.seal(self.index, kind, &mut body);
        }
        let frame = Frame::of(self.index, kind, &body).encode();
        self.index += 1;
        for bytes in [&frame[..], &body] {
            self.digest.update(bytes);
            self.out.write_all(bytes)?;
        }
        Ok(())
    }
}
