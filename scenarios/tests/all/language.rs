//! The pages for people are true: every example in them is read, and every key of the format has one.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::common::{read_at, scenario};
use dynamometer_scenarios::{Origin, Overrides, SCHEMA, parse};

/// The examples of a page, each with its line.
fn examples(page: &str) -> Vec<(usize, String)> {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(page)).unwrap();
    let mut all = Vec::new();
    let mut open: Option<(usize, String)> = None;
    for (i, line) in text.lines().enumerate() {
        match &mut open {
            None if line == "```toml" => open = Some((i + 1, String::new())),
            Some(_) if line == "```" => all.extend(open.take()),
            Some((_, example)) => *example += &format!("{line}\n"),
            None => {}
        }
    }
    assert!(open.is_none(), "{page}: an example without its end");
    all
}

/// The whole scenario that an example is a part of.
fn whole(example: &str) -> String {
    let has = |head: &str| example.lines().any(|l| l.trim_end() == head);
    let target = "[target]\nurl = \"http://127.0.0.1:1\"\nenv = [\"API_KEY\"]\n";
    if example.trim_start().starts_with('{') {
        let head = format!("{target}[data.users]\nrows = [{{ name = \"ann\" }}]\n[vars]\nshop = \"x\"\n");
        return scenario(&head, example);
    }
    // Keys at the top of a file come before any table.
    let mut text = example.to_owned();
    if !has("[target]") {
        text += &format!("\n{target}");
    }
    if !has("[[phase]]") {
        text += "\n[[phase]]\nname = \"p\"\nfor = \"60s\"\nsessions = 1\n";
    }
    if !has("[[session]]") {
        text += "\n[[session]]\nname = \"s\"\nsteps = [{ name = \"x\", get = \"/\" }]\n";
    }
    text
}

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let key = aws_lc_rs::signature::Ed25519KeyPair::generate().unwrap();
    let pem = |label: &str, der: &[u8]| {
        use base64::Engine;
        let text = base64::engine::general_purpose::STANDARD.encode(der);
        format!("-----BEGIN {label}-----\n{text}\n-----END {label}-----\n")
    };
    for (name, text) in [
        ("users.csv", "name,pass\nann,x\n".to_owned()),
        ("users.jsonl", "{\"name\":\"ann\"}\n".to_owned()),
        ("photo.png", "png".to_owned()),
        ("order.j2", "{{ users.name }}".to_owned()),
        ("common.toml", "[target]\ncookies = true\n".to_owned()),
        ("token.key", pem("PRIVATE KEY", key.to_pkcs8().unwrap().as_ref())),
        ("client.key", pem("PRIVATE KEY", b"x")),
        ("client.pem", pem("CERTIFICATE", b"x")),
        ("ca.pem", pem("CERTIFICATE", b"x")),
    ] {
        fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

/// The pages, and how many examples each has at least.
const PAGES: [(&str, usize); 3] = [("LANGUAGE.md", 3), ("LOAD-MODELS.md", 3), ("EVENT-STREAMS.md", 1)];

#[test]
fn every_example_is_read() {
    let folder = folder();
    for (page, least) in PAGES {
        let all = examples(page);
        assert!(all.len() >= least, "{page} has {} examples", all.len());
        for (line, example) in all {
            let text = whole(&example);
            crate::schema::check(&text).unwrap_or_else(|e| panic!("{page}:{line}\n{e}"));
            let origin = Origin { name: "page".into(), file: Some(folder.path().join("page.toml")) };
            let mut overrides = Overrides::default();
            if text.contains("\"API_KEY\"") {
                overrides.vars.insert("API_KEY".into(), "hush".into());
            }
            parse(&text, &origin, &overrides).unwrap_or_else(|e| panic!("{page}:{line}\n{text}\n{e}"));
        }
    }
}

#[test]
fn every_key_has_an_example() {
    let mut shown = BTreeSet::new();
    for (page, _) in PAGES {
        for (_, example) in examples(page) {
            let text = whole(&example);
            let table: toml::Table = toml::from_str(&text).unwrap();
            keys(&toml::Value::Table(table), &mut shown);
        }
    }
    let schema: serde_json::Value = serde_json::from_str(SCHEMA).unwrap();
    let tables = schema["$defs"].as_object().unwrap().values().chain([&schema]);
    let known = tables.filter_map(|t| t["properties"].as_object()).flat_map(|p| p.keys());
    let missing: Vec<_> = known.filter(|key| !shown.contains(*key)).collect();
    assert!(missing.is_empty(), "no example of {missing:?}");
}

fn keys(value: &toml::Value, into: &mut BTreeSet<String>) {
    match value {
        toml::Value::Table(table) => {
            for (key, value) in table {
                into.insert(key.clone());
                keys(value, into);
            }
        }
        toml::Value::Array(all) => all.iter().for_each(|v| keys(v, into)),
        _ => {}
    }
}

#[test]
fn a_mistake_in_an_example_would_be_seen() {
    let folder = folder();
    let text = whole("{ name = \"x\", gte = \"/\" },");
    assert!(read_at(&text, folder.path().join("page.toml")).is_err());
}
