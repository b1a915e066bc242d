use milepost_store::bucket::{ListRequest, PageToken};
use milepost_store::env::SeededRandom;
use milepost_store::{Bucket as _, BucketErrorKind as K};

use crate::common::*;

fn touch(root: &std::path::Path, name: &str) {
    let path = root.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, "x").unwrap();
}

/// What S3 answers, from the keys alone.
fn model(keys: &[String], prefix: &str, delimiter: bool) -> Vec<String> {
    let mut names: Vec<String> = keys
        .iter()
        .filter_map(|key| {
            let rest = key.strip_prefix(prefix)?;
            match rest.find('/') {
                Some(at) if delimiter => Some(key[..=prefix.len() + at].to_owned()),
                _ => Some(key.clone()),
            }
        })
        .collect();
    names.sort();
    names.dedup();
    names
}

#[tokio::test]
async fn keys_come_in_byte_order_whatever_the_page() {
    let (root, bucket) = bucket();
    let mut keys: Vec<String> =
        ["a-b", "a.b", "a/b", "a/b.c", "a/b-c/d", "a0", "a b", "A", "é", "z/y/x/w", "z/y/x.w", "z/y-x"]
            .map(str::to_owned)
            .to_vec();
    for key in &keys {
        touch(root.path(), key);
    }
    std::fs::create_dir_all(root.path().join("empty/below")).unwrap();
    std::fs::create_dir_all(root.path().join("a/0empty")).unwrap();
    keys.sort();
    for prefix in ["", "a/", "z/", "z/y/", "a/b-c/", "none/", "empty/", "a/b/"] {
        for delimiter in [false, true] {
            for limit in [1, 2, 3, 5, 1000] {
                let listed = names(&bucket, prefix, delimiter, limit).await;
                assert_eq!(listed, model(&keys, prefix, delimiter), "{prefix} {delimiter} {limit}");
            }
        }
    }
}

#[tokio::test]
async fn random_trees_are_listed_as_s3_would() {
    let seed = 0x5eed_0001u64;
    let random = SeededRandom::new(seed);
    for _ in 0..30 {
        let (root, bucket) = bucket();
        let mut keys = Vec::new();
        for _ in 0..random.next() % 40 {
            let parts: Vec<&str> = (0..1 + random.next() % 4)
                .map(|_| ["a", "b", "a-", "a.", "b0", "0"][random.next() as usize % 6])
                .collect();
            let key = parts.join("/") + "/" + ["x", "y.json", "x-", "x0"][random.next() as usize % 4];
            touch(root.path(), &key);
            keys.push(key);
        }
        keys.sort();
        keys.dedup();
        for prefix in ["", "a/", "a/b/", "a-/"] {
            for delimiter in [false, true] {
                let limit = 1 + random.next() as usize % 5;
                let listed = names(&bucket, prefix, delimiter, limit).await;
                assert_eq!(listed, model(&keys, prefix, delimiter), "seed {seed:#x}");
            }
        }
    }
}

#[tokio::test]
async fn a_large_folder_is_listed_in_pages() {
    let (root, bucket) = bucket();
    std::fs::create_dir(root.path().join("d")).unwrap();
    for n in 0..5000 {
        std::fs::write(root.path().join(format!("d/{n}")), "").unwrap();
        if n % 2 == 0 {
            // More empty folders than a batch of names holds.
            std::fs::create_dir(root.path().join(format!("d/{n}-"))).unwrap();
        }
    }
    let mut expected: Vec<String> = (0..5000).map(|n| format!("d/{n}")).collect();
    expected.sort();
    for (delimiter, limit) in [(false, 1000), (true, 1000), (false, 999)] {
        assert_eq!(names(&bucket, "d/", delimiter, limit).await, expected);
    }
    assert!(page(&bucket, ListRequest { limit: 1000, ..ListRequest::all("d/") }).await.next.is_some());
}

#[tokio::test]
async fn a_page_that_needs_a_second_batch_of_names_shows_each_folder_once() {
    let (root, bucket) = bucket();
    for n in 0..100 {
        std::fs::create_dir(root.path().join(format!("{n:04}"))).unwrap();
    }
    let keys: Vec<String> = (100..1200).map(|n| format!("{n:04}/x")).collect();
    for key in &keys {
        touch(root.path(), key);
    }
    assert_eq!(names(&bucket, "", false, 1000).await, keys);
    assert_eq!(names(&bucket, "", true, 1000).await, model(&keys, "", true));
}

#[tokio::test]
async fn the_last_page_has_no_token_and_borders_lose_nothing() {
    let (root, bucket) = bucket();
    for name in ["a/1", "a/2", "b"] {
        touch(root.path(), name);
    }
    let whole = page(&bucket, ListRequest { limit: 3, ..ListRequest::all("") }).await;
    assert!(whole.next.is_none() && whole.objects.len() == 3);
    let first = page(&bucket, ListRequest { limit: 2, ..ListRequest::all("") }).await;
    // What is deleted between two pages, its folder too, does not disturb the next one.
    bucket.delete(vec!["a/1".to_owned(), "a/2".to_owned()]).await.unwrap();
    let second = page(&bucket, ListRequest { page: first.next, ..ListRequest::all("") }).await;
    assert_eq!(second.objects.iter().map(|object| object.key.as_str()).collect::<Vec<_>>(), ["b"]);
}

#[tokio::test]
async fn hostile_requests_are_refused_or_find_nothing() {
    let (root, bucket) = bucket();
    touch(root.path(), "a/b");
    for prefix in ["../", "/", "a//", "./", "a/../a/", ".milepost/", ".milepost/locks/", "a\0/", &"x/".repeat(600)] {
        assert!(names(&bucket, prefix, false, 10).await.is_empty(), "{prefix}");
    }
    let invalid = [
        ListRequest { limit: 0, ..ListRequest::all("") },
        ListRequest { limit: 1001, ..ListRequest::all("") },
        ListRequest::all("a"),
        ListRequest { page: Some(PageToken("b/c".to_owned())), ..ListRequest::all("a/") },
    ];
    for request in invalid {
        assert_eq!(bucket.list(request).await.unwrap_err().kind, K::Invalid);
    }
    let odd = ListRequest { page: Some(PageToken("a/../../b".to_owned())), ..ListRequest::all("") };
    assert_eq!(page(&bucket, odd).await.objects.len(), 1);
}
