//! Percent-encoding, as URLs and `encoding-type=url` listings carry it.

/// What a text stands for; with `plus`, a `+` stands for a space (`encoding-type=url`). `None` where it is malformed or not
/// UTF-8: then it names nothing that could be asked for.
pub(crate) fn decode(text: &str, plus: bool) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'%' => hex(bytes.next()?)? << 4 | hex(bytes.next()?)?,
            b'+' if plus => b' ',
            other => other,
        });
    }
    String::from_utf8(out).ok()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::decode;

    #[test]
    fn decodes_or_says_that_it_cannot() {
        assert_eq!(decode("a%2Fb%20c+d", true).as_deref(), Some("a/b c d"));
        assert_eq!(decode("a+b", false).as_deref(), Some("a+b"));
        assert_eq!(decode("%E6%97%a5", true).as_deref(), Some("日"));
        assert_eq!(decode("%01", true).as_deref(), Some("\u{1}"));
        for bad in ["%", "%2", "%zz", "%ff", "%+1"] {
            assert_eq!(decode(bad, true), None, "{bad}");
        }
    }
}
