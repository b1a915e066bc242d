//! What the sink has seen.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Requests by kind, and bytes, since the start or the last reset.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Requests by the name that S3's reference gives the operation.
    pub requests: BTreeMap<String, u64>,
    /// Bytes of bodies that came in, with the frames of chunked ones.
    pub body_in: u64,
    /// Bytes of request lines and headers that came in.
    pub head_in: u64,
    /// Bytes of bodies that went out.
    pub body_out: u64,
}

impl Counts {
    /// All requests together.
    #[must_use]
    pub fn all(&self) -> u64 {
        self.requests.values().sum()
    }
}
