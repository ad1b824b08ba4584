//! Indented JSON for people (`?pretty`), as Go's `json.Indent` with two spaces. Works on bytes and keeps their order.

use bytes::Bytes;

/// The same document, indented.
pub(super) fn indented(json: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(json.len() * 2);
    let mut depth = 0;
    let mut bytes = json.iter().copied().filter_in_strings();
    while let Some((byte, in_string)) = bytes.next() {
        match byte {
            _ if in_string => out.push(byte),
            b'{' | b'[' => {
                out.push(byte);
                match bytes.peek() {
                    Some(b'}' | b']') => out.extend(bytes.next().map(|(close, _)| close)),
                    _ => {
                        depth += 1;
                        new_line(&mut out, depth);
                    }
                }
            }
            b'}' | b']' => {
                depth -= 1;
                new_line(&mut out, depth);
                out.push(byte);
            }
            b',' => {
                out.push(byte);
                new_line(&mut out, depth);
            }
            b':' => out.extend_from_slice(b": "),
            _ => out.push(byte),
        }
    }
    out.push(b'\n');
    Bytes::from(out)
}

fn new_line(out: &mut Vec<u8>, depth: usize) {
    out.push(b'\n');
    out.extend(std::iter::repeat_n(b' ', depth * 2));
}

/// Tells for each byte whether it belongs to a string, and drops space outside of strings.
struct Marked<I: Iterator<Item = u8>> {
    bytes: std::iter::Peekable<I>,
    in_string: bool,
    escaped: bool,
}

trait FilterInStrings: Iterator<Item = u8> + Sized {
    fn filter_in_strings(self) -> Marked<Self> {
        Marked { bytes: self.peekable(), in_string: false, escaped: false }
    }
}

impl<I: Iterator<Item = u8>> FilterInStrings for I {}

impl<I: Iterator<Item = u8>> Marked<I> {
    fn skip_space(&mut self) {
        while !self.in_string && self.bytes.next_if(u8::is_ascii_whitespace).is_some() {}
    }

    fn peek(&mut self) -> Option<&u8> {
        self.skip_space();
        self.bytes.peek()
    }

    fn next(&mut self) -> Option<(u8, bool)> {
        self.skip_space();
        let byte = self.bytes.next()?;
        let was_in_string = self.in_string;
        match byte {
            _ if self.escaped => self.escaped = false,
            b'\\' if self.in_string => self.escaped = true,
            b'"' => self.in_string = !self.in_string,
            _ => {}
        }
        Some((byte, was_in_string || byte == b'"'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_indented_as_go_does() {
        let json = br#"{"a":[1,{"b":"x, {\"y\": 1}"}],"c":{},"d":[]}"#;
        let expected = "{\n  \"a\": [\n    1,\n    {\n      \"b\": \"x, {\\\"y\\\": 1}\"\n    }\n  ],\n  \"c\": {},\n  \"d\": []\n}\n";
        assert_eq!(indented(json), expected.as_bytes());
    }
}
