//! The process under test, and what it is given.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

/// Longest wait for anything.
const DEADLINE: Duration = Duration::from_secs(30);

/// The text of a site.
pub(crate) struct Site(String);

impl Site {
    pub(crate) fn new(name: &str, host: &str) -> Self {
        Self(format!(
            "apiVersion: edge.breakwater.dev/v1alpha1\nkind: EdgeSite\nmetadata: {{name: {name}}}\nspec:\n  hosts: [{host}]\n"
        ))
    }

    pub(crate) fn with_certificate(self, secret: &str) -> Self {
        Self(self.0 + &format!("  tls: {{certificateRefs: [{{name: {secret}}}]}}\n"))
    }

    pub(crate) fn responding(self, body: &str) -> String {
        let redirect = if self.0.contains("tls:") || body == "hello" {
            ""
        } else {
            "  tls: {redirect: {enabled: false}}\n"
        };
        self.0 + redirect + &format!("  routes: [{{name: all, respond: {{status: 200, body: {body}}}}}]\n")
    }
}

/// `breakwater run` in a directory of its own.
pub(crate) struct Running {
    directory: Option<tempfile::TempDir>,
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Running {
    pub(crate) fn start(files: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("manifests")).unwrap();
        for (name, text) in files {
            std::fs::write(directory.path().join("manifests").join(name), text).unwrap();
        }
        Self::start_in(directory)
    }

    fn start_in(directory: tempfile::TempDir) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_breakwater"))
            .arg("run")
            .args([
                "--http",
                "127.0.0.1:0",
                "--https",
                "127.0.0.1:0",
                "--admin",
                "127.0.0.1:0",
                "--workers",
                "1",
            ])
            .arg("--manifests")
            .arg(directory.path().join("manifests"))
            .arg("--state")
            .arg(directory.path().join("state"))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = Arc::<Mutex<Vec<String>>>::default();
        let out = BufReader::new(child.stdout.take().unwrap());
        let into = Arc::clone(&lines);
        std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                into.lock().unwrap().push(line);
            }
        });
        let running = Self {
            directory: Some(directory),
            child,
            lines,
        };
        running.wait_for_line("ready http=");
        running
    }

    pub(crate) fn restart(mut self) -> Self {
        let directory = self.directory.take().unwrap();
        assert!(self.end().success());
        Self::start_in(directory)
    }

    pub(crate) fn end(mut self) -> ExitStatus {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        let limit = Instant::now() + DEADLINE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < limit, "it didn't end");
            std::thread::yield_now();
        }
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.manifest(name), text).unwrap();
    }

    pub(crate) fn remove(&self, name: &str) {
        std::fs::remove_file(self.manifest(name)).unwrap();
    }

    fn manifest(&self, name: &str) -> std::path::PathBuf {
        self.directory
            .as_ref()
            .unwrap()
            .path()
            .join("manifests")
            .join(name)
    }

    pub(crate) fn said(&self) -> String {
        self.lines.lock().unwrap().join("\n")
    }

    pub(crate) fn wait_for_line(&self, part: &str) {
        let limit = Instant::now() + DEADLINE;
        while !self.lines.lock().unwrap().iter().any(|line| line.contains(part)) {
            assert!(
                Instant::now() < limit,
                "{part:?} wasn't said, but\n{}",
                self.said()
            );
            std::thread::park_timeout(Duration::from_millis(5));
        }
    }

    pub(crate) fn wait_until(&self, holds: impl Fn(&Self) -> bool) {
        let limit = Instant::now() + DEADLINE;
        while !holds(self) {
            assert!(
                Instant::now() < limit,
                "it didn't come to pass; said was\n{}",
                self.said()
            );
            std::thread::park_timeout(Duration::from_millis(5));
        }
    }

    fn address(&self, name: &str) -> SocketAddr {
        let said = self.said();
        let ready = said.lines().find(|line| line.starts_with("ready ")).unwrap();
        let value = ready
            .split(' ')
            .find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
            .unwrap();
        value.parse().unwrap()
    }

    pub(crate) fn https(&self) -> SocketAddr {
        self.address("https")
    }

    pub(crate) fn get(&self, host: &str, target: &str) -> (u16, String) {
        let (status, _, body) = self.request(host, target);
        (status, body)
    }

    pub(crate) fn head(&self, host: &str, target: &str) -> (u16, String) {
        let (status, head, _) = self.request(host, target);
        (status, head)
    }

    /// What the admin server says of itself.
    pub(crate) fn metrics(&self) -> String {
        Self::ask(self.address("admin"), "localhost", "/metrics").2
    }

    fn request(&self, host: &str, target: &str) -> (u16, String, String) {
        Self::ask(self.address("http"), host, target)
    }

    /// Status 0: the connection was closed without an answer.
    fn ask(address: SocketAddr, host: &str, target: &str) -> (u16, String, String) {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        write!(
            stream,
            "GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
        )
        .unwrap();
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        let status = head
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok())
            .unwrap_or(0);
        (status, head.to_owned(), body.to_owned())
    }

    /// The certificate that is shown for a name.
    pub(crate) fn certificate_of(&self, name: &str) -> Vec<u8> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyCertificate))
            .with_no_client_auth();
        let name = rustls_pki_types::ServerName::try_from(name.to_owned()).unwrap();
        let mut connection = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
        let mut stream = TcpStream::connect(self.https()).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        while connection.is_handshaking() {
            connection.complete_io(&mut stream).unwrap();
        }
        connection.peer_certificates().unwrap()[0].to_vec()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// For looking at what is shown, whoever signed it.
#[derive(Debug)]
struct AnyCertificate;

impl rustls::client::danger::ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &rustls_pki_types::ServerName<'_>,
        _: &[u8],
        _: rustls_pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        rustls::crypto::aws_lc_rs::default_provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// A chain and its key, PEM.
pub(crate) fn certificate(name: &str) -> (String, String) {
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new(vec![name.to_owned()])
        .unwrap()
        .self_signed(&key)
        .unwrap();
    (certificate.pem(), key.serialize_pem())
}

pub(crate) fn der(pem: &str) -> Vec<u8> {
    CertificateDer::from_pem_slice(pem.as_bytes()).unwrap().to_vec()
}

pub(crate) fn secret(name: &str, chain: &str, key: &str) -> String {
    let block = |pem: &str| pem.replace('\n', "\n    ");
    format!(
        "apiVersion: v1\nkind: Secret\nmetadata: {{name: {name}}}\ntype: kubernetes.io/tls\nstringData:\n  tls.crt: |\n    {}\n  tls.key: |\n    {}\n",
        block(chain),
        block(key)
    )
}

/// A start that fails: exit status and what is said on standard error.
pub(crate) fn fails(arguments: &[&str]) -> (i32, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_breakwater"))
        .args(arguments)
        .output()
        .unwrap();
    (
        output.status.code().unwrap(),
        String::from_utf8(output.stderr).unwrap(),
    )
}
