//! `[target]`: what is loaded, what is attached, which variables come from the environment. Its `metric` is `metrics`'.

use timeline::metric::Mapping;

use super::Overrides;
use super::reader::{Fields, Reader, Value};
use super::{keys, metrics};
use crate::mistake::{Wrong, listed, quoted};
use crate::plan::{Secret, Target};
use crate::text::{address, template};

/// Most sources, and most variables of the environment.
const MAX_LIST: usize = 64;

/// What `[target]` says.
pub(super) struct Read<'d> {
    /// None if it is wrong or missing (noted).
    pub(super) target: Option<Target>,
    pub(super) attach: Vec<String>,
    pub(super) metrics: Vec<Mapping>,
    pub(super) secrets: Vec<Secret>,
    /// What it says of authentication, unread: it may name variables of session kinds.
    pub(super) auth: Option<&'d Value<'d>>,
}

/// Reads `[target]`, with `--target` in its place where given.
pub(super) fn read<'d>(reader: &'d Reader<'d>, file: &Fields<'d>, overrides: &Overrides) -> Read<'d> {
    let mut read = Read {
        target: None,
        attach: vec!["auto".to_owned()],
        metrics: Vec::new(),
        secrets: Vec::new(),
        auth: None,
    };
    let fields = file.get("target").and_then(|v| reader.fields(v, keys::TARGET));
    let look = "an address such as \"http://127.0.0.1:3000\", or \"bundled\"";
    let written = fields.and_then(|f| f.get("url")).and_then(|v| reader.read(v, look, address::target));
    match &overrides.target {
        Some(url) => match address::target(url) {
            Ok(target) => read.target = Some(target),
            Err(wrong) => reader.wrong_outside(wrong.in_front("--target")),
        },
        None => read.target = written,
    }
    match (&overrides.target, fields) {
        (None, None) if file.get("target").is_none() => {
            let wrong =
                Wrong::new("this scenario has no [target]").expected(format!("[target] with url = {look}"));
            reader.wrong(0..0, wrong.help("or say it with --target"));
        }
        (None, Some(f)) => drop(f.need("url", look)),
        _ => {}
    }
    if let Some(fields) = fields {
        if let Some(attach) =
            fields.get("attach").and_then(|v| strings(reader, v, "names of sources, such as [\"auto\"]"))
        {
            for (name, span) in &attach {
                let judged = overrides.attach.map_or(Ok(()), |judge| judge(name));
                if let Err(expected) = judged {
                    let wrong = Wrong::new(format!("{} is nothing that can be attached", quoted(name)));
                    reader.wrong(span.clone(), wrong.expected(expected));
                }
            }
            read.attach = attach.into_iter().map(|(name, _)| name).collect();
        }
        read.metrics = metrics::read(reader, &fields);
        secrets(reader, &fields, overrides, &mut read.secrets);
        read.auth = fields.get("auth");
    }
    let defaults = file.get("vars").and_then(|v| v.get_ref().as_table());
    let mut known: Vec<&str> = read.secrets.iter().map(|s| s.name.as_str()).collect();
    known.extend(defaults.into_iter().flat_map(|t| t.keys()).map(|k| &**k.get_ref()));
    for name in overrides.vars.keys().filter(|n| !known.contains(&n.as_str())) {
        let wrong =
            Wrong::new(format!("a value was given for {}, which the scenario does not take", quoted(name)))
                .expected(format!("a name of [vars] or [target] env: {}", listed(known.iter().copied())));
        reader.wrong_outside(wrong.did_you_mean(name, known.iter().copied()));
    }
    read
}

fn strings(
    reader: &Reader<'_>,
    value: &Value<'_>,
    look: &str,
) -> Option<Vec<(String, std::ops::Range<usize>)>> {
    let values = reader.array(value, look, MAX_LIST)?;
    Some(values.iter().filter_map(|v| Some((reader.text(v, look)?.to_owned(), v.span()))).collect())
}

fn secrets(reader: &Reader<'_>, fields: &Fields<'_>, overrides: &Overrides, into: &mut Vec<Secret>) {
    let look = "names of environment variables, such as [\"API_KEY\"]";
    let Some(names) = fields.get("env").and_then(|v| strings(reader, v, look)) else {
        return;
    };
    for (name, span) in names {
        if !is_variable(&name) || template::RESERVED.contains(&name.as_str()) {
            reader.wrong(span, Wrong::new(format!("{} cannot be a variable", quoted(&name))).expected(look));
            continue;
        }
        let value = overrides.vars.get(&name).cloned().or_else(|| std::env::var(&name).ok());
        if value.is_none() {
            let wrong = Wrong::new(format!("the environment variable {} is not set", quoted(&name)));
            reader.wrong(span, wrong.help(format!("set it before the run: {name}=... dyno run ...")));
        }
        // A missing one is known all the same, so that its uses are not reported as unknown too.
        into.push(Secret { name, value: value.unwrap_or_default() });
    }
}

/// Whether a text can be the name of a variable.
pub(super) fn is_variable(name: &str) -> bool {
    name.len() <= 64
        && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
}
