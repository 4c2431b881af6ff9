//! Network namespaces: without any network, or with a link to one address of this machine.

use std::net::Ipv4Addr;
use std::process::Command;
use std::sync::atomic::{AtomicU8, Ordering};

use super::real_part::{self, run};

/// A network namespace. Removed, with its link, when dropped.
#[derive(Debug)]
pub struct Namespace {
    name: String,
    link: Option<Link>,
}

/// A link between the namespace and this machine.
#[derive(Debug)]
struct Link {
    interface: String,
    here: Ipv4Addr,
}

impl Namespace {
    /// Makes a namespace with only a loopback interface. `None` if this machine cannot make one,
    /// which has been reported.
    #[track_caller]
    pub fn isolated() -> Option<Self> {
        Self::build(None)
    }

    /// Makes a namespace that reaches one address of this machine, [`Namespace::host`], and nothing
    /// else. Servers for it must listen there, not on 127.0.0.1.
    #[track_caller]
    pub fn linked() -> Option<Self> {
        static NEXT: AtomicU8 = AtomicU8::new(0);
        // 198.18.0.0/15 is reserved for tests (RFC 2544): no real network is shadowed. Concurrent
        // test processes divide the range by their process ids.
        let third = (std::process::id() % 251) as u8;
        let fourth = NEXT.fetch_add(1, Ordering::Relaxed) % 63 * 4;
        Self::build(Some([198, 18, third, fourth]))
    }

    #[track_caller]
    fn build(net: Option<[u8; 4]>) -> Option<Self> {
        static NEXT: AtomicU8 = AtomicU8::new(0);
        if !real_part::root("network namespaces") {
            return None;
        }
        real_part::required("ip")?;
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let id = format!("af{}n{number}", std::process::id());
        if let Err(why) = ip(&["netns", "add", &id]) {
            real_part::missing("network namespaces", &why);
            return None;
        }
        // From here on `drop` cleans up, whatever fails.
        let mut namespace = Self {
            name: id.clone(),
            link: None,
        };
        must(&["-n", &id, "link", "set", "lo", "up"]);
        if let Some([a, b, c, d]) = net {
            let here = Ipv4Addr::new(a, b, c, d + 1);
            let there = Ipv4Addr::new(a, b, c, d + 2);
            let add = ["link", "add", &id, "type", "veth", "peer", "name", "cable"];
            must(&[&add[..], &["netns", &id]].concat());
            namespace.link = Some(Link {
                interface: id.clone(),
                here,
            });
            must(&["addr", "add", &format!("{here}/30"), "dev", &id]);
            must(&["link", "set", &id, "up"]);
            let address = format!("{there}/30");
            must(&["-n", &id, "addr", "add", &address, "dev", "cable"]);
            must(&["-n", &id, "link", "set", "cable", "up"]);
        }
        Some(namespace)
    }

    /// Returns the address of this machine that can be reached from inside.
    pub fn host(&self) -> Ipv4Addr {
        self.link.as_ref().expect("a linked namespace").here
    }

    /// Returns the same command inside the namespace, with its arguments, its directory, and only
    /// the environment variables that were set on it.
    pub fn enter(&self, command: &Command) -> Command {
        let mut inside = Command::new("ip");
        inside.args(["netns", "exec", &self.name, "env", "--ignore-environment"]);
        for (name, value) in command.get_envs() {
            if let Some(value) = value {
                let mut assignment = name.to_owned();
                assignment.push("=");
                assignment.push(value);
                inside.arg(assignment);
            }
        }
        inside.arg(command.get_program()).args(command.get_args());
        if let Some(directory) = command.get_current_dir() {
            inside.current_dir(directory);
        }
        inside
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        if let Some(link) = &self.link {
            let _ = ip(&["link", "del", &link.interface]);
        }
        if let Err(why) = ip(&["netns", "del", &self.name]) {
            eprintln!("{why}");
        }
    }
}

fn ip(args: &[&str]) -> Result<String, String> {
    run(Command::new("ip").args(args))
}

#[track_caller]
fn must(args: &[&str]) {
    ip(args).unwrap_or_else(|why| panic!("{why}"));
}
