//! The ciphers of upstream's providers: bytes in, bytes out, in upstream's layout (`value/encrypt/{aes,secretbox}`).
//!
//! Randomness is given by the caller. Nothing here knows keys by name, or the store.

use aes::cipher::block_padding::{NoPadding, Pkcs7};
use aes::cipher::{BlockDecryptMut, BlockEncryptMut, KeyIvInit};
use aes::{Aes128, Aes192, Aes256};
use aes_gcm::AesGcm;
use aes_gcm::aead::consts::U12;
use aes_gcm::aead::{Aead, KeyInit, Payload};
use crypto_secretbox::XSalsa20Poly1305;

/// A cipher with its key.
pub(super) trait Cipher: Send + Sync {
    /// Encrypts; what is random comes from `random`.
    fn seal(&self, place: &[u8], object: &[u8], random: &[u8; 24]) -> Result<Vec<u8>, String>;

    /// Decrypts. Where the cipher authenticates, `place` has to be what it was.
    fn open(&self, place: &[u8], sealed: &[u8]) -> Result<Vec<u8>, String>;
}

const TOO_SHORT: &str = "the stored data was shorter than the required size";
const BLOCK: usize = 16;

/// AES-CBC with PKCS#7 padding: the initialization vector, then the blocks. It authenticates nothing.
pub(super) struct Cbc(Vec<u8>);

impl Cbc {
    pub(super) fn new(key: &[u8]) -> Result<Self, String> {
        sized(key).map(|()| Self(key.to_owned()))
    }
}

impl Cipher for Cbc {
    fn seal(&self, _: &[u8], object: &[u8], random: &[u8; 24]) -> Result<Vec<u8>, String> {
        let iv = &random[..BLOCK];
        let blocks = match self.0.len() {
            16 => cbc::Encryptor::<Aes128>::new(self.0[..].into(), iv.into())
                .encrypt_padded_vec_mut::<Pkcs7>(object),
            24 => cbc::Encryptor::<Aes192>::new(self.0[..].into(), iv.into())
                .encrypt_padded_vec_mut::<Pkcs7>(object),
            _ => cbc::Encryptor::<Aes256>::new(self.0[..].into(), iv.into())
                .encrypt_padded_vec_mut::<Pkcs7>(object),
        };
        Ok([iv, &blocks].concat())
    }

    fn open(&self, _: &[u8], sealed: &[u8]) -> Result<Vec<u8>, String> {
        let (iv, blocks) = sealed.split_at_checked(BLOCK).ok_or(TOO_SHORT)?;
        if blocks.len() % BLOCK != 0 {
            return Err("the stored data is not a multiple of the block size".to_owned());
        }
        let decrypted = match self.0.len() {
            16 => cbc::Decryptor::<Aes128>::new(self.0[..].into(), iv.into())
                .decrypt_padded_vec_mut::<NoPadding>(blocks),
            24 => cbc::Decryptor::<Aes192>::new(self.0[..].into(), iv.into())
                .decrypt_padded_vec_mut::<NoPadding>(blocks),
            _ => cbc::Decryptor::<Aes256>::new(self.0[..].into(), iv.into())
                .decrypt_padded_vec_mut::<NoPadding>(blocks),
        };
        let mut object = decrypted.map_err(|_| "the stored data is not a multiple of the block size")?;
        let padding = object.last().copied().unwrap_or(0);
        let size = object.len().checked_sub(usize::from(padding)).filter(|_| padding != 0);
        let size = size.ok_or("invalid PKCS7 data (empty or not padded)")?;
        if object[size..].iter().any(|byte| *byte != padding) {
            return Err("invalid padding on input".to_owned());
        }
        object.truncate(size);
        // Another key may leave what looks like padding, once in a few hundred times.
        match serde_json::from_slice::<serde::de::IgnoredAny>(&object) {
            Ok(_) => Ok(object),
            Err(_) => Err("what was decrypted is no object; was it another key?".to_owned()),
        }
    }
}

/// AES-GCM with a random nonce: the nonce, then what it encrypts, then the tag.
pub(super) enum Gcm {
    Aes128(AesGcm<Aes128, U12>),
    Aes192(AesGcm<Aes192, U12>),
    Aes256(AesGcm<Aes256, U12>),
}

const NONCE: usize = 12;

impl Gcm {
    pub(super) fn new(key: &[u8]) -> Result<Self, String> {
        sized(key)?;
        Ok(match key.len() {
            16 => Self::Aes128(AesGcm::new(key.into())),
            24 => Self::Aes192(AesGcm::new(key.into())),
            _ => Self::Aes256(AesGcm::new(key.into())),
        })
    }
}

impl Cipher for Gcm {
    fn seal(&self, place: &[u8], object: &[u8], random: &[u8; 24]) -> Result<Vec<u8>, String> {
        let nonce = &random[..NONCE];
        let (at, payload) = (nonce.into(), Payload { msg: object, aad: place });
        let sealed = match self {
            Self::Aes128(cipher) => cipher.encrypt(at, payload),
            Self::Aes192(cipher) => cipher.encrypt(at, payload),
            Self::Aes256(cipher) => cipher.encrypt(at, payload),
        };
        Ok([nonce, &sealed.map_err(|_| "the object is too large for AES-GCM")?].concat())
    }

    fn open(&self, place: &[u8], sealed: &[u8]) -> Result<Vec<u8>, String> {
        let (nonce, sealed) = sealed.split_at_checked(NONCE).ok_or(TOO_SHORT)?;
        let (at, payload) = (nonce.into(), Payload { msg: sealed, aad: place });
        let object = match self {
            Self::Aes128(cipher) => cipher.decrypt(at, payload),
            Self::Aes192(cipher) => cipher.decrypt(at, payload),
            Self::Aes256(cipher) => cipher.decrypt(at, payload),
        };
        object.map_err(|_| "cipher: message authentication failed".to_owned())
    }
}

/// XSalsa20 and Poly1305, as in NaCl: the nonce, the tag, then what it encrypts. The place is not authenticated.
pub(super) struct SecretBox(XSalsa20Poly1305);

impl SecretBox {
    pub(super) fn new(key: &[u8]) -> Result<Self, String> {
        if key.len() != 32 {
            return Err(format!("expected key size 32 for secretbox provider, got {}", key.len()));
        }
        Ok(Self(XSalsa20Poly1305::new(key.into())))
    }
}

impl Cipher for SecretBox {
    fn seal(&self, _: &[u8], object: &[u8], random: &[u8; 24]) -> Result<Vec<u8>, String> {
        let sealed =
            self.0.encrypt(random.into(), object).map_err(|_| "the object is too large for secretbox")?;
        Ok([random.as_slice(), &sealed].concat())
    }

    fn open(&self, _: &[u8], sealed: &[u8]) -> Result<Vec<u8>, String> {
        const TAG: usize = 16;
        let (nonce, sealed) =
            sealed.split_at_checked(24).filter(|(_, rest)| rest.len() >= TAG).ok_or(TOO_SHORT)?;
        // Upstream's sentence; it says nothing of what is wrong, which is the key or the data.
        self.0
            .decrypt(nonce.into(), sealed)
            .map_err(|_| "output array was not large enough for encryption".to_owned())
    }
}

fn sized(key: &[u8]) -> Result<(), String> {
    match key.len() {
        16 | 24 | 32 => Ok(()),
        size => Err(format!("crypto/aes: invalid key size {size}")),
    }
}
