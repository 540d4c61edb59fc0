//! Tokens: made here, carried by environment or by a file that only its owner may read.

use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

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
}
