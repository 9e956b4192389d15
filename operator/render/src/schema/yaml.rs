//! YAML and JSON, document by document.

use serde_json::Value;

/// The documents of a text with the lines that they begin at, split as kubectl does: at lines that begin with
/// `---`. Each is parsed by itself, so that one that is half written spoils no other.
pub(super) fn documents(text: &str) -> Vec<(usize, &str)> {
    let mut documents = Vec::new();
    let (mut start, mut start_line, mut at) = (0, 1, 0);
    for (i, line) in text.split_inclusive('\n').enumerate() {
        let marks = line
            .strip_prefix("---")
            .is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n']));
        if marks {
            documents.push((start_line, text.get(start..at).unwrap_or_default()));
            // What follows the mark on its line belongs to the new document.
            start = at + 3;
            start_line = i + 1;
        }
        at += line.len();
    }
    documents.push((start_line, text.get(start..).unwrap_or_default()));
    documents
}

/// A document's value, `None` for an empty one; else line, column and what is wrong. `line` is that of the
/// document's beginning.
pub(super) fn parse(text: &str, line: usize) -> Result<Option<Value>, (usize, usize, String)> {
    let empty = text.lines().all(|line| {
        let line = line.trim();
        line.is_empty() || line.starts_with('#') || line == "..."
    });
    if empty {
        return Ok(None);
    }
    let options = serde_saphyr::options! {
        // A snippet would show what stands around, which may be a key.
        with_snippet: false,
        // kubectl reads YAML 1.1, where 010 is 8.
        legacy_octal_numbers: true,
    };
    serde_saphyr::from_str_with_options::<Value>(text, options)
        .map(Some)
        .map_err(|error| {
            let error = error.without_snippet();
            let (at, column) = error
                .location()
                .map_or((1, 1), |location| (location.line(), location.column()));
            let at = usize::try_from(at).unwrap_or(1).max(1);
            let column = usize::try_from(column).unwrap_or(1).max(1);
            (line + at - 1, column, without_place(&error.to_string()))
        })
}

/// The parser's words without its own line and column, which count from the document's beginning.
fn without_place(message: &str) -> String {
    let first = message.lines().next().unwrap_or_default();
    let end = first.rfind(" at line ").unwrap_or(first.len());
    let text = first.get(..end).unwrap_or(first);
    let text = match text.split_once(": ") {
        Some((place, rest)) if place.starts_with("error: line ") || place.starts_with("line ") => rest,
        _ => text,
    };
    // What follows is advice to the parser's caller.
    let (text, _) = text.split_once(", set DuplicateKeyPolicy").unwrap_or((text, ""));
    text.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_split_with_their_lines_and_one_that_is_broken_tells_its_place() {
        let text = "# first\na: 1\n---\n\nb: [\n---\nc: 3\n--- # four\nd: 4";
        let documents = documents(text);
        let lines: Vec<usize> = documents.iter().map(|(line, _)| *line).collect();
        assert_eq!(lines, [1, 3, 6, 8]);
        let parsed: Vec<_> = documents.iter().map(|(line, text)| parse(text, *line)).collect();
        assert_eq!(parsed[0], Ok(Some(serde_json::json!({"a": 1}))));
        let (line, _, problem) = parsed[1].clone().unwrap_err();
        assert!((5..=6).contains(&line), "{line} {problem}");
        assert_eq!(parsed[2], Ok(Some(serde_json::json!({"c": 3}))));
        assert_eq!(parsed[3], Ok(Some(serde_json::json!({"d": 4}))));
    }

    #[test]
    fn scalars_are_what_kubectl_takes_them_for() {
        let value = |text: &str| parse(text, 1).unwrap().unwrap();
        for (text, expected) in [
            ("a: true", serde_json::json!(true)),
            ("a: 'true'", serde_json::json!("true")),
            ("a: 1", serde_json::json!(1)),
            ("a: 1.5", serde_json::json!(1.5)),
            ("a: \"1\"", serde_json::json!("1")),
            ("a: 30s", serde_json::json!("30s")),
            ("a: null", Value::Null),
            ("a: ~", Value::Null),
            ("a:", Value::Null),
            ("a: |\n  x\n  y\n", serde_json::json!("x\ny\n")),
            ("a: 10.0.0.1", serde_json::json!("10.0.0.1")),
            ("a: yes", serde_json::json!(true)),
            ("a: off", serde_json::json!(false)),
            ("a: 0o17", serde_json::json!(15)),
            ("a: 010", serde_json::json!(8)),
            ("a: 0x10", serde_json::json!(16)),
            ("{\"a\": [1, {\"b\": null}]}", serde_json::json!([1, {"b": null}])),
        ] {
            assert_eq!(value(text)["a"], expected, "{text}");
        }
    }

    #[test]
    fn a_key_that_stands_twice_is_refused() {
        assert!(parse("a: 1\na: 2\n", 1).is_err());
    }
}
