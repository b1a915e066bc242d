//! A server that says what it is told to, over real HTTP.

#![allow(clippy::unwrap_used, reason = "helpers of tests; clippy.toml covers the tests alone")]
#![allow(dead_code, reason = "each test binary uses its part")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use milepost_s3::{S3Bucket, S3Settings};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

pub(crate) const SECRET: &str = "hunter2secret";

/// What the server does with one request.
#[derive(Clone)]
pub(crate) enum Act {
    /// Answers with these bytes, then closes.
    Say(String),
    /// Answers with these bytes and then neither sends nor closes.
    SayAndHang(String),
    /// Reads the request and closes.
    Drop,
    /// Reads the request and never answers.
    Hang,
}

/// A canned reply.
pub(crate) fn reply(status: &str, headers: &str, body: &str) -> Act {
    let end = if headers.is_empty() || headers.ends_with("\r\n") { "" } else { "\r\n" };
    Act::Say(format!(
        "HTTP/1.1 {status}\r\nconnection: close\r\nx-amz-request-id: REQ1\r\ncontent-length: {}\r\n{headers}{end}\r\n{body}",
        body.len()
    ))
}

/// An S3 error.
pub(crate) fn error(status: &str, code: &str) -> Act {
    reply(
        status,
        "",
        &format!("<Error><Code>{code}</Code><Message>because</Message><RequestId>REQ1</RequestId></Error>"),
    )
}

/// A server that does the same with each request.
pub(crate) struct Canned {
    pub(crate) url: String,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Canned {
    /// Does `acts` one after the other, the last one for ever.
    pub(crate) async fn new(acts: Vec<Act>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let seen: Arc<Mutex<Vec<String>>> = Arc::default();
        let kept = Arc::clone(&seen);
        tokio::spawn(async move {
            let mut next = 0;
            while let Ok((stream, _)) = listener.accept().await {
                let act = acts[next.min(acts.len() - 1)].clone();
                next += 1;
                tokio::spawn(serve(stream, act, Arc::clone(&kept)));
            }
        });
        Self { url, seen }
    }

    /// The requests so far, heads and bodies.
    pub(crate) fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }

    pub(crate) async fn bucket(&self) -> S3Bucket {
        self.bucket_with(|_| ()).await
    }

    pub(crate) async fn bucket_with(&self, change: impl FnOnce(&mut S3Settings)) -> S3Bucket {
        let mut settings = settings(&self.url);
        change(&mut settings);
        S3Bucket::new(&settings).await.unwrap()
    }
}

/// Settings with all given, so that nothing is discovered.
pub(crate) fn settings(url: &str) -> S3Settings {
    let mut settings = S3Settings::default();
    settings.bucket = "backups".to_owned();
    settings.endpoint = Some(url.to_owned());
    settings.region = Some("us-east-1".to_owned());
    settings.access_key_id = Some("AKIAEXAMPLE".into());
    settings.secret_access_key = Some(SECRET.into());
    settings.connect_timeout = Duration::from_millis(500);
    settings
}

async fn serve(mut stream: TcpStream, act: Act, seen: Arc<Mutex<Vec<String>>>) {
    let mut request = Vec::new();
    let mut buffer = [0; 65536];
    loop {
        let Ok(read) = stream.read(&mut buffer).await else { return };
        if read == 0 {
            return;
        }
        request.extend_from_slice(&buffer[..read]);
        let text = String::from_utf8_lossy(&request);
        let Some(head) = text.find("\r\n\r\n") else { continue };
        let lower = text[..head].to_ascii_lowercase();
        let length = lower.split("content-length: ").nth(1).and_then(|rest| rest.split("\r\n").next()?.parse().ok());
        if request.len() >= head + 4 + length.unwrap_or(0usize) {
            break;
        }
    }
    seen.lock().unwrap().push(String::from_utf8_lossy(&request).into_owned());
    match act {
        Act::Say(text) => drop(stream.write_all(text.as_bytes()).await),
        Act::SayAndHang(text) => {
            let _ = stream.write_all(text.as_bytes()).await;
            tokio::time::sleep(Duration::from_secs(60)).await;
        }
        Act::Drop => {}
        Act::Hang => tokio::time::sleep(Duration::from_secs(60)).await,
    }
}
