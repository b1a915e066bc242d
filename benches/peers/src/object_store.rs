//! `object_store`: a `BufWriter` for each file, as its documentation shows it, fed from `tokio::fs`; or tuned: larger reads,
//! capacity and concurrency as Milepost's parts are.

use std::path::Path as FsPath;
use std::sync::Arc;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use milepost_benches::sample::{Moved, Op, Spec, Store, credentials};
use milepost_benches::workload::{WorkFile, files};
use milepost_benches::{Context as _, Result};
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::buffered::BufWriter;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

const MIB: usize = 1024 * 1024;

struct Bucket {
    store: Arc<AmazonS3>,
    prefix: String,
    concurrency: usize,
    /// Bytes that a writer holds before it turns to multipart, and of each part; `None`: the crate's default.
    capacity: Option<usize>,
    /// Requests of one writer at the same time.
    parts: Option<usize>,
    /// Bytes read at once.
    read: usize,
}

/// Runs one sample.
///
/// # Errors
/// Where the client fails.
pub(crate) fn run(spec: &Spec) -> Result<Moved> {
    spec.known(&["tuned", "concurrency"])?;
    // Installed already is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let moved = runtime.block_on(work(spec));
    runtime.shutdown_background();
    moved
}

fn open(spec: &Spec) -> Result<Bucket> {
    let Store::S3 { endpoint, region, bucket, prefix, .. } = &spec.store else {
        return Err("this client is measured on S3 only".into());
    };
    let tuned: bool = spec.setting("tuned", false)?;
    let (key, secret) = credentials();
    let mut store = AmazonS3Builder::new()
        .with_endpoint(endpoint)
        .with_allow_http(true)
        .with_region(region)
        .with_bucket_name(bucket)
        .with_access_key_id(key)
        .with_secret_access_key(secret);
    if tuned {
        // What Milepost does too: SHA-256 of the body for the signature is the largest single cost.
        store = store.with_unsigned_payload(true);
    }
    Ok(Bucket {
        store: Arc::new(store.build()?),
        prefix: prefix.clone(),
        concurrency: spec.setting("concurrency", 4)?,
        capacity: tuned.then_some(8 * MIB),
        parts: tuned.then_some(4),
        read: if tuned { 2 * MIB } else { 64 * 1024 },
    })
}

async fn work(spec: &Spec) -> Result<Moved> {
    let bucket = open(spec)?;
    match spec.op {
        Op::Prepare => Ok(Moved::default()),
        Op::Idle => {
            let _ = bucket.store.head(&Path::from("absent")).await;
            Ok(Moved::default())
        }
        Op::Save | Op::Restore => {
            let files = files(&spec.files)?;
            let moved = Moved { files: files.len() as u64, bytes: files.iter().map(|file| file.size).sum() };
            let (bucket, target) = (&bucket, &spec.target);
            let done = stream::iter(files.iter().map(async |file| match spec.op {
                Op::Save => bucket.put(file).await,
                _ => bucket.get(file, target).await,
            }));
            done.buffer_unordered(bucket.concurrency).try_collect::<Vec<()>>().await?;
            Ok(moved)
        }
        Op::Delete | Op::Clean => {
            let prefix = Path::parse(&bucket.prefix)?;
            let keys = bucket.store.list(Some(&prefix)).map_ok(|object| object.location).boxed();
            let deleted: Vec<Path> = bucket.store.delete_stream(keys).try_collect().await?;
            Ok(Moved { files: deleted.len() as u64, bytes: 0 })
        }
    }
}

impl Bucket {
    fn path(&self, file: &WorkFile) -> Result<Path> {
        Ok(Path::parse(format!("{}/{}", self.prefix, file.name))?)
    }

    async fn put(&self, file: &WorkFile) -> Result<()> {
        let store: Arc<dyn ObjectStore> = Arc::clone(&self.store) as _;
        let mut writer = match self.capacity {
            Some(capacity) => BufWriter::with_capacity(store, self.path(file)?, capacity),
            None => BufWriter::new(store, self.path(file)?),
        };
        if let Some(parts) = self.parts {
            writer = writer.with_max_concurrency(parts);
        }
        let mut source = tokio::fs::File::open(&file.path).await.context(file.path.display())?;
        source.set_max_buf_size(self.read);
        let mut buffer = vec![0; self.read];
        loop {
            match source.read(&mut buffer).await? {
                0 => break,
                read => writer.write_all(&buffer[..read]).await.context(&file.name)?,
            }
        }
        writer.shutdown().await.context(&file.name)
    }

    async fn get(&self, file: &WorkFile, target: &FsPath) -> Result<()> {
        let path = target.join(&file.name);
        std::fs::create_dir_all(path.parent().ok_or("a file without a folder")?)?;
        let mut body = self.store.get(&self.path(file)?).await.context(&file.name)?.into_stream();
        let mut out = std::fs::File::create_new(&path).context(path.display())?;
        while let Some(bytes) = body.try_next().await.context(&file.name)? {
            std::io::Write::write_all(&mut out, &bytes)?;
        }
        Ok(out.sync_all()?)
    }
}
