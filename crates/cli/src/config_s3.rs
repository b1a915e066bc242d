//! The settings of an S3 store: `path_style` below `[s3]` in the file, `MILEPOST_S3_PATH_STYLE` in the environment,
//! `--s3-path-style` as a flag. Credentials have no flag. Bucket and base path are the URL's alone.

use std::path::PathBuf;

use milepost::{Sse, WireChecksum};

use crate::config::{Apply, set};
use crate::units::{parse_bool, parse_duration};

/// What all names begin with outside the file's table.
pub(crate) const PREFIX: &str = "s3_";

/// Every setting, with the prefix.
pub(crate) const SETTINGS: &[(&str, Apply)] = &[
    ("s3_endpoint", |c, text| set(&mut c.s3.endpoint, Ok(given(text)))),
    ("s3_region", |c, text| set(&mut c.s3.region, Ok(given(text)))),
    ("s3_path_style", |c, text| set(&mut c.s3.path_style, parse_bool(text).map(Some))),
    ("s3_access_key_id", |c, text| set(&mut c.s3.access_key_id, Ok(Some(text.into())))),
    ("s3_secret_access_key", |c, text| set(&mut c.s3.secret_access_key, Ok(Some(text.into())))),
    ("s3_session_token", |c, text| set(&mut c.s3.session_token, Ok(Some(text.into())))),
    ("s3_profile", |c, text| set(&mut c.s3.profile, Ok(given(text)))),
    ("s3_ca_bundle", |c, text| set(&mut c.s3.ca_bundle, Ok(Some(PathBuf::from(text))))),
    ("s3_connect_timeout", |c, text| set(&mut c.s3.connect_timeout, parse_duration(text))),
    ("s3_attempt_timeout", |c, text| set(&mut c.s3.attempt_timeout, parse_duration(text))),
    ("s3_operation_timeout", |c, text| set(&mut c.s3.operation_timeout, parse_duration(text))),
    ("s3_wire_checksum", |c, text| set(&mut c.s3.wire_checksum, wire_checksum(text))),
    ("s3_content_md5", |c, text| set(&mut c.s3.content_md5, parse_bool(text))),
    ("s3_payload_signing", |c, text| set(&mut c.s3.payload_signing, parse_bool(text))),
    ("s3_sse", |c, text| set(&mut c.s3.sse, sse(text))),
    ("s3_sse_kms_key_id", |c, text| set(&mut c.s3.sse_kms_key_id, Ok(given(text)))),
    ("s3_sse_bucket_key", |c, text| set(&mut c.s3.sse_bucket_key, parse_bool(text).map(Some))),
    ("s3_sse_customer_key_file", |c, text| set(&mut c.s3.sse_customer_key_file, Ok(Some(PathBuf::from(text))))),
    ("s3_storage_class", |c, text| set(&mut c.s3.storage_class, Ok(given(text)))),
    ("s3_expected_bucket_owner", |c, text| set(&mut c.s3.expected_bucket_owner, Ok(given(text)))),
    ("s3_user_agent", |c, text| set(&mut c.s3.user_agent, Ok(text.to_owned()))),
];

fn given(text: &str) -> Option<String> {
    Some(text.to_owned())
}

fn wire_checksum(text: &str) -> Result<WireChecksum, String> {
    match text {
        "crc64nvme" => Ok(WireChecksum::Crc64nvme),
        "crc32c" => Ok(WireChecksum::Crc32c),
        "off" => Ok(WireChecksum::Off),
        _ => Err("must be crc64nvme, crc32c or off".to_owned()),
    }
}

fn sse(text: &str) -> Result<Sse, String> {
    match text {
        "none" => Ok(Sse::None),
        "s3" => Ok(Sse::S3),
        "kms" => Ok(Sse::Kms),
        "customer" => Ok(Sse::Customer),
        _ => Err("must be none, s3, kms or customer".to_owned()),
    }
}
