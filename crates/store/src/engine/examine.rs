//! Looking at a base as a whole: what the role may do, what the clock says, what is open, what is left over.

use bytes::Bytes;
use futures::stream::{self, StreamExt as _};
use milepost_core::document::MAX_SMALL_DOCUMENT_BYTES;
use milepost_core::{Crc64Nvme, FileName, ObjectKey, PartitionId, SealDocument};

use super::Engine;
use crate::api::{ClockReading, Examination, ExamineOptions, FoundUpload, Permission, UploadOf};
use crate::bucket::{Bucket, BucketError, BucketErrorKind, ListRequest, PutMode, UploadQuery};
use crate::context::OpContext;
use crate::error::{Error, Result};

/// Uploads whose parts are added up.
const SIZED: usize = 1000;

impl<B: Bucket> Engine<B> {
    /// Examines the base. Writes one small object below the probe's prefix and removes it, to see whether it may.
    pub(super) async fn examine(&self, options: ExamineOptions, cx: &OpContext) -> Result<Examination> {
        self.check_cluster(cx).await?;
        let permissions = self.permissions(cx).await?;
        let survey = if options.objects { Some(self.survey(cx).await?) } else { None };
        cx.check()?;
        Ok(Examination {
            location: self.bucket.location(),
            clock: self.clock(cx).await,
            permissions,
            documents: self.seals_that_cannot_be_used(cx).await?,
            survey,
            uploads: self.every_upload(cx).await,
            lists_all_uploads: self.bucket.lists_uploads_by_prefix(),
        })
    }

    async fn clock(&self, cx: &OpContext) -> Result<Option<ClockReading>> {
        let before = self.env.clock.now();
        // Not tried again in between: the answer must lie between the two looks at our clock.
        let store = cx.run(async { Ok(self.bucket.clock().await) }).await??;
        let after = self.env.clock.now();
        Ok(store.map(|store| ClockReading { before, store, after }))
    }

    async fn permissions(&self, cx: &OpContext) -> Result<Vec<Permission>> {
        let bucket = &self.bucket;
        let name = FileName::new(format!("doctor-{}/permission", self.env.attempt()))
            .map_err(|error| Error::invalid_input(error.to_string()))?;
        let (key, root) = (self.layout.probe(&name), self.layout.root().to_owned());
        let bytes = Bytes::from_static(b"may I?");
        let crc = Crc64Nvme::of(&bytes);
        let mut found = Vec::new();
        let mut note = |action, answer: Result<(), BucketError>| {
            found.push(Permission { action, refusal: answer.err().map(Error::from) });
        };
        let first = ListRequest { limit: 1, ..ListRequest::folders(root.clone()) };
        note("list", self.ask(cx, || bucket.list(first.clone())).await?.map(drop));
        let cluster = self.layout.cluster();
        note(
            "read",
            match self.ask(cx, || bucket.head(&cluster)).await? {
                Err(error) if error.kind != BucketErrorKind::NotFound => Err(error),
                _ => Ok(()),
            },
        );
        note(
            "write",
            match self.ask(cx, || bucket.put(&key, bytes.clone(), crc, PutMode::Create)).await? {
                // A lost reply, sent again: it is there.
                Err(error) if error.kind != BucketErrorKind::Precondition => Err(error),
                _ => Ok(()),
            },
        );
        note(
            "delete",
            match self.ask(cx, || bucket.delete(vec![key.as_str().to_owned()])).await? {
                Ok(outcomes) => outcomes.into_iter().try_for_each(|outcome| outcome.result),
                Err(error) => Err(error),
            },
        );
        note(
            "multipart",
            match self.ask(cx, || bucket.create_upload(&key, self.settings.part_size)).await? {
                Ok(upload) => self.ask(cx, || bucket.abort_upload(&key, &upload)).await?,
                Err(error) => Err(error),
            },
        );
        note(
            "list-uploads",
            match self.ask(cx, || bucket.list_uploads(UploadQuery::Prefix(root.clone()))).await? {
                Err(error) if error.kind != BucketErrorKind::Unsupported => Err(error),
                _ => Ok(()),
            },
        );
        Ok(found)
    }

    /// Every seal is read: a save and a forget need it.
    async fn seals_that_cannot_be_used(&self, cx: &OpContext) -> Result<Vec<(String, String)>> {
        let mut wrong = Vec::new();
        let prefix = format!("{}_milepost/seals/", self.layout.root());
        let mut request = ListRequest::all(prefix.clone());
        loop {
            let page = self.must(cx, || self.bucket.list(request.clone())).await?;
            for object in page.objects {
                let name = object.key.strip_prefix(&prefix).and_then(|name| name.strip_suffix(".json"));
                let partition = name.and_then(|name| name.parse::<PartitionId>().ok());
                let (Some(partition), Ok(key)) = (partition, ObjectKey::new(object.key.as_str())) else {
                    wrong.push((object.key, "is no partition's seal".to_owned()));
                    continue;
                };
                let parse = |bytes: &[u8]| SealDocument::parse(bytes, partition);
                if let Err(error) = self.fetch_parsed(&key, MAX_SMALL_DOCUMENT_BYTES, cx, parse).await {
                    cx.check()?;
                    wrong.push((object.key, error.message().to_owned()));
                }
            }
            match page.next {
                Some(token) => request.page = Some(token),
                None => return Ok(wrong),
            }
        }
    }

    /// Open uploads below the base: by prefix, and where the store does not find all that way, by the empty one.
    async fn every_upload(&self, cx: &OpContext) -> Result<Vec<FoundUpload>> {
        let root = self.layout.root();
        let mut listed = self.uploads_of(UploadQuery::Prefix(root.to_owned()), cx).await?;
        if !self.bucket.lists_uploads_by_prefix() && !root.is_empty() {
            listed.extend(self.uploads_of(UploadQuery::Prefix(String::new()), cx).await?);
        }
        listed.retain(|upload| upload.key.starts_with(root));
        listed.sort_by(|a, b| (&a.key, &a.upload.0).cmp(&(&b.key, &b.upload.0)));
        listed.dedup_by(|a, b| a.upload == b.upload);
        let probes = self.layout.probe_prefix();
        let sized = listed.into_iter().enumerate().map(|(at, open)| {
            let probes = &probes;
            async move {
                let bytes = match ObjectKey::new(open.key.as_str()) {
                    Ok(key) if at < SIZED => match self.ask(cx, || self.bucket.list_parts(&key, &open.upload)).await? {
                        Ok(parts) => Some(parts.iter().fold(0u64, |sum, part| sum.saturating_add(part.size))),
                        // Completed or aborted meanwhile, or not for this role to see.
                        Err(_) => None,
                    },
                    _ => None,
                };
                let of = match self.layout.parse(&open.key) {
                    Some((id, _)) => UploadOf::Backup(id),
                    None if open.key.starts_with(probes.as_str()) => UploadOf::Probe,
                    None => UploadOf::Stranger,
                };
                Ok::<_, Error>(FoundUpload { key: open.key, upload: open.upload.0, age: open.age, bytes, of })
            }
        });
        let mut answers = stream::iter(sized).buffered(self.settings.status_concurrency);
        let mut found = Vec::new();
        while let Some(upload) = answers.next().await {
            found.push(upload?);
        }
        Ok(found)
    }
}
