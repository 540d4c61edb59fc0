//! A description of an interface (OpenAPI 3.0, 3.1) becomes one session that does each operation once.
//!
//! Owns which operations become steps and what their requests hold. `document` finds what references mean, `sample`
//! makes values of schemas.

mod document;
mod sample;

use serde_json::Value;

use self::document::Document;
use super::draft::{
    Body, Does, Draft, DraftRequest, DraftStep, STEPS_MAX, is_header_text, json_body, literal, path_text,
};
use super::url::Url;
use super::{NO_SERVER, Options};
use crate::mistake::{Wrong, quoted};
use crate::text::field;

/// Operations as steps have them; those before `READING` change nothing.
const METHODS: &[&str] = &["get", "head", "post", "put", "patch", "delete"];
const READING: &[&str] = &["get"];
/// Operations that no step does.
const UNSPOKEN: &[&str] = &["options", "trace"];
/// Content type of forms.
const FORM_TYPE: &str = "application/x-www-form-urlencoded";
/// Most parameters of one operation; looking for those that stand twice would take for ever.
const PARAMETERS_MAX: usize = 500;
/// Most references of one operation that are told to lead nowhere.
const LOST_TOLD: usize = 5;
/// The header field of most security schemes.
const AUTHORIZATION: &str = "Authorization";

/// Makes a draft of a description.
///
/// # Errors
/// When the text is no description, or nothing of it can be made a step.
pub(super) fn draft(bytes: &[u8], options: &Options) -> Result<Draft, Wrong> {
    if let Some(target) = &options.target {
        crate::text::address::target(target).map_err(|wrong| wrong.in_front("--target"))?;
    }
    let document = Document::read(bytes)?;
    let mut draft = Draft { session: "client".to_owned(), ..Draft::default() };
    let title = document.root["info"]["title"].as_str().unwrap_or("an interface");
    draft.about = timeline::text::clean(&format!("Each operation of {title} once"), 200);
    draft.url = server(&document, options, &mut draft.notes);
    let mut count = Left::default();
    for (path, item) in document.object("paths")? {
        let item = document.resolve(item, &format!("paths.{path}"))?;
        count.unspoken += UNSPOKEN.iter().filter(|method| item.get(**method).is_some()).count();
        for method in METHODS {
            let Some(operation) = item.get(*method) else { continue };
            if !options.all && !READING.contains(method) {
                count.writing += 1;
            } else if !options.all && operation["deprecated"].as_bool() == Some(true) {
                count.deprecated += 1;
            } else if draft.steps.len() == STEPS_MAX {
                count.beyond += 1;
            } else {
                step(&document, &mut draft, (path, method), item, operation)?;
            }
        }
    }
    count.tell(&mut draft.notes);
    if draft.steps.is_empty() {
        let wrong = Wrong::new("no operation could be made a step");
        return Err(wrong
            .expected("at least one GET below `paths`")
            .help("--all takes operations that write too"));
    }
    Ok(draft)
}

#[derive(Default)]
struct Left {
    unspoken: usize,
    writing: usize,
    deprecated: usize,
    beyond: usize,
}

impl Left {
    fn tell(&self, notes: &mut Vec<String>) {
        let beyond = format!("operations beyond the first {STEPS_MAX}");
        let all = [
            (self.unspoken, "operations with a method that steps do not have (OPTIONS, TRACE)"),
            (self.writing, "operations that may write (--all keeps them)"),
            (self.deprecated, "deprecated operations (--all keeps them)"),
            (self.beyond, &*beyond),
        ];
        notes.extend(all.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("Left out: {what}: {n}.")));
    }
}

/// The first server with its variables at their defaults, or what the command line says.
fn server(document: &Document, options: &Options, notes: &mut Vec<String>) -> String {
    if let Some(target) = &options.target {
        return target.clone();
    }
    let first = &document.root["servers"][0];
    let mut url = first["url"].as_str().unwrap_or("/").to_owned();
    for (name, variable) in first["variables"].as_object().into_iter().flatten() {
        url = url.replace(&format!("{{{name}}}"), variable["default"].as_str().unwrap_or_default());
    }
    let url = match url.split_once(['?', '#']) {
        Some((url, _)) => url.to_owned(),
        None => url,
    };
    match Url::read(&url) {
        Some(read) => super::target(&format!("{}{}", read.origin, read.path.trim_end_matches('/')), notes),
        None => {
            notes.push("The description names no address: set [target] url, or say --target.".to_owned());
            let prefix = url.trim_end_matches('/');
            let prefix = if prefix.starts_with('/') && prefix.bytes().all(|b| b.is_ascii_graphic()) {
                prefix
            } else {
                ""
            };
            format!("{NO_SERVER}{prefix}")
        }
    }
}

/// One operation.
fn step(
    document: &Document,
    draft: &mut Draft,
    (path, method): (&str, &str),
    item: &Value,
    operation: &Value,
) -> Result<(), Wrong> {
    let place = format!("paths.{path}.{method}");
    let mut remarks = Vec::new();
    let title = operation["summary"].as_str().or(operation["operationId"].as_str());
    remarks.extend(title.map(|t| timeline::text::clean(t, 100)).filter(|t| !t.trim().is_empty()));
    remarks.extend(server_of_its_own(document, item, operation));
    let name = draft.step_name(&format!("{} {path}", method.to_uppercase()));
    let mut request = DraftRequest { name, method: method.to_owned(), ..DraftRequest::default() };
    let mut query = Vec::new();
    let mut filled = Vec::new();
    for parameter in parameters(document, item, operation, &place)? {
        let Some(key) = parameter["name"].as_str() else {
            let written = parameter["name"].to_string();
            remarks.push(format!("The name of a parameter is no text ({}): left out.", quoted(&written)));
            continue;
        };
        let required = parameter["required"].as_bool() == Some(true);
        match parameter["in"].as_str().unwrap_or_default() {
            "path" => filled.push((
                key.to_owned(),
                sample::parameter(document, parameter).unwrap_or_else(|| "1".to_owned()),
            )),
            "query" if required || sample::is_given(document, parameter) => {
                match sample::query(document, parameter, key) {
                    Some(fields) => query.push(fields),
                    None => remarks.push(format!("Query parameter {key} has no simple value: left out.")),
                }
            }
            "header" if required && is_free(key) => {
                let value = sample::parameter(document, parameter).unwrap_or_default();
                if is_header_text(&value) {
                    set_header(&mut request, key, value);
                }
            }
            "cookie" if required => remarks.push(format!("Needs a cookie {key}: left out.")),
            _ => {}
        }
    }
    security(document, draft, operation, &mut request, &mut query, &mut remarks);
    request.path = path_of(path, &filled);
    if !query.is_empty() {
        request.path += &format!("?{}", query.join("&"));
    }
    if !matches!(method, "get" | "head") && !operation["requestBody"].is_null() {
        body(document, &operation["requestBody"], &place, &mut request, &mut remarks)?;
    }
    let lost = document.lost().into_iter().take(LOST_TOLD);
    remarks.extend(lost.map(|link| format!("{} leads nowhere: left out.", quoted(&link))));
    let does = if method == "get" && answers_with_events(document, operation) {
        let DraftRequest { name, path, mut headers, .. } = request;
        // The step writes it by itself.
        headers.retain(|(name, _)| !name.eq_ignore_ascii_case("accept"));
        Does::Events { name, path, headers, reconnect: true }
    } else {
        request.statuses = status(operation).into_iter().collect();
        Does::Request(Box::new(request))
    };
    draft.steps.push(DraftStep { remarks, does });
    Ok(())
}

/// Is what it answers with an event stream alone? That does not end, so no request could wait for it.
fn answers_with_events(document: &Document, operation: &Value) -> bool {
    let answers = operation["responses"].as_object().into_iter().flatten();
    let good = answers.filter(|(code, _)| code.starts_with('2'));
    let mut good = good.filter_map(|(code, answer)| document.resolve(answer, code).ok());
    let found = good.any(|answer| {
        let kinds = answer["content"].as_object();
        kinds.is_some_and(|kinds| !kinds.is_empty() && kinds.keys().all(|k| plain(k) == "text/event-stream"))
    });
    // Nothing of the request is missing where an answer leads nowhere.
    document.lost();
    found
}

/// A content type without its parameters.
fn plain(kind: &str) -> String {
    kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// Says that the description asks another server here than elsewhere.
fn server_of_its_own(document: &Document, item: &Value, operation: &Value) -> Option<String> {
    let written = operation.get("servers").or_else(|| item.get("servers"))?;
    let url = written[0]["url"].as_str()?;
    let other = document.root["servers"][0]["url"].as_str() != Some(url);
    other.then(|| format!("Has a server of its own, {}; here the target is asked.", quoted(url)))
}

/// A header field; one of that name, in whatever case, is replaced.
fn set_header(request: &mut DraftRequest, name: &str, value: String) {
    request.headers.retain(|(n, _)| !n.eq_ignore_ascii_case(name));
    request.headers.push((name.to_owned(), value));
}

/// Can a step be given this header field? Not if it is written elsewhere: by the engine, by `security`, or beside the body.
fn is_free(name: &str) -> bool {
    const ELSEWHERE: &[&str] = &["content-type", "authorization", "accept-encoding"];
    field::free_name(name).is_ok() && !ELSEWHERE.iter().any(|own| own.eq_ignore_ascii_case(name))
}

/// Parameters of the path and of the operation; of two with one name and place the operation's counts.
fn parameters<'d>(
    document: &'d Document,
    item: &'d Value,
    operation: &'d Value,
    place: &str,
) -> Result<Vec<&'d Value>, Wrong> {
    let mut all: Vec<&Value> = Vec::new();
    for list in [&item["parameters"], &operation["parameters"]] {
        for (i, parameter) in list.as_array().into_iter().flatten().enumerate() {
            if i >= PARAMETERS_MAX {
                return Err(Wrong::new(format!("{place} has more than {PARAMETERS_MAX} parameters")));
            }
            let parameter = document.resolve(parameter, &format!("{place}.parameters[{i}]"))?;
            all.retain(|p| p["name"] != parameter["name"] || p["in"] != parameter["in"]);
            all.push(parameter);
        }
    }
    Ok(all)
}

/// `/pets/{id}` with values in place of what is in braces; what no parameter describes becomes `1`.
fn path_of(path: &str, values: &[(String, String)]) -> String {
    let mut out = String::new();
    let mut rest = path;
    while let Some((before, after)) = rest.split_once('{') {
        out += &path_text(before);
        let Some((name, after)) = after.split_once('}') else {
            return rooted(out + &path_text(&format!("{{{after}")));
        };
        out += values.iter().find(|(n, _)| n == name).map_or("1", |(_, v)| v);
        rest = after;
    }
    out += &path_text(rest);
    rooted(out)
}

fn rooted(path: String) -> String {
    if path.starts_with('/') { path } else { format!("/{path}") }
}

/// The lowest documented success.
fn status(operation: &Value) -> Option<u16> {
    let codes = operation["responses"].as_object()?.keys();
    let exact = codes.clone().filter_map(|c| c.parse().ok()).filter(|c| (200..300).contains(c)).min();
    exact.or_else(|| codes.clone().any(|c| c.eq_ignore_ascii_case("2XX")).then_some(200))
}

fn security(
    document: &Document,
    draft: &mut Draft,
    operation: &Value,
    request: &mut DraftRequest,
    query: &mut Vec<String>,
    remarks: &mut Vec<String>,
) {
    let wanted = operation.get("security").unwrap_or(&document.root["security"]);
    let Some(wanted) = wanted.as_array().and_then(|all| all.first()).and_then(Value::as_object) else {
        return;
    };
    for name in wanted.keys() {
        let scheme = &document.root["components"]["securitySchemes"][name.as_str()];
        let scheme = document.resolve(scheme, name).unwrap_or(scheme);
        let kind = scheme["type"].as_str().unwrap_or_default().to_ascii_lowercase();
        let http = scheme["scheme"].as_str().unwrap_or_default().to_ascii_lowercase();
        let bearer = matches!(kind.as_str(), "oauth2" | "openidconnect") || http == "bearer";
        let field = scheme["name"].as_str().unwrap_or_default();
        let authorized = request.headers.iter().any(|(n, _)| n == AUTHORIZATION);
        match (kind.as_str(), scheme["in"].as_str().unwrap_or_default()) {
            _ if authorized && (bearer || http == "basic") => {
                remarks.push(format!("Needs {name} too, and {AUTHORIZATION} stands once: left out."));
            }
            ("http", _) if http == "basic" => {
                let hole = draft.secret(name, name, "USER:PASSWORD in base64, for basic authentication");
                set_header(request, AUTHORIZATION, format!("Basic {hole}"));
            }
            ("apikey", "header") if is_free(field) => {
                let hole = draft.secret(name, name, &format!("the key for header {field}"));
                set_header(request, field, hole);
            }
            ("apikey", "query") if !field.is_empty() => {
                let hole = draft.secret(name, name, &format!("the key for query parameter {field}"));
                let start = format!("{}=", path_text(field));
                query.retain(|written| !written.starts_with(&start));
                query.push(start + &hole);
            }
            _ if bearer => {
                let hole = draft.secret(name, name, "an access token, sent as Bearer");
                set_header(request, AUTHORIZATION, format!("Bearer {hole}"));
            }
            _ => remarks.push(format!("Needs {name}, which cannot be imported ({kind}): left out.")),
        }
    }
}

fn body(
    document: &Document,
    written: &Value,
    place: &str,
    request: &mut DraftRequest,
    remarks: &mut Vec<String>,
) -> Result<(), Wrong> {
    let written = document.resolve(written, &format!("{place}.requestBody"))?;
    let Some(content) = written["content"].as_object() else { return Ok(()) };
    let pick = |good: &dyn Fn(&str) -> bool| content.iter().find(|(kind, _)| good(&plain(kind)));
    let json = |kind: &str| kind == "application/json" || kind.ends_with("+json") || kind == "*/*";
    if let Some((kind, media)) = pick(&json) {
        let value = sample::media(document, media);
        request.body = Some(json_body(sample::as_template(value)));
        request.kind = (!matches!(plain(kind).as_str(), "application/json" | "*/*")).then(|| kind.clone());
    } else if let Some((_, media)) = pick(&|kind| kind == FORM_TYPE) {
        request.body = sample::form(document, media);
        request.kind = matches!(request.body, Some(Body::Text(_))).then(|| FORM_TYPE.to_owned());
    } else if let Some((_, media)) = pick(&|kind| kind == "multipart/form-data") {
        request.body = sample::parts(document, media);
    } else if let Some((kind, media)) = pick(&|kind| kind.starts_with("text/") || kind.ends_with("xml")) {
        let text = sample::media(document, media);
        request.body = Some(Body::Text(literal(text.as_str().unwrap_or("text"))));
        request.kind = is_header_text(kind).then(|| kind.clone());
    } else if let Some(kind) = content.keys().next() {
        remarks.push(format!("Its body ({}) cannot be made up: left out.", quoted(kind)));
    }
    Ok(())
}
