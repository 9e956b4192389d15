//! An origin whose every answer says which version of what it is, and can be told from every other.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

/// Objects, the most wanted first.
pub(crate) const KEYS: u64 = 150;

/// Xorshift; not zero.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        (self.next() >> 16) % bound
    }

    /// Half of all choices are among the first eighth.
    pub(crate) fn skewed(&mut self, bound: u64) -> u64 {
        let within = if self.below(2) == 0 { bound / 8 } else { bound };
        self.below(within.max(1))
    }
}

/// The bytes of a version, their kind and checksum in front.
pub(crate) fn body(key: u64, version: u64) -> Vec<u8> {
    let mut random = Random(key.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ version.wrapping_mul(0xbf58_476d) | 1);
    let len = match key % 5 {
        0 => random.below(400_000),
        1 => random.below(200),
        _ => random.below(40_000),
    };
    let mut content = Vec::with_capacity(len as usize + 8);
    while (content.len() as u64) < len {
        content.extend_from_slice(&random.next().to_le_bytes());
    }
    content.truncate(len as usize);
    let sum = content.iter().fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| {
        (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let mut body = format!("{key} {version} {sum:016x}\n").into_bytes();
    body.append(&mut content);
    body
}

#[derive(Default)]
struct Object {
    version: AtomicU64,
    /// Every answer to a request from now on is of this version or a later one.
    acknowledged: AtomicU64,
    /// When it was last asked for, by the count of all requests.
    asked: AtomicU64,
}

pub(crate) struct Origin {
    address: SocketAddr,
    state: Arc<State>,
}

struct State {
    objects: Vec<Object>,
    requests: AtomicU64,
}

impl Origin {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State {
            objects: (0..KEYS).map(|_| Object::default()).collect(),
            requests: AtomicU64::new(0),
        });
        let serving = Arc::clone(&state);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let state = Arc::clone(&serving);
                thread::spawn(move || {
                    // The edge is killed again and again: connections break.
                    let _ = serve(&stream, &state);
                });
            }
        });
        Self { address, state }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn version(&self, key: u64) -> u64 {
        self.state.objects[key as usize].version.load(Ordering::SeqCst)
    }

    pub(crate) fn acknowledged(&self, key: u64) -> u64 {
        self.state.objects[key as usize]
            .acknowledged
            .load(Ordering::SeqCst)
    }

    pub(crate) fn acknowledge(&self, key: u64, version: u64) {
        self.state.objects[key as usize]
            .acknowledged
            .fetch_max(version, Ordering::SeqCst);
    }

    pub(crate) fn asked(&self) -> u64 {
        self.state.requests.load(Ordering::SeqCst)
    }

    pub(crate) fn asked_since(&self, key: u64, count: u64) -> bool {
        self.state.objects[key as usize].asked.load(Ordering::SeqCst) > count
    }
}

fn serve(stream: &TcpStream, state: &State) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let (mut known, mut length) = (None, 0);
        loop {
            let mut field = String::new();
            if reader.read_line(&mut field)? == 0 {
                return Ok(());
            }
            let field = field.trim_end().to_ascii_lowercase();
            if field.is_empty() {
                break;
            }
            if let Some(value) = field.strip_prefix("if-none-match:") {
                known = Some(value.trim().to_owned());
            }
            if let Some(value) = field.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap_or(0);
            }
        }
        std::io::copy(
            &mut std::io::Read::take(&mut reader, length),
            &mut std::io::sink(),
        )?;
        answer(stream, state, &line, known.as_deref())?;
    }
}

fn answer(mut stream: &TcpStream, state: &State, line: &str, known: Option<&str>) -> std::io::Result<()> {
    let key = line
        .split(' ')
        .nth(1)
        .and_then(|target| target.strip_prefix("/k/")?.parse::<u64>().ok());
    let Some((key, object)) = key.and_then(|key| Some((key, state.objects.get(key as usize)?))) else {
        return stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
    };
    let count = state.requests.fetch_add(1, Ordering::SeqCst) + 1;
    object.asked.store(count, Ordering::SeqCst);
    if line.starts_with("POST") {
        object.version.fetch_add(1, Ordering::SeqCst);
        return stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n");
    }
    let version = object.version.load(Ordering::SeqCst);
    let fields = format!("ETag: \"{key}-{version}\"\r\nCache-Control: max-age=3600\r\nX-Key: {key}\r\n");
    if known == Some(&format!("\"{key}-{version}\"")) {
        return stream.write_all(format!("HTTP/1.1 304 Not Modified\r\n{fields}\r\n").as_bytes());
    }
    let body = body(key, version);
    let head = format!(
        "HTTP/1.1 200 OK\r\n{fields}Content-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(&body)
}
