//! A line of the access log: JSON, written straight into the buffer that is handed to the log's writer. It is a
//! noticeable part of what a hit costs, so nothing is allocated for it.

use std::fmt::Display;
use std::io::Write as _;

use breakwater_edge_proxy::{Reason, Record};

use super::counters::{CACHES, cache_index};

/// Most bytes of what a visitor wrote that stand in a line of the log; the rest is left out. A line is part of
/// what may wait for the log's writer.
const MAX_METHOD_BYTES: usize = 32;
const MAX_TARGET_BYTES: usize = 8 << 10;
const MAX_FIELD_BYTES: usize = 1 << 10;

/// Appends the line of a finished request, without its end.
pub(super) fn write(out: &mut Vec<u8>, record: &Record<'_>, connection: u64) {
    let mut line = Line(out);
    line.number("{\"time_ms\":", record.started_wall_ms);
    if let Some(site) = record.site {
        line.display(",\"site\":\"", site);
    }
    line.optional(",\"route\":", record.route);
    line.optional(",\"origin\":", record.origin);
    line.display(",\"client\":\"", record.client);
    line.display(",\"peer\":\"", record.peer);
    line.number(",\"connection\":", connection);
    line.plain(",\"protocol\":\"", record.protocol.as_str());
    line.raw(if record.tls {
        ",\"tls\":true"
    } else {
        ",\"tls\":false"
    });
    line.text(",\"method\":", record.method, MAX_METHOD_BYTES);
    line.text(",\"host\":", record.host.as_bytes(), usize::MAX);
    line.text(",\"target\":", record.target, MAX_TARGET_BYTES);
    line.number(",\"status\":", u64::from(record.status));
    if let Some(reason) = record.reason {
        line.plain(",\"reason\":\"", Reason::as_str(reason));
    }
    if let Some(cache) = &record.cache {
        let label = CACHES.get(cache_index(Some(cache))).copied();
        line.plain(",\"cache\":\"", label.unwrap_or_default());
        if cache.collapsed {
            line.raw(",\"collapsed\":true");
        }
    }
    if record.origin_attempts > 0 {
        line.number(",\"origin_attempts\":", u64::from(record.origin_attempts));
    }
    line.number(",\"body_bytes\":", record.body_bytes);
    line.number(",\"request_body_bytes\":", record.request_body_bytes);
    line.number(",\"duration_us\":", micros(record.duration));
    if let Some(time) = record.time_to_answer {
        line.number(",\"answer_us\":", micros(time));
    }
    if let Some(agent) = record.user_agent {
        line.text(",\"user_agent\":", agent, MAX_FIELD_BYTES);
    }
    if let Some(referer) = record.referer {
        line.text(",\"referer\":", referer, MAX_FIELD_BYTES);
    }
    line.raw("}");
}

fn micros(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// The buffer, with a method for each kind of value. Writing to a Vec doesn't fail.
struct Line<'b>(&'b mut Vec<u8>);

impl Line<'_> {
    fn raw(&mut self, text: &str) {
        self.0.extend_from_slice(text.as_bytes());
    }

    fn number(&mut self, key: &str, value: u64) {
        self.raw(key);
        let _ = write!(self.0, "{value}");
    }

    /// What needs no escaping; the key ends with the opening quote.
    fn plain(&mut self, key: &str, value: &str) {
        self.raw(key);
        self.raw(value);
        self.raw("\"");
    }

    /// The same for what is made of such.
    fn display(&mut self, key: &str, value: impl Display) {
        self.raw(key);
        let _ = write!(self.0, "{value}");
        self.raw("\"");
    }

    fn optional(&mut self, key: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.text(key, value.as_bytes(), usize::MAX);
        }
    }

    /// Any bytes: what isn't UTF-8 is replaced, what JSON escapes is escaped.
    fn text(&mut self, key: &str, bytes: &[u8], most: usize) {
        self.raw(key);
        self.raw("\"");
        let bytes = bytes.get(..most).unwrap_or(bytes);
        if bytes.iter().fold(true, |all, b| all & is_plain(*b)) {
            self.0.extend_from_slice(bytes);
        } else {
            for part in bytes.utf8_chunks() {
                part.valid().chars().for_each(|c| self.escaped(c));
                if !part.invalid().is_empty() {
                    self.escaped(char::REPLACEMENT_CHARACTER);
                }
            }
        }
        self.raw("\"");
    }

    fn escaped(&mut self, c: char) {
        match c {
            '"' => self.raw("\\\""),
            '\\' => self.raw("\\\\"),
            '\0'..='\u{1f}' => {
                let _ = write!(self.0, "\\u{:04x}", u32::from(c));
            }
            c => self.raw(c.encode_utf8(&mut [0; 4])),
        }
    }
}

fn is_plain(b: u8) -> bool {
    (b' '..0x7f).contains(&b) && b != b'"' && b != b'\\'
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use breakwater_edge_cache::{CacheStatus, Fwd, Served};
    use breakwater_edge_config::SiteId;
    use breakwater_edge_proxy::Protocol;

    use super::*;

    fn parsed(record: &Record<'_>) -> serde_json::Value {
        let mut out = b"before".to_vec();
        write(&mut out, record, 7);
        serde_json::from_slice(out.strip_prefix(b"before").unwrap()).unwrap()
    }

    fn record() -> Record<'static> {
        Record {
            site: None,
            route: None,
            origin: None,
            status: 0,
            reason: None,
            cache: None,
            origin_attempts: 0,
            client: "192.0.2.1".parse().unwrap(),
            peer: "2001:db8::1".parse().unwrap(),
            protocol: Protocol::Http1,
            tls: false,
            method: b"",
            host: "",
            target: b"",
            user_agent: None,
            referer: None,
            body_bytes: 0,
            request_body_bytes: 0,
            duration: Duration::ZERO,
            time_to_answer: None,
            started_wall_ms: 5,
            generation: 0,
        }
    }

    #[test]
    fn a_line_says_everything_that_is_known() {
        let site = SiteId {
            home: "eu".to_owned(),
            namespace: "shop".to_owned(),
            name: "a".to_owned(),
        };
        let mut cache = CacheStatus::new(Served::Forwarded(Fwd::UriMiss));
        cache.collapsed = true;
        let line = parsed(&Record {
            site: Some(&site),
            route: Some("all \"of\" it"),
            origin: Some("main"),
            status: 502,
            reason: Some(Reason::OriginReset),
            cache: Some(cache),
            origin_attempts: 2,
            tls: true,
            method: b"GET",
            host: "a.example",
            target: b"/x?y='z'",
            user_agent: Some(b"t"),
            referer: Some(b"r"),
            body_bytes: 9,
            request_body_bytes: 8,
            duration: Duration::from_millis(3),
            time_to_answer: Some(Duration::from_micros(2)),
            ..record()
        });
        let wanted = serde_json::json!({
            "time_ms": 5, "site": "eu/shop/a", "route": "all \"of\" it", "origin": "main",
            "client": "192.0.2.1", "peer": "2001:db8::1", "connection": 7, "protocol": "h1", "tls": true,
            "method": "GET", "host": "a.example", "target": "/x?y='z'", "status": 502,
            "reason": "origin-reset", "cache": "uri-miss", "collapsed": true, "origin_attempts": 2,
            "body_bytes": 9, "request_body_bytes": 8, "duration_us": 3000, "answer_us": 2,
            "user_agent": "t", "referer": "r",
        });
        assert_eq!(line, wanted);
    }

    #[test]
    fn whatever_a_visitor_writes_the_line_is_json_and_bounded() {
        let all: Vec<u8> = (0..=255).collect();
        let long = vec![b'\\'; 20 << 10];
        let line = parsed(&Record {
            method: &long,
            target: &all,
            user_agent: Some(&long),
            referer: Some("\u{e4}\u{20ac}".as_bytes()),
            ..record()
        });
        assert_eq!(line["method"].as_str().unwrap().len(), MAX_METHOD_BYTES);
        assert_eq!(line["user_agent"].as_str().unwrap().len(), MAX_FIELD_BYTES);
        assert_eq!(line["target"].as_str().unwrap(), String::from_utf8_lossy(&all));
        assert_eq!(line["referer"], "\u{e4}\u{20ac}");
        assert_eq!(line.get("site"), None);
        assert_eq!(line.get("cache"), None);
    }
}
