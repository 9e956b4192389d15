//! A visitor who checks every byte.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::origin::{Origin, body};

const PATIENCE: Duration = Duration::from_secs(20);

/// What came of a request.
pub(crate) enum Seen {
    /// Whole, right, and stored before.
    Hit,
    /// Whole and right.
    Other,
    /// The edge went away.
    Nothing,
}

pub(crate) struct Visitor {
    address: SocketAddr,
    connection: Option<BufReader<TcpStream>>,
}

struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Visitor {
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self {
            address,
            connection: None,
        }
    }

    /// Reads an object. What comes whole must be a version of it, and none from before the last change that was
    /// acknowledged when this was asked.
    pub(crate) fn read(&mut self, key: u64, origin: &Origin) -> Seen {
        let oldest = origin.acknowledged(key);
        let Some(answer) = self.ask("GET", key) else {
            return Seen::Nothing;
        };
        assert_eq!(answer.status, 200, "key {key}: {}", answer.head);
        let field = |name: &str| {
            let lines = answer.head.lines();
            let value = lines
                .filter_map(|line| line.split_once(':'))
                .find(|(field, _)| field.eq_ignore_ascii_case(name));
            value.map(|(_, value)| value.trim().to_owned())
        };
        let first = answer
            .body
            .split(|byte| *byte == b'\n')
            .next()
            .unwrap_or_default();
        let said = String::from_utf8_lossy(first).into_owned();
        let mut said = said.split(' ').map(|word| word.parse::<u64>().ok());
        let (said_key, version) = (said.next().flatten(), said.next().flatten());
        assert_eq!(said_key, Some(key), "the body of another key");
        let version = version.unwrap();
        assert!(
            answer.body == body(key, version),
            "key {key} version {version}: a wrong byte"
        );
        let etag = format!("\"{key}-{version}\"");
        assert_eq!(
            (field("etag"), field("x-key")),
            (Some(etag), Some(key.to_string()))
        );
        assert!(
            (oldest..=origin.version(key)).contains(&version),
            "key {key}: version {version}, although {oldest} was acknowledged"
        );
        match field("cache-status") {
            Some(status) if status.contains("; hit") => Seen::Hit,
            _ => Seen::Other,
        }
    }

    /// Changes an object; false: the edge went away.
    pub(crate) fn change(&mut self, key: u64, origin: &Origin) -> bool {
        // Of changes at the same time each may make the other's version; only what was there before is certain.
        let before = origin.version(key);
        let Some(answer) = self.ask("POST", key) else {
            return false;
        };
        assert_eq!(answer.status, 204);
        origin.acknowledge(key, before + 1);
        true
    }

    fn ask(&mut self, method: &str, key: u64) -> Option<Answer> {
        if self.connection.is_none() {
            let stream = TcpStream::connect(self.address).ok()?;
            stream.set_read_timeout(Some(PATIENCE)).ok()?;
            self.connection = Some(BufReader::new(stream));
        }
        let answer = self
            .connection
            .as_mut()
            .and_then(|connection| exchange(connection, method, key));
        if answer.is_none() {
            self.connection = None;
        }
        answer
    }
}

fn exchange(connection: &mut BufReader<TcpStream>, method: &str, key: u64) -> Option<Answer> {
    let length = if method == "POST" {
        "Content-Length: 0\r\n"
    } else {
        ""
    };
    let request = format!("{method} /k/{key} HTTP/1.1\r\nHost: kill.example\r\n{length}\r\n");
    connection.get_mut().write_all(request.as_bytes()).ok()?;
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if connection.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let length = head.lines().find_map(|line| {
        line.to_ascii_lowercase()
            .strip_prefix("content-length:")?
            .trim()
            .parse()
            .ok()
    });
    let body = if status == 204 {
        Vec::new()
    } else if let Some(length) = length {
        let mut body = vec![0; length];
        connection.read_exact(&mut body).ok()?;
        body
    } else {
        chunks(connection)?
    };
    Some(Answer { status, head, body })
}

fn chunks(connection: &mut BufReader<TcpStream>) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let mut line = String::new();
        connection.read_line(&mut line).ok()?;
        let length = usize::from_str_radix(line.trim(), 16).ok()?;
        let mut chunk = vec![0; length + 2];
        connection.read_exact(&mut chunk).ok()?;
        if length == 0 {
            return Some(body);
        }
        body.extend_from_slice(&chunk[..length]);
    }
}
