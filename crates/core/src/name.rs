//! File names that are safe on every store and file system.
//!
//! Names come from brokers and, worse, from documents in a bucket that anyone may have edited. A [`FileName`] that exists
//! has passed all checks, so the rest of the code may join it to a path or a key without looking again.

use std::borrow::Borrow;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};
use thiserror::Error;
use unicode_normalization::UnicodeNormalization;

use crate::ids::shown;

/// The longest component of a name, in bytes.
pub const MAX_COMPONENT_BYTES: usize = 200;
/// The longest name, in bytes.
pub const MAX_NAME_BYTES: usize = 700;

/// Why a name or a set of names is refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum NameError {
    /// The name itself is not safe.
    #[error("file name `{name}`: {problem}")]
    Unsafe {
        /// The name, cut and with control characters escaped.
        name: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// Two names differ only in case or Unicode form; some file systems would keep one of them.
    #[error("file names `{first}` and `{second}` differ only in case or Unicode form")]
    Twins {
        /// One of the two.
        first: String,
        /// The other.
        second: String,
    },
    /// One name is a parent folder of another; some stores cannot hold both `a` and `a/b`.
    #[error("file name `{parent}` is a parent folder of `{child}`")]
    ParentOfAnother {
        /// The name that is also a folder.
        parent: String,
        /// The name inside that folder.
        child: String,
    },
}

/// Which of a backup's two file sets a file belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FileSetKind {
    /// Immutable files: a change while one is read is an error.
    Snapshots,
    /// Append-only log files: one that grows is saved at the length fixed at the start.
    Segments,
}

impl FileSetKind {
    /// Both sets, in the order in which documents and reports name them.
    pub const ALL: [Self; 2] = [Self::Snapshots, Self::Segments];

    /// The folder of the set, below the backup's prefix and below a restore target.
    #[must_use]
    pub const fn folder(self) -> &'static str {
        match self {
            Self::Snapshots => "snapshots",
            Self::Segments => "segments",
        }
    }
}

impl fmt::Display for FileSetKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.folder())
    }
}

/// A relative path of safe components, as in `000001.sst` or `column-1/000001.sst`.
///
/// No empty, `.` or `..` component, no backslash, no control character, at most [`MAX_COMPONENT_BYTES`] a component and
/// [`MAX_NAME_BYTES`] in all.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct FileName(String);

impl FileName {
    /// Checks a name.
    ///
    /// # Errors
    /// [`NameError::Unsafe`] says which rule the name breaks.
    pub fn new(name: impl Into<String>) -> Result<Self, NameError> {
        let name = name.into();
        match Self::problem(&name) {
            Some(problem) => Err(NameError::Unsafe { name: shown(&name), problem }),
            None => Ok(Self(name)),
        }
    }

    fn problem(name: &str) -> Option<&'static str> {
        if name.is_empty() {
            return Some("is empty");
        }
        if name.len() > MAX_NAME_BYTES {
            return Some("is longer than 700 bytes");
        }
        if name.chars().any(char::is_control) {
            return Some("holds a control character");
        }
        if name.contains('\\') {
            return Some("holds a backslash");
        }
        for component in name.split('/') {
            match component {
                "" => return Some("holds an empty component (a leading, trailing or double slash)"),
                "." | ".." => return Some("holds a `.` or `..` component"),
                long if long.len() > MAX_COMPONENT_BYTES => return Some("holds a component longer than 200 bytes"),
                _ => {}
            }
        }
        None
    }

    /// The name as text, with `/` between components.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The components, at least one; the last is the file's own name.
    pub fn components(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.split('/')
    }

    /// The form under which case-insensitive and normalising file systems compare names.
    fn folded(&self) -> String {
        // Fold between two normalisations: folding can change the form (U+1E9E), and decomposing first makes `É` fold as `E`+accent.
        let decomposed: String = self.0.nfd().collect();
        unicase::UniCase::unicode(decomposed).to_folded_case().nfc().collect()
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
impl fmt::Debug for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}
impl Borrow<str> for FileName {
    fn borrow(&self) -> &str {
        &self.0
    }
}
impl std::str::FromStr for FileName {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        Self::new(text)
    }
}
impl<'de> Deserialize<'de> for FileName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// Checks that the names of one file set can live side by side on every store and file system.
///
/// # Errors
/// [`NameError::Twins`] for two names that are equal after case folding and normalisation (equal names too),
/// [`NameError::ParentOfAnother`] where one is a folder of another.
pub fn check_set<'a>(names: impl IntoIterator<Item = &'a FileName>) -> Result<(), NameError> {
    // Sorted with the slash below every other character (no name holds a NUL), a folder's children stand right behind the
    // name of the folder: looking at neighbours is enough, however deep hostile names are. Folders are compared folded as
    // well: `A` beside `a/b` cannot live on a case-insensitive file system.
    let mut folded: Vec<(String, &FileName)> =
        names.into_iter().map(|name| (name.folded().replace('/', "\0"), name)).collect();
    folded.sort();
    for pair in folded.windows(2) {
        let [(first_fold, first), (second_fold, second)] = pair else { continue };
        match second_fold.strip_prefix(first_fold.as_str()) {
            Some("") => return Err(NameError::Twins { first: first.to_string(), second: second.to_string() }),
            Some(rest) if rest.starts_with('\0') => {
                return Err(NameError::ParentOfAnother { parent: first.to_string(), child: second.to_string() });
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn names(list: &[&str]) -> Vec<FileName> {
        list.iter().map(|name| FileName::new(*name).unwrap()).collect()
    }

    #[test]
    fn unsafe_names_are_refused() {
        let long_component = "x".repeat(201);
        let long_name = vec!["x".repeat(100); 8].join("/");
        for name in [
            "",
            "/",
            "/a",
            "a/",
            "a//b",
            ".",
            "..",
            "a/..",
            "../a",
            "a/./b",
            "a\\b",
            "a\0b",
            "a\nb",
            "a\u{7f}",
            "a\u{85}",
            &long_component,
            &long_name,
        ] {
            assert!(FileName::new(name).is_err(), "{name:?}");
            assert!(serde_json::from_value::<FileName>(name.into()).is_err());
        }
    }

    #[test]
    fn ordinary_names_pass() {
        for name in ["a", "a/b/c", "...", ".hidden", "a b", "é", "con", "000001.sst", "a:b", &"x".repeat(200)] {
            assert_eq!(FileName::new(name).unwrap().as_str(), name);
        }
    }

    #[test]
    fn twins_and_parents_are_refused() {
        for set in [
            &["a", "A"][..],
            &["é", "e\u{301}"],
            &["É", "e\u{301}"],
            &["straße", "STRASSE"],
            &["a/b", "A/b"],
            &["x", "x"],
            &["ς", "σ"],
        ] {
            assert!(matches!(check_set(&names(set)), Err(NameError::Twins { .. })), "{set:?}");
        }
        for set in [
            &["a", "a/b"][..],
            &["a/b/c", "a"],
            &["A", "a/b"],
            &["a/b", "a/b/c/d"],
            // These sort between a folder's name and what it holds.
            &["a", "a!", "a b", "a-c", "a.d", "a/b"],
        ] {
            assert!(matches!(check_set(&names(set)), Err(NameError::ParentOfAnother { .. })), "{set:?}");
        }
        assert_eq!(check_set(&names(&["a", "ab", "a.b/c", "b/a", "a-/x"])), Ok(()));
    }

    proptest! {
        #[test]
        fn sets_are_judged_as_all_pairs_are(list in proptest::collection::vec("[aAbB!\u{301}eÉ/]{1,6}", 0..6)) {
            let names: Vec<FileName> = list.into_iter().filter_map(|name| FileName::new(name).ok()).collect();
            let pairs = || names.iter().enumerate().flat_map(|(at, a)| {
                names.iter().enumerate().filter(move |(other, _)| *other != at).map(move |(_, b)| (a.folded(), b.folded()))
            });
            let fine = pairs().all(|(a, b)| a != b && !b.starts_with(&format!("{a}/")));
            prop_assert_eq!(check_set(&names).is_ok(), fine, "{:?}", names);
        }

        #[test]
        fn a_joined_name_never_leaves_its_root(text in "\\PC{0,40}|[./\\\\a]{0,12}") {
            if let Ok(name) = FileName::new(text) {
                let joined = std::path::Path::new("/root").join(name.as_str());
                prop_assert!(joined.starts_with("/root"));
                prop_assert!(joined.components().all(|c| !matches!(c, std::path::Component::ParentDir)));
            }
        }
    }
}
