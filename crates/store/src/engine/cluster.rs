//! `cluster.json`: made once, and checked before anything else is read or written.

use bytes::Bytes;
use milepost_core::document::MAX_SMALL_DOCUMENT_BYTES;
use milepost_core::{BackupId, ClusterDocument, ClusterId, Crc64Nvme, Layout, PartitionId};

use super::Engine;
use super::register::StatusRead;
use crate::api::InitOptions;
use crate::bucket::{Bucket, BucketErrorKind, ListRequest, PutMode, under};
use crate::context::OpContext;
use crate::error::{Error, Result};

impl<B: Bucket> Engine<B> {
    /// The cluster's id, once a check has found or made the document.
    pub(crate) fn cluster_id(&self) -> Result<ClusterId> {
        match self.cluster.get() {
            Some(cluster) => Ok(cluster.cluster_id.clone()),
            None => Err(Error::new(crate::error::ErrorKind::NotFound, "the base holds no backups yet")),
        }
    }

    /// Checks that this base belongs to the configured cluster. False: the base is untouched, there is nothing to read.
    pub(crate) async fn check_cluster(&self, cx: &OpContext) -> Result<bool> {
        if self.cluster.get().is_some() {
            return Ok(true);
        }
        match self.read_cluster(cx).await? {
            Some(document) => {
                self.agree(&document)?;
                self.remember(document);
                Ok(true)
            }
            None => match self.refuse_without_document(cx).await? {
                Some(document) => {
                    self.agree(&document)?;
                    self.remember(document);
                    Ok(true)
                }
                None => Ok(false),
            },
        }
    }

    /// The same before the first write of an id: sees to it that the store is fit, and makes the document where the base is
    /// untouched.
    pub(crate) async fn ensure_cluster(&self, cx: &OpContext) -> Result<()> {
        self.ensure_cluster_like(None, cx).await
    }

    /// The same where an untouched base is to become one of the cluster that `like` describes, as copies from it need.
    pub(crate) async fn ensure_cluster_like(&self, like: Option<&ClusterDocument>, cx: &OpContext) -> Result<()> {
        let known = self.check_cluster(cx).await?;
        // Of a base that stands as well: it may have been copied here from a better store.
        self.ensure_fit(known, cx).await?;
        if known {
            return Ok(());
        }
        let (id, first) = match like {
            Some(like) => (like.cluster_id.clone(), like.first_partition),
            None => {
                let drawn = || ClusterId::from_random(self.env.random.bits());
                (self.settings.cluster_id.clone().unwrap_or_else(drawn), self.settings.first_partition)
            }
        };
        self.create_cluster(id, first, cx).await.map(drop)
    }

    /// Is the partition one that the broker can have? One above the number that a descriptor names is not refused: the number
    /// may be about to change, and the cluster view names the contradiction.
    pub(crate) fn check_partition(&self, id: BackupId) -> Result<()> {
        let first = self.cluster.get().map_or(self.settings.first_partition, |cluster| cluster.first_partition);
        if id.partition < first {
            return Err(Error::invalid_input(format!("the first partition of this cluster is {first}"))
                .with_hint("`init --first-partition 0` makes a base whose first partition is 0"));
        }
        Ok(())
    }

    fn remember(&self, document: ClusterDocument) {
        // Two calls may race here; both read the same create-only document.
        let _ = self.cluster.set(document);
    }

    async fn read_cluster(&self, cx: &OpContext) -> Result<Option<ClusterDocument>> {
        let key = self.layout.cluster();
        let fetched = self.fetch_parsed(&key, MAX_SMALL_DOCUMENT_BYTES, cx, ClusterDocument::parse).await?;
        Ok(fetched.map(|(document, _)| document))
    }

    fn agree(&self, document: &ClusterDocument) -> Result<()> {
        let key = self.layout.cluster();
        if document.name != self.settings.cluster {
            return Err(Error::refused(format!(
                "{key} says that this base belongs to cluster `{}`, not `{}`",
                document.name, self.settings.cluster
            ))
            .with_hint("check the store's URL and the cluster's name; nothing was read or written"));
        }
        if let Some(id) = self.settings.cluster_id.as_ref().filter(|id| **id != document.cluster_id) {
            return Err(Error::refused(format!(
                "{key} says that this base belongs to the cluster with id {}, not {id}",
                document.cluster_id
            ))
            .with_hint("check the store's URL and the cluster's id; nothing was read or written"));
        }
        Ok(())
    }

    /// After a look that found no document: refuses a base that holds backups all the same. The document where somebody has
    /// made it meanwhile: it comes before any status, so once a backup is seen, a second look is conclusive.
    async fn refuse_without_document(&self, cx: &OpContext) -> Result<Option<ClusterDocument>> {
        let mut first = None;
        self.each_backup(cx, |id| {
            first = Some(id);
            false
        })
        .await?;
        let Some(id) = first else { return Ok(None) };
        match self.read_cluster(cx).await? {
            Some(document) => Ok(Some(document)),
            None => Err(Error::refused(format!("backups exist ({id}), but {} does not", self.layout.cluster()))
                .with_hint("`milepost init --adopt` takes the cluster id that all backups carry")),
        }
    }

    async fn create_cluster(&self, id: ClusterId, first: PartitionId, cx: &OpContext) -> Result<ClusterDocument> {
        let document = ClusterDocument::new(id, &self.settings.cluster, first, self.env.clock.now());
        let bytes = Bytes::from(document.encode().map_err(|error| Error::invalid_input(error.to_string()))?);
        let crc = Crc64Nvme::of(&bytes);
        let key = self.layout.cluster();
        let mut tries = self.tries();
        loop {
            let error = match under(cx, self.bucket.put(&key, bytes.clone(), crc, PutMode::Create)).await? {
                Ok(_) => {
                    self.remember(document.clone());
                    return Ok(document);
                }
                Err(error) => error,
            };
            if error.kind != BucketErrorKind::Precondition && !error.maybe_applied && !error.is_transient() {
                return Err(error.into());
            }
            // The loser of the race takes the winner's document; a lost reply finds its own.
            if let Some(winner) = self.read_cluster(cx).await? {
                self.agree(&winner)?;
                self.remember(winner.clone());
                return Ok(winner);
            }
            tries.pause(error, cx).await?;
        }
    }

    /// Makes the base's document, or takes the one that is there.
    pub(crate) async fn init(&self, options: InitOptions, cx: &OpContext) -> Result<ClusterDocument> {
        let first = options.first_partition.unwrap_or(self.settings.first_partition);
        let wanted = options.cluster_id.clone().or_else(|| self.settings.cluster_id.clone());
        let mut made = true;
        let document = match self.read_cluster(cx).await? {
            Some(document) => {
                made = false;
                document
            }
            None if options.adopt => {
                let id = self.adopted(wanted.clone(), cx).await?;
                self.require_fit(cx).await?;
                self.create_cluster(id, first, cx).await?
            }
            None => match self.refuse_without_document(cx).await? {
                Some(document) => {
                    made = false;
                    document
                }
                None => {
                    let id = wanted.clone().unwrap_or_else(|| ClusterId::from_random(self.env.random.bits()));
                    self.require_fit(cx).await?;
                    self.create_cluster(id, first, cx).await?
                }
            },
        };
        // Found, or made by the winner of a race: either way it must say what was asked for.
        self.agree(&document)?;
        if options.first_partition.is_some_and(|first| first != document.first_partition) {
            return Err(Error::refused(format!("the first partition of this base is {}", document.first_partition)));
        }
        if let Some(id) = wanted.filter(|id| *id != document.cluster_id) {
            return Err(Error::refused(format!("the cluster id of this base is {}, not {id}", document.cluster_id)));
        }
        self.remember(document.clone());
        if made {
            // Found fit above.
            let _ = self.fit.set(());
        } else {
            self.ensure_fit(true, cx).await?;
        }
        Ok(document)
    }

    /// The one cluster id that all readable statuses carry; `wanted` decides where there is none or are several.
    async fn adopted(&self, wanted: Option<ClusterId>, cx: &OpContext) -> Result<ClusterId> {
        let mut ids = Vec::new();
        self.each_backup(cx, |id| {
            ids.push(id);
            true
        })
        .await?;
        let mut found: Vec<ClusterId> = Vec::new();
        for id in ids {
            if let StatusRead::Present { held, .. } = self.read_status(id, cx).await?
                && !found.contains(&held.document.cluster_id)
            {
                found.push(held.document.cluster_id);
            }
        }
        match (wanted, found.as_slice()) {
            (Some(wanted), _) => Ok(wanted),
            (None, [one]) => Ok(one.clone()),
            (None, []) => Err(Error::refused("no readable status says to which cluster the base belongs")
                .with_hint("say so with --cluster-id")),
            (None, several) => {
                let names: Vec<String> = several.iter().take(5).map(ToString::to_string).collect();
                Err(Error::refused(format!("the backups belong to several clusters: {}", names.join(", ")))
                    .with_hint("choose one with --cluster-id; the others' backups will be refused"))
            }
        }
    }

    /// Walks all keys of statuses, in key order, until `visit` says false.
    async fn each_backup(&self, cx: &OpContext, mut visit: impl FnMut(BackupId) -> bool) -> Result<()> {
        let root = self.layout.root().to_owned();
        for partition in self.numeric_folders::<PartitionId>(&root, cx).await? {
            let prefix = self.layout.partition_prefix(partition);
            for checkpoint in self.numeric_folders(&prefix, cx).await? {
                let prefix = self.layout.checkpoint_prefix(partition, checkpoint);
                for node in self.numeric_folders(&prefix, cx).await? {
                    let id = BackupId { partition, checkpoint, node };
                    let status = self.layout.status(id);
                    // Asked for by its key: in a listing, strays beside it could push it to a later page.
                    match self.ask(cx, || self.bucket.head(&status)).await? {
                        Ok(_) if !visit(id) => return Ok(()),
                        Ok(_) => {}
                        Err(error) if error.kind == BucketErrorKind::NotFound => {}
                        Err(error) => return Err(error.into()),
                    }
                }
            }
        }
        Ok(())
    }

    /// The ids that are the names of folders directly below a prefix; stray names are passed over.
    pub(crate) async fn numeric_folders<T: std::str::FromStr + Ord>(
        &self,
        prefix: &str,
        cx: &OpContext,
    ) -> Result<Vec<T>> {
        let mut ids: Vec<T> = Vec::new();
        let mut request = ListRequest::folders(prefix);
        loop {
            let page = self.must(cx, || self.bucket.list(request.clone())).await?;
            ids.extend(page.folders.iter().filter_map(|folder| Layout::folder_name(prefix, folder)?.parse::<T>().ok()));
            match page.next {
                Some(token) => request.page = Some(token),
                None => break,
            }
        }
        // Folders come in the order of bytes: 100 before 99.
        ids.sort_unstable();
        Ok(ids)
    }
}
