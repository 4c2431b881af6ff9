//! A forward proxy, as sites have between themselves and their registries, for tunnels (`CONNECT`)
//! and plain HTTP. Every name leads to the same registry.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

struct Shared {
    registry: String,
    asked: Mutex<Vec<String>>,
    ended: AtomicBool,
}

/// A running proxy; ends when dropped.
pub struct ForwardProxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

impl ForwardProxy {
    /// Starts a proxy that connects every name to `registry` (`host:port`).
    pub fn to(registry: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let shared = Arc::new(Shared {
            registry: registry.to_owned(),
            asked: Mutex::default(),
            ended: AtomicBool::new(false),
        });
        let serving = Arc::clone(&shared);
        let accepting = std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if serving.ended.load(Ordering::SeqCst) {
                    return;
                }
                let shared = Arc::clone(&serving);
                std::thread::spawn(move || pass(&shared, client));
            }
        });
        Self {
            address,
            shared,
            accepting: Some(accepting),
        }
    }

    /// Returns the value for `http_proxy` and similar variables.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns method and target of all requests so far, one line each.
    pub fn asked(&self) -> Vec<String> {
        self.shared.asked.lock().unwrap().clone()
    }
}

impl Drop for ForwardProxy {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
    }
}

/// Serves one connection: one tunnel, or one request.
fn pass(shared: &Shared, mut client: TcpStream) -> Option<()> {
    let mut reader = BufReader::new(client.try_clone().ok()?);
    let mut first = String::new();
    reader.read_line(&mut first).ok()?;
    let mut words = first.split(' ');
    let (method, target) = (words.next()?, words.next()?);
    let line = format!("{method} {target}");
    shared.asked.lock().unwrap().push(line);
    let mut upstream = TcpStream::connect(&shared.registry).ok()?;
    let mut headers = String::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if line == "\r\n" {
            break;
        }
        if !line.to_ascii_lowercase().starts_with("connection:") {
            headers.push_str(&line);
        }
    }
    if method == "CONNECT" {
        client.write_all(b"HTTP/1.1 200 Go\r\n\r\n").ok()?;
    } else {
        let (_, rest) = target.strip_prefix("http://")?.split_once('/')?;
        let head = format!("{method} /{rest} HTTP/1.1\r\n{headers}connection: close\r\n\r\n");
        upstream.write_all(head.as_bytes()).ok()?;
    }
    let mut up = upstream.try_clone().ok()?;
    let sending = std::thread::spawn(move || copy(&mut reader, &mut up));
    copy(&mut upstream, &mut client);
    let _ = client.shutdown(Shutdown::Both);
    let _ = sending.join();
    Some(())
}

/// Copies until the source ends, then closes the destination for writing.
fn copy(from: &mut impl Read, to: &mut TcpStream) {
    let _ = std::io::copy(from, to);
    let _ = to.shutdown(Shutdown::Write);
}
