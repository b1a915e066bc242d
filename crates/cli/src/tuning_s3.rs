//! The flags of an S3 store's settings. Credentials have none: a command line is no place for them.

use clap::Args;

/// What may be set of an S3 store, in every verb.
#[derive(Debug, Args)]
#[command(next_help_heading = "S3 settings")]
pub(crate) struct S3Tuning {
    /// The server, where it is not AWS: http://localhost:9000
    #[arg(long, global = true, value_name = "URL", hide_short_help = true, display_order = 920)]
    s3_endpoint: Option<String>,
    /// The region [default: AWS_REGION, the profile's, the instance's]
    #[arg(long, global = true, value_name = "NAME", hide_short_help = true, display_order = 920)]
    s3_region: Option<String>,
    /// The bucket in the path, not in the host name: true or false
    /// [default: true with an endpoint]
    #[arg(long, global = true, value_name = "BOOL", hide_short_help = true, display_order = 920)]
    s3_path_style: Option<String>,
    /// The profile of region and credentials [default: AWS_PROFILE]
    #[arg(long, global = true, value_name = "NAME", hide_short_help = true, display_order = 920)]
    s3_profile: Option<String>,
    /// PEM file of the certificates to trust instead of the system's
    #[arg(long, global = true, value_name = "FILE", hide_short_help = true, display_order = 920)]
    s3_ca_bundle: Option<String>,
    /// How long a connection may take to be made [default: 5s]
    #[arg(long, global = true, value_name = "TIME", hide_short_help = true, display_order = 920)]
    s3_connect_timeout: Option<String>,
    /// How long one request may take [default: 1m]
    #[arg(long, global = true, value_name = "TIME", hide_short_help = true, display_order = 920)]
    s3_attempt_timeout: Option<String>,
    /// The same with getting credentials before it [default: 90s]
    #[arg(long, global = true, value_name = "TIME", hide_short_help = true, display_order = 920)]
    s3_operation_timeout: Option<String>,
    /// Checksum of bodies: crc64nvme, crc32c, off [default: crc64nvme]
    #[arg(long, global = true, value_name = "KIND", hide_short_help = true, display_order = 920)]
    s3_wire_checksum: Option<String>,
    /// Send Content-MD5 too, for old servers: true or false
    #[arg(long, global = true, value_name = "BOOL", hide_short_help = true, display_order = 920)]
    s3_content_md5: Option<String>,
    /// Sign bodies with SHA-256 too: true or false
    #[arg(long, global = true, value_name = "BOOL", hide_short_help = true, display_order = 920)]
    s3_payload_signing: Option<String>,
    /// Encryption at rest: none, s3, kms, customer [default: none]
    #[arg(long, global = true, value_name = "KIND", hide_short_help = true, display_order = 920)]
    s3_sse: Option<String>,
    /// With kms: the key's id or ARN
    #[arg(long, global = true, value_name = "ID", hide_short_help = true, display_order = 920)]
    s3_sse_kms_key_id: Option<String>,
    /// With kms: use a bucket key, true or false
    #[arg(long, global = true, value_name = "BOOL", hide_short_help = true, display_order = 920)]
    s3_sse_bucket_key: Option<String>,
    /// With customer: a file of the 32 key bytes
    #[arg(long, global = true, value_name = "FILE", hide_short_help = true, display_order = 920)]
    s3_sse_customer_key_file: Option<String>,
    /// The storage class of contents
    #[arg(long, global = true, value_name = "CLASS", hide_short_help = true, display_order = 920)]
    s3_storage_class: Option<String>,
    /// The account that must own the bucket: 12 digits
    #[arg(long, global = true, value_name = "ACCOUNT", hide_short_help = true, display_order = 920)]
    s3_expected_bucket_owner: Option<String>,
    /// The name in the user agent [default: milepost]
    #[arg(long, global = true, value_name = "NAME", hide_short_help = true, display_order = 920)]
    s3_user_agent: Option<String>,
}

impl S3Tuning {
    /// What the flags say, by the settings' names.
    pub(crate) fn pairs(&self) -> Vec<(&'static str, Option<String>)> {
        vec![
            ("s3_endpoint", self.s3_endpoint.clone()),
            ("s3_region", self.s3_region.clone()),
            ("s3_path_style", self.s3_path_style.clone()),
            ("s3_profile", self.s3_profile.clone()),
            ("s3_ca_bundle", self.s3_ca_bundle.clone()),
            ("s3_connect_timeout", self.s3_connect_timeout.clone()),
            ("s3_attempt_timeout", self.s3_attempt_timeout.clone()),
            ("s3_operation_timeout", self.s3_operation_timeout.clone()),
            ("s3_wire_checksum", self.s3_wire_checksum.clone()),
            ("s3_content_md5", self.s3_content_md5.clone()),
            ("s3_payload_signing", self.s3_payload_signing.clone()),
            ("s3_sse", self.s3_sse.clone()),
            ("s3_sse_kms_key_id", self.s3_sse_kms_key_id.clone()),
            ("s3_sse_bucket_key", self.s3_sse_bucket_key.clone()),
            ("s3_sse_customer_key_file", self.s3_sse_customer_key_file.clone()),
            ("s3_storage_class", self.s3_storage_class.clone()),
            ("s3_expected_bucket_owner", self.s3_expected_bucket_owner.clone()),
            ("s3_user_agent", self.s3_user_agent.clone()),
        ]
    }
}
