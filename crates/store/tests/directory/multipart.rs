use std::time::Duration;

use bytes::Bytes;
use milepost_core::Crc64Nvme;
use milepost_store::bucket::{PartInfo, UploadId, UploadQuery};
use milepost_store::{Bucket as _, BucketError, BucketErrorKind as K, DirectoryBucket};

use crate::common::*;

const PART: u64 = 1000;

async fn send(
    bucket: &DirectoryBucket,
    name: &str,
    id: &UploadId,
    n: u32,
    body: &[u8],
) -> Result<PartInfo, BucketError> {
    bucket.upload_part(&key(name), id, n, Bytes::copy_from_slice(body), Crc64Nvme::of(body)).await
}

async fn complete(
    bucket: &DirectoryBucket,
    name: &str,
    id: &UploadId,
    parts: &[PartInfo],
    body: &[u8],
) -> Result<milepost_store::ETag, BucketError> {
    bucket.complete_upload(&key(name), id, parts, Crc64Nvme::of(body)).await
}

fn content(len: usize) -> Vec<u8> {
    (0..len).map(|n| (n * 31 % 251) as u8).collect()
}

async fn send_all(bucket: &DirectoryBucket, name: &str, id: &UploadId, body: &[u8]) -> Vec<PartInfo> {
    let mut parts = Vec::new();
    // Last one first.
    for (n, part) in body.chunks(PART as usize).enumerate().rev() {
        parts.push(send(bucket, name, id, n as u32 + 1, part).await.unwrap());
    }
    parts.reverse();
    parts
}

#[tokio::test]
async fn parts_in_any_order_make_the_object() {
    let (root, bucket) = bucket();
    for (name, len) in [("a/b/large", 4500), ("a/doc.json", 2000), ("short", 1), ("whole", 3000)] {
        let body = content(len);
        let id = bucket.create_upload(&key(name), PART).await.unwrap();
        let parts = send_all(&bucket, name, &id, &body).await;
        assert_eq!(bucket.list_parts(&key(name), &id).await.unwrap(), parts);
        assert_eq!(bucket.head(&key(name)).await.unwrap_err().kind, K::NotFound);
        assert!(names(&bucket, "", false, 1000).await.iter().all(|listed| listed != name));
        let etag = complete(&bucket, name, &id, &parts, &body).await.unwrap();
        let meta = bucket.head(&key(name)).await.unwrap();
        assert_eq!((meta.size, meta.etag, meta.crc64nvme), (len as u64, etag.clone(), Some(Crc64Nvme::of(&body))));
        assert_eq!(read(&bucket, name, None).await.unwrap(), body);
        let listed = page(&bucket, milepost_store::bucket::ListRequest::all("")).await.objects;
        assert_eq!(listed.iter().find(|object| object.key == name).unwrap().etag, etag);
        for error in [
            complete(&bucket, name, &id, &parts, &body).await.unwrap_err(),
            send(&bucket, name, &id, 1, b"late").await.unwrap_err(),
            bucket.list_parts(&key(name), &id).await.unwrap_err(),
        ] {
            assert_eq!((error.kind, error.maybe_applied), (K::NoSuchUpload, false));
        }
        bucket.abort_upload(&key(name), &id).await.unwrap();
        assert_eq!(read(&bucket, name, None).await.unwrap(), body, "a late abort harms nothing");
    }
    assert_eq!(std::fs::read_dir(root.path().join(".milepost/uploads")).unwrap().count(), 0);
    assert!(temp_files(root.path()).is_empty());
}

#[tokio::test]
async fn a_part_sent_again_replaces_the_old_one() {
    let (_root, bucket) = bucket();
    let id = bucket.create_upload(&key("k"), PART).await.unwrap();
    let body = content(1500);
    let old = send(&bucket, "k", &id, 2, &[9; 900]).await.unwrap();
    let one = send(&bucket, "k", &id, 1, &body[..1000]).await.unwrap();
    let two = send(&bucket, "k", &id, 2, &body[1000..]).await.unwrap();
    assert_ne!(old.etag, two.etag);
    assert_eq!(send(&bucket, "k", &id, 2, &body[1000..]).await.unwrap(), two);
    assert_eq!(bucket.list_parts(&key("k"), &id).await.unwrap(), [one.clone(), two.clone()]);
    assert_eq!(complete(&bucket, "k", &id, &[one.clone(), old], &body).await.unwrap_err().kind, K::Invalid);
    complete(&bucket, "k", &id, &[one, two], &body).await.unwrap();
    assert_eq!(read(&bucket, "k", None).await.unwrap(), body, "the longer old part's end is cut off");
}

#[tokio::test]
async fn an_unfit_completion_leaves_the_upload_open() {
    let (_root, bucket) = bucket();
    let id = bucket.create_upload(&key("k"), PART).await.unwrap();
    let body = content(2500);
    let parts = send_all(&bucket, "k", &id, &body).await;
    let short = send(&bucket, "k", &id, 4, b"x").await.unwrap();
    let unfit: [(&[PartInfo], K); 6] = [
        (&[], K::Invalid),
        (&parts[1..], K::Invalid),
        (&[parts[0].clone(), parts[2].clone()], K::Invalid),
        (&[parts[1].clone(), parts[0].clone()], K::Invalid),
        (&[parts[0].clone(), parts[1].clone(), parts[2].clone(), short], K::Invalid),
        (&parts[..2], K::BadDigest),
    ];
    for (parts, kind) in unfit {
        assert_eq!(complete(&bucket, "k", &id, parts, &body).await.unwrap_err().kind, kind, "{parts:?}");
    }
    create(&bucket, "k", "taken").await;
    let taken = complete(&bucket, "k", &id, &parts, &body).await.unwrap_err();
    assert_eq!((taken.kind, taken.maybe_applied), (K::Precondition, false));
    assert_eq!(bucket.list_parts(&key("k"), &id).await.unwrap().len(), 4);
    bucket.delete(vec!["k".to_owned()]).await.unwrap();
    complete(&bucket, "k", &id, &parts, &body).await.unwrap();
    assert_eq!(read(&bucket, "k", None).await.unwrap(), body);
}

#[tokio::test]
async fn unfit_parts_and_uploads_are_refused() {
    let (_root, bucket) = bucket();
    for size in [0, u64::MAX] {
        assert_eq!(bucket.create_upload(&key("k"), size).await.unwrap_err().kind, K::Invalid);
    }
    let id = bucket.create_upload(&key("k"), PART).await.unwrap();
    for number in [0, 10_001, u32::MAX] {
        assert_eq!(send(&bucket, "k", &id, number, b"x").await.unwrap_err().kind, K::Invalid);
    }
    assert_eq!(send(&bucket, "k", &id, 1, &content(1001)).await.unwrap_err().kind, K::Invalid);
    let bad = bucket.upload_part(&key("k"), &id, 1, Bytes::from_static(b"x"), Crc64Nvme(5)).await.unwrap_err();
    assert_eq!(bad.kind, K::BadDigest);
    assert!(bucket.list_parts(&key("k"), &id).await.unwrap().is_empty());
    // Ids that would leave the folder, that never were, or that are another key's.
    let hostile = ["", "..", "../locks", "../../k", "/etc", &"0".repeat(32), &"A".repeat(32), &"a/".repeat(16)];
    for id in hostile.map(|id| UploadId(id.to_owned())).iter().chain([&id]) {
        let name = "other";
        assert_eq!(send(&bucket, name, id, 1, b"x").await.unwrap_err().kind, K::NoSuchUpload);
        assert_eq!(bucket.list_parts(&key(name), id).await.unwrap_err().kind, K::NoSuchUpload);
        assert_eq!(complete(&bucket, name, id, &[], b"").await.unwrap_err().kind, K::NoSuchUpload);
        bucket.abort_upload(&key(name), id).await.unwrap();
    }
    send(&bucket, "k", &id, 10_000, b"x").await.unwrap();
    bucket.abort_upload(&key("k"), &id).await.unwrap();
    bucket.abort_upload(&key("k"), &id).await.unwrap();
    assert_eq!(send(&bucket, "k", &id, 1, b"x").await.unwrap_err().kind, K::NoSuchUpload);
}

#[tokio::test]
async fn open_uploads_are_found_by_prefix_and_by_key() {
    let (root, bucket) = bucket();
    let mut ids = Vec::new();
    for name in ["1/100/2/a", "1/100/2/a", "1/100/20/b", "2/1/1/c"] {
        ids.push(bucket.create_upload(&key(name), PART).await.unwrap());
    }
    let find = async |query| {
        let found = bucket.list_uploads(query).await.unwrap();
        assert!(found.iter().all(|upload| upload.age.unwrap() < Duration::from_secs(60)));
        found.into_iter().map(|upload| (upload.key, upload.upload)).collect::<Vec<_>>()
    };
    let expect = |which: &[(&str, usize)]| {
        let mut all: Vec<_> = which.iter().map(|(key, at)| ((*key).to_owned(), ids[*at].clone())).collect();
        all.sort_by(|a, b| (&a.0, &a.1.0).cmp(&(&b.0, &b.1.0)));
        all
    };
    let prefix = |prefix: &str| UploadQuery::Prefix(prefix.to_owned());
    let all = [("1/100/2/a", 0), ("1/100/2/a", 1), ("1/100/20/b", 2), ("2/1/1/c", 3)];
    assert_eq!(find(prefix("")).await, expect(&all));
    assert_eq!(find(prefix("1/100/2/")).await, expect(&all[..2]));
    assert_eq!(find(prefix("1/100/2")).await, expect(&all[..3]));
    assert_eq!(find(prefix("3/")).await, []);
    assert_eq!(find(UploadQuery::Key(key("1/100/2/a"))).await, expect(&all[..2]));
    assert_eq!(find(UploadQuery::Key(key("1/100/2"))).await, []);
    bucket.abort_upload(&key("1/100/2/a"), &ids[0]).await.unwrap();
    assert_eq!(find(prefix("1/100/2/")).await, expect(&all[1..2]));
    // Another process continues them.
    assert_eq!(open(root.path()).list_uploads(prefix("")).await.unwrap().len(), 3);
    // Damage is skipped, and aborted uploads of strangers' names are not looked at.
    let broken = root.path().join(".milepost/uploads").join(&ids[3].0).join("upload.json");
    std::fs::write(broken, "").unwrap();
    std::fs::create_dir(root.path().join(".milepost/uploads/stranger")).unwrap();
    assert_eq!(find(prefix("")).await, expect(&all[1..3]));
}

#[tokio::test]
async fn no_part_is_written_while_the_upload_is_completed() {
    let (root, bucket) = bucket();
    let bucket = bucket.with_lock_wait(Duration::from_millis(100));
    let id = bucket.create_upload(&key("k"), PART).await.unwrap();
    let part = send(&bucket, "k", &id, 1, b"x").await.unwrap();
    let data = root.path().join(".milepost/uploads").join(&id.0).join("data");
    // Another process writes a part.
    let writer = std::fs::File::open(&data).unwrap();
    writer.lock_shared().unwrap();
    let other = send(&bucket, "k", &id, 2, b"y").await;
    assert!(other.is_ok(), "parts go side by side");
    let error = complete(&bucket, "k", &id, std::slice::from_ref(&part), b"x").await.unwrap_err();
    assert_eq!((error.kind, error.maybe_applied), (K::Unavailable, false));
    assert!(error.message.contains(&id.0), "{}", error.message);
    drop(writer);
    // Another process completes.
    let completer = std::fs::File::open(&data).unwrap();
    completer.lock().unwrap();
    let error = send(&bucket, "k", &id, 1, b"z").await.unwrap_err();
    assert_eq!((error.kind, error.maybe_applied), (K::Unavailable, false));
    drop(completer);
    complete(&bucket, "k", &id, &[part], b"x").await.unwrap();
    assert_eq!(read(&bucket, "k", None).await.unwrap(), b"x");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn racing_completions_have_one_winner() {
    let (_root, bucket) = bucket();
    for round in 0..20 {
        let name = format!("r/{round}");
        let mut uploads = Vec::new();
        for n in 0..8u8 {
            let id = bucket.create_upload(&key(&name), PART).await.unwrap();
            let body = vec![n; 1500];
            let parts = send_all(&bucket, &name, &id, &body).await;
            uploads.push((id, parts, body));
        }
        // Each twice: the same upload must not be completed twice either.
        let calls = uploads.iter().chain(&uploads).map(|(id, parts, body)| complete(&bucket, &name, id, parts, body));
        let results = futures::future::join_all(calls).await;
        let won: Vec<usize> = results.iter().enumerate().filter(|(_, result)| result.is_ok()).map(|(n, _)| n).collect();
        assert_eq!(won.len(), 1, "{results:?}");
        assert!(
            results
                .iter()
                .filter_map(|result| result.as_ref().err())
                .all(|error| matches!(error.kind, K::Precondition | K::NoSuchUpload))
        );
        assert_eq!(read(&bucket, &name, None).await.unwrap(), uploads[won[0] % 8].2);
        let open = bucket.list_uploads(UploadQuery::Key(key(&name))).await.unwrap();
        assert_eq!(open.len(), 7, "the losers stay open");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn racing_writers_of_one_part_never_mix() {
    let (_root, bucket) = bucket();
    let id = bucket.create_upload(&key("k"), 1_000_000).await.unwrap();
    for round in 0..10 {
        let bodies: Vec<Vec<u8>> = (0..4u8).map(|n| vec![round * 4 + n; 1_000_000]).collect();
        let sent = futures::future::join_all(bodies.iter().map(|body| send(&bucket, "k", &id, 1, body))).await;
        let parts = bucket.list_parts(&key("k"), &id).await.unwrap();
        assert_eq!(parts.len(), 1, "round {round}: the bytes are those of one writer");
        assert!(sent.into_iter().any(|part| part.unwrap() == parts[0]));
    }
}
