//! Where a registry's API is: which host, and whether TLS or plain HTTP is spoken there.
//!
//! Where plain HTTP is allowed, nobody knows before it was tried. Whoever comes first tries, the
//! others wait for what comes of it. When nothing did, each of them tries for itself: they have
//! waited for one failure, and to wait for one another would take each of them the time of all.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock};

use reqwest::Method;
use url::Url;

use super::client::{Client, lock};
use super::error::{Error, Result, chain};
use super::mirrors::Endpoint;
use super::redact::RedactedUrl;
use super::transport::{Payload, Sending};
use crate::model::Host;

/// Where Docker Hub's API is; references and auth files call it otherwise.
const DOCKER_HUB_API: &str = "registry-1.docker.io";

/// What hosts speak where plain HTTP is allowed, by `host[:port]`.
#[derive(Debug, Default)]
pub(super) struct Schemes {
    hosts: Mutex<HashMap<String, Arc<Found>>>,
}

/// What was found out about one host.
#[derive(Debug, Default)]
struct Found {
    scheme: OnceLock<&'static str>,
    /// Held by whoever finds out. True when somebody did that in vain.
    turn: tokio::sync::Mutex<bool>,
}

impl Schemes {
    fn of(&self, authority: &str) -> Arc<Found> {
        let mut hosts = lock(&self.hosts);
        Arc::clone(hosts.entry(authority.to_owned()).or_default())
    }
}

impl Client {
    /// The root of a registry's API, `https://host[:port]/v2/`.
    pub(super) async fn base(&self, endpoint: &Endpoint) -> Result<Url> {
        let authority = authority(&endpoint.repository.host);
        if !self.is_insecure(endpoint) {
            return api_url("https", &authority);
        }
        let found = self.schemes().of(&authority);
        if let Some(scheme) = found.scheme.get() {
            return api_url(scheme, &authority);
        }
        let mut failed = found.turn.lock().await;
        if let Some(scheme) = found.scheme.get() {
            return api_url(scheme, &authority);
        }
        let answered = if *failed {
            drop(failed);
            self.find_scheme(&authority).await
        } else {
            let answered = self.find_scheme(&authority).await;
            *failed = answered.is_err();
            answered
        };
        let scheme = answered?;
        api_url(found.scheme.get_or_init(|| scheme), &authority)
    }

    /// Tries TLS, then plain HTTP.
    async fn find_scheme(&self, authority: &str) -> Result<&'static str> {
        let Err(tls) = self.probe("https", authority).await else {
            return Ok("https");
        };
        match self.probe("http", authority).await {
            Ok(()) => Ok("http"),
            Err(plain) => Err(no_answer(authority.to_owned(), tls, plain)),
        }
    }

    /// Whether something answers. A TLS server answers plain HTTP with 400.
    async fn probe(&self, scheme: &str, authority: &str) -> Result<()> {
        let url = api_url(scheme, authority)?;
        let sending = Sending::new(Method::GET, &url, true);
        let response = self.follow(&sending, None, Payload::Empty).await?;
        if response.status() == 400 {
            return Err(response.into_error().await);
        }
        Ok(())
    }
}

/// Which of two failures to tell, of the attempts over TLS and over plain HTTP.
fn no_answer(host: String, tls: Error, plain: Error) -> Error {
    match tls {
        // Nobody answered at all: the person must see that both were tried.
        tls if tls.is_transient() => Error::NoAnswer {
            host,
            tls: chain(&tls),
            source: Box::new(plain),
        },
        // That there is no TLS was to be expected: plain HTTP was the way.
        Error::NoTls { .. } => plain,
        // TLS is spoken there, and what went wrong with it says more.
        tls => tls,
    }
}

/// `host[:port]` of a registry's API.
pub(super) fn authority(host: &Host) -> String {
    match host.as_str() {
        Host::DOCKER_HUB | "index.docker.io" => DOCKER_HUB_API.to_owned(),
        other => other.to_owned(),
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
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio::sync::Barrier;
    use tokio::time::timeout;

    use super::*;
    use crate::registry::ClientOptions;

    /// As many as ask at the same time.
    const MANY: usize = 32;

    /// Something at a port that `answers` plain HTTP, or nobody. Where it answers nobody, it lets
    /// go of the first who asks for TLS; of the others when all of them have come. Counts those
    /// who ask for TLS and those who do not.
    async fn serve(answers: bool) -> (String, Arc<[AtomicUsize; 2]>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let asked = Arc::new([AtomicUsize::new(0), AtomicUsize::new(0)]);
        let (counts, others) = (Arc::clone(&asked), Arc::new(Barrier::new(MANY - 1)));
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let (counts, others) = (Arc::clone(&counts), Arc::clone(&others));
                tokio::spawn(async move {
                    let mut head = [0; 1024];
                    let _ = stream.read(&mut head).await;
                    let is_plain = head.starts_with(b"GET /v2/ ");
                    let number = counts[usize::from(is_plain)].fetch_add(1, Ordering::SeqCst);
                    if answers {
                        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
                        let _ = stream.write_all(answer).await;
                    } else if !is_plain && number > 0 {
                        others.wait().await;
                    }
                });
            }
        });
        (host, asked)
    }

    fn client() -> Client {
        Client::new(ClientOptions {
            tls_verify: false,
            ..ClientOptions::default()
        })
    }

    /// What all get who ask at the same time.
    async fn ask(host: &str) -> Vec<Result<Url>> {
        let client = client();
        let endpoint = client.own_place(&format!("{host}/a").parse().unwrap());
        let asking = (0..MANY).map(|_| client.base(&endpoint));
        let asking = futures_util::future::join_all(asking);
        // Far longer than it takes, unless they wait for each other.
        timeout(Duration::from_secs(100), asking).await.unwrap()
    }

    #[tokio::test]
    async fn one_finds_out_for_all() {
        let (host, asked) = serve(true).await;
        for base in ask(&host).await {
            assert_eq!(base.unwrap().as_str(), format!("http://{host}/v2/"));
        }
        let [tls, plain] = &*asked;
        assert_eq!(tls.load(Ordering::SeqCst), 1);
        assert_eq!(plain.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn nobody_waits_for_others_at_a_host_that_does_not_answer() {
        let (host, asked) = serve(false).await;
        assert!(ask(&host).await.iter().all(Result::is_err));
        assert_eq!(asked[0].load(Ordering::SeqCst), MANY);
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
