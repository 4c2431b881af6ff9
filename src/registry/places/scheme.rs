//! Where a registry's API is: which host, and whether TLS or plain HTTP is spoken there.
//!
//! Where plain HTTP is allowed, nobody knows before it was tried. Whoever comes first tries; what
//! comes of it, or that nothing did, is what the others waited for.

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
use crate::registry::http::{Engine, Payload, Sending};
use crate::registry::locks::lock;
use crate::registry::redact::RedactedUrl;

/// Waiting for an answer over TLS, and over plain HTTP. The question is the smallest that there is,
/// and nobody can do anything before it is answered.
const PATIENCE: Duration = Duration::from_secs(15);

/// What hosts speak where plain HTTP is allowed, by `host[:port]`: what was found out, or is being
/// found out.
#[derive(Debug, Default)]
pub(in crate::registry) struct Schemes {
    hosts: Mutex<HashMap<String, Arc<OnceCell<Finding>>>>,
}

/// The scheme, or why nobody answered.
type Finding = std::result::Result<&'static str, Silence>;

/// Why nobody answered, for all who waited to know.
#[derive(Debug, Clone)]
struct Silence {
    /// What went wrong with TLS, with its causes; `None`: it is not spoken there.
    tls: Option<String>,
    /// What went wrong with plain HTTP.
    plain: Arc<Error>,
}

impl Schemes {
    /// The root of a registry's API, `https://host[:port]/v2/`. `insecure`: whether plain HTTP is
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
            Err(silence) => {
                self.forget(&authority, &finding);
                Err(silence.clone().at(authority))
            }
        }
    }

    fn finding(&self, authority: &str) -> Arc<OnceCell<Finding>> {
        let mut hosts = lock(&self.hosts);
        Arc::clone(hosts.entry(authority.to_owned()).or_default())
    }

    /// Lets whoever asks next find out anew, unless that has begun already.
    fn forget(&self, authority: &str, finding: &Arc<OnceCell<Finding>>) {
        let mut hosts = lock(&self.hosts);
        let is_it = |known: &Arc<OnceCell<Finding>>| Arc::ptr_eq(known, finding);
        if hosts.get(authority).is_some_and(is_it) {
            hosts.remove(authority);
        }
    }
}

/// Tries TLS, then plain HTTP.
async fn find_scheme(http: &Engine, authority: &str) -> Result<Finding> {
    let Err(tls) = probe(http, "https", authority).await else {
        return Ok(Ok("https"));
    };
    match probe(http, "http", authority).await {
        Ok(()) => Ok(Ok("http")),
        Err(plain) => no_answer(tls, plain).map(Err),
    }
}

/// Whether something answers. A TLS server answers plain HTTP with 400.
async fn probe(http: &Engine, scheme: &str, authority: &str) -> Result<()> {
    let url = api_url(scheme, authority)?;
    let sending = Sending::new(Method::GET, &url, true);
    let answer = http.follow(&sending, None, Payload::Empty);
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

impl Silence {
    fn at(self, host: String) -> Error {
        match self.tls {
            // The person must see that both were tried.
            Some(tls) => Error::NoAnswer {
                host,
                tls,
                source: self.plain,
            },
            None => Error::NoPlainAnswer(self.plain),
        }
    }
}

/// What the failures over TLS and over plain HTTP say together.
fn no_answer(tls: Error, plain: Error) -> Result<Silence> {
    match tls {
        tls if tls.is_transient() => Ok(Silence {
            tls: Some(chain(&tls)),
            plain: Arc::new(plain),
        }),
        // That there is no TLS was to be expected: plain HTTP was the way.
        Error::NoTls { .. } if plain.is_transient() => Ok(Silence {
            tls: None,
            plain: Arc::new(plain),
        }),
        Error::NoTls { .. } => Err(plain),
        // TLS is spoken there, and what went wrong with it says more.
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

    /// As many as ask at the same time.
    const MANY: usize = 32;

    /// Something at a port that `answers` plain HTTP, or breaks off. Counts those who ask for TLS
    /// and those who do not.
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

    /// What all get who ask at the same time.
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
                assert!(matches!(error, Error::NoAnswer { .. }), "{error:?}");
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
