//! Texts that people wrote or that errors produced, cut to what a document may carry.
//!
//! All limits on texts count the bytes that a text takes *in the document*: a control character takes six there
//! (`\u0001`), a quote two. Counted otherwise, a status that keeps all its limits could still outgrow its cap.

use super::MAX_FAILURE_REASON_BYTES;

/// How many bytes a character takes inside a JSON string, as this crate writes it.
const fn json_char_len(c: char) -> usize {
    match c {
        '"' | '\\' | '\n' | '\r' | '\t' | '\u{8}' | '\u{c}' => 2,
        '\0'..='\u{1f}' => 6,
        _ => c.len_utf8(),
    }
}

/// How many bytes a text takes in a document, without its quotes: its length, but for characters that JSON escapes.
#[must_use]
pub fn json_len(text: &str) -> usize {
    text.chars().map(json_char_len).sum()
}

/// The beginning of a text that takes at most `limit` bytes in a document, cut at a character's border, with `…` where
/// something is missing (and `limit` leaves room for it).
#[must_use]
pub fn cut(text: &str, limit: usize) -> String {
    const MORE: char = '…';
    let room = limit.checked_sub(MORE.len_utf8());
    let mut taken = 0;
    // Where the text is cut if it turns out to be too long.
    let mut end = 0;
    for (at, c) in text.char_indices() {
        if taken <= room.unwrap_or(limit) {
            end = at;
        }
        taken += json_char_len(c);
        if taken > limit {
            let mut short = text[..end].to_owned();
            short.extend(room.map(|_| MORE));
            return short;
        }
    }
    text.to_owned()
}

/// A failure's reason as a status carries it: the first 20 files by name, then a count, at most 4 KiB.
///
/// `failures` are lines like `segments/1.log: no such file`; an error and the journal carry all of them.
#[must_use]
pub fn failure_reason(summary: &str, failures: &[String]) -> String {
    const NAMED: usize = 20;
    // A quarter for the summary, the most of the rest shared by the lines, so that the count at the end is never cut off.
    let mut sorted: Vec<&String> = failures.iter().collect();
    sorted.sort();
    let mut reason = cut(summary, MAX_FAILURE_REASON_BYTES / 4);
    let more = sorted.len().saturating_sub(NAMED);
    let each = MAX_FAILURE_REASON_BYTES / 16 * 11 / sorted.len().clamp(1, NAMED);
    for line in sorted.iter().take(NAMED) {
        reason.push_str("; ");
        reason.push_str(&cut(line, each));
    }
    if more > 0 {
        reason.push_str(&format!("; and {more} more files"));
    }
    cut(&reason, MAX_FAILURE_REASON_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cut_keeps_characters_whole() {
        assert_eq!(cut("héllo", 10), "héllo");
        for limit in 3..8 {
            let text = cut("ééééééé", limit);
            assert!(text.len() <= limit && text.ends_with('…'), "{limit} {text}");
        }
    }

    #[test]
    fn a_reason_names_twenty_files_and_counts_the_rest() {
        let failures: Vec<String> = (0..50).map(|n| format!("segments/{n:03}: gone")).rev().collect();
        let reason = failure_reason("50 files failed", &failures);
        assert!(reason.starts_with("50 files failed; segments/000: gone; segments/001: gone"), "{reason}");
        assert!(reason.contains("segments/019") && !reason.contains("segments/020"));
        assert!(reason.ends_with("; and 30 more files"));
        for text in ["é", "x", "\"", "\u{1}"] {
            for count in [0, 1, 2, 19, 20, 21, 3000] {
                let long: Vec<String> = (0..count).map(|n| format!("{n:04}{}", text.repeat(2000))).collect();
                let reason = failure_reason(&text.repeat(9000), &long);
                let len = json_len(&reason);
                assert!((1000..=MAX_FAILURE_REASON_BYTES).contains(&len), "{count} of {text}: {len}");
                let named = (0..count).filter(|n| reason.contains(&format!("; {n:04}"))).count();
                assert_eq!(named, count.min(20));
                if let Some(more) = count.checked_sub(20).filter(|more| *more > 0) {
                    assert!(reason.ends_with(&format!("; and {more} more files")), "{reason}");
                }
            }
        }
        // Two long paths are shown whole.
        let two = [format!("segments/{}", "x".repeat(700)), format!("segments/{}", "y".repeat(700))];
        assert_eq!(failure_reason("2 files failed", &two), format!("2 files failed; {}; {}", two[0], two[1]));
    }
}
