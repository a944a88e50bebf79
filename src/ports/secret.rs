//! Files with a secret.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::spec::{Broken, StickySpec};

/// Shorter ones can be guessed: as long as what they are a key of (RFC 2104 section 3).
const SHORTEST: u64 = 32;
/// Far above any secret; a mistaken path must not fill the memory.
const LONGEST: u64 = 64 << 10;
/// Read and written by everyone.
const OTHERS: u32 = 0o006;

/// The secret that a group's cookies are signed with; pointers of what is wrong begin at the group's `sticky`.
pub fn of_sticky(spec: &StickySpec) -> Result<Vec<u8>, Broken> {
    let path = &spec.secret_file;
    read(Path::new(path)).map_err(|why| Broken::new("/secret_file", format!("{path} {why}")))
}

/// Where in the state that stands: at the group, if it says it itself, or in the defaults.
pub fn placed(broken: Broken, place: &str, own: Option<&StickySpec>) -> Broken {
    match own {
        Some(_) => broken.below(&format!("{place}/sticky")),
        None => broken.below("/defaults/sticky"),
    }
}

/// The file's bytes as they are, or why they are no secret.
fn read(path: &Path) -> Result<Vec<u8>, String> {
    let cannot = |error: io::Error| format!("cannot be read: {error}");
    let found = fs::metadata(path).map_err(cannot)?;
    if !found.is_file() {
        return Err("is no file".to_owned());
    }
    if found.permissions().mode() & OTHERS != 0 {
        return Err("can be read or written by everyone: chmod o-rw it".to_owned());
    }
    if found.len() > LONGEST {
        return Err("is longer than 64 KiB: that is no secret".to_owned());
    }
    let secret = fs::read(path).map_err(cannot)?;
    if (secret.len() as u64) < SHORTEST {
        let length = secret.len();
        return Err(format!(
            "has {length} bytes, fewer than the {SHORTEST} that a secret needs"
        ));
    }
    Ok(secret)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_long_and_not_for_everyone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret");
        let found = |content: &[u8], mode: u32| {
            fs::write(&path, content).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            read(&path).map_err(|why| why.split(' ').take(5).collect::<Vec<_>>().join(" "))
        };
        assert_eq!(found(&[10; 32], 0o640), Ok(vec![10; 32]));
        assert_eq!(
            found(&[10; 31], 0o600),
            Err("has 31 bytes, fewer than".into())
        );
        for mode in [0o604, 0o602, 0o666] {
            assert_eq!(found(&[1; 32], mode), Err("can be read or written".into()));
        }
        let longest = usize::try_from(LONGEST).unwrap();
        assert_eq!(
            found(&vec![1; longest + 1], 0o600),
            Err("is longer than 64 KiB:".into())
        );
        assert_eq!(read(directory.path()), Err("is no file".into()));
        let missing = read(&directory.path().join("nowhere")).unwrap_err();
        assert!(
            missing.starts_with("cannot be read: No such file"),
            "{missing}"
        );
    }
}
