//! May this store be written to? By a probe's kept result, else by a probe.
//!
//! The result is kept in `_milepost/probe/result-….json`, one for each location: nodes may reach one store by several
//! endpoints, and each would overwrite the others'. It is bound to its location by what stands in it. A store that failed is
//! not judged by its result: it may have been mended.

use bytes::Bytes;
use milepost_core::document::MAX_SMALL_DOCUMENT_BYTES;
use milepost_core::{Crc64Nvme, FileName, ObjectKey, ProbeDocument, ProbedCheck};

use super::Engine;
use super::documents::Fetched;
use super::probe::REQUIRED;
use crate::api::ProbeReport;
use crate::bucket::{Bucket, BucketErrorKind, PutMode};
use crate::context::OpContext;
use crate::error::{Error, ErrorKind, Result};

impl<B: Bucket> Engine<B> {
    /// Before the first write of this store's handle, where the bucket is not part of Milepost. `known`: the base stands
    /// already, so somebody with the permission to probe has made it.
    ///
    /// # Errors
    /// Refused for a store that fails; what the bucket says where it cannot be asked.
    pub(super) async fn ensure_fit(&self, known: bool, cx: &OpContext) -> Result<()> {
        if !self.bucket.needs_probe() {
            return Ok(());
        }
        let look = || async {
            if let Some(kept) = self.kept_result(cx).await? {
                if kept.held(&REQUIRED) {
                    return Ok(());
                }
                if self.settings.single_writer {
                    tracing::warn!(store = %kept.location, probed = %kept.probed_at, "unfit by its last probe; going on in single-writer mode");
                    return Ok(());
                }
            }
            match self.require_fit(cx).await {
                Err(error) if known && matches!(error.kind(), ErrorKind::Denied) => {
                    tracing::warn!("the store could not be tried out, which whoever made the base has done: {error}");
                    Ok(())
                }
                outcome => outcome,
            }
        };
        // Of several first writes one looks. A failure is not remembered.
        self.fit.get_or_try_init(look).await.map(drop)
    }

    /// Probes, keeps the result, and refuses a store that fails by the name of the check.
    ///
    /// # Errors
    /// Refused for a store that fails, but in single-writer mode; what the bucket says where it cannot be asked.
    pub(super) async fn require_fit(&self, cx: &OpContext) -> Result<()> {
        let report = self.probe(cx).await?;
        let failures: Vec<String> = report
            .checks
            .iter()
            .filter(|check| check.required)
            .filter_map(|check| check.failure.as_ref().map(|failure| format!("{}: {failure}", check.name)))
            .collect();
        if failures.is_empty() {
            return Ok(());
        }
        let message = format!("{} does not keep what backups need: {}", report.location, failures.join("; "));
        if self.settings.single_writer {
            tracing::warn!("{message}; going on in single-writer mode");
            return Ok(());
        }
        Err(Error::new(ErrorKind::Refused, message).with_hint(
            "use another store; or, where only one process ever writes a backup, declare --single-writer and lose all promises about races",
        ))
    }

    fn result_key(&self) -> Result<ObjectKey> {
        let hash = milepost_core::checksum::sha256_hex(self.bucket.location().as_bytes());
        let name = FileName::new(format!("result-{}.json", &hash[..16]))
            .map_err(|error| Error::invalid_input(error.to_string()))?;
        Ok(self.layout.probe(&name))
    }

    /// The kept result of this very location. `None` also for one that cannot be read: it spares a probe, and no more.
    async fn kept_result(&self, cx: &OpContext) -> Result<Option<ProbeDocument>> {
        let key = self.result_key()?;
        let unusable = |why: &dyn std::fmt::Display| {
            tracing::warn!("the probe's result {key} is of no use, so the store is tried out again: {why}");
            Ok(None)
        };
        let bytes = match self.fetch_document(&key, MAX_SMALL_DOCUMENT_BYTES, cx).await {
            Ok(Fetched::Bytes { bytes, .. }) => bytes,
            Ok(Fetched::Absent) => return Ok(None),
            Ok(Fetched::TooLarge { size, .. }) => return unusable(&format_args!("it has {size} bytes")),
            // A role that may not look here, or an absent key that reads as denied.
            Err(error) if matches!(error.kind(), ErrorKind::Denied) => return Ok(None),
            Err(error) => return Err(error),
        };
        match ProbeDocument::parse(&bytes) {
            Ok(document) if document.is_of(&self.bucket.location()) => Ok(Some(document)),
            Ok(_) => unusable(&"it is of another store"),
            Err(error) => unusable(&error),
        }
    }

    /// Keeps a result, in place of whatever is there. Where that fails, the next process tries the store out once more.
    pub(super) async fn keep_result(&self, report: &ProbeReport, cx: &OpContext) -> Result<()> {
        let check = |check: &crate::api::ProbeCheck| ProbedCheck {
            name: check.name.to_owned(),
            required: check.required,
            failure: check.failure.clone(),
        };
        let checks = report.checks.iter().map(check).collect();
        let now = self.env.clock.now();
        let document = ProbeDocument::new(&report.location, env!("CARGO_PKG_VERSION"), now, checks);
        let bytes = Bytes::from(document.encode().map_err(|error| Error::invalid_input(error.to_string()))?);
        let (key, crc) = (self.result_key()?, Crc64Nvme::of(&bytes));
        let put = || self.bucket.put(&key, bytes.clone(), crc, PutMode::Overwrite);
        if let Err(error) = self.ask(cx, put).await? {
            let denied = if error.kind == BucketErrorKind::Denied { ", which this role may not write" } else { "" };
            tracing::warn!("the probe's result is not kept in {key}{denied}: {error}");
        }
        Ok(())
    }
}
