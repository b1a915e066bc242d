//! A suite that cannot fail is worthless: each bucket here has one flaw, and the check that is there for it must see it.

#![expect(clippy::unwrap_used, reason = "a helper of a test may panic")]

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt as _, stream};
use milepost_core::{Crc64Nvme, ObjectKey};
use milepost_store::bucket::{
    DeleteOutcome, GetReply, ListPage, ListRequest, ObjectMeta, OpenUpload, PartInfo, PartLimits, PutMode, UploadId,
    UploadQuery,
};
use milepost_store::{Bucket, BucketError, BucketErrorKind, ETag, MemoryBucket};
use milepost_testkit::bucket_suite::{CHECKS, SuiteOptions, conforms};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flaw {
    None,
    IgnoresConditions,
    ReplaceCreates,
    ChecksThenWrites,
    WritesBeforeItChecks,
    OverwriteNeedsNothingThere,
    IgnoresChecksums,
    EtagIsTheLength,
    ListsOtherEtags,
    TearsLargeReads,
    RangesIncludeTheirEnd,
    RangesBehindTheEndFail,
    RangeRepliesSayTheRangesSize,
    InventsChecksums,
    InventsAges,
    ListsInFolderOrder,
    ListsBackwards,
    LosesTheLastOfAPage,
    RepeatsTheLastOfAPage,
    FoldsNothing,
    PagesInsideFolders,
    PrefixesAreTexts,
    DecodesPlus,
    PagesEndAtAThousand,
    LosesDeletes,
    DeletesByPrefix,
    DeletingNothingFails,
    ForgetsOutcomes,
    KeepsDroppings,
    JoinsPartsAsTheyCame,
    KeepsTheFirstOfEqualParts,
    CompletesOverWhatIsThere,
    CompletionFailuresCloseTheUpload,
    CompletesWithoutLooking,
    AbortsOnce,
    AbortsNothing,
    UploadsMixKeys,
    HidesUploads,
    ShowsOpenUploads,
    OneUploadPerKey,
    Hangs,
}

#[derive(Debug)]
struct Broken {
    inner: MemoryBucket,
    flaw: Flaw,
    /// Conditions that were found to hold by [`Flaw::ChecksThenWrites`].
    held: AtomicU64,
}

impl Broken {
    fn new(flaw: Flaw) -> Self {
        Self { inner: MemoryBucket::new("broken"), flaw, held: AtomicU64::new(0) }
    }

    fn is(&self, flaw: Flaw) -> bool {
        self.flaw == flaw
    }
}

/// Waits for a sign, for half a second at most.
async fn waited_for(sign: impl Fn() -> bool) {
    for _ in 0..100 {
        if sign() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn precondition() -> BucketError {
    BucketError::new(BucketErrorKind::Precondition, "the condition does not hold")
}

impl Bucket for Broken {
    fn location(&self) -> String {
        format!("{:?}", self.flaw)
    }

    fn part_limits(&self) -> PartLimits {
        self.inner.part_limits()
    }

    async fn free_space(&self) -> Result<Option<u64>, BucketError> {
        self.inner.free_space().await
    }

    async fn put(&self, key: &ObjectKey, body: Bytes, crc: Crc64Nvme, mode: PutMode) -> Result<ETag, BucketError> {
        if self.is(Flaw::TearsLargeReads) {
            // Else one task would have written all that it writes before another reads.
            tokio::task::yield_now().await;
        }
        let there = self.inner.bytes(key.as_str()).is_some();
        let crc = if self.is(Flaw::IgnoresChecksums) { Crc64Nvme::of(&body) } else { crc };
        let mode = match (self.flaw, mode) {
            (Flaw::IgnoresConditions, _) => PutMode::Overwrite,
            (Flaw::ReplaceCreates, PutMode::Replace(_)) if !there => PutMode::Create,
            (Flaw::ChecksThenWrites, mode) => {
                let found = self.inner.head(key).await.ok().map(|meta| meta.etag);
                let holds = match &mode {
                    PutMode::Create => found.is_none(),
                    PutMode::Replace(etag) => found.as_ref() == Some(etag),
                    PutMode::Overwrite => true,
                };
                if !holds {
                    return Err(precondition());
                }
                // Until somebody else has looked as well, so that there is a race whatever the machine does; but nobody follows the last.
                let before = self.held.fetch_add(1, Ordering::SeqCst) + 1;
                if key.as_str().contains("racing_") {
                    waited_for(|| self.held.load(Ordering::SeqCst) > before).await;
                }
                PutMode::Overwrite
            }
            (Flaw::WritesBeforeItChecks, mode @ PutMode::Replace(_)) => {
                let result = self.inner.put(key, body.clone(), crc, mode).await;
                self.inner.put_raw(key.as_str(), body);
                return result;
            }
            (Flaw::OverwriteNeedsNothingThere, PutMode::Overwrite) => PutMode::Create,
            (_, mode) => mode,
        };
        if self.is(Flaw::KeepsDroppings) {
            self.inner.put_raw(format!("{key}.tmp"), "x");
        }
        if self.is(Flaw::DecodesPlus) {
            let decoded = ObjectKey::new(key.as_str().replace('+', " ")).unwrap();
            return self.inner.put(&decoded, body, crc, mode).await;
        }
        if self.is(Flaw::EtagIsTheLength) {
            let etag = ETag(body.len().to_string());
            let mode = match mode {
                PutMode::Replace(expected) if Some(&expected) == self.head(key).await.ok().map(|m| m.etag).as_ref() => {
                    PutMode::Overwrite
                }
                PutMode::Replace(_) => return Err(precondition()),
                mode => mode,
            };
            return self.inner.put(key, body, crc, mode).await.map(|_| etag);
        }
        self.inner.put(key, body, crc, mode).await
    }

    async fn get(&self, key: &ObjectKey, range: Option<Range<u64>>) -> Result<GetReply, BucketError> {
        if self.is(Flaw::Hangs) {
            std::future::pending::<()>().await;
        }
        let range = match range {
            Some(range) if self.is(Flaw::RangesIncludeTheirEnd) => Some(range.start..range.end.saturating_add(1)),
            Some(range) if self.is(Flaw::RangesBehindTheEndFail) => {
                if range.start >= self.inner.head(key).await?.size {
                    return Err(BucketError::new(BucketErrorKind::Invalid, "range not satisfiable"));
                }
                Some(range)
            }
            range => range,
        };
        let mut reply = self.inner.get(key, range.clone()).await?;
        if self.is(Flaw::EtagIsTheLength) {
            reply.meta.etag = ETag(reply.meta.size.to_string());
        }
        if let Some(range) = range.filter(|_| self.is(Flaw::RangeRepliesSayTheRangesSize)) {
            reply.meta.size = range.end.saturating_sub(range.start);
        }
        if self.is(Flaw::TearsLargeReads) && reply.meta.size > 64 * 1024 {
            let size = reply.meta.size;
            let (bucket, key) = (self.inner.clone(), key.clone());
            let before = self.inner.bytes(key.as_str());
            let halves = stream::iter([0..size / 2, size / 2..size]).then(move |half| {
                let (bucket, key, before) = (bucket.clone(), key.clone(), before.clone());
                async move {
                    if half.start > 0 {
                        // Until somebody has written, if anybody does.
                        waited_for(|| bucket.bytes(key.as_str()) != before).await;
                    }
                    let mut out = Vec::new();
                    let mut body = bucket.get(&key, Some(half)).await?.body;
                    while let Some(chunk) = body.next().await {
                        out.extend_from_slice(&chunk?);
                    }
                    Ok(Bytes::from(out))
                }
            });
            reply.body = halves.boxed();
        }
        Ok(reply)
    }

    async fn head(&self, key: &ObjectKey) -> Result<ObjectMeta, BucketError> {
        let mut meta = self.inner.head(key).await?;
        match self.flaw {
            Flaw::InventsChecksums => meta.crc64nvme = Some(Crc64Nvme(meta.size)),
            Flaw::InventsAges => meta.age = Some(Duration::from_secs(1_000_000)),
            Flaw::EtagIsTheLength => meta.etag = ETag(meta.size.to_string()),
            _ => {}
        }
        Ok(meta)
    }

    async fn list(&self, request: ListRequest) -> Result<ListPage, BucketError> {
        let mut asked = request.clone();
        match self.flaw {
            Flaw::FoldsNothing => asked.delimiter = false,
            Flaw::PrefixesAreTexts => asked.prefix = asked.prefix.trim_end_matches('/').to_owned(),
            Flaw::PagesInsideFolders if asked.delimiter => {
                // Folds what one page of keys shows, so that a folder appears on each page that its keys fill.
                let page = self.inner.list(ListRequest { delimiter: false, ..asked }).await?;
                let mut folded = ListPage { next: page.next, ..ListPage::default() };
                for object in page.objects {
                    match object.key[request.prefix.len()..].find('/') {
                        Some(at) => folded.folders.push(object.key[..=request.prefix.len() + at].to_owned()),
                        None => folded.objects.push(object),
                    }
                }
                folded.folders.dedup();
                return Ok(folded);
            }
            _ => {}
        }
        let mut page = self.inner.list(asked).await?;
        match self.flaw {
            Flaw::ListsBackwards => page.objects.reverse(),
            Flaw::ListsInFolderOrder => {
                page.objects.sort_by(|a, b| a.key.split('/').cmp(b.key.split('/')));
            }
            Flaw::LosesTheLastOfAPage if page.next.is_some() => drop(page.objects.pop()),
            Flaw::RepeatsTheLastOfAPage => {
                if let Some(last) = page.objects.last().filter(|_| page.next.is_some()) {
                    page.next.as_mut().unwrap().0 = last.key.clone();
                }
            }
            Flaw::PagesEndAtAThousand if page.objects.len() == 1000 => page.next = None,
            Flaw::ListsOtherEtags => page.objects.iter_mut().for_each(|object| object.etag.0 += "-listed"),
            Flaw::EtagIsTheLength => {
                page.objects.iter_mut().for_each(|object| object.etag = ETag(object.size.to_string()));
            }
            _ => {}
        }
        Ok(page)
    }

    async fn delete(&self, keys: Vec<String>) -> Result<Vec<DeleteOutcome>, BucketError> {
        let mut keys = keys;
        match self.flaw {
            Flaw::LosesDeletes => keys = keys.into_iter().map(|key| key + "-not").collect(),
            Flaw::DeletesByPrefix => {
                let below = |key: &String| keys.iter().any(|gone| key.starts_with(gone.as_str()));
                let gone = self.inner.keys().into_iter().filter(below).collect::<Vec<_>>();
                self.inner.delete(gone).await?;
            }
            Flaw::DeletingNothingFails => {
                if let Some(absent) = keys.iter().find(|key| self.inner.bytes(key).is_none()) {
                    return Err(BucketError::new(BucketErrorKind::NotFound, absent.clone()));
                }
            }
            _ => {}
        }
        let mut outcomes = self.inner.delete(keys).await?;
        if self.is(Flaw::LosesDeletes) {
            outcomes.iter_mut().for_each(|outcome| outcome.key.truncate(outcome.key.len() - "-not".len()));
        }
        if self.is(Flaw::ForgetsOutcomes) {
            outcomes.truncate(999);
        }
        Ok(outcomes)
    }

    async fn create_upload(&self, key: &ObjectKey, part_size: u64) -> Result<UploadId, BucketError> {
        if self.is(Flaw::ShowsOpenUploads) {
            self.inner.put_raw(key.as_str(), "");
        }
        if self.is(Flaw::OneUploadPerKey)
            && let Some(open) = self.inner.list_uploads(UploadQuery::Key(key.clone())).await?.pop()
        {
            return Ok(open.upload);
        }
        self.inner.create_upload(key, part_size).await
    }

    async fn upload_part(
        &self,
        key: &ObjectKey,
        upload: &UploadId,
        number: u32,
        body: Bytes,
        crc: Crc64Nvme,
    ) -> Result<PartInfo, BucketError> {
        let held = || self.inner.list_parts(key, upload);
        match self.flaw {
            Flaw::KeepsTheFirstOfEqualParts => {
                if let Some(part) = held().await?.into_iter().find(|part| part.number == number) {
                    return Ok(part);
                }
            }
            Flaw::JoinsPartsAsTheyCame => {
                let next = held().await?.len() as u32 + 1;
                let info = self.inner.upload_part(key, upload, next, body, crc).await?;
                return Ok(PartInfo { number, ..info });
            }
            _ => {}
        }
        self.inner.upload_part(key, upload, number, body, crc).await
    }

    async fn list_parts(&self, key: &ObjectKey, upload: &UploadId) -> Result<Vec<PartInfo>, BucketError> {
        self.inner.list_parts(key, upload).await
    }

    async fn complete_upload(
        &self,
        key: &ObjectKey,
        upload: &UploadId,
        parts: &[PartInfo],
        crc: Crc64Nvme,
    ) -> Result<ETag, BucketError> {
        match self.flaw {
            Flaw::CompletesOverWhatIsThere => drop(self.inner.remove_raw(key.as_str())),
            Flaw::UploadsMixKeys => {
                let own = self.inner.list_uploads(UploadQuery::Prefix(String::new())).await?;
                if let Some(open) = own.into_iter().find(|open| open.upload == *upload) {
                    let own = ObjectKey::new(open.key).unwrap();
                    return self.inner.complete_upload(&own, upload, parts, crc).await;
                }
            }
            Flaw::CompletesWithoutLooking => {
                let parts = self.inner.list_parts(key, upload).await?;
                if let Err(error) = self.inner.complete_upload(key, upload, &parts, crc).await {
                    if error.kind != BucketErrorKind::BadDigest {
                        return Err(error);
                    }
                    self.inner.put_raw(key.as_str(), "whatever");
                    self.inner.abort_upload(key, upload).await?;
                    return Ok(self.inner.head(key).await?.etag);
                }
                return Ok(self.inner.head(key).await?.etag);
            }
            _ => {}
        }
        let result = self.inner.complete_upload(key, upload, parts, crc).await;
        if result.is_err() && self.is(Flaw::CompletionFailuresCloseTheUpload) {
            self.inner.abort_upload(key, upload).await?;
        }
        result
    }

    async fn abort_upload(&self, key: &ObjectKey, upload: &UploadId) -> Result<(), BucketError> {
        match self.flaw {
            Flaw::AbortsNothing => Ok(()),
            Flaw::AbortsOnce => {
                self.inner.list_parts(key, upload).await?;
                self.inner.abort_upload(key, upload).await
            }
            _ => self.inner.abort_upload(key, upload).await,
        }
    }

    async fn list_uploads(&self, query: UploadQuery) -> Result<Vec<OpenUpload>, BucketError> {
        if self.is(Flaw::HidesUploads) { Ok(Vec::new()) } else { self.inner.list_uploads(query).await }
    }
}

/// The names of the checks that saw something.
async fn seen(flaw: Flaw) -> Vec<&'static str> {
    let time_limit = if flaw == Flaw::Hangs { Duration::from_millis(50) } else { Duration::from_secs(120) };
    let options = SuiteOptions { time_limit, ..SuiteOptions::default() };
    match conforms(async || Broken::new(flaw), &options).await {
        Ok(()) => Vec::new(),
        Err(failure) => {
            assert_eq!(failure.run, CHECKS.len());
            assert!(failure.to_string().starts_with(&format!("{flaw:?}: {} of ", failure.failed.len())), "{failure}");
            failure.failed.into_iter().map(|failed| failed.check).collect()
        }
    }
}

macro_rules! caught {
    ($($test:ident: $flaw:ident => $check:ident;)+) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn $test() {
                let seen = seen(Flaw::$flaw).await;
                assert!(seen.contains(&stringify!($check)), "{:?} was seen only by {seen:?}", Flaw::$flaw);
            }
        )+
    };
}

caught! {
    ignored_conditions: IgnoresConditions => create_writes_once;
    ignored_conditions_in_races: IgnoresConditions => racing_creates_have_one_winner;
    stale_replaces: IgnoresConditions => replace_needs_the_content_it_names;
    replace_that_creates: ReplaceCreates => replace_of_an_absent_key_writes_nothing;
    check_then_create: ChecksThenWrites => racing_creates_have_one_winner;
    check_then_replace: ChecksThenWrites => racing_replaces_have_one_winner;
    write_before_check: WritesBeforeItChecks => replace_needs_the_content_it_names;
    refused_overwrite: OverwriteNeedsNothingThere => overwrite_needs_nothing;
    ignored_checksums: IgnoresChecksums => a_wrong_checksum_writes_nothing;
    etags_of_the_length: EtagIsTheLength => a_changed_document_has_another_etag;
    other_etags_in_listings: ListsOtherEtags => etags_agree_and_are_stable;
    torn_reads: TearsLargeReads => readers_see_whole_contents;
    inclusive_ranges: RangesIncludeTheirEnd => ranges_are_cut_to_the_object;
    failing_ranges: RangesBehindTheEndFail => ranges_are_cut_to_the_object;
    failing_ranges_of_nothing: RangesBehindTheEndFail => an_empty_object_has_empty_ranges;
    sizes_of_ranges: RangeRepliesSayTheRangesSize => ranges_are_cut_to_the_object;
    invented_checksums: InventsChecksums => the_stored_checksum_is_the_real_one;
    invented_ages: InventsAges => the_store_says_what_it_is;
    folder_order: ListsInFolderOrder => keys_come_in_byte_order;
    backwards: ListsBackwards => pages_of_every_size_show_everything_once;
    lost_at_borders: LosesTheLastOfAPage => pages_of_every_size_show_everything_once;
    repeated_at_borders: RepeatsTheLastOfAPage => pages_of_every_size_show_everything_once;
    no_folders: FoldsNothing => folders_are_folded_and_paged;
    folders_on_two_pages: PagesInsideFolders => folders_are_folded_and_paged;
    neighbours: PrefixesAreTexts => a_prefix_never_reaches_its_neighbour;
    decoded_names: DecodesPlus => odd_names_are_kept_as_they_are;
    a_thousand_is_all: PagesEndAtAThousand => more_keys_than_a_page_holds;
    lost_deletes: LosesDeletes => a_delete_is_seen_at_once;
    greedy_deletes: DeletesByPrefix => neighbours_of_a_deleted_key_stay;
    strict_deletes: DeletingNothingFails => deleting_what_is_absent_succeeds;
    forgotten_outcomes: ForgetsOutcomes => a_thousand_keys_have_a_thousand_outcomes;
    droppings: KeepsDroppings => create_writes_once;
    parts_as_they_came: JoinsPartsAsTheyCame => parts_in_any_order_make_the_object;
    first_part_wins: KeepsTheFirstOfEqualParts => a_part_sent_again_replaces_the_first;
    completion_overwrites: CompletesOverWhatIsThere => completing_onto_an_existing_key_changes_nothing;
    completion_overwrites_in_races: CompletesOverWhatIsThere => racing_completions_have_one_winner;
    failed_completion_closes: CompletionFailuresCloseTheUpload => completing_onto_an_existing_key_changes_nothing;
    unchecked_completion: CompletesWithoutLooking => a_wrong_whole_checksum_completes_nothing;
    abort_twice: AbortsOnce => aborting_is_final_and_repeatable;
    abort_ignored: AbortsNothing => aborting_is_final_and_repeatable;
    mixed_keys: UploadsMixKeys => an_open_upload_is_no_object;
    hidden_uploads: HidesUploads => open_uploads_are_listed;
    visible_uploads: ShowsOpenUploads => an_open_upload_is_no_object;
    shared_uploads: OneUploadPerKey => uploads_of_one_key_are_separate;
    hanging: Hangs => absent_keys_are_not_found;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_wrapper_itself_has_no_flaw() {
    assert_eq!(seen(Flaw::None).await, Vec::<&str>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_a_store_cannot_is_left_out_when_said() {
    let options = SuiteOptions { put_checksums: false, upload_checksums: false, ..SuiteOptions::default() };
    conforms(async || Broken::new(Flaw::IgnoresChecksums), &options).await.unwrap();
    let options = SuiteOptions { skip: vec!["the_stored_checksum_is_the_real_one"], ..SuiteOptions::default() };
    conforms(async || Broken::new(Flaw::InventsChecksums), &options).await.unwrap();
}
