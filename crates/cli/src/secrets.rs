//! Credentials do not belong on a command line: process lists and shell histories keep it. One that carries any is refused
//! before anything parses it, because a parser's message would repeat it.

use std::ffi::OsString;

use milepost::url::{credential_in, names_a_secret};
use milepost::{Error, Result};

/// Looks at the arguments behind the program's name.
///
/// # Errors
/// InvalidInput says which argument, by number, and never what.
pub(crate) fn check(arguments: &[OsString]) -> Result<()> {
    for (at, argument) in arguments.iter().enumerate() {
        let text = argument.to_string_lossy();
        let what = if flag_of_a_secret(&text) {
            Some("a flag that names a secret")
        } else if key_of_a_secret(&text) {
            Some("a key that names a secret")
        } else {
            credential_in(&text)
        };
        if let Some(what) = what {
            return Err(Error::invalid_input(format!(
                "argument {} looks like it carries a credential ({what}); it is not repeated here",
                at + 1
            ))
            .with_hint("credentials come from the environment, the configuration file or the provider chain"));
        }
    }
    Ok(())
}

fn flag_of_a_secret(text: &str) -> bool {
    text.strip_prefix("--").is_some_and(|flag| names_a_secret(flag.split('=').next().unwrap_or_default()))
}

/// `--property=password=x` has two keys; words of a sentence are none.
fn key_of_a_secret(text: &str) -> bool {
    let mut parts = text.split('=');
    parts.next_back();
    parts.any(|key| !key.contains(['/', ' ', '?']) && names_a_secret(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_refused_by_number() {
        for arguments in [
            &["list", "--secret-key", "hunter2"][..],
            &["list", "--access-key=hunter2"],
            &["--store", "s3://me:hunter2@bucket"],
            &["--store=s3://bucket?token=hunter2"],
            &["save", "1/1/1", "--property", "password=hunter2"],
            &["save", "1/1/1", "--property=db_password=hunter2"],
            &["save", "1/1/1", "--name", "AKIAIOSFODNN7EXAMPLE"],
        ] {
            let arguments: Vec<OsString> = arguments.iter().map(OsString::from).collect();
            let error = check(&arguments).unwrap_err();
            let shown = format!("{error:?}");
            assert!(shown.contains("argument ") && !shown.contains("hunter2") && !shown.contains("AKIA"), "{shown}");
        }
    }

    #[test]
    fn ordinary_arguments_pass() {
        let arguments = [
            "--store",
            "s3://bucket/base?region=eu&endpoint=http://localhost:9000",
            "save",
            "1/100/2",
            "--property",
            "zone=eu",
            "--reason",
            "the secret is out",
            "--target",
            "/srv/token/x",
        ];
        check(&arguments.map(OsString::from)).unwrap();
    }
}
