//! JSON texts with holes: what is inside a string must be escaped when a value is put in.

use crate::plan::{Escape, Part, Template};

/// `text` as it stands inside a JSON string, without the quotes.
pub(crate) fn escape(text: &str) -> String {
    let quoted = serde_json::to_string(text).expect("a string is always valid JSON");
    quoted[1..quoted.len() - 1].to_owned()
}

/// Names of the top-level fields, if the text is a JSON object whatever its holes are filled with.
pub(crate) fn fields(template: &Template) -> Option<Vec<String>> {
    // A digit is right both as a bare value and inside a string.
    let sample: String =
        template.0.iter().map(|p| if let Part::Text(t) = p { t.as_str() } else { "0" }).collect();
    match serde_json::from_str(&sample).ok()? {
        serde_json::Value::Object(fields) => Some(fields.into_iter().map(|(name, _)| name).collect()),
        _ => None,
    }
}

/// Marks the holes inside strings to be escaped, if the text is a JSON object; leaves any other text alone.
pub(crate) fn escape_holes(template: Template) -> Template {
    if fields(&template).is_none() {
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
    fn other_texts_are_left_alone() {
        let template = Template(vec![text("say \""), Part::Now, text("\"")]);
        assert_eq!(escape_holes(template.clone()), template);
        assert_eq!(escape("a\"\n"), r#"a\"\n"#);
    }
}
