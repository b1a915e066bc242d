use super::*;

fn usable() -> S3Settings {
    S3Settings { bucket: "backups".to_owned(), ..S3Settings::default() }
}

fn read(json: &str) -> std::result::Result<S3Settings, String> {
    serde_json::from_str(json).map_err(|error| error.to_string())
}

#[test]
fn the_defaults_are_within_the_limits_but_for_the_bucket() {
    usable().check().unwrap();
    assert!(S3Settings::default().check().unwrap_err().to_string().contains("bucket is missing"));
}

#[test]
fn all_settings_are_read_by_their_names() {
    let settings = read(
        r#"{ "bucket": "backups", "base_path": "prod", "endpoint": "http://localhost:9000", "region": "us-east-1",
        "path_style": false, "access_key_id": "id", "secret_access_key": "s", "session_token": "t", "ca_bundle": "/ca.pem",
        "connect_timeout": "2s", "attempt_timeout": "30s", "operation_timeout": "1m 30s", "wire_checksum": "crc32c",
        "content_md5": true, "payload_signing": true, "sse": "kms", "sse_kms_key_id": "alias/x", "sse_bucket_key": true,
        "storage_class": "STANDARD_IA", "expected_bucket_owner": "123456789012", "user_agent": "broker" }"#,
    );
    let settings = settings.unwrap();
    settings.check().unwrap();
    assert_eq!(settings.connect_timeout, Duration::from_secs(2));
    assert_eq!(settings.operation_timeout, Duration::from_secs(90));
    assert_eq!(settings.wire_checksum, WireChecksum::Crc32c);
    assert_eq!(settings.sse, Sse::Kms);
    assert!(!settings.uses_path_style());
    assert!(read(r#"{ "profile": "ops", "access_key_id": null }"#).unwrap().access_key_id.is_none());
    assert!(read(r#"{ "sse_customer_key_file": "/key", "sse": "customer" }"#).unwrap().sse == Sse::Customer);
}

#[test]
fn unknown_names_and_values_are_refused() {
    assert!(read(r#"{ "pathstyle": true }"#).unwrap_err().contains("pathstyle"));
    assert!(read(r#"{ "sse": "aes" }"#).unwrap_err().contains("aes"));
    assert!(read(r#"{ "connect_timeout": "soon" }"#).unwrap_err().contains("with its unit"));
    assert!(read(r#"{ "connect_timeout": "-5s" }"#).is_err());
    assert!(read(r#"{ "connect_timeout": 5 }"#).is_err());
}

#[test]
fn no_secret_is_ever_shown() {
    let settings =
        read(r#"{ "access_key_id": "hunter2id", "secret_access_key": "hunter2", "session_token": "hunter2t" }"#);
    let shown = format!("{:?}", settings.unwrap());
    assert!(!shown.contains("hunter2"), "{shown}");
    // Of a wrong type: serde's own error would repeat the value.
    for json in [r#"{ "secret_access_key": 4711 }"#, r#"{ "session_token": ["4711"] }"#, r#"{ "access_key_id": true }"#]
    {
        let error = read(json).unwrap_err();
        assert!(error.contains("must be a text") && !error.contains("4711"), "{error}");
    }
    let misspelt = read(r#"{ "secret_acess_key": "hunter2" }"#).unwrap_err();
    assert!(!misspelt.contains("hunter2"), "{misspelt}");
}

#[test]
fn each_limit_names_its_setting() {
    let refused = |change: fn(&mut S3Settings)| {
        let mut settings = usable();
        change(&mut settings);
        let error = settings.check().unwrap_err();
        assert_eq!(error.kind().exit_code(), 2);
        error.to_string()
    };
    for (change, says) in [
        ((|s| s.bucket = "UPPER".into()) as fn(&mut S3Settings), "bucket must be"),
        (|s| s.bucket = "-ab".into(), "bucket must be"),
        (|s| s.bucket = "a/b".into(), "bucket must be"),
        (|s| s.base_path = "a/../b".into(), "base_path"),
        (|s| s.endpoint = Some("ftp://x".into()), "http:// or https://"),
        (|s| s.endpoint = Some("http://x?a=b".into()), "query"),
        (|s| s.region = Some(String::new()), "region must be"),
        (|s| s.access_key_id = Some("id".into()), "only go together: secret_access_key is missing"),
        (|s| s.secret_access_key = Some("s".into()), "only go together: access_key_id is missing"),
        (|s| s.session_token = Some("t".into()), "session_token only goes"),
        (|s| s.connect_timeout = Duration::ZERO, "connect_timeout must be"),
        (|s| s.attempt_timeout = Duration::from_secs(1), "attempt_timeout must be"),
        (|s| s.operation_timeout = Duration::from_secs(59), "operation_timeout must be"),
        (|s| s.sse_kms_key_id = Some("k".into()), "only go with sse"),
        (|s| s.sse_bucket_key = Some(true), "only go with sse"),
        (|s| s.sse = Sse::Customer, "only go together"),
        (|s| s.storage_class = Some("GLACIER".into()), "cannot be read at once"),
        (|s| s.storage_class = Some("standard".into()), "must be a word"),
        (|s| s.expected_bucket_owner = Some("me".into()), "12 digits"),
        (|s| s.user_agent = "a b".into(), "user_agent"),
    ] {
        let error = refused(change);
        assert!(error.contains(says), "{says}: {error}");
    }
    let error = refused(|s| {
        (s.access_key_id, s.secret_access_key, s.profile) = (Some("i".into()), Some("s".into()), Some("ops".into()));
    });
    assert!(error.contains("exclude one another"), "{error}");
    let error = refused(|s| {
        (s.sse, s.sse_customer_key_file) = (Sse::Customer, Some("/key".into()));
        s.endpoint = Some("http://localhost:9000".into());
    });
    assert!(error.contains("must be https"), "{error}");
}

#[test]
fn a_url_decides_where_and_keeps_the_rest() {
    let settings = S3Settings { region: Some("eu-west-1".into()), content_md5: true, ..usable() };
    let location = S3Location::parse("s3://other/base?endpoint=http://localhost:9000").unwrap();
    let settings = settings.located(location);
    assert_eq!((settings.bucket.as_str(), settings.base_path.as_str()), ("other", "base"));
    assert_eq!(settings.region.as_deref(), Some("eu-west-1"));
    assert!(settings.content_md5 && settings.uses_path_style());
    assert!(!usable().uses_path_style());
}
