use super::*;

fn asked(writes: bool, condition: Condition, upload: bool) -> Asked<'static> {
    let endpoint = Some("http://127.0.0.1:9");
    let key = "1/100/2/status.json";
    Asked { what: "put", bucket: "backups", endpoint, customer_key: false, key, writes, condition, upload }
}

fn reply(status: u16, code: &str) -> Reply {
    Reply { status, code: code.to_owned(), ..Reply::default() }
}

const READ: Condition = Condition::None;

#[test]
fn codes_have_their_kinds() {
    for (status, code, kind) in [
        (404, "NoSuchKey", Kind::NotFound),
        (404, "NoSuchBucket", Kind::Invalid),
        (404, "NoSuchUpload", Kind::NoSuchUpload),
        (412, "PreconditionFailed", Kind::Precondition),
        (409, "OperationAborted", Kind::Unavailable),
        (400, "BadDigest", Kind::BadDigest),
        (400, "XAmzContentChecksumMismatch", Kind::BadDigest),
        (400, "InvalidPart", Kind::BadDigest),
        (503, "SlowDown", Kind::Throttled),
        (503, "ServiceUnavailable", Kind::Throttled),
        (429, "TooManyRequests", Kind::Throttled),
        (500, "InternalError", Kind::Unavailable),
        (400, "RequestTimeout", Kind::Unavailable),
        (403, "AccessDenied", Kind::Denied),
        (403, "InvalidAccessKeyId", Kind::Denied),
        (403, "SignatureDoesNotMatch", Kind::Denied),
        (403, "RequestTimeTooSkewed", Kind::Denied),
        (400, "ExpiredToken", Kind::Denied),
        (301, "PermanentRedirect", Kind::Invalid),
        (400, "AuthorizationHeaderMalformed", Kind::Invalid),
        (507, "XMinioStorageFull", Kind::NoSpace),
        (400, "EntityTooLarge", Kind::Unsupported),
        (400, "KeyTooLongError", Kind::Unsupported),
        (501, "NotImplemented", Kind::Unsupported),
        (403, "InvalidObjectState", Kind::Unsupported),
        (418, "Teapot", Kind::Invalid),
    ] {
        assert_eq!(judge(asked(false, READ, false), &reply(status, code)).kind, kind, "{code}");
    }
}

#[test]
fn a_status_without_a_code_has_a_kind_too() {
    for (status, kind) in [
        (301, Kind::Invalid),
        (307, Kind::Invalid),
        (400, Kind::Invalid),
        (401, Kind::Denied),
        (403, Kind::Denied),
        (404, Kind::Invalid),
        (405, Kind::Unsupported),
        (408, Kind::Timeout),
        (412, Kind::Precondition),
        (413, Kind::Unsupported),
        (429, Kind::Throttled),
        (500, Kind::Unavailable),
        (502, Kind::Unavailable),
        (503, Kind::Throttled),
        (504, Kind::Unavailable),
        (507, Kind::NoSpace),
        (200, Kind::Other),
    ] {
        assert_eq!(judge(asked(false, READ, false), &reply(status, "")).kind, kind, "{status}");
    }
}

#[test]
fn not_found_means_what_was_asked_for() {
    for code in ["NoSuchKey", ""] {
        assert_eq!(judge(asked(true, Condition::Replace, false), &reply(404, code)).kind, Kind::Precondition);
        assert_eq!(judge(asked(true, Condition::None, true), &reply(404, code)).kind, Kind::NoSuchUpload);
        let get = Asked { what: "get", ..asked(false, Condition::None, false) };
        assert_eq!(judge(get, &reply(404, code)).kind, Kind::NotFound);
    }
    // Listing finds no key only where there is no bucket, or no S3.
    let error = judge(Asked { what: "list", ..asked(false, Condition::None, false) }, &reply(404, ""));
    assert!(error.kind == Kind::Invalid && error.hint.unwrap().contains("endpoint"));
    // An absent bucket is never an absent key.
    assert_eq!(judge(asked(true, Condition::Replace, true), &reply(404, "NoSuchBucket")).kind, Kind::Invalid);
}

/// Taken for an absent object, it would be tried again for as long as the budget lasts.
#[test]
fn a_key_that_the_key_service_lacks_is_no_absent_object() {
    for (status, code) in [(404, "kms:KeyNotFound"), (400, "KMS.NotFoundException"), (400, "KMS.DisabledException")] {
        for condition in [Condition::None, Condition::Create, Condition::Replace] {
            let error = judge(asked(true, condition, false), &reply(status, code));
            assert_eq!((error.kind, error.maybe_applied), (Kind::Denied, false), "{code}");
            assert!(error.hint.as_ref().unwrap().contains("sse_kms_key_id"), "{error:?}");
        }
    }
    let busy = judge(asked(true, Condition::None, false), &reply(400, "KMS.ThrottlingException"));
    assert!(busy.kind == Kind::Throttled && busy.is_transient());
}

#[test]
fn a_conflict_of_conditional_writes_is_unknown() {
    for code in ["ConditionalRequestConflict", "OperationAborted", ""] {
        let error = judge(asked(true, Condition::Create, false), &reply(409, code));
        assert_eq!((error.kind, error.maybe_applied), (Kind::Precondition, true), "{code}");
        let error = judge(asked(true, Condition::None, false), &reply(409, code));
        assert!(error.is_transient() && error.maybe_applied, "{code}");
    }
}

#[test]
fn only_a_refusal_has_certainly_no_effect() {
    for (status, code, applied) in [
        (403, "AccessDenied", false),
        (412, "PreconditionFailed", false),
        (404, "NoSuchUpload", false),
        (400, "RequestTimeout", false),
        (429, "", false),
        (301, "PermanentRedirect", false),
        (408, "", true),
        (500, "InternalError", true),
        (502, "", true),
        (503, "SlowDown", true),
        (504, "", true),
        (200, "InternalError", true),
        (200, "", true),
    ] {
        assert_eq!(judge(asked(true, READ, false), &reply(status, code)).maybe_applied, applied, "{status} {code}");
        assert!(!judge(asked(false, READ, false), &reply(status, code)).maybe_applied, "a read: {status} {code}");
    }
}

#[test]
fn the_right_region_is_named() {
    let there = Reply { region: Some("eu-west-1".into()), ..reply(301, "PermanentRedirect") };
    let error = judge(asked(false, READ, false), &there);
    assert_eq!(error.hint.as_deref(), Some("the bucket is in region eu-west-1: set region to that"));
    assert_eq!(region_in("<Error><Region>eu-west-1</Region></Error>").as_deref(), Some("eu-west-1"));
    assert_eq!(region_in("<Error><Region>eu"), None);
    // A region is named in denials too; there it is not the reason.
    let denied = Reply { region: Some("eu-west-1".into()), ..reply(403, "AccessDenied") };
    let hint = |what| judge(Asked { what, ..asked(false, READ, false) }, &denied).hint.unwrap();
    assert_eq!(hint("put"), "the credentials lack a permission: s3:PutObject; see docs/s3.md");
    assert!(hint("delete").contains("s3:DeleteObject;"));
    assert!(hint("head").contains("s3:ListBucket, without which an absent key is denied too;"));
    let with_key = Asked { customer_key: true, ..asked(false, READ, false) };
    assert!(judge(with_key, &denied).hint.unwrap().contains("sse_customer_key_file is not the key"));
    let words = "The object was stored using a form of Server Side Encryption.".to_owned();
    let told = judge(asked(false, READ, false), &Reply { words, ..reply(400, "InvalidRequest") });
    assert!(told.hint.unwrap().contains("set sse = \"customer\""));
}

/// With a status that says nothing, it is the code alone that tells.
#[test]
fn every_code_has_its_kind_and_its_advice() {
    const LENGTH: &str = "the body's length";
    const KEY: &str = "does not take such a key";
    for (kind, hint, codes) in [
        (Kind::NotFound, "", "NoSuchKey NoSuchVersion"),
        (Kind::Invalid, ABSENT_BUCKET, "NoSuchBucket"),
        (Kind::NoSuchUpload, "", "NoSuchUpload"),
        (Kind::Precondition, "", "PreconditionFailed"),
        (Kind::Unavailable, "", "ConditionalRequestConflict OperationAborted"),
        (
            Kind::BadDigest,
            "",
            "InvalidPart BadDigest XAmzContentChecksumMismatch XAmzContentSHA256Mismatch InvalidDigest",
        ),
        (Kind::Throttled, "", "SlowDown SlowDownRead SlowDownWrite ServiceUnavailable Throttling ThrottlingException"),
        (Kind::Throttled, "", "TooManyRequests TooManyRequestsException RequestLimitExceeded RequestThrottled"),
        (Kind::Throttled, "", "BandwidthLimitExceeded KMS.ThrottlingException"),
        (
            Kind::Unavailable,
            "",
            "InternalError InternalFailure XMinioServerNotInitialized IncompleteBody RequestTimeout",
        ),
        (Kind::Unavailable, "", "KMS.KMSInternalException"),
        (Kind::Denied, "sse_kms_key_id", "KMS.DisabledException kms:KeyNotFound"),
        (Kind::Denied, CLOCK, "RequestTimeTooSkewed"),
        (Kind::Denied, "have expired", "ExpiredToken TokenRefreshRequired RequestExpired"),
        (Kind::Denied, "access_key_id", "InvalidAccessKeyId"),
        (Kind::Denied, "secret_access_key is wrong", "SignatureDoesNotMatch"),
        (Kind::Denied, "session_token is wrong", "InvalidToken"),
        (Kind::Denied, LACKS, "AccessDenied AllAccessDisabled Forbidden Unauthorized UnauthorizedAccess"),
        (Kind::Denied, "the account", "AccountProblem NotSignedUp InvalidSecurity InvalidPayer"),
        (Kind::Invalid, WRONG_REGION, "PermanentRedirect TemporaryRedirect Redirect AuthorizationHeaderMalformed"),
        (Kind::Invalid, WRONG_REGION, "IllegalLocationConstraintException IncorrectEndpoint"),
        (
            Kind::NoSpace,
            "make room",
            "XMinioStorageFull QuotaExceeded XMinioAdminBucketQuotaExceeded InsufficientStorage",
        ),
        (Kind::Unsupported, LENGTH, "EntityTooLarge EntityTooSmall MaxMessageLengthExceeded"),
        (Kind::Unsupported, KEY, "KeyTooLongError InvalidObjectName XMinioInvalidObjectName XMinioParentIsObject"),
        (Kind::Unsupported, KEY, "XMinioObjectExistsAsDirectory"),
        (Kind::Unsupported, "archive", "InvalidObjectState"),
        (Kind::Unsupported, "wire_checksum", "NotImplemented MethodNotAllowed"),
    ] {
        for code in codes.split(' ') {
            let error = judge(asked(false, READ, false), &reply(418, code));
            assert_eq!(error.kind, kind, "{code}");
            match error.hint {
                None => assert_eq!(hint, "", "{code}"),
                Some(told) => assert!(!hint.is_empty() && told.contains(hint), "{code}: {told}"),
            }
        }
    }
    let unknown = judge(asked(false, READ, false), &reply(418, "NotFound"));
    assert_eq!((unknown.kind, unknown.hint), (Kind::Invalid, None), "the status decides");
}

#[test]
fn every_kind_is_said_in_words_of_its_own() {
    for (status, code, condition, words) in [
        (404, "NoSuchKey", READ, "no such key"),
        (412, "", Condition::Create, "something is there already"),
        (412, "", Condition::Replace, "the content is not the one expected"),
        (404, "NoSuchUpload", READ, "no such multipart upload"),
        (400, "BadDigest", READ, "what arrived is not what the checksum says"),
        (503, "", READ, "the store asks to slow down"),
        (500, "", READ, "the store failed"),
        (408, "", READ, "the store gave up waiting"),
        (403, "", READ, "the store denies it"),
        (507, "", READ, "the store has no room left"),
        (501, "", READ, "the store cannot do it"),
        (418, "", READ, "the store refused the request"),
    ] {
        let error = judge(asked(true, condition, false), &reply(status, code));
        assert!(error.message.contains(&format!("status.json: {words} (")), "{error:?}");
    }
}

/// By a status without a code, too.
#[test]
fn a_status_has_its_advice() {
    for (what, status, hint) in [
        ("put", 301, WRONG_REGION),
        ("head", 400, "a HEAD is not told which"),
        ("put", 401, LACKS),
        ("put", 404, NOT_S3),
        ("put", 405, "an S3 server's?"),
        ("put", 501, "an S3 server's?"),
        ("put", 413, "part_size"),
        ("put", 507, "make room"),
    ] {
        let error = judge(Asked { what, ..asked(false, READ, false) }, &reply(status, ""));
        let told = error.hint.clone().unwrap_or_default();
        assert!(told.contains(hint), "{status}: {error:?}");
    }
    for (what, key, kind) in [
        ("get", "k", Kind::NotFound),
        ("head", "k", Kind::NotFound),
        ("delete", "k", Kind::NotFound),
        ("delete", "", Kind::Invalid),
        ("put", "k", Kind::Invalid),
    ] {
        let error = judge(Asked { what, key, ..asked(true, READ, false) }, &reply(404, ""));
        assert_eq!(error.kind, kind, "{what} {key:?}");
    }
    assert_eq!(judge(asked(false, READ, false), &reply(400, "")).hint, None);
}

#[test]
fn every_request_names_the_permission_that_it_needs() {
    for (what, action) in [
        ("put", "s3:PutObject;"),
        ("begin upload of", "s3:PutObject;"),
        ("send part of", "s3:PutObject;"),
        ("complete upload of", "s3:PutObject;"),
        ("delete", "s3:DeleteObject;"),
        ("list", "s3:ListBucket;"),
        ("list uploads of", "s3:ListBucketMultipartUploads;"),
        ("list parts of", "s3:ListMultipartUploadParts;"),
        ("abort upload of", "s3:AbortMultipartUpload;"),
        ("get", "s3:GetObject, or s3:ListBucket,"),
    ] {
        let denied = judge(Asked { what, ..asked(false, READ, false) }, &reply(403, "AccessDenied"));
        assert!(denied.hint.as_ref().unwrap().contains(&format!("a permission: {action}")), "{denied:?}");
    }
}

/// A hint belongs to its reason: the same word in another reply gives none.
#[test]
fn a_hint_is_given_for_its_own_reason_alone() {
    let absent = Reply { region: Some("eu-west-1".into()), ..reply(404, "NoSuchBucket") };
    assert_eq!(judge(asked(false, READ, false), &absent).hint.as_deref(), Some(ABSENT_BUCKET));
    let words = || "The object was stored using a form of Server Side Encryption.".to_owned();
    let hint = |reply| judge(asked(false, READ, false), &reply).hint;
    assert_eq!(hint(Reply { words: words(), ..reply(400, "InvalidRequest") }).as_deref(), Some(WANTS_KEY));
    assert_eq!(hint(reply(400, "InvalidRequest")), None);
    assert_eq!(hint(Reply { words: words(), ..reply(400, "InvalidArgument") }), None);
}

#[test]
fn a_key_of_a_batch_is_judged_by_its_code_alone() {
    let entry = |code| map_entry(Asked { what: "delete", ..asked(true, READ, false) }, code, "in\nshort");
    let denied = entry("AccessDenied");
    assert_eq!((denied.kind, denied.maybe_applied), (Kind::Denied, false));
    assert_eq!(denied.message, "delete s3://backups/1/100/2/status.json: the store denies it (AccessDenied): in short");
    let failed = entry("InternalError");
    assert_eq!((failed.kind, failed.maybe_applied), (Kind::Unavailable, true));
}

/// What the SDK says when there is no reply to judge.
#[test]
fn failures_without_a_reply_have_their_kinds() {
    type Sdk = SdkError<aws_sdk_s3::operation::put_object::PutObjectError>;
    let mapped = |error: Sdk| map(asked(true, READ, false), &error);
    let late = mapped(SdkError::timeout_error("operation timeout occurred after 90s"));
    assert_eq!((late.kind, late.maybe_applied), (Kind::Timeout, true));
    assert!(late.message.contains("no answer in time from http://127.0.0.1:9: "), "{late:?}");
    let unmade = mapped(SdkError::construction_failure("the key cannot be a header"));
    assert_eq!((unmade.kind, unmade.maybe_applied), (Kind::Invalid, false));
    assert!(unmade.message.contains("the request could not be made: "), "{unmade:?}");
    let without = mapped(SdkError::construction_failure("no providers in chain provided credentials"));
    assert_eq!((without.kind, without.maybe_applied), (Kind::Denied, false));
    let raw = |status: u16| {
        aws_sdk_s3::config::http::HttpResponse::new(
            status.try_into().unwrap(),
            aws_sdk_s3::primitives::SdkBody::empty(),
        )
    };
    for (status, hint) in [(400, Some(WANTS_TLS)), (200, None), (502, None)] {
        let error = mapped(SdkError::response_error("invalid HTTP version parsed", raw(status)));
        assert_eq!((error.kind, error.maybe_applied), (Kind::Unavailable, true), "{status}");
        assert_eq!(error.hint.as_deref(), hint, "{status}");
        assert!(error.message.contains(&format!("the reply ({status}) could not be read: ")), "{error:?}");
    }
}

#[test]
fn messages_name_the_object_and_the_request() {
    let told =
        Reply { request_id: "4442587FB7D0A2F9".into(), words: "Please slow down.".into(), ..reply(503, "SlowDown") };
    let told = Reply { retry_after: retry_after("7"), ..told };
    let error = judge(asked(true, READ, false), &told);
    assert_eq!(
        error.message,
        "put s3://backups/1/100/2/status.json: the store asks to slow down (SlowDown, 503, request 4442587FB7D0A2F9): \
         Please slow down."
    );
    assert_eq!(error.retry_after, Some(Duration::from_secs(7)));
    assert_eq!(retry_after("Wed, 21 Oct 2015 07:28:00 GMT"), None);
    assert_eq!(retry_after("-1"), None);
}

#[test]
fn a_strangers_words_are_cut_and_on_one_line() {
    let long = "é".repeat(1000);
    assert_eq!(shown(&long).len(), MAX_WORDS);
    assert_eq!(shown(&format!("a{long}")).len(), MAX_WORDS - 1, "no letter is cut in two");
    assert_eq!(shown("a\nb\u{1b}[31m"), "a b [31m");
}

#[test]
fn the_words_decide_what_a_broken_connection_means() {
    let connect = |words: &str| unsent(asked(true, READ, false), &format!("client error (Connect): {words}"));
    for (words, kind, hint) in [
        ("wrong version number", Kind::Invalid, "does not speak TLS"),
        ("TLS handshake failed", Kind::Unavailable, "could not be agreed upon"),
        ("failed to lookup address", Kind::Unavailable, "path_style"),
        ("dns error: nobody", Kind::Unavailable, "path_style"),
    ] {
        let error = connect(words);
        assert_eq!(error.kind, kind, "{words}");
        assert!(error.hint.as_ref().unwrap().contains(hint), "{error:?}");
    }
    // Any one of its marks tells that there was no connection.
    for mark in ["dns error", "tcp connect error", "connect timeout", "TLS handshake failed"] {
        for writes in [true, false] {
            assert!(!unsent(asked(writes, READ, false), mark).maybe_applied, "{mark}");
            assert!(!late(asked(writes, READ, false), mark).maybe_applied, "{mark}");
        }
        assert!(late(asked(true, READ, false), mark).kind == Kind::Timeout);
    }
    assert!(!late(asked(false, READ, false), "operation timeout").maybe_applied);
    let broken = |words| unsent(asked(true, READ, false), words);
    assert_eq!(broken("read timeout").kind, Kind::Timeout);
    assert!(broken("reset by peer").message.contains("the connection to http://127.0.0.1:9 broke: reset by peer"));
    let slow = late(asked(true, READ, false), "loading identity timed out");
    assert_eq!((slow.kind, slow.maybe_applied), (Kind::Unavailable, false));
    for words in ["identity resolver gave up: timeout", "the credential provider timed out"] {
        assert_eq!(unsent(asked(true, READ, false), words).kind, Kind::Unavailable, "{words}");
    }
}

#[test]
fn what_never_connected_was_never_applied() {
    for (words, kind, says) in [
        (
            "dispatch failure: io error: client error (Connect): tcp connect error: Connection refused",
            Kind::Unavailable,
            "nobody listens",
        ),
        (
            "dispatch failure: io error: client error (Connect): dns error: failed to lookup address",
            Kind::Unavailable,
            "host name",
        ),
        (
            "dispatch failure: timeout: client error (Connect): HTTP connect timeout occurred after 5s",
            Kind::Timeout,
            "nobody answers",
        ),
        ("client error (Connect): invalid peer certificate: UnknownIssuer", Kind::Invalid, "ca_bundle"),
        ("client error (Connect): received corrupt message of type InvalidContentType", Kind::Invalid, "http://"),
    ] {
        let error = unsent(asked(true, READ, false), words);
        assert_eq!((error.kind, error.maybe_applied), (kind, false), "{words}");
        assert!(error.message.contains(": no connection to http://127.0.0.1:9: "), "{error:?}");
        assert!(!error.message.contains("client error") && !error.message.contains("dispatch"), "{error:?}");
        assert!(error.hint.as_deref().unwrap_or_default().contains(says), "{error:?}");
    }
}

#[test]
fn what_may_have_arrived_may_have_been_applied() {
    for words in ["client error (SendRequest): connection closed before message completed", "something new"] {
        let error = unsent(asked(true, READ, false), words);
        assert!(error.maybe_applied && error.is_transient(), "{words}");
        assert!(!unsent(asked(false, READ, false), words).maybe_applied);
    }
    let error = late(asked(true, READ, false), "operation attempt timeout (all attempts) occurred after 1m");
    assert_eq!((error.kind, error.maybe_applied), (Kind::Timeout, true));
}

/// An error of so many letters, and its cause.
#[derive(Debug)]
struct Nested(usize, Option<Box<Nested>>);

impl std::fmt::Display for Nested {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut depth = 0;
        let mut inner = self;
        while let Some(next) = &inner.1 {
            (depth, inner) = (depth + 1, next);
        }
        write!(f, "{depth:0width$}", width = self.0)
    }
}

impl StdError for Nested {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.1.as_deref().map(|inner| inner as &(dyn StdError + 'static))
    }
}

#[test]
fn causes_are_told_until_there_are_enough_words() {
    // With the two letters that join it each cause makes a hundred.
    let causes = |count: usize| (1..count).fold(Nested(98, None), |inner, _| Nested(98, Some(Box::new(inner))));
    let told = |count: usize| chain(&Nested(100, Some(Box::new(causes(count))))).len();
    assert_eq!(told(3), 400);
    assert_eq!(told(11), 4 * MAX_WORDS);
    assert_eq!(told(12), 4 * MAX_WORDS + 100, "enough is more than four times what is shown");
    assert_eq!(told(1_000), 4 * MAX_WORDS + 100);
}

#[test]
fn missing_credentials_are_no_outage() {
    let words =
        "dispatch failure: other: the credential provider was not enabled: no providers in chain provided credentials";
    let error = unsent(asked(true, READ, false), words);
    assert_eq!((error.kind, error.maybe_applied), (Kind::Denied, false));
    assert!(error.hint.unwrap().contains("AWS_ACCESS_KEY_ID"));
}
