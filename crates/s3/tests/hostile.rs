//! Replies that no S3 server would send, by the thousand: XML that was cut, changed and made up, over real HTTP.

#![allow(clippy::unwrap_used, reason = "helpers of tests; clippy.toml covers the tests alone")]
#![allow(clippy::print_stderr, reason = "the counts are for people")]

mod support;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures::TryStreamExt as _;
use milepost_s3::S3Bucket;
use milepost_store::bucket::{Bucket as _, ListRequest, MAX_PAGE, PartInfo, PutMode, UploadId, UploadQuery};
use milepost_store::core::{Crc64Nvme, ObjectKey};
use milepost_store::{BucketError, ETag};
use milepost_testkit::hostile::{Campaign, Verdict, fit_to_show, kind_of};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

/// The longest message about a reply, and the longest hint, in bytes.
const MAX_MESSAGE: usize = 3_000;

/// A status and a body.
type Said = Arc<Mutex<(u16, Bytes)>>;

/// A server whose every reply is the one that was set last.
struct Parrot {
    said: Said,
    asked: Arc<Mutex<u32>>,
    bucket: S3Bucket,
}

impl Parrot {
    async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (said, asked) = (Said::default(), Arc::<Mutex<u32>>::default());
        let (say, count) = (Arc::clone(&said), Arc::clone(&asked));
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let (say, count) = (Arc::clone(&say), Arc::clone(&count));
                tokio::spawn(async move {
                    let mut request = Vec::new();
                    let mut buffer = [0; 16 * 1024];
                    loop {
                        // One request after the other; bodies are short and come with their heads or right behind.
                        while !whole(&request) {
                            match stream.read(&mut buffer).await {
                                Ok(0) | Err(_) => return,
                                Ok(read) => request.extend_from_slice(&buffer[..read]),
                            }
                        }
                        let head = request.starts_with(b"HEAD ");
                        request.clear();
                        *count.lock().unwrap() += 1;
                        let (status, body) = say.lock().unwrap().clone();
                        let mut reply = format!(
                            "HTTP/1.1 {status} Said\r\nx-amz-request-id: REQ1\r\netag: \"e\"\r\ncontent-length: {}\r\n\r\n",
                            body.len()
                        )
                        .into_bytes();
                        if !head {
                            reply.extend_from_slice(&body);
                        }
                        if stream.write_all(&reply).await.is_err() {
                            return;
                        }
                    }
                });
            }
        });
        let mut settings = support::settings(&url);
        settings.attempt_timeout = Duration::from_secs(5);
        settings.operation_timeout = Duration::from_secs(5);
        let bucket = S3Bucket::new(&settings).await.unwrap();
        Self { said, asked, bucket }
    }

    /// The first line of an input is a request and a status, as in `list 200`; the rest is the reply's body.
    async fn judge(&self, input: &[u8]) -> Verdict {
        let end = input.iter().position(|byte| *byte == b'\n').unwrap_or(input.len());
        let line = String::from_utf8_lossy(&input[..end]);
        let Some((request, status)) = line.split_once(' ') else { return Ok("no request".to_owned()) };
        let Some(status) =
            status.parse().ok().filter(|status| (200..600).contains(status) && *status != 204 && *status != 304)
        else {
            return Ok("no status".to_owned());
        };
        *self.said.lock().unwrap() = (status, Bytes::copy_from_slice(input.get(end + 1..).unwrap_or_default()));
        *self.asked.lock().unwrap() = 0;
        let answer = tokio::time::timeout(Duration::from_secs(60), self.ask(request, input.len())).await;
        let asked = *self.asked.lock().unwrap();
        let answer = answer.map_err(|_| format!("{request} does not end, after {asked} requests"))?;
        match answer {
            None => Ok("no such request".to_owned()),
            Some(Ok(kind)) => kind.map(|kind| format!("{request}: {kind}")),
            Some(Err(error)) => {
                fit_to_show(&error.message, MAX_MESSAGE)?;
                fit_to_show(error.hint.as_deref().unwrap_or_default(), MAX_MESSAGE)?;
                let writes = matches!(request, "put" | "complete" | "part" | "create");
                if writes && status >= 500 && !error.maybe_applied {
                    return Err(format!("{request} was answered {status}, and is said to have no effect: {error}"));
                }
                Ok(format!("{request}: {:?} {} {}", error.kind, error.maybe_applied, kind_of(&error.message)))
            }
        }
    }

    /// What came of it, where it has something to it: `Err` names a fault.
    async fn ask(&self, request: &str, longest: usize) -> Option<Result<Verdict, BucketError>> {
        let (bucket, key) = (&self.bucket, ObjectKey::new("1/100/2/snapshots/a").unwrap());
        let (body, upload) = (Bytes::from_static(b"hello"), UploadId("u".to_owned()));
        let crc = Crc64Nvme::of(&body);
        let few = |count: usize, what: &str| {
            let most = longest / 8 + 1;
            if count <= most {
                Ok(format!("{} {what}", count.min(3)))
            } else {
                Err(format!("{count} {what} of {longest} bytes"))
            }
        };
        Some(match request {
            "list" => bucket.list(ListRequest::all("")).await.map(|page| {
                if page.next.as_ref().is_some_and(|token| token.0.is_empty()) {
                    return Err("goes on nowhere".to_owned());
                }
                few(page.objects.len() + page.folders.len(), "keys")
            }),
            "put" => bucket.put(&key, body, crc, PutMode::Create).await.map(|_| Ok("written".to_owned())),
            "get" => match bucket.get(&key, None).await {
                Err(error) => Err(error),
                Ok(reply) => match reply.body.try_collect::<Vec<Bytes>>().await {
                    Ok(chunks) => Ok(few(chunks.concat().len() / 8, "bytes")),
                    Err(error) => Err(error),
                },
            },
            "head" => bucket.head(&key).await.map(|_| Ok("there".to_owned())),
            "delete" => bucket.delete(vec!["a".to_owned(), "b".to_owned()]).await.map(|outcomes| {
                let keys: Vec<_> = outcomes.iter().map(|outcome| outcome.key.as_str()).collect();
                for error in outcomes.iter().filter_map(|outcome| outcome.result.as_ref().err()) {
                    fit_to_show(&error.message, MAX_MESSAGE)?;
                }
                // One outcome per key, whatever is said: a key that is not spoken of must not pass for deleted unseen.
                if keys == ["a", "b"] { Ok("deleted".to_owned()) } else { Err(format!("outcomes of {keys:?}")) }
            }),
            "create" => bucket.create_upload(&key, 5 << 20).await.map(|_| Ok("begun".to_owned())),
            "part" => bucket.upload_part(&key, &upload, 1, body, crc).await.map(|_| Ok("sent".to_owned())),
            "parts" => bucket.list_parts(&key, &upload).await.map(|parts| {
                let most = parts.len() <= 10 * MAX_PAGE;
                if most { Ok("parts".to_owned()) } else { Err(format!("{} parts", parts.len())) }
            }),
            "complete" => {
                let part = PartInfo { number: 1, size: 5, etag: ETag("e".to_owned()), crc64nvme: Some(crc) };
                bucket.complete_upload(&key, &upload, &[part], crc).await.map(|_| Ok("completed".to_owned()))
            }
            "abort" => bucket.abort_upload(&key, &upload).await.map(|()| Ok("aborted".to_owned())),
            "uploads" => bucket.list_uploads(UploadQuery::Key(key)).await.map(|uploads| {
                let most = uploads.len() <= 10 * MAX_PAGE;
                if most { Ok("uploads".to_owned()) } else { Err(format!("{} uploads", uploads.len())) }
            }),
            _ => return None,
        })
    }
}

/// Is this request here with its body?
fn whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request);
    let Some(head) = text.find("\r\n\r\n") else { return false };
    let lower = text[..head].to_ascii_lowercase();
    let length = lower.split("content-length: ").nth(1).and_then(|rest| rest.split("\r\n").next()?.parse().ok());
    request.len() >= head + 4 + length.unwrap_or(0usize)
}

const CORPUS: [&str; 12] = [
    "list 200\n<?xml version=\"1.0\"?><ListBucketResult><IsTruncated>true</IsTruncated><NextContinuationToken>t</NextContinuationToken>\
     <EncodingType>url</EncodingType><Contents><Key>1/100/2/a%20b</Key><Size>7</Size><ETag>&quot;e&quot;</ETag></Contents>\
     <CommonPrefixes><Prefix>1/</Prefix></CommonPrefixes></ListBucketResult>",
    "put 412\n<Error><Code>PreconditionFailed</Code><Message>At least one</Message><RequestId>R</RequestId></Error>",
    "put 301\n<Error><Code>PermanentRedirect</Code><Message>m</Message><Region>eu-1</Region></Error>",
    "get 404\n<Error><Code>NoSuchKey</Code><Message>gone</Message><Key>k</Key></Error>",
    "get 206\nhello",
    "head 403\n",
    "delete 200\n<DeleteResult><Deleted><Key>a</Key></Deleted><Error><Key>b</Key><Code>AccessDenied</Code><Message>no</Message></Error></DeleteResult>",
    "create 200\n<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>",
    "part 503\n<Error><Code>SlowDown</Code><Message>Reduce</Message></Error>",
    "parts 200\n<ListPartsResult><IsTruncated>false</IsTruncated><Part><PartNumber>1</PartNumber><ETag>\"e\"</ETag><Size>5</Size></Part></ListPartsResult>",
    "complete 200\n<CompleteMultipartUploadResult><ETag>\"e\"</ETag></CompleteMultipartUploadResult>",
    "uploads 200\n<ListMultipartUploadsResult><IsTruncated>false</IsTruncated><Upload><Key>1/100/2/snapshots/a</Key><UploadId>u</UploadId>\
     <Initiated>2026-11-21T10:00:00Z</Initiated></Upload></ListMultipartUploadsResult>",
];

#[test]
fn replies_of_a_server_that_means_harm() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let parrot = runtime.block_on(Parrot::new());
    let words = [
        "true",
        "<IsTruncated>true</IsTruncated>",
        "<NextContinuationToken></NextContinuationToken>",
        "<NextKeyMarker>k</NextKeyMarker>",
        "<NextPartNumberMarker>0</NextPartNumberMarker>",
        "<!DOCTYPE x [<!ENTITY a \"b\">]>",
        "&a;",
        "&#0;",
        "&#x1;",
        "<![CDATA[x]]>",
        "<!--",
        "<Error><Code>InternalError</Code></Error>",
        "list",
        "uploads",
        "parts",
        "put",
        "complete",
        "delete",
        "200",
        "500",
        "404",
        "</",
        "/>",
    ];
    let campaign = Campaign::new("replies", CORPUS).words(words).longest(32 * 1024);
    let report = campaign.run(2_500, |input| runtime.block_on(parrot.judge(input))).unwrap();
    assert!(report.kinds > 60, "{report}");
    eprintln!("{report}");
}
