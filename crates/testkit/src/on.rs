//! Which calls a script means: one description for the faulty bucket and the fake server.

/// Describes calls: kind, key, and which of those that match. `K` is the kind of a call: of the port
/// ([`CallKind`](crate::faulty::CallKind)), or an operation of the S3 protocol.
#[derive(Debug, Clone)]
pub struct On<K> {
    kind: Option<K>,
    key: Option<(bool, String)>,
    first: u64,
    times: u64,
}

impl<K: PartialEq> On<K> {
    /// The first call, whatever it is.
    #[must_use]
    pub fn any() -> Self {
        Self { kind: None, key: None, first: 1, times: 1 }
    }

    /// The first call of this kind.
    #[must_use]
    pub(crate) fn kind(kind: K) -> Self {
        Self { kind: Some(kind), ..Self::any() }
    }

    /// Only calls whose key (of a listing: prefix) ends in `text`.
    #[must_use]
    pub fn key_ending(mut self, text: impl Into<String>) -> Self {
        self.key = Some((true, text.into()));
        self
    }

    /// Only calls whose key (of a listing: prefix) contains `text`.
    #[must_use]
    pub fn key_containing(mut self, text: impl Into<String>) -> Self {
        self.key = Some((false, text.into()));
        self
    }

    /// Not the first that matches but the `n`-th (from 1).
    #[must_use]
    pub fn nth(mut self, n: u64) -> Self {
        self.first = n.max(1);
        self
    }

    /// Not one call but `times` in a row.
    #[must_use]
    pub fn times(mut self, times: u64) -> Self {
        self.times = times;
        self
    }

    /// This one and every later one.
    #[must_use]
    pub fn always(self) -> Self {
        self.times(u64::MAX)
    }

    fn describes(&self, kind: &K, key: &str) -> bool {
        self.kind.as_ref().is_none_or(|wanted| wanted == kind)
            && self.key.as_ref().is_none_or(|(end, text)| if *end { key.ends_with(text) } else { key.contains(text) })
    }
}

/// An [`On`] that counts what it matched.
#[derive(Debug)]
pub(crate) struct Counted<K> {
    on: On<K>,
    matched: u64,
}

impl<K: PartialEq> Counted<K> {
    pub(crate) fn new(on: On<K>) -> Self {
        Self { on, matched: 0 }
    }

    /// Takes note of a call; is it one of those meant?
    pub(crate) fn meets(&mut self, kind: &K, key: &str) -> bool {
        if !self.on.describes(kind, key) {
            return false;
        }
        self.matched += 1;
        self.matched >= self.on.first && self.matched - self.on.first < self.on.times
    }
}
