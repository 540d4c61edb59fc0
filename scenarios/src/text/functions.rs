//! What a hole may compute: `${int(1, 20)}`, `${date("%Y-%m-%d")}`.
//!
//! Owns the functions' names, their values and how those are written. What a name without brackets means is `template`'s business.

use super::date;
use super::template::{Scope, named};
use crate::mistake::{Wrong, listed, quoted};
use crate::plan::{Part, Template};

/// Ranks of `zipf(n, s)`: beyond them nobody tells the tail from nothing.
const MAX_ZIPF_RANKS: f64 = 10_000_000.0;
/// Exponents beyond this give rank 1 alone.
pub(crate) const MAX_ZIPF_EXPONENT: f64 = 10.0;
/// Longest `text(N)`; larger bodies are `generated`.
const MAX_LETTERS: u32 = 65_536;
/// Most digits behind the point: an `f64` has no more.
const MAX_DIGITS: u8 = 15;
/// Digits behind the point where `float` does not say.
const USUAL_DIGITS: u8 = 3;
/// Largest value of `float`: beyond it a digit behind the point is lost.
const MAX_FLOAT: f64 = 1e12;

/// Every function as it is written.
pub(crate) const FUNCTIONS: &[&str] = &[
    "uuid()",
    "int(LOW, HIGH)",
    "float(LOW, HIGH)",
    "zipf(N, EXPONENT)",
    "text(N)",
    "pick(\"a\", \"b\")",
    "date(\"%Y-%m-%d\")",
    "base64(NAME)",
];

/// A value between the brackets.
#[derive(Clone, Copy)]
enum Arg<'t> {
    Bare(&'t str),
    Quoted(&'t str),
}

/// Reads `name(args)`.
pub(crate) fn function(name: &str, args: &str, scope: &Scope<'_>) -> Result<Part, Wrong> {
    let args = arguments(args)?;
    let look = |look: &'static str| {
        move || {
            Wrong::new(format!("`{}` does not take these values", look.split('(').next().unwrap_or_default()))
                .expected(look)
        }
    };
    match name {
        "uuid" if args.is_empty() => Ok(Part::Uuid),
        "uuid" => Err(look("uuid(), without values")()),
        "int" => int(&args).ok_or_else(look("int(LOW, HIGH), two whole numbers, the lower one first")),
        "float" => float(&args).ok_or_else(look(
            "float(LOW, HIGH) or float(LOW, HIGH, DIGITS), numbers, the lower one first, and 0 to 15 digits behind the point",
        )),
        "zipf" => zipf(&args).ok_or_else(look("zipf(N, EXPONENT), N from 1 to 10000000 and an exponent from 0 to 10")),
        "text" => text(&args).ok_or_else(look("text(N), a number of letters from 1 to 65536")),
        "pick" => pick(&args).ok_or_else(look("pick(\"a\", \"b\"), texts in quotes")),
        "date" => date(&args),
        "base64" => base64(&args, scope),
        _ => {
            let known = || FUNCTIONS.iter().filter_map(|f| f.split('(').next());
            Err(Wrong::new(format!("unknown function {}", quoted(name)))
                .expected(format!("one of {}", listed(FUNCTIONS.iter().copied())))
                .did_you_mean(name, known()))
        }
    }
}

/// The values between the brackets; commas inside of quotes part nothing.
fn arguments(text: &str) -> Result<Vec<Arg<'_>>, Wrong> {
    let mut all = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let (arg, behind) = match rest.chars().next() {
            Some(quote @ ('"' | '\'')) => {
                let end = rest[1..].find(quote).ok_or_else(|| {
                    Wrong::new("a text without its end").expected(format!("another {quote} behind it"))
                })?;
                (Arg::Quoted(&rest[1..=end]), rest[end + 2..].trim_start())
            }
            _ => {
                let end = rest.find(',').unwrap_or(rest.len());
                (Arg::Bare(rest[..end].trim()), &rest[end..])
            }
        };
        all.push(arg);
        rest = match behind.strip_prefix(',') {
            Some(more) if more.trim().is_empty() => {
                return Err(Wrong::new("nothing stands behind the last comma"));
            }
            Some(more) => more.trim(),
            None if behind.is_empty() => behind,
            None => return Err(Wrong::new("a comma is missing between two values")),
        };
    }
    Ok(all)
}

fn int(args: &[Arg<'_>]) -> Option<Part> {
    let [Arg::Bare(low), Arg::Bare(high)] = args else { return None };
    let (low, high) = (low.parse().ok()?, high.parse().ok()?);
    (low <= high).then_some(Part::Int(low, high))
}

fn float(args: &[Arg<'_>]) -> Option<Part> {
    let (low, high, digits) = match args {
        [Arg::Bare(low), Arg::Bare(high)] => (low, high, USUAL_DIGITS),
        [Arg::Bare(low), Arg::Bare(high), Arg::Bare(digits)] => (low, high, digits.parse().ok()?),
        _ => return None,
    };
    let number = |text: &str| text.parse::<f64>().ok().filter(|n| n.abs() <= MAX_FLOAT);
    let (low, high) = (number(low)?, number(high)?);
    (low <= high && digits <= MAX_DIGITS).then_some(Part::Float { low, high, digits })
}

fn zipf(args: &[Arg<'_>]) -> Option<Part> {
    let [Arg::Bare(n), Arg::Bare(s)] = args else { return None };
    let (n, s) = (n.parse::<f64>().ok()?, s.parse::<f64>().ok()?);
    let good =
        (1.0..=MAX_ZIPF_RANKS).contains(&n) && n.fract() == 0.0 && (0.0..=MAX_ZIPF_EXPONENT).contains(&s);
    good.then_some(Part::Zipf(n as u32, s))
}

fn text(args: &[Arg<'_>]) -> Option<Part> {
    let [Arg::Bare(n)] = args else { return None };
    n.parse().ok().filter(|n| (1..=MAX_LETTERS).contains(n)).map(Part::Letters)
}

fn pick(args: &[Arg<'_>]) -> Option<Part> {
    let texts: Option<Vec<String>> = args
        .iter()
        .map(|a| match a {
            Arg::Quoted(text) => Some((*text).to_owned()),
            // A number needs no quotes.
            Arg::Bare(text) => text.parse::<f64>().is_ok().then(|| (*text).to_owned()),
        })
        .collect();
    texts.filter(|t| !t.is_empty()).map(Part::Pick)
}

fn date(args: &[Arg<'_>]) -> Result<Part, Wrong> {
    let look = "date(), date(\"%Y-%m-%d\") or date(\"%Y-%m-%d\", \"+7d\")";
    let bad = || Wrong::new("`date` does not take these values").expected(look);
    match args {
        [] => Ok(Part::Date { parts: date::parse(date::RFC3339)?, shift_ms: 0 }),
        [Arg::Quoted(format)] => Ok(Part::Date { parts: date::parse(format)?, shift_ms: 0 }),
        [Arg::Quoted(format), Arg::Quoted(shift)] => {
            Ok(Part::Date { parts: date::parse(format)?, shift_ms: date::shift(shift).ok_or_else(bad)? })
        }
        _ => Err(bad()),
    }
}

fn base64(args: &[Arg<'_>], scope: &Scope<'_>) -> Result<Part, Wrong> {
    match args {
        [Arg::Quoted(text)] => Ok(Part::Base64(Template(vec![Part::Text((*text).to_owned())]))),
        [Arg::Bare(name)] => Ok(Part::Base64(Template(vec![named(name, scope)?]))),
        _ => Err(Wrong::new("`base64` does not take these values")
            .expected("base64(NAME), a variable or a column, or base64(\"TEXT\")")),
    }
}
