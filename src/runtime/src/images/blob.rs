//! A compressed or plain stream, told apart by its first bytes: media types in the wild are not to be trusted.

use std::io::{self, BufRead, BufReader, Read};

const GZIP: [u8; 2] = [0x1f, 0x8b];
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// The uncompressed form of `stream`.
pub(super) fn decompress<'a>(stream: impl Read + 'a) -> io::Result<Box<dyn Read + 'a>> {
    let mut stream = BufReader::with_capacity(128 * 1024, stream);
    let start = stream.fill_buf()?;
    if start.starts_with(&GZIP) {
        Ok(Box::new(flate2::bufread::MultiGzDecoder::new(stream)))
    } else if start.starts_with(&ZSTD) {
        Ok(Box::new(zstd::stream::read::Decoder::with_buffer(stream)?))
    } else {
        Ok(Box::new(stream))
    }
}

/// Whether a file that starts so is compressed.
pub(super) fn is_compressed(start: &[u8]) -> bool {
    start.starts_with(&GZIP) || start.starts_with(&ZSTD)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn each_compression_is_recognised_by_its_first_bytes() {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(b"text").unwrap();
        for input in [gzip.finish().unwrap(), zstd::encode_all(&b"text"[..], 1).unwrap(), b"text".to_vec()] {
            let mut output = String::new();
            decompress(&input[..]).unwrap().read_to_string(&mut output).unwrap();
            assert_eq!(output, "text");
        }
    }
}
