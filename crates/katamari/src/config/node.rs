//! `[node]` and `[cluster]`: what this machine is, and which cluster it is part of.

use super::section::{Entry, Section};
use super::{CONTROL_DEFAULT, DAY, LABELS_MAX, MILLISECOND, SOCKET_PATH_MAX, VALUE_MAX};
use cluster::hard::Roles;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;
use wire::{PROTOCOL_MAX, PROTOCOL_MIN};

/// Where a node keeps what it must not forget, beside the configuration.
const STATE_DEFAULT: &str = "katamari.d";

/// Masters of one cluster: each change waits for a majority of them.
const MASTERS_MAX: usize = 7;

/// `[node]`: this machine only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// What people call this machine; else its host name.
    pub name: Option<String>,
    /// What placement may ask for.
    pub labels: BTreeMap<String, String>,
    /// What this node is for.
    pub roles: Roles,
    /// Where it listens for links from other nodes.
    pub listen: Option<SocketAddr>,
    /// `host:port` at which others reach it, if that is not where it listens.
    pub advertise: Option<String>,
    /// The folder of what it must not forget: its identity, and a master's log.
    pub state: PathBuf,
    /// The control socket.
    pub control: PathBuf,
    /// How long running calls may take to finish when the node stops.
    pub drain_timeout: Duration,
    /// Whether each call leaves a line in the log.
    pub access_log: bool,
    /// The greatest version of the link protocol that it speaks: this build's, unless it is held
    /// back during an upgrade.
    pub protocol: u16,
}

impl Node {
    /// The versions of the link protocol that it speaks.
    pub fn versions(&self) -> RangeInclusive<u16> {
        PROTOCOL_MIN..=self.protocol
    }

    /// `host:port` at which other nodes reach this one, if that is known.
    pub fn address(&self) -> Option<String> {
        let listen = self.listen.filter(|listen| !listen.ip().is_unspecified());
        let own = listen.map(|listen| listen.to_string());
        self.advertise.clone().or(own)
    }
}

/// `[cluster]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cluster {
    /// `host:port` of each master, in the order of their priority. Empty on a machine that is alone.
    pub masters: Vec<String>,
    /// How long a call may wait and run where its program does not say.
    pub timeout: Duration,
}

pub fn read(mut section: Section<'_>, folder: &Path) -> Node {
    let name = section
        .get("name")
        .and_then(|entry| entry.name("node's name"));
    let labels = section
        .get("labels")
        .map(|entry| labels(&entry))
        .unwrap_or_default();
    let roles = section
        .get("roles")
        .map_or(Roles::ALL, |entry| roles(&entry));
    let listen = section.get("listen").and_then(|entry| listen(&entry));
    let advertise = section.get("advertise").and_then(|entry| host_port(&entry));
    let state = section
        .get("state")
        .and_then(|entry| entry.text())
        .unwrap_or_else(|| STATE_DEFAULT.to_owned());
    let control = control(&mut section, folder);
    let drain_timeout = section
        .get("drain_timeout")
        .and_then(|entry| entry.duration(MILLISECOND..=DAY))
        .unwrap_or(Duration::from_secs(30));
    let access_log = section.get("access_log");
    let access_log = access_log.and_then(|entry| entry.boolean());
    let protocols = u64::from(PROTOCOL_MIN)..=u64::from(PROTOCOL_MAX);
    let protocol = section
        .get("protocol")
        .and_then(|entry| entry.integer(protocols))
        .and_then(|protocol| u16::try_from(protocol).ok())
        .unwrap_or(PROTOCOL_MAX);
    section.finish();
    Node {
        name,
        labels,
        roles,
        listen,
        advertise,
        state: folder.join(state),
        control,
        drain_timeout,
        access_log: access_log.unwrap_or(false),
        protocol,
    }
}

pub fn cluster(mut section: Section<'_>) -> Cluster {
    let timeout = section
        .get("timeout")
        .and_then(|entry| entry.duration(MILLISECOND..=DAY));
    let masters = section
        .get("masters")
        .and_then(|entry| entry.list("master's address", MASTERS_MAX))
        .unwrap_or_default();
    let masters: Vec<String> = masters.iter().filter_map(host_port).collect();
    section.finish();
    Cluster {
        masters,
        timeout: timeout.unwrap_or(manager::Timeouts::default().call),
    }
}

fn roles(entry: &Entry<'_>) -> Roles {
    let words = [("master", 0), ("manager", 1), ("faceplate", 2)];
    let mut roles = Roles::default();
    for entry in entry.list("role", words.len()).unwrap_or_default() {
        match entry.choice(&words) {
            Some(0) => roles.master = true,
            Some(1) => roles.manager = true,
            Some(_) => roles.faceplate = true,
            None => {}
        }
    }
    if roles == Roles::default() {
        entry.report("expected at least one of \"master\", \"manager\" and \"faceplate\"");
    }
    roles
}

fn listen(entry: &Entry<'_>) -> Option<SocketAddr> {
    let text = entry.text()?;
    let address = text.parse().ok();
    if address.is_none() {
        entry.report(format!(
            "expected an address and a port, such as \"10.0.0.1:7400\", got \"{text}\""
        ));
    }
    address
}

/// The text of a host and a port.
pub fn host_port(entry: &Entry<'_>) -> Option<String> {
    let text = entry.text()?;
    let is_good = text
        .rsplit_once(':')
        .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok());
    if !is_good {
        entry.report(format!(
            "expected a host and a port, such as \"10.0.0.1:7400\", got \"{text}\""
        ));
    }
    is_good.then_some(text)
}

fn control(section: &mut Section<'_>, folder: &Path) -> PathBuf {
    let entry = section.get("control");
    let path = entry
        .as_ref()
        .and_then(Entry::text)
        .unwrap_or_else(|| CONTROL_DEFAULT.to_owned());
    let control = folder.join(path);
    let length = control.as_os_str().len();
    if length > SOCKET_PATH_MAX {
        let message = format!(
            "the control socket's path {} has {length} bytes, a socket's path can have \
             {SOCKET_PATH_MAX}; set control to a shorter one, such as \"/run/katamari.sock\"",
            control.display()
        );
        match &entry {
            Some(entry) => entry.report(message),
            None => section.report(message),
        }
    }
    control
}

pub fn labels(entry: &Entry<'_>) -> BTreeMap<String, String> {
    let section = entry.section();
    let labels = values(&section);
    if labels.len() > LABELS_MAX {
        entry.report(format!(
            "expected at most {LABELS_MAX} labels, got {}",
            labels.len()
        ));
    }
    labels
}

/// A table of names and short strings.
pub fn values(section: &Section<'_>) -> BTreeMap<String, String> {
    let mut values = BTreeMap::new();
    for (key, entry) in section.entries() {
        let Some(value) = entry.text() else { continue };
        if value.len() > VALUE_MAX {
            entry.report(format!(
                "expected at most {VALUE_MAX} bytes, got {}",
                value.len()
            ));
        }
        if entry.key_is_name("name", key) {
            values.insert(key.to_owned(), value);
        }
    }
    values
}
