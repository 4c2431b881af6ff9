//! Debian's `docker-registry` (distribution 2.8) on a free loopback port, killed on drop.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // Test helpers may panic.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use airferry::model::{Host, Repository};

use super::authority::Authority;

/// Names of the files for certificate, key and authority.
const TLS_FILES: [&str; 3] = ["server.pem", "server.key", "authority.pem"];

/// Configuration of a registry.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Settings {
    /// `http.secret`: with it, upload sessions survive a restart.
    pub(crate) secret: Option<&'static str>,
    /// True to keep descriptors in memory, as Debian's default configuration does.
    pub(crate) cache: bool,
    /// The line with user and bcrypt password (`htpasswd`) that is required.
    pub(crate) htpasswd: Option<&'static str>,
    /// True to refuse all writes, as during maintenance.
    pub(crate) read_only: bool,
    /// True to require a certificate from clients; with TLS only.
    pub(crate) client_certificates: bool,
}

/// A running registry with its own store.
pub(crate) struct DockerRegistry {
    directory: tempfile::TempDir,
    address: SocketAddr,
    settings: Settings,
    /// Certificate, key and authority, with TLS.
    tls: Option<[String; 3]>,
    child: Option<Child>,
}

impl DockerRegistry {
    /// Starts a registry that keeps upload sessions over a restart, without authentication.
    pub(crate) fn start() -> Self {
        Self::start_with(Settings {
            secret: Some("a secret for tests"),
            ..Settings::default()
        })
    }

    pub(crate) fn start_with(settings: Settings) -> Self {
        Self::start_as(settings, None)
    }

    /// Starts a registry with TLS, known as `127.0.0.1` and `registry.test`.
    pub(crate) fn start_tls(settings: Settings, authority: &Authority) -> Self {
        let identity = authority.server(&["127.0.0.1", "registry.test"]);
        let tls = [identity.certificate, identity.key, authority.pem()];
        Self::start_as(settings, Some(tls))
    }

    fn start_as(settings: Settings, tls: Option<[String; 3]>) -> Self {
        // The port is free now. If another process takes it before the registry does, another port
        // is tried.
        for _ in 0..5 {
            let free = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = free.local_addr().unwrap();
            drop(free);
            let mut registry = Self {
                directory: tempfile::tempdir().unwrap(),
                address,
                settings,
                tls: tls.clone(),
                child: None,
            };
            if registry.run() {
                return registry;
            }
        }
        panic!("docker-registry does not start; is Debian's package installed?");
    }

    /// Returns `127.0.0.1:port`.
    pub(crate) fn host(&self) -> Host {
        self.address.to_string().parse().unwrap()
    }

    /// Returns a repository on it.
    pub(crate) fn repository(&self, path: &str) -> Repository {
        Repository::new(self.host(), path.parse().unwrap())
    }

    /// Returns the root directory of the store.
    pub(crate) fn store(&self) -> PathBuf {
        self.directory.path().join("store")
    }

    /// Returns the path of the file that holds a blob.
    pub(crate) fn blob_file(&self, hex: &str) -> PathBuf {
        let blobs = self.store().join("docker/registry/v2/blobs/sha256");
        blobs.join(&hex[..2]).join(hex).join("data")
    }

    /// Kills the registry as a power cut would.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Starts the registry again, on the same port and store.
    pub(crate) fn restart(&mut self) {
        self.kill();
        assert!(self.run(), "docker-registry does not start again");
    }

    /// Starts the process and waits until it answers. Returns false if it ends instead, or does not
    /// answer within 30 seconds.
    fn run(&mut self) -> bool {
        let config = self.directory.path().join("config.yml");
        write(&config, &self.config());
        if let Some(line) = self.settings.htpasswd {
            write(&self.directory.path().join("htpasswd"), line);
        }
        for (name, text) in TLS_FILES.iter().zip(self.tls.iter().flatten()) {
            write(&self.directory.path().join(name), text);
        }
        let mut child = Command::new("docker-registry")
            .args(["serve".as_ref(), config.as_os_str()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("docker-registry cannot be run; is Debian's package installed?");
        let deadline = Instant::now() + Duration::from_secs(30);
        while Instant::now() < deadline {
            if child.try_wait().unwrap().is_some() {
                return false;
            }
            if self.answers() {
                self.child = Some(child);
                return true;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = child.kill();
        let _ = child.wait();
        false
    }

    /// Returns true if a registry, and not another process, listens on the port. With TLS any
    /// listener counts.
    fn answers(&self) -> bool {
        let Ok(mut stream) = TcpStream::connect(self.address) else {
            return false;
        };
        if self.tls.is_some() {
            return true;
        }
        let mut answer = String::new();
        let request = b"GET /v2/ HTTP/1.0\r\n\r\n";
        stream.write_all(request).is_ok()
            && stream.read_to_string(&mut answer).is_ok()
            && answer.contains("Docker-Distribution-Api-Version")
    }

    fn config(&self) -> String {
        let mut text = format!(
            "version: 0.1\nlog:\n  level: error\nstorage:\n  filesystem:\n    rootdirectory: {}\n  \
             delete:\n    enabled: true\n",
            self.store().display()
        );
        if self.settings.cache {
            text.push_str("  cache:\n    blobdescriptor: inmemory\n");
        }
        text.push_str(&format!("http:\n  addr: {}\n", self.address));
        if self.settings.read_only {
            let http = text.find("http:").unwrap();
            let maintenance = "  maintenance:\n    readonly:\n      enabled: true\n";
            text.insert_str(http, maintenance);
        }
        if self.tls.is_some() {
            let [certificate, key, authority] =
                TLS_FILES.map(|name| self.directory.path().join(name).display().to_string());
            text.push_str(&format!(
                "  tls:\n    certificate: {certificate}\n    key: {key}\n"
            ));
            if self.settings.client_certificates {
                text.push_str(&format!("    clientcas:\n      - {authority}\n"));
            }
        }
        if let Some(secret) = self.settings.secret {
            text.push_str(&format!("  secret: {secret}\n"));
        }
        if self.settings.htpasswd.is_some() {
            let path = self.directory.path().join("htpasswd");
            text.push_str(&format!(
                "auth:\n  htpasswd:\n    realm: test\n    path: {}\n",
                path.display()
            ));
        }
        text
    }
}

impl Drop for DockerRegistry {
    fn drop(&mut self) {
        self.kill();
    }
}

#[allow(clippy::disallowed_methods)] // Tests write files for other programs.
fn write(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
}
