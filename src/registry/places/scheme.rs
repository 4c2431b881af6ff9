//! Finds the root of a registry's API: its host, and TLS or plain HTTP.
//!
//! Where plain HTTP is allowed, the scheme is not known before a probe. The first task that needs
//! it probes the host; tasks that wait meanwhile get the same result.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use reqwest::Method;
use tokio::sync::OnceCell;
use tokio::time::timeout;
use url::Url;

use crate::model::Host;
use crate::registry::authority::authority;
use crate::registry::error::{Error, Result, chain};
use crate::registry::http::{Engine, Payload, Request};
use crate::registry::locks::lock;
use crate::registry::redact::RedactedUrl;

/// Timeout of a probe, once over TLS and once over plain HTTP. A probe is a minimal request, and
/// no other request can be sent to the host before its result.
const PATIENCE: Duration = Duration::from_secs(15);

/// Schemes of hosts where plain HTTP is allowed, by `host[:port]`: probed, or being probed.
#[derive(Debug, Default)]
pub(in crate::registry) struct Schemes {
    hosts: Mutex<HashMap<String, Arc<OnceCell<ProbeResult>>>>,
}

/// The scheme, or the reasons why no answer came.
type ProbeResult = std::result::Result<&'static str, ProbeFailure>;

/// The reasons why no answer came; shared by all tasks that waited for the probe.
#[derive(Debug, Clone)]
struct ProbeFailure {
    /// The failure over TLS, with its causes; `None` if the host does not speak TLS.
    tls: Option<String>,
    /// The failure over plain HTTP.
    plain: Arc<Error>,
}

impl Schemes {
    /// Returns the root of a registry's API, `https://host[:port]/v2/`. `insecure`: plain HTTP is
    /// allowed there.
    pub(in crate::registry) async fn base(
        &self,
        http: &Engine,
        host: &Host,
        insecure: bool,
    ) -> Result<Url> {
        let authority = authority(host);
        if !insecure {
            return api_url("https", &authority);
        }
        let finding = self.finding(&authority);
        // Only one task probes. Its hard error is not shared; the next waiter probes again.
        let found = finding.get_or_try_init(|| find_scheme(http, &authority));
        match found.await? {
            Ok(scheme) => api_url(scheme, &authority),
            Err(failure) => {
                self.forget(&authority, &finding);
                Err(failure.clone().at(authority))
            }
        }
    }

    fn finding(&self, authority: &str) -> Arc<OnceCell<ProbeResult>> {
        let mut hosts = lock(&self.hosts);
        Arc::clone(hosts.entry(authority.to_owned()).or_default())
    }

    /// Makes the next task probe again, unless another one has already begun to.
    fn forget(&self, authority: &str, finding: &Arc<OnceCell<ProbeResult>>) {
        let mut hosts = lock(&self.hosts);
        let is_it = |known: &Arc<OnceCell<ProbeResult>>| Arc::ptr_eq(known, finding);
        if hosts.get(authority).is_some_and(is_it) {
            hosts.remove(authority);
        }
    }
}

/// Probes with TLS, then with plain HTTP.
async fn find_scheme(http: &Engine, authority: &str) -> Result<ProbeResult> {
    let Err(tls) = probe(http, "https", authority).await else {
        return Ok(Ok("https"));
    };
    match probe(http, "http", authority).await {
        Ok(()) => Ok(Ok("http")),
        Err(plain) => no_answer(tls, plain).map(Err),
    }
}

/// Succeeds if the host answers. Status 400 is a failure: a TLS server answers so to plain HTTP.
async fn probe(http: &Engine, scheme: &str, authority: &str) -> Result<()> {
    let url = api_url(scheme, authority)?;
    let request = Request::new(Method::GET, &url, true);
    let answer = http.send_following_redirects(&request, None, Payload::Empty);
    let answer = timeout(PATIENCE, answer).await;
    let response = answer.unwrap_or_else(|_| {
        Err(Error::TimedOut {
            url: (&url).into(),
            after: PATIENCE,
        })
    })?;
    if response.status() == 400 {
        return Err(response.into_error().await);
    }
    Ok(())
}

impl ProbeFailure {
    fn at(self, host: String) -> Error {
        match self.tls {
            // The message must show that both were tried.
            Some(tls) => Error::NeitherTlsNorHttp {
                host,
                tls,
                source: self.plain,
            },
            None => Error::HttpUnreachable(self.plain),
        }
    }
}

/// Combines the failures over TLS and over plain HTTP.
fn no_answer(tls: Error, plain: Error) -> Result<ProbeFailure> {
    match tls {
        tls if tls.is_transient() => Ok(ProbeFailure {
            tls: Some(chain(&tls)),
            plain: Arc::new(plain),
        }),
        // The host does not speak TLS, which is allowed here: the failure over plain HTTP counts.
        Error::NoTls { .. } if plain.is_transient() => Ok(ProbeFailure {
            tls: None,
            plain: Arc::new(plain),
        }),
        Error::NoTls { .. } => Err(plain),
        // The host speaks TLS, and the failure over TLS is the more informative one.
        tls => Err(tls),
    }
}

fn api_url(scheme: &str, authority: &str) -> Result<Url> {
    let text = format!("{scheme}://{authority}/v2/");
    Url::parse(&text).map_err(|error| Error::Protocol {
        url: RedactedUrl::of_authority(scheme, authority),
        reason: error.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;
    use crate::registry::{Client, ClientOptions};

    /// Number of concurrent requests in the tests.
    const MANY: usize = 32;

    /// Starts a server that answers plain HTTP if `answers`, else closes each connection. Counts
    /// the connections with TLS (index 0) and with plain HTTP (index 1).
    async fn serve(answers: bool) -> (String, Arc<[AtomicUsize; 2]>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let asked = Arc::new([AtomicUsize::new(0), AtomicUsize::new(0)]);
        let counts = Arc::clone(&asked);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let counts = Arc::clone(&counts);
                tokio::spawn(async move {
                    let mut head = [0; 1024];
                    let _ = stream.read(&mut head).await;
                    let is_plain = head.starts_with(b"GET /v2/ ");
                    counts[usize::from(is_plain)].fetch_add(1, Ordering::SeqCst);
                    if answers {
                        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
                        let _ = stream.write_all(answer).await;
                    }
                });
            }
        });
        (host, asked)
    }

    fn client() -> Client {
        Client::new(ClientOptions {
            tls_verify: Some(false),
            ..ClientOptions::default()
        })
    }

    /// Asks for the API's root with `MANY` concurrent tasks; returns all results.
    async fn ask(client: &Client, host: &str) -> Vec<Result<Url>> {
        let endpoint = client.own_place(&format!("{host}/a").parse().unwrap());
        let asking = (0..MANY).map(|_| client.base(&endpoint));
        futures_util::future::join_all(asking).await
    }

    #[tokio::test]
    async fn one_finds_out_for_all() {
        let (host, asked) = serve(true).await;
        for base in ask(&client(), &host).await {
            assert_eq!(base.unwrap().as_str(), format!("http://{host}/v2/"));
        }
        let [tls, plain] = &*asked;
        assert_eq!(tls.load(Ordering::SeqCst), 1);
        assert_eq!(plain.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn that_nobody_answers_is_found_out_for_those_who_waited_and_not_for_good() {
        let (host, asked) = serve(false).await;
        let client = client();
        for round in 1..=3 {
            for base in ask(&client, &host).await {
                let error = base.unwrap_err();
                assert!(
                    matches!(error, Error::NeitherTlsNorHttp { .. }),
                    "{error:?}"
                );
                assert_eq!(error.unconnected(), Some(host.as_str()));
            }
            assert_eq!(asked[0].load(Ordering::SeqCst), round);
        }
    }

    #[tokio::test]
    async fn the_next_one_finds_out_when_the_first_is_stopped() {
        let (host, asked) = serve(true).await;
        let client = client();
        let endpoint = client.own_place(&format!("{host}/a").parse().unwrap());
        {
            let mut first = Box::pin(client.base(&endpoint));
            let mut second = Box::pin(client.base(&endpoint));
            assert!(futures_util::poll!(&mut first).is_pending());
            assert!(futures_util::poll!(&mut second).is_pending());
            drop(first);
            assert!(second.await.is_ok());
        }
        assert!(asked[1].load(Ordering::SeqCst) >= 1);
    }
}
