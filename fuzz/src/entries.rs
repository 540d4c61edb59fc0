//! One entry for each target: bytes in, a panic if a law is broken.
//!
//! The codecs are read twice, whole and in portions, and must say the same. This file is also part of the test
//! that replays the corpus (`loadgen/tests/engine/corpus.rs`), so it uses nothing but what both have.

use std::path::Path;

use loadgen::ErrorKind;
use loadgen::http::BODY_MAX;
use loadgen::http::answer::{Answer, Want};
use loadgen::http::chunks::Chunks;
use loadgen::http::coding::Coding;
use loadgen::sse::decode::Decoder as Events;
use loadgen::ws::decode::Decoder;
use loadgen::ws::deflate::{Agreed, Deflater, Inflater};
use scenarios::{Origin, Overrides};

/// Portions in which bytes are read again: the first byte chooses their length.
fn portions(bytes: &[u8]) -> (usize, &[u8]) {
    match bytes.split_first() {
        Some((first, rest)) => (usize::from(*first) % 17 + 1, rest),
        None => (1, bytes),
    }
}

/// Answers of HTTP/1.1.
pub fn http_answer(bytes: &[u8]) {
    let (step, bytes) = portions(bytes);
    let fields = ["location".to_owned()];
    for (head, body) in [(false, true), (false, false), (true, false)] {
        let read = |step: usize| -> Result<(u16, Vec<u8>, u64, bool, usize), ErrorKind> {
            let mut answer = Answer::new(Want { head, body, fields: &fields, cookies: false });
            let mut taken = 0;
            for portion in bytes.chunks(step) {
                if answer.done() {
                    break;
                }
                taken += answer.feed(portion)?;
            }
            answer.closed()?;
            Ok((answer.status(), answer.body().to_vec(), answer.body_bytes(), answer.reusable(), taken))
        };
        assert_eq!(read(step), read(bytes.len().max(1)));
    }
}

/// The chunked coding.
pub fn http_chunks(bytes: &[u8]) {
    let (step, bytes) = portions(bytes);
    let read = |step: usize| -> Result<(Vec<u8>, bool, usize), ErrorKind> {
        let (mut chunks, mut data, mut taken) = (Chunks::default(), Vec::new(), 0);
        for portion in bytes.chunks(step) {
            if chunks.done() {
                break;
            }
            taken += chunks.feed(portion, |part| {
                data.extend_from_slice(part);
                Ok(())
            })?;
        }
        Ok((data, chunks.done(), taken))
    };
    assert_eq!(read(step), read(bytes.len().max(1)));
}

/// Frames of a WebSocket.
pub fn ws_frames(bytes: &[u8]) {
    let (step, bytes) = portions(bytes);
    let read = |step: usize| -> (Vec<String>, Option<ErrorKind>) {
        let (mut decoder, mut seen) = (Decoder::default(), Vec::new());
        for portion in bytes.chunks(step) {
            let fed = decoder.feed(portion, |message| {
                seen.push(format!("{message:?}"));
                Ok(())
            });
            if let Err(kind) = fed {
                return (seen, Some(kind));
            }
        }
        (seen, None)
    };
    assert_eq!(read(step), read(bytes.len().max(1)));
}

/// Compressed messages of a WebSocket: no more comes out of them than may, and what we compress can be read.
pub fn ws_deflate(bytes: &[u8]) {
    const LIMIT: usize = 64 << 10;
    let Some((first, bytes)) = bytes.split_first() else { return };
    let agreed = Agreed {
        server_no_context_takeover: first & 1 != 0,
        client_no_context_takeover: first & 2 != 0,
        client_max_window_bits: 15,
    };
    // Messages that share a window.
    let messages = || bytes.chunks(bytes.len().div_ceil(usize::from(first >> 2) % 3 + 1).max(1));
    let mut inflater = Inflater::new(&agreed);
    for message in messages() {
        match inflater.inflate(message, LIMIT) {
            Ok(whole) => assert!(whole.len() <= LIMIT, "{}", whole.len()),
            Err(ErrorKind::TooLarge | ErrorKind::WsProtocol) => break,
            Err(other) => panic!("{other:?}"),
        }
    }
    let server = Agreed { server_no_context_takeover: agreed.client_no_context_takeover, ..agreed };
    let (mut ours, mut theirs) = (Deflater::new(&agreed), Inflater::new(&server));
    for message in messages() {
        let small = ours.deflate(message).expect("the compressor has this window");
        assert_eq!(theirs.inflate(&small, message.len()).as_deref(), Ok(message));
    }
}

/// Content codings: no more comes out than may.
pub fn content_coding(bytes: &[u8]) {
    let Some((first, coded)) = bytes.split_first() else { return };
    let all = [Coding::Gzip, Coding::Deflate, Coding::Brotli, Coding::Zstd];
    match all[usize::from(*first) % all.len()].decode(coded) {
        Ok(body) => assert!(body.len() <= BODY_MAX, "{}", body.len()),
        Err(kind) => assert!(matches!(kind, ErrorKind::BadCoding | ErrorKind::TooLarge), "{kind:?}"),
    }
}

/// Events of a stream.
pub fn event_stream(bytes: &[u8]) {
    type Read = (Vec<(String, String)>, Option<Vec<u8>>, Option<u64>, Option<ErrorKind>);
    let (step, bytes) = portions(bytes);
    // Small enough that the limit is met.
    let read = |step: usize| -> Read {
        let (mut decoder, mut seen) = (Events::new(200), Vec::new());
        for portion in bytes.chunks(step) {
            let fed = decoder.feed(portion, |event| {
                seen.push((event.kind.to_owned(), event.data.to_owned()));
                false
            });
            if let Err(kind) = fed {
                return (seen, None, None, Some(kind));
            }
        }
        (seen, decoder.last_id().map(<[u8]>::to_vec), decoder.retry_ms(), None)
    };
    assert_eq!(read(step), read(bytes.len().max(1)));
}

fn parse(text: &str) -> Option<scenarios::plan::RunPlan> {
    let origin = Origin { name: "fuzz".to_owned(), file: None };
    match scenarios::parse(text, &origin, &Overrides::default()) {
        Ok(plan) => Some(plan),
        Err(error) => {
            assert!(!error.mistakes.is_empty(), "an error without a mistake");
            assert!(!error.to_string().contains('\u{1b}'), "an escape sequence in a message");
            None
        }
    }
}

/// A scenario: a plan that can be shown, or mistakes that can.
pub fn scenario_toml(bytes: &[u8]) {
    // Feeders read files that the text names, so texts with them are left to the tests.
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if text.contains("file") {
        return;
    }
    if let Some(plan) = parse(text) {
        assert!(!scenarios::describe(&plan).is_empty());
        let json = serde_json::to_string(&plan).expect("a plan can be written");
        let back: scenarios::plan::RunPlan =
            serde_json::from_str(&json).expect("what was written can be read");
        assert_eq!(back.steps, plan.steps);
    }
}

/// A text with holes, where scenarios have them.
pub fn template(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let quoted = serde_json::to_string(text).expect("a string can be written");
    // JSON's `\uD83D\uDE00` is not TOML's, but serde_json writes such characters as they are; U+007F it does not escape.
    let quoted = quoted.replace('\u{7f}', "\\u007F");
    let scenario = format!(
        "[target]\nurl = \"http://a\"\n[[phase]]\nname = \"p\"\nfor = \"1s\"\nsessions = 1\n[[session]]\nname = \"s\"\nsteps = [\n{{ name = \"a\", post = \"/\", body = {quoted}, save = {{ token = \"$.t\" }} }},\n{{ name = \"b\", post = \"/\", json = {{ x = {quoted} }} }},\n]\n"
    );
    parse(&scenario);
}

/// A recording: whatever the bytes, it is read to its end or refused.
pub fn recording(bytes: &[u8]) {
    if let Ok(reader) = timeline::recording::Reader::from_bytes(bytes.to_vec(), Path::new("fuzz")) {
        // Not a recording's own fault: one that says nothing of its run.
        drop(reader.load(Path::new("fuzz"), |_, _| {}));
    }
}

/// What an agent answers.
pub fn probe_json(bytes: &[u8]) {
    drop(serde_json::from_slice::<timeline::probe::Batch>(bytes));
    drop(serde_json::from_slice::<timeline::probe::Instances>(bytes));
}

fn import(bytes: &[u8], kind: scenarios::import::ImportKind) {
    let options = scenarios::import::Options { all: true, ..Default::default() };
    match scenarios::import::import_bytes(bytes, kind, &options) {
        Ok(imported) => assert!(!imported.text.contains('\u{1b}'), "an escape sequence in a scenario"),
        Err(error) => {
            let told = error.to_string();
            assert!(!told.contains("cannot be said in a scenario"), "{told}");
        }
    }
}

/// A browser's recording: a scenario that can be read, or a refusal.
pub fn har(bytes: &[u8]) {
    import(bytes, scenarios::import::ImportKind::Har);
}

/// A description of an interface: the same.
pub fn openapi(bytes: &[u8]) {
    import(bytes, scenarios::import::ImportKind::OpenApi);
}
