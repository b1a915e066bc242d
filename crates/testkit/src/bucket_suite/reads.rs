//! Gets, ranges and heads.

use futures::StreamExt as _;
use milepost_core::Crc64Nvme;
use milepost_store::{Bucket, BucketErrorKind};

use super::client::{Client, bytes, refused};
use crate::check::{Checked, Doing as _, ensure, ensure_eq};

pub(super) async fn absent_keys_are_not_found<B: Bucket>(client: Client<B>) -> Checked {
    client.absent(&client.key("never/was")?, "in an empty folder").await?;
    client.create(&client.key("ab/c")?, &bytes(1, 10)).await?;
    for name in ["a", "ab", "ab/", "ab/cd", "ab/c/d"] {
        let Ok(key) = client.key(name) else { continue };
        client.absent(&key, "beside ab/c").await?;
        let range = client.bucket.get(&key, Some(0..1)).await;
        refused(range, BucketErrorKind::NotFound, format_args!("a range of {key}"))?;
    }
    Ok(())
}

pub(super) async fn ranges_are_cut_to_the_object<B: Bucket>(client: Client<B>) -> Checked {
    const LEN: u64 = 150_000;
    let (key, body) = (client.key("a")?, bytes(1, LEN as usize));
    let etag = client.create(&key, &body).await?;
    let ranges = [
        0..1,
        0..LEN,
        0..LEN + 1,
        1..2,
        LEN - 1..LEN,
        LEN - 1..LEN + 100,
        LEN..LEN + 1,
        LEN + 5..LEN + 10,
        0..0,
        7..7,
        LEN..LEN,
        100..LEN - 100,
        65_535..65_537,
        65_536..131_072,
        0..u64::MAX,
        LEN - 3..u64::MAX,
    ];
    for range in ranges {
        let cut = |at: u64| at.min(LEN) as usize;
        let expected = body.slice(cut(range.start)..cut(range.end).max(cut(range.start)));
        let reply = client.bucket.get(&key, Some(range.clone())).await;
        let reply = reply.doing(format_args!("getting {range:?} of {LEN} bytes"))?;
        ensure_eq!(reply.meta.size, LEN, "size of the whole object by a get of {range:?}");
        ensure_eq!(reply.meta.etag, etag, "ETag by a get of {range:?}");
        let found = super::client::collect(reply).await.doing(format_args!("reading {range:?}"))?;
        ensure!(
            found == expected,
            "range {range:?} of {LEN} bytes: expected {} bytes, found {}{}",
            expected.len(),
            found.len(),
            if found.len() == expected.len() { ", but others" } else { "" }
        );
    }
    Ok(())
}

pub(super) async fn an_empty_object_has_empty_ranges<B: Bucket>(client: Client<B>) -> Checked {
    let (key, nothing) = (client.key("empty")?, bytes(1, 0));
    client.create(&key, &nothing).await?;
    client.holds(&key, &nothing, "an empty object").await?;
    for range in [0..0, 0..1, 0..u64::MAX, 5..10] {
        let found = client.read(&key, Some(range.clone())).await?;
        ensure!(found.is_empty(), "range {range:?} of an empty object has {} bytes", found.len());
    }
    Ok(())
}

pub(super) async fn a_body_dropped_half_way_harms_nothing<B: Bucket>(client: Client<B>) -> Checked {
    let (key, body) = (client.key("a")?, bytes(1, 2 << 20));
    client.create(&key, &body).await?;
    // More than any pool of connections or handles holds.
    for turn in 0..64 {
        let mut reply = client.bucket.get(&key, None).await.doing(format_args!("get {turn} after dropped bodies"))?;
        if turn % 2 == 0 {
            reply.body.next().await.transpose().doing("reading the first chunk")?;
        }
    }
    client.holds(&key, &body, "after dropped bodies").await?;
    // A listener that is told of a failure only by an error at the end would be lost here too.
    drop(client.bucket.get(&key, Some(5..10)).await.doing("a range whose body is dropped")?);
    client.shows(&["a"], "after dropped bodies").await
}

pub(super) async fn the_stored_checksum_is_the_real_one<B: Bucket>(client: Client<B>) -> Checked {
    for (seed, len) in [(1, 0), (2, 1), (3, 100_000)] {
        let (key, body) = (client.key(&format!("put-{len}"))?, bytes(seed, len));
        client.create(&key, &body).await?;
        if let Some(crc) = client.head(&key).await?.crc64nvme {
            ensure_eq!(crc, Crc64Nvme::of(&body), "checksum of {len} bytes by head");
        }
    }
    let (key, body) = (client.key("parts")?, bytes(4, client.part_size() * 2 + 1));
    let (upload, parts) = client.uploaded(&key, &body).await?;
    client.complete(&key, &upload, &parts, &body).await.doing("completing an upload")?;
    if let Some(crc) = client.head(&key).await?.crc64nvme {
        ensure_eq!(crc, Crc64Nvme::of(&body), "checksum of an object of three parts by head");
    }
    Ok(())
}
