//! Strings as Go's encoder writes them, and as Go's `%q` quotes them in messages.

const HEX: &[u8; 16] = b"0123456789abcdef";

/// Writes `text` as a JSON string, escaping what Go's `encoding/json` escapes: `<`, `>`, `&` and the line separators
/// U+2028 and U+2029 too.
pub(crate) fn write_string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    let bytes = text.as_bytes();
    let mut written = 0;
    for (place, &byte) in bytes.iter().enumerate() {
        if is_plain(byte) {
            continue;
        }
        if byte == 0xe2 {
            // U+2028 and U+2029 are e2 80 a8 and e2 80 a9.
            if let [0x80, last @ (0xa8 | 0xa9), ..] = bytes[place + 1..] {
                out.extend_from_slice(&bytes[written..place]);
                out.extend_from_slice(if last == 0xa8 { b"\\u2028" } else { b"\\u2029" });
                written = place + 3;
            }
            continue;
        }
        out.extend_from_slice(&bytes[written..place]);
        write_escape(byte, out);
        written = place + 1;
    }
    out.extend_from_slice(&bytes[written..]);
    out.push(b'"');
}

fn is_plain(byte: u8) -> bool {
    byte >= 0x20 && !matches!(byte, b'"' | b'\\' | b'<' | b'>' | b'&' | 0xe2)
}

fn write_escape(byte: u8, out: &mut Vec<u8>) {
    match byte {
        b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
        0x08 => out.extend_from_slice(b"\\b"),
        0x0c => out.extend_from_slice(b"\\f"),
        b'\n' => out.extend_from_slice(b"\\n"),
        b'\r' => out.extend_from_slice(b"\\r"),
        b'\t' => out.extend_from_slice(b"\\t"),
        _ => {
            out.extend_from_slice(b"\\u00");
            out.extend_from_slice(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
        }
    }
}

/// Quotes `text` as Go's `%q` does, for messages.
pub fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\x07' => out.push_str("\\a"),
            '\x08' => out.push_str("\\b"),
            '\x0c' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\x0b' => out.push_str("\\v"),
            c if (c as u32) < 0x20 || c as u32 == 0x7f => out.push_str(&format!("\\x{:02x}", c as u32)),
            c if is_printable(c) => out.push(c),
            c if (c as u32) < 0x1_0000 => out.push_str(&format!("\\u{:04x}", c as u32)),
            c => out.push_str(&format!("\\U{:08x}", c as u32)),
        }
    }
    out.push('"');
    out
}

/// Nearly Go's `unicode.IsPrint`: controls, separators other than the space, format characters and private use are not.
fn is_printable(c: char) -> bool {
    let invisible = matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{e000}'..='\u{f8ff}' | '\u{feff}' | '\u{fff0}'..='\u{fffb}');
    c == ' ' || !(c.is_control() || c.is_whitespace() || invisible)
}
