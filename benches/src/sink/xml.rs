//! The little XML that S3's answers are made of.

use std::fmt::Write as _;

/// Text as XML holds it.
pub(super) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Percent-encoded, as listings with `encoding-type=url` want keys.
pub(super) fn encoded(text: &str) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-_.~/".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
        out
    })
}

/// The texts of all elements of a name, in order; without nesting, which S3's requests do not need.
pub(super) fn texts(xml: &str, name: &str) -> Vec<String> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    xml.split(&open)
        .skip(1)
        .filter_map(|rest| rest.split_once(&close))
        .map(|(text, _)| {
            let plain = text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&apos;", "'");
            plain.replace("&amp;", "&")
        })
        .collect()
}

/// A document around `inner`.
pub(super) fn document(root: &str, inner: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<{root} xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">{inner}</{root}>"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_come_back_as_they_went() {
        let key = "a<b>&amp;c";
        let xml =
            document("Delete", &format!("<Object><Key>{}</Key></Object><Object><Key>d</Key></Object>", escaped(key)));
        assert_eq!(texts(&xml, "Key"), [key, "d"]);
        assert_eq!(encoded("a b/é"), "a%20b/%C3%A9");
    }
}
