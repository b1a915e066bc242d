//! Races in great number: what a handful of rounds, as the conformance suite runs them, shows only by luck.

use bytes::Bytes;
use futures::future::join_all;
use milepost_store::bucket::PutMode;
use milepost_store::core::{Crc64Nvme, ObjectKey};
use milepost_store::{Bucket, BucketError, BucketErrorKind};

/// How many requests race in each round.
pub const RACERS: usize = 32;

/// In each round 32 creates race for a key, then 32 replaces of it, then 32 completions of uploads to another. Works below
/// `races/`, and leaves its objects there.
///
/// # Errors
/// Says which race of which round had another number of winners than one, or a loser that was told anything but that its
/// condition does not hold; or what failed in between.
pub async fn one_winner_in_each_round<B: Bucket>(bucket: &B, rounds: usize) -> Result<(), String> {
    for round in 0..rounds {
        self::round(bucket, round).await.map_err(|error| format!("round {round}: {error}"))?;
    }
    Ok(())
}

fn one_winner<T>(what: &str, results: &[Result<T, BucketError>]) -> Result<(), String> {
    let won = results.iter().filter(|result| result.is_ok()).count();
    let odd = results.iter().find_map(|result| match result {
        Err(error) if error.kind != BucketErrorKind::Precondition => Some(error),
        _ => None,
    });
    match (won, odd) {
        (1, None) => Ok(()),
        (won, odd) => Err(format!("of {RACERS} {what} {won} won; a loser was told {odd:?}")),
    }
}

async fn round<B: Bucket>(bucket: &B, round: usize) -> Result<(), String> {
    let told = |error: BucketError| format!("{error:?}");
    let body = |n: usize| {
        let bytes = Bytes::from(format!("racer {n} of round {round}"));
        (Crc64Nvme::of(&bytes), bytes)
    };
    let key = |name: &str| ObjectKey::new(format!("races/{round}/{name}")).map_err(|error| error.to_string());
    let created = key("created")?;
    let put = async |n: usize, mode: PutMode| {
        let (crc, bytes) = body(n);
        bucket.put(&created, bytes, crc, mode).await
    };
    one_winner("creates", &join_all((0..RACERS).map(|n| put(n, PutMode::Create))).await)?;
    let etag = bucket.head(&created).await.map_err(told)?.etag;
    let replaced = join_all((RACERS..2 * RACERS).map(|n| put(n, PutMode::Replace(etag.clone())))).await;
    one_winner("replaces", &replaced)?;
    let completed = key("completed")?;
    let uploads = join_all((0..RACERS).map(async |n| {
        let (crc, bytes) = body(n);
        let upload = bucket.create_upload(&completed, bucket.part_limits().min_part).await?;
        let part = bucket.upload_part(&completed, &upload, 1, bytes, crc).await?;
        Ok((upload, [part], crc))
    }))
    .await;
    let uploads = uploads.into_iter().collect::<Result<Vec<_>, BucketError>>().map_err(told)?;
    let done = uploads.iter().map(|(upload, parts, crc)| bucket.complete_upload(&completed, upload, parts, *crc));
    one_winner("completions", &join_all(done).await)?;
    for (upload, _, _) in &uploads {
        // The winner's is gone already.
        let _ = bucket.abort_upload(&completed, upload).await;
    }
    Ok(())
}
