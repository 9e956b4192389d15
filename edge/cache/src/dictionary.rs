//! Dictionaries of structured fields (RFC 9651 §4.2.2), as far as a cache must tell them from what is none:
//! every type is parsed, and only those that a directive can have are kept.

/// A member's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    Integer(i64),
    Boolean(bool),
    /// A string or a token.
    Text(Vec<u8>),
    /// A type that no directive has.
    Other,
}

/// Most members, which RFC 9651 §3.2 asks every parser to bear.
const MAX_MEMBERS: usize = 1_024;

/// Members in order, the last value of each name; `None` for what is no dictionary, or too large a one.
pub(crate) fn parse(input: &[u8]) -> Option<Vec<(&[u8], Value)>> {
    let mut parser = Parser { rest: input };
    let mut members: Vec<(&[u8], Value)> = Vec::new();
    parser.skip(b" ");
    while !parser.rest.is_empty() {
        let name = parser.key()?;
        let value = if parser.eat(b'=') {
            parser.value()?
        } else {
            Value::Boolean(true)
        };
        parser.parameters()?;
        members.retain(|(known, _)| *known != name);
        members.push((name, value));
        if members.len() > MAX_MEMBERS {
            return None;
        }
        parser.skip(b" \t");
        if parser.rest.is_empty() {
            break;
        }
        if !parser.eat(b',') {
            return None;
        }
        parser.skip(b" \t");
        if parser.rest.is_empty() {
            return None;
        }
    }
    Some(members)
}

struct Parser<'a> {
    rest: &'a [u8],
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    fn eat(&mut self, byte: u8) -> bool {
        let there = self.peek() == Some(byte);
        if there {
            self.rest = self.rest.get(1..).unwrap_or_default();
        }
        there
    }

    fn take(&mut self, accept: impl Fn(u8) -> bool) -> &'a [u8] {
        let end = self
            .rest
            .iter()
            .position(|byte| !accept(*byte))
            .unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        taken
    }

    fn skip(&mut self, bytes: &[u8]) {
        self.take(|byte| bytes.contains(&byte));
    }

    fn key(&mut self) -> Option<&'a [u8]> {
        let first = self.peek()?;
        if !(first.is_ascii_lowercase() || first == b'*') {
            return None;
        }
        Some(self.take(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-.*".contains(&byte)))
    }

    fn value(&mut self) -> Option<Value> {
        if !self.eat(b'(') {
            return self.bare_item();
        }
        loop {
            self.skip(b" ");
            if self.eat(b')') {
                return Some(Value::Other);
            }
            self.bare_item()?;
            self.parameters()?;
            if !matches!(self.peek()?, b' ' | b')') {
                return None;
            }
        }
    }

    fn parameters(&mut self) -> Option<()> {
        while self.eat(b';') {
            self.skip(b" ");
            self.key()?;
            if self.eat(b'=') {
                self.bare_item()?;
            }
        }
        Some(())
    }

    fn bare_item(&mut self) -> Option<Value> {
        match self.peek()? {
            b'"' => self.string(),
            b'?' => {
                self.next();
                match self.next()? {
                    b'0' => Some(Value::Boolean(false)),
                    b'1' => Some(Value::Boolean(true)),
                    _ => None,
                }
            }
            b':' => {
                self.next();
                self.take(|byte| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte));
                self.eat(b':').then_some(Value::Other)
            }
            b'@' => {
                self.next();
                match self.number()? {
                    Value::Integer(_) => Some(Value::Other),
                    _ => None,
                }
            }
            b'%' => self.display_string(),
            b'-' | b'0'..=b'9' => self.number(),
            b'*' | b'a'..=b'z' | b'A'..=b'Z' => {
                let token =
                    self.take(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~:/".contains(&byte));
                Some(Value::Text(token.to_vec()))
            }
            _ => None,
        }
    }

    /// Integers of up to 15 digits, decimals of up to 12 and 3.
    fn number(&mut self) -> Option<Value> {
        let negative = self.eat(b'-');
        let digits = self.take(|byte| byte.is_ascii_digit());
        if self.eat(b'.') {
            let fraction = self.take(|byte| byte.is_ascii_digit());
            let valid = (1..=12).contains(&digits.len()) && (1..=3).contains(&fraction.len());
            return valid.then_some(Value::Other);
        }
        if !(1..=15).contains(&digits.len()) {
            return None;
        }
        let value = digits
            .iter()
            .fold(0_i64, |value, digit| value * 10 + i64::from(digit - b'0'));
        Some(Value::Integer(if negative { -value } else { value }))
    }

    fn string(&mut self) -> Option<Value> {
        self.next();
        let mut text = Vec::new();
        loop {
            match self.next()? {
                b'"' => return Some(Value::Text(text)),
                b'\\' => match self.next()? {
                    byte @ (b'"' | b'\\') => text.push(byte),
                    _ => return None,
                },
                byte @ b' '..=b'~' => text.push(byte),
                _ => return None,
            }
        }
    }

    fn display_string(&mut self) -> Option<Value> {
        self.next();
        if !self.eat(b'"') {
            return None;
        }
        let mut text = Vec::new();
        loop {
            match self.next()? {
                b'"' => return std::str::from_utf8(&text).ok().map(|_| Value::Other),
                b'%' => {
                    let (high, low) = (self.lower_hex()?, self.lower_hex()?);
                    text.push(high << 4 | low);
                }
                byte @ b' '..=b'~' => text.push(byte),
                _ => return None,
            }
        }
    }

    fn lower_hex(&mut self) -> Option<u8> {
        match self.next()? {
            digit @ b'0'..=b'9' => Some(digit - b'0'),
            digit @ b'a'..=b'f' => Some(digit - b'a' + 10),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn dictionaries_are_told_from_what_is_none() {
        let valid = [
            "",
            "a",
            "a=1",
            "a=?0",
            "a;x=1;y",
            "a=1, b=\"x\\\"\"",
            "a=(1 \"x\";p), b",
            "a=1.5",
            "a=tok/en",
            "a=:YQ==:",
            "a=@1",
            "a=%\"f%c3%bc\"",
            "a=1,\tb",
            " a",
        ];
        let invalid = [
            "A=1",
            "a=",
            "a=1,",
            "a 1",
            "a=\"x",
            "a=?2",
            "a=1.",
            "a=--1",
            "a,,b",
            "a=1234567890123456",
            "a=(1,2)",
            "a=%\"%FF\"",
            "\ta",
        ];
        for text in valid {
            assert!(parse(text.as_bytes()).is_some(), "{text}");
        }
        for text in invalid {
            assert_eq!(parse(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn the_last_of_a_name_holds() {
        assert_eq!(
            parse(b"a=1, b, a=-2"),
            Some(vec![
                (&b"b"[..], Value::Boolean(true)),
                (&b"a"[..], Value::Integer(-2)),
            ])
        );
    }

    #[test]
    fn a_dictionary_has_no_more_than_1024_members() {
        let members = |count: usize| {
            (0..count)
                .map(|at| format!("a{at}"))
                .collect::<Vec<_>>()
                .join(", ")
        };
        assert_eq!(
            parse(members(1_024).as_bytes()).map(|members| members.len()),
            Some(1_024)
        );
        assert_eq!(parse(members(1_025).as_bytes()), None);
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_parser_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = parse(&bytes);
        }

        #[test]
        fn nothing_near_the_grammar_makes_it_panic(text in "[a-c*=;,() \t\"\\\\?01:@%.\\-]{0,40}") {
            let _ = parse(text.as_bytes());
        }
    }
}
