//! Between the connection and the S3 protocol: counts each request and does to it what the script says.

use std::io;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use hyper::body::Incoming;
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::{Method, StatusCode};
use s3s::dto::StreamingBlob;
use s3s::service::S3Service;
use s3s::{Body, HttpRequest, HttpResponse};

use super::fault::{Fault, Wait};
use super::operation::{self, Operation};
use super::shared::Shared;

/// The longest request body that the server takes: more than any part that a test sends.
const MAX_BODY: usize = 256 << 20;

/// A tampered body goes out in pieces of this many bytes.
const PIECE: usize = 64 * 1024;

/// Which keys of a delete stay: travels with the request to where the keys are known.
#[derive(Debug, Clone)]
pub(super) struct KeepKeys {
    pub(super) containing: String,
    pub(super) code: String,
}

/// What answers requests: the service, and the script in front of it.
#[derive(Clone)]
pub(super) struct Layer {
    pub(super) shared: Arc<Shared>,
    pub(super) service: S3Service,
}

/// A request that has arrived whole, and can be delivered more than once.
#[derive(Clone)]
struct Whole {
    head: hyper::http::request::Parts,
    body: Bytes,
    number: u64,
}

/// hyper drops the connection without a word where the service fails.
fn broken(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, format!("fault: {why}"))
}

async fn collect(body: Body) -> io::Result<Bytes> {
    let mut body = StreamingBlob::from(body);
    let mut whole = BytesMut::new();
    while let Some(chunk) = body.next().await {
        let chunk = chunk.map_err(io::Error::other)?;
        if whole.len() + chunk.len() > MAX_BODY {
            return Err(io::Error::other("the request's body is longer than the fake server takes"));
        }
        whole.extend_from_slice(&chunk);
    }
    Ok(whole.freeze())
}

impl Layer {
    /// Answers one request. An error drops the connection.
    pub(super) async fn handle(self, request: hyper::Request<Incoming>) -> io::Result<HttpResponse> {
        let (head, body) = request.into_parts();
        let (operation, key) = operation::of(&head.method, &head.uri);
        let shared = Arc::clone(&self.shared);
        let arrived = shared.arrive(operation, key.clone());
        // Whole first, whatever follows: a client whose body is cut off fails in another way than one that waits for a reply.
        let body = collect(Body::from(body)).await?;
        let request = Whole { head, body, number: arrived.number };
        shared.note(request.number, |noted| noted.body = request.body.len() as u64);
        let reply = if arrived.too_many {
            answer(&request, 503, "SlowDown", None)
        } else {
            self.faulty(request, arrived.fault.clone(), (operation, key)).await?
        };
        shared.note(arrived.number, |request| request.status = Some(reply.status().as_u16()));
        Ok(reply)
    }

    async fn faulty(
        &self,
        mut request: Whole,
        fault: Option<Fault>,
        (operation, key): (Operation, String),
    ) -> io::Result<HttpResponse> {
        let Some(fault) = fault else {
            return self.deliver(request).await;
        };
        match fault {
            Fault::Answer { status, code, retry_after } => Ok(answer(&request, status, &code, retry_after)),
            Fault::ErrorIn200(code) => Ok(answer(&request, 200, &code, None)),
            Fault::LoseRequest => Err(broken("the request is lost")),
            Fault::LoseReply => {
                self.deliver(request).await?;
                Err(broken("the reply is lost"))
            }
            Fault::Late(wait) => {
                self.deliver_later(request, wait);
                Err(broken("the request is late"))
            }
            Fault::Repeat(wait) => {
                let reply = self.deliver(request.clone()).await?;
                self.deliver_later(request, wait);
                Ok(reply)
            }
            Fault::Wait(wait) => {
                wait.over().await;
                self.deliver(request).await
            }
            Fault::CutBody(at) => tampered(self.deliver(request).await?, Tamper::Cut(at)).await,
            Fault::StallBody(at) => tampered(self.deliver(request).await?, Tamper::Stall(at)).await,
            Fault::FlipByte(at) => tampered(self.deliver(request).await?, Tamper::Flip(at)).await,
            Fault::KeepKeys { containing, code } => {
                if operation == Operation::DeleteObject && key.contains(&containing) {
                    return Ok(answer(&request, 403, &code, None));
                }
                request.head.extensions.insert(KeepKeys { containing, code });
                self.deliver(request).await
            }
        }
    }

    /// Lets the request have its effect.
    async fn deliver(&self, request: Whole) -> io::Result<HttpResponse> {
        let number = request.number;
        let request = HttpRequest::from_parts(request.head, Body::from(request.body));
        let mut reply = self
            .service
            .call(request)
            .await
            .map_err(|error| io::Error::other(Box::<dyn std::error::Error + Send + Sync>::from(error)))?;
        name(&mut reply, number);
        Ok(reply)
    }

    fn deliver_later(&self, request: Whole, wait: Wait) {
        let layer = self.clone();
        // Counted before the client can hear of it: who then waits for all to settle waits for this one too.
        let pending = layer.shared.later();
        tokio::spawn(async move {
            wait.over().await;
            let number = request.number;
            if let Ok(reply) = layer.deliver(request).await {
                layer.shared.note(number, |noted| noted.late = Some(reply.status().as_u16()));
            }
            drop(pending);
        });
    }
}

fn name(reply: &mut HttpResponse, number: u64) {
    if let Ok(id) = HeaderValue::try_from(format!("fake-{number:06}")) {
        reply.headers_mut().insert("x-amz-request-id", id);
    }
}

fn answer(request: &Whole, status: u16, code: &str, retry_after: Option<u32>) -> HttpResponse {
    let head = request.head.method == Method::HEAD;
    let plain: String = code.chars().filter(char::is_ascii_alphanumeric).collect();
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{plain}</Code><Message>by the test's fault \
         script</Message><RequestId>fake-{:06}</RequestId></Error>",
        request.number
    );
    // A reply to HEAD has no body, so no code: clients go by the status.
    let mut reply = HttpResponse::new(if head { Body::empty() } else { Body::from(body) });
    *reply.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/xml"));
    if let Some(seconds) = retry_after {
        reply.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    name(&mut reply, request.number);
    reply
}

#[derive(Clone, Copy)]
enum Tamper {
    Cut(u64),
    Stall(u64),
    Flip(u64),
}

/// The reply with another body below the same headers.
async fn tampered(reply: HttpResponse, tamper: Tamper) -> io::Result<HttpResponse> {
    let (mut head, body) = reply.into_parts();
    let whole: Vec<Bytes> = StreamingBlob::from(body).try_collect().await.map_err(io::Error::other)?;
    let mut whole = whole.concat();
    // Said by us: hyper cannot know it of a stream, and the client must know what it misses.
    head.headers.insert(CONTENT_LENGTH, HeaderValue::from(whole.len()));
    let (Tamper::Cut(at) | Tamper::Stall(at) | Tamper::Flip(at)) = tamper;
    let at = usize::try_from(at).unwrap_or(usize::MAX);
    let after = match tamper {
        Tamper::Flip(_) => {
            if let Some(byte) = whole.get_mut(at) {
                *byte ^= 1;
            }
            None
        }
        _ if at >= whole.len() => None,
        Tamper::Cut(_) | Tamper::Stall(_) => {
            whole.truncate(at);
            Some(tamper)
        }
    };
    let whole = Bytes::from(whole);
    let pieces = (0..whole.len()).step_by(PIECE).map(move |at| Ok(whole.slice(at..(at + PIECE).min(whole.len()))));
    let end = stream::once(async move {
        if let Some(Tamper::Stall(_)) = after {
            std::future::pending::<()>().await;
        }
        // What was said so far must go out before the connection breaks; it does where the body is not ready at once.
        tokio::task::yield_now().await;
        Err(broken("the body is cut"))
    });
    let end = stream::iter(after).zip(end).map(|(_, end)| end);
    Ok(HttpResponse::from_parts(head, Body::from(StreamingBlob::wrap(stream::iter(pieces).chain(end)))))
}
