//! Random changes of texts: of bits, of pieces, and of the words that a text is made of.

use std::ops::Range;

use milepost_store::env::SeededRandom;

/// What readers of numbers and of texts stumble over.
const WORDS: &[&str] = &[
    "0",
    "1",
    "-1",
    "007",
    "1.0",
    "1e5",
    "1e999",
    "255",
    "256",
    "65536",
    "2147483648",
    "4294967295",
    "4294967296",
    "9007199254740991",
    "9007199254740992",
    "18446744073709551615",
    "18446744073709551616",
    "99999999999999999999999",
    "null",
    "true",
    "false",
    "\"\"",
    "[]",
    "{}",
    "\"\\u0000\"",
    "\"\\ud800\"",
    "\\n",
    "\\\"",
    "/",
    "//",
    ".",
    "..",
    "../",
    "\\",
    "\0",
    "\u{7f}",
    "\u{feff}",
    "e\u{301}",
    "é",
    "İ",
    "ẞ",
    "%2e%2e",
    "%00",
    "%",
    "+",
    "&",
    "=",
    "?",
    "#",
    "@",
    ":",
    " ",
    "\r\n",
    "\t",
];
/// Of so many changes one makes an input long.
const SELDOM: u64 = 200;

pub(super) struct Mutator {
    random: SeededRandom,
    words: Vec<Vec<u8>>,
    longest: usize,
}

impl Mutator {
    pub(super) fn new(random: SeededRandom, mut words: Vec<Vec<u8>>, longest: usize) -> Self {
        words.extend(WORDS.iter().map(|word| word.as_bytes().to_vec()));
        Self { random, words, longest }
    }

    /// A number below `limit`; 0 where that is 0.
    pub(super) fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.random.next() % (limit.max(1) as u64)).unwrap_or(0)
    }

    /// One to eight changes of one of these inputs.
    pub(super) fn changed(&mut self, pool: &[Vec<u8>]) -> Vec<u8> {
        // New kinds of answers are at the end: half of the time one of the last few is taken.
        let last = pool.len().saturating_sub(16);
        let from = if self.below(2) == 0 { 0 } else { last };
        let Some(mut input) = pool.get(from + self.below(pool.len() - from)).cloned() else { return Vec::new() };
        let changes = 1 << self.below(4);
        for _ in 0..changes {
            self.change(&mut input, pool);
        }
        if self.random.next().is_multiple_of(SELDOM) {
            self.lengthen(&mut input);
        }
        input.truncate(self.longest);
        input
    }

    fn change(&mut self, input: &mut Vec<u8>, pool: &[Vec<u8>]) {
        match self.below(12) {
            0 => {
                let (at, bit) = (self.below(input.len()), self.below(8));
                if let Some(byte) = input.get_mut(at) {
                    *byte ^= 1 << bit;
                }
            }
            1 => {
                let (at, byte) = (self.below(input.len()), self.below(256) as u8);
                if let Some(old) = input.get_mut(at) {
                    *old = byte;
                }
            }
            2 => drop(input.drain(self.piece(input))),
            3 => {
                let piece = input[self.piece(input)].to_vec();
                self.insert(input, &piece);
            }
            4 => {
                let word = self.word();
                self.insert(input, &word);
            }
            // A word in place of a word keeps the shape of the text: these reach what stands behind the parser.
            5..=7 => {
                let word = self.word();
                self.replace(input, &word);
            }
            8 => {
                let other = self.other(pool);
                let word = self.token(&other).map_or_else(Vec::new, |range| other[range].to_vec());
                self.replace(input, &word);
            }
            9 => {
                let word = self.token(input).map_or_else(Vec::new, |range| input[range].to_vec());
                self.replace(input, &word);
            }
            10 => {
                // The beginning of one, the end of another.
                let other = self.other(pool);
                let (cut, from) = (self.below(input.len() + 1), self.below(other.len() + 1));
                input.truncate(cut);
                input.extend_from_slice(&other[from..]);
            }
            _ => {
                if let Some(range) = self.token(input) {
                    input.drain(range);
                }
            }
        }
    }

    /// One piece, again and again, up to the longest input.
    fn lengthen(&mut self, input: &mut Vec<u8>) {
        let piece = match self.below(2) {
            0 => self.word(),
            _ => input[self.piece(input)].to_vec(),
        };
        let room = self.longest.saturating_sub(input.len()) / piece.len().max(1);
        let times = if self.below(2) == 0 { room } else { self.below(room) };
        let piece = piece.repeat(times);
        self.insert(input, &piece);
    }

    fn insert(&mut self, input: &mut Vec<u8>, what: &[u8]) {
        let at = self.below(input.len() + 1);
        input.splice(at..at, what.iter().copied());
    }

    fn replace(&mut self, input: &mut Vec<u8>, word: &[u8]) {
        let Some(range) = self.token(input) else { return self.insert(input, word) };
        let quoted = input[range.start] == b'"' && word.first() != Some(&b'"') && self.below(4) > 0;
        let mut new = word.to_vec();
        if quoted {
            new.insert(0, b'"');
            new.push(b'"');
        }
        input.splice(range, new);
    }

    fn other(&mut self, pool: &[Vec<u8>]) -> Vec<u8> {
        let at = self.below(pool.len());
        pool.get(at).cloned().unwrap_or_default()
    }

    fn word(&mut self) -> Vec<u8> {
        let at = self.below(self.words.len());
        self.words.get(at).cloned().unwrap_or_default()
    }

    /// A range of a few bytes, seldom of many.
    fn piece(&mut self, input: &[u8]) -> Range<usize> {
        let at = self.below(input.len());
        let most = if self.below(8) == 0 { input.len() } else { 16 };
        let len = self.below(most + 1).min(input.len() - at);
        at..at + len
    }

    /// A number, a name, a text in quotes or a sign, near a place that is drawn.
    fn token(&mut self, input: &[u8]) -> Option<Range<usize>> {
        let place = self.below(input.len());
        let tokens = tokens(input);
        let at = tokens.partition_point(|token| token.end <= place);
        tokens.get(at).or(tokens.last()).cloned()
    }
}

/// The words of a text, blanks left out.
fn tokens(input: &[u8]) -> Vec<Range<usize>> {
    let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.') || *byte >= 0x80;
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(byte) = input.get(at) {
        let rest = &input[at..];
        let len = match byte {
            b'"' => {
                let mut escaped = false;
                let end = rest.iter().skip(1).position(|byte| {
                    let ends = *byte == b'"' && !escaped;
                    escaped = *byte == b'\\' && !escaped;
                    ends
                });
                end.map_or(1, |end| end + 2)
            }
            byte if is_word(byte) => rest.iter().take_while(|byte| is_word(byte)).count(),
            _ => 1,
        };
        if !byte.is_ascii_whitespace() {
            tokens.push(at..at + len);
        }
        at += len;
    }
    tokens
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_into_words() {
        let text = r#"{ "a\"b": -1.5, x=[é] } "open"#.as_bytes();
        let words: Vec<_> = tokens(text).into_iter().map(|range| String::from_utf8_lossy(&text[range])).collect();
        assert_eq!(words, ["{", r#""a\"b""#, ":", "-1.5", ",", "x", "=", "[", "é", "]", "}", "\"", "open"]);
    }

    #[test]
    fn changes_follow_from_the_seed_and_keep_the_limit() {
        let pool = [b"{\"a\": 1}".to_vec(), Vec::new()];
        let some = |seed| {
            let mut mutator = Mutator::new(SeededRandom::new(seed), vec![b"word".to_vec()], 300);
            (0..2_000).map(|_| mutator.changed(&pool)).collect::<Vec<_>>()
        };
        let one = some(1);
        assert_eq!(one, some(1));
        assert_ne!(one, some(2));
        assert!(one.iter().all(|input| input.len() <= 300) && one.iter().any(|input| input.len() > 250));
        assert!(one.iter().any(|input| input.windows(4).any(|word| word == b"word")));
        assert!(Mutator::new(SeededRandom::new(1), Vec::new(), 9).changed(&[]).is_empty());
    }
}
