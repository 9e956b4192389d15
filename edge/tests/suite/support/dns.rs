//! A name server that says what the test wants.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};

use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

/// Answers every question with the same addresses, for the least time that there is.
pub(crate) struct NameServer {
    pub(crate) address: SocketAddr,
    zone: Arc<Mutex<Vec<IpAddr>>>,
    task: JoinHandle<()>,
}

impl NameServer {
    pub(crate) fn start(addresses: &[&str]) -> Self {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_nonblocking(true).unwrap();
        let socket = UdpSocket::from_std(socket).unwrap();
        let address = socket.local_addr().unwrap();
        let zone = Arc::new(Mutex::new(parsed(addresses)));
        let known = Arc::clone(&zone);
        let task = tokio::spawn(async move {
            let mut question = [0; 512];
            loop {
                let (length, from) = socket.recv_from(&mut question).await.unwrap();
                let answer = answer(&question[..length], &known.lock().unwrap());
                socket.send_to(&answer, from).await.unwrap();
            }
        });
        Self { address, zone, task }
    }

    /// From now on it says this.
    pub(crate) fn set(&self, addresses: &[&str]) {
        *self.zone.lock().unwrap() = parsed(addresses);
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn parsed(addresses: &[&str]) -> Vec<IpAddr> {
    addresses.iter().map(|address| address.parse().unwrap()).collect()
}

/// RFC 1035 §4.1: the question again, then a record for each address of the family that is asked for.
fn answer(message: &[u8], addresses: &[IpAddr]) -> Vec<u8> {
    // Labels, each with its length before it, up to an empty one.
    let mut end = 12;
    while message[end] != 0 {
        end += usize::from(message[end]) + 1;
    }
    let kind = u16::from_be_bytes([message[end + 1], message[end + 2]]);
    let records: Vec<Vec<u8>> = addresses
        .iter()
        .filter_map(|address| match (kind, address) {
            (1, IpAddr::V4(v4)) => Some(v4.octets().to_vec()),
            (28, IpAddr::V6(v6)) => Some(v6.octets().to_vec()),
            _ => None,
        })
        .collect();
    let mut out = message[..2].to_vec();
    // A response to a recursive question without error; one question, these answers.
    out.extend([
        0x81,
        0x80,
        0,
        1,
        0,
        u8::try_from(records.len()).unwrap(),
        0,
        0,
        0,
        0,
    ]);
    out.extend(&message[12..end + 5]);
    for data in records {
        // The question's name and kind, class IN, no time to live.
        out.extend([0xc0, 12]);
        out.extend(kind.to_be_bytes());
        out.extend([0, 1, 0, 0, 0, 0, 0, u8::try_from(data.len()).unwrap()]);
        out.extend(data);
    }
    out
}
