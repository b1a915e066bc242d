//! `aws-sdk-s3-transfer-manager`: whole folders up and down, with its own defaults.

use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_s3_transfer_manager::config::S3ClientConfig;
use aws_sdk_s3_transfer_manager::io::walk::FsWalker;
use aws_sdk_s3_transfer_manager::{Client, Config};
use milepost_benches::sample::{Moved, Op, Spec, Store, credentials};
use milepost_benches::workload::files;
use milepost_benches::{Context as _, Result};

/// Runs one sample.
///
/// # Errors
/// Where the client fails.
pub(crate) fn run(spec: &Spec) -> Result<Moved> {
    spec.known(&[])?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let moved = runtime.block_on(work(spec));
    runtime.shutdown_background();
    moved
}

async fn work(spec: &Spec) -> Result<Moved> {
    let Store::S3 { endpoint, region, bucket, prefix, .. } = &spec.store else {
        return Err("this client is measured on S3 only".into());
    };
    let (key, secret) = credentials();
    let s3 = aws_sdk_s3::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(region.clone()))
        .endpoint_url(endpoint)
        .force_path_style(true)
        .credentials_provider(Credentials::new(key, secret, None, None, "bench"));
    let client = Client::new(Config::builder().s3_config(S3ClientConfig::new(s3)).build());
    let files = files(&spec.files)?;
    let moved = Moved { files: files.len() as u64, bytes: files.iter().map(|file| file.size).sum() };
    match spec.op {
        Op::Prepare | Op::Idle => Ok(Moved::default()),
        Op::Save => {
            let walker = FsWalker::builder().recursive(true).build();
            let upload = client.upload_objects().bucket(bucket).key_prefix(prefix).source(&spec.files).walker(walker);
            upload.initiate()?.join().await.context("upload")?;
            Ok(moved)
        }
        Op::Restore => {
            std::fs::create_dir_all(&spec.target)?;
            let download = client.download_objects().bucket(bucket).key_prefix(format!("{prefix}/"));
            download.destination(&spec.target).initiate()?.join().await.context("download")?;
            // It syncs nothing; a restore that is to last must.
            for file in &files {
                std::fs::File::open(spec.target.join(&file.name)).context(&file.name)?.sync_all()?;
            }
            Ok(moved)
        }
        Op::Delete | Op::Clean => Err("it does not delete".into()),
    }
}
