//! A network of namespaces: a bridge in our own one, and for each node a namespace of its own with
//! an address on that bridge. Nodes can be cut off, muted and slowed.
//!
//! All names begin with `kt` and the pid of the bench, so that what a bench leaves behind that was
//! killed is found, and removed, by the next.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::Pid;

use crate::processes;

/// What all names begin with; the pid follows.
const PREFIX: &str = "kt";

/// Where `ip netns` keeps its namespaces.
const NAMESPACES: &str = "/var/run/netns";

/// The bridge's own address ends so, nodes count from 1.
const BRIDGE_HOST: u8 = 254;

/// A hardware address that nobody has: what is sent there is lost without a word.
const NOBODY: &str = "02:00:00:00:00:01";

/// How nodes are slowed: the first of these that the kernel knows.
const SLOW: [(&str, &[&str]); 2] = [
    ("100 ms later", &["netem", "delay", "100ms", "20ms"]),
    (
        "at 512 kbit/s",
        &["tbf", "rate", "512kbit", "burst", "4kb", "latency", "2s"],
    ),
];

/// The bridge, and all that hangs on it.
pub struct Network {
    prefix: String,
    subnet: u8,
    nodes: u8,
}

/// A node's end of the network.
#[derive(Clone)]
pub struct Port {
    /// The namespace.
    pub namespace: String,
    /// Its address.
    pub address: Ipv4Addr,
    bridge: String,
    /// The bridge's end of the cable.
    outside: String,
}

impl Network {
    /// Removes what dead ones left behind, and makes a bridge.
    pub fn new() -> Result<Self> {
        sweep(|pid| !Path::new("/proc").join(pid).exists())?;
        let prefix = format!("{PREFIX}{}", std::process::id());
        let pid_low = u8::try_from(std::process::id() % 200).expect("below 200");
        let network = Self {
            prefix,
            subnet: pid_low + 1,
            nodes: 0,
        };
        let (bridge, own) = (network.bridge(), network.host(BRIDGE_HOST));
        ip(&["link", "add", "name", &bridge, "type", "bridge"])?;
        ip(&["addr", "add", &format!("{own}/24"), "dev", &bridge])?;
        ip(&["link", "set", &bridge, "up"])?;
        Ok(network)
    }

    /// A namespace for a node.
    pub fn add(&mut self, name: &str) -> Result<Port> {
        self.nodes += 1;
        let port = Port {
            namespace: format!("{}-{name}", self.prefix),
            address: self.host(self.nodes),
            bridge: self.bridge(),
            outside: format!("{}v{}", self.prefix, self.nodes),
        };
        let (namespace, outside) = (port.namespace.as_str(), port.outside.as_str());
        ip(&["netns", "add", namespace])?;
        let cable = ["link", "add", outside, "type", "veth", "peer", "name"];
        ip(&[&cable[..], &["eth0", "netns", namespace]].concat())?;
        ip(&["link", "set", outside, "master", &port.bridge, "up"])?;
        let address = format!("{}/24", port.address);
        ip(&["-n", namespace, "addr", "add", &address, "dev", "eth0"])?;
        ip(&["-n", namespace, "link", "set", "eth0", "up"])?;
        ip(&["-n", namespace, "link", "set", "lo", "up"])?;
        Ok(port)
    }

    fn bridge(&self) -> String {
        format!("{}b", self.prefix)
    }

    fn host(&self, number: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, 77, self.subnet, number)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        let own = std::process::id().to_string();
        if let Err(error) = sweep(|pid| pid == own) {
            eprintln!("the network was not removed: {error:#}");
        }
    }
}

impl Port {
    /// What the files of this namespace's processes are named by.
    pub fn inode(&self) -> Result<u64> {
        use std::os::unix::fs::MetadataExt;
        let path = PathBuf::from(NAMESPACES).join(&self.namespace);
        let metadata = std::fs::metadata(&path);
        Ok(metadata
            .with_context(|| format!("no {}", path.display()))?
            .ino())
    }

    /// Takes the cable out at the bridge: nothing gets in or out, and nobody is told.
    pub fn cut(&self) -> Result<()> {
        ip(&["link", "set", &self.outside, "nomaster"])
    }

    /// Puts the cable back.
    pub fn mend(&self) -> Result<()> {
        ip(&["link", "set", &self.outside, "master", &self.bridge])
    }

    /// Nothing gets out any more; what others send still comes in.
    pub fn mute(&self) -> Result<()> {
        self.neighbours(|address| {
            format!("neigh replace {address} lladdr {NOBODY} dev eth0 nud permanent")
        })
    }

    /// Ends `mute`.
    pub fn unmute(&self) -> Result<()> {
        self.neighbours(|address| format!("neigh del {address} dev eth0"))
    }

    /// Slows what the node sends, and says how; `None` if the kernel cannot.
    pub fn slow(&self) -> Option<&'static str> {
        let can = |(_, how): &&(&str, &[&str])| {
            let device = [
                "-n",
                &self.namespace,
                "qdisc",
                "replace",
                "dev",
                "eth0",
                "root",
            ];
            run("tc", &[&device[..], how].concat()).is_ok()
        };
        SLOW.iter().find(can).map(|(name, _)| *name)
    }

    /// Ends `slow`.
    pub fn unslow(&self) -> Result<()> {
        let device = ["-n", &self.namespace, "qdisc", "del", "dev", "eth0", "root"];
        run("tc", &device).map(drop)
    }

    /// One command for each address that the node could send to.
    fn neighbours(&self, line: impl Fn(Ipv4Addr) -> String) -> Result<()> {
        use std::io::Write;
        let [a, b, c, own] = self.address.octets();
        let others = (1..=BRIDGE_HOST).filter(|&host| host != own);
        let lines: String = others
            .map(|host| line(Ipv4Addr::new(a, b, c, host)) + "\n")
            .collect();
        let mut batch = Command::new("ip")
            .args(["-n", &self.namespace, "-batch", "-"])
            .stdin(Stdio::piped())
            .spawn()
            .context("cannot start ip")?;
        let mut stdin = batch.stdin.take().expect("it was piped");
        stdin.write_all(lines.as_bytes()).context("ip has ended")?;
        drop(stdin);
        let status = batch.wait().context("cannot wait for ip")?;
        ensure!(status.success(), "ip -batch ended with {status}");
        Ok(())
    }
}

/// Whether there can be namespaces; if not, why.
pub fn is_possible() -> Result<(), &'static str> {
    if !rustix::process::geteuid().is_root() {
        return Err("needs root for ip netns");
    }
    let probe = format!("{PREFIX}{}-probe", std::process::id());
    if ip(&["netns", "add", &probe]).is_err() {
        return Err("needs ip netns and the right to use it");
    }
    let removed = ip(&["netns", "del", &probe]);
    removed.map_err(|_| "needs ip netns and the right to use it")
}

/// Removes the namespaces and devices of the benches whose pid is chosen, and kills what still runs
/// in them.
fn sweep(is_chosen: impl Fn(&str) -> bool) -> Result<()> {
    let is_ours = |name: &str| {
        let rest = name.strip_prefix(PREFIX).unwrap_or_default();
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        digits > 0 && rest[digits..].starts_with(['-', 'b', 'v']) && is_chosen(&rest[..digits])
    };
    for line in run("ip", &["netns", "list"])?.lines() {
        let name = line.split_whitespace().next().unwrap_or_default();
        if is_ours(name) {
            for pid in run("ip", &["netns", "pids", name])?.lines() {
                // It may have ended by now.
                let pid = pid.trim().parse().ok().and_then(Pid::from_raw);
                let _ = pid.map(processes::kill);
            }
            ip(&["netns", "del", name])?;
        }
    }
    for line in run("ip", &["-o", "link", "show"])?.lines() {
        let name = line.split(": ").nth(1).unwrap_or_default();
        let name = name.split('@').next().unwrap_or_default();
        if is_ours(name) {
            // The cable of a namespace may go with it in this moment.
            let _ = ip(&["link", "del", name]);
        }
    }
    Ok(())
}

fn ip(arguments: &[&str]) -> Result<()> {
    run("ip", arguments).map(drop)
}

fn run(program: &str, arguments: &[&str]) -> Result<String> {
    let shown = || format!("{program} {}", arguments.join(" "));
    let output = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot run {}", shown()))?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        bail!("{}: {}", shown(), stderr.trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
