//! CRI messages inside JSON state files: as base64 of their protobuf form, which a later version can still read when
//! messages have got more fields.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use prost::Message;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serializer};

pub(crate) fn serialize<M: Message, S: Serializer>(message: &M, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&STANDARD.encode(message.encode_to_vec()))
}

pub(crate) fn deserialize<'de, M: Message + Default, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<M, D::Error> {
    let bytes = STANDARD.decode(String::deserialize(deserializer)?).map_err(D::Error::custom)?;
    M::decode(&bytes[..]).map_err(D::Error::custom)
}
