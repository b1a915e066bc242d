//! From a URL to a store.

use std::path::PathBuf;
use std::sync::Arc;

use milepost_core::Layout;
use milepost_store::{
    BackupStore, BucketBackupStore, DirectoryBucket, Env, MemoryBucket, Operation, Result, StoreAdmin, StoreSettings,
};

use crate::system;
use crate::url::StoreUrl;

/// Everything that a store is opened with, besides its URL.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Settings {
    /// The settings that all stores share. The default keeps no resume journal; [`system::journal_dir`] is a good place.
    pub store: StoreSettings,
    /// What only an S3 store needs. Bucket and base path are the URL's, and its endpoint, region and path style win over these.
    #[cfg(feature = "s3")]
    pub s3: milepost_s3::S3Settings,
}

impl From<StoreSettings> for Settings {
    fn from(store: StoreSettings) -> Self {
        Self { store, ..Self::default() }
    }
}

/// Opens the store that `url` names, for a broker: a path, `file:///dir`, `s3://bucket/base`, `memory:` (see [`StoreUrl`]).
///
/// Time, randomness and the host's name are this machine's. A memory store is new and empty with every call. Nothing is asked
/// of an object store yet, so this works outside a runtime too: the first call connects, and tells within 10 s where the
/// bucket does not exist (InvalidInput), refuses (Denied) or does not answer (Unavailable). The next call then tries again.
///
/// # Errors
/// InvalidInput for a URL or a setting that is unusable; Unavailable or Denied where a directory cannot be used.
pub fn open(url: &str, settings: Settings) -> Result<Arc<dyn BackupStore>> {
    Ok(open_admin(url, settings)?)
}

/// Opens the store that `url` names, for an operator: with `init`, `probe` and the like.
///
/// # Errors
/// As [`open`].
pub fn open_admin(url: &str, settings: Settings) -> Result<Arc<dyn StoreAdmin>> {
    let env = system::env().map_err(|error| error.during(Operation::Open))?;
    open_with(&url.parse()?, settings, env)
}

/// Opens a store with a given clock, random bits, host name and process id.
///
/// # Errors
/// As [`open`].
pub fn open_with(url: &StoreUrl, settings: Settings, env: Env) -> Result<Arc<dyn StoreAdmin>> {
    let opened = settings.store.check().and_then(|()| match url {
        StoreUrl::Directory(root) => directory(root.clone(), settings.store, env),
        StoreUrl::Memory { name } => memory(name, settings.store, env),
        #[cfg(feature = "s3")]
        StoreUrl::S3 { bucket, base, endpoint, region, path_style } => {
            let location = milepost_s3::S3Location {
                bucket: bucket.clone(),
                base_path: base.clone(),
                endpoint: endpoint.clone(),
                region: region.clone(),
                path_style: *path_style,
            };
            Ok(Arc::new(crate::s3::LazyS3::new(location, settings.s3, settings.store, env)?) as Arc<dyn StoreAdmin>)
        }
        #[cfg(not(feature = "s3"))]
        StoreUrl::S3 { .. } => {
            Err(milepost_store::Error::invalid_input("s3:// comes with the S3 backend, which this build is without")
                .with_hint("build with the feature `s3`, or use a path, file:///dir or memory:"))
        }
    });
    opened.map_err(|error| error.during(Operation::Open))
}

fn directory(root: PathBuf, settings: StoreSettings, env: Env) -> Result<Arc<dyn StoreAdmin>> {
    let bucket = DirectoryBucket::open(root, env.clone())?;
    Ok(Arc::new(BucketBackupStore::new(bucket, Layout::default(), settings, env)?))
}

fn memory(name: &str, settings: StoreSettings, env: Env) -> Result<Arc<dyn StoreAdmin>> {
    let bucket = MemoryBucket::new(name);
    Ok(Arc::new(BucketBackupStore::new(bucket, Layout::default(), settings, env)?))
}

#[cfg(test)]
mod tests {
    use milepost_store::ErrorKind;

    use super::*;

    #[test]
    fn settings_are_checked_before_anything_is_touched() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("store");
        let mut settings = Settings::default();
        settings.store.part_size = 1;
        let error = open(root.to_str().unwrap(), settings).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::InvalidInput), "{error:?}");
        assert!(error.to_string().contains("part_size"), "{error}");
        assert!(!root.exists());
    }

    #[cfg(not(feature = "s3"))]
    #[test]
    fn s3_says_that_it_is_left_out() {
        let error = open_admin("s3://bucket/base?region=eu-central-1", Settings::default()).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::InvalidInput), "{error:?}");
        assert!(error.to_string().contains("S3 backend"), "{error}");
    }

    #[cfg(feature = "s3")]
    mod s3 {
        use futures::StreamExt as _;
        use milepost_store::{ListQuery, OpContext};

        use super::*;

        /// Nobody listens on port 1.
        const DEAD: &str = "s3://bucket/base?endpoint=http://127.0.0.1:1&region=eu-central-1";

        fn settings() -> Settings {
            let mut settings = Settings::default();
            settings.s3.access_key_id = Some("key".into());
            settings.s3.secret_access_key = Some("hunter2secret".into());
            settings
        }

        #[test]
        fn it_opens_without_a_runtime_and_checks_its_settings() {
            let store = open(DEAD, settings()).unwrap();
            assert!(!format!("{store:?} {:?}", settings()).contains("hunter2"));
            let error = open("s3://Bucket_", settings()).unwrap_err();
            assert!(matches!(error.kind(), ErrorKind::InvalidInput) && error.message().contains("bucket"), "{error:?}");
            let mut wrong = settings();
            wrong.s3.secret_access_key = None;
            let error = open(DEAD, wrong).unwrap_err();
            assert!(error.message().contains("only go together"), "{error:?}");
        }

        #[tokio::test]
        async fn the_first_call_tells_that_nobody_is_there_and_so_does_the_next() {
            let store = open(DEAD, settings()).unwrap();
            for _ in 0..2 {
                let error = store.status(milepost_core::BackupId::new(1, 1, 1), &OpContext::new()).await.unwrap_err();
                assert!(matches!(error.kind(), ErrorKind::Unavailable), "{error:?}");
                assert_eq!(error.operation(), Some(Operation::Open));
            }
            let listed: Vec<_> = store.list(ListQuery::default(), OpContext::new()).collect().await;
            assert!(matches!(listed.as_slice(), [Err(error)] if matches!(error.kind(), ErrorKind::Unavailable)));
            let cancelled = OpContext::new();
            cancelled.cancel();
            let error = store.status(milepost_core::BackupId::new(1, 1, 1), &cancelled).await.unwrap_err();
            assert!(matches!(error.kind(), ErrorKind::Cancelled), "{error:?}");
        }
    }
}
