//! Reading JSON that anyone may have edited: cap, version and duplicate keys first, the document itself last.

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::HashSet;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{DeserializeOwned, DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::{DocumentError, FORMAT_VERSION};
use crate::ids::shown;

/// The most keys of objects that lie inside each other. The search for duplicates holds these keys all at once: a hostile
/// 64 MiB of nothing but keys would take a GiB.
const MAX_HELD_KEYS: usize = 1 << 19;

/// What every version of every document says, whatever else it may hold, and in whatever shape.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope {
    format_version: u64,
}

/// What every document of version 1 may say. The first word is enough to refuse a document by name.
#[derive(Deserialize)]
struct Requirements {
    #[serde(default, deserialize_with = "first")]
    requires: Option<String>,
}

/// Reads a document of at most `limit` bytes.
pub(super) fn parse<T: DeserializeOwned>(bytes: &[u8], limit: u64) -> Result<T, DocumentError> {
    if bytes.len() as u64 > limit {
        return Err(DocumentError::TooLarge { size: bytes.len() as u64, limit });
    }
    let syntax = |error: serde_json::Error| DocumentError::Syntax(shown_error(&error));
    // serde keeps the last of two equal keys of a map and ignores repeated unknown ones: readers that keep the first
    // would see another document.
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    NoDuplicateKeys { held: &Cell::new(0) }.deserialize(&mut reader).and_then(|()| reader.end()).map_err(syntax)?;
    // The version is judged before the body: a newer body need not fit today's types.
    let envelope: Envelope = serde_json::from_slice(bytes).map_err(syntax)?;
    match envelope.format_version {
        FORMAT_VERSION => {}
        0 => return Err(DocumentError::invalid("has format version 0, which never existed")),
        found => return Err(DocumentError::NewerVersion { found }),
    }
    let requirements: Requirements = serde_json::from_slice(bytes).map_err(syntax)?;
    if let Some(word) = requirements.requires {
        return Err(DocumentError::UnknownRequirement(shown(&word)));
    }
    serde_json::from_slice(bytes).map_err(syntax)
}

/// Writes a document: pretty-printed, with a newline at the end.
pub(super) fn encode<T: Serialize>(document: &T, limit: u64) -> Result<Vec<u8>, DocumentError> {
    let mut bytes = serde_json::to_vec_pretty(document).map_err(|error| DocumentError::Syntax(shown_error(&error)))?;
    bytes.push(b'\n');
    if bytes.len() as u64 > limit {
        return Err(DocumentError::TooLarge { size: bytes.len() as u64, limit });
    }
    Ok(bytes)
}

/// serde quotes unknown variants whole; a hostile document could fill the terminal with them.
fn shown_error(error: &serde_json::Error) -> String {
    super::cut(&error.to_string().chars().take(301).flat_map(char::escape_debug).collect::<String>(), 300)
}

/// A list's first item; the others are read but not kept.
fn first<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    struct First;
    impl<'de> Visitor<'de> for First {
        type Value = Option<String>;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list of words")
        }
        fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
            let first = items.next_element()?;
            while items.next_element::<IgnoredAny>()?.is_some() {}
            Ok(first)
        }
    }
    deserializer.deserialize_seq(First)
}

/// A list of at most `MAX` items: the one more is refused when it is met, not when millions of them are in memory.
pub(super) fn at_most<'de, const MAX: usize, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    struct AtMost<const MAX: usize, T>(PhantomData<T>);
    impl<'de, const MAX: usize, T: Deserialize<'de>> Visitor<'de> for AtMost<MAX, T> {
        type Value = Vec<T>;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "a list of at most {MAX} entries")
        }
        fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Vec<T>, A::Error> {
            let mut list = Vec::new();
            while let Some(item) = items.next_element()? {
                if list.len() == MAX {
                    return Err(A::Error::custom(format_args!("a list of more than {MAX} entries")));
                }
                list.push(item);
            }
            Ok(list)
        }
    }
    deserializer.deserialize_seq(AtMost::<MAX, T>(PhantomData))
}

#[derive(Clone, Copy)]
struct NoDuplicateKeys<'a> {
    /// How many keys are held at this moment, in this object and those around it.
    held: &'a Cell<usize>,
}

/// A key, borrowed from the document unless it has escapes.
#[derive(Deserialize, PartialEq, Eq, Hash)]
#[serde(transparent)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de> DeserializeSeed<'de> for NoDuplicateKeys<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for NoDuplicateKeys<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON without duplicate keys")
    }
    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }
    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }
    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }
    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }
    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }
    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element_seed(self)?.is_some() {}
        Ok(())
    }
    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        let mut keys = HashSet::new();
        while let Some(key) = entries.next_key::<Key<'de>>()? {
            if let Some(Key(key)) = keys.replace(key) {
                return Err(A::Error::custom(format_args!("duplicate key `{}`", shown(&key))));
            }
            self.held.set(self.held.get() + 1);
            if self.held.get() > MAX_HELD_KEYS {
                return Err(A::Error::custom("too many keys"));
            }
            entries.next_value_seed(self)?;
        }
        self.held.set(self.held.get().saturating_sub(keys.len()));
        Ok(())
    }
}

/// A `u64` as a canonical decimal string: `jq` and JavaScript round larger numbers than 2^53.
pub(super) mod decimal {
    use super::{Deserialize, Deserializer};
    use serde::{Serializer, de::Error as _};

    pub(crate) fn serialize<S: Serializer>(value: &u64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }
    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
        let text = String::deserialize(deserializer)?;
        crate::ids::canonical_decimal("value", &text, u64::MAX).map_err(D::Error::custom)
    }

    /// The same for a value that may be unknown.
    pub(crate) mod option {
        use super::{Deserialize, Deserializer, Serializer};
        use serde::de::Error as _;

        #[expect(clippy::ref_option, reason = "serde's signature")]
        pub(crate) fn serialize<S: Serializer>(value: &Option<u64>, serializer: S) -> Result<S::Ok, S::Error> {
            match value {
                Some(value) => serializer.collect_str(value),
                None => serializer.serialize_none(),
            }
        }
        pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
            Option::<String>::deserialize(deserializer)?
                .map(|text| crate::ids::canonical_decimal("value", &text, u64::MAX).map_err(D::Error::custom))
                .transpose()
        }
    }
}
