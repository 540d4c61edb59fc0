//! `[data.NAME]`: rows for sessions to draw from, out of a CSV file, out of JSON lines, or written in the scenario.

use toml::de::DeValue;

use super::keys;
use super::reader::{Fields, Reader, Value, check_name, digits};
use crate::mistake::{Wrong, quoted};
use crate::plan::{Feeder, Order};
use crate::text::functions::MAX_ZIPF_EXPONENT;
use crate::text::template::{Known, RESERVED};

/// Most feeders; each session draws a row of every one.
const MAX_FEEDERS: usize = 32;
/// Largest data file, bytes: the rows are sent to every worker process.
const MAX_DATA_BYTES: u64 = 16 * 1024 * 1024;
/// Most rows of a feeder.
const MAX_ROWS: usize = 1_000_000;
/// Most columns of a feeder.
const MAX_COLUMNS: usize = 64;
const FORMAT_LOOK: &str = "\"csv\" or \"jsonl\"; without it, by the file's ending";
const ORDER_LOOK: &str = "\"sequential\", \"random\", \"zipf(1.1)\" or \"unique\"";

/// Reads all feeders, and how templates may call them. A broken feeder is known but not among the first.
pub(super) fn read(reader: &Reader<'_>, file: &Fields<'_>) -> (Vec<Feeder>, Vec<Known>) {
    let mut feeders = Vec::new();
    let mut known = Vec::new();
    let Some(tables) = file.get("data").and_then(|v| reader.table(v, "tables, each headed [data.NAME]"))
    else {
        return (feeders, known);
    };
    for (i, (name, span, value)) in tables.into_iter().enumerate() {
        if i == MAX_FEEDERS {
            reader
                .wrong(span, Wrong::new("too many [data] tables").expected(format!("at most {MAX_FEEDERS}")));
            break;
        }
        if RESERVED.contains(&name) || name.contains(['.', '(', '}']) || check_name(name).is_err() {
            let wrong = Wrong::new(format!("{} cannot name a [data] table", quoted(name)));
            reader.wrong(span, wrong.expected("a word such as [data.users]"));
            continue;
        }
        let feeder = feeder(reader, name, value);
        known.push(Known { name: name.to_owned(), columns: feeder.as_ref().map(|f| f.columns.clone()) });
        feeders.extend(feeder);
    }
    (feeders, known)
}

fn feeder(reader: &Reader<'_>, name: &str, value: &Value<'_>) -> Option<Feeder> {
    let fields = reader.fields(value, keys::FEEDER)?;
    let order = fields.get("order").map_or(Some(Order::Sequential), |v| reader.read(v, ORDER_LOOK, order));
    let rows = match (fields.get("file"), fields.get("rows")) {
        (Some(v), None) => data_file(reader, &fields, v),
        (None, Some(v)) => inline(reader, v),
        (file, _) => {
            let what = if file.is_some() {
                "both `file` and `rows` are given"
            } else {
                "neither `file` nor `rows` is given"
            };
            let wrong =
                Wrong::new(what).expected("file = \"users.csv\", or rows = [{ name = \"ann\" }, ...]");
            reader.wrong(value.span(), wrong);
            None
        }
    };
    let (columns, rows) = rows?;
    Some(Feeder { name: name.to_owned(), columns, rows, order: order? })
}

fn order(text: &str) -> Result<Order, Wrong> {
    match text {
        "sequential" => Ok(Order::Sequential),
        "random" => Ok(Order::Random),
        "unique" => Ok(Order::Unique),
        _ => text
            .strip_prefix("zipf(")
            .and_then(|t| t.strip_suffix(')'))
            .and_then(|t| t.trim().parse::<f64>().ok())
            .filter(|s| (0.0..=MAX_ZIPF_EXPONENT).contains(s))
            .map(Order::Zipf)
            .ok_or_else(|| {
                Wrong::new(format!("{} is not an order", quoted(text)))
                    .expected(ORDER_LOOK)
                    .did_you_mean(text, ["sequential", "random", "zipf(1.1)", "unique"])
            }),
    }
}

/// Column names and rows.
type Table = (Vec<String>, Vec<Vec<String>>);

fn inline(reader: &Reader<'_>, value: &Value<'_>) -> Option<Table> {
    let look = "tables such as rows = [{ name = \"ann\", pass = \"x\" }]";
    let written = reader.array(value, look, MAX_ROWS)?;
    let mut columns: Vec<String> = Vec::new();
    let mut rows = Vec::with_capacity(written.len());
    for row in written {
        let cells = reader.table(row, look)?;
        if columns.is_empty() {
            columns = cells.iter().map(|(key, ..)| (*key).to_owned()).collect();
        }
        let mut out = vec![None; columns.len()];
        for (key, span, cell) in &cells {
            match columns.iter().position(|c| c == key) {
                Some(i) => out[i] = Some(plain(reader, cell)?),
                None => {
                    let wrong = Wrong::new(format!("the first row has no {}", quoted(key)));
                    reader.wrong(span.clone(), wrong.expected("the same keys in every row"));
                    return None;
                }
            }
        }
        if let Some(i) = out.iter().position(Option::is_none) {
            let wrong = Wrong::new(format!("this row has no {}", quoted(&columns[i])));
            reader.wrong(row.span(), wrong.expected("the same keys in every row"));
            return None;
        }
        rows.push(out.into_iter().flatten().collect());
    }
    check(&columns, &rows).map_err(|w| reader.wrong(value.span(), w)).ok()?;
    Some((columns, rows))
}

fn plain(reader: &Reader<'_>, cell: &Value<'_>) -> Option<String> {
    match cell.get_ref() {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Boolean(b) => Some(b.to_string()),
        DeValue::Integer(_) | DeValue::Float(_) => {
            let text = digits(cell.get_ref());
            if text.is_none() {
                let wrong = Wrong::new("this number cannot be kept as it is");
                let look = "a whole number of 64 bits, or a finite one; anything else as a string";
                reader.wrong(cell.span(), wrong.expected(look));
            }
            text
        }
        _ => {
            reader.not_a(cell, "a string, a number, true or false");
            None
        }
    }
}

fn check(columns: &[String], rows: &[Vec<String>]) -> Result<(), Wrong> {
    if rows.is_empty() || columns.is_empty() {
        return Err(Wrong::new("there are no rows").expected("at least one row with at least one column"));
    }
    if columns.len() > MAX_COLUMNS {
        return Err(Wrong::new("too many columns").expected(format!("at most {MAX_COLUMNS}")));
    }
    for (i, name) in columns.iter().enumerate() {
        if name.is_empty() || name.contains(['}', '(']) || check_name(name).is_err() {
            return Err(
                Wrong::new(format!("column {} has no usable name", i + 1)).expected("names in the first row")
            );
        }
        if columns[..i].contains(name) {
            return Err(Wrong::new(format!("two columns are called {}", quoted(name)))
                .expected("a name of its own for each"));
        }
    }
    Ok(())
}

/// The rows of a data file.
fn data_file(reader: &Reader<'_>, fields: &Fields<'_>, value: &Value<'_>) -> Option<Table> {
    let format = match fields.get("format") {
        Some(v) => Some(reader.read(v, FORMAT_LOOK, format)?),
        None => None,
    };
    reader.read(value, "the path of a CSV file or of a file of JSON lines", |name| {
        let path = reader.beside(value, name).map_err(|w| w.expected("rows = [{ ... }] in the scenario"))?;
        let text = crate::files::text(&path, MAX_DATA_BYTES)?;
        let ending = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
        let usual = if matches!(ending, "jsonl" | "ndjson") { Format::JsonLines } else { Format::Csv };
        if format.is_none() && ending == "json" {
            let wrong = Wrong::new(format!("{} holds JSON as a whole by its name", path.display()));
            return Err(wrong.expected("one object a line, with format = \"jsonl\""));
        }
        let text = text.trim_start_matches('\u{FEFF}');
        let table = match format.unwrap_or(usual) {
            Format::Csv => csv(text),
            Format::JsonLines => json_lines(text),
        };
        table.map_err(|w| w.in_front(&path.display().to_string()))
    })
}

#[derive(Clone, Copy)]
enum Format {
    Csv,
    JsonLines,
}

fn format(text: &str) -> Result<Format, Wrong> {
    match text {
        "csv" => Ok(Format::Csv),
        "jsonl" => Ok(Format::JsonLines),
        _ => Err(Wrong::new(format!("{} is not a format of data files", quoted(text)))
            .expected(FORMAT_LOOK)
            .did_you_mean(text, ["csv", "jsonl"])),
    }
}

/// One JSON object a line; the first one says which fields there are.
fn json_lines(text: &str) -> Result<Table, Wrong> {
    let mut columns: Vec<String> = Vec::new();
    let mut rows = Vec::new();
    for (i, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let at = i + 1;
        let mut record: serde_json::Map<String, serde_json::Value> =
            serde_json::from_str(line).map_err(|e| {
                Wrong::new(format!("line {at}, column {} is no JSON object", e.column()))
                    .expected("one JSON object a line, such as {\"name\": \"ann\"}")
            })?;
        if columns.is_empty() {
            columns = record.keys().cloned().collect();
        }
        if rows.len() == MAX_ROWS {
            return Err(Wrong::new("too many rows").expected(format!("at most {MAX_ROWS}")));
        }
        let cell = |name: &String| match record.remove(name) {
            Some(serde_json::Value::String(text)) => Ok(text),
            Some(serde_json::Value::Null) => Ok(String::new()),
            Some(nested) => Ok(nested.to_string()),
            None => Err(Wrong::new(format!("the record on line {at} has no {}", quoted(name)))
                .expected("the fields of the first line in every line")),
        };
        rows.push(columns.iter().map(cell).collect::<Result<Vec<_>, _>>()?);
    }
    check(&columns, &rows)?;
    Ok((columns, rows))
}

/// The records of a CSV text; the first one holds the column names.
fn csv(text: &str) -> Result<Table, Wrong> {
    let mut reader = csv_core::Reader::new();
    let mut input = text.as_bytes();
    // No record is longer than the text, so the buffers can never be too small.
    let mut cells = vec![0_u8; text.len() + 1];
    let mut ends = [0_usize; MAX_COLUMNS + 1];
    let (mut used, mut fields) = (0, 0);
    let mut columns: Option<Vec<String>> = None;
    let mut rows = Vec::new();
    loop {
        let line = reader.line();
        let (result, read, wrote, ended) = reader.read_record(input, &mut cells[used..], &mut ends[fields..]);
        input = &input[read..];
        used += wrote;
        fields += ended;
        match result {
            csv_core::ReadRecordResult::InputEmpty | csv_core::ReadRecordResult::OutputFull => {}
            csv_core::ReadRecordResult::OutputEndsFull => {
                return Err(Wrong::new(format!("line {line} has too many fields"))
                    .expected(format!("at most {MAX_COLUMNS}")));
            }
            csv_core::ReadRecordResult::End => break,
            csv_core::ReadRecordResult::Record => {
                let record = record(&cells, &ends[..fields]);
                (used, fields) = (0, 0);
                match &columns {
                    None => columns = Some(record),
                    Some(names) if names.len() != record.len() => {
                        let wrong = Wrong::new(format!(
                            "the record that ends on line {line} has {} fields",
                            record.len()
                        ));
                        return Err(
                            wrong.expected(format!("{}, as many as the first line names", names.len()))
                        );
                    }
                    Some(_) if rows.len() == MAX_ROWS => {
                        return Err(Wrong::new("too many rows").expected(format!("at most {MAX_ROWS}")));
                    }
                    Some(_) => rows.push(record),
                }
            }
        }
    }
    if let Some(line) = open_quote(text) {
        return Err(Wrong::new(format!("the quote that opens on line {line} is never closed"))
            .expected("a `\"` at its end, and `\"\"` for one within"));
    }
    let columns = columns.unwrap_or_default();
    check(&columns, &rows)?;
    Ok((columns, rows))
}

/// The line of the quote that is open at the end of a CSV text. Only one with which a field begins opens anything.
fn open_quote(text: &str) -> Option<usize> {
    enum At {
        Begin,
        Plain,
        Quoted(usize),
        /// Behind a quote within quotes: the end of the field, or half of a doubled one.
        Closed(usize),
    }
    let (mut at, mut line) = (At::Begin, 1);
    for byte in text.bytes() {
        at = match (at, byte) {
            (At::Begin, b'"') => At::Quoted(line),
            (At::Quoted(opened), b'"') => At::Closed(opened),
            (At::Closed(opened), b'"') | (At::Quoted(opened), _) => At::Quoted(opened),
            (_, b',' | b'\n' | b'\r') => At::Begin,
            _ => At::Plain,
        };
        line += usize::from(byte == b'\n');
    }
    if let At::Quoted(opened) = at { Some(opened) } else { None }
}

fn record(cells: &[u8], ends: &[usize]) -> Vec<String> {
    let mut start = 0;
    ends.iter()
        .map(|end| {
            let cell = String::from_utf8_lossy(&cells[start..*end]).into_owned();
            start = *end;
            cell
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn csv_with_quotes_and_line_ends() {
        let (columns, rows) = csv("name,pass\r\nann,\"a,\"\"b\"\"\"\n\nbob,x").unwrap();
        assert_eq!(columns, ["name", "pass"]);
        assert_eq!(rows, [["ann", "a,\"b\""], ["bob", "x"]]);
        assert_eq!(csv("a\nx\"y\n\"x\" \"y").unwrap().1, [["x\"y"], ["x \"y"]], "quotes within a field");
    }

    #[test]
    fn broken_csv_says_where() {
        for (text, part) in [
            ("", "there are no rows"),
            ("name\n", "there are no rows"),
            ("a,b\n1,2\n3\n", "line 3 has 1 fields"),
            ("a,a\n1,2\n", "two columns are called `a`"),
            ("a,\n1,2\n", "column 2 has no usable name"),
            ("a\nx\n\"y\nz\n", "the quote that opens on line 3 is never closed"),
            ("a\n\"x\"\"\n", "the quote that opens on line 2 is never closed"),
            (&format!("{}\n", "x,".repeat(200)), "too many fields"),
        ] {
            let e = csv(text).unwrap_err().sentence();
            assert!(e.contains(part), "{text:.20}: {e}");
        }
    }

    #[test]
    fn json_lines_have_the_fields_of_the_first() {
        let (columns, rows) =
            json_lines("{\"id\":7,\"tags\":[1,{\"a\":null}]}\n\n{\"tags\":\"x\",\"id\":null,\"more\":1}\r\n")
                .unwrap();
        assert_eq!(columns, ["id", "tags"]);
        assert_eq!(rows, [["7", "[1,{\"a\":null}]"], ["", "x"]]);
        for (text, part) in [
            ("", "there are no rows"),
            ("{}", "there are no rows"),
            ("{\"a\":1}\n{\"b\":1}", "the record on line 2 has no `a`"),
            ("{\"a\":1}\n[1]", "line 2, column 0 is no JSON object"),
            ("{\"a\":1}\n{\"a\":1", "line 2, column 6 is no JSON object"),
        ] {
            let e = json_lines(text).unwrap_err().sentence();
            assert!(e.contains(part), "{text}: {e}");
        }
    }

    #[test]
    fn orders() {
        assert_eq!(order("zipf(1.1)"), Ok(Order::Zipf(1.1)));
        assert_eq!(order("unique"), Ok(Order::Unique));
        assert!(order("zipf(-1)").is_err() && order("zipf(nan)").is_err() && order("shuffled").is_err());
    }
}
