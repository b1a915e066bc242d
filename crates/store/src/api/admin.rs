//! What an operator does to a base.

use std::time::Duration;

use milepost_core::{ClusterId, PartitionId};

/// How to make a base.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct InitOptions {
    /// Take the cluster id that all readable statuses carry.
    pub adopt: bool,
    /// The cluster id to use, or to choose between several. Default: the settings' one, else drawn.
    pub cluster_id: Option<ClusterId>,
    /// The lowest partition id. Default: the settings' one.
    pub first_partition: Option<PartitionId>,
}

/// One promise that a store must keep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeCheck {
    /// Its name, stable, as in `racing-creates`.
    pub name: &'static str,
    /// What went wrong; `None` where it held.
    pub failure: Option<String>,
    /// Can Milepost do without it? Then a failure is a warning.
    pub required: bool,
}

/// What a probe found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeReport {
    /// The store, without secrets.
    pub location: String,
    /// Every check.
    pub checks: Vec<ProbeCheck>,
}

impl ProbeReport {
    /// Did every required check hold?
    #[must_use]
    pub fn fit(&self) -> bool {
        self.checks.iter().all(|check| !check.required || check.failure.is_none())
    }
}

/// An open multipart upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadInfo {
    /// The key that it is for.
    pub key: String,
    /// Its id.
    pub upload: String,
    /// How long ago it was begun, by the store's clock.
    pub age: Option<Duration>,
}
