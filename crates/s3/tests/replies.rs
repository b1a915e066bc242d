//! What the bucket makes of replies, good and bad, over real HTTP.

#![allow(clippy::unwrap_used, reason = "helpers of tests; clippy.toml covers the tests alone")]

mod support;

use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use milepost_s3::{S3Bucket, S3Settings, WireChecksum};
use milepost_store::bucket::{Bucket, GetReply, ListRequest, PartInfo, PutMode, UploadId, UploadQuery};
use milepost_store::core::{Crc64Nvme, ObjectKey};
use milepost_store::{BucketError, BucketErrorKind as Kind, ETag};
use support::{Act, Canned, SECRET, error, reply, settings};

fn key() -> ObjectKey {
    ObjectKey::new("1/100/2/snapshots/a b").unwrap()
}

async fn create(bucket: &S3Bucket) -> Result<ETag, BucketError> {
    let body = Bytes::from_static(b"hello");
    bucket.put(&key(), body.clone(), Crc64Nvme::of(&body), PutMode::Create).await
}

async fn collect(mut reply: GetReply) -> Result<Vec<u8>, BucketError> {
    let mut all = Vec::new();
    while let Some(chunk) = reply.body.next().await {
        all.extend_from_slice(&chunk?);
    }
    Ok(all)
}

fn parts() -> Vec<PartInfo> {
    let part = |number| PartInfo { number, size: 5, etag: ETag(format!("e{number}")), crc64nvme: Some(Crc64Nvme(7)) };
    vec![part(1), part(2)]
}

#[tokio::test]
async fn a_put_carries_checksum_and_condition_and_is_not_signed_twice() {
    let server = Canned::new(vec![reply("200 OK", "etag: \"abc\"", "")]).await;
    let bucket = server.bucket().await;
    assert_eq!(create(&bucket).await.unwrap(), ETag("abc".into()));
    let body = Bytes::from_static(b"{}");
    let replace = PutMode::Replace(ETag("abc".into()));
    bucket.put(&key(), body.clone(), Crc64Nvme::of(&body), replace).await.unwrap();
    let seen = server.seen();
    let first = seen[0].to_ascii_lowercase();
    assert!(
        seen[0].starts_with("PUT /backups/1/100/2/snapshots/a%20b?")
            || seen[0].starts_with("PUT /backups/1/100/2/snapshots/a%20b ")
    );
    assert!(seen[0].contains(&format!("x-amz-checksum-crc64nvme: {}", Crc64Nvme::of(b"hello"))), "{}", seen[0]);
    for line in ["if-none-match: *", "x-amz-content-sha256: unsigned-payload", "content-length: 5"] {
        assert!(first.contains(line), "{line}: {first}");
    }
    assert!(!first.contains("aws-chunked") && !first.contains("content-md5") && !first.contains("crc32"), "{first}");
    assert!(first.ends_with("\r\n\r\nhello"));
    assert!(seen[1].to_ascii_lowercase().contains("if-match: \"abc\""));
    assert!(first.contains("app/milepost"), "{first}");
}

#[tokio::test]
async fn settings_change_what_is_sent() {
    let server = Canned::new(vec![reply("200 OK", "etag: \"abc\"", "")]).await;
    let bucket = server
        .bucket_with(|settings| {
            settings.wire_checksum = WireChecksum::Crc32c;
            settings.content_md5 = true;
            settings.payload_signing = true;
            settings.sse = milepost_s3::Sse::Kms;
            settings.sse_kms_key_id = Some("alias/backups".into());
            settings.sse_bucket_key = Some(true);
            settings.storage_class = Some("STANDARD_IA".into());
            settings.expected_bucket_owner = Some("123456789012".into());
        })
        .await;
    create(&bucket).await.unwrap();
    let status = ObjectKey::new("1/100/2/status.json").unwrap();
    bucket.put(&status, Bytes::new(), Crc64Nvme::EMPTY, PutMode::Overwrite).await.unwrap();
    let seen = server.seen();
    for line in [
        "x-amz-checksum-crc32c: mnG7TA==",
        "content-md5: XUFAKrxLKna5cZ2REBfFkg==",
        "x-amz-server-side-encryption: aws:kms",
        "x-amz-server-side-encryption-aws-kms-key-id: alias/backups",
        "x-amz-server-side-encryption-bucket-key-enabled: true",
        "x-amz-storage-class: STANDARD_IA",
        "x-amz-expected-bucket-owner: 123456789012",
    ] {
        assert!(seen[0].contains(line), "{line}: {}", seen[0]);
    }
    assert!(!seen[0].contains("UNSIGNED-PAYLOAD") && !seen[0].contains("crc64nvme"), "{}", seen[0]);
    assert!(!seen[1].contains("storage-class"), "a status must stay in the default class: {}", seen[1]);
    let off = server.bucket_with(|settings| settings.wire_checksum = WireChecksum::Off).await;
    create(&off).await.unwrap();
    assert!(!server.seen()[2].contains("x-amz-checksum"), "{}", server.seen()[2]);
}

#[tokio::test]
async fn error_replies_become_kinds_with_key_and_request() {
    for (status, code, kind, applied) in [
        ("412 Precondition Failed", "PreconditionFailed", Kind::Precondition, false),
        ("409 Conflict", "ConditionalRequestConflict", Kind::Precondition, true),
        ("503 Slow Down", "SlowDown", Kind::Throttled, true),
        ("500 Internal", "InternalError", Kind::Unavailable, true),
        ("403 Forbidden", "AccessDenied", Kind::Denied, false),
        ("403 Forbidden", "RequestTimeTooSkewed", Kind::Denied, false),
        ("400 Bad", "ExpiredToken", Kind::Denied, false),
        ("400 Bad", "BadDigest", Kind::BadDigest, false),
        ("404 Not Found", "NoSuchBucket", Kind::Invalid, false),
        ("507 Full", "XMinioStorageFull", Kind::NoSpace, true),
        ("501 No", "NotImplemented", Kind::Unsupported, true),
    ] {
        let server = Canned::new(vec![error(status, code)]).await;
        let error = create(&server.bucket().await).await.unwrap_err();
        assert_eq!((error.kind, error.maybe_applied), (kind, applied), "{error:?}");
        for part in ["s3://backups/1/100/2/snapshots/a b", "REQ1", code, "because"] {
            assert!(error.message.contains(part), "{part}: {error}");
        }
        assert_eq!(server.seen().len(), 1, "one request, whatever it answers: {code}");
        assert!(!format!("{error:?}").contains(SECRET));
    }
}

#[tokio::test]
async fn retry_after_and_region_come_from_headers_or_body() {
    let busy = reply("503 Slow Down", "retry-after: 3", "<Error><Code>SlowDown</Code></Error>");
    let error = create(&Canned::new(vec![busy]).await.bucket().await).await.unwrap_err();
    assert_eq!(error.retry_after, Some(Duration::from_secs(3)));
    let moved = reply("301 Moved", "x-amz-bucket-region: eu-west-3", "");
    let error = Canned::new(vec![moved]).await.bucket().await.head(&key()).await.unwrap_err();
    assert!(error.kind == Kind::Invalid && error.hint.as_deref().unwrap().contains("eu-west-3"), "{error:?}");
    let body = "<Error><Code>AuthorizationHeaderMalformed</Code><Region>eu-west-3</Region></Error>";
    let error = create(&Canned::new(vec![reply("400 Bad", "", body)]).await.bucket().await).await.unwrap_err();
    assert!(error.hint.as_deref().unwrap().contains("eu-west-3"), "{error:?}");
}

#[tokio::test]
async fn heads_without_a_body_are_told_apart() {
    for (status, kind) in [
        ("404 Not Found", Kind::NotFound),
        ("403 Forbidden", Kind::Denied),
        ("400 Bad Request", Kind::Invalid),
        ("503 Busy", Kind::Throttled),
    ] {
        let error = Canned::new(vec![reply(status, "", "")]).await.bucket().await.head(&key()).await.unwrap_err();
        assert_eq!(error.kind, kind, "{status}: {error:?}");
        assert!(!error.maybe_applied);
    }
}

#[tokio::test]
async fn a_head_knows_checksum_and_age() {
    let full = "etag: \"abc\"\r\nx-amz-checksum-crc64nvme: jYEL4RPB2n8=\r\nx-amz-checksum-type: FULL_OBJECT\r\n\
                date: Wed, 21 Oct 2015 07:28:30 GMT\r\nlast-modified: Wed, 21 Oct 2015 07:28:00 GMT";
    let composite = "etag: \"abc\"\r\nx-amz-checksum-crc64nvme: jYEL4RPB2n8=-2\r\nx-amz-checksum-type: COMPOSITE";
    let server = Canned::new(vec![reply("200 OK", full, ""), reply("200 OK", composite, "")]).await;
    let bucket = server.bucket().await;
    let meta = bucket.head(&key()).await.unwrap();
    assert_eq!(meta.crc64nvme.unwrap().to_string(), "jYEL4RPB2n8=");
    assert_eq!(meta.age, Some(Duration::from_secs(30)));
    let meta = bucket.head(&key()).await.unwrap();
    assert_eq!((meta.crc64nvme, meta.age), (None, None));
    assert!(server.seen()[0].to_ascii_lowercase().contains("x-amz-checksum-mode: enabled"));
}

#[tokio::test]
async fn an_error_inside_a_200_is_an_error() {
    let body = "<?xml version=\"1.0\"?>\n<Error><Code>InternalError</Code><Message>late</Message></Error>";
    let server = Canned::new(vec![reply("200 OK", "", body)]).await;
    let upload = UploadId("u".into());
    let error = server.bucket().await.complete_upload(&key(), &upload, &parts(), Crc64Nvme(1)).await.unwrap_err();
    assert_eq!((error.kind, error.maybe_applied), (Kind::Unavailable, true), "{error:?}");
    let request = &server.seen()[0];
    for part in
        ["if-none-match: *", "x-amz-mp-object-size: 10", "x-amz-checksum-type: FULL_OBJECT", "<ETag>&quot;e2&quot;"]
    {
        assert!(request.to_ascii_lowercase().contains(&part.to_ascii_lowercase()), "{part}: {request}");
    }
}

#[tokio::test]
async fn an_empty_or_cut_reply_to_a_write_is_unknown() {
    let cut = "HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n<CompleteMultipartUploadResult>".to_owned();
    for act in [reply("200 OK", "", ""), Act::Say(cut), Act::Drop] {
        let bucket = Canned::new(vec![act]).await.bucket().await;
        let upload = UploadId("u".into());
        let error = bucket.complete_upload(&key(), &upload, &parts(), Crc64Nvme(1)).await.unwrap_err();
        assert!(error.maybe_applied, "{error:?}");
    }
}

#[tokio::test]
async fn a_dropped_connection_is_transient_and_unknown() {
    let error = create(&Canned::new(vec![Act::Drop]).await.bucket().await).await.unwrap_err();
    assert!(error.is_transient() && error.maybe_applied, "{error:?}");
    let error = Canned::new(vec![Act::Drop]).await.bucket().await.head(&key()).await.unwrap_err();
    assert!(error.is_transient() && !error.maybe_applied, "{error:?}");
}

#[tokio::test]
async fn nobody_listening_is_told_at_once_and_without_effect() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let start = tokio::time::Instant::now();
    let error = create(&S3Bucket::new(&settings(&url)).await.unwrap()).await.unwrap_err();
    assert_eq!((error.kind, error.maybe_applied), (Kind::Unavailable, false), "{error:?}");
    assert!(error.hint.as_deref().unwrap().contains("nobody listens"), "{error:?}");
    assert!(start.elapsed() < Duration::from_secs(30));
}

#[tokio::test]
async fn a_host_that_does_not_exist_is_told() {
    let error = create(&S3Bucket::new(&settings("http://nowhere.invalid")).await.unwrap()).await.unwrap_err();
    assert!(!error.maybe_applied && error.is_transient(), "{error:?}");
}

#[tokio::test]
async fn a_server_that_hangs_ends_with_the_attempts_timeout() {
    let server = Canned::new(vec![Act::Hang]).await;
    let bucket = server.bucket_with(|settings| settings.attempt_timeout = Duration::from_millis(600)).await;
    let start = tokio::time::Instant::now();
    let error = create(&bucket).await.unwrap_err();
    assert_eq!((error.kind, error.maybe_applied), (Kind::Timeout, true), "{error:?}");
    assert!(start.elapsed() < Duration::from_secs(30));
    let error = bucket.head(&key()).await.unwrap_err();
    assert_eq!((error.kind, error.maybe_applied), (Kind::Timeout, false), "{error:?}");
}

#[tokio::test]
async fn a_body_that_is_cut_or_pauses_is_transient() {
    let head = "HTTP/1.1 200 OK\r\netag: \"abc\"\r\ncontent-length: 100\r\n\r\nhello";
    for act in [Act::Say(head.into()), Act::SayAndHang(head.into())] {
        let server = Canned::new(vec![act]).await;
        let bucket = server.bucket_with(|settings| settings.attempt_timeout = Duration::from_millis(600)).await;
        let reply = bucket.get(&key(), None).await.unwrap();
        assert_eq!(reply.meta.size, 100);
        let error = collect(reply).await.unwrap_err();
        assert!(error.is_transient() && !error.maybe_applied, "{error:?}");
        assert!(error.message.contains("95 bytes"), "{error}");
    }
}

#[tokio::test]
async fn a_flipped_byte_of_a_whole_object_is_seen() {
    let crc = Crc64Nvme::of(b"hello");
    let headers = format!("etag: \"abc\"\r\nx-amz-checksum-crc64nvme: {crc}\r\nx-amz-checksum-type: FULL_OBJECT");
    let server = Canned::new(vec![reply("200 OK", &headers, "hello"), reply("200 OK", &headers, "hellp")]).await;
    let bucket = server.bucket().await;
    let good = bucket.get(&key(), None).await.unwrap();
    assert_eq!(good.meta.crc64nvme, Some(crc));
    assert_eq!(collect(good).await.unwrap(), b"hello");
    let error = collect(bucket.get(&key(), None).await.unwrap()).await.unwrap_err();
    assert_eq!(error.kind, Kind::BadDigest, "{error:?}");
}

#[tokio::test]
async fn ranges_are_checked_against_what_comes() {
    let partial =
        |range: &str, body: &str| reply("206 Partial Content", &format!("etag: \"e\"\r\ncontent-range: {range}"), body);
    let server = Canned::new(vec![partial("bytes 2-4/100", "llo")]).await;
    let got = server.bucket().await.get(&key(), Some(2..5)).await.unwrap();
    assert_eq!((got.meta.size, collect(got).await.unwrap()), (100, b"llo".to_vec()));
    assert!(server.seen()[0].contains("range: bytes=2-4"));
    for act in [partial("bytes 2-3/100", "ll"), partial("bytes 2-4/*", "llo"), reply("200 OK", "etag: \"e\"", "hello")]
    {
        let error = Canned::new(vec![act]).await.bucket().await.get(&key(), Some(2..5)).await.unwrap_err();
        assert_eq!(error.kind, Kind::Other, "{error:?}");
    }
    // Behind the end: 416, then a HEAD for the rest of the answer.
    let head = reply("200 OK", "etag: \"e\"", "").clone();
    let server = Canned::new(vec![error("416 Range", "InvalidRange"), head]).await;
    let got = server.bucket().await.get(&key(), Some(5..9)).await.unwrap();
    assert!(collect(got).await.unwrap().is_empty());
    assert!(server.seen()[1].starts_with("HEAD "));
}

#[tokio::test]
async fn listings_decode_keys_and_never_end_early() {
    let page = "<ListBucketResult><EncodingType>url</EncodingType><IsTruncated>true</IsTruncated>\
                <NextContinuationToken>t</NextContinuationToken>\
                <Contents><Key>a/b+c%2Bd%01</Key><Size>3</Size><ETag>&quot;e&quot;</ETag></Contents>\
                <CommonPrefixes><Prefix>a/%C3%A9/</Prefix></CommonPrefixes></ListBucketResult>";
    let raw = page.replace("<EncodingType>url</EncodingType>", "").replace("%01", "");
    let lost = page.replace("<NextContinuationToken>t</NextContinuationToken>", "");
    let server = Canned::new([page, &raw, &lost].map(|body| reply("200 OK", "", body)).to_vec()).await;
    let bucket = server.bucket().await;
    let listed = bucket.list(ListRequest::folders("a/")).await.unwrap();
    assert_eq!(listed.objects[0].key, "a/b c+d\u{1}");
    assert_eq!(listed.folders, ["a/é/"]);
    assert_eq!(listed.next.unwrap().0, "t");
    assert_eq!(bucket.list(ListRequest::all("a/")).await.unwrap().objects[0].key, "a/b+c%2Bd");
    let error = bucket.list(ListRequest::all("a/")).await.unwrap_err();
    assert!(error.message.contains("does not say where"), "{error}");
    assert!(bucket.list(ListRequest { limit: 1001, ..ListRequest::all("") }).await.is_err());
    let broken = Canned::new(vec![reply("200 OK", "", "<ListBucketResult><Contents>")]).await;
    assert!(broken.bucket().await.list(ListRequest::all("")).await.is_err());
}

#[tokio::test]
async fn a_batched_delete_has_one_outcome_for_each_key() {
    let body = "<DeleteResult><Deleted><Key>a</Key></Deleted>\
                <Error><Key>b</Key><Code>AccessDenied</Code><Message>no</Message></Error>\
                <Error><Key>c</Key><Code>NoSuchKey</Code></Error></DeleteResult>";
    let server = Canned::new(vec![reply("200 OK", "", body), reply("204 No Content", "", "")]).await;
    let bucket = server.bucket_with(|settings| settings.content_md5 = true).await;
    let keys = ["a", "b", "c", "d&<", "e\u{1}"].map(str::to_owned).to_vec();
    let outcomes = bucket.delete(keys).await.unwrap();
    let told: Vec<(&str, Option<Kind>)> =
        outcomes.iter().map(|o| (o.key.as_str(), o.result.as_ref().err().map(|error| error.kind))).collect();
    let expected =
        [("a", None), ("b", Some(Kind::Denied)), ("c", None), ("d&<", Some(Kind::Unavailable)), ("e\u{1}", None)];
    assert_eq!(told, expected);
    let seen = server.seen();
    assert!(
        seen[0].contains("<Key>d&amp;&lt;</Key>") && seen[0].to_ascii_lowercase().contains("content-md5:"),
        "{}",
        seen[0]
    );
    // What XML cannot carry goes in a request of its own.
    assert!(!seen[0].contains("<Key>e") && seen[1].starts_with("DELETE /backups/e%01"), "{seen:?}");
    assert!(bucket.delete(vec![String::from("k"); 1001]).await.is_err());
    assert!(bucket.delete(Vec::new()).await.unwrap().is_empty());
    assert_eq!(server.seen().len(), 2);
}

#[tokio::test]
async fn aborting_what_is_no_more_succeeds() {
    let upload = UploadId("u".into());
    let gone = Canned::new(vec![error("404 Not Found", "NoSuchUpload")]).await;
    gone.bucket().await.abort_upload(&key(), &upload).await.unwrap();
    let denied = Canned::new(vec![error("403 Forbidden", "AccessDenied")]).await;
    assert_eq!(denied.bucket().await.abort_upload(&key(), &upload).await.unwrap_err().kind, Kind::Denied);
    // An absent bucket is no aborted upload.
    let absent = Canned::new(vec![error("404 Not Found", "NoSuchBucket")]).await;
    assert_eq!(absent.bucket().await.abort_upload(&key(), &upload).await.unwrap_err().kind, Kind::Invalid);
}

#[tokio::test]
async fn uploads_and_parts_are_paged() {
    let upload = |key: &str, id: &str| {
        format!("<Upload><Key>{key}</Key><UploadId>{id}</UploadId><Initiated>2015-10-21T07:28:00Z</Initiated></Upload>")
    };
    let page = |more: &str, uploads: String| {
        let body = format!("<ListMultipartUploadsResult>{more}{uploads}</ListMultipartUploadsResult>");
        reply("200 OK", "date: Wed, 21 Oct 2015 07:28:30 GMT", &body)
    };
    let more =
        "<IsTruncated>true</IsTruncated><NextKeyMarker>a</NextKeyMarker><NextUploadIdMarker>1</NextUploadIdMarker>";
    let server = Canned::new(vec![page(more, upload("a", "1")), page("", upload("a", "2") + &upload("ab", "3"))]).await;
    let bucket = server.bucket().await;
    let open = bucket.list_uploads(UploadQuery::Key(ObjectKey::new("a").unwrap())).await.unwrap();
    let ids: Vec<&str> = open.iter().map(|open| open.upload.0.as_str()).collect();
    assert_eq!(ids, ["1", "2"]);
    assert_eq!(open[0].age, Some(Duration::from_secs(30)));
    assert!(server.seen()[1].contains("key-marker=a") && server.seen()[1].contains("upload-id-marker=1"));
    let part = |number: u32| format!("<Part><PartNumber>{number}</PartNumber><Size>5</Size><ETag>\"e\"</ETag></Part>");
    let page =
        |more: &str, parts: String| reply("200 OK", "", &format!("<ListPartsResult>{more}{parts}</ListPartsResult>"));
    let more = "<IsTruncated>true</IsTruncated><NextPartNumberMarker>1</NextPartNumberMarker>";
    let server = Canned::new(vec![page(more, part(1)), page("", part(2))]).await;
    let parts = server.bucket().await.list_parts(&key(), &UploadId("u".into())).await.unwrap();
    assert_eq!(parts.iter().map(|part| part.number).collect::<Vec<_>>(), [1, 2]);
    // A server whose pages never end is cut off.
    let endless = Canned::new(vec![page(more, (0..1000).map(part).collect())]).await;
    assert!(endless.bucket().await.list_parts(&key(), &UploadId("u".into())).await.is_err());
}

#[tokio::test]
async fn plain_http_to_a_tls_port_and_back_is_explained() {
    let tls = reply("400 Bad Request", "", "Client sent an HTTP request to an HTTPS server.\n");
    let error = create(&Canned::new(vec![tls]).await.bucket().await).await.unwrap_err();
    assert!(error.hint.as_deref().unwrap().contains("https://"), "{error:?}");
}

#[tokio::test]
async fn no_error_ever_shows_a_secret() {
    let acts = [Act::Drop, Act::Hang, error("403 Forbidden", "SignatureDoesNotMatch"), reply("200 OK", "", "<junk")];
    for act in acts {
        let server = Canned::new(vec![act]).await;
        let change = |settings: &mut S3Settings| {
            settings.session_token = Some("hunter2token".into());
            settings.attempt_timeout = Duration::from_millis(600);
        };
        let bucket = server.bucket_with(change).await;
        let errors = [
            create(&bucket).await.unwrap_err(),
            bucket.head(&key()).await.unwrap_err(),
            bucket.list(ListRequest::all("")).await.unwrap_err(),
        ];
        for error in errors {
            let shown = format!("{error} {error:?}");
            assert!(!shown.contains("hunter2"), "{shown}");
        }
    }
}
