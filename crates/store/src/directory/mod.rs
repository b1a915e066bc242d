//! The directory bucket, the embedded default: one file per key below a root folder, so that `ls` shows the layout.
//!
//! ```text
//! <root>/1/100/2/status.json            an object; its key is its path
//! <root>/.milepost/tmp/<random>         on its way in or out; swept an hour after a crash
//! <root>/.milepost/locks/<00..ff>       locks by a hash of the key; never removed
//! <root>/.milepost/uploads/<id>/        an open multipart upload: upload.json, data, parts
//! ```
//!
//! **Writing.** Bytes go into a temp file, which is synced before it gets its key: by `link`, which fails where the key
//! exists, or by `rename` under the key's lock, over the very content that was compared. Then the folder is synced, and only
//! then the write is acknowledged. A crash leaves the old content or the new one, and perhaps a temp file.
//!
//! **Deleting** takes the key's lock too, so a replace never brings back what was deleted. Folders that became empty are
//! removed; a writer whose folder vanishes makes it again.
//!
//! **Reading** opens a file once; nobody ever writes into a published file, so what an open reader sees does not change.
//!
//! No link is followed below the root, and what is not a regular file with a UTF-8 name is never listed. Where the file
//! system is shared by machines, it must give `flock`, `link` and `rename` their meaning between them (NFS 4 does; SMB and
//! most FUSE mounts do not): the probe tells.
//!
//! | module | holds |
//! |---|---|
//! | `own` | the folder `.milepost`: temp files, uploads, the store's clock |
//! | `place` | a key's way through the folders |
//! | `lock` | locks between threads and processes |
//! | `etag` | what a content is known by |
//! | `write`, `read`, `list`, `delete` | the requests |
//! | `upload`, `complete`, `slots` | multipart |
//! | `syncs` | syncs of folders, shared by those who ask at once |
//! | `fault` | what a failed system call means |

mod complete;
mod delete;
mod etag;
mod fault;
mod list;
mod lock;
mod own;
mod place;
mod read;
mod slots;
mod syncs;
mod upload;
mod write;

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use milepost_core::{Crc64Nvme, ObjectKey, Timestamp};

use crate::bucket::{
    Bucket, BucketError, BucketErrorKind, DeleteOutcome, ETag, GetReply, ListPage, ListRequest, ObjectMeta, OpenUpload,
    PartInfo, PartLimits, PutMode, UploadId, UploadQuery,
};
use crate::env::Env;
use crate::error::{Error, Operation};
use crate::fs::Dir;
use crate::fs::uncached::Uncached;
use fault::fault;
use own::{Own, StoreClock};
use place::{Lasting, OWN, Place};
use syncs::Syncs;

/// How long a request waits for a lock by default.
const LOCK_WAIT: Duration = Duration::from_secs(10);

/// A bucket in a local directory. Cloning is cheap and shares it; any number of processes may use one directory.
#[derive(Debug, Clone)]
pub struct DirectoryBucket {
    inner: Arc<Inner>,
    lock_wait: Duration,
}

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    root: Dir,
    /// Made at the first need: a read-only root serves reads without it.
    own: Mutex<Option<Own>>,
    env: Env,
    clock: StoreClock,
    lasting: Lasting,
    syncs: Syncs,
    /// Parts do not stay in the page cache.
    uncached: Uncached,
}

impl DirectoryBucket {
    /// Opens the directory at `root`, and makes it where it is missing. Blocks for some system calls.
    ///
    /// Temp files of processes that have died are swept; open uploads are kept. A root that cannot be written opens too, for reading: its writes fail as Denied. `env` gives the names of temp
    /// files and uploads their random bits, and an upload its time of creation.
    ///
    /// # Errors
    /// InvalidInput where the path, or `.milepost` in it, is something else than a folder; Denied and Refused (no space)
    /// where it cannot be made or opened; Unavailable for a failing file system.
    pub fn open(root: impl Into<PathBuf>, env: Env) -> crate::error::Result<Self> {
        Self::open_at(root.into(), env).map_err(|error| error.during(Operation::Open))
    }

    fn open_at(path: PathBuf, env: Env) -> crate::error::Result<Self> {
        let path = std::path::absolute(&path)
            .map_err(|error| Error::invalid_input(format!("not a path: `{}`: {error}", path.display())))?;
        let failed = |error: io::Error, path: &Path| match error.kind() {
            io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => {
                Error::invalid_input(format!("{} is not a folder", path.display()))
                    .with_hint("name a folder, or a path where one can be made")
            }
            _ => Error::from(fault(error, "cannot open", path)),
        };
        let root = match Dir::open_root(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                make_root(&path).and_then(|()| Dir::open_root(&path)).map_err(|error| failed(error, &path))?
            }
            opened => opened.map_err(|error| failed(error, &path))?,
        };
        let (own, clock) = (Mutex::new(None), StoreClock::default());
        let inner = Inner {
            path,
            root,
            own,
            env,
            clock,
            lasting: Lasting::default(),
            syncs: Syncs::default(),
            uncached: Uncached::new(true),
        };
        match inner.try_own() {
            Ok(own) => {
                let swept = inner.clock.now(&own, &inner.env).and_then(|now| own.sweep(now));
                if let Err(error) = swept {
                    tracing::warn!(root = %inner.path.display(), %error, "cannot look for leftovers of crashes");
                }
            }
            Err(error)
                if matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem) =>
            {
                tracing::warn!(root = %inner.path.display(), %error, "the directory can only be read");
            }
            Err(error) => return Err(failed(error, &inner.path.join(OWN))),
        }
        Ok(Self { inner: Arc::new(inner), lock_wait: LOCK_WAIT })
    }

    /// The same bucket, whose requests wait up to `wait` for a lock that another process holds, then fail as Unavailable.
    /// Default: 10 s. A lock is held for some system calls and one sync, or while a part of an upload is written.
    #[must_use]
    pub fn with_lock_wait(mut self, wait: Duration) -> Self {
        self.lock_wait = wait;
        self
    }
}

/// Makes the root with its parents, so that they outlast a power loss.
fn make_root(path: &Path) -> io::Result<()> {
    let missing: Vec<&Path> = path.ancestors().take_while(|folder| !folder.exists()).collect();
    std::fs::create_dir_all(path)?;
    missing.iter().filter_map(|folder| folder.parent()).try_for_each(|parent| Dir::open_root(parent)?.sync())
}

impl Inner {
    fn try_own(&self) -> io::Result<Own> {
        let mut own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = &*own {
            return Ok(own.clone());
        }
        Ok(own.insert(Own::prepare(&self.root, &self.env)?).clone())
    }

    /// The bucket's own folders, for a request that writes.
    fn own(&self) -> Result<Own, BucketError> {
        self.try_own().map_err(|error| fault(error, "cannot write into", &self.path.join(OWN)))
    }

    /// How long ago something was written, by the store's clock; `None` where the root can only be read.
    fn age(&self, written_at: Duration) -> Option<Duration> {
        let own = self.try_own().ok()?;
        Some(self.clock.now(&own, &self.env).ok()?.saturating_sub(written_at))
    }

    fn file_path(&self, place: &Place) -> PathBuf {
        self.path.join(place.key.as_str())
    }

    fn lock_path(&self, shard: &str) -> PathBuf {
        self.path.join(OWN).join("locks").join(shard)
    }
}

/// Runs a request's system calls on a thread that may block. Dropping the future lets them finish unseen.
async fn run<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, BucketError> + Send + 'static,
) -> Result<T, BucketError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(BucketError::new(BucketErrorKind::Other, format!("a blocking thread was lost: {error}"))
            .maybe_applied()
            .with_source(error)),
    }
}

impl Bucket for DirectoryBucket {
    fn location(&self) -> String {
        format!("file://{}", self.inner.path.display())
    }

    fn needs_probe(&self) -> bool {
        false
    }

    fn part_limits(&self) -> PartLimits {
        PartLimits { min_part: 1, max_part: upload::MAX_PART, max_parts: upload::MAX_PARTS }
    }

    async fn free_space(&self) -> Result<Option<u64>, BucketError> {
        let inner = Arc::clone(&self.inner);
        run(move || {
            let free = inner.root.free_space().map_err(|error| fault(error, "cannot ask the space of", &inner.path))?;
            Ok(Some(free))
        })
        .await
    }

    async fn clock(&self) -> Result<Option<Timestamp>, BucketError> {
        let inner = Arc::clone(&self.inner);
        run(move || {
            // A root that can only be read tells no time.
            let Ok(own) = inner.try_own() else { return Ok(None) };
            let now = inner.clock.now(&own, &inner.env).ok();
            Ok(now.and_then(|now| Timestamp::UNIX_EPOCH.checked_add(now).ok()))
        })
        .await
    }

    async fn put(&self, key: &ObjectKey, body: Bytes, crc: Crc64Nvme, mode: PutMode) -> Result<ETag, BucketError> {
        write::put(self, Place::of(key)?, body, crc, mode).await
    }

    async fn get(&self, key: &ObjectKey, range: Option<Range<u64>>) -> Result<GetReply, BucketError> {
        read::get(self, Place::of(key)?, range).await
    }

    async fn head(&self, key: &ObjectKey) -> Result<ObjectMeta, BucketError> {
        read::head(self, Place::of(key)?).await
    }

    async fn list(&self, request: ListRequest) -> Result<ListPage, BucketError> {
        let inner = Arc::clone(&self.inner);
        run(move || list::page(&inner, &request)).await
    }

    async fn delete(&self, keys: Vec<String>) -> Result<Vec<DeleteOutcome>, BucketError> {
        delete::delete(self, keys).await
    }

    async fn create_upload(&self, key: &ObjectKey, part_size: u64) -> Result<UploadId, BucketError> {
        let (inner, place) = (Arc::clone(&self.inner), Place::of(key)?);
        run(move || upload::create(&inner, &place, part_size)).await
    }

    async fn upload_part(
        &self,
        key: &ObjectKey,
        upload: &UploadId,
        number: u32,
        body: Bytes,
        crc: Crc64Nvme,
    ) -> Result<PartInfo, BucketError> {
        upload::part(self, Place::of(key)?, upload.clone(), number, body, crc).await
    }

    async fn list_parts(&self, key: &ObjectKey, upload: &UploadId) -> Result<Vec<PartInfo>, BucketError> {
        upload::list_parts(self, Place::of(key)?, upload.clone()).await
    }

    async fn complete_upload(
        &self,
        key: &ObjectKey,
        upload: &UploadId,
        parts: &[PartInfo],
        crc: Crc64Nvme,
    ) -> Result<ETag, BucketError> {
        complete::complete(self, Place::of(key)?, upload.clone(), parts.to_vec(), crc).await
    }

    async fn abort_upload(&self, key: &ObjectKey, upload: &UploadId) -> Result<(), BucketError> {
        let (inner, place, upload) = (Arc::clone(&self.inner), Place::of(key)?, upload.clone());
        run(move || complete::abort(&inner, &place, &upload)).await
    }

    async fn list_uploads(&self, query: UploadQuery) -> Result<Vec<OpenUpload>, BucketError> {
        let inner = Arc::clone(&self.inner);
        run(move || complete::list_uploads(&inner, &query)).await
    }
}
