//! Proxies, from the environment's variables: which requests use which proxy.
//!
//! Follows `golang.org/x/net/http/httpproxy`, which podman, skopeo and `oc` use, so that a site's
//! settings mean the same here: `HTTP_PROXY` before `http_proxy`; loopback never uses a proxy;
//! `NO_PROXY` has names (with subdomains), `.domain` and `*.domain` (only subdomains), addresses,
//! CIDR blocks, each name or address with a port if wanted, and `*`. In addition, `ALL_PROXY`
//! stands in for the other two, as in curl.

use std::fmt;
use std::net::IpAddr;

use url::{Host, Url};

use crate::registry::redact::RedactedUrl;

/// The proxy variables of the environment, as they were set.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ProxyVariables {
    /// `HTTP_PROXY` or `http_proxy`.
    pub http: Option<String>,
    /// `HTTPS_PROXY` or `https_proxy`.
    pub https: Option<String>,
    /// `ALL_PROXY` or `all_proxy`.
    pub all: Option<String>,
    /// `NO_PROXY` or `no_proxy`.
    pub no: Option<String>,
}

impl fmt::Debug for ProxyVariables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The URLs may contain passwords.
        f.debug_struct("ProxyVariables")
            .field("http", &self.http.is_some())
            .field("https", &self.https.is_some())
            .field("all", &self.all.is_some())
            .field("no", &self.no)
            .finish()
    }
}

/// The rules made of the variables.
#[derive(Clone, Default)]
pub struct Proxies {
    http: Option<Url>,
    https: Option<Url>,
    exceptions: Vec<Exception>,
    unusable: Vec<&'static str>,
    /// The variables that are set and used, with their values in a form without passwords.
    shown: Vec<(&'static str, String)>,
}

impl fmt::Debug for Proxies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |url: &Option<Url>| url.as_ref().map(|url| RedactedUrl::from(url).to_string());
        f.debug_struct("Proxies")
            .field("http", &shown(&self.http))
            .field("https", &shown(&self.https))
            .field("exceptions", &self.exceptions)
            .finish()
    }
}

/// One entry of `NO_PROXY`.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Exception {
    All,
    Network {
        address: IpAddr,
        prefix: u32,
    },
    Address {
        address: IpAddr,
        port: Option<String>,
    },
    Domain {
        /// Begins with a dot.
        suffix: String,
        /// True if the domain itself matches, and not only names below it.
        itself: bool,
        port: Option<String>,
    },
}

impl Proxies {
    /// Parses the variables.
    pub fn new(variables: &ProxyVariables) -> Self {
        let (mut unusable, mut shown) = (Vec::new(), Vec::new());
        let mut parsed = |name, value: &Option<String>| {
            let value = value.as_deref().map(str::trim)?;
            let url = proxy_url(value);
            if url.is_none() && !value.is_empty() {
                unusable.push(name);
            }
            shown.extend(
                url.as_ref()
                    .map(|url| (name, RedactedUrl::from(url).to_string())),
            );
            url
        };
        let http = parsed("HTTP_PROXY", &variables.http);
        let https = parsed("HTTPS_PROXY", &variables.https);
        let all = parsed("ALL_PROXY", &variables.all);
        shown.extend(variables.no.clone().map(|no| ("NO_PROXY", no)));
        let exceptions = variables.no.as_deref().unwrap_or_default().split(',');
        Self {
            http: http.or_else(|| all.clone()),
            https: https.or(all),
            exceptions: exceptions.filter_map(Exception::parse).collect(),
            unusable,
            shown,
        }
    }

    /// Returns the variables that are used, with their values; passwords in URLs are left out.
    pub fn shown(&self) -> &[(&'static str, String)] {
        &self.shown
    }

    /// Returns the names of variables whose values are not URLs of a proxy.
    pub fn unusable(&self) -> &[&'static str] {
        &self.unusable
    }

    /// Returns the proxy for requests to a URL.
    pub fn proxy(&self, url: &Url) -> Option<&Url> {
        let proxy = match url.scheme() {
            "https" => self.https.as_ref(),
            "http" => self.http.as_ref(),
            _ => None,
        }?;
        let port = url.port_or_known_default()?.to_string();
        let host = Name::of(url)?;
        let is_exception = host.is_loopback()
            || self
                .exceptions
                .iter()
                .any(|exception| exception.matches(&host, &port));
        (!is_exception).then_some(proxy)
    }
}

/// Parses the value of a variable; `http` is the default scheme.
fn proxy_url(value: &str) -> Option<Url> {
    let usable = |url: &Url| {
        matches!(url.scheme(), "http" | "https" | "socks5" | "socks5h") && url.has_host()
    };
    let parsed = Url::parse(value).ok().filter(usable);
    let has_scheme = value.contains("://");
    parsed.or_else(|| {
        let with_scheme = format!("http://{value}");
        let url = Url::parse(&with_scheme).ok().filter(|_| !has_scheme)?;
        Some(url).filter(usable)
    })
}

/// A host in a request: its name in lower case, or its address.
struct Name {
    text: String,
    address: Option<IpAddr>,
}

impl Name {
    fn of(url: &Url) -> Option<Self> {
        let address = match url.host()? {
            Host::Domain(_) => None,
            Host::Ipv4(address) => Some(IpAddr::V4(address)),
            Host::Ipv6(address) => Some(IpAddr::V6(address)),
        };
        let text = url.host_str()?.to_ascii_lowercase();
        Some(Self { text, address })
    }

    fn is_loopback(&self) -> bool {
        self.text == "localhost" || self.address.is_some_and(|address| address.is_loopback())
    }
}

impl Exception {
    /// Parses one entry; `None` if it is empty or cannot match anything.
    fn parse(entry: &str) -> Option<Self> {
        let entry = entry.trim().to_ascii_lowercase();
        if entry == "*" {
            return Some(Self::All);
        }
        if let Some((address, prefix)) = entry.split_once('/') {
            let address: IpAddr = address.parse().ok()?;
            let prefix: u32 = prefix.parse().ok()?;
            let most = if address.is_ipv4() { 32 } else { 128 };
            return (prefix <= most).then_some(Self::Network { address, prefix });
        }
        let (host, port) = split_port(&entry);
        let port = port.map(str::to_owned);
        if let Ok(address) = host.parse() {
            return Some(Self::Address { address, port });
        }
        let (itself, name) = match host.strip_prefix('*').unwrap_or(host).strip_prefix('.') {
            Some(name) => (false, name),
            None => (true, host),
        };
        if name.is_empty() {
            return None;
        }
        // Names in requests are in the form of DNS.
        let name = match Host::parse(name) {
            Ok(Host::Domain(name)) => name,
            _ => name.to_owned(),
        };
        let suffix = format!(".{name}");
        Some(Self::Domain {
            suffix,
            itself,
            port,
        })
    }

    fn matches(&self, host: &Name, port: &str) -> bool {
        let fits = |wanted: &Option<String>| wanted.as_deref().is_none_or(|wanted| wanted == port);
        match self {
            Self::All => true,
            Self::Network { address, prefix } => host
                .address
                .is_some_and(|host| is_in_network(host, *address, *prefix)),
            Self::Address {
                address,
                port: wanted,
            } => host.address == Some(*address) && fits(wanted),
            Self::Domain {
                suffix,
                itself,
                port: wanted,
            } => {
                let is_itself = *itself && suffix.strip_prefix('.') == Some(host.text.as_str());
                (is_itself || host.text.ends_with(suffix)) && fits(wanted)
            }
        }
    }
}

/// Splits `host:port`, `[address]:port`, `[address]`, or a name or address without port.
fn split_port(entry: &str) -> (&str, Option<&str>) {
    if let Some(rest) = entry.strip_prefix('[') {
        return match rest.split_once(']') {
            Some((address, port)) => (address, port.strip_prefix(':')),
            None => (entry, None),
        };
    }
    match entry.split_once(':') {
        // More than one colon: an IPv6 address.
        Some((host, port)) if !port.contains(':') => (host, Some(port)),
        _ => (entry, None),
    }
}

fn is_in_network(host: IpAddr, network: IpAddr, prefix: u32) -> bool {
    let bits = |address| match address {
        IpAddr::V4(address) => (32, u128::from(u32::from(address))),
        IpAddr::V6(address) => (128, u128::from(address)),
    };
    let ((length, host), (other, network)) = (bits(host), bits(network));
    let shift = length - prefix.min(length);
    length == other && host.checked_shr(shift) == network.checked_shr(shift)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(no: &str) -> Proxies {
        Proxies::new(&ProxyVariables {
            http: Some("http://user:secret@p.lan:3128".to_owned()),
            https: Some("q.lan:8080".to_owned()),
            no: Some(no.to_owned()),
            ..ProxyVariables::default()
        })
    }

    #[test]
    fn values_are_shown_without_passwords_in_every_spelling() {
        let secret = "user:hunter2@p.lan:3128";
        for value in [secret.to_owned(), format!("http://{secret}")] {
            let proxies = Proxies::new(&ProxyVariables {
                https: Some(value.clone()),
                all: Some("ftp://q.lan".to_owned()),
                no: Some("x.lan".to_owned()),
                ..ProxyVariables::default()
            });
            let shown = format!("{:?}", proxies.shown());
            assert!(shown.contains("p.lan:3128"), "{value}: {shown}");
            assert!(!shown.contains("hunter2"), "{value}: {shown}");
            // What is not used is not shown.
            assert!(!shown.contains("ftp"), "{shown}");
        }
    }

    /// The cases of Go's own test of `NO_PROXY`, and those that its documentation names.
    #[test]
    fn exceptions_are_those_of_gos_clients() {
        let no = "foobar.com, .barbaz.net, *.wild.org,[::1],192.168.1.0/24,10.1.2.3,\
                  q.lan:5000,10.9.9.9:8443,2001:db8::/32,[fd00::1]:5000,,junk/x";
        for (url, spared) in [
            ("http://foobar.com/", true),
            ("http://www.foobar.com/", true),
            ("http://foofoobar.com/", false),
            ("http://barbaz.net/", false),
            ("http://a.barbaz.net/", true),
            ("http://wild.org/", false),
            ("http://a.b.wild.org/", true),
            ("http://FOOBAR.com/", true),
            ("http://192.168.1.77/", true),
            ("http://192.168.2.77/", false),
            ("http://10.1.2.3:5000/", true),
            ("http://10.1.2.4/", false),
            ("http://q.lan:5000/", true),
            ("http://q.lan:5001/", false),
            ("https://10.9.9.9:8443/", true),
            ("https://10.9.9.9/", false),
            ("http://[2001:db8::7]/", true),
            ("http://[2001:db9::7]/", false),
            ("http://[fd00::1]:5000/", true),
            ("http://[fd00::1]/", false),
            // Loopback, whatever NO_PROXY says.
            ("http://localhost:5000/", true),
            ("http://127.0.0.9/", true),
            ("https://[::1]:5000/", true),
            ("http://localhost.lan/", false),
            ("http://example.com/", false),
        ] {
            let found = proxies(no).proxy(&url.parse().unwrap()).cloned();
            assert_eq!(found.is_none(), spared, "{url}");
        }
        for no in ["*", "a.lan, *"] {
            assert_eq!(proxies(no).proxy(&"http://x.lan/".parse().unwrap()), None);
        }
        assert!(
            proxies("")
                .proxy(&"http://x.lan/".parse().unwrap())
                .is_some()
        );
    }

    #[test]
    fn each_scheme_has_its_proxy_and_all_stands_in() {
        let of = |proxies: &Proxies, url: &str| {
            proxies
                .proxy(&url.parse().unwrap())
                .map(|url| url.as_str().to_owned())
        };
        let some = |text: &str| Some(text.to_owned());
        let both = proxies("");
        assert_eq!(
            of(&both, "http://x.lan/"),
            some("http://user:secret@p.lan:3128/")
        );
        assert_eq!(of(&both, "https://x.lan/"), some("http://q.lan:8080/"));
        assert!(!format!("{both:?}").contains("secret"));
        let all = Proxies::new(&ProxyVariables {
            http: some("ftp://p.lan"),
            all: some("socks5h://s.lan:1080"),
            ..ProxyVariables::default()
        });
        assert_eq!(of(&all, "http://x.lan/"), some("socks5h://s.lan:1080"));
        assert_eq!(of(&all, "https://x.lan/"), some("socks5h://s.lan:1080"));
        assert_eq!(all.unusable(), ["HTTP_PROXY"]);
    }
}
