//! The corpus of the fuzz targets, read as they read it; and the same cut short and with single bytes changed.

#[path = "../../../fuzz/src/entries.rs"]
mod entries;

use std::path::Path;

/// Bytes that mean something to one of the readers.
const TELLING: &[u8] = b"\0\n\r{}[]\"$:;0\x7F\x80\xFF";
/// Longest file that is also changed byte by byte: the others would take minutes.
const CHANGED_MAX: usize = 160;

fn replay(target: &str, entry: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target);
    let files = std::fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut count = 0;
    for file in files.flatten() {
        let bytes = std::fs::read(file.path()).expect("a file of the corpus can be read");
        entry(&bytes);
        entry(&bytes[..bytes.len() / 2]);
        if bytes.len() <= CHANGED_MAX {
            for at in 0..bytes.len() {
                for byte in TELLING {
                    let mut changed = bytes.clone();
                    changed[at] = *byte;
                    entry(&changed);
                }
                entry(&bytes[..at]);
            }
        }
        count += 1;
    }
    assert!(count > 0, "{target} has no corpus");
}

macro_rules! targets {
    ($($target:ident),*) => {
        $(#[test] fn $target() { replay(stringify!($target), entries::$target); })*

        #[test]
        fn every_folder_has_its_target() {
            let known = [$(stringify!($target)),*];
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus");
            for folder in std::fs::read_dir(folder).expect("the corpus is there").flatten() {
                let name = folder.file_name().to_string_lossy().into_owned();
                assert!(known.contains(&name.as_str()), "{name} is replayed by no test");
            }
        }
    };
}

targets!(
    http_answer,
    http_chunks,
    ws_frames,
    ws_deflate,
    content_coding,
    event_stream,
    scenario_toml,
    template,
    recording,
    probe_json,
    har,
    openapi
);
