//! A proxy in front of a real registry: counts the requests, and lets a test answer them instead or
//! cut them.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// A request that reached the proxy.
#[derive(Debug, Clone)]
pub struct Passed {
    pub method: String,
    /// Path and query.
    pub target: String,
    /// Bytes of the body that reached the registry.
    pub sent: usize,
}

/// Treatment of a request.
#[derive(Debug, Clone)]
pub enum Fate {
    Pass,
    /// Answered with this status and OCI error code; it never reaches the registry.
    Answer(u16, &'static str),
    /// The connection breaks after this many bytes of the body have reached the registry.
    CutAfter(usize),
}

type Rule = Box<dyn Fn(&str, &str) -> Fate + Send + Sync>;

struct Shared {
    registry: Mutex<String>,
    rule: Mutex<Rule>,
    passed: Mutex<Vec<Passed>>,
    ended: AtomicBool,
}

/// A running proxy; ends when dropped.
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

impl Proxy {
    /// Starts a proxy for `registry` (`host:port`, plain HTTP).
    pub fn before(registry: &str) -> Self {
        Self::listening("127.0.0.1:0", registry)
    }

    /// As [`Proxy::before`], at another address.
    pub fn listening(at: &str, registry: &str) -> Self {
        let listener = TcpListener::bind(at).expect("a free port");
        let address = listener.local_addr().expect("an address");
        let shared = Arc::new(Shared {
            registry: Mutex::new(registry.to_owned()),
            rule: Mutex::new(Box::new(|_, _| Fate::Pass)),
            passed: Mutex::default(),
            ended: AtomicBool::new(false),
        });
        let serving = Arc::clone(&shared);
        let accepting = std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if serving.ended.load(Ordering::SeqCst) {
                    return;
                }
                let shared = Arc::clone(&serving);
                // The result is ignored: broken connections are the subject of these tests.
                std::thread::spawn(move || pass(&shared, &client));
            }
        });
        Self {
            address,
            shared,
            accepting: Some(accepting),
        }
    }

    /// Returns the proxy's address and port.
    pub fn host(&self) -> String {
        self.address.to_string()
    }

    /// Sets the rule that decides by method and target from now on.
    pub fn rule(&self, rule: impl Fn(&str, &str) -> Fate + Send + Sync + 'static) {
        *self.shared.rule.lock().unwrap() = Box::new(rule);
    }

    /// Returns the requests since the last call.
    pub fn take(&self) -> Vec<Passed> {
        std::mem::take(&mut self.shared.passed.lock().unwrap())
    }

    /// Returns the number of body bytes that reached the registry since the last [`Proxy::take`].
    pub fn sent(&self) -> usize {
        let passed = self.shared.passed.lock().unwrap();
        passed.iter().map(|passed| passed.sent).sum()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
    }
}

/// Serves one connection, which carries one request.
fn pass(shared: &Shared, client: &TcpStream) -> Option<()> {
    let mut reader = BufReader::new(client);
    let mut head = String::new();
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let lower = line.to_ascii_lowercase();
        if let Some(value) = lower.strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
        if line == "\r\n" {
            head.push_str("connection: close\r\n\r\n");
            break;
        }
        if !lower.starts_with("connection:") {
            head.push_str(&line);
        }
    }
    let mut words = head.split(' ');
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let fate = (shared.rule.lock().unwrap())(&method, &target);
    let number = {
        let mut passed = shared.passed.lock().unwrap();
        let sent = 0;
        passed.push(Passed {
            method,
            target,
            sent,
        });
        passed.len() - 1
    };
    let mut to_client = client;
    let limit = match fate {
        Fate::Pass => length,
        Fate::CutAfter(bytes) => bytes.min(length),
        Fate::Answer(status, code) => {
            std::io::copy(&mut reader.take(length as u64), &mut std::io::sink()).ok()?;
            let body = format!(r#"{{"errors":[{{"code":"{code}","message":"said so"}}]}}"#);
            let length = body.len();
            let _ = write!(
                to_client,
                "HTTP/1.1 {status} So\r\nconnection: close\r\ncontent-type: application/json\r\n\
                 content-length: {length}\r\n\r\n{body}"
            );
            return None;
        }
    };
    let upstream = shared.registry.lock().unwrap().clone();
    let mut upstream = TcpStream::connect(upstream).ok()?;
    upstream.write_all(head.as_bytes()).ok()?;
    let mut buffer = vec![0; 64 << 10];
    let mut left = limit;
    while left > 0 {
        let wanted = left.min(buffer.len());
        let read = reader.read(&mut buffer[..wanted]).ok()?;
        if read == 0 {
            return None;
        }
        upstream.write_all(&buffer[..read]).ok()?;
        left -= read;
        if let Some(passed) = shared.passed.lock().unwrap().get_mut(number) {
            passed.sent += read;
        }
    }
    if matches!(fate, Fate::CutAfter(_)) {
        let _ = client.shutdown(Shutdown::Both);
        return None;
    }
    std::io::copy(&mut upstream, &mut to_client).ok()?;
    let _ = client.shutdown(Shutdown::Both);
    Some(())
}
