//! Racing conditional writes: at most one succeeds per content that was there before.

use bytes::Bytes;
use futures::future::join_all;
use milepost_store::bucket::PutMode;
use milepost_store::{Bucket, BucketError, BucketErrorKind, ETag};
use tokio::sync::Barrier;

use super::client::{Client, bytes, collect};
use crate::check::{Checked, Doing as _, Seen, ensure, ensure_eq};
use std::sync::Arc;

/// Runs `racer` in as many tasks as the options say, let go at the same moment.
async fn race<B: Bucket, T: Send + 'static, F>(
    client: &Client<B>,
    racer: impl Fn(Client<B>, usize) -> F,
) -> Checked<Vec<T>>
where
    F: Future<Output = T> + Send + 'static,
{
    let racers = client.options.racers.clamp(2, 64);
    let gate = Arc::new(Barrier::new(racers));
    let tasks = (0..racers).map(|number| {
        let (work, gate) = (racer(client.clone(), number), Arc::clone(&gate));
        tokio::spawn(async move {
            gate.wait().await;
            work.await
        })
    });
    join_all(tasks).await.into_iter().map(|task| task.doing("a task of a race")).collect()
}

/// The one that won; all others must have been told that they did not.
fn winner<T>(results: Vec<Result<T, BucketError>>, also: &[BucketErrorKind], what: &str) -> Checked<(usize, T)> {
    let mut won = Vec::new();
    for (number, result) in results.into_iter().enumerate() {
        match result {
            Ok(value) => won.push((number, value)),
            Err(error) => ensure!(
                error.kind == BucketErrorKind::Precondition || also.contains(&error.kind),
                "{what}: a loser was told {error:?}"
            ),
        }
    }
    let count = won.len();
    won.pop().filter(|_| count == 1).ok_or_else(|| Seen(format!("{what}: {count} winners instead of one")))
}

pub(super) async fn racing_creates_have_one_winner<B: Bucket>(client: Client<B>) -> Checked {
    for round in 0..client.options.rounds {
        let key = client.key(&format!("{round}.json"))?;
        let results = race(&client, |client, number| {
            let key = key.clone();
            async move { client.put(&key, &bytes(number as u64, 500), PutMode::Create).await }
        });
        let (number, etag) = winner(results.await?, &[], "racing creates")?;
        let held = client.holds(&key, &bytes(number as u64, 500), "after racing creates").await?;
        ensure_eq!(held, etag, "ETag after racing creates");
    }
    Ok(())
}

pub(super) async fn racing_replaces_have_one_winner<B: Bucket>(client: Client<B>) -> Checked {
    let key = client.key("status.json")?;
    let mut etag: ETag = client.create(&key, &bytes(999, 500)).await?;
    for round in 0..client.options.rounds as u64 {
        let results = race(&client, |client, number| {
            let (key, etag) = (key.clone(), etag.clone());
            async move { client.put(&key, &bytes(round * 100 + number as u64, 500), PutMode::Replace(etag)).await }
        });
        let (number, new) = winner(results.await?, &[], "racing replaces")?;
        let body = bytes(round * 100 + number as u64, 500);
        etag = client.holds(&key, &body, "after racing replaces").await?;
        ensure_eq!(etag, new, "ETag after racing replaces");
    }
    Ok(())
}

pub(super) async fn racing_completions_have_one_winner<B: Bucket>(client: Client<B>) -> Checked {
    // Uploads of one key, each of its own: two attempts that both upload the same file.
    let len = client.part_size() + 1;
    for round in 0..client.options.rounds.min(2) {
        let key = client.key(&format!("{round}"))?;
        let racers = client.options.racers.clamp(2, 64).min(8);
        let mut ready = Vec::new();
        for number in 0..racers {
            ready.push(client.uploaded(&key, &bytes(number as u64, len)).await?);
        }
        let gate = Arc::new(Barrier::new(racers));
        let tasks = ready.iter().cloned().enumerate().map(|(number, (upload, parts))| {
            let (client, key, gate) = (client.clone(), key.clone(), Arc::clone(&gate));
            tokio::spawn(async move {
                gate.wait().await;
                client.complete(&key, &upload, &parts, &bytes(number as u64, len)).await
            })
        });
        let results: Vec<_> = join_all(tasks).await.into_iter().collect::<Result<_, _>>().doing("a task of a race")?;
        let (number, etag) = winner(results, &[], "racing completions")?;
        let held = client.holds(&key, &bytes(number as u64, len), "after racing completions").await?;
        ensure_eq!(held, etag, "ETag after racing completions");
        for (upload, _) in ready {
            client.bucket.abort_upload(&key, &upload).await.doing("aborting what is left of a race")?;
        }
        client.holds(&key, &bytes(number as u64, len), "after aborting the losers").await?;
    }
    Ok(())
}

pub(super) async fn readers_see_whole_contents<B: Bucket>(client: Client<B>) -> Checked {
    const LEN: usize = 100_000;
    let key = client.key("a.json")?;
    let contents: Arc<Vec<Bytes>> = Arc::new((0..4).map(|seed| bytes(seed, LEN + seed as usize)).collect());
    client.create(&key, &contents[0]).await?;
    let results = race(&client, |client, number| {
        let (key, contents) = (key.clone(), Arc::clone(&contents));
        async move {
            for turn in 0..8 {
                if number % 4 == 0 {
                    let body = &contents[(number + turn) % contents.len()];
                    client.put(&key, body, PutMode::Overwrite).await.doing("an overwrite in a race")?;
                } else {
                    let reply = client.bucket.get(&key, None).await.doing("a get in a race")?;
                    let size = reply.meta.size;
                    let body = collect(reply).await.doing("reading a body in a race")?;
                    ensure!(contents.contains(&body), "a reader saw {} bytes that nobody wrote", body.len());
                    ensure_eq!(size, body.len() as u64, "size that the get said");
                }
            }
            Ok(())
        }
    });
    results.await?.into_iter().collect()
}
