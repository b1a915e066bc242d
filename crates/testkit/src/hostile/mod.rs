//! Input that somebody edited, cut or made up, by the thousand: a fuzzer for ordinary tests.
//!
//! A [`Campaign`] changes the texts of a corpus at random, from a seed, and gives each to a *target*: a function that reads
//! the input, says what kind of answer came of it, and finds fault with what must not be. An input whose kind of answer is
//! new joins the corpus, so the campaign goes deeper than one change; there is no measurement of coverage. What breaks is cut
//! down to a few bytes and named with the way to get it again.
//!
//! The same targets ([`targets`], and others beside the code that they are about) are run by cargo-fuzz in `fuzz/`, which
//! measures coverage and knows no end.
//!
//! ```
//! use milepost_testkit::hostile::{Campaign, kind_of};
//!
//! // The port of a broker, read with care.
//! let port = |bytes: &[u8]| {
//!     let text = std::str::from_utf8(bytes).map_err(|_| "no UTF-8".to_owned());
//!     match text.and_then(|text| text.parse::<u16>().map_err(|error| error.to_string())) {
//!         Ok(port) if port.to_string().parse() != Ok(port) => Err(format!("{port} does not read back")),
//!         Ok(_) => Ok("a port".to_owned()),
//!         Err(error) => Ok(kind_of(&error)),
//!     }
//! };
//! let report = Campaign::new("port", ["26500", "1"]).run(2_000, port)?;
//! assert!(report.executions >= 2_000 && report.kinds > 3, "{report}");
//! # Ok::<(), milepost_testkit::hostile::Caught>(())
//! ```

mod mutate;
pub mod targets;

use std::collections::BTreeSet;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use milepost_store::env::SeededRandom;

use mutate::Mutator;

/// What a target makes of an input: the kind of its answer, or what must not be.
pub type Verdict = Result<String, String>;

/// Inputs that the corpus may grow to. Beyond it, a new one takes the place of an old one.
const MAX_POOL: usize = 4096;
/// How often a campaign is longer where tests may go on for longer.
const LONG: u64 = 50;
/// Tries to make an input that breaks something smaller.
const MAX_SHRINKS: usize = 2_000;

/// Random changes of a corpus for one target.
#[derive(Debug)]
pub struct Campaign {
    name: &'static str,
    corpus: Vec<Vec<u8>>,
    words: Vec<Vec<u8>>,
    longest: usize,
}

impl Campaign {
    /// A campaign of this name, beginning with these inputs. They should be good ones: most changes of a bad input are
    /// refused for the same reason.
    #[must_use]
    pub fn new(name: &'static str, corpus: impl IntoIterator<Item = impl AsRef<[u8]>>) -> Self {
        let corpus = corpus.into_iter().map(|input| input.as_ref().to_vec()).collect();
        Self { name, corpus, words: Vec::new(), longest: 96 * 1024 }
    }

    /// Words that are put into inputs besides what the corpus holds.
    #[must_use]
    pub fn words(mut self, words: impl IntoIterator<Item = impl AsRef<[u8]>>) -> Self {
        self.words.extend(words.into_iter().map(|word| word.as_ref().to_vec()));
        self
    }

    /// Inputs are at most so many bytes long; 96 KiB by default, which few reach.
    #[must_use]
    pub const fn longest(mut self, bytes: usize) -> Self {
        self.longest = bytes;
        self
    }

    /// Gives the corpus and then `executions` changed inputs to `target`; 50 times as many where `MILEPOST_TEST_LONG` is set.
    /// `MILEPOST_TEST_SEED` begins elsewhere.
    ///
    /// # Errors
    /// The smallest input found that makes `target` panic or find fault.
    pub fn run(self, executions: u64, target: impl Fn(&[u8]) -> Verdict) -> Result<Report, Caught> {
        let seed = std::env::var("MILEPOST_TEST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
        let executions = if crate::fixtures::long() { executions * LONG } else { executions };
        let mut mutator = Mutator::new(SeededRandom::new(seed), self.words, self.longest);
        let judge = |input: &[u8]| judged(&target, input);
        let caught = |input: Vec<u8>, why: String, number: u64| Caught { target: self.name, seed, number, why, input };
        let mut kinds = BTreeSet::new();
        let mut pool = self.corpus;
        for (number, input) in (0..).zip(&pool) {
            match judge(input) {
                Ok(kind) => drop(kinds.insert(kind)),
                Err(why) => return Err(caught(input.clone(), why, number)),
            }
        }
        for number in 0..executions {
            let input = mutator.changed(&pool);
            match judge(&input) {
                Ok(kind) if kinds.contains(&kind) => {}
                Ok(kind) => {
                    kinds.insert(kind);
                    if pool.len() < MAX_POOL {
                        pool.push(input);
                    } else {
                        let at = mutator.below(pool.len());
                        pool[at] = input;
                    }
                }
                Err(why) => {
                    let (input, why) = smaller(input, why, judge);
                    return Err(caught(input, why, number));
                }
            }
        }
        Ok(Report { target: self.name, executions: executions + pool.len() as u64, kinds: kinds.len() })
    }
}

fn judged(target: impl Fn(&[u8]) -> Verdict, input: &[u8]) -> Verdict {
    catch_unwind(AssertUnwindSafe(|| target(input))).unwrap_or_else(|panic| {
        let words =
            panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
        Err(format!("it panics: {}", words.unwrap_or("without words")))
    })
}

/// Leaves out ever smaller pieces as long as it still breaks.
fn smaller(mut input: Vec<u8>, mut why: String, judge: impl Fn(&[u8]) -> Verdict) -> (Vec<u8>, String) {
    let mut piece = input.len() / 2;
    let mut left = MAX_SHRINKS;
    while piece > 0 {
        let mut at = 0;
        while at < input.len() && left > 0 {
            left -= 1;
            let end = (at + piece).min(input.len());
            let without = [&input[..at], &input[end..]].concat();
            match judge(&without) {
                Err(still) => (input, why) = (without, still),
                Ok(_) => at = end,
            }
        }
        piece /= 2;
    }
    (input, why)
}

/// What a campaign came to, as in `status: 20012 executions, 141 kinds of answers`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The campaign.
    pub target: &'static str,
    /// How often the target was called.
    pub executions: u64,
    /// How many kinds of answers there were.
    pub kinds: usize,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} executions, {} kinds of answers", self.target, self.executions, self.kinds)
    }
}

/// An input that makes a target panic or find fault. `Display` and `Debug` show it as a literal.
#[derive(Clone, PartialEq, Eq)]
pub struct Caught {
    /// The campaign.
    pub target: &'static str,
    /// Its seed.
    pub seed: u64,
    /// How many inputs came before.
    pub number: u64,
    /// What was broken.
    pub why: String,
    /// The input, as small as it could be made.
    pub input: Vec<u8>,
}

impl fmt::Display for Caught {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { target, seed, number, why, input } = self;
        write!(
            f,
            "{target}: {why}\n{} bytes: b\"{}\"\ninput {number} of MILEPOST_TEST_SEED={seed}",
            input.len(),
            input.escape_ascii()
        )
    }
}

// Tests unwrap the result and show this; the derived form would be a list of numbers.
impl fmt::Debug for Caught {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Caught {}

/// The kind of an answer: its words without what is quoted from the input and without numbers, cut to 120 bytes.
#[must_use]
pub fn kind_of(words: &str) -> String {
    let mut kind = String::new();
    for (nth, piece) in words.split(['`', '"']).enumerate() {
        if nth % 2 == 0 {
            kind.extend(piece.chars().filter(|c| !c.is_ascii_digit()));
        }
        if kind.len() > 120 {
            break;
        }
    }
    milepost_core::document::cut(&kind, 120)
}

/// Words about hostile input that people are shown: short, on one line, without control characters.
///
/// # Errors
/// What is wrong with them.
pub fn fit_to_show(words: &str, limit: usize) -> Result<(), String> {
    if words.len() > limit {
        return Err(format!("{} bytes of words, more than {limit}: {words:?}", words.len()));
    }
    if words.chars().any(char::is_control) {
        return Err(format!("words with control characters: {words:?}"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A reader that goes wrong only behind two changes of a good input, the first of which shows as another answer.
    fn careless(bytes: &[u8]) -> Verdict {
        let text = String::from_utf8_lossy(bytes).into_owned();
        let Some((key, value)) = text.split_once('=') else { return Ok("no pair".to_owned()) };
        match (key, value.len()) {
            ("size", 0) => panic!("an empty size"),
            ("size", _) => Ok("a size".to_owned()),
            ("name", _) => Ok("a name".to_owned()),
            _ => Ok("another key".to_owned()),
        }
    }

    #[test]
    fn a_defect_is_found_cut_down_and_found_again_by_its_seed() {
        let campaign = || Campaign::new("careless", ["name=broker-1"]).words(["size", "length"]);
        let caught = campaign().run(20_000, careless).unwrap_err();
        assert_eq!(caught.input, b"size=", "{caught}");
        assert!(caught.why.contains("an empty size") && caught.to_string().contains("b\"size=\""), "{caught}");
        assert_eq!(campaign().run(20_000, careless), Err(caught), "the same seed finds the same");
    }

    #[test]
    fn fault_that_is_found_counts_like_a_panic() {
        let long = |bytes: &[u8]| if bytes.len() > 40 { Err("too long".to_owned()) } else { Ok(String::new()) };
        let caught = Campaign::new("long", ["abc"]).run(20_000, long).unwrap_err();
        assert_eq!((caught.input.len(), caught.why.as_str()), (41, "too long"));
        let report = Campaign::new("short", ["abc"]).longest(40).run(5_000, long).unwrap();
        assert_eq!(report.kinds, 1);
    }

    #[test]
    fn a_kind_is_neither_what_was_quoted_nor_a_number() {
        assert_eq!(kind_of("duplicate key `a` at line 12"), kind_of("duplicate key `bb` at line 7"));
        assert!(kind_of(&"x".repeat(1000)).len() <= 120);
        assert!(fit_to_show("a\nb", 10).is_err() && fit_to_show("abc", 2).is_err() && fit_to_show("abc", 3).is_ok());
    }
}
