//! The Python that has the packages of `requirements.txt`: `./test` installs them once, for the tests of all rooms.

use std::path::{Path, PathBuf};

/// Its path; a clear failure where it is not there.
pub fn with_packages() -> PathBuf {
    let rooms = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    let mut places = rooms.map(|room| room.join("tests/readers/venv/bin/python"));
    places.find(|python| python.is_file()).expect(
        "this test needs packages of Python: run ./test, or in the repository `python3 -m venv tests/readers/venv` \
         and `tests/readers/venv/bin/pip install -r tests/readers/requirements.txt`",
    )
}
