//! A client with its settings, and starting it.

use std::collections::BTreeMap;
use std::fmt;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::str::FromStr;
use std::time::Duration;

use super::rclone;
use crate::sample::{Measured, Spec};
use crate::{Context as _, Error, Result, process};

/// A client as the command line names it: `name` or `name:setting=value,setting=value`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    /// Its name.
    pub name: String,
    /// Its settings.
    pub settings: BTreeMap<String, String>,
}

impl FromStr for Client {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let (name, settings) = text.split_once(':').unwrap_or((text, ""));
        let settings = settings.split(',').filter(|setting| !setting.is_empty()).map(|setting| {
            let pair = setting.split_once('=').ok_or_else(|| format!("{text}: {setting} is not NAME=VALUE"))?;
            Ok((pair.0.to_owned(), pair.1.to_owned()))
        });
        Ok(Self { name: name.to_owned(), settings: settings.collect::<Result<_>>()? })
    }
}

impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        for (number, (name, value)) in self.settings.iter().enumerate() {
            write!(f, "{}{name}={value}", if number == 0 { ':' } else { ',' })?;
        }
        Ok(())
    }
}

impl Client {
    /// A folder or key of its own.
    #[must_use]
    pub fn slug(&self) -> String {
        self.to_string().replace([':', '=', ','], "-")
    }
}

/// The programs that clients live in.
#[derive(Debug, Clone)]
pub(super) struct Programs {
    pub bench: PathBuf,
    pub peers: Option<PathBuf>,
    /// What the peers' program was built with.
    pub built: Vec<String>,
    pub rclone: Option<PathBuf>,
}

impl Programs {
    pub(super) fn find(peers: Option<&Path>, rclone: Option<&Path>) -> Result<Self> {
        let bench = std::env::current_exe()?;
        let peers = peers.map(Path::to_owned).or_else(|| {
            let here = bench.parent()?;
            let beside = here.join("milepost-bench-peers");
            // `target/release`, and where docs/performance.md has the peers built: `target/peers/release`.
            let built = here.parent()?.join("peers").join(here.file_name()?).join("milepost-bench-peers");
            [beside, built].into_iter().find(|path| path.is_file())
        });
        let built = match &peers {
            None => Vec::new(),
            Some(program) => {
                let listed = Command::new(program).arg("list").output().context(program.display())?;
                String::from_utf8_lossy(&listed.stdout).lines().map(str::to_owned).collect()
            }
        };
        let rclone = rclone.map(Path::to_owned).or_else(|| {
            let path = std::env::var_os("PATH")?;
            std::env::split_paths(&path).map(|folder| folder.join("rclone")).find(|path| path.is_file())
        });
        Ok(Self { bench, peers, built, rclone })
    }

    /// Why a client cannot run here; `None` if it can.
    pub(super) fn lacks(&self, client: &str) -> Option<&'static str> {
        match client {
            "milepost" | "raw" | "sdk" => None,
            "rclone" => self.rclone.is_none().then_some("rclone is not on PATH"),
            name if self.built.iter().any(|built| built == name) => None,
            "transfer-manager" if self.peers.is_some() => {
                Some("benches/peers was built without the feature transfer-manager")
            }
            "object-store" | "transfer-manager" => Some("benches/peers is not built, see docs/performance.md"),
            _ => Some("there is no such client"),
        }
    }

    /// Runs one sample in a process of its own, for at most `limit`.
    pub(super) fn sample(&self, spec: &Spec, limit: Duration) -> Result<Measured> {
        if spec.subject == "rclone" {
            return rclone::sample(self.rclone.as_deref().ok_or("rclone is not on PATH")?, spec, limit);
        }
        let program = match spec.subject.as_str() {
            "milepost" | "raw" | "sdk" => &self.bench,
            _ => self.peers.as_ref().ok_or("benches/peers is not built")?,
        };
        let mut command = Command::new(program);
        command.arg("sample").arg("--spec").arg(serde_json::to_string(spec)?);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().context(program.display())?;
        let (out, complaint) = (child.stdout.take(), child.stderr.take());
        let ended = process::wait(child, limit)?;
        let (mut answer, mut words) = (String::new(), String::new());
        // Both are short: neither fills its pipe while the child runs.
        out.map(|mut out| out.read_to_string(&mut answer)).transpose()?;
        complaint.map(|mut complaint| complaint.read_to_string(&mut words)).transpose()?;
        if !ended.status.success() {
            return Err(format!("{} {}: {}", spec.subject, spec.op.name(), words.trim()).into());
        }
        Ok(serde_json::from_str(&answer)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_back_as_they_went() {
        for text in ["raw", "milepost:digest=none", "milepost:concurrency=8,part=16"] {
            let client: Client = text.parse().unwrap();
            assert_eq!(client.to_string(), text);
        }
        assert!("milepost:part".parse::<Client>().is_err());
        assert_eq!("a:b=c".parse::<Client>().unwrap().slug(), "a-b-c");
    }
}
