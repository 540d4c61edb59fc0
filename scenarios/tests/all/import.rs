//! Files of browsers and descriptions of interfaces become scenarios that can be read.

use std::path::{Path, PathBuf};

use dynamometer_scenarios::import::{ImportKind, Imported, Options, import};
use dynamometer_scenarios::plan::{RunPlan, Step};
use dynamometer_scenarios::{Overrides, load};

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/import").join(name)
}

/// Imports, writes, and loads what was written as `dyno scenarios check` does.
fn imported(path: &Path, options: &Options) -> (Imported, RunPlan) {
    let imported = import(path, options).unwrap_or_else(|e| panic!("{e}"));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("imported.toml");
    std::fs::write(&file, &imported.text).unwrap();
    let vars = imported.env.iter().map(|n| (n.clone(), "secret".to_owned())).collect();
    let plan = load(file.to_str().unwrap(), &Overrides { vars, ..Overrides::default() });
    let plan = plan.unwrap_or_else(|e| panic!("{e}\n{}", imported.text));
    assert!(!plan.gates.is_empty());
    (imported, plan)
}

fn text_of(name: &str, options: &Options) -> String {
    imported(&data(name), options).0.text
}

fn error(content: &str) -> String {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    std::io::Write::write_all(&mut file, content.as_bytes()).unwrap();
    let told = import(file.path(), &Options::default()).unwrap_err().to_string();
    told.replace(&file.path().display().to_string(), "FILE")
}

#[test]
fn a_recording_of_chromium() {
    insta::assert_snapshot!(text_of("chromium.har", &Options::default()));
}

/// Not a recording: the same visit as Chromium's, in the fields and with the header fields that Firefox writes.
#[test]
fn a_recording_as_firefox_writes_it() {
    insta::assert_snapshot!(text_of("firefox.har", &Options::default()));
}

#[test]
fn a_recording_as_safari_writes_it() {
    insta::assert_snapshot!(text_of("safari.har", &Options::default()));
}

#[test]
fn event_streams_of_a_recording_become_steps_of_their_own() {
    let entry = |at: u32, kind: &str, method: &str, path: &str, status: u16, answer: &str| {
        serde_json::json!({
            "startedDateTime": format!("2026-03-01T12:00:{at:02}.000Z"), "time": 60_000, "_resourceType": kind,
            "request": { "method": method, "url": format!("http://shop.example{path}"), "headers": [
                { "name": "Accept", "value": "text/event-stream" }, { "name": "Last-Event-ID", "value": "9" },
                { "name": "X-Tenant", "value": "t1" }
            ] },
            "response": { "status": status, "headers": [], "content": { "mimeType": answer } },
        })
    };
    let har = serde_json::json!({ "log": { "version": "1.2", "creator": { "name": "x" }, "entries": [
        entry(0, "eventsource", "GET", "/stream", 200, "text/event-stream"),
        // Still open when the recording was saved.
        entry(1, "eventsource", "GET", "/news", 0, ""),
        entry(2, "fetch", "GET", "/progress", 200, "text/event-stream; charset=utf-8"),
        entry(3, "fetch", "POST", "/ask", 200, "text/event-stream"),
        entry(4, "fetch", "GET", "/plain", 200, "application/json"),
    ] } });
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.har");
    std::fs::write(&path, har.to_string()).unwrap();
    let (imported, plan) = imported(&path, &Options::default());
    let opens = plan.sessions[0].steps.iter().filter(|s| matches!(s, Step::OpenEvents(_))).count();
    assert_eq!(opens, 3);
    insta::assert_snapshot!(imported.text);
}

#[test]
fn secrets_of_a_recording_are_never_written() {
    for name in ["chromium.har", "firefox.har", "safari.har"] {
        for all in [false, true] {
            let text = text_of(name, &Options { all, ..Options::default() });
            for secret in ["s3cr3t", "secret-word", "tok-5f1d", "tick-77", "k-998877", "abc123", "hunter2"] {
                assert!(!text.contains(secret), "{name}: {secret}\n{text}");
            }
        }
    }
}

#[test]
fn files_of_pages_are_kept_if_wanted() {
    let few = imported(&data("chromium.har"), &Options::default()).1;
    let all = imported(&data("chromium.har"), &Options { all: true, ..Options::default() }).1;
    assert!(all.sessions[0].steps.len() > few.sessions[0].steps.len());
    assert!(all.steps.iter().any(|s| s.contains("style.css")));
}

#[test]
fn another_origin_can_be_chosen() {
    let other = Options { origin: Some("http://tracker.test".to_owned()), all: true, ..Options::default() };
    let told = import(&data("firefox.har"), &other).unwrap_err().to_string();
    assert!(told.contains("no request to http://tracker.test could be made a step"), "{told}");
}

#[test]
fn a_description_in_yaml() {
    insta::assert_snapshot!("openapi_get", text_of("shop.yaml", &Options::default()));
    insta::assert_snapshot!(
        "openapi_all",
        text_of("shop.yaml", &Options { all: true, ..Options::default() })
    );
}

#[test]
fn the_same_description_in_json_gives_the_same() {
    let yaml = std::fs::read_to_string(data("shop.yaml")).unwrap();
    let value: serde_json::Value = serde_saphyr::from_str(&yaml).unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), value.to_string()).unwrap();
    let options = Options { all: true, ..Options::default() };
    let (json, plan) = imported(file.path(), &options);
    assert_eq!(json.kind, ImportKind::OpenApi);
    assert_eq!(json.text, text_of("shop.yaml", &options));
    assert!(plan.sessions[0].steps.iter().all(|s| matches!(s, Step::Request(_))));
}

#[test]
fn a_target_can_be_said() {
    let options = Options { target: Some("http://10.0.0.1:8080/v2".to_owned()), ..Options::default() };
    assert!(text_of("shop.yaml", &options).contains("url = \"http://10.0.0.1:8080/v2\""));
    let refused = |name: &str, options: &Options| import(&data(name), options).unwrap_err().to_string();
    let nowhere = Options { target: Some("nowhere".to_owned()), ..Options::default() };
    assert!(refused("shop.yaml", &nowhere).contains("--target: "), "{}", refused("shop.yaml", &nowhere));
    assert!(refused("firefox.har", &options).contains("--target: a recording says itself what it asks"));
    let origin = Options { origin: Some("http://a.test".to_owned()), ..Options::default() };
    assert!(refused("shop.yaml", &origin).contains("--origin: a description of an interface has no origins"));
}

#[test]
fn mistakes_name_file_and_place() {
    let cases = [
        "{\"log\": {\"entries\": [{]}}",
        "{\"log\": {\"entries\": []}}",
        "{\"log\": {\"entries\": [{\"request\": {\"method\": \"GET\", \"url\": \"data:,x\"}}]}}",
        "{\"a\": 1}",
        "",
        "openapi: 3.0.0\npaths: [",
        "openapi: 4.0.0\n",
        "swagger: \"2.0\"\n",
        "openapi: 3.0.1\n",
        "openapi: 3.0.1\npaths: {}\n",
        "openapi: 3.0.1\npaths:\n  /a: { get: { parameters: [{ $ref: '#/nowhere' }] } }\n",
        "openapi: 3.0.1\npaths:\n  /a: { $ref: '#/paths/~1a' }\n",
    ];
    let told: Vec<String> = cases.iter().map(|c| error(c)).collect();
    insta::assert_snapshot!(told.join("\n\n"));
}

#[test]
fn a_schema_that_contains_itself_ends() {
    let text = "openapi: 3.0.1\npaths:\n  /a:\n    post: { requestBody: { content: { application/json: { schema: { $ref: '#/components/schemas/T' } } } } }\ncomponents:\n  schemas:\n    T: { type: object, required: [t], properties: { t: { $ref: '#/components/schemas/T' }, u: { type: array, items: { $ref: '#/components/schemas/T' } } } }\n";
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    let (imported, _) = imported(file.path(), &Options { all: true, ..Options::default() });
    assert!(imported.text.len() < 2_000, "{}", imported.text);
}

#[test]
fn a_recording_of_thousands_of_large_entries_is_bounded() {
    let body = "x".repeat(20_000);
    let entry = format!(
        "{{\"startedDateTime\":\"2026-03-01T08:30:00.000Z\",\"time\":1,\"request\":{{\"method\":\"POST\",\"url\":\"http://a.test/p?${{q\",\"headers\":[],\"postData\":{{\"mimeType\":\"text/plain\",\"text\":\"{body}\"}}}},\"response\":{{\"status\":200}}}}"
    );
    let all = vec![entry; 1_500].join(",");
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), format!("{{\"log\":{{\"entries\":[{all}]}}}}")).unwrap();
    let (imported, plan) = imported(file.path(), &Options::default());
    assert!(imported.text.len() < 1 << 20);
    assert!(plan.sessions[0].steps.len() > 20);
    assert!(imported.notes.iter().any(|n| n.contains("too large")), "{:?}", imported.notes);
}
