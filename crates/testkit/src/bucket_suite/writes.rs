//! Puts, their conditions and their ETags.

use bytes::Bytes;
use milepost_core::Crc64Nvme;
use milepost_store::bucket::PutMode;
use milepost_store::{Bucket, BucketErrorKind, ETag};

use super::client::{Client, bytes, refused};
use crate::check::{Checked, Doing as _, ensure, ensure_eq};

pub(super) async fn create_writes_once<B: Bucket>(client: Client<B>) -> Checked {
    let (key, first, second) = (client.key("a.json")?, bytes(1, 100), bytes(2, 200));
    let etag = client.create(&key, &first).await?;
    ensure_eq!(client.holds(&key, &first, "after a create").await?, etag, "ETag that the create gave");
    for body in [&second, &first] {
        let again = client.put(&key, body, PutMode::Create).await;
        refused(again, BucketErrorKind::Precondition, "a create over an existing key")?;
    }
    ensure_eq!(client.holds(&key, &first, "after a refused create").await?, etag, "ETag after a refused create");
    client.shows(&["a.json"], "after a refused create").await
}

pub(super) async fn replace_needs_the_content_it_names<B: Bucket>(client: Client<B>) -> Checked {
    let key = client.key("status.json")?;
    let (first, second, third) = (bytes(1, 100), bytes(2, 100), bytes(3, 50));
    let old = client.create(&key, &first).await?;
    let new = client.put(&key, &second, PutMode::Replace(old.clone())).await.doing("a replace of what is there")?;
    ensure_eq!(client.holds(&key, &second, "after a replace").await?, new, "ETag that the replace gave");
    let stale = client.put(&key, &third, PutMode::Replace(old)).await;
    refused(stale, BucketErrorKind::Precondition, "a replace of an older content")?;
    let invented = ETag("00000000000000000000000000000000".to_owned());
    let unknown = client.put(&key, &third, PutMode::Replace(invented)).await;
    refused(unknown, BucketErrorKind::Precondition, "a replace of a content that never was")?;
    ensure_eq!(client.holds(&key, &second, "after refused replaces").await?, new, "ETag after refused replaces");
    // A content of another length is replaced whole: nothing of the longer one stays behind.
    client.put(&key, &third, PutMode::Replace(new)).await.doing("a replace by something shorter")?;
    client.holds(&key, &third, "after a replace by something shorter").await?;
    client.shows(&["status.json"], "after replaces").await
}

pub(super) async fn replace_of_an_absent_key_writes_nothing<B: Bucket>(client: Client<B>) -> Checked {
    let (other, key) = (client.key("other.json")?, client.key("absent.json")?);
    let etag = client.create(&other, &bytes(1, 10)).await?;
    let never = client.put(&key, &bytes(2, 10), PutMode::Replace(etag)).await;
    refused(never, BucketErrorKind::Precondition, "a replace of a key that never was")?;
    client.absent(&key, "after a replace of a key that never was").await?;
    let etag = client.create(&key, &bytes(3, 10)).await?;
    client.bucket.delete(vec![key.as_str().to_owned()]).await.doing("deleting the key")?;
    let gone = client.put(&key, &bytes(4, 10), PutMode::Replace(etag)).await;
    refused(gone, BucketErrorKind::Precondition, "a replace of a deleted key by its last ETag")?;
    client.absent(&key, "after a replace of a deleted key").await?;
    client.shows(&["other.json"], "after refused replaces").await
}

pub(super) async fn overwrite_needs_nothing<B: Bucket>(client: Client<B>) -> Checked {
    let key = client.key("a")?;
    for (seed, len) in [(1, 300), (2, 300), (3, 5), (4, 0), (5, 70_000)] {
        let body = bytes(seed, len);
        client.put(&key, &body, PutMode::Overwrite).await.doing("an overwrite")?;
        client.holds(&key, &body, "after an overwrite").await?;
    }
    client.shows(&["a"], "after overwrites").await
}

pub(super) async fn contents_of_many_sizes_read_back<B: Bucket>(client: Client<B>) -> Checked {
    let sizes = [0, 1, 7, 4095, 4096, 4097, 65_535, 65_536, 65_537, 1 << 20, (1 << 20) + 3];
    for (seed, size) in (1u64..).zip(sizes) {
        let (key, body) = (client.key(&format!("{size}"))?, bytes(seed, size));
        let etag = client.create(&key, &body).await?;
        ensure_eq!(client.holds(&key, &body, "after a create").await?, etag, "ETag of {size} bytes");
    }
    Ok(())
}

pub(super) async fn a_wrong_checksum_writes_nothing<B: Bucket>(client: Client<B>) -> Checked {
    if !client.options.put_checksums {
        return Ok(());
    }
    let (key, body) = (client.key("a.json")?, bytes(1, 100));
    let wrong = Crc64Nvme(Crc64Nvme::of(&body).0 ^ 1);
    for mode in [PutMode::Create, PutMode::Overwrite] {
        let put = client.bucket.put(&key, body.clone(), wrong, mode.clone()).await;
        refused(put, BucketErrorKind::BadDigest, format_args!("{mode:?} with a wrong checksum"))?;
        client.absent(&key, "after a put with a wrong checksum").await?;
    }
    let etag = client.create(&key, &body).await?;
    let put = client.bucket.put(&key, bytes(2, 100), wrong, PutMode::Replace(etag)).await;
    refused(put, BucketErrorKind::BadDigest, "a replace with a wrong checksum")?;
    client.holds(&key, &body, "after a replace with a wrong checksum").await?;
    client.shows(&["a.json"], "after puts with wrong checksums").await
}

pub(super) async fn etags_agree_and_are_stable<B: Bucket>(client: Client<B>) -> Checked {
    for (seed, name) in [(1, "status.json"), (2, "snapshots/000001.sst"), (3, "segments/0.log")] {
        let (key, body) = (client.key(name)?, bytes(seed, 1000));
        let put = client.create(&key, &body).await?;
        ensure!(!put.0.is_empty(), "the ETag of {key} is empty");
        // holds compares get, head and listing with one another.
        for _ in 0..3 {
            ensure_eq!(client.holds(&key, &body, "reading again").await?, put, "ETag of {key}, put against head");
        }
    }
    Ok(())
}

pub(super) async fn a_changed_document_has_another_etag<B: Bucket>(client: Client<B>) -> Checked {
    let key = client.key("status.json")?;
    let mut etag = client.create(&key, &Bytes::from_static(b"{\"revision\": 1}")).await?;
    // The same length, and likely the same clock tick: neither may be all that an ETag is made of.
    for revision in 2..10 {
        let body = Bytes::from(format!("{{\"revision\": {revision}}}"));
        let next = client.put(&key, &body, PutMode::Replace(etag.clone())).await.doing("a replace")?;
        ensure!(next != etag, "revisions {} and {revision} have the same ETag {next}", revision - 1);
        etag = next;
    }
    Ok(())
}

pub(super) async fn the_store_says_what_it_is<B: Bucket>(client: Client<B>) -> Checked {
    ensure!(!client.bucket.location().is_empty(), "the location is empty");
    client.bucket.free_space().await.doing("asking for the free space")?;
    let limits = client.bucket.part_limits();
    ensure!(
        limits.min_part >= 1 && limits.min_part <= limits.max_part && limits.max_parts >= 1,
        "part limits that nothing can keep: {limits:?}"
    );
    let key = client.key("a")?;
    client.create(&key, &bytes(1, 10)).await?;
    let age = client.head(&key).await?.age;
    ensure!(age.is_none_or(|age| age.as_secs() < 3600), "what was just written is {age:?} old");
    Ok(())
}
