//! Encryption of a snapshot's blocks: ChaCha20-Poly1305 under a key made from a passphrase.
//!
//! The salt is new for every snapshot and so is the key, hence a block's number can be its nonce. The header and the kind
//! of the block are authenticated with it: no block can be moved, left out at the end, or put under another header.

use std::num::NonZeroU32;

use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use ring::pbkdf2;

use super::Error;
use super::header::{self, Header, SALT, Stretch};

/// What OWASP asks for with PBKDF2-HMAC-SHA256; half a second once per snapshot.
const ITERATIONS: u32 = 600_000;
/// A header that asks for more was not written by this program, and would keep it busy.
const MOST_ITERATIONS: u32 = 20_000_000;
/// Bytes that encryption adds to a block.
pub(super) const TAG: usize = 16;

/// What a snapshot is encrypted with: what a person chose, or the contents of a key file.
#[derive(Clone)]
pub struct Passphrase(Box<[u8]>);

impl Passphrase {
    /// The fewest bytes taken.
    pub const SHORTEST: usize = 12;

    /// A passphrase, or `None` where it is shorter than [`Passphrase::SHORTEST`] bytes.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Option<Self> {
        (bytes.len() >= Self::SHORTEST).then(|| Self(bytes.into()))
    }
}

impl std::fmt::Debug for Passphrase {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Passphrase(..)")
    }
}

/// The key of one snapshot.
pub(super) struct Cipher {
    key: LessSafeKey,
    header: [u8; header::SIZE],
}

impl Cipher {
    /// Says in the header how the key of a new snapshot is made.
    pub(super) fn prepare(header: &Header) -> Header {
        let salt: [u8; SALT] = rand::random();
        Header { stretch: Some(Stretch { iterations: ITERATIONS, salt }), ..*header }
    }

    /// The key as the header says; `None` where it says that there is none.
    pub(super) fn new(header: &Header, passphrase: Option<&Passphrase>) -> Result<Option<Self>, Error> {
        let Some(Stretch { iterations, salt }) = header.stretch else { return Ok(None) };
        let passphrase = passphrase.ok_or(Error::Encrypted)?;
        let iterations = NonZeroU32::new(iterations).filter(|count| count.get() <= MOST_ITERATIONS);
        let iterations = iterations.ok_or_else(|| Error::Damaged {
            at: 0,
            what: "its header asks for more work on the passphrase than any snapshot needs".to_owned(),
        })?;
        let mut key = [0; 32];
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, iterations, &salt, &passphrase.0, &mut key);
        let key =
            UnboundKey::new(&CHACHA20_POLY1305, &key).expect("the key has the length of the algorithm's");
        Ok(Some(Self { key: LessSafeKey::new(key), header: header.encode() }))
    }

    /// Encrypts a block in place.
    pub(super) fn seal(&self, index: u64, kind: u8, body: &mut Vec<u8>) {
        let sealed = self.key.seal_in_place_append_tag(nonce(index), self.bound(kind), body);
        sealed.expect("a block is far shorter than what the algorithm takes");
    }

    /// Decrypts a block; `None` when it is not what was encrypted there.
    pub(super) fn open(&self, index: u64, kind: u8, mut body: Vec<u8>) -> Option<Vec<u8>> {
        let length = self.key.open_in_place(nonce(index), self.bound(kind), &mut body).ok()?.len();
        body.truncate(length);
        Some(body)
    }

    fn bound(&self, kind: u8) -> Aad<Vec<u8>> {
        Aad::from([&self.header[..], &[kind]].concat())
    }
}

fn nonce(index: u64) -> Nonce {
    let mut bytes = [0; 12];
    bytes[4..].copy_from_slice(&index.to_be_bytes());
    Nonce::assume_unique_for_key(bytes)
}
