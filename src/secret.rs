//! Tokens: made here, carried by environment or by a file that only its owner may read.

use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use tempfile::NamedTempFile;

/// Name of the environment variable that carries a token.
pub const TOKEN_VARIABLE: &str = "DYNO_TOKEN";

/// A new token: 128 random bits from the kernel, as hex.
///
/// # Errors
/// When the kernel gives no random bytes.
pub fn new_token() -> io::Result<String> {
    let mut bytes = [0u8; 16];
    io::Read::read_exact(&mut std::fs::File::open("/dev/urandom")?, &mut bytes)?;
    Ok(bytes.iter().fold(String::new(), |mut text, b| {
        write!(text, "{b:02x}").expect("writing to a string cannot fail");
        text
    }))
}

/// Writes a token to a file that only its owner may read.
///
/// # Errors
/// Of the file system; an existing file is not overwritten.
pub fn write_token(path: &Path, token: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    writeln!(file, "{token}")
}

/// Leaves a token in a file in the system's folder for such, which goes with the value that is given.
///
/// # Errors
/// Of the file system.
pub fn leave_token(token: &str) -> io::Result<NamedTempFile> {
    // Made for its owner alone, and under a name that no file has.
    let mut file = tempfile::Builder::new().prefix("dyno-backend-").suffix(".token").tempfile()?;
    writeln!(file, "{token}")?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn tokens_differ_and_their_file_is_private() {
        assert_ne!(new_token().unwrap(), new_token().unwrap());
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        write_token(&path, "x").unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(write_token(&path, "y").is_err());
    }

    #[test]
    fn a_token_that_is_left_is_private_and_goes_with_whoever_left_it() {
        let [first, second] = ["a", "b"].map(|token| leave_token(token).unwrap());
        let path = first.path().to_owned();
        assert_ne!(path, second.path());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "a\n");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        drop(first);
        assert!(!path.exists());
    }
}
