//! What requests carry, and who they say they are.

use std::fs;

use crate::common::{HEAD, described, good, mistakes, read, read_at, scenario, steps};
use aws_lc_rs::signature::{EcdsaKeyPair, Ed25519KeyPair, KeyPair as _};
use dynamometer_scenarios::plan::{
    Algorithm, Body, Content, Escape, Field, Filler, Generated, Known, Part, Payload, Step, Template,
};

const LOGIN: &str = r#"{ name = "log in", post = "/login", save = { token = "$.token" } },"#;

const ALL: &str = r#"
  { name = "log in", post = "/login", save = { token = "$.token" }, auth = { basic = { user = "${users.name}", pass = "${KEY}" } } },
  { name = "file", put = "/f", file = "upload.csv", chunked = true, auth = { bearer = "${token}" } },
  { name = "big", post = "/b", generated = { size = "1GiB", kind = "zeros" }, expect-continue = true },
  { name = "form", post = "/m", multipart = { title = "of ${users.name}", n = 7, up = { file = "upload.csv", name = "x.csv" }, more = { generated = "2KiB", type = "image/png" }, json = { text = '{"a":1}', type = "application/json" } } },
  { name = "order", post = "/o", template-file = "order.j2", type = "application/vnd.order+json" },
  { name = "inline", post = "/i", template = '{{ uuid() }} of {{ session }} {{ users["name"] }} {{ KEY }}' },
  { name = "signed", get = "/s", auth = { jwt = { secret = "${KEY}", algorithm = "HS512", claims = { sub = "${users.name}" }, expires = "1m", header = { kid = "k" } } } },
  { name = "ws", connect = "/ws", auth = { jwt = { secret = "${KEY}", algorithm = "HS512", claims = { sub = "${users.name}" }, expires = "1m", header = { kid = "k" } } } },
  { name = "holes", get = "/${float(1, 2, 1)}/${text(4)}/${pick('a', 'b')}/${date('%F', '-1d')}/${base64(token)}" },
"#;

fn head() -> String {
    format!("[vars]\nhome = \"x\"\n{HEAD}")
}

#[test]
fn bodies_and_authentication_are_described() {
    let plan = read(&scenario(&head(), ALL)).unwrap_or_else(|e| panic!("{e}"));
    let all = dynamometer_scenarios::describe(&plan);
    insta::assert_snapshot!(&all[all.find("session kinds").unwrap()..]);
    // One signer for both steps; files are sent once.
    assert_eq!((plan.assets.signers.len(), plan.assets.files.len()), (1, 1));
    let shown = serde_json::to_string(&plan.without_secrets()).unwrap();
    let sent = serde_json::to_string(&plan).unwrap();
    assert!(sent.contains("hush") && !shown.contains("hush"));
    assert_eq!(serde_json::from_str::<dynamometer_scenarios::plan::RunPlan>(&sent).unwrap(), plan);
}

#[test]
fn forms_and_templates_become_what_is_sent() {
    let plan = read(&scenario(&head(), ALL)).unwrap();
    let body = |i: usize| match &plan.sessions[0].steps[i] {
        Step::Request(r) => r.body.clone().unwrap(),
        other => panic!("{other:?}"),
    };
    assert_eq!(body(1), ("text/csv".to_owned(), Body::Whole(Content::File(0))));
    let zeros = Generated { bytes: 1 << 30, filler: Filler::Zeros };
    assert_eq!(body(2).1, Body::Whole(Content::Generated(zeros)));
    let Body::Multipart(fields) = body(3).1 else { panic!() };
    let names: Vec<_> =
        fields.iter().map(|f| (f.name.as_str(), f.file_name.as_deref(), f.kind.as_deref())).collect();
    assert_eq!(
        names,
        [
            ("title", None, None),
            ("n", None, None),
            ("up", Some("x.csv"), Some("text/csv")),
            ("more", Some("generated"), Some("image/png")),
            ("json", None, Some("application/json")),
        ]
    );
    assert!(matches!(&fields[2], Field { content: Content::File(0), .. }));
    let Body::Rendered(order) = body(4).1 else { panic!() };
    let known: Vec<_> = order.values.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(known, ["token", "users", "vars"]);
    assert!(matches!(&order.values[2].1, Known::Fixed(vars) if vars["home"] == "x"));
    assert_eq!(body(4).0, "application/vnd.order+json");
}

#[test]
fn a_step_wins_over_its_session_and_that_over_the_target() {
    let text = scenario(
        &format!("{HEAD}\n").replace("[data", "auth = { bearer = \"t\" }\n[data"),
        r#"{ name = "a", get = "/" }, { name = "b", get = "/", auth = "none" }, { name = "c", get = "/", headers = { authorization = "own" } }, { name = "d", get = "/", auth = { bearer = "d" } }"#,
    );
    let of = |text: &str| {
        let plan = read(text).unwrap_or_else(|e| panic!("{e}"));
        let steps = &plan.sessions[0].steps;
        let said = steps.iter().map(|s| {
            let Step::Request(r) = s else { panic!() };
            let value = |t: &[Part]| {
                t.iter().map(|p| if let Part::Text(t) = p { t.as_str() } else { "?" }).collect::<String>()
            };
            r.headers.first().map_or("-".to_owned(), |(_, v)| value(&v.0))
        });
        said.collect::<Vec<_>>().join(",")
    };
    assert_eq!(of(&text), "Bearer t,-,own,Bearer d");
    assert_eq!(
        of(&text.replace("name = \"s\"", "name = \"s\"\nauth = { bearer = \"s\" }")),
        "Bearer s,-,own,Bearer d"
    );
    assert_eq!(of(&text.replace("name = \"s\"", "name = \"s\"\nauth = \"none\"")), "-,-,own,Bearer d");
}

fn pem(der: &[u8]) -> String {
    use base64::Engine;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    format!("-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----\n")
}

#[test]
fn a_private_key_tells_its_algorithm() {
    let folder = tempfile::tempdir().unwrap();
    let ed = Ed25519KeyPair::generate().unwrap();
    let ec = EcdsaKeyPair::generate(&aws_lc_rs::signature::ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    assert!(!ed.public_key().as_ref().is_empty());
    fs::write(folder.path().join("ed.pem"), pem(ed.to_pkcs8().unwrap().as_ref())).unwrap();
    fs::write(folder.path().join("ec.pem"), pem(ec.to_pkcs8v1().unwrap().as_ref())).unwrap();
    let step = |file: &str, more: &str| {
        let step =
            format!(r#"{{ name = "a", get = "/", auth = {{ jwt = {{ key-file = "{file}"{more} }} }} }}"#);
        read_at(&scenario(HEAD, &step), folder.path().join("shop.toml"))
    };
    assert_eq!(step("ed.pem", "").unwrap().assets.signers[0].algorithm, Algorithm::EdDsa);
    let plan = step("ec.pem", "").unwrap();
    assert_eq!(plan.assets.signers[0].algorithm, Algorithm::Es256);
    assert!(!serde_json::to_string(&plan.without_secrets()).unwrap().contains("BEGIN"));
    let e = step("ec.pem", ", algorithm = \"EdDSA\"").unwrap_err().to_string();
    assert!(e.contains("this is no private key for EdDSA"), "{e}");
    let e = step("ec.pem", ", algorithm = \"HS256\"").unwrap_err().to_string();
    assert!(e.contains("HS256 signs with a secret"), "{e}");
}

#[test]
fn plain_texts_stay_what_they_were() {
    let all = steps(r#"{ name = "a", post = "/", json = { a = "${session}" } }"#);
    let Step::Request(r) = &all[0] else { panic!() };
    assert!(matches!(&r.body, Some((_, Body::Whole(Content::Text(_))))));
    assert!(good(ALL.lines().nth(1).unwrap()).assets.files.is_empty());
    assert!(
        described(r#"{ name = "a", post = "/", body = "x", chunked = true }"#).contains("POST /, chunked")
    );
}

#[test]
fn holes_in_a_json_text_are_escaped_wherever_it_stands() {
    let all = steps(
        r#"
  { name = "object", post = "/", body = '{"a":"${users.name}"}', type = "application/problem+json; charset=utf-8" },
  { name = "array", post = "/", body = '["${users.name}"]', type = "application/json" },
  { name = "text", post = "/", body = '{"a":"${users.name}"}' },
  { name = "part", post = "/", multipart = { a = { text = '{"a":"${users.name}"}', type = "application/json" } } },
  { name = "open", connect = "/ws" },
  { name = "join", send = '["1","join",{"a":"${users.name}"}]' },
"#,
    );
    let escaped = |text: &Template| text.0.iter().any(|part| matches!(part, Part::Escaped(Escape::Json, _)));
    let told: Vec<_> = all
        .iter()
        .filter_map(|step| match step {
            Step::Request(r) => match &r.body.as_ref()?.1 {
                Body::Whole(Content::Text(text)) => Some(escaped(text)),
                Body::Multipart(fields) => match &fields.first()?.content {
                    Content::Text(text) => Some(escaped(text)),
                    _ => None,
                },
                _ => None,
            },
            Step::Send(send) => match &send.payload {
                Payload::Text(text) => Some(escaped(text)),
                _ => None,
            },
            _ => None,
        })
        .collect();
    assert_eq!(told, [true, true, false, true, true]);
}

#[test]
fn nothing_is_awaited_before_no_body() {
    let step = r#"{ name = "x", post = "/", expect-continue = true }"#;
    let told = read(&scenario(HEAD, step)).unwrap_err().to_string();
    assert!(told.contains("`expect-continue` without a body"), "{told}");
}

#[test]
fn a_hole_that_nothing_fills_in_is_refused() {
    let post = |what: &str| format!("{{ name = \"x\", post = \"/\", {what} }}");
    let mut cases = [
        r#"json = { "${nope}" = 1 }"#,
        r#"form = { "${nope}" = 1 }"#,
        r#"body = "x", type = "text/${nope}""#,
        r#"multipart = { "${nope}" = "x" }"#,
        r#"multipart = { f = { generated = "1KiB", name = "${nope}.png" } }"#,
        r#"multipart = { f = { generated = "1KiB", type = "image/${nope}" } }"#,
        r#"save = { room = "$.rooms[?@.name == '${nope}'].id" }"#,
        r#"check = { json = { "$['${nope}']" = 1 } }"#,
        r#"check = { json = { "$.a" = { "${nope}" = 1 } } }"#,
    ]
    .map(post)
    .to_vec();
    let events = r#"{ name = "feed", events = "/feed" }, { name = "x", await = { event = "${nope}" } }"#;
    cases.push(events.to_owned());
    for step in cases {
        let told = read(&scenario(HEAD, &step)).expect_err(&step).to_string();
        assert!(told.contains("templates are not filled in here"), "{step}: {told}");
    }
    let url = HEAD.replace(":3000", ":3000/${KEY}");
    let told = read(&scenario(&url, &post("body = \"x\""))).unwrap_err().to_string();
    assert!(told.contains("templates are not filled in here"), "{told}");
}

#[test]
fn mistakes_in_them_are_explained() {
    let post = |body: &str| format!("{LOGIN}\n{{ name = \"x\", post = \"/\", {body} }}");
    let cases = [
        ("two bodies", post(r#"file = "upload.csv", json = {}"#)),
        ("chunks of nothing", post("chunked = true")),
        ("no such file", post(r#"file = "nobody.csv""#)),
        ("a folder", post(r#"file = "shared""#)),
        ("a size without unit", post(r#"generated = "5""#)),
        ("a size beyond all measure", post(r#"generated = { size = "2000GiB" }"#)),
        ("an unknown filler", post(r#"generated = { size = "1KiB", kind = "zero" }"#)),
        ("an empty form", post("multipart = {}")),
        ("a part of two contents", post(r#"multipart = { a = { text = "x", file = "upload.csv" } }"#)),
        ("an unknown key of a part", post(r#"multipart = { a = { text = "x", typ = "y" } }"#)),
        ("a list as a part", post("multipart = { a = [1] }")),
        ("a form's own type", post(r#"multipart = { a = "x" }, type = "text/plain""#)),
        ("a wrong hole in a part", post(r#"multipart = { a = "${tokn}" }"#)),
        ("a wrong template", post(r#"template = "{% for x in y %}""#)),
        ("an unknown variable in a template", post(r#"template = "{{ token }} {{ tokn }}""#)),
        ("an unknown column in a template", post(r#"template = "{{ users.nmae }}""#)),
        ("an unknown filter in a template", post(r#"template = "{{ token | tojsn }}""#)),
        ("a mistake in a template's file", post(r#"template-file = "wrong.j2""#)),
        ("no such template", post(r#"template-file = "nobody.j2""#)),
        ("a body of a GET", format!("{LOGIN}\n{{ name = \"x\", get = \"/\", generated = \"1KiB\" }}")),
        ("no such authentication", post(r#"auth = "basic""#)),
        ("two authentications", post(r#"auth = { bearer = "x", basic = { user = "a", pass = "b" } }"#)),
        ("a misspelt authentication", post(r#"auth = { baerer = "x" }"#)),
        ("no password", post(r#"auth = { basic = { user = "ann" } }"#)),
        ("a colon in a name", post(r#"auth = { basic = { user = "a:b", pass = "" } }"#)),
        ("both a header and auth", post(r#"auth = { bearer = "x" }, headers = { Authorization = "y" }"#)),
        ("no key", post(r#"auth = { jwt = { claims = {} } }"#)),
        ("a key that differs", post(r#"auth = { jwt = { secret = "${users.name}" } }"#)),
        ("a key that is none", post(r#"auth = { jwt = { key-file = "upload.csv" } }"#)),
        ("an unknown algorithm", post(r#"auth = { jwt = { secret = "${KEY}", algorithm = "HS255" } }"#)),
        (
            "an algorithm for other keys",
            post(r#"auth = { jwt = { secret = "${KEY}", algorithm = "RS256" } }"#),
        ),
        (
            "a claim that is written anyway",
            post(r#"auth = { jwt = { secret = "${KEY}", claims = { exp = 1 } } }"#),
        ),
        (
            "a header that is written anyway",
            post(r#"auth = { jwt = { secret = "${KEY}", header = { alg = "none" } } }"#),
        ),
        ("an unknown function", post(r#"body = "${txt(3)}""#)),
        ("a wrong date", post(r#"body = "${date('%q')}""#)),
    ];
    let told = mistakes(cases.map(|(what, step)| (what, scenario(HEAD, &step))));
    insta::assert_snapshot!(told);
}
