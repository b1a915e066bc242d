//! Multipart uploads: parts, completion, abortion, listings of what is open.

use milepost_core::Crc64Nvme;
use milepost_store::bucket::{OpenUpload, PartInfo, UploadId, UploadQuery};
use milepost_store::{Bucket, BucketErrorKind};

use super::client::{Client, bytes, refused};
use crate::check::{Checked, Doing as _, Seen, ensure, ensure_eq};

fn numbers(parts: &[PartInfo]) -> Vec<(u32, u64)> {
    parts.iter().map(|part| (part.number, part.size)).collect()
}

async fn parts<B: Bucket>(
    client: &Client<B>,
    key: &milepost_core::ObjectKey,
    upload: &UploadId,
) -> Checked<Vec<PartInfo>> {
    let listed = client.bucket.list_parts(key, upload).await.doing(format_args!("listing the parts of {key}"))?;
    ensure!(listed.is_sorted_by(|a, b| a.number < b.number), "parts of {key} are listed out of order");
    Ok(listed)
}

pub(super) async fn parts_in_any_order_make_the_object<B: Bucket>(client: Client<B>) -> Checked {
    let size = client.part_size();
    // A last part that is shorter, and one that is as long as the others.
    for (name, len) in [("short", size * 2 + size / 2 + 1), ("even", size * 3), ("single", size / 2)] {
        let (key, body) = (client.key(&format!("folder/{name}"))?, bytes(len as u64, len));
        let upload = client.begin(&key).await?;
        ensure_eq!(numbers(&parts(&client, &key, &upload).await?), [], "parts of a new upload");
        let count = len.div_ceil(size);
        let mut order: Vec<usize> = (0..count).rev().collect();
        order.rotate_left(count / 2);
        let mut sent = Vec::new();
        for at in order {
            let part = body.slice(at * size..((at + 1) * size).min(len));
            let info = client.part(&key, &upload, at as u32 + 1, &part).await;
            let info = info.doing(format_args!("sending part {} of {key}", at + 1))?;
            ensure_eq!((info.number, info.size), (at as u32 + 1, part.len() as u64), "what was said of a part");
            if let Some(crc) = info.crc64nvme {
                ensure_eq!(crc, Crc64Nvme::of(&part), "checksum of part {}", at + 1);
            }
            sent.push(info);
        }
        sent.sort_by_key(|part| part.number);
        let listed = parts(&client, &key, &upload).await?;
        ensure_eq!(numbers(&listed), numbers(&sent), "parts of {key} by the listing");
        let told = |parts: &[PartInfo]| parts.iter().map(|part| part.etag.clone()).collect::<Vec<_>>();
        ensure_eq!(told(&listed), told(&sent), "ETags of the parts of {key}");
        // A resume completes with what the store lists, not with what it was told by a process that is no more.
        let etag = client.complete(&key, &upload, &listed, &body).await.doing(format_args!("completing {key}"))?;
        ensure_eq!(client.holds(&key, &body, "after a completion").await?, etag, "ETag that the completion gave");
    }
    Ok(())
}

pub(super) async fn a_part_sent_again_replaces_the_first<B: Bucket>(client: Client<B>) -> Checked {
    let size = client.part_size();
    let (key, body) = (client.key("a")?, bytes(1, size * 2 + 1));
    let upload = client.begin(&key).await?;
    let sends = [(1, bytes(9, size)), (3, bytes(8, size)), (2, body.slice(size..size * 2))];
    for (number, part) in &sends {
        client.part(&key, &upload, *number, part).await.doing("sending a part")?;
    }
    // The same again, another content, and a last part that is shorter than at first.
    for (number, part) in [(2, body.slice(size..size * 2)), (1, body.slice(..size)), (3, body.slice(size * 2..))] {
        client.part(&key, &upload, number, &part).await.doing(format_args!("sending part {number} again"))?;
    }
    let listed = parts(&client, &key, &upload).await?;
    ensure_eq!(numbers(&listed), [(1, size as u64), (2, size as u64), (3, 1)], "parts after sending all again");
    client.complete(&key, &upload, &listed, &body).await.doing("completing with replaced parts")?;
    client.holds(&key, &body, "after completing with replaced parts").await?;
    client.shows(&["a"], "after a completion").await
}

pub(super) async fn an_open_upload_is_no_object<B: Bucket>(client: Client<B>) -> Checked {
    let (key, body) = (client.key("folder/a")?, bytes(1, client.part_size() + 1));
    let (upload, sent) = client.uploaded(&key, &body).await?;
    client.absent(&key, "while its upload is open").await?;
    client.shows(&[], "while an upload is open").await?;
    let wrong = client.key("folder/b")?;
    let other = client.complete(&wrong, &upload, &sent, &body).await;
    refused(other, BucketErrorKind::NoSuchUpload, "completing another key's upload")?;
    client.complete(&key, &upload, &sent, &body).await.doing("completing")?;
    client.holds(&key, &body, "after the completion").await?;
    client.shows(&["folder/a"], "after the completion").await
}

pub(super) async fn a_wrong_whole_checksum_completes_nothing<B: Bucket>(client: Client<B>) -> Checked {
    let (key, body) = (client.key("a")?, bytes(1, client.part_size() + 1));
    if client.options.put_checksums {
        let upload = client.begin(&key).await?;
        let part = body.slice(..client.part_size());
        let wrong = Crc64Nvme(!Crc64Nvme::of(&part).0);
        let sent = client.bucket.upload_part(&key, &upload, 1, part, wrong).await;
        refused(sent, BucketErrorKind::BadDigest, "a part with a wrong checksum")?;
        client.bucket.abort_upload(&key, &upload).await.doing("aborting")?;
    }
    if client.options.upload_checksums {
        let (upload, sent) = client.uploaded(&key, &body).await?;
        let wrong = Crc64Nvme(!Crc64Nvme::of(&body).0);
        let completed = client.bucket.complete_upload(&key, &upload, &sent, wrong).await;
        refused(completed, BucketErrorKind::BadDigest, "completing with a wrong checksum")?;
        client.absent(&key, "after completing with a wrong checksum").await?;
        client.bucket.abort_upload(&key, &upload).await.doing("aborting after a wrong checksum")?;
    }
    client.shows(&[], "after wrong checksums").await
}

pub(super) async fn completing_onto_an_existing_key_changes_nothing<B: Bucket>(client: Client<B>) -> Checked {
    let (key, body, there) = (client.key("a")?, bytes(1, client.part_size() + 1), bytes(2, 50));
    let (upload, sent) = client.uploaded(&key, &body).await?;
    let etag = client.create(&key, &there).await?;
    for _ in 0..2 {
        let completed = client.complete(&key, &upload, &sent, &body).await;
        refused(completed, BucketErrorKind::Precondition, "completing onto an existing key")?;
        ensure_eq!(client.holds(&key, &there, "after a refused completion").await?, etag, "ETag of what was there");
    }
    let listed = parts(&client, &key, &upload).await?;
    ensure_eq!(numbers(&listed), numbers(&sent), "parts after a refused completion, which leaves the upload open");
    client.bucket.delete(vec![key.as_str().to_owned()]).await.doing("deleting what was there")?;
    client.complete(&key, &upload, &sent, &body).await.doing("completing once the key is free")?;
    client.holds(&key, &body, "after the completion").await?;
    client.shows(&["a"], "after the completion").await
}

pub(super) async fn aborting_is_final_and_repeatable<B: Bucket>(client: Client<B>) -> Checked {
    let (key, body) = (client.key("a")?, bytes(1, client.part_size() + 1));
    let (upload, sent) = client.uploaded(&key, &body).await?;
    for turn in 1..=3 {
        client.bucket.abort_upload(&key, &upload).await.doing(format_args!("aborting, time {turn}"))?;
    }
    let part = client.part(&key, &upload, 2, &body.slice(client.part_size()..)).await;
    refused(part, BucketErrorKind::NoSuchUpload, "a part after the abortion")?;
    let listed = client.bucket.list_parts(&key, &upload).await;
    refused(listed, BucketErrorKind::NoSuchUpload, "the parts of an aborted upload")?;
    let completed = client.complete(&key, &upload, &sent, &body).await;
    refused(completed, BucketErrorKind::NoSuchUpload, "completing an aborted upload")?;
    let open = client.open(UploadQuery::Key(key.clone())).await?;
    ensure!(open.is_empty(), "an aborted upload is listed as open: {open:?}");
    client.absent(&key, "after the abortion").await?;
    client.shows(&[], "after the abortion").await
}

pub(super) async fn a_completed_upload_takes_nothing_more<B: Bucket>(client: Client<B>) -> Checked {
    let (key, body) = (client.key("a")?, bytes(1, client.part_size() + 1));
    let (upload, sent) = client.uploaded(&key, &body).await?;
    client.complete(&key, &upload, &sent, &body).await.doing("completing")?;
    let part = client.part(&key, &upload, 1, &bytes(2, client.part_size())).await;
    refused(part, BucketErrorKind::NoSuchUpload, "a part after the completion")?;
    let listed = client.bucket.list_parts(&key, &upload).await;
    refused(listed, BucketErrorKind::NoSuchUpload, "the parts of a completed upload")?;
    // A store may look at the key or at the upload first.
    match client.complete(&key, &upload, &sent, &body).await {
        Err(error) if matches!(error.kind, BucketErrorKind::NoSuchUpload | BucketErrorKind::Precondition) => {}
        other => return Err(Seen(format!("completing twice: expected NoSuchUpload or Precondition, found {other:?}"))),
    }
    client.bucket.abort_upload(&key, &upload).await.doing("aborting what was completed")?;
    let open = client.open(UploadQuery::Key(key.clone())).await?;
    ensure!(open.is_empty(), "a completed upload is listed as open: {open:?}");
    client.holds(&key, &body, "after all that").await?;
    client.shows(&["a"], "after all that").await
}

pub(super) async fn open_uploads_are_listed<B: Bucket>(client: Client<B>) -> Checked {
    let names = ["1/10/2/segments/a", "1/10/2/snapshots/b c", "1/100/2/segments/a"];
    let mut begun = Vec::new();
    for (seed, name) in (1u64..).zip(names) {
        let key = client.key(name)?;
        let body = bytes(seed, client.part_size());
        let (upload, _) = client.uploaded(&key, &body).await?;
        begun.push((key, upload));
    }
    let of = |open: Vec<OpenUpload>| {
        let mut found: Vec<(String, String)> = open.into_iter().map(|open| (open.key, open.upload.0)).collect();
        found.sort();
        found
    };
    let expected = |range: std::ops::Range<usize>| {
        begun[range].iter().map(|(key, upload)| (key.as_str().to_owned(), upload.0.clone())).collect::<Vec<_>>()
    };
    for (at, (key, _)) in begun.iter().enumerate() {
        let open = of(client.open(UploadQuery::Key(key.clone())).await?);
        ensure_eq!(open, expected(at..at + 1), "open uploads of exactly {key}");
    }
    let none = client.open(UploadQuery::Key(client.key("1/10/2/segments")?)).await?;
    ensure!(none.is_empty(), "uploads of a key that is only a folder: {none:?}");
    if client.options.uploads_listed_by_prefix {
        let own = of(client.open(UploadQuery::Prefix(client.prefix() + "1/10/")).await?);
        ensure_eq!(own, expected(0..2), "open uploads below 1/10/, not those below 1/100/");
        let all = of(client.open(UploadQuery::Prefix(String::new())).await?);
        for upload in expected(0..3) {
            ensure!(all.contains(&upload), "{upload:?} is not among all open uploads");
        }
    }
    for (key, upload) in &begun {
        client.bucket.abort_upload(key, upload).await.doing("aborting")?;
        let open = client.open(UploadQuery::Key(key.clone())).await?;
        ensure!(open.is_empty(), "{key}: an aborted upload is listed as open: {open:?}");
    }
    client.shows(&[], "after aborting all").await
}

pub(super) async fn uploads_of_one_key_are_separate<B: Bucket>(client: Client<B>) -> Checked {
    let (key, len) = (client.key("a")?, client.part_size() + 1);
    let (first, second) = (bytes(1, len), bytes(2, len));
    let (one, of_one) = client.uploaded(&key, &first).await?;
    let (two, of_two) = client.uploaded(&key, &second).await?;
    ensure!(one != two, "two uploads of one key have the same id {one:?}");
    let open = client.open(UploadQuery::Key(key.clone())).await?;
    ensure_eq!(open.len(), 2, "number of open uploads of one key");
    client.bucket.abort_upload(&key, &one).await.doing("aborting the first")?;
    ensure_eq!(numbers(&parts(&client, &key, &two).await?), numbers(&of_two), "parts of the second");
    let completed = client.complete(&key, &one, &of_one, &first).await;
    refused(completed, BucketErrorKind::NoSuchUpload, "completing the aborted one")?;
    client.complete(&key, &two, &of_two, &second).await.doing("completing the second")?;
    client.holds(&key, &second, "after completing the second").await.map(drop)
}
