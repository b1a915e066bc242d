//! Without faults it behaves as a server should.

use milepost_core::Crc64Nvme;
use milepost_store::MemoryBucket;
use milepost_store::bucket::PartLimits;
use milepost_testkit::fake_s3::{FakeS3, Operation, Quirks};

use crate::client::{Client, Reply};

const CREATE: (&str, &str) = ("if-none-match", "*");

fn put(client: &Client, key: &str, body: &str, headers: &[(&str, &str)]) -> Reply {
    client.send("PUT", &format!("/milepost/{key}"), headers, body.as_bytes()).unwrap()
}

fn get(client: &Client, target: &str) -> Reply {
    client.send("GET", &format!("/milepost{target}"), &[], b"").unwrap()
}

#[test]
fn objects_are_written_under_conditions_and_read_back() {
    let fake = FakeS3::start().unwrap();
    let client = Client::new(&fake);
    let created = put(&client, "1/100/2/a%20b", "hello", &[CREATE]);
    assert_eq!(created.status, 200, "{}", created.text());
    let etag = created.header("etag").unwrap().to_owned();
    assert!(etag.starts_with('"') && etag.ends_with('"'), "{etag}");
    assert_eq!(created.header("x-amz-request-id"), Some("fake-000002"));
    let again = put(&client, "1/100/2/a%20b", "other", &[CREATE]);
    assert_eq!((again.status, again.one("Code").as_str()), (412, "PreconditionFailed"));
    assert_eq!(fake.bucket().bytes("1/100/2/a b").as_deref(), Some(&b"hello"[..]));

    let stale = put(&client, "1/100/2/a%20b", "x", &[("if-match", "\"another\"")]);
    assert_eq!((stale.status, stale.one("Code").as_str()), (412, "PreconditionFailed"));
    let absent = put(&client, "absent", "x", &[("if-match", etag.as_str())]);
    assert_eq!((absent.status, absent.one("Code").as_str()), (404, "NoSuchKey"));
    let replaced = put(&client, "1/100/2/a%20b", "0123456789", &[("if-match", etag.as_str())]);
    assert_eq!(replaced.status, 200);
    assert_ne!(replaced.header("etag"), Some(etag.as_str()));

    let whole = get(&client, "/1/100/2/a%20b");
    assert_eq!((whole.status, whole.body.as_slice()), (200, &b"0123456789"[..]));
    assert_eq!(whole.header("etag"), replaced.header("etag"));
    // Told only where it is asked for, as by Amazon.
    assert_eq!(whole.header("x-amz-checksum-crc64nvme"), None);
    let asked = client.send("HEAD", "/milepost/1/100/2/a%20b", &[("x-amz-checksum-mode", "ENABLED")], b"").unwrap();
    let crc = Crc64Nvme::of(b"0123456789").to_string();
    assert_eq!((asked.status, asked.header("content-length")), (200, Some("10")));
    assert_eq!(asked.header("x-amz-checksum-crc64nvme"), Some(crc.as_str()));
    assert_eq!(asked.header("x-amz-checksum-type"), Some("FULL_OBJECT"));
    assert!(asked.header("last-modified").is_some());

    let range = |range| client.send("GET", "/milepost/1/100/2/a%20b", &[("range", range)], b"").unwrap();
    let middle = range("bytes=2-4");
    assert_eq!((middle.status, middle.body.as_slice()), (206, &b"234"[..]));
    assert_eq!(middle.header("content-range"), Some("bytes 2-4/10"));
    assert_eq!(range("bytes=8-100").body, b"89");
    assert_eq!((range("bytes=10-").status, range("bytes=10-").one("Code").as_str()), (416, "InvalidRange"));

    assert_eq!(client.send("DELETE", "/milepost/1/100/2/a%20b", &[], b"").unwrap().status, 204);
    assert_eq!(client.send("DELETE", "/milepost/1/100/2/a%20b", &[], b"").unwrap().status, 204);
    let gone = get(&client, "/1/100/2/a%20b");
    assert_eq!((gone.status, gone.one("Code").as_str()), (404, "NoSuchKey"));
    assert!(fake.bucket().keys().is_empty());
}

#[test]
fn announced_checksums_are_verified() {
    let fake = FakeS3::start().unwrap();
    let client = Client::new(&fake);
    let crc = Crc64Nvme::of(b"hello").to_string();
    for (name, right) in [
        ("x-amz-checksum-crc64nvme", crc.as_str()),
        ("x-amz-checksum-crc32c", "mnG7TA=="),
        ("x-amz-checksum-crc32", "NhCmhg=="),
        ("content-md5", "XUFAKrxLKna5cZ2REBfFkg=="),
    ] {
        let wrong = put(&client, "a", "hellO", &[(name, right)]);
        assert_eq!((wrong.status, wrong.one("Code").as_str()), (400, "BadDigest"), "{name}");
        assert!(fake.bucket().keys().is_empty(), "{name}");
        let stored = put(&client, "a", "hello", &[(name, right)]);
        assert_eq!(stored.status, 200, "{name}: {}", stored.text());
        assert_eq!(stored.header("x-amz-checksum-crc64nvme"), Some(crc.as_str()));
        fake.bucket().remove_raw("a");
    }
    fake.set_quirks(Quirks { no_checksums: true, ..Quirks::default() });
    let unchecked = put(&client, "a", "hellO", &[("x-amz-checksum-crc64nvme", crc.as_str())]);
    assert_eq!((unchecked.status, unchecked.header("x-amz-checksum-crc64nvme")), (200, None));
}

#[test]
fn signatures_are_checked_and_no_secret_shows() {
    let fake = FakeS3::start().unwrap();
    let stranger = Client::new(&fake).with_secret("wrong").send("GET", "/milepost/a", &[], b"").unwrap();
    assert_eq!((stranger.status, stranger.one("Code").as_str()), (403, "SignatureDoesNotMatch"));
    let client = Client::new(&fake);
    let elsewhere = client.send("GET", "/elsewhere/a", &[], b"").unwrap();
    assert_eq!((elsewhere.status, elsewhere.one("Code").as_str()), (404, "NoSuchBucket"));
    assert_eq!(client.send("HEAD", "/milepost", &[], b"").unwrap().status, 200);
    assert_eq!(client.send("HEAD", "/elsewhere", &[], b"").unwrap().status, 404);
    let refused = put(&client, "a//b", "x", &[]);
    assert_eq!((refused.status, refused.one("Code").as_str()), (400, "InvalidArgument"));
    let unknown = get(&client, "/a?acl");
    assert_eq!((unknown.status, unknown.one("Code").as_str()), (501, "NotImplemented"));
    assert!(!format!("{fake:?}{}", fake.log()).contains(fake.secret_key()));
}

#[test]
fn listings_come_in_pages_and_folders() {
    let fake = FakeS3::start().unwrap();
    let client = Client::new(&fake);
    for key in ["1/10/2/status.json", "1/100/2/status.json", "1/9/a&b", "1/9/c", "cluster.json", "odd//key"] {
        fake.bucket().put_raw(key, "x");
    }
    let all = get(&client, "?list-type=2");
    assert_eq!(all.all("Key").len(), 6, "{}", all.text());
    assert_eq!((all.one("IsTruncated"), all.one("KeyCount")), ("false".to_owned(), "6".to_owned()));
    let below = get(&client, "?list-type=2&prefix=1%2F10%2F");
    assert_eq!(below.all("Key"), ["1/10/2/status.json"]);
    let folders = get(&client, "?delimiter=%2F&list-type=2&prefix=1%2F");
    assert_eq!((folders.all("Key").len(), folders.all("CommonPrefixes").len()), (0, 3), "{}", folders.text());

    let (mut seen, mut token) = (Vec::new(), String::new());
    loop {
        let page = get(&client, &format!("?{token}list-type=2&max-keys=2"));
        assert!(page.all("Key").len() <= 2);
        seen.extend(page.all("Key"));
        if page.one("IsTruncated") == "false" {
            break;
        }
        token = format!("continuation-token={}&", page.one("NextContinuationToken"));
    }
    assert_eq!(seen, all.all("Key"));
    let after = get(&client, "?list-type=2&start-after=1%2F9%2Fa%26b");
    assert_eq!(after.all("Key"), ["1/9/c", "cluster.json", "odd//key"]);
    let encoded = get(&client, "?encoding-type=url&list-type=2&prefix=1%2F9%2Fa");
    assert_eq!(encoded.all("Key"), ["1/9/a%26b"]);
    assert_eq!(get(&client, "?continuation-token=zz&list-type=2").status, 400);
    assert_eq!(fake.count(Operation::ListObjectsV2), 9);
}

#[test]
fn a_batch_of_deletes_answers_for_each_key() {
    let fake = FakeS3::start().unwrap();
    let client = Client::new(&fake);
    fake.bucket().put_raw("a//odd", "x");
    fake.bucket().put_raw("b", "x");
    fake.bucket().put_raw("c", "x");
    let batch = |keys: &[String], quiet| {
        let objects: String = keys.iter().map(|key| format!("<Object><Key>{key}</Key></Object>")).collect();
        let body = format!("<Delete>{objects}<Quiet>{quiet}</Quiet></Delete>");
        client.send("POST", "/milepost?delete", &[], body.as_bytes()).unwrap()
    };
    let reply = batch(&["a//odd".to_owned(), "b".to_owned(), "absent".to_owned()], false);
    assert_eq!((reply.status, reply.all("Key").len()), (200, 3), "{}", reply.text());
    assert_eq!(fake.bucket().keys(), ["c"]);
    assert_eq!(batch(&["c".to_owned()], true).all("Key").len(), 0);
    let many: Vec<String> = (0..1001).map(|n| format!("k{n}")).collect();
    let refused = batch(&many, true);
    assert_eq!((refused.status, refused.one("Code").as_str()), (400, "MalformedXML"));
    assert_eq!(batch(&many[..1000], false).all("Key").len(), 1000);
}

#[test]
fn uploads_in_parts_are_made_whole_once() {
    let limits = PartLimits { min_part: 4, max_part: 16, max_parts: 10_000 };
    let fake = FakeS3::serve(MemoryBucket::new("small parts").with_part_limits(limits)).unwrap();
    let client = Client::new(&fake);
    let post = |target: String, headers: &[(&str, &str)], body: &str| {
        client.send("POST", &format!("/milepost/{target}"), headers, body.as_bytes()).unwrap()
    };
    let begin = || post("a/b?uploads".to_owned(), &[("x-amz-checksum-algorithm", "CRC64NVME")], "").one("UploadId");
    let upload = begin();
    let part = |number: u32, body: &str| {
        let target = format!("/milepost/a/b?partNumber={number}&uploadId={upload}");
        let crc = Crc64Nvme::of(body.as_bytes()).to_string();
        client.send("PUT", &target, &[("x-amz-checksum-crc64nvme", &crc)], body.as_bytes()).unwrap()
    };
    let etags: Vec<String> =
        [(1, "0123"), (2, "4567"), (3, "8")].map(|(n, body)| part(n, body).header("etag").unwrap().to_owned()).into();
    let page = get(&client, &format!("/a/b?max-parts=2&uploadId={upload}"));
    assert_eq!((page.all("PartNumber"), page.one("IsTruncated")), (vec!["1".into(), "2".into()], "true".to_owned()));
    let rest = get(&client, &format!("/a/b?part-number-marker=2&uploadId={upload}"));
    assert_eq!((rest.all("PartNumber"), rest.all("Size")), (vec!["3".to_owned()], vec!["1".to_owned()]));
    assert_eq!(rest.all("ETag"), [etags[2].as_str()]);

    let body = |numbers: &[usize]| {
        let parts: String = numbers
            .iter()
            .map(|n| format!("<Part><PartNumber>{n}</PartNumber><ETag>{}</ETag></Part>", etags[n - 1]))
            .collect();
        format!("<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>")
    };
    let crc = Crc64Nvme::of(b"012345678").to_string();
    let whole = [CREATE, ("x-amz-checksum-crc64nvme", &crc), ("x-amz-checksum-type", "FULL_OBJECT")];
    let complete =
        |headers: &[(&str, &str)], numbers: &[usize]| post(format!("a/b?uploadId={upload}"), headers, &body(numbers));
    let code = |reply: Reply| (reply.status, reply.one("Code"));
    assert_eq!(code(complete(&whole, &[2, 1])), (400, "InvalidPartOrder".to_owned()));
    assert_eq!(code(complete(&whole, &[1, 2])), (400, "BadDigest".to_owned()));
    let size = [CREATE, ("x-amz-mp-object-size", "8")];
    assert_eq!(code(complete(&size, &[1, 2, 3])), (400, "InvalidRequest".to_owned()));
    let none = post(format!("a/b?uploadId={upload}"), &[CREATE], "<CompleteMultipartUpload></CompleteMultipartUpload>");
    assert_eq!(none.status, 400);

    // In the way: the upload stays open.
    fake.bucket().put_raw("a/b", "in the way");
    assert_eq!(code(complete(&whole, &[1, 2, 3])), (412, "PreconditionFailed".to_owned()));
    let open = get(&client, "?prefix=a%2F&uploads");
    assert_eq!((open.all("UploadId"), open.one("Key")), (vec![upload.clone()], "a/b".to_owned()));
    fake.bucket().remove_raw("a/b");
    let done = complete(&whole, &[1, 2, 3]);
    assert_eq!((done.status, done.one("ChecksumCRC64NVME")), (200, crc.clone()), "{}", done.text());
    assert_eq!(fake.bucket().bytes("a/b").as_deref(), Some(&b"012345678"[..]));
    assert_eq!(code(complete(&whole, &[1, 2, 3])), (404, "NoSuchUpload".to_owned()));

    // Short parts are refused but at the end; aborting is final.
    let (upload, other) = (begin(), begin());
    let short = client.send("PUT", &format!("/milepost/a/b?partNumber=1&uploadId={upload}"), &[], b"012").unwrap();
    let last = client.send("PUT", &format!("/milepost/a/b?partNumber=2&uploadId={upload}"), &[], b"3").unwrap();
    let parts: String = [(1, &short), (2, &last)]
        .map(|(n, part)| {
            format!("<Part><PartNumber>{n}</PartNumber><ETag>{}</ETag></Part>", part.header("etag").unwrap())
        })
        .concat();
    let parts = format!("<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>");
    let refused = post(format!("a/b?uploadId={upload}"), &[], &parts);
    assert_eq!(code(refused), (400, "EntityTooSmall".to_owned()));
    let one = get(&client, "?max-uploads=1&uploads");
    assert_eq!((one.all("UploadId"), one.one("IsTruncated")), (vec![upload.clone()], "true".to_owned()));
    let next = format!("?key-marker=a%2Fb&upload-id-marker={}&uploads", one.one("NextUploadIdMarker"));
    assert_eq!(get(&client, &next).all("UploadId"), [other.as_str()]);
    for status in [204, 404] {
        let aborted = client.send("DELETE", &format!("/milepost/a/b?uploadId={upload}"), &[], b"").unwrap();
        assert_eq!(aborted.status, status);
    }
    assert_eq!(fake.bucket().open_upload_count(), 1);
    fake.set_quirks(Quirks { uploads_by_exact_key: true, ..Quirks::default() });
    assert_eq!(get(&client, "?prefix=a%2F&uploads").all("UploadId").len(), 0);
    assert_eq!(get(&client, "?prefix=a%2Fb&uploads").all("UploadId"), [other]);
}

#[test]
fn racing_creates_have_one_winner() {
    let fake = FakeS3::start().unwrap();
    for round in 0..10 {
        let key = format!("race/{round}");
        let statuses: Vec<u16> = std::thread::scope(|scope| {
            let racers: Vec<_> = (0..16)
                .map(|racer| {
                    let (client, key) = (Client::new(&fake), key.clone());
                    scope.spawn(move || put(&client, &key, &format!("racer {racer}"), &[CREATE]).status)
                })
                .collect();
            racers.into_iter().map(|racer| racer.join().unwrap()).collect()
        });
        assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{statuses:?}");
        assert_eq!(statuses.iter().filter(|status| **status == 412).count(), 15, "{statuses:?}");
    }
}
