//! What only the memory bucket promises; the rest is the conformance suite's business.

use std::time::Duration;

use super::*;

fn key(text: &str) -> ObjectKey {
    ObjectKey::new(text).unwrap()
}

async fn put(bucket: &MemoryBucket, name: &str, body: &'static [u8]) -> Result<ETag, BucketError> {
    bucket.put(&key(name), Bytes::from_static(body), Crc64Nvme::of(body), PutMode::Create).await
}

#[tokio::test]
async fn clones_share_one_content_and_etags_are_content_hashes() {
    let bucket = MemoryBucket::new("test");
    let first = put(&bucket, "a", b"same").await.unwrap();
    let second = put(&bucket.clone(), "b", b"same").await.unwrap();
    assert_eq!(first, second);
    assert_eq!(bucket.keys(), ["a", "b"]);
    assert_eq!(bucket.location(), "memory:test");
}

#[tokio::test(start_paused = true)]
async fn age_follows_tokios_clock() {
    let bucket = MemoryBucket::new("test");
    put(&bucket, "a", b"x").await.unwrap();
    let upload = bucket.create_upload(&key("b"), 1).await.unwrap();
    tokio::time::advance(Duration::from_secs(3600)).await;
    assert_eq!(bucket.head(&key("a")).await.unwrap().age, Some(Duration::from_secs(3600)));
    let open = bucket.list_uploads(UploadQuery::Prefix(String::new())).await.unwrap();
    assert_eq!(open, [OpenUpload { key: "b".into(), upload, age: Some(Duration::from_secs(3600)) }]);
}

#[tokio::test]
async fn what_does_not_fit_is_refused_and_changes_nothing() {
    let bucket = MemoryBucket::new("test");
    assert_eq!(bucket.free_space().await.unwrap(), None);
    let bucket = bucket.with_capacity(4);
    put(&bucket, "a", b"123").await.unwrap();
    assert_eq!(bucket.free_space().await.unwrap(), Some(1));
    assert_eq!(put(&bucket, "b", b"12").await.unwrap_err().kind, BucketErrorKind::NoSpace);
    let body = Bytes::from_static(b"1234");
    // What is replaced gives its room back.
    bucket.put(&key("a"), body.clone(), Crc64Nvme::of(&body), PutMode::Overwrite).await.unwrap();
    let upload = bucket.create_upload(&key("c"), 1).await.unwrap();
    let part = bucket.upload_part(&key("c"), &upload, 1, body.clone(), Crc64Nvme::of(&body)).await;
    assert_eq!(part.unwrap_err().kind, BucketErrorKind::NoSpace);
    bucket.set_capacity(None);
    put(&bucket, "b", b"12").await.unwrap();
}

#[tokio::test]
async fn planted_keys_are_listed_as_s3_would() {
    let bucket = MemoryBucket::new("test");
    for odd in ["a//b", "a/", "a/b", "a", "é"] {
        bucket.put_raw(odd, "x");
    }
    let top = bucket.list(ListRequest::folders("")).await.unwrap();
    assert_eq!(top.objects.iter().map(|object| object.key.as_str()).collect::<Vec<_>>(), ["a", "é"]);
    assert_eq!(top.folders, ["a/"]);
    let inner = bucket.list(ListRequest::folders("a/")).await.unwrap();
    assert_eq!(inner.objects.iter().map(|object| object.key.as_str()).collect::<Vec<_>>(), ["a/", "a/b"]);
    assert_eq!(inner.folders, ["a//"]);
    assert!(bucket.remove_raw("a//b").is_some());
    assert_eq!(bucket.keys(), ["a", "a/", "a/b", "é"]);
}

#[tokio::test]
async fn limits_are_kept() {
    let limits = PartLimits { min_part: 4, max_part: 8, max_parts: 2 };
    let bucket = MemoryBucket::new("test").with_part_limits(limits);
    let key = key("a");
    assert!(bucket.create_upload(&key, 3).await.is_err());
    let upload = bucket.create_upload(&key, 4).await.unwrap();
    let part = async |number, body: &'static [u8]| {
        bucket.upload_part(&key, &upload, number, Bytes::from_static(body), Crc64Nvme::of(body)).await
    };
    assert!(part(3, b"1234").await.is_err());
    assert!(part(0, b"1234").await.is_err());
    assert!(part(1, b"123456789").await.is_err());
    let parts = [part(1, b"123").await.unwrap(), part(2, b"4").await.unwrap()];
    let complete = bucket.complete_upload(&key, &upload, &parts, Crc64Nvme::of(b"1234")).await;
    assert_eq!(complete.unwrap_err().kind, BucketErrorKind::Invalid);
    assert_eq!(bucket.open_upload_count(), 1);
    let too_many = vec![String::new(); MAX_PAGE + 1];
    assert_eq!(bucket.delete(too_many).await.unwrap_err().kind, BucketErrorKind::Invalid);
    let request = ListRequest { limit: 0, ..ListRequest::all("") };
    assert_eq!(bucket.list(request).await.unwrap_err().kind, BucketErrorKind::Invalid);
}
