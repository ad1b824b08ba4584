//! What is stored of an object under KMS v2: upstream's `EncryptedObject`, and the encryption with keys derived from a seed
//! (`value/encrypt/aes/aes_extended_nonce.go`): HKDF over 32 random bytes gives a key for AES-GCM that is used once.

use std::collections::BTreeMap;

use hkdf::Hkdf;
use prost::Message;
use rand::TryRngCore;
use sha2::Sha256;

use super::calls::{EncryptResponse, check_key_id};
use crate::encryption::cipher::{Cipher, Gcm};

/// Bytes of a seed, of what is derived from it, and of what a key is derived by.
pub(super) const SEED: usize = 32;
const INFO: usize = 32;
/// The plugin may send no more than this.
const MAX_SOURCE: usize = 1024;
const MAX_ANNOTATIONS: usize = 32 * 1024;

/// The key is the source itself.
const AES_GCM_KEY: i32 = 0;
/// The source is a seed.
const SEED_TYPE: i32 = 1;

/// Upstream's `EncryptedObject`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Envelope {
    #[prost(bytes = "vec", tag = "1")]
    pub(super) encrypted_data: Vec<u8>,
    #[prost(string, tag = "2")]
    pub(super) key_id: String,
    #[prost(bytes = "vec", tag = "3")]
    pub(super) encrypted_source: Vec<u8>,
    #[prost(btree_map = "string, bytes", tag = "4")]
    pub(super) annotations: BTreeMap<String, Vec<u8>>,
    #[prost(int32, tag = "5")]
    source_type: i32,
}

impl Envelope {
    /// An envelope without an object in it.
    pub(super) fn new(encrypted: EncryptResponse) -> Result<Self, String> {
        let EncryptResponse { ciphertext, key_id, annotations } = encrypted;
        let envelope = Self {
            encrypted_data: Vec::new(),
            key_id,
            encrypted_source: ciphertext,
            annotations,
            source_type: SEED_TYPE,
        };
        envelope.check().map(|()| envelope)
    }

    /// # Errors
    /// Bytes that are none.
    pub(super) fn parse(stored: &[u8]) -> Result<Self, String> {
        let envelope = Self::decode(stored).map_err(|error| error.to_string())?;
        if envelope.encrypted_data.is_empty() {
            return Err("encrypted data is empty".to_owned());
        }
        envelope.check().map(|()| envelope)
    }

    fn check(&self) -> Result<(), String> {
        check_key_id(&self.key_id)?;
        let annotations: usize = self.annotations.iter().map(|(name, value)| name.len() + value.len()).sum();
        match self.encrypted_source.len() {
            0 => Err("encrypted DEK source is empty".to_owned()),
            size if size > MAX_SOURCE => Err(format!(
                "encrypted DEK source is {size} bytes, which exceeds the max size of {MAX_SOURCE}"
            )),
            _ if annotations > MAX_ANNOTATIONS => Err(format!(
                "total size of annotations is {annotations}, which exceeds the max size of {MAX_ANNOTATIONS}"
            )),
            _ => Ok(()),
        }
    }

    /// The stored form of an object that was sealed with this envelope's seed.
    pub(super) fn around(&self, sealed: Vec<u8>) -> Vec<u8> {
        Self { encrypted_data: sealed, ..self.clone() }.encode_to_vec()
    }

    /// Everything that says which seed it is.
    pub(super) fn source(&self) -> Vec<u8> {
        Self { encrypted_data: Vec::new(), ..self.clone() }.encode_to_vec()
    }

    /// What the plugin decrypted, as the envelope says to use it.
    pub(super) fn seed(&self, plain: Vec<u8>) -> Result<Seed, String> {
        match self.source_type {
            SEED_TYPE => Seed::derived(plain),
            AES_GCM_KEY => Gcm::new(&plain).map(Box::new).map(Seed::Key),
            other => Err(format!("unknown encryptedDEKSourceType: {other}")),
        }
    }
}

/// What objects are encrypted with.
pub(super) enum Seed {
    /// A key, as servers before v1.29 wrote; only read.
    Key(Box<Gcm>),
    /// What a key is derived from for each object.
    Derived(Hkdf<Sha256>),
}

impl Seed {
    pub(super) fn derived(plain: Vec<u8>) -> Result<Self, String> {
        let size = plain.len();
        if size < SEED {
            return Err(format!("invalid seed length {size} used for key generation"));
        }
        Hkdf::from_prk(&plain).map(Self::Derived).map_err(|_| "the seed is too short".to_owned())
    }

    pub(super) fn seal(&self, place: &[u8], object: &[u8]) -> Result<Vec<u8>, String> {
        let Self::Derived(seed) = self else { return Err("this key is for reading only".to_owned()) };
        let mut random = [0; INFO + 24];
        rand::rngs::OsRng.try_fill_bytes(&mut random).map_err(|error| error.to_string())?;
        let (info, nonce) = random.split_at(INFO);
        let nonce = nonce.first_chunk().expect("it has 24 bytes");
        let sealed = derive(seed, info)?.seal(place, object, nonce)?;
        Ok([info, &sealed].concat())
    }

    pub(super) fn open(&self, place: &[u8], sealed: &[u8]) -> Result<Vec<u8>, String> {
        match self {
            Self::Key(key) => key.open(place, sealed),
            Self::Derived(seed) => {
                let (info, sealed) = sealed
                    .split_at_checked(INFO)
                    .ok_or("the stored data was shorter than the required size")?;
                derive(seed, info)?.open(place, sealed)
            }
        }
    }
}

fn derive(seed: &Hkdf<Sha256>, info: &[u8]) -> Result<Gcm, String> {
    let mut key = [0; 32];
    seed.expand(info, &mut key).map_err(|error| error.to_string())?;
    Gcm::new(&key)
}
