//! JSON texts with holes: what is inside a string must be escaped when a value is put in.

use serde_json::Value;

use crate::plan::{Escape, Part, Template};

/// `text` as it stands inside a JSON string, without the quotes.
pub(crate) fn escape(text: &str) -> String {
    let quoted = serde_json::to_string(text).expect("a string is always valid JSON");
    quoted[1..quoted.len() - 1].to_owned()
}

/// Whether a content type is JSON: `application/json`, `application/problem+json; charset=utf-8`.
fn is_type(kind: &str) -> bool {
    kind.split(';').next().is_some_and(|kind| kind.trim().to_ascii_lowercase().ends_with("json"))
}

/// The text as a JSON value, if it is one whatever its holes are filled with.
fn sample(template: &Template) -> Option<Value> {
    // A digit is right both as a bare value and inside a string.
    let text: String =
        template.0.iter().map(|p| if let Part::Text(t) = p { t.as_str() } else { "0" }).collect();
    serde_json::from_str(&text).ok()
}

/// Names of the top-level fields, if the text is a JSON object whatever its holes are filled with.
pub(crate) fn fields(template: &Template) -> Option<Vec<String>> {
    match sample(template)? {
        Value::Object(fields) => Some(fields.into_iter().map(|(name, _)| name).collect()),
        _ => None,
    }
}

/// A text that is sent with the content type `kind`: the same as [`escape_holes`] if that is JSON.
pub(crate) fn of_type(kind: &str, template: Template) -> Template {
    if is_type(kind) { escape_holes(template) } else { template }
}

/// Marks the holes inside strings to be escaped, if the text is a JSON object or array; leaves any other text alone.
pub(crate) fn escape_holes(template: Template) -> Template {
    if !matches!(sample(&template), Some(Value::Object(_) | Value::Array(_))) {
        return template;
    }
    let mut inside = false;
    let mut after_backslash = false;
    let mut parts = Vec::with_capacity(template.0.len());
    for part in template.0 {
        match part {
            Part::Text(text) => {
                for c in text.chars() {
                    match c {
                        _ if after_backslash => after_backslash = false,
                        '\\' if inside => after_backslash = true,
                        '"' => inside = !inside,
                        _ => {}
                    }
                }
                parts.push(Part::Text(text));
            }
            hole if inside => parts.push(Part::Escaped(Escape::Json, Box::new(hole))),
            hole => parts.push(hole),
        }
    }
    Template(parts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Slot;

    fn text(t: &str) -> Part {
        Part::Text(t.to_owned())
    }

    #[test]
    fn holes_in_strings_are_escaped_and_bare_ones_are_not() {
        let hole = Part::Var(Slot(0));
        let template =
            Template(vec![text(r#"{"a\"":""#), hole.clone(), text(r#"","n":"#), hole.clone(), text("}")]);
        assert_eq!(fields(&template).unwrap(), ["a\"", "n"]);
        let escaped = escape_holes(template);
        assert_eq!(escaped.0[1], Part::Escaped(Escape::Json, Box::new(hole.clone())));
        assert_eq!(escaped.0[3], hole);
    }

    #[test]
    fn an_array_s_holes_are_escaped_and_it_has_no_fields() {
        let template = Template(vec![text(r#"["join",{"a":""#), Part::Now, text(r#""}]"#)]);
        assert_eq!(fields(&template), None);
        assert_eq!(escape_holes(template).0[1], Part::Escaped(Escape::Json, Box::new(Part::Now)));
    }

    #[test]
    fn a_type_says_whether_a_text_is_json() {
        let json = ["application/json", "application/vnd.order+JSON ; charset=utf-8"];
        assert!(json.into_iter().all(is_type));
        assert!(!["", "text/plain; x=json", "application/jsonp"].into_iter().any(is_type));
    }

    #[test]
    fn other_texts_are_left_alone() {
        let template = Template(vec![text("say \""), Part::Now, text("\"")]);
        assert_eq!(escape_holes(template.clone()), template);
        assert_eq!(escape("a\"\n"), r#"a\"\n"#);
    }
}
