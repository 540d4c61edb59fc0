//! Texts with holes: `/rooms/${room}?page=${int(1, 20)}`.
//!
//! Owns the grammar of `${...}` and which names may stand in it; `functions` has what stands before brackets. `$${` is a plain
//! `${`. Who fills the holes is `loadgen`.

use super::functions::{FUNCTIONS, function};
use crate::mistake::{Wrong, listed, quoted};
use crate::plan::{Part, Secret, Slot, Template};

/// Names that mean something without being a variable; a function is known by its brackets, so a variable may be called like one.
pub(crate) const RESERVED: &[&str] = &["vars", "session", "now", "sent"];

/// What the holes of a text may refer to.
pub(crate) struct Scope<'a> {
    /// Saved variables of the session kind; the index is the slot.
    pub(crate) slots: &'a [String],
    /// Feeders by name; the index is theirs in the plan.
    pub(crate) feeders: &'a [Known],
    /// Variables of the environment.
    pub(crate) secrets: &'a [Secret],
    /// Fields of the message that the step sends; none where nothing was sent.
    pub(crate) sent: Option<&'a [String]>,
}

/// A feeder as templates see it.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    pub(crate) name: String,
    /// None when the feeder could not be read: any column is taken, its mistake is reported already.
    pub(crate) columns: Option<Vec<String>>,
}

/// Reads a text; every wrong hole is reported with its place in the text.
pub(crate) fn parse(text: &str, scope: &Scope<'_>) -> Result<Template, Vec<Wrong>> {
    let mut parts = Vec::new();
    let mut wrong = Vec::new();
    let mut plain = String::new();
    let mut at = 0;
    while let Some(found) = text[at..].find("${").map(|i| at + i) {
        if text[at..found].ends_with('$') {
            plain += &text[at..found];
            plain.push('{');
            at = found + 2;
            continue;
        }
        plain += &text[at..found];
        let Some(end) = end_of_hole(&text[found..]).map(|i| found + i) else {
            wrong.push(
                Wrong::new("a `${` without its `}`")
                    .expected("${...}")
                    .help("a plain `${` is written `$${`")
                    .within(found..text.len()),
            );
            at = text.len();
            break;
        };
        if !plain.is_empty() {
            parts.push(Part::Text(std::mem::take(&mut plain)));
        }
        match hole(&text[found + 2..end], scope) {
            Ok(part) => parts.push(part),
            Err(w) => wrong.push(w.within(found..end + 1)),
        }
        at = end + 1;
    }
    plain += &text[at..];
    if !plain.is_empty() {
        parts.push(Part::Text(plain));
    }
    if wrong.is_empty() { Ok(Template(parts)) } else { Err(wrong) }
}

/// Refuses a hole in a text that takes no templates: nothing would fill it in.
pub(crate) fn without_holes(text: &str) -> Result<(), Wrong> {
    let Some(start) = text.find("${") else { return Ok(()) };
    let end = text[start..].find('}').map_or(text.len(), |i| start + i + 1);
    let wrong = Wrong::new("templates are not filled in here").expected("a fixed value");
    Err(wrong.within(start..end))
}

/// Where the `}` of the hole at the start of `text` stands: a value in quotes may hold others.
fn end_of_hole(text: &str) -> Option<usize> {
    let mut quote = None;
    for (i, c) in text.char_indices() {
        match (quote, c) {
            (None, '}') => return Some(i),
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), c) if c == open => quote = None,
            _ => {}
        }
    }
    // A quotation mark that stands alone opens nothing.
    text.find('}')
}

fn hole(inner: &str, scope: &Scope<'_>) -> Result<Part, Wrong> {
    let inner = inner.trim();
    if let Some((name, rest)) = inner.split_once('(') {
        let args =
            rest.strip_suffix(')').ok_or_else(|| Wrong::new(format!("{} lacks its `)`", quoted(inner))))?;
        return function(name.trim(), args, scope);
    }
    named(inner, scope)
}

/// What a name without brackets refers to.
pub(crate) fn named(inner: &str, scope: &Scope<'_>) -> Result<Part, Wrong> {
    if let Some((feeder, column)) = inner.split_once('.') {
        return if feeder == "sent" { sent(column, scope) } else { cell(feeder, column, scope) };
    }
    match inner {
        "session" => return Ok(Part::Session),
        "now" => return Ok(Part::Now),
        _ => {}
    }
    if let Some(slot) = scope.slots.iter().position(|s| s == inner) {
        return Ok(Part::Var(Slot(slot as u16)));
    }
    if let Some(secret) = scope.secrets.iter().find(|s| s.name == inner) {
        return Ok(Part::Secret(secret.clone()));
    }
    Err(unknown_variable(inner, scope))
}

fn unknown_variable(name: &str, scope: &Scope<'_>) -> Wrong {
    let function = FUNCTIONS.iter().find(|f| f.split('(').next() == Some(name));
    let columns = scope.feeders.iter().filter_map(|f| f.columns.as_ref().map(|c| (f, c)));
    let columns = columns.flat_map(|(f, c)| c.iter().map(move |c| format!("{}.{c}", f.name)));
    let names: Vec<String> = scope
        .slots
        .iter()
        .cloned()
        .chain(scope.secrets.iter().map(|s| s.name.clone()))
        .chain(columns)
        .chain(["session".to_owned(), "now".to_owned()])
        .collect();
    let all = names.iter().map(String::as_str);
    let wrong = Wrong::new(format!("unknown variable {}", quoted(name))).expected(format!(
        "one of {}, {}",
        listed(all.clone()),
        FUNCTIONS.join(", ")
    ));
    match function {
        Some(f) => wrong.help(format!("did you mean `${{{f}}}`?")),
        None => wrong.did_you_mean(name, all),
    }
}

fn sent(field: &str, scope: &Scope<'_>) -> Result<Part, Wrong> {
    let Some(fields) = scope.sent else {
        return Err(Wrong::new(
            "`sent` is known only in `equals` and `contains` of the `await` beside a `send`",
        ));
    };
    if fields.iter().any(|f| f == field) {
        return Ok(Part::Sent(field.to_owned()));
    }
    Err(Wrong::new(format!("the message sent has no top-level field {}", quoted(field)))
        .expected(if fields.is_empty() {
            "a JSON object in `send`".to_owned()
        } else {
            format!("one of {}", listed(fields.iter().map(String::as_str)))
        })
        .did_you_mean(field, fields.iter().map(String::as_str)))
}

fn cell(feeder: &str, column: &str, scope: &Scope<'_>) -> Result<Part, Wrong> {
    let Some(index) = scope.feeders.iter().position(|f| f.name == feeder) else {
        let names = scope.feeders.iter().map(|f| f.name.as_str());
        return Err(Wrong::new(format!("there is no [data.{}]", timeline::text::clean(feeder, 60)))
            .expected(format!("one of {}", listed(names.clone())))
            .did_you_mean(feeder, names));
    };
    let Some(columns) = &scope.feeders[index].columns else {
        return Ok(Part::Text(String::new()));
    };
    let Some(number) = columns.iter().position(|c| c == column) else {
        let names = columns.iter().map(String::as_str);
        return Err(Wrong::new(format!("[data.{feeder}] has no column {}", quoted(column)))
            .expected(format!("one of {}", listed(names.clone())))
            .did_you_mean(column, names));
    };
    Ok(Part::Column { feeder: index as u16, column: number as u16 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> Result<Vec<Part>, String> {
        let slots = ["token".to_owned(), "room".to_owned()];
        let feeders = [Known { name: "users".into(), columns: Some(vec!["name".into(), "pass".into()]) }];
        let secrets = [Secret { name: "KEY".into(), value: "hush".into() }];
        let scope = Scope { slots: &slots, feeders: &feeders, secrets: &secrets, sent: None };
        parse(text, &scope)
            .map(|t| t.0)
            .map_err(|wrong| wrong.iter().map(|w| w.sentence()).collect::<Vec<_>>().join("; "))
    }

    #[test]
    fn holes_become_parts() {
        let text = |t: &str| Part::Text(t.to_owned());
        assert_eq!(read("/a").unwrap(), [text("/a")]);
        assert_eq!(read("").unwrap(), []);
        assert_eq!(read("${token}x${ room }").unwrap(), [Part::Var(Slot(0)), text("x"), Part::Var(Slot(1))]);
        assert_eq!(read("${users.pass}").unwrap(), [Part::Column { feeder: 0, column: 1 }]);
        assert_eq!(
            read("${int(-1, 20)}${zipf(500, 1.1)}").unwrap(),
            [Part::Int(-1, 20), Part::Zipf(500, 1.1)]
        );
        assert_eq!(read("${uuid()}${session}${now}").unwrap(), [Part::Uuid, Part::Session, Part::Now]);
        assert_eq!(
            read("${pick('}', \"a,b\", 7)}${text(8)}${float(-1, 2.5)}").unwrap(),
            [
                Part::Pick(vec!["}".into(), "a,b".into(), "7".into()]),
                Part::Letters(8),
                Part::Float { low: -1.0, high: 2.5, digits: 3 }
            ]
        );
        assert_eq!(read("${base64(KEY)}").unwrap().len(), 1);
        assert_eq!(read("a$${b}$c").unwrap(), [text("a${b}$c")]);
        assert_eq!(format!("{:?}", read("${KEY}").unwrap()), "[Secret(${KEY})]");
    }

    #[test]
    fn brackets_tell_a_function_from_a_variable_of_its_name() {
        let slots = ["int".to_owned()];
        let scope = Scope { slots: &slots, feeders: &[], secrets: &[], sent: None };
        let parts = parse("${int}${int(1, 2)}", &scope).map(|t| t.0);
        assert_eq!(parts, Ok(vec![Part::Var(Slot(0)), Part::Int(1, 2)]));
    }

    #[test]
    fn what_was_sent_may_stand_in_base64() {
        let fields = ["id".to_owned()];
        let scope = Scope { slots: &[], feeders: &[], secrets: &[], sent: Some(&fields) };
        let parts = parse("${base64(sent.id)}", &scope).map(|t| t.0);
        assert_eq!(parts, Ok(vec![Part::Base64(Template(vec![Part::Sent("id".into())]))]));
    }

    #[test]
    fn wrong_holes_say_what_is_known() {
        for (text, part) in [
            (
                "${tokn}",
                "unknown variable `tokn`, expected one of token, room, KEY, users.name, users.pass, session",
            ),
            ("${int(1)}", "two whole numbers"),
            ("${int(5, 1)}", "the lower one first"),
            ("${zipf(0, 1)}", "N from 1"),
            ("${float(1, 2, 16)}", "0 to 15 digits"),
            ("${text(0)}", "from 1 to 65536"),
            ("${pick()}", "texts in quotes"),
            ("${pick(a)}", "texts in quotes"),
            ("${pick('a' 'b')}", "a comma is missing"),
            ("${pick('a',)}", "nothing stands behind"),
            ("${date('%q')}", "a date has no `%q`"),
            ("${date('%Y', '7d')}", "date(\"%Y-%m-%d\", \"+7d\")"),
            ("${base64()}", "base64(NAME)"),
            ("${base64(tokn)}", "unknown variable `tokn`"),
            ("${rand()}", "unknown function `rand`"),
            ("${users.mail}", "no column `mail`"),
            ("${user.name}", "there is no [data.user]"),
            ("${sent.id}", "known only in"),
            ("${token", "without its `}`"),
            ("${}", "unknown variable ``"),
            ("${a} ${b}", "`a`"),
        ] {
            let e = read(text).unwrap_err();
            assert!(e.contains(part), "{text}: {e}");
        }
    }

    proptest! {
        #[test]
        fn a_text_without_holes_stays_as_it_is(text in "[^$]{0,40}") {
            let expected = if text.is_empty() { vec![] } else { vec![Part::Text(text.clone())] };
            prop_assert_eq!(read(&text).unwrap(), expected);
        }

        #[test]
        fn no_text_panics(text in "[${}().,a-z0-9 ä]{0,40}") {
            let _ = read(&text);
        }
    }
}
