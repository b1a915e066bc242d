//! The error map: what a failed request means, whether it may have had its effect, and what to do about it.
//!
//! The one place that knows S3's codes. A code decides where there is one; the status does for replies without a body (HEAD)
//! and for proxies in between. "May have been applied" is no only where the store refused, or no connection was ever made.

use std::error::Error as StdError;
use std::fmt::Write as _;
use std::time::Duration;

use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::RequestId as _;
use milepost_store::{BucketError, BucketErrorKind as Kind};

/// The most that is repeated of a server's own words, in bytes.
const MAX_WORDS: usize = 300;
/// The most of an error body that is looked through for a region.
const MAX_BODY: usize = 4096;

/// What the SDK and its connector put in front of a cause.
const LAYERS: [&str; 6] = [
    "dispatch failure: ",
    "io error: ",
    "timeout: ",
    "other: ",
    "client error (Connect): ",
    "client error (SendRequest): ",
];

/// The condition that a request carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Condition {
    None,
    /// If-None-Match: *
    Create,
    /// If-Match
    Replace,
}

/// What a request was about.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked<'a> {
    /// The verb, as in `put`.
    pub what: &'static str,
    pub bucket: &'a str,
    /// Where the bucket is, where the settings say so.
    pub endpoint: Option<&'a str>,
    /// Did it carry a customer's key?
    pub customer_key: bool,
    /// A key or a prefix.
    pub key: &'a str,
    /// Does it change anything?
    pub writes: bool,
    pub condition: Condition,
    /// Is it about a multipart upload, so that "not found" means the upload?
    pub upload: bool,
}

/// What came back, in the store's own terms.
#[derive(Debug, Default)]
pub(crate) struct Reply {
    /// 0: one key of a batch has none of its own.
    pub status: u16,
    pub code: String,
    pub words: String,
    pub request_id: String,
    pub region: Option<String>,
    pub retry_after: Option<Duration>,
    /// Did a TLS server answer plain HTTP?
    pub wants_tls: bool,
}

/// Maps a failed request.
pub(crate) fn map<E>(asked: Asked<'_>, error: &SdkError<E>) -> BucketError
where
    E: ProvideErrorMetadata + StdError + Send + Sync + 'static,
{
    let words = chain(error);
    match error {
        SdkError::ServiceError(failed) => {
            let raw = failed.raw();
            let body = raw.body().bytes().unwrap_or_default();
            let body = String::from_utf8_lossy(&body[..body.len().min(MAX_BODY)]);
            let words = failed.err().message().unwrap_or_default();
            let header = |name| raw.headers().get(name);
            judge(
                asked,
                &Reply {
                    status: raw.status().as_u16(),
                    code: failed.err().code().unwrap_or_default().to_owned(),
                    words: shown(words),
                    request_id: error.request_id().map(shown).unwrap_or_default(),
                    region: header("x-amz-bucket-region").map(str::to_owned).or_else(|| region_in(&body)),
                    retry_after: header("retry-after").and_then(retry_after),
                    wants_tls: body.contains("HTTP request to an HTTPS server"),
                },
            )
        }
        SdkError::TimeoutError(_) => late(asked, &words),
        SdkError::DispatchFailure(_) => unsent(asked, &words),
        SdkError::ResponseError(failed) => {
            let status = failed.raw().status().as_u16();
            let error = broken(asked, &format!("the reply ({status}) could not be read: {}", shown(&words)));
            // TLS servers answer plain HTTP so, and close.
            if status == 400 { error.with_hint(WANTS_TLS) } else { error }
        }
        _ if is_about_credentials(&words) => no_credentials(asked, &words),
        _ => BucketError::new(Kind::Invalid, asked.says(&format!("the request could not be made: {}", shown(&words)))),
    }
}

/// Maps an error that a reply reports of one key of a batch.
pub(crate) fn map_entry(asked: Asked<'_>, code: &str, words: &str) -> BucketError {
    judge(asked, &Reply { code: code.to_owned(), words: shown(words), ..Reply::default() })
}

/// A reply that lacks what it must have, or contradicts itself.
pub(crate) fn nonsense(asked: Asked<'_>, words: &str) -> BucketError {
    let error = BucketError::new(Kind::Other, asked.says(&format!("the store's reply makes no sense: {words}")));
    if asked.writes { error.maybe_applied() } else { error }
}

/// A connection that broke in the middle of a reply.
pub(crate) fn broken(asked: Asked<'_>, words: &str) -> BucketError {
    let error = BucketError::new(Kind::Unavailable, asked.says(words));
    if asked.writes { error.maybe_applied() } else { error }
}

impl Asked<'_> {
    fn says(&self, reason: &str) -> String {
        let slash = if self.key.is_empty() { "" } else { "/" };
        format!("{} s3://{}{slash}{}: {reason}", self.what, self.bucket, shown(self.key))
    }

    /// ` to http://…`: a wrong host or port is found by looking at it.
    fn at(&self, word: &str) -> String {
        self.endpoint.map(|endpoint| format!(" {word} {endpoint}")).unwrap_or_default()
    }
}

/// The kind of a failure, and advice.
type Verdict = (Kind, Option<&'static str>);

/// The store answered.
pub(crate) fn judge(asked: Asked<'_>, reply: &Reply) -> BucketError {
    let (kind, hint) = by_code(asked, &reply.code).unwrap_or_else(|| by_status(asked, reply.status));
    let mut message = reason(kind, asked).to_owned();
    let mut notes = Vec::new();
    if !reply.code.is_empty() {
        notes.push(shown(&reply.code));
    }
    if reply.status != 0 {
        notes.push(reply.status.to_string());
    }
    if !reply.request_id.is_empty() {
        notes.push(format!("request {}", reply.request_id));
    }
    let _ = write!(message, " ({})", notes.join(", "));
    if !reply.words.is_empty() {
        let _ = write!(message, ": {}", reply.words);
    }
    let mut error = BucketError::new(kind, asked.says(&message));
    error.retry_after = reply.retry_after;
    error.hint = hint.map(str::to_owned);
    if hint == Some(WRONG_REGION) {
        // Servers of one region name none, or an empty one.
        if let Some(region) = reply.region.as_deref().filter(|region| !region.is_empty()) {
            error.hint = Some(format!("the bucket is in region {}: set region to that", shown(region)));
        }
    }
    if hint == Some(LACKS) {
        // Servers say no more of a wrong key than of a lacking permission.
        let key =
            if asked.customer_key { ", or sse_customer_key_file is not the key that it was written with" } else { "" };
        error.hint = Some(format!("{LACKS}: {}{key}; see docs/s3.md", permission(asked.what)));
    }
    if reply.code == "InvalidRequest" && reply.words.contains("Server Side Encryption") {
        error.hint = Some(WANTS_KEY.to_owned());
    }
    if reply.wants_tls {
        error.hint = Some(WANTS_TLS.to_owned());
    }
    // A refusal has no effect. 408: the server gave up waiting. 409: it saw another request and cannot say who won.
    let refused = match reply.status {
        0 => kind == Kind::Denied,
        status => (300..500).contains(&status) && !matches!(status, 408 | 409),
    };
    error.maybe_applied = asked.writes && !refused;
    error
}

fn reason(kind: Kind, asked: Asked<'_>) -> &'static str {
    match kind {
        Kind::NotFound => "no such key",
        Kind::Precondition if asked.condition == Condition::Create => "something is there already",
        Kind::Precondition => "the content is not the one expected",
        Kind::NoSuchUpload => "no such multipart upload",
        Kind::BadDigest => "what arrived is not what the checksum says",
        Kind::Throttled => "the store asks to slow down",
        Kind::Unavailable => "the store failed",
        Kind::Timeout => "the store gave up waiting",
        Kind::Denied => "the store denies it",
        Kind::NoSpace => "the store has no room left",
        Kind::Unsupported => "the store cannot do it",
        _ => "the store refused the request",
    }
}

const WRONG_REGION: &str = "the bucket is in another region, or behind another endpoint: set region";
const ABSENT_BUCKET: &str = "the bucket does not exist; Milepost never creates it: create it, or mend its name";
/// Stands for what [`permission`] says of the request.
const LACKS: &str = "the credentials lack a permission";
const WANTS_KEY: &str = "it was written with a customer's key: set sse = \"customer\" and sse_customer_key_file";
const WANTS_TLS: &str = "if the server speaks TLS, the endpoint must begin with https://";
const NOT_S3: &str = "the bucket does not exist, or the endpoint is not an S3 server's: mend bucket or endpoint";
const CLOCK: &str = "this machine's clock is off by more than the store tolerates: set it";

fn by_code(asked: Asked<'_>, code: &str) -> Option<Verdict> {
    Some(match code {
        // If-Match on an absent key: the condition does not hold.
        "NoSuchKey" | "NoSuchVersion" | "NotFound" if asked.condition == Condition::Replace => {
            (Kind::Precondition, None)
        }
        "NoSuchKey" if asked.upload => (Kind::NoSuchUpload, None),
        "NoSuchKey" | "NoSuchVersion" => (Kind::NotFound, None),
        "NoSuchBucket" => (Kind::Invalid, Some(ABSENT_BUCKET)),
        "NoSuchUpload" => (Kind::NoSuchUpload, None),
        "PreconditionFailed" => (Kind::Precondition, None),
        "ConditionalRequestConflict" | "OperationAborted" => conflict(asked),
        // Parts that are not what they were: begun again, as damaged ones are.
        "InvalidPart" | "BadDigest" | "XAmzContentChecksumMismatch" | "XAmzContentSHA256Mismatch" | "InvalidDigest" => {
            (Kind::BadDigest, None)
        }
        "SlowDown"
        | "SlowDownRead"
        | "SlowDownWrite"
        | "ServiceUnavailable"
        | "Throttling"
        | "ThrottlingException"
        | "TooManyRequests"
        | "TooManyRequestsException"
        | "RequestLimitExceeded"
        | "RequestThrottled"
        | "BandwidthLimitExceeded" => (Kind::Throttled, None),
        "InternalError"
        | "InternalFailure"
        | "XMinioServerNotInitialized"
        | "IncompleteBody"
        | "RequestTimeout"
        | "KMS.KMSInternalException" => (Kind::Unavailable, None),
        "KMS.ThrottlingException" => (Kind::Throttled, None),
        // Whatever its status: a key's 404 says nothing of an object.
        key if key.starts_with("KMS.") || key.starts_with("kms:") => (
            Kind::Denied,
            Some("the key of sse_kms_key_id cannot be used: see whether it is there, its state and policy"),
        ),
        "RequestTimeTooSkewed" => (Kind::Denied, Some(CLOCK)),
        "ExpiredToken" | "TokenRefreshRequired" | "RequestExpired" => {
            (Kind::Denied, Some("the credentials have expired: get new ones"))
        }
        "InvalidAccessKeyId" => (Kind::Denied, Some("the store does not know access_key_id")),
        "SignatureDoesNotMatch" => {
            (Kind::Denied, Some("secret_access_key is wrong, or something between here and the store changes requests"))
        }
        "InvalidToken" => (Kind::Denied, Some("session_token is wrong, or belongs to other credentials")),
        "AccessDenied" | "AllAccessDisabled" | "Forbidden" | "Unauthorized" | "UnauthorizedAccess" => {
            (Kind::Denied, Some(LACKS))
        }
        "AccountProblem" | "NotSignedUp" | "InvalidSecurity" | "InvalidPayer" => {
            (Kind::Denied, Some("the account may not use the store"))
        }
        "PermanentRedirect"
        | "TemporaryRedirect"
        | "Redirect"
        | "AuthorizationHeaderMalformed"
        | "IllegalLocationConstraintException"
        | "IncorrectEndpoint" => (Kind::Invalid, Some(WRONG_REGION)),
        "XMinioStorageFull" | "QuotaExceeded" | "XMinioAdminBucketQuotaExceeded" | "InsufficientStorage" => {
            (Kind::NoSpace, Some("make room in the store, or raise its quota"))
        }
        "EntityTooLarge" | "EntityTooSmall" | "MaxMessageLengthExceeded" => {
            (Kind::Unsupported, Some("the body's length is not one that the store takes: see part_size"))
        }
        "KeyTooLongError"
        | "InvalidObjectName"
        | "XMinioInvalidObjectName"
        | "XMinioParentIsObject"
        | "XMinioObjectExistsAsDirectory" => (Kind::Unsupported, Some("the store does not take such a key")),
        "InvalidObjectState" => (Kind::Unsupported, Some("the object was moved to an archive: bring it back first")),
        "NotImplemented" | "MethodNotAllowed" => {
            (Kind::Unsupported, Some("the server lacks something that Milepost sends: see wire_checksum in docs/s3.md"))
        }
        _ => return None,
    })
}

/// What a policy must allow for a request.
fn permission(what: &str) -> &'static str {
    match what {
        "put" | "begin upload of" | "send part of" | "complete upload of" => "s3:PutObject",
        "delete" => "s3:DeleteObject",
        "list" => "s3:ListBucket",
        "list uploads of" => "s3:ListBucketMultipartUploads",
        "list parts of" => "s3:ListMultipartUploadParts",
        "abort upload of" => "s3:AbortMultipartUpload",
        _ => "s3:GetObject, or s3:ListBucket, without which an absent key is denied too",
    }
}

/// 409: of two conditional writes the store saw at once, it will not say which won.
fn conflict(asked: Asked<'_>) -> Verdict {
    match asked.condition {
        Condition::None => (Kind::Unavailable, None),
        _ => (Kind::Precondition, None),
    }
}

fn by_status(asked: Asked<'_>, status: u16) -> Verdict {
    match status {
        300..=399 => (Kind::Invalid, Some(WRONG_REGION)),
        // A HEAD's reply has no body that would say more.
        400 if asked.what == "head" => {
            (Kind::Invalid, Some("a wrong region or expired credentials, most likely: a HEAD is not told which"))
        }
        401 | 403 => (Kind::Denied, Some(LACKS)),
        404 if asked.condition == Condition::Replace => (Kind::Precondition, None),
        404 if asked.upload => (Kind::NoSuchUpload, None),
        404 if matches!(asked.what, "get" | "head") => (Kind::NotFound, None),
        404 if asked.what == "delete" && !asked.key.is_empty() => (Kind::NotFound, None),
        // What makes or lists keys finds every key: it is the bucket that is not there.
        404 => (Kind::Invalid, Some(NOT_S3)),
        405 | 501 => (Kind::Unsupported, Some("is the endpoint an S3 server's?")),
        408 => (Kind::Timeout, None),
        409 => conflict(asked),
        412 => (Kind::Precondition, None),
        413 => (Kind::Unsupported, Some("a proxy in between limits the length of bodies: see part_size")),
        429 | 503 => (Kind::Throttled, None),
        507 => (Kind::NoSpace, Some("make room in the store, or raise its quota")),
        500..=599 => (Kind::Unavailable, None),
        200..=299 => (Kind::Other, None),
        _ => (Kind::Invalid, None),
    }
}

/// No answer in time: whether the request arrived, nobody knows.
pub(crate) fn late(asked: Asked<'_>, words: &str) -> BucketError {
    if is_about_credentials(words) {
        return no_credentials(asked, words);
    }
    let error = BucketError::new(
        Kind::Timeout,
        asked.says(&format!("no answer in time{}: {}", asked.at("from"), plain(words))),
    );
    if asked.writes && !never_connected(words) { error.maybe_applied() } else { error }
}

/// No answer at all.
pub(crate) fn unsent(asked: Asked<'_>, words: &str) -> BucketError {
    if is_about_credentials(words) {
        return no_credentials(asked, words);
    }
    let said = plain(words);
    if !never_connected(words) {
        let kind = if words.contains("timeout") { Kind::Timeout } else { Kind::Unavailable };
        let error = BucketError::new(kind, asked.says(&format!("the connection{} broke: {said}", asked.at("to"))));
        return if asked.writes { error.maybe_applied() } else { error };
    }
    let (kind, hint) = if words.contains("InvalidContentType") || words.contains("wrong version number") {
        (Kind::Invalid, "the server does not speak TLS: does the endpoint begin with http://?")
    } else if words.contains("invalid peer certificate") {
        (
            Kind::Invalid,
            "the server's certificate is not trusted: name its authority's in ca_bundle, or mend the host name",
        )
    } else if words.contains("TLS handshake failed") {
        (Kind::Unavailable, "TLS could not be agreed upon")
    } else if words.contains("dns error") || words.contains("failed to lookup") {
        (
            Kind::Unavailable,
            "the host name is not known: mend endpoint, or set path_style so that the bucket is no part of it",
        )
    } else if words.contains("timeout") {
        (Kind::Timeout, "nobody answers at the endpoint: mend it, or look at firewalls and proxies")
    } else {
        (Kind::Unavailable, "nobody listens at the endpoint: is the server up, are host and port right?")
    };
    BucketError::new(kind, asked.says(&format!("no connection{}: {said}", asked.at("to")))).with_hint(hint)
}

/// Did the failure happen before there was a connection? By the words of hyper and the SDK's connector, whose types are
/// not theirs to give; anything unknown counts as connected, which costs a look and never a wrong answer.
fn never_connected(words: &str) -> bool {
    ["client error (Connect)", "dns error", "tcp connect error", "connect timeout", "TLS handshake failed"]
        .iter()
        .any(|mark| words.contains(mark))
}

fn is_about_credentials(words: &str) -> bool {
    let words = words.to_ascii_lowercase();
    words.contains("credential") || words.contains("loading identity") || words.contains("identity resolver")
}

fn no_credentials(asked: Asked<'_>, words: &str) -> BucketError {
    // Nothing was sent to the store. A source that did not answer in time may do so the next time.
    let kind = if words.contains("timed out") || words.contains("timeout") { Kind::Unavailable } else { Kind::Denied };
    BucketError::new(kind, asked.says(&format!("no credentials: {}", plain(words)))).with_hint(
        "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile, or access_key_id and secret_access_key in the configuration",
    )
}

/// An error and what caused it, on one line.
pub(crate) fn chain(error: &(dyn StdError + 'static)) -> String {
    let mut out = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let words = cause.to_string();
        // Wrappers often repeat what they wrap.
        if !out.ends_with(&words) {
            let _ = write!(out, ": {words}");
        }
        if out.len() > 4 * MAX_WORDS {
            break;
        }
        next = cause.source();
    }
    out
}

/// A stranger's words, cut, on one line and without control characters.
fn shown(words: &str) -> String {
    let mut end = words.len().min(MAX_WORDS);
    while !words.is_char_boundary(end) {
        end -= 1;
    }
    words[..end].chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// The same without the names of the SDK's layers in front, which tell an operator nothing.
fn plain(words: &str) -> String {
    let mut rest = words;
    while let Some(inner) = LAYERS.iter().find_map(|layer| rest.strip_prefix(layer)) {
        rest = inner;
    }
    shown(rest)
}

/// The region that an error body names.
fn region_in(body: &str) -> Option<String> {
    let (_, rest) = body.split_once("<Region>")?;
    let (region, _) = rest.split_once("</Region>")?;
    Some(region.to_owned())
}

/// `Retry-After` in seconds; its other form, a date, is not worth a clock.
fn retry_after(value: &str) -> Option<Duration> {
    value.trim().parse().ok().map(|seconds: u32| Duration::from_secs(seconds.into()))
}

#[cfg(test)]
#[path = "error_tests.rs"]
mod tests;
