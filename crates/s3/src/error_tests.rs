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
    assert!(shown(&long).len() <= MAX_WORDS);
    assert_eq!(shown("a\nb\u{1b}[31m"), "a b [31m");
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

#[test]
fn missing_credentials_are_no_outage() {
    let words =
        "dispatch failure: other: the credential provider was not enabled: no providers in chain provided credentials";
    let error = unsent(asked(true, READ, false), words);
    assert_eq!((error.kind, error.maybe_applied), (Kind::Denied, false));
    assert!(error.hint.unwrap().contains("AWS_ACCESS_KEY_ID"));
}
