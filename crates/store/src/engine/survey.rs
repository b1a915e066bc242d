//! Every object below a base, added up by whom it belongs to; and clearing up what is nobody's any more.

use milepost_core::{BackupId, BackupObject, ObjectKey, StatusCode};

use super::Engine;
use super::register::StatusRead;
use crate::api::{Leftover, Mend, Mended, Survey, UploadOf};
use crate::bucket::{Bucket, BucketErrorKind, ListRequest, UploadId};
use crate::context::OpContext;
use crate::error::{Error, ErrorKind, Result};

/// The most prefixes of backups that are kept apart.
const MAX_PREFIXES: usize = 2_000_000;
/// The most leftovers that are named.
const MAX_LEFTOVERS: usize = 1000;

impl<B: Bucket> Engine<B> {
    /// Lists everything below the base.
    pub(super) async fn survey(&self, cx: &OpContext) -> Result<Survey> {
        let mut survey = Survey::default();
        let root = self.layout.root();
        let (reserved, probes) = (format!("{root}_milepost/"), self.layout.probe_prefix());
        let cluster = self.layout.cluster();
        let mut request = ListRequest::all(root);
        loop {
            let page = self.must(cx, || self.bucket.list(request.clone())).await?;
            for object in page.objects {
                let (key, size) = (object.key.as_str(), object.size);
                if key == cluster.as_str() {
                } else if let Some(rest) = key.strip_prefix(probes.as_str()) {
                    // Results stand directly below the prefix; tries have a folder each.
                    if rest.contains('/') && survey.leftovers.len() < MAX_LEFTOVERS {
                        survey.leftovers.push(Leftover { key: object.key, size, age: None });
                    }
                } else if key.starts_with(&reserved) {
                } else if let Some(id) = self.below(key) {
                    let below = survey.backups.entry(id).or_default();
                    match self.layout.parse(key) {
                        Some((_, BackupObject::Status)) => below.status = true,
                        Some((_, BackupObject::Metadata)) => below.metadata = true,
                        Some((_, BackupObject::MetadataSignature)) => {}
                        Some((_, BackupObject::File(..))) => below.contents.add(key, size),
                        None => below.strangers.add(key, size),
                    }
                    if survey.backups.len() > MAX_PREFIXES {
                        return Err(Error::new(
                            ErrorKind::Unsupported,
                            format!("more than {MAX_PREFIXES} backups' folders lie below the base"),
                        )
                        .with_hint("`doctor --quick` lists no objects"));
                    }
                } else {
                    survey.strays.add(key, size);
                }
            }
            match page.next {
                Some(token) => request.page = Some(token),
                None => break,
            }
        }
        for leftover in &mut survey.leftovers {
            if let Ok(key) = ObjectKey::new(leftover.key.as_str())
                && let Ok(meta) = self.ask(cx, || self.bucket.head(&key)).await?
            {
                leftover.age = meta.age;
            }
        }
        Ok(survey)
    }

    /// The backup below whose prefix a key lies.
    fn below(&self, key: &str) -> Option<BackupId> {
        let mut parts = key.strip_prefix(self.layout.root())?.splitn(4, '/');
        let id = BackupId {
            partition: parts.next()?.parse().ok()?,
            checkpoint: parts.next()?.parse().ok()?,
            node: parts.next()?.parse().ok()?,
        };
        parts.next().map(|_| id)
    }

    /// Clears one thing up, if it still is what it was found to be.
    pub(super) async fn mend(&self, mend: Mend, cx: &OpContext) -> Result<Mended> {
        self.check_cluster(cx).await?;
        match mend {
            Mend::Upload { upload, older_than } => {
                if upload.age.is_none_or(|age| age < older_than) {
                    return Ok(Mended::Kept("it is too young, or the store tells no age".to_owned()));
                }
                let owner = match upload.of {
                    UploadOf::Stranger => return Ok(Mended::Kept("it is not Milepost's".to_owned())),
                    UploadOf::Probe => None,
                    UploadOf::Backup(id) => Some(id),
                };
                // The status is read behind the listing. A resume that takes the backup over after this look finds its upload
                // gone, and begins that file again.
                if let Some(id) = owner
                    && let Some(why) = self.owned(id, cx).await?
                {
                    return Ok(Mended::Kept(why));
                }
                let Ok(key) = ObjectKey::new(upload.key.as_str()) else {
                    return Ok(Mended::Kept("its key cannot be one of ours".to_owned()));
                };
                let id = UploadId(upload.upload);
                self.must(cx, || self.bucket.abort_upload(&key, &id)).await?;
                tracing::info!(%key, "aborted a multipart upload that nobody owns");
                Ok(Mended::Done)
            }
            Mend::Leftover { key, older_than } => {
                let ours = key.strip_prefix(&self.layout.probe_prefix()).is_some_and(|rest| rest.contains('/'));
                let (true, Ok(checked)) = (ours, ObjectKey::new(key.as_str())) else {
                    return Ok(Mended::Kept("it is not a probe's".to_owned()));
                };
                match self.ask(cx, || self.bucket.head(&checked)).await? {
                    Ok(meta) if meta.age.is_some_and(|age| age >= older_than) => {}
                    Ok(_) => return Ok(Mended::Kept("it is too young, or the store tells no age".to_owned())),
                    Err(error) if error.kind == BucketErrorKind::NotFound => return Ok(Mended::Done),
                    Err(error) => return Err(error.into()),
                }
                self.must(cx, || async {
                    for outcome in self.bucket.delete(vec![key.clone()]).await? {
                        outcome.result?;
                    }
                    Ok(())
                })
                .await?;
                Ok(Mended::Done)
            }
        }
    }

    /// Why the uploads of a backup are not nobody's.
    async fn owned(&self, id: BackupId, cx: &OpContext) -> Result<Option<String>> {
        Ok(match self.read_status(id, cx).await? {
            StatusRead::Present { held, .. } if held.document.status_code == StatusCode::InProgress => {
                Some("a save owns the backup".to_owned())
            }
            StatusRead::Corrupt { .. } => {
                Some("the status cannot be read, so nobody knows whether a save owns it".to_owned())
            }
            StatusRead::Present { .. } | StatusRead::Absent => None,
        })
    }
}
