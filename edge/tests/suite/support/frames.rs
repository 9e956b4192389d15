//! An HTTP/2 connection whose every frame the test writes and reads itself (RFC 9113 §4).

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::PATIENCE;

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RESET: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const ACK: u8 = 1;
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

pub(crate) struct Frames<S> {
    io: S,
    seen: Vec<u8>,
}

#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

impl Frame {
    /// The number at the payload's byte `at`.
    pub(crate) fn number(&self, at: usize) -> u32 {
        u32::from_be_bytes(self.payload[at..at + 4].try_into().unwrap())
    }

    /// The status that a block of fields begins with: indexed, or a Huffman-coded value (RFC 7541 §2.3.1, §5.2).
    pub(crate) fn status(&self) -> u16 {
        match self.payload[0] {
            index @ 0x88..=0x8e => [200, 204, 206, 304, 400, 404, 500][usize::from(index - 0x88)],
            _ => digits(&self.payload[2..2 + usize::from(self.payload[1] & 0x7f)]),
        }
    }
}

fn digits(coded: &[u8]) -> u16 {
    let mut bits = coded
        .iter()
        .flat_map(|byte| (0..8).rev().map(move |n| byte >> n & 1));
    let mut number = 0;
    for _ in 0..3 {
        let five = bits
            .by_ref()
            .take(5)
            .fold(0, |code, bit| code << 1 | u16::from(bit));
        // 0, 1 and 2 have five bits, the others six.
        let digit = match five {
            0..=2 => five,
            _ => (five << 1 | u16::from(bits.next().unwrap())) - 22,
        };
        number = number * 10 + digit;
    }
    number
}

/// Fields as literals that aren't indexed (RFC 7541 §6.2.2).
pub(crate) fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            block.push(
                u8::try_from(text.len())
                    .ok()
                    .filter(|length| *length < 127)
                    .unwrap(),
            );
            block.extend_from_slice(text.as_bytes());
        }
    }
    block
}

impl<S: AsyncRead + AsyncWrite + Unpin> Frames<S> {
    pub(crate) async fn begin(mut io: S) -> Self {
        io.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
        let mut frames = Self { io, seen: Vec::new() };
        assert!(frames.send(SETTINGS, 0, 0, &[]).await);
        frames
    }

    /// False when the connection has ended.
    pub(crate) async fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> bool {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let mut frame = length[1..].to_vec();
        frame.extend_from_slice(&[kind, flags]);
        frame.extend_from_slice(&stream.to_be_bytes());
        frame.extend_from_slice(payload);
        self.io.write_all(&frame).await.is_ok() && self.io.flush().await.is_ok()
    }

    /// The next frame; `None` at the end. Settings are acknowledged on the way.
    pub(crate) async fn next(&mut self) -> Option<Frame> {
        loop {
            let frame = self.read().await?;
            if frame.kind != SETTINGS {
                return Some(frame);
            }
            if frame.flags & ACK == 0 {
                self.send(SETTINGS, ACK, 0, &[]).await;
            }
        }
    }

    /// The next frame of this kind; others before it are left out.
    pub(crate) async fn until(&mut self, kind: u8) -> Frame {
        loop {
            let frame = self.next().await.expect("the connection ended");
            if frame.kind == kind {
                return frame;
            }
        }
    }

    async fn read(&mut self) -> Option<Frame> {
        loop {
            if let [a, b, c, kind, flags, e, f, g, h, rest @ ..] = self.seen.as_slice() {
                let length = u32::from_be_bytes([0, *a, *b, *c]) as usize;
                if let Some(payload) = rest.get(..length) {
                    let frame = Frame {
                        kind: *kind,
                        flags: *flags,
                        stream: u32::from_be_bytes([*e, *f, *g, *h]),
                        payload: payload.to_vec(),
                    };
                    self.seen.drain(..9 + length);
                    return Some(frame);
                }
            }
            let mut bytes = [0; 4096];
            let read = tokio::time::timeout(PATIENCE, self.io.read(&mut bytes)).await;
            match read.expect("nothing came") {
                Ok(0) | Err(_) => return None,
                Ok(read) => self.seen.extend_from_slice(&bytes[..read]),
            }
        }
    }
}
