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

/// Imports a recording of these entries.
fn recorded(entries: &serde_json::Value) -> Imported {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), serde_json::json!({ "log": { "entries": entries } }).to_string()).unwrap();
    imported(file.path(), &Options::default()).0
}

/// A request with a body.
fn posted(data: serde_json::Value) -> serde_json::Value {
    let mut entry = serde_json::json!({ "response": { "status": 200 } });
    entry["request"] = serde_json::json!({ "method": "POST", "url": "http://shop.example/p", "headers": [] });
    entry["request"]["postData"] = data;
    entry
}

fn posted_text(kind: &str, text: &str) -> serde_json::Value {
    posted(serde_json::json!({ "mimeType": kind, "text": text }))
}

/// A token that is signed, in the form of RFC 7519.
const SIGNED: &str = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbm4ifQ.c2lnbmF0dXJl";

#[test]
fn secrets_are_found_in_addresses_and_header_fields() {
    let get = |path: &str, name: &str, value: &str| {
        let headers = [serde_json::json!({ "name": name, "value": value })];
        let url = format!("http://shop.example{path}");
        let request = serde_json::json!({ "method": "GET", "url": url, "headers": headers });
        serde_json::json!({ "request": request, "response": { "status": 200 } })
    };
    let signed = format!("/confirm/{SIGNED}");
    let cases = [
        ("/p?access_key=hush-1", "X-Client", "web", "get = \"/p?access_key=${ACCESS_KEY}\""),
        ("/p?next=%2Fcart%3Ftoken%3Dhush-2", "X-Client", "web", "get = \"/p?next=${NEXT}\""),
        ("/shop;jsessionid=hush-3?a=1", "X-Client", "web", "get = \"/shop;jsessionid=${JSESSIONID}?a=1\""),
        ("/shop;lang=en?a=1", "X-Client", "web", "get = \"/shop;lang=en?a=1\""),
        (signed.as_str(), "X-Client", "web", "get = \"/confirm/${PATH_TOKEN}\""),
        ("/p", "Ocp-Apim-Subscription-Key", "hush-4", "= \"${OCP_APIM_SUBSCRIPTION_KEY}\""),
        ("/p", "X-Functions-Key", "hush-5", "x-functions-key = \"${X_FUNCTIONS_KEY}\""),
        ("/p", "X-User", SIGNED, "x-user = \"${X_USER}\""),
        ("/p", "X-Session-Id", "hush-6", "x-session-id = \"${X_SESSION_ID}\""),
        ("/p", "Idempotency-Key", "one-of-many", "idempotency-key = \"one-of-many\""),
    ];
    for (path, name, value, expected) in cases {
        let written = recorded(&serde_json::json!([get(path, name, value)])).text;
        assert!(written.contains(expected), "{expected}\n{written}");
        assert!(!written.contains("hush") && !written.contains("eyJ"), "{written}");
    }
}

#[test]
fn a_token_that_is_sent_as_a_subprotocol_is_left_out() {
    let connect = |asked: &str| {
        let headers = [serde_json::json!({ "name": "Sec-WebSocket-Protocol", "value": asked })];
        let url = "ws://shop.example/ws";
        let request = serde_json::json!({ "method": "GET", "url": url, "headers": headers });
        recorded(&serde_json::json!([{ "request": request, "response": { "status": 101 } }])).text
    };
    let written = connect("bearer.authorization.hush, chat.v1");
    assert!(!written.contains("hush") && written.contains("# Recorded with a subprotocol"), "{written}");
    assert!(connect("chat.v1, chat.v2").contains("subprotocol = \"chat.v1\""));
}

#[test]
fn secrets_are_found_in_every_kind_of_body() {
    const FORM: &str = "application/x-www-form-urlencoded";
    let parts = "--b\r\nContent-Disposition: form-data; name=\"password\"\r\n\r\nhush-6\r\n--b--\r\n";
    let signed = format!("{{\"assertion\":\"{SIGNED}\"}}");
    let cases = [
        (FORM, "user=ann&password=hush%2D1&role=a&role=b", "password=${PASSWORD}&role=a&role=b"),
        (FORM, "{\"password\":\"hush-2\"}", "json = { password = \"${PASSWORD}\" }"),
        ("application/json", "{\"pin\":400711,\"otp\":1234.5}", "\\\"otp\\\":${OTP},\\\"pin\\\":${PIN}"),
        ("application/json", "[{\"name\":\"pin\",\"value\":\"hush-3\"}]", "value = \"${PIN}\""),
        ("application/json", "{\"tokens\":{\"old\":\"hush-4\"}}", "old = \"${TOKENS_OLD}\""),
        ("application/json", "{\"a\":\"{\\\"token\\\":\\\"hush-5\\\"}\"}", "a = \"${A}\""),
        ("multipart/form-data; boundary=b", parts, "# Recorded with a form that holds a secret: left out"),
        ("text/xml", "<e><Password Type='x'>hush-7</Password></e>", "body = \"${BODY}\""),
        ("application/json", r#"{"query":"mutation { in(password: \"hush-8\") }"}"#, "query = \"${QUERY}\""),
        ("application/json", r#"{"query":"in(pass: $pass)"}"#, "query = \"in(pass: $pass)\""),
        ("application/json", r#"{"back":"/cart?token=hush-9"}"#, "back = \"${BACK}\""),
        ("application/json", signed.as_str(), "assertion = \"${ASSERTION}\""),
        ("text/plain", SIGNED, "body = \"${BODY}\""),
        (FORM, "user=ann&pwd=hush-10", "pwd = \"${PWD_VALUE}\""),
        ("text/plain", "the token of my love is no secret", "body = \"the token of my love is no secret\""),
    ];
    for (kind, text, expected) in cases {
        let written = recorded(&serde_json::json!([posted_text(kind, text)])).text;
        assert!(written.contains(expected), "{expected}\n{written}");
        for secret in ["hush", "400711", "1234.5", "eyJ"] {
            assert!(!written.contains(secret), "{written}");
        }
    }
}

#[test]
fn secrets_are_found_in_messages() {
    let send = |data: &str| serde_json::json!({ "type": "send", "opcode": 1, "data": data });
    let messages = [
        send("[\"auth\",{\"token\":\"hush-1\"}]"),
        send("40/shop,{\"token\":\"hush-2\"}"),
        send("login token=hush-3"),
        send("plain"),
    ];
    let mut entry = serde_json::json!({ "response": { "status": 101 }, "_webSocketMessages": messages });
    entry["request"] = serde_json::json!({ "method": "GET", "url": "ws://shop.example/ws", "headers": [] });
    let written = recorded(&serde_json::json!([entry])).text;
    assert!(!written.contains("hush"), "{written}");
    for expected in [
        r#"send = "[\"auth\",{\"token\":\"${TOKEN}\"}]""#,
        r#"send = "40/shop,{\"token\":\"${TOKEN_2}\"}""#,
        "send = \"${MESSAGE}\"",
        "send = \"plain\"",
    ] {
        assert!(written.contains(expected), "{expected}\n{written}");
    }
}

#[test]
fn binary_messages_are_sent_as_they_were() {
    let message = |kind: &str, data: &str| serde_json::json!({ "type": kind, "opcode": 2, "data": data });
    let messages = [
        message("send", "3q2+7w=="),
        message("receive", "AAE="),
        message("send", "AQID"),
        // `password=hush`, and what is no base64.
        message("send", "cGFzc3dvcmQ9aHVzaA=="),
        message("send", "*"),
    ];
    let mut entry = serde_json::json!({ "response": { "status": 101 }, "_webSocketMessages": messages });
    entry["request"] = serde_json::json!({ "method": "GET", "url": "ws://shop.example/ws", "headers": [] });
    let imported = recorded(&serde_json::json!([entry]));
    let text = &imported.text;
    let answered = "send-binary = \"3q2+7w==\"\nawait = { binary = true, within = \"10s\" }\n";
    assert!(text.contains(answered) && text.contains("send-binary = \"AQID\"\n\n"), "{text}");
    assert_eq!(text.matches("send-binary").count(), 2, "{text}");
    for told in [
        "Left out: binary WebSocket messages that may hold a secret: 1.",
        "Left out: WebSocket messages that are too long, or binary and not in base64: 1.",
    ] {
        assert!(imported.notes.iter().any(|n| n == told), "{:?}", imported.notes);
    }
}

#[test]
fn two_values_under_one_name_are_two_variables() {
    let get = |value: &str| {
        let headers = [serde_json::json!({ "name": "Authorization", "value": value })];
        let request =
            serde_json::json!({ "method": "GET", "url": "http://shop.example/p", "headers": headers });
        serde_json::json!({ "request": request, "response": { "status": 200 } })
    };
    let entries = serde_json::json!([get("Basic A"), get("Bearer B"), get("Basic C"), get("Basic A")]);
    let imported = recorded(&entries);
    assert_eq!(imported.env, ["AUTHORIZATION", "AUTHORIZATION_2", "AUTHORIZATION_3"]);
    let count = |text: &str| imported.text.matches(text).count();
    assert_eq!(count("\"Basic ${AUTHORIZATION}\""), 2, "{}", imported.text);
    assert_eq!(count("\"Bearer ${AUTHORIZATION_2}\""), 1, "{}", imported.text);
    assert_eq!(count("\"Basic ${AUTHORIZATION_3}\""), 1, "{}", imported.text);
}

#[test]
fn a_form_of_fields_alone_is_sent_as_it_was() {
    let form = |fields: &[(&str, &str)]| {
        let fields: Vec<_> =
            fields.iter().map(|(n, v)| serde_json::json!({ "name": n, "value": v })).collect();
        posted(serde_json::json!({ "mimeType": "application/x-www-form-urlencoded", "params": fields }))
    };
    let once = recorded(&serde_json::json!([form(&[("tel", "+49 171"), ("rest", "%41")])])).text;
    assert!(once.contains("form = { tel = \"+49 171\", rest = \"%41\" }"), "{once}");
    let twice = recorded(&serde_json::json!([form(&[("role", "a b"), ("role", "c&d")])])).text;
    assert!(twice.contains("body = \"role=a+b&role=c%26d\""), "{twice}");
    assert!(twice.contains("type = \"application/x-www-form-urlencoded\""), "{twice}");
}

#[test]
fn sent_messages_are_kept_behind_any_number_of_pushes() {
    let message = |kind: &str, data: String| serde_json::json!({ "type": kind, "opcode": 1, "data": data });
    let mut messages: Vec<_> = (0..420).map(|i| message("receive", format!("push {i}"))).collect();
    messages.extend((0..410).map(|i| message("send", format!("say {i}"))));
    let mut entry = serde_json::json!({ "response": { "status": 101 }, "_webSocketMessages": messages });
    entry["request"] = serde_json::json!({ "method": "GET", "url": "ws://shop.example/ws", "headers": [] });
    let imported = recorded(&serde_json::json!([entry]));
    assert!(imported.text.contains("send = \"say 399\""), "{}", imported.text);
    let told = "Left out: messages of a WebSocket beyond the first 400 that were sent: 10.";
    assert!(imported.notes.iter().any(|n| n == told), "{:?}", imported.notes);
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

/// Imports a description, operations that write too.
fn described(text: &str) -> String {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    imported(file.path(), &Options { all: true, ..Options::default() }).0.text
}

#[test]
fn parameters_and_keys_are_sent_as_the_description_means() {
    let text = described(
        "openapi: 3.0.3
paths:
  /a:
    servers: [{ url: 'http://other.test' }]
    get:
      security: [{ k: [], one: [], two: [] }]
      parameters:
        - { name: x-api-key, in: header, required: true, schema: { type: string } }
        - { name: y, in: query, required: true, schema: { type: string, enum: [NO, SE] } }
        - { name: zip, in: query, example: 01234 }
        - { name: tag, in: query, example: [a, 'b&c'] }
        - { name: ids, in: query, explode: false, example: [1, 2] }
        - { name: true, in: query, example: 1 }
  /users/{id}:
    get: { parameters: [{ name: id, in: path, required: true, example: 3 }] }
  /users/{id}/x:
    get: { parameters: [{ $ref: '#/paths/~1users~1%7Bid%7D/get/parameters/0' }] }
components:
  securitySchemes:
    k: { type: apiKey, in: header, name: X-API-Key }
    one: { type: http, scheme: bearer }
    two: { type: http, scheme: bearer }
",
    );
    for expected in [
        "get = \"/a?y=NO&zip=01234&tag=a&tag=b%26c&ids=1,2\"\n",
        "headers = { X-API-Key = \"${K}\", Authorization = \"Bearer ${ONE}\" }\n",
        "# Needs two too, and Authorization stands once: left out.\n",
        "# The name of a parameter is no text (`true`): left out.\n",
        "# Has a server of its own, `http://other.test`; here the target is asked.\n",
        "get = \"/users/3/x\"\n",
    ] {
        assert!(text.contains(expected), "{expected}{text}");
    }
}

#[test]
fn bodies_fit_their_schema_and_tell_what_they_lack() {
    let text = described(
        "openapi: 3.0.3
paths:
  /a:
    post: { requestBody: { content: { application/json: { schema: { $ref: '#/components/schemas/A' } } } } }
  /b:
    post: { requestBody: { content: { application/json: { schema: { $ref: '#/components/schemas/B' } } } } }
components:
  schemas:
    A:
      type: object
      properties:
        lost: { $ref: '#/nowhere' }
        names: { type: array, minItems: 2, items: { type: string } }
        most: { type: number, maximum: 1 }
        part: { type: number, minimum: 0, maximum: 0.5 }
",
    );
    for expected in [
        "json = { most = 0.0, names = [\"text\", \"text\"], part = 0.25 }\n",
        "# `#/nowhere` leads nowhere: left out.\n",
        "# `#/components/schemas/B` leads nowhere: left out.\n",
    ] {
        assert!(text.contains(expected), "{expected}{text}");
    }
}

#[test]
fn a_null_stands_where_a_schema_contains_itself() {
    let schema = |parent: &str| {
        described(&format!(
            "openapi: 3.1.0
paths:
  /a:
    post: {{ requestBody: {{ content: {{ application/json: {{ schema: {{ $ref: '#/components/schemas/T' }} }} }} }} }}
components:
  schemas:
    T: {{ type: object, required: [name, parent], properties: {{ name: {{ type: string }}, parent: {parent} }} }}
"
        ))
    };
    for parent in [
        "{ anyOf: [{ $ref: '#/components/schemas/T' }, { type: 'null' }] }",
        "{ nullable: true, allOf: [{ $ref: '#/components/schemas/T' }] }",
    ] {
        let text = schema(parent);
        assert!(text.contains("name") && text.contains("\\\"parent\\\":null"), "{parent}: {text}");
        assert!(text.len() < 2_000, "{text}");
    }
}

#[test]
fn what_a_description_says_of_forms_streams_and_methods_is_done_or_told() {
    let text = described(
        "openapi: 3.0.3
paths:
  /form:
    post: { requestBody: { content: { application/x-www-form-urlencoded: { schema: { type: object, properties: { n: { type: array, items: { type: integer } } } } } } } }
  /many:
    post: { requestBody: { content: { application/x-www-form-urlencoded: { example: { n: ['a b', 'c&d'], m: x } } } } }
  /up:
    post:
      requestBody:
        content:
          multipart/form-data:
            schema: { type: object, properties: { photo: { type: string, format: binary }, n: { type: integer } } }
            encoding: { photo: { contentType: image/png } }
  /events:
    get: { responses: { '200': { content: { text/event-stream: {} } } } }
  /both:
    get: { responses: { '200': { content: { text/event-stream: {}, application/json: {} } } } }
  /opts:
    options: { responses: {} }
",
    );
    for expected in [
        "form = { n = \"1\" }\n",
        "type = \"application/x-www-form-urlencoded\"\n",
        "n=a%20b&n=c%26d",
        "photo = { generated = \"1KiB\", name = \"photo\", type = \"image/png\" }",
        "name = \"GET /events\"\nevents = \"/events\"\nreconnect = true\n",
        "get = \"/both\"\n",
        "# Left out: operations with a method that steps do not have (OPTIONS, TRACE): 1.\n",
    ] {
        assert!(text.contains(expected), "{expected}{text}");
    }
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
