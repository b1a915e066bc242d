//! The SDK as its documentation shows it: `ByteStream::from_path`, the default checksums, parts of 8 MiB for large files,
//! as many at a time as Milepost sends.

use std::path::Path;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_s3::primitives::{ByteStream, Length};
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart, Delete, ObjectIdentifier};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use std::io::Write as _;

use crate::sample::{Moved, Op, Spec, Store, credentials};
use crate::workload::{WorkFile, files};
use crate::{Context as _, Result};

const MIB: u64 = 1024 * 1024;

struct Bucket {
    client: Client,
    name: String,
    prefix: String,
    concurrency: usize,
    part: u64,
}

pub(super) fn run(spec: &Spec) -> Result<Moved> {
    spec.known(&["concurrency", "part"])?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let moved = runtime.block_on(work(spec));
    runtime.shutdown_background();
    moved
}

/// A client as the SDK configures it by itself, but for endpoint and credentials.
///
/// # Errors
/// Where the store is no S3 server.
fn client(spec: &Spec) -> Result<Bucket> {
    let Store::S3 { endpoint, region, bucket, prefix, .. } = &spec.store else {
        return Err("the SDK speaks to S3 only".into());
    };
    let (key, secret) = credentials();
    let config = aws_sdk_s3::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .region(Region::new(region.clone()))
        .endpoint_url(endpoint)
        .force_path_style(true)
        .credentials_provider(Credentials::new(key, secret, None, None, "bench"))
        .build();
    Ok(Bucket {
        client: Client::from_conf(config),
        name: bucket.clone(),
        prefix: prefix.clone(),
        concurrency: spec.setting("concurrency", 4)?,
        part: spec.setting("part", 8)? * MIB,
    })
}

async fn work(spec: &Spec) -> Result<Moved> {
    let bucket = client(spec)?;
    match spec.op {
        Op::Prepare => Ok(Moved::default()),
        Op::Idle => {
            bucket.client.head_bucket().bucket(&bucket.name).send().await.map_err(told)?;
            Ok(Moved::default())
        }
        Op::Save | Op::Restore => {
            let files = files(&spec.files)?;
            let moved = Moved { files: files.len() as u64, bytes: files.iter().map(|file| file.size).sum() };
            let (bucket, target) = (&bucket, &spec.target);
            let done = stream::iter(files.iter().map(async |file| match spec.op {
                Op::Save if file.size > 4 * bucket.part => bucket.put_parts(file).await,
                Op::Save => bucket.put(file).await,
                _ => bucket.get(file, target).await,
            }));
            done.buffer_unordered(bucket.concurrency).try_collect::<Vec<()>>().await?;
            Ok(moved)
        }
        Op::Delete | Op::Clean => bucket.delete().await,
    }
}

fn told<E: std::error::Error + 'static>(error: E) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

impl Bucket {
    fn key(&self, file: &WorkFile) -> String {
        format!("{}/{}", self.prefix, file.name)
    }

    async fn put(&self, file: &WorkFile) -> Result<()> {
        let body = ByteStream::from_path(&file.path).await.context(file.path.display())?;
        let put = self.client.put_object().bucket(&self.name).key(self.key(file)).body(body);
        put.send().await.map_err(told).context(&file.name)?;
        Ok(())
    }

    async fn put_parts(&self, file: &WorkFile) -> Result<()> {
        let key = self.key(file);
        let begun = self.client.create_multipart_upload().bucket(&self.name).key(&key).send().await.map_err(told)?;
        let upload = begun.upload_id().ok_or("no upload id")?;
        let offsets = (0..file.size.div_ceil(self.part)).map(|number| (number, number * self.part));
        let parts = stream::iter(offsets.map(async |(number, offset)| {
            let length = self.part.min(file.size - offset);
            let body = ByteStream::read_from().path(&file.path).offset(offset).length(Length::Exact(length));
            let body = body.build().await.context(file.path.display())?;
            let number = i32::try_from(number + 1)?;
            let part = self.client.upload_part().bucket(&self.name).key(&key).upload_id(upload).part_number(number);
            let sent = part.body(body).send().await.map_err(told).context(&file.name)?;
            let done = CompletedPart::builder().part_number(number).set_e_tag(sent.e_tag().map(str::to_owned));
            Ok::<_, crate::Error>(done.set_checksum_crc32(sent.checksum_crc32().map(str::to_owned)).build())
        }));
        let parts: Vec<CompletedPart> = parts.buffered(self.concurrency).try_collect().await?;
        let parts = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
        let done = self.client.complete_multipart_upload().bucket(&self.name).key(&key).upload_id(upload);
        done.multipart_upload(parts).send().await.map_err(told).context(&file.name)?;
        Ok(())
    }

    async fn get(&self, file: &WorkFile, target: &Path) -> Result<()> {
        let path = target.join(&file.name);
        std::fs::create_dir_all(path.parent().ok_or("a file without a folder")?)?;
        let reply = self.client.get_object().bucket(&self.name).key(self.key(file)).send().await.map_err(told)?;
        let mut body = reply.body;
        let mut out = std::fs::File::create_new(&path).context(path.display())?;
        while let Some(bytes) = body.try_next().await.map_err(told).context(&file.name)? {
            out.write_all(&bytes)?;
        }
        Ok(out.sync_all()?)
    }

    async fn delete(&self) -> Result<Moved> {
        let prefix = format!("{}/", self.prefix);
        let mut moved = Moved::default();
        let mut pages =
            self.client.list_objects_v2().bucket(&self.name).prefix(prefix).into_paginator().page_size(1000).send();
        while let Some(page) = pages.next().await {
            let page = page.map_err(told)?;
            let keys = page.contents().iter().filter_map(|object| object.key());
            let keys = keys.map(|key| ObjectIdentifier::builder().key(key).build());
            let keys = keys.collect::<std::result::Result<Vec<_>, _>>()?;
            if keys.is_empty() {
                continue;
            }
            moved.files += keys.len() as u64;
            let delete = Delete::builder().set_objects(Some(keys)).quiet(true).build()?;
            let done = self.client.delete_objects().bucket(&self.name).delete(delete).send().await.map_err(told)?;
            if let Some(error) = done.errors().first() {
                return Err(format!("{error:?}").into());
            }
        }
        Ok(moved)
    }
}
