//! What wrk and h2load print.

/// One run of a load generator.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Load {
    pub(crate) requests: u64,
    pub(crate) seconds: f64,
    /// Answers that were not 2xx, and requests without an answer.
    pub(crate) errors: u64,
    /// Bytes received, heads included.
    pub(crate) bytes: u64,
}

/// `wrk` without options for its output.
pub(crate) fn wrk(text: &str) -> Option<Load> {
    let mut load = None;
    let mut errors = 0;
    for line in text.lines().map(str::trim) {
        if let Some((requests, rest)) = line.split_once(" requests in ") {
            let (time, bytes) = rest.strip_suffix(" read")?.split_once(", ")?;
            load = Some((requests.parse().ok()?, seconds(time)?, size(bytes)?));
        } else if let Some(rest) = line.strip_prefix("Socket errors: ") {
            for part in rest.split(", ") {
                errors += part.split_once(' ')?.1.parse::<u64>().ok()?;
            }
        } else if let Some(rest) = line.strip_prefix("Non-2xx or 3xx responses: ") {
            errors += rest.parse::<u64>().ok()?;
        }
    }
    let (requests, seconds, bytes) = load?;
    Some(Load {
        requests,
        seconds,
        errors,
        bytes,
    })
}

/// `h2load` with a duration.
pub(crate) fn h2load(text: &str) -> Option<Load> {
    let line = |start: &str| text.lines().find_map(|line| line.strip_prefix(start));
    let time = seconds(line("finished in ")?.split_once(',')?.0)?;
    let statuses = line("status codes: ")?;
    let traffic = line("traffic: ")?;
    let number = |word: &str| -> Option<u64> { word.trim().split(' ').next()?.parse().ok() };
    let good = number(statuses)?;
    let mut errors = 0;
    for part in statuses.split(", ").skip(1) {
        errors += number(part)?;
    }
    // What was under way when the time was up is neither.
    for part in line("requests: ")?.split(", ") {
        if part.ends_with(" errored") || part.ends_with(" timeout") {
            errors += number(part)?;
        }
    }
    let bytes = traffic.split_once('(')?.1.split_once(')')?.0.parse().ok()?;
    Some(Load {
        requests: good,
        seconds: time,
        errors,
        bytes,
    })
}

fn seconds(text: &str) -> Option<f64> {
    for (unit, factor) in [("us", 1e-6), ("ms", 1e-3), ("m", 60.0), ("s", 1.0)] {
        if let Some(number) = text.strip_suffix(unit) {
            return Some(number.parse::<f64>().ok()? * factor);
        }
    }
    None
}

fn size(text: &str) -> Option<u64> {
    for (unit, factor) in [
        ("KB", 1_u64 << 10),
        ("MB", 1 << 20),
        ("GB", 1 << 30),
        ("TB", 1 << 40),
        ("B", 1),
    ] {
        if let Some(number) = text.strip_suffix(unit) {
            #[allow(
                clippy::cast_precision_loss,
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a size as printed, with three digits"
            )]
            return Some((number.parse::<f64>().ok()? * factor as f64) as u64);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_of_wrk_is_read_with_its_errors() {
        let text = "Running 2s test @ http://127.0.0.1:1/\n  1 threads and 8 connections\n  \
            Thread Stats   Avg      Stdev     Max   +/- Stdev\n    Latency   204.00us   72.00us\n  \
            61234 requests in 2.10s, 74.50MB read\n  Socket errors: connect 0, read 3, write 0, timeout 1\n  \
            Non-2xx or 3xx responses: 7\nRequests/sec:  29159.05\nTransfer/sec:     35.48MB\n";
        let load = wrk(text).unwrap();
        assert_eq!((load.requests, load.errors), (61_234, 11));
        assert!((load.seconds - 2.1).abs() < 1e-9);
        assert_eq!(load.bytes, 78_118_912);
        assert_eq!(wrk("unable to connect"), None);
    }

    #[test]
    fn a_run_of_h2load_is_read_with_its_errors() {
        let text = "starting benchmark...\nfinished in 2.00s, 21000.50 req/s, 24.00MB/s\n\
            requests: 42001 total, 42017 started, 42001 done, 41999 succeeded, 2 failed, 1 errored, 0 timeout\n\
            status codes: 41999 2xx, 0 3xx, 1 4xx, 0 5xx\n\
            traffic: 48.00MB (50331648) total, 1.20MB (1258291) headers (space savings 80.00%), 41.00MB (42991616) data\n";
        let load = h2load(text).unwrap();
        assert_eq!((load.requests, load.errors, load.bytes), (41_999, 2, 50_331_648));
        assert_eq!(h2load("starting benchmark..."), None);
    }
}
