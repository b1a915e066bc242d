//! What a failed system call means to the caller of a bucket, and the errors that several requests share.

use std::io;
use std::path::Path;

use milepost_core::ObjectKey;
use rustix::io::Errno;

use crate::bucket::{BucketError, BucketErrorKind, UploadId};

/// The error of a request whose system call failed at `path` without an effect on any object. `doing` is a verb with its
/// object, as in `cannot write`.
pub(super) fn fault(error: io::Error, doing: &str, path: &Path) -> BucketError {
    use BucketErrorKind as K;
    let (kind, hint) = match Errno::from_io_error(&error) {
        Some(Errno::NOSPC | Errno::DQUOT | Errno::FBIG) => {
            (K::NoSpace, Some("free space there, or raise the quota or the limit of file sizes; then try again"))
        }
        Some(Errno::ACCESS | Errno::PERM | Errno::ROFS) => {
            (K::Denied, Some("let this user read and write there; a read-only mount serves restores only"))
        }
        Some(Errno::MFILE | Errno::NFILE) => {
            (K::Unavailable, Some("raise the limit of open files (ulimit -n, or LimitNOFILE of the service)"))
        }
        Some(Errno::NAMETOOLONG) => (K::Unsupported, Some("this file system takes no name that long; shorten it")),
        Some(Errno::NOTDIR | Errno::ISDIR | Errno::LOOP) => {
            (K::Unsupported, Some("a directory cannot hold both `a` and `a/b`, and no link in it is followed"))
        }
        // A failing disk or a lost server may come back; the engine's budget of time decides for how long to hope.
        Some(
            Errno::IO | Errno::AGAIN | Errno::BUSY | Errno::NOMEM | Errno::NOBUFS | Errno::TIMEDOUT | Errno::STALE,
        ) => (K::Unavailable, None),
        Some(Errno::NOENT) => (K::Other, Some("was the root, or its folder .milepost, removed by somebody else?")),
        Some(_) => (K::Other, None),
        None if error.kind() == io::ErrorKind::IsADirectory => (K::Unsupported, None),
        // `Dir` refuses pipes, devices and sockets with this kind.
        None if error.kind() == io::ErrorKind::InvalidInput => {
            (K::Invalid, Some("only regular files are objects; move it away"))
        }
        None => (K::Other, None),
    };
    let failed = BucketError::new(kind, format!("{doing} {}: {error}", path.display())).with_source(error);
    match hint {
        Some(hint) => failed.with_hint(hint),
        None => failed,
    }
}

/// The error of the very call that makes an object or removes it: where the kernel does not say clearly that it refused,
/// a server behind the file system may have done it.
pub(super) fn fault_in_effect(error: io::Error, doing: &str, path: &Path) -> BucketError {
    use BucketErrorKind as K;
    let failed = fault(error, doing, path);
    match failed.kind {
        K::NoSpace | K::Denied | K::Unsupported | K::Invalid => failed,
        _ => failed.maybe_applied(),
    }
}

/// Means this failure of a read that the key has no object? A name too long for the file system has none, nor has a folder,
/// nor anything below a file.
pub(super) fn says_absent(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::IsADirectory
        || matches!(Errno::from_io_error(error), Some(Errno::NOENT | Errno::NOTDIR | Errno::ISDIR | Errno::NAMETOOLONG))
}

pub(super) fn invalid(message: impl Into<String>) -> BucketError {
    BucketError::new(BucketErrorKind::Invalid, message)
}

pub(super) fn not_found(key: &ObjectKey) -> BucketError {
    BucketError::new(BucketErrorKind::NotFound, format!("{key} does not exist"))
}

pub(super) fn no_such_upload(upload: &UploadId) -> BucketError {
    // The id may be hostile: it is shown cut and escaped.
    let shown: String = upload.0.chars().take(40).flat_map(char::escape_debug).collect();
    BucketError::new(BucketErrorKind::NoSuchUpload, format!("upload {shown} was completed or aborted, or never was"))
}

pub(super) fn bad_digest(what: &str) -> BucketError {
    BucketError::new(BucketErrorKind::BadDigest, format!("{what}: the bytes are not those of the checksum"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_errno_has_its_meaning_and_names_the_path() {
        use BucketErrorKind as K;
        for (errno, kind) in [
            (Errno::NOSPC, K::NoSpace),
            (Errno::DQUOT, K::NoSpace),
            (Errno::FBIG, K::NoSpace),
            (Errno::ACCESS, K::Denied),
            (Errno::PERM, K::Denied),
            (Errno::ROFS, K::Denied),
            (Errno::MFILE, K::Unavailable),
            (Errno::IO, K::Unavailable),
            (Errno::NAMETOOLONG, K::Unsupported),
            (Errno::NOTDIR, K::Unsupported),
            (Errno::ISDIR, K::Unsupported),
            (Errno::XDEV, K::Other),
        ] {
            let failed = fault(errno.into(), "cannot write", Path::new("/r/a"));
            assert_eq!(failed.kind, kind, "{errno:?}");
            assert!(failed.message.starts_with("cannot write /r/a: "), "{}", failed.message);
            assert!(!failed.maybe_applied);
            assert_eq!(kind == K::Other || errno == Errno::IO, failed.hint.is_none(), "{errno:?}");
        }
        assert!(fault_in_effect(Errno::IO.into(), "cannot write", Path::new("/r/a")).maybe_applied);
        assert!(!fault_in_effect(Errno::NOSPC.into(), "cannot write", Path::new("/r/a")).maybe_applied);
    }

    #[test]
    fn hostile_upload_ids_are_shown_cut_and_escaped() {
        let message = no_such_upload(&UploadId(format!("\u{1b}{}", "x".repeat(500)))).message;
        assert!(message.len() < 120 && !message.contains('\u{1b}'), "{message}");
    }
}
