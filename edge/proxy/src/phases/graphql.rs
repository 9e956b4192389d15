//! GraphQL over HTTP: whether a request asks for something, or does something. Whatever can't be read with
//! certainty isn't called a query: it passes, as every POST does where nothing is said.

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::IgnoredAny;

/// A request's parameters as JSON. Servers that fold the case of names, or take the last of two, would read
/// another request than this: other names and repeated ones are refused.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Parameters<'a> {
    #[serde(borrow, default)]
    query: Option<Cow<'a, str>>,
    #[serde(rename = "variables", default)]
    _variables: Option<IgnoredAny>,
    #[serde(rename = "operationName", default)]
    _operation_name: Option<IgnoredAny>,
    #[serde(rename = "extensions", default)]
    _extensions: Option<IgnoredAny>,
}

/// True when the body is one request, or a batch of them, and all operations of all documents are queries. A
/// persisted operation, named by its hash alone, may be a mutation.
pub(crate) fn is_query(body: &[u8]) -> bool {
    let asks = |one: &Parameters<'_>| one.query.as_deref().is_some_and(only_queries);
    if body.trim_ascii_start().first() == Some(&b'[') {
        serde_json::from_slice::<Vec<Parameters<'_>>>(body)
            .is_ok_and(|batch| !batch.is_empty() && batch.iter().all(asks))
    } else {
        serde_json::from_slice::<Parameters<'_>>(body).is_ok_and(|one| asks(&one))
    }
}

/// What a URL's query says of a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InUrl {
    /// There is none.
    Nothing,
    /// One, and all its operations are queries.
    Query,
    /// Something else, or several.
    Other,
}

/// Looks for a document in a URL's query (without its `?`).
pub(crate) fn in_url(query: &[u8]) -> InUrl {
    let mut found = InUrl::Nothing;
    for parameter in query.split(|b| *b == b'&') {
        let at = parameter
            .iter()
            .position(|b| *b == b'=')
            .unwrap_or(parameter.len());
        let (name, value) = parameter.split_at_checked(at).unwrap_or((parameter, b""));
        if !decoded(name).eq_ignore_ascii_case(b"query") {
            continue;
        }
        let document = decoded(value.get(1..).unwrap_or_default());
        let asks = std::str::from_utf8(&document).is_ok_and(only_queries);
        found = if found == InUrl::Nothing && asks {
            InUrl::Query
        } else {
            InUrl::Other
        };
    }
    found
}

/// Form encoding undone; what isn't encoded stands for itself.
fn decoded(text: &[u8]) -> Vec<u8> {
    let digit = |b: u8| {
        char::from(b)
            .to_digit(16)
            .and_then(|digit| u8::try_from(digit).ok())
    };
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, after @ ..] = rest {
        let (byte, next) = match (first, after) {
            (b'+', _) => (b' ', after),
            (b'%', [high, low, next @ ..]) => match (digit(*high), digit(*low)) {
                (Some(high), Some(low)) => (high << 4 | low, next),
                _ => (b'%', after),
            },
            _ => (*first, after),
        };
        out.push(byte);
        rest = next;
    }
    out
}

/// True for a document of at least one operation whose operations are all queries (GraphQL, section 2).
fn only_queries(document: &str) -> bool {
    let mut tokens = Tokens(document.strip_prefix('\u{feff}').unwrap_or(document).as_bytes());
    let mut operations = 0;
    loop {
        match tokens.next() {
            Token::End => return operations > 0,
            Token::Open(b'{') => {
                operations += 1;
                if !tokens.skip_group() {
                    return false;
                }
            }
            Token::Name(b"query") => {
                operations += 1;
                if !tokens.skip_definition() {
                    return false;
                }
            }
            Token::Name(b"fragment") => {
                if !tokens.skip_definition() {
                    return false;
                }
            }
            _ => return false,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token<'a> {
    Name(&'a [u8]),
    /// `(`, `[` or `{`.
    Open(u8),
    Close(u8),
    /// A string, a number's sign, digit or point, any other punctuation.
    Other,
    End,
    Bad,
}

struct Tokens<'a>(&'a [u8]);

impl<'a> Tokens<'a> {
    fn next(&mut self) -> Token<'a> {
        self.skip_ignored();
        let Some((first, after)) = self.0.split_first() else {
            return Token::End;
        };
        match first {
            b'_' | b'A'..=b'Z' | b'a'..=b'z' => {
                let end = self
                    .0
                    .iter()
                    .position(|b| *b != b'_' && !b.is_ascii_alphanumeric());
                let (name, rest) = self
                    .0
                    .split_at_checked(end.unwrap_or(self.0.len()))
                    .unwrap_or_default();
                self.0 = rest;
                return Token::Name(name);
            }
            b'"' => {
                return if self.skip_string() {
                    Token::Other
                } else {
                    Token::Bad
                };
            }
            _ => {}
        }
        self.0 = after;
        match first {
            b'(' | b'[' | b'{' => Token::Open(*first),
            b')' => Token::Close(b'('),
            b']' => Token::Close(b'['),
            b'}' => Token::Close(b'{'),
            b'!' | b'$' | b'&' | b'.' | b':' | b'=' | b'@' | b'|' | b'-' | b'+' | b'0'..=b'9' => Token::Other,
            _ => Token::Bad,
        }
    }

    /// White space, commas and comments.
    fn skip_ignored(&mut self) {
        loop {
            match self.0 {
                [b' ' | b'\t' | b'\r' | b'\n' | b',', rest @ ..] => self.0 = rest,
                [b'#', rest @ ..] => {
                    let end = rest.iter().position(|b| matches!(b, b'\r' | b'\n'));
                    self.0 = rest.get(end.unwrap_or(rest.len())..).unwrap_or_default();
                }
                _ => return,
            }
        }
    }

    /// False for a string without an end.
    fn skip_string(&mut self) -> bool {
        if let Some(mut rest) = self.0.strip_prefix(b"\"\"\"") {
            while !rest.is_empty() {
                if let Some(after) = rest.strip_prefix(b"\\\"\"\"") {
                    rest = after;
                } else if let Some(after) = rest.strip_prefix(b"\"\"\"") {
                    self.0 = after;
                    return true;
                } else {
                    rest = rest.get(1..).unwrap_or_default();
                }
            }
            return false;
        }
        let mut rest = self.0.get(1..).unwrap_or_default();
        loop {
            match rest {
                [b'"', after @ ..] => {
                    self.0 = after;
                    return true;
                }
                [] | [b'\r' | b'\n', ..] | [b'\\'] => return false,
                [b'\\', _, after @ ..] | [_, after @ ..] => rest = after,
            }
        }
    }

    /// What follows the keyword of a definition, with its selections. False where there are none.
    fn skip_definition(&mut self) -> bool {
        loop {
            match self.next() {
                Token::Open(b'{') => return self.skip_group(),
                Token::Open(open) => {
                    if !self.skip_to_close(open) {
                        return false;
                    }
                }
                // Two definitions without selections between them.
                Token::Name(b"mutation" | b"subscription") | Token::Close(_) | Token::End | Token::Bad => {
                    return false;
                }
                Token::Name(_) | Token::Other => {}
            }
        }
    }

    fn skip_group(&mut self) -> bool {
        self.skip_to_close(b'{')
    }

    /// Everything up to what closes `open`, which was read.
    fn skip_to_close(&mut self, open: u8) -> bool {
        let mut nested = vec![open];
        while let Some(innermost) = nested.last() {
            match self.next() {
                Token::Open(open) => nested.push(open),
                Token::Close(open) if open == *innermost => drop(nested.pop()),
                Token::Close(_) | Token::End | Token::Bad => return false,
                Token::Name(_) | Token::Other => {}
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn documents_of_nothing_but_queries_are_known() {
        for document in [
            "{a}",
            "query{a}",
            "\u{feff}query A($b: Int = 1, $c: [T!]! = {d: [1]}) @e(f: \"}\") { g(h: \"\\\"}\") { i } }",
            "# mutation\nquery { a }",
            "query A { a } query B { b } fragment queries on T { c }",
            "fragment F on T { a } { ...F }",
            "{ mutation subscription }",
            "query mutated { a }",
            "{ a(b: \"\"\"mutation { \\\"\"\" }\"\"\") }",
            "{ a(b: -1.5e+3) }",
            "\r\n,, {a} # end",
        ] {
            assert!(only_queries(document), "{document}");
        }
        for document in [
            "",
            "# {a}",
            "mutation{a}",
            "mutation A { a }",
            "subscription { a }",
            "query { a } mutation { b }",
            "{a}mutation{b}",
            "{a} , \u{feff} mutation{b}",
            "fragment F on T { a }",
            "query",
            "query A",
            "query { a",
            "query { a ) }",
            "{ a(b: \") } mutation { c }",
            "\"\"\"text\"\"\" query { a }",
            "{ a(b: \"\"\" }",
            "query A mutation { b }",
            "type T { a: Int }",
            "{a} extend type Query { b: Int }",
            "Query { a }",
            "{ ü }",
            "{ a } \0",
        ] {
            assert!(!only_queries(document), "{document}");
        }
    }

    #[test]
    fn requests_are_queries_only_when_nothing_else_could_be_read_in_them() {
        for body in [
            r#"{"query":"{a}"}"#,
            r#" {"operationName":"A","variables":{"query":"mutation{a}"},"query":"query A{a}","extensions":null}"#,
            r#"{"query":"\u007ba\u007d"}"#,
            r#"[{"query":"{a}"},{"query":"query{b}","variables":null}]"#,
        ] {
            assert!(is_query(body.as_bytes()), "{body}");
        }
        for body in [
            "",
            "[]",
            "null",
            "{}",
            "{a}",
            r#""{a}""#,
            r#"{"query":null}"#,
            r#"{"query":"mutation{a}"}"#,
            r#"{"query":"{a}","query":"mutation{a}"}"#,
            r#"{"query":"{a}","Query":"mutation{a}"}"#,
            r#"{"query":"{a}","id":"1"}"#,
            r#"{"query":"{a}"} {"query":"mutation{a}"}"#,
            r#"[{"query":"{a}"},{"query":"mutation{a}"}]"#,
            r#"[{"query":"{a}"},{}]"#,
            r#"{"extensions":{"persistedQuery":{"version":1,"sha256Hash":"ab"}}}"#,
        ] {
            assert!(!is_query(body.as_bytes()), "{body}");
        }
    }

    #[test]
    fn a_document_in_a_url_is_read_as_a_server_reads_it() {
        for (query, expected) in [
            ("", InUrl::Nothing),
            ("a=b&extensions=%7B%7D", InUrl::Nothing),
            ("query=%7Ba%7D", InUrl::Query),
            ("x=1&query=query+A%7Ba%7D&variables=", InUrl::Query),
            ("query=mutation%7Ba%7D", InUrl::Other),
            ("%71uery=mutation{a}", InUrl::Other),
            ("query={a}&query=mutation{a}", InUrl::Other),
            ("query={a}&QUERY={a}", InUrl::Other),
            ("query", InUrl::Other),
            ("query=%ff", InUrl::Other),
            ("query=%7", InUrl::Other),
        ] {
            assert_eq!(in_url(query.as_bytes()), expected, "{query}");
        }
    }

    proptest! {
        /// Whatever stands before and behind it, a mutation at the top is seen.
        #[test]
        fn a_mutation_is_never_taken_for_a_query(
            before in "(\\{a\\}|query\\{a\\}|#[a\"\\{]{0,3}\n|,| |fragment F on T\\{a\\}){0,4}",
            after in "[a\"{}() #\n,\\\\]{0,8}",
        ) {
            let document = format!("{before}mutation{{b}}{after}");
            prop_assert!(!only_queries(&document), "{}", document);
        }

        #[test]
        fn anything_can_be_read(text in any::<Vec<u8>>(), document in "[a{}()\\[\\]\"\\\\#\n,mutaionqery ]{0,40}") {
            is_query(&text);
            in_url(&text);
            only_queries(&document);
        }
    }
}
