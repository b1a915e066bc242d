//! rclone, as its documentation sets it up for a server of one's own; all other settings are its defaults.

use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::sample::{Measured, Moved, Op, Spec, Store, credentials};
use crate::workload::files;
use crate::{Context as _, Result, process};

pub(super) fn sample(program: &Path, spec: &Spec, limit: Duration) -> Result<Measured> {
    let Store::S3 { endpoint, region, bucket, prefix, .. } = &spec.store else {
        return Err("rclone is measured on S3 only".into());
    };
    spec.known(&["transfers"])?;
    let remote = format!(":s3:{bucket}/{prefix}");
    let mut command = Command::new(program);
    // No configuration file of this machine may change what is measured.
    command.args(["--config", "/dev/null", "--quiet"]);
    if let Some(transfers) = spec.settings.get("transfers") {
        command.args(["--transfers", transfers]);
    }
    match spec.op {
        Op::Save => command.arg("copy").arg(&spec.files).arg(&remote),
        Op::Restore => command.arg("copy").arg(&remote).arg(&spec.target),
        Op::Delete => command.arg("purge").arg(&remote),
        Op::Idle => command.arg("version"),
        Op::Prepare | Op::Clean => return Ok(Measured::default()),
    };
    // Old versions (1.60) cannot start where AWS_CA_BUNDLE is set; nor may the others change what is measured.
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("AWS_")) {
            command.env_remove(name);
        }
    }
    let (key, secret) = credentials();
    command
        .env("RCLONE_S3_PROVIDER", "Minio")
        .env("RCLONE_S3_ENDPOINT", endpoint)
        .env("RCLONE_S3_REGION", region)
        .env("RCLONE_S3_ACCESS_KEY_ID", key)
        .env("RCLONE_S3_SECRET_ACCESS_KEY", secret)
        .env("RCLONE_S3_NO_CHECK_BUCKET", "true")
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    let begun = process::now();
    let ended = process::wait(command.spawn().context(program.display())?, limit)?;
    if !ended.status.success() {
        return Err(format!("rclone {}: {}", spec.op.name(), ended.status).into());
    }
    let (mut wall, mut cpu) = (process::now() - begun, ended.cpu);
    let mut moved = Moved::default();
    if matches!(spec.op, Op::Save | Op::Restore) {
        let files = files(&spec.files)?;
        moved = Moved { files: files.len() as u64, bytes: files.iter().map(|file| file.size).sum() };
        if spec.op == Op::Restore {
            // It syncs nothing; a restore that is to last must, and the other clients do. Done here, on its account.
            let (begun, spent) = (process::now(), process::own_cpu());
            for file in &files {
                File::open(spec.target.join(&file.name)).context(&file.name)?.sync_all()?;
            }
            wall += process::now() - begun;
            cpu += process::own_cpu() - spent;
        }
    }
    Ok(Measured { wall, cpu, peak_rss: ended.peak_rss, moved })
}
