//! The faulty bucket does what it is told, no more and no less.

#![expect(clippy::unwrap_used, reason = "a helper of a test may panic")]

use std::time::Duration;

use bytes::Bytes;
use futures::{FutureExt as _, StreamExt as _};
use milepost_core::{Crc64Nvme, ObjectKey};
use milepost_store::bucket::{ListRequest, PutMode, UploadQuery};
use milepost_store::{Bucket, BucketError, BucketErrorKind, ETag, MemoryBucket};
use milepost_testkit::bucket_suite::{SuiteOptions, conforms};
use milepost_testkit::faulty::{CallKind, Crash, Fault, FaultyBucket, Gate, On, Outcome, Point, Rates};

type Faulty = FaultyBucket<MemoryBucket>;

fn faulty() -> Faulty {
    FaultyBucket::new(MemoryBucket::new("test"))
}

fn key(text: &str) -> ObjectKey {
    ObjectKey::new(text).unwrap()
}

async fn put(bucket: &Faulty, name: &str) -> Result<ETag, BucketError> {
    let body = Bytes::from(name.to_owned());
    bucket.put(&key(name), body.clone(), Crc64Nvme::of(&body), PutMode::Create).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn without_faults_it_is_the_bucket_inside() {
    conforms(async || faulty(), &SuiteOptions::default()).await.unwrap();
}

#[tokio::test]
async fn before_after_and_repeat_differ_in_their_effect() {
    let bucket = faulty();
    bucket.inject(On::call(CallKind::Put).key_ending("before"), Fault::Before(BucketErrorKind::Unavailable));
    bucket.inject(On::call(CallKind::Put).key_ending("after"), Fault::After(BucketErrorKind::Timeout));
    bucket.inject(On::call(CallKind::Put).key_ending("repeat"), Fault::Repeat);
    bucket.inject(On::call(CallKind::Head).always(), Fault::After(BucketErrorKind::Unavailable));

    let before = put(&bucket, "before").await.unwrap_err();
    assert_eq!((before.kind, before.maybe_applied), (BucketErrorKind::Unavailable, false));
    let after = put(&bucket, "after").await.unwrap_err();
    assert_eq!((after.kind, after.maybe_applied), (BucketErrorKind::Timeout, true));
    // The second delivery finds what the first one wrote.
    assert_eq!(put(&bucket, "repeat").await.unwrap_err().kind, BucketErrorKind::Precondition);
    assert_eq!(bucket.inner().keys(), ["after", "repeat"]);
    // A read whose reply is lost has changed nothing.
    assert!(!bucket.head(&key("after")).await.unwrap_err().maybe_applied);

    put(&bucket, "before").await.unwrap();
    assert_eq!((bucket.requests().of(CallKind::Put), bucket.requests().writes()), (4, 4));
    assert_eq!(bucket.requests().total(), 5);
    let trace = bucket.trace();
    assert_eq!(trace.faults().count(), 4);
    let failed = Outcome::Failed { kind: BucketErrorKind::Timeout, maybe_applied: true };
    assert_eq!(trace.of(CallKind::Put).nth(1).unwrap().outcome, failed);
    let text = trace.to_string();
    assert!(text.contains("2 Put after (Create, 5 bytes) Timeout, maybe applied  <- After(Timeout)"), "{text}");
    bucket.reset();
    assert_eq!(bucket.requests().total(), 0);
}

#[tokio::test(start_paused = true)]
async fn late_effects_delays_and_throttling_keep_tokios_time() {
    let bucket = faulty();
    let hour = Duration::from_secs(3600);
    bucket.inject(On::any(), Fault::Late(hour));
    bucket.inject(On::any().nth(2), Fault::Delay(hour));
    bucket.inject(On::any().nth(3), Fault::Throttle(Some(hour)));
    let late = put(&bucket, "late").await.unwrap_err();
    assert_eq!((late.kind, late.maybe_applied), (BucketErrorKind::Timeout, true));
    assert!(bucket.inner().keys().is_empty());
    let begun = tokio::time::Instant::now();
    put(&bucket, "delayed").await.unwrap();
    assert!(begun.elapsed() >= hour);
    let throttled = put(&bucket, "throttled").await.unwrap_err();
    assert_eq!((throttled.kind, throttled.retry_after), (BucketErrorKind::Throttled, Some(hour)));
    tokio::time::sleep(hour).await;
    assert_eq!(bucket.inner().keys(), ["delayed", "late"]);
}

#[tokio::test]
async fn bodies_are_cut_and_keys_kept() {
    let bucket = faulty();
    bucket.inner().put_raw("a1", vec![7; 100_000]);
    bucket.inner().put_raw("a2", "x");
    bucket.inject(On::call(CallKind::Get), Fault::CutBody(70_000));
    bucket.inject(On::call(CallKind::Delete), Fault::KeepKeys("1".into(), BucketErrorKind::Denied));
    let mut body = bucket.get(&key("a1"), None).await.unwrap().body;
    let (mut read, mut error) = (0, None);
    while let Some(chunk) = body.next().await {
        match chunk {
            Ok(chunk) => read += chunk.len(),
            Err(cut) => error = Some(cut.kind),
        }
    }
    assert_eq!((read, error), (70_000, Some(BucketErrorKind::Unavailable)));
    let outcomes = bucket.delete(vec!["a1".into(), "a2".into()]).await.unwrap();
    let failed: Vec<_> = outcomes.iter().filter(|outcome| outcome.result.is_err()).map(|o| o.key.as_str()).collect();
    assert_eq!((outcomes.len(), failed), (2, vec!["a1"]));
    assert_eq!(bucket.inner().keys(), ["a1"]);
}

#[tokio::test]
async fn a_gate_holds_a_call_before_its_effect() {
    let bucket = faulty();
    let gate = Gate::new();
    bucket.inject(On::call(CallKind::Put), Fault::Hold(gate.clone()));
    let held = tokio::spawn({
        let bucket = bucket.clone();
        async move { put(&bucket, "held").await }
    });
    gate.reached().await;
    assert!(bucket.inner().keys().is_empty());
    assert_eq!(bucket.trace().calls[0].outcome, Outcome::Unfinished);
    gate.open();
    held.await.unwrap().unwrap();
}

#[tokio::test]
async fn after_a_crash_nothing_reaches_the_store() {
    for (point, there) in [(Point::Before, vec!["a"]), (Point::After, vec!["a", "b"])] {
        let bucket = faulty();
        bucket.inner().put_raw("a", vec![0; 200_000]);
        let mut body = bucket.get(&key("a"), None).await.unwrap().body;
        bucket.crash_at(1, point, Crash::Hang);
        let writer = tokio::spawn({
            let bucket = bucket.clone();
            async move { put(&bucket, "b").await }
        });
        bucket.crashed().await;
        assert!(put(&bucket, "c").now_or_never().is_none());
        assert!(body.next().now_or_never().is_none());
        tokio::task::yield_now().await;
        assert!(!writer.is_finished());
        writer.abort();
        assert_eq!(bucket.inner().keys(), there);
        // Only the call at which it crashed was sent.
        assert_eq!(bucket.requests().of(CallKind::Put), 1);
        let next = bucket.successor();
        put(&next, "c").await.unwrap();
    }
}

#[tokio::test]
async fn a_crash_may_fail_instead() {
    let bucket = faulty();
    bucket.crash_on(On::call(CallKind::Put).key_ending("b"), Point::After, Crash::Fail);
    put(&bucket, "a").await.unwrap();
    let error = put(&bucket, "b").await.unwrap_err();
    assert!(error.maybe_applied && bucket.is_crashed());
    assert_eq!(put(&bucket, "c").await.unwrap_err().kind, BucketErrorKind::Unavailable);
    assert_eq!(bucket.inner().keys(), ["a", "b"]);
}

async fn run(seed: u64, reversed: bool) -> Vec<String> {
    let bucket = FaultyBucket::from_seed(MemoryBucket::new("test"), seed, Rates::default());
    let mut names: Vec<_> = (0..200).map(|number| format!("k{}", number % 40)).collect();
    if reversed {
        names.sort();
        names.reverse();
    }
    for name in names {
        drop(put(&bucket, &name).await);
        drop(bucket.head(&key(&name)).await);
        drop(bucket.list(ListRequest::all("")).await);
    }
    let mut faults: Vec<_> =
        bucket.trace().faults().map(|call| format!("{:?} {} {:?}", call.kind, call.key, call.fault)).collect();
    faults.sort();
    faults
}

#[tokio::test(start_paused = true)]
async fn a_seed_gives_the_same_faults_whatever_runs_in_between() {
    let first = run(7, false).await;
    assert!((50..300).contains(&first.len()), "{} faults in 600 calls", first.len());
    assert_eq!(first, run(7, false).await);
    assert_eq!(first, run(7, true).await);
    assert_ne!(first, run(8, false).await);
}

#[tokio::test]
async fn retries_come_to_an_end() {
    let rates = Rates { before: 1000, in_a_row: 3, ..Rates::none() };
    let bucket = FaultyBucket::from_seed(MemoryBucket::new("test"), 1, rates);
    for turn in 0..4 {
        for _ in 0..3 {
            assert!(put(&bucket, &format!("{turn}")).await.is_err());
        }
        put(&bucket, &format!("{turn}")).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_zombie_is_answered_and_comes_back() {
    let bucket = faulty();
    let hour = Duration::from_secs(3600);
    bucket.inject(On::call(CallKind::Put), Fault::Again(hour));
    put(&bucket, "zombie").await.unwrap();
    bucket.inner().remove_raw("zombie").unwrap();
    tokio::time::sleep(hour - Duration::from_secs(1)).await;
    assert!(bucket.inner().keys().is_empty());
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(bucket.inner().keys(), ["zombie"]);
    // The caller sent one request.
    assert_eq!(bucket.requests().of(CallKind::Put), 1);
}

#[tokio::test]
async fn short_pages_still_show_everything_and_uploads_can_be_hidden() {
    let bucket = faulty();
    for name in ["a", "b", "c", "d", "e"] {
        bucket.inner().put_raw(name, name);
    }
    bucket.inject(On::call(CallKind::List).nth(2), Fault::ShortPage(2));
    bucket.inject(On::call(CallKind::List).nth(3), Fault::ShortPage(0));
    let mut request = ListRequest::all("");
    assert_eq!(bucket.list(request.clone()).await.unwrap().objects.len(), 5);
    let (mut seen, mut sizes) = (Vec::new(), Vec::new());
    loop {
        let page = bucket.list(request.clone()).await.unwrap();
        sizes.push(page.objects.len());
        seen.extend(page.objects.into_iter().map(|object| object.key));
        match page.next {
            Some(token) => request.page = Some(token),
            None => break,
        }
    }
    assert_eq!((seen.join(""), sizes), ("abcde".to_owned(), vec![2, 1, 2]));

    let open = bucket.create_upload(&key("f"), 1).await.unwrap();
    bucket.inject(On::call(CallKind::ListUploads), Fault::HideUploads);
    let all = || bucket.list_uploads(UploadQuery::Prefix(String::new()));
    assert!(all().await.unwrap().is_empty());
    assert_eq!(all().await.unwrap().pop().unwrap().upload, open);
}

#[tokio::test(start_paused = true)]
async fn a_trace_names_the_seed_that_gives_it_again() {
    let bucket = FaultyBucket::from_seed(MemoryBucket::new("test"), 4711, Rates::default());
    drop(put(&bucket, "a").await);
    assert!(bucket.trace().to_string().starts_with("faults drawn from seed 4711:\n    1 Put a"), "{}", bucket.trace());
    assert!(!faulty().trace().to_string().contains("seed"));
}
