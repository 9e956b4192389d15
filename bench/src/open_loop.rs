//! Load at a fixed rate, whatever the server does: a request that is late waits, and its waiting counts. A
//! generator that waits for answers before it asks again would leave out just the moments that matter.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use rustix::buffer::spare_capacity;
use rustix::event::epoll;

use crate::client;
use crate::histogram::Histogram;

struct Connection {
    stream: TcpStream,
    /// When the request under way should have been sent.
    intended: Option<Instant>,
    /// What came of its answer.
    received: Vec<u8>,
}

/// Bytes of a whole answer once its head is there.
fn answer_length(bytes: &[u8]) -> anyhow::Result<Option<usize>> {
    let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = String::from_utf8_lossy(bytes.get(..end).unwrap_or_default()).to_ascii_lowercase();
    if !head.starts_with("http/1.1 200 ") {
        bail!("{}", head.lines().next().unwrap_or_default());
    }
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length:"))
        .context("an answer without a length")?;
    Ok(Some(end + 4 + length.trim().parse::<usize>()?))
}

/// Latencies from the intended moment, in nanoseconds, of `rate` requests a second over `connections`.
pub(crate) fn run(
    to: SocketAddr,
    path: &str,
    rate: f64,
    connections: u32,
    duration: Duration,
) -> anyhow::Result<Histogram> {
    let queue = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let mut open = Vec::new();
    for number in 0..connections {
        let stream = client::connect(to, number)?;
        stream.set_nonblocking(true)?;
        let data = epoll::EventData::new_u64(u64::from(number));
        epoll::add(&queue, &stream, data, epoll::EventFlags::IN)?;
        open.push(Connection {
            stream,
            intended: None,
            received: Vec::new(),
        });
    }
    let request = client::request(path);
    let mut idle: VecDeque<usize> = (0..open.len()).collect();
    let mut events = Vec::with_capacity(open.len());
    let (mut histogram, mut sent, start) = (Histogram::default(), 0_u32, Instant::now());
    loop {
        let now = Instant::now();
        let next = start + Duration::from_secs_f64(f64::from(sent) / rate);
        let over = next >= start + duration;
        if over && idle.len() == open.len() {
            return Ok(histogram);
        }
        if now > start + duration * 3 {
            bail!("it fell behind for good at {rate:.0} requests a second");
        }
        if !over
            && now >= next
            && let Some(connection) = idle.pop_front().and_then(|at| open.get_mut(at))
        {
            connection.stream.write_all(&request)?;
            connection.intended = Some(next);
            sent += 1;
            continue;
        }
        events.clear();
        // The generator has a core to itself, so it may spin: a timer would be late.
        let none = rustix::event::Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        epoll::wait(&queue, spare_capacity(&mut events), Some(&none))?;
        for event in &events {
            let at = usize::try_from(event.data.u64())?;
            if let Some(connection) = open.get_mut(at)
                && let Some(intended) = receive(connection)?
            {
                let late = Instant::now().duration_since(intended);
                histogram.record(u64::try_from(late.as_nanos()).unwrap_or(u64::MAX));
                idle.push_back(at);
            }
        }
    }
}

/// Reads what is there; when the answer is whole, when it should have been asked for.
fn receive(connection: &mut Connection) -> anyhow::Result<Option<Instant>> {
    let mut buffer = [0; 16 << 10];
    match connection.stream.read(&mut buffer) {
        Ok(0) => bail!("the server closed a connection"),
        Ok(count) => connection
            .received
            .extend_from_slice(buffer.get(..count).unwrap_or_default()),
        Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
        Err(error) => return Err(error.into()),
    }
    match answer_length(&connection.received)? {
        Some(length) if connection.received.len() >= length => {
            connection.received.clear();
            Ok(connection.intended.take())
        }
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::origin::Origin;

    #[test]
    fn the_length_of_an_answer_is_known_from_its_head_on() {
        assert_eq!(answer_length(b"HTTP/1.1 200 OK\r\nContent-Le").unwrap(), None);
        let head = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab";
        assert_eq!(answer_length(head).unwrap(), Some(head.len() + 3));
        answer_length(b"HTTP/1.1 429 Too Many\r\n\r\n").unwrap_err();
    }

    #[test]
    fn each_request_of_the_rate_is_asked_and_counted() {
        let origin = Origin::start().unwrap();
        let seconds = Duration::from_millis(500);
        let histogram = run(origin.address, "/b/64/x", 200.0, 4, seconds).unwrap();
        assert_eq!(origin.requests(), 100);
        assert!(histogram.quantile(0.5) > 0);
    }
}
