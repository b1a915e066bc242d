//! How servers differ.

use std::time::Duration;

/// What this server does otherwise than Amazon's. The defaults are Amazon's ways.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Quirks {
    /// If-None-Match of a PutObject is ignored: the put overwrites.
    pub ignore_create: bool,
    /// If-Match of a PutObject is ignored: the put overwrites, or creates.
    pub ignore_replace: bool,
    /// If-None-Match of a CompleteMultipartUpload is ignored: the completion overwrites.
    pub ignore_complete: bool,
    /// If-Match on an absent key answers 412, not 404.
    pub absent_is_412: bool,
    /// No checksum is verified, kept or told.
    pub no_checksums: bool,
    /// ListMultipartUploads answers only for a prefix that is a whole key, as MinIO.
    pub uploads_by_exact_key: bool,
    /// With so many requests under way, any further one is answered with 503 SlowDown and has no effect.
    pub max_concurrent: Option<usize>,
    /// Last-Modified is so much earlier than it was: makes objects old without waiting.
    pub older_by: Duration,
}

impl Quirks {
    /// A server that ignores every condition on writes.
    #[must_use]
    pub fn ignoring_conditions() -> Self {
        Self { ignore_create: true, ignore_replace: true, ignore_complete: true, ..Self::default() }
    }
}
