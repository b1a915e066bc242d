//! Settings from everywhere.

use std::time::Duration;

use super::*;

/// Credentials have no flag.
const SECRETS: [&str; 3] = ["s3_access_key_id", "s3_secret_access_key", "s3_session_token"];

fn layer(pairs: &[(&'static str, &str)]) -> Layer {
    pairs.iter().map(|(name, text)| (*name, (*text).to_owned())).collect()
}

#[test]
fn flag_beats_environment_beats_file_beats_default() {
    let mut layers = Layers::default();
    let cluster = |layers: &Layers| layers.resolve(None).unwrap().settings.cluster;
    assert_eq!(cluster(&layers), "default");
    layers.file = layer(&[("cluster", "file"), ("concurrency", "7")]);
    assert_eq!(cluster(&layers), "file");
    layers.environment = layer(&[("cluster", "environment")]);
    assert_eq!(cluster(&layers), "environment");
    layers.flags = layer(&[("cluster", "flag"), ("store", "memory:")]);
    assert_eq!(cluster(&layers), "flag");
    let config = layers.resolve(None).unwrap();
    assert_eq!(config.settings.concurrency, 7, "a layer need not say everything");
    assert_eq!(config.store, Some(("memory:".to_owned(), Origin::Flag)));
}

#[test]
fn every_setting_can_be_given_everywhere() {
    let text = r#"
        store = "memory:"
        cluster = "eu"
        cluster_id = "c-1"
        first_partition = 0
        single_writer = true
        part_size = "16Mi"
        multipart_threshold = "64Mi"
        concurrency = 8
        file_threads = 3
        file_priority = "low"
        status_concurrency = 4
        memory_budget = "128Mi"
        rate_limit = "10M"
        retry_budget = "1m"
        retry_delay = "50ms"
        sign_of_life = "5s"
        stale_after = "2d"
        journal_dir = "/var/lib/milepost"
        journal_every_files = 10
        journal_every = "1s"
        digest = "sha256"
        request_threads = 8

        [s3]
        endpoint = "http://localhost:9000"
        region = "eu-central-1"
        path_style = true
        access_key_id = "AKIAEXAMPLE"
        secret_access_key = "hunter2"
        session_token = "hunter2token"
        profile = "backups"
        ca_bundle = "/etc/ca.pem"
        connect_timeout = "2s"
        attempt_timeout = "20s"
        operation_timeout = "30s"
        wire_checksum = "crc32c"
        content_md5 = true
        payload_signing = true
        sse = "kms"
        sse_kms_key_id = "arn:x"
        sse_bucket_key = true
        sse_customer_key_file = "/etc/key"
        storage_class = "STANDARD_IA"
        expected_bucket_owner = 123456789012
        user_agent = "broker"
    "#;
    let file = parse_file(text, Path::new("m.toml")).unwrap();
    assert_eq!(file.len(), settings().count(), "the file above names every setting");
    let environment = environment(|variable| {
        let name = variable.strip_prefix("MILEPOST_")?.to_ascii_lowercase();
        file.get(name.as_str()).map(OsString::from)
    })
    .unwrap();
    assert_eq!(environment, file);
    let config = Layers { environment, ..Layers::default() }.resolve(None).unwrap();
    let settings = config.settings.clone();
    assert_eq!(settings.part_size, 16 << 20);
    assert_eq!((settings.file_threads, settings.file_priority), (3, milepost::store::Priority::Low));
    assert_eq!(settings.rate_limit, NonZeroU64::new(10_000_000));
    assert_eq!(settings.stale_after, Duration::from_secs(2 * 86_400));
    assert_eq!(settings.first_partition, PartitionId(0));
    assert!(settings.single_writer);
    assert_eq!(settings.cluster_id.unwrap().as_str(), "c-1");
    assert_eq!(settings.journal_dir, Some("/var/lib/milepost".into()));
    assert_eq!(config.digest, Some(DigestAlgorithm::Sha256));
    assert_eq!(config.request_threads, 8);
    let s3 = &config.s3;
    assert_eq!((s3.path_style, s3.content_md5, s3.payload_signing), (Some(true), true, true));
    assert_eq!((s3.sse, s3.wire_checksum), (milepost::Sse::Kms, milepost::WireChecksum::Crc32c));
    assert_eq!(s3.attempt_timeout, Duration::from_secs(20));
    assert_eq!(s3.expected_bucket_owner.as_deref(), Some("123456789012"));
    assert!(s3.access_key_id.is_some() && s3.secret_access_key.is_some() && s3.session_token.is_some());
    assert!(!format!("{config:?}").contains("hunter2"), "a secret is shown");
}

#[test]
fn every_s3_setting_but_the_secrets_has_a_flag() {
    use clap::CommandFactory as _;
    let command = crate::args::Cli::command();
    let flags: Vec<&str> = command.get_arguments().filter_map(clap::Arg::get_long).collect();
    for (name, _) in settings().filter(|(name, _)| name.starts_with(config_s3::PREFIX)) {
        let spelled = flag(name);
        let has = flags.contains(&spelled.trim_start_matches("--"));
        assert_eq!(has, !SECRETS.contains(name), "{spelled}");
        assert_eq!(SECRETS.contains(name), milepost::url::names_a_secret(name), "{name}");
    }
}

#[test]
fn what_outranks_the_url_wins_over_it() {
    let url = "s3://bucket/base?endpoint=http://a:1&region=eu-1&path_style=true";
    let layers = Layers {
        flags: layer(&[("s3_region", "flag-1")]),
        environment: layer(&[("store", url), ("s3_path_style", "false")]),
        file: layer(&[("s3_endpoint", "http://file:1")]),
        ..Layers::default()
    };
    let config = layers.resolve(None).unwrap();
    let StoreUrl::S3 { endpoint, region, path_style, .. } = config.store_url(url).unwrap() else {
        panic!("another store")
    };
    // Of one rank, or of a lower one: the URL.
    assert_eq!((endpoint.as_deref(), region, path_style), (Some("http://a:1"), None, Some(true)));
    assert_eq!(config.s3.region.as_deref(), Some("flag-1"));
}

#[test]
fn a_bad_value_names_its_place() {
    let message = |layers: Layers| layers.resolve(None).unwrap_err().to_string();
    let bad = || layer(&[("part_size", "many")]);
    assert!(message(Layers { flags: bad(), ..Layers::default() }).starts_with("--part-size: a size is"));
    assert!(message(Layers { environment: bad(), ..Layers::default() }).starts_with("MILEPOST_PART_SIZE: "));
    let layers = Layers { file: bad(), file_path: Some("m.toml".into()), ..Layers::default() };
    assert!(message(layers).starts_with("part_size in m.toml: "));
    let layers = Layers { flags: layer(&[("rate_limit", "x")]), ..Layers::default() };
    assert!(message(layers).starts_with("--limit-rate: "));
    let layers = Layers { flags: layer(&[("concurrency", "0")]), ..Layers::default() };
    assert!(message(layers).contains("concurrency must be from 1 to 256"));
    for threads in ["0", "65"] {
        let layers = Layers { flags: layer(&[("request_threads", threads)]), ..Layers::default() };
        assert_eq!(message(layers), "--request-threads: must be from 1 to 64");
    }
    let layers = Layers { flags: layer(&[("file_priority", "idle")]), ..Layers::default() };
    assert!(message(layers).contains("a priority is normal or low, not `idle`"));
    let layers = Layers { flags: layer(&[("cluster_id", "a/b")]), ..Layers::default() };
    assert!(message(layers).contains("--cluster-id: cluster id must be"));
}

#[test]
fn a_file_with_unknown_or_odd_content_is_refused_by_name() {
    let refused = |text: &str| {
        let error = parse_file(text, Path::new("m.toml")).unwrap_err();
        format!("{error} / {}", error.hint().unwrap_or_default())
    };
    let message = refused("part_sise = \"8Mi\"");
    assert!(message.contains("`part_sise`") && message.contains("part_size"), "{message}");
    assert!(refused("[s3]\nx = 1").contains("`x` below [s3]"));
    assert!(refused("[s3]\nbucket = \"b\"").contains("s3://bucket"));
    assert!(refused("s3 = 1").contains("`s3`"));
    let message = refused("[s3]\nsecret_access_key = [\"hunter2\"]");
    assert!(message.contains("secret_access_key below [s3]") && !message.contains("hunter2"), "{message}");
    let message = refused("[s3]\nsecret_access_key = hunter2");
    assert!(message.contains("line 2") && !message.contains("hunter2"), "{message}");
    assert!(refused("concurrency = 1.5").contains("concurrency in m.toml: must be"));
    let message = refused("cluster = \"a\"\nstore = hunter2");
    assert!(message.contains("line 2") && !message.contains("hunter2"), "{message}");
    assert!(read_file(Path::new("/nonexistent/m.toml")).unwrap_err().to_string().contains("cannot be read"));
}

#[test]
fn zero_lifts_the_rate_limit_and_none_the_journal() {
    let layers = Layers {
        flags: layer(&[("rate_limit", "0"), ("journal_dir", "none"), ("digest", "none")]),
        file: layer(&[("rate_limit", "10M")]),
        ..Layers::default()
    };
    let config = layers.resolve(Some("/state".into())).unwrap();
    assert_eq!(config.settings.rate_limit, None);
    assert_eq!(config.settings.journal_dir, None);
    assert_eq!(config.digest, None);
    assert_eq!(Layers::default().resolve(Some("/state".into())).unwrap().settings.journal_dir, Some("/state".into()));
}

#[test]
fn an_empty_variable_counts_as_absent() {
    assert!(environment(|_| Some(OsString::new())).unwrap().is_empty());
    use std::os::unix::ffi::OsStringExt as _;
    assert!(environment(|_| Some(OsString::from_vec(vec![0xff]))).is_err());
}

/// A key with an escape sequence would recolour, or rewrite, the terminal that shows the message.
#[test]
fn an_unknown_key_is_shown_without_what_a_terminal_obeys() {
    for text in ["\"\\u001b[31mred\" = 1", "[s3]\n\"\\u001b[31mred\" = 1"] {
        let message = parse_file(text, Path::new("m.toml")).unwrap_err().to_string();
        assert!(message.contains("unknown key `\\u{1b}[31mred`"), "{message}");
    }
}
