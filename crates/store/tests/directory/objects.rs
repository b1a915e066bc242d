use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use futures::future::join_all;
use milepost_core::Crc64Nvme;
use milepost_store::bucket::{ListRequest, PutMode};
use milepost_store::{Bucket as _, BucketErrorKind as K, ErrorKind};

use crate::common::*;

#[tokio::test]
async fn what_was_put_is_read_headed_and_listed_with_one_etag() {
    let (root, bucket) = bucket();
    let large = vec![7u8; 3 * 1024 * 1024 + 5];
    for (name, body) in [
        ("1/100/2/status.json", Bytes::from_static(b"{}")),
        ("1/100/2/segments/a.log", Bytes::from(large.clone())),
        ("1/100/2/metadata.json", Bytes::from(large)),
        ("empty", Bytes::new()),
        ("empty.json", Bytes::new()),
    ] {
        let etag = create(&bucket, name, body.clone()).await;
        let meta = bucket.head(&key(name)).await.unwrap();
        assert_eq!((meta.size, &meta.etag), (body.len() as u64, &etag), "{name}");
        assert_eq!(meta.crc64nvme, Some(Crc64Nvme::of(&body)));
        assert!(meta.age.unwrap() < Duration::from_secs(60));
        let reply = bucket.get(&key(name), None).await.unwrap();
        assert_eq!((reply.meta.size, &reply.meta.etag), (body.len() as u64, &etag));
        assert!(reply.meta.age.is_some());
        assert_eq!(read(&bucket, name, None).await.unwrap(), body);
        let listed = page(&bucket, ListRequest::all("")).await.objects;
        let listed = listed.iter().find(|object| object.key == name).unwrap();
        assert_eq!((listed.size, &listed.etag), (body.len() as u64, &etag));
        assert_eq!(std::fs::read(root.path().join(name)).unwrap(), body, "one file per key");
    }
    assert!(temp_files(root.path()).is_empty());
    // Another process sees the same.
    assert_eq!(page(&open(root.path()), ListRequest::all("")).await, page(&bucket, ListRequest::all("")).await);
}

#[tokio::test]
async fn ranges_are_cut_to_the_end() {
    let (_root, bucket) = bucket();
    for name in ["a.json", "a.log"] {
        create(&bucket, name, "0123456789").await;
        for (range, expected) in [
            (0..10, "0123456789"),
            (0..1, "0"),
            (3..7, "3456"),
            (9..100, "9"),
            (10..11, ""),
            (50..60, ""),
            (4..4, ""),
            (u64::MAX - 1..u64::MAX, ""),
        ] {
            assert_eq!(read(&bucket, name, Some(range.clone())).await.unwrap(), expected.as_bytes(), "{range:?}");
        }
        #[expect(clippy::reversed_empty_ranges, reason = "a hostile range")]
        let hostile = 7..3;
        assert!(read(&bucket, name, Some(hostile)).await.unwrap().is_empty());
    }
    let large: Vec<u8> = (0..2_500_000u32).map(|n| n as u8).collect();
    create(&bucket, "large", large.clone()).await;
    assert_eq!(read(&bucket, "large", Some(1_048_570..2_200_000)).await.unwrap(), large[1_048_570..2_200_000]);
}

#[tokio::test]
async fn create_replace_and_overwrite_keep_their_conditions() {
    let (root, bucket) = bucket();
    for name in ["a/b.json", "a/content"] {
        let absent = put(&bucket, name, "x", PutMode::Replace(milepost_store::ETag("x".into()))).await.unwrap_err();
        assert_eq!((absent.kind, absent.maybe_applied), (K::Precondition, false));
        let one = create(&bucket, name, "one").await;
        let again = put(&bucket, name, "two", PutMode::Create).await.unwrap_err();
        assert_eq!((again.kind, again.maybe_applied), (K::Precondition, false));
        let two = put(&bucket, name, "two", PutMode::Replace(one.clone())).await.unwrap();
        assert_ne!(one, two);
        assert_eq!(put(&bucket, name, "tri", PutMode::Replace(one)).await.unwrap_err().kind, K::Precondition);
        assert_eq!(read(&bucket, name, None).await.unwrap(), b"two");
        let three = put(&bucket, name, "three", PutMode::Overwrite).await.unwrap();
        assert_eq!(put(&bucket, name, "x", PutMode::Replace(two)).await.unwrap_err().kind, K::Precondition);
        put(&bucket, name, "four", PutMode::Replace(three)).await.unwrap();
    }
    put(&bucket, "new/one", "x", PutMode::Overwrite).await.unwrap();
    assert!(temp_files(root.path()).is_empty());
}

#[tokio::test]
async fn a_content_that_was_changed_and_changed_back_is_another() {
    // In memory a sync costs nothing, and many replaces fall into one tick of the kernel's clock.
    let memory = std::path::Path::new("/dev/shm");
    let root = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap();
    let bucket = open(root.path());
    let mut etag = create(&bucket, "content", "0").await;
    let mut seen = std::collections::HashSet::from([etag.clone()]);
    for n in 1..200 {
        etag = put(&bucket, "content", format!("{}", n % 10), PutMode::Replace(etag)).await.unwrap();
        assert!(seen.insert(etag.clone()), "an ETag came back after {n} replaces");
    }
}

#[tokio::test]
async fn a_wrong_checksum_is_refused_and_leaves_nothing() {
    let (root, bucket) = bucket();
    let old = create(&bucket, "old.json", "old").await;
    let body = Bytes::from_static(b"body");
    for (name, mode) in [("a", PutMode::Create), ("a", PutMode::Overwrite), ("old.json", PutMode::Replace(old.clone()))]
    {
        let error = bucket.put(&key(name), body.clone(), Crc64Nvme(1), mode).await.unwrap_err();
        assert_eq!((error.kind, error.maybe_applied), (K::BadDigest, false));
    }
    assert_eq!(names(&bucket, "", false, 1000).await, ["old.json"]);
    assert_eq!(bucket.head(&key("old.json")).await.unwrap().etag, old);
    assert!(temp_files(root.path()).is_empty());
}

#[tokio::test]
async fn absent_keys_are_not_found() {
    let (_root, bucket) = bucket();
    create(&bucket, "a/b", "x").await;
    let long = "n".repeat(300);
    for name in ["b", "a", "a/c", "a/b/c", "x/y/z", long.as_str()] {
        assert_eq!(bucket.head(&key(name)).await.unwrap_err().kind, K::NotFound, "{name}");
        assert_eq!(bucket.get(&key(name), None).await.unwrap_err().kind, K::NotFound, "{name}");
    }
}

#[tokio::test]
async fn odd_names_are_kept_as_they_are() {
    let (_root, bucket) = bucket();
    let (component, deep) = ("ü".repeat(100), vec!["d"; 300].join("/"));
    let mut odd: Vec<String> = [
        "a b",
        "100%",
        "a+b",
        "ünï/ço∂é",
        ".hidden",
        "...",
        "-",
        "~",
        "a&b=c?d#e",
        "CON",
        ".milepost2/x",
        "a/.milepost/x",
    ]
    .map(str::to_owned)
    .to_vec();
    odd.extend([component, deep]);
    for name in &odd {
        create(&bucket, name, name.clone()).await;
    }
    odd.sort();
    assert_eq!(names(&bucket, "", false, 1000).await, odd);
    assert_eq!(names(&bucket, "", false, 1).await, odd);
    for name in &odd {
        assert_eq!(read(&bucket, name, None).await.unwrap(), name.as_bytes());
    }
    let outcomes = bucket.delete(odd.clone()).await.unwrap();
    assert!(outcomes.iter().all(|outcome| outcome.result.is_ok()), "{outcomes:?}");
    assert!(names(&bucket, "", false, 1000).await.is_empty());
}

#[tokio::test]
async fn a_name_cannot_be_file_and_folder() {
    let (root, bucket) = bucket();
    create(&bucket, "a/b", "x").await;
    create(&bucket, "f", "x").await;
    for (name, mode) in [("a", PutMode::Create), ("a", PutMode::Overwrite), ("f/x", PutMode::Create)] {
        let error = put(&bucket, name, "y", mode).await.unwrap_err();
        assert_eq!((error.kind, error.maybe_applied), (K::Unsupported, false), "{name}: {error:?}");
        assert!(error.hint.unwrap().contains("both `a` and `a/b`"));
    }
    let long = put(&bucket, &"n".repeat(256), "y", PutMode::Create).await.unwrap_err();
    assert_eq!((long.kind, long.maybe_applied), (K::Unsupported, false));
    assert_eq!(names(&bucket, "", false, 1000).await, ["a/b", "f"]);
    assert!(temp_files(root.path()).is_empty());
    // An empty folder, which a crash may leave, is in nobody's way.
    std::fs::create_dir(root.path().join("left")).unwrap();
    create(&bucket, "left", "x").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_sixteen_racing_writers_one_wins() {
    let (_root, bucket) = bucket();
    for name in ["r/a.json", "r/content"] {
        for round in 0..20 {
            let name = format!("{round}/{name}");
            let creates =
                join_all((0..16).map(|n| put(&bucket, &name, format!("create {n:02}"), PutMode::Create))).await;
            let won: Vec<_> =
                creates.into_iter().enumerate().filter_map(|(n, result)| Some((n, result.ok()?))).collect();
            let [(winner, etag)] = &won[..] else { panic!("{won:?}") };
            assert_eq!(read(&bucket, &name, None).await.unwrap(), format!("create {winner:02}").as_bytes());
            let mode = PutMode::Replace(etag.clone());
            let replaces =
                join_all((0..16).map(|n| put(&bucket, &name, format!("replace {n:02}"), mode.clone()))).await;
            assert!(
                replaces.iter().all(|result| result.as_ref().err().is_none_or(|error| error.kind == K::Precondition))
            );
            let won: Vec<_> = replaces.into_iter().enumerate().filter(|(_, result)| result.is_ok()).collect();
            let [(winner, _)] = &won[..] else { panic!("{won:?}") };
            assert_eq!(read(&bucket, &name, None).await.unwrap(), format!("replace {winner:02}").as_bytes());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replace_never_brings_back_what_was_deleted() {
    let (_root, bucket) = bucket();
    for round in 0..100 {
        let name = format!("deep/{round}/status.json");
        let etag = create(&bucket, &name, "old").await;
        let (replaced, deleted) =
            tokio::join!(put(&bucket, &name, "new", PutMode::Replace(etag)), bucket.delete(vec![name.clone()]));
        deleted.unwrap().remove(0).result.unwrap();
        assert!(replaced.is_ok() || replaced.unwrap_err().kind == K::Precondition);
        assert_eq!(bucket.head(&key(&name)).await.unwrap_err().kind, K::NotFound, "round {round}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_survive_a_deleter_that_removes_their_folders() {
    let (root, bucket) = bucket();
    let writer = async {
        for n in 0..200 {
            create(&bucket, &format!("x/y/z/{n}"), "x").await;
        }
    };
    let deleter = async {
        let mut seen = 0;
        while seen < 200 {
            let keys = names(&bucket, "x/", false, 1000).await;
            seen += keys.len();
            let outcomes = bucket.delete(keys).await.unwrap();
            assert!(outcomes.iter().all(|outcome| outcome.result.is_ok()));
        }
    };
    tokio::join!(writer, deleter);
    assert!(names(&bucket, "", false, 1000).await.is_empty());
    assert!(!root.path().join("x").exists(), "the last one out removes the folders");
}

#[tokio::test]
async fn delete_answers_for_each_key_and_removes_empty_folders() {
    let (root, bucket) = bucket();
    for name in ["1/100/2/status.json", "1/100/2/snapshots/a", "1/100/3/status.json", "keep"] {
        create(&bucket, name, "x").await;
    }
    let asked =
        ["1/100/2/status.json", "1/100/2/snapshots/a", "absent", "a/../b", "", "1/100", "keep/x", "x\\y", "a//b"];
    let outcomes = bucket.delete(asked.map(str::to_owned).to_vec()).await.unwrap();
    assert_eq!(outcomes.iter().map(|outcome| outcome.key.as_str()).collect::<Vec<_>>(), asked);
    let refused: Vec<_> = outcomes.iter().filter(|o| o.result.is_err()).map(|o| o.key.as_str()).collect();
    assert_eq!(refused, ["a/../b", "", "x\\y", "a//b"]);
    assert!(outcomes.iter().all(|o| o.result.as_ref().err().is_none_or(|error| error.kind == K::Invalid)));
    assert_eq!(names(&bucket, "", false, 1000).await, ["1/100/3/status.json", "keep"]);
    assert!(!root.path().join("1/100/2").exists());
    bucket.delete(vec!["1/100/3/status.json".to_owned(), "keep".to_owned()]).await.unwrap();
    let left: Vec<_> = std::fs::read_dir(root.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, [".milepost"]);
    assert!(bucket.delete(Vec::new()).await.unwrap().is_empty());
    assert_eq!(bucket.delete(vec![String::new(); 1001]).await.unwrap_err().kind, K::Invalid);
    // The same key twice in one batch.
    create(&bucket, "twice", "x").await;
    let outcomes = bucket.delete(vec!["twice".to_owned(); 2]).await.unwrap();
    assert!(outcomes.len() == 2 && outcomes.iter().all(|outcome| outcome.result.is_ok()));
}

#[tokio::test]
async fn a_batch_of_a_thousand_keys_goes_at_once() {
    let (root, bucket) = bucket();
    for n in 0..1000 {
        let path = root.path().join(format!("{}/{n}", n % 7));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, "x").unwrap();
    }
    let keys = names(&bucket, "", false, 1000).await;
    assert_eq!(keys.len(), 1000);
    assert!(bucket.delete(keys).await.unwrap().iter().all(|outcome| outcome.result.is_ok()));
    assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 1);
}

#[tokio::test]
async fn an_open_body_outlives_a_replace_but_not_a_cut() {
    let (root, bucket) = bucket();
    let old = vec![1u8; 3_000_000];
    let etag = create(&bucket, "content", old.clone()).await;
    let reply = bucket.get(&key("content"), None).await.unwrap();
    put(&bucket, "content", vec![2u8; 10], PutMode::Replace(etag)).await.unwrap();
    let seen: Vec<Bytes> = reply.body.map(Result::unwrap).collect().await;
    assert_eq!(seen.concat(), old);

    create(&bucket, "cut", old).await;
    let mut body = bucket.get(&key("cut"), None).await.unwrap().body;
    body.next().await.unwrap().unwrap();
    std::fs::File::options().write(true).open(root.path().join("cut")).unwrap().set_len(1_500_000).unwrap();
    let mut outcome = body.next().await.unwrap();
    if outcome.is_ok() {
        outcome = body.next().await.unwrap();
    }
    let error = outcome.unwrap_err();
    assert_eq!(error.kind, K::Other);
    assert!(error.message.contains("cut short"), "{}", error.message);
}

#[tokio::test]
async fn ages_are_by_the_file_systems_clock() {
    let (root, bucket) = bucket();
    for name in ["old", "old.json", "ahead"] {
        create(&bucket, name, "x").await;
    }
    let set = |name: &str, change: &dyn Fn(std::time::SystemTime) -> std::time::SystemTime| {
        let file = std::fs::File::options().write(true).open(root.path().join(name)).unwrap();
        file.set_modified(change(file.metadata().unwrap().modified().unwrap())).unwrap();
    };
    set("old", &|at| at - Duration::from_secs(7200));
    set("old.json", &|at| at - Duration::from_secs(7200));
    set("ahead", &|at| at + Duration::from_secs(7200));
    for name in ["old", "old.json"] {
        for age in [bucket.head(&key(name)).await.unwrap().age, bucket.get(&key(name), None).await.unwrap().meta.age] {
            let age = age.unwrap();
            assert!(age >= Duration::from_secs(7199) && age < Duration::from_secs(7300), "{age:?}");
        }
    }
    assert_eq!(bucket.head(&key("ahead")).await.unwrap().age, Some(Duration::ZERO));
}

#[tokio::test]
async fn open_says_what_is_wrong_with_a_root() {
    let dir = tempfile::tempdir().unwrap();
    let deep = dir.path().join("a/b/c");
    let bucket = open(&deep);
    assert_eq!(bucket.location(), format!("file://{}", deep.display()));
    assert!(bucket.free_space().await.unwrap().unwrap() > 0);
    assert!(bucket.part_limits().max_parts == 10_000 && bucket.part_limits().min_part == 1);
    std::fs::write(dir.path().join("file"), "x").unwrap();
    for root in ["file", "file/below"] {
        let error = milepost_store::DirectoryBucket::open(dir.path().join(root), env()).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::InvalidInput), "{error:?}");
        assert!(error.message().contains("file") && error.message().contains("is not a folder"), "{error}");
    }
    let error = milepost_store::DirectoryBucket::open("", env()).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::InvalidInput));
}
