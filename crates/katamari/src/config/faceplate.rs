//! `[faceplate.NAME]`: which protocol is served where and how, and what keeps strangers out. What
//! is a protocol's own in such a table it reads by itself, through [`Keys`].

use super::node::host_port;
use super::section::{Entry, Section, meant};
use super::{DAY, MILLISECOND, YEAR};
use faceplate::{KINDS, Keys, Kind, Limits, Risk, Statsd, Tls, TokenPolicy};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// The faceplate that every node has that takes calls in, unless its file says otherwise.
pub const HTTP: &str = "http";

/// Faceplates of one node.
const FACEPLATES_MAX: usize = 100;

/// Names that mean something else where faceplates are listed, in ready files.
const RESERVED: [&str; 2] = ["control", "pid"];

/// Bytes of a message: a frame to a worker has room for 16 MiB.
const BODY_BOUNDS: RangeInclusive<u64> = 1_024..=16 << 20;

/// Bytes of headers: hyper needs 8 KiB at the least.
const HEADER_BOUNDS: RangeInclusive<u64> = 8 << 10..=1 << 20;

/// Connections at a time; each is a descriptor.
const CONNECTIONS_MAX: u64 = 100_000;

/// As often as statsd servers usually add up.
const STATSD_EVERY: Duration = Duration::from_secs(10);

const SECOND: Duration = Duration::from_secs(1);

/// `[faceplate.NAME]`.
#[derive(Debug, Clone)]
pub struct Faceplate {
    /// What it is called.
    pub name: String,
    /// Where to listen; port 0 lets the system choose one.
    pub listen: SocketAddr,
    /// What clients may take up.
    pub limits: Limits,
    /// None: connections are plain.
    pub tls: Option<TlsFiles>,
    /// Whether clients need a token.
    pub tokens: TokenPolicy,
    /// What whoever wrote the file has said yes to.
    pub accepted: Option<Risk>,
    /// Who serves, with the settings of its own.
    pub server: Arc<dyn faceplate::Faceplate>,
}

impl PartialEq for Faceplate {
    /// A server's settings are equal if their text is: that is what it is for.
    fn eq(&self, other: &Self) -> bool {
        format!("{self:?}") == format!("{other:?}")
    }
}

/// Files that were readable, and fitted each other, when the configuration was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate, followed by those that lead to its authority.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// Reads all tables; HTTP, which needs none, is the first. `has_tokens` says whether there is an
/// access token in the file.
pub fn read(mut section: Section<'_>, folder: &Path, has_tokens: bool) -> Vec<Faceplate> {
    let http = section.section(HTTP);
    let mut faceplates: Vec<_> = one(HTTP, http, folder, has_tokens).into_iter().collect();
    for (name, entry) in section.entries().filter(|(name, _)| *name != HTTP) {
        if !entry.is_table() {
            entry.report("expected a faceplate's table, such as [faceplate.jsonrpc]");
        } else if entry.key_is_name("faceplate's name", name) {
            if RESERVED.contains(&name) {
                entry.report_key("is the name of something else; choose another name");
            }
            faceplates.extend(one(name, entry.section(), folder, has_tokens));
        }
    }
    if faceplates.len() > FACEPLATES_MAX {
        section.report(format!(
            "expected at most {FACEPLATES_MAX} faceplates, got {}",
            faceplates.len()
        ));
    }
    faceplates
}

fn one(name: &str, mut section: Section<'_>, folder: &Path, has_tokens: bool) -> Option<Faceplate> {
    let kind = kind(name, &mut section)?;
    let listen = section.get("listen");
    let address = listen.as_ref().and_then(address);
    let limits = limits(&mut section);
    let server = (kind.read)(&mut Own {
        section: &mut section,
        folder,
    });
    let tls = section.get("tls");
    let has_tls = tls.is_some();
    let tls = tls.and_then(|entry| tls_files(&entry, folder));
    let words = [
        ("token", TokenPolicy::Required),
        ("open", TokenPolicy::Ignored),
    ];
    let tokens = section.get("access");
    let tokens = tokens.and_then(|entry| entry.choice(&words));
    let tokens = tokens.unwrap_or_default();
    let risks = Risk::ALL.map(|risk| (risk.words(), risk));
    let accepted = section.get("accept_risk");
    let accepted = accepted.and_then(|entry| entry.choice(&risks));
    section.finish();
    if let (Some(entry), Some(address)) = (listen, address) {
        let wants_tokens = match tokens {
            TokenPolicy::IfAny => has_tokens,
            TokenPolicy::Required => true,
            TokenPolicy::Ignored => false,
        };
        let risk = Risk::of(address, wants_tokens, has_tls);
        if let Some(risk) = risk.filter(|risk| accepted != Some(*risk)) {
            entry.report(warning(address, risk));
        }
    }
    let usual = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), kind.port);
    Some(Faceplate {
        name: name.to_owned(),
        listen: address.unwrap_or(usual),
        limits,
        tls,
        tokens,
        accepted,
        server: server?,
    })
}

/// The protocol of a table: that of its name, or the one it says.
fn kind(name: &str, section: &mut Section<'_>) -> Option<&'static Kind> {
    let protocol = section.get("protocol");
    if let Some(entry) = protocol {
        let words: Vec<_> = KINDS.iter().map(|kind| (kind.name, kind)).collect();
        return entry.choice(&words);
    }
    let found = KINDS.iter().find(|kind| kind.name == name);
    if found.is_none() {
        let names: Vec<_> = KINDS.iter().map(|kind| kind.name).collect();
        let message = format!(
            "is no protocol; {} A table of any name can say protocol = \"{HTTP}\"",
            meant(name, &names)
        );
        Section::report(section, message);
    }
    found
}

fn address(entry: &Entry<'_>) -> Option<SocketAddr> {
    let text = entry.text()?;
    let address = text.parse::<SocketAddr>().ok();
    if address.is_none() {
        entry.report(format!(
            "expected an address and a port, such as \"127.0.0.1:7480\" or \"[::1]:7480\", got \"{text}\""
        ));
    }
    address
}

fn warning(address: SocketAddr, risk: Risk) -> String {
    let (ip, words) = (address.ip(), risk.words());
    let remedy = match risk {
        Risk::AnyoneCanCall => "make tokens with `katamari token new`, and set tls",
        Risk::AnyoneCanRead => "set tls",
    };
    format!(
        "{ip} can be reached from other machines, and {words}; {remedy}, or listen on 127.0.0.1, \
         or take it upon you with accept_risk = \"{words}\""
    )
}

fn tls_files(entry: &Entry<'_>, folder: &Path) -> Option<TlsFiles> {
    let mut section = entry.section();
    if !section.is_present() {
        return None;
    }
    let mut file = |key, example| {
        let entry: Option<Entry<'_>> = section.need(key, example);
        entry
            .and_then(|entry| entry.text())
            .map(|path| folder.join(path))
    };
    let certificate = file("certificate", "certificate = \"server.pem\"");
    let key = file("key", "key = \"server.key\"");
    section.finish();
    let (certificate, key) = (certificate?, key?);
    if let Err(error) = Tls::load(&certificate, &key, &[]) {
        entry.report(error.to_string());
    }
    Some(TlsFiles { certificate, key })
}

fn limits(section: &mut Section<'_>) -> Limits {
    let default = Limits::default();
    let mut size = |key, bounds, default| {
        let bytes = section.get(key).and_then(|entry| entry.size(bounds));
        bytes
            .and_then(|bytes| usize::try_from(bytes).ok())
            .unwrap_or(default)
    };
    let body_max = size("body_max", BODY_BOUNDS, default.body_max);
    let header_max = size("header_max", HEADER_BOUNDS, default.header_max);
    let connections_max = section
        .get("connections_max")
        .and_then(|entry| entry.count(1..=CONNECTIONS_MAX))
        .unwrap_or(default.connections_max);
    let mut time = |key, max, default| {
        let entry: Option<Entry<'_>> = section.get(key);
        entry
            .and_then(|entry| entry.duration(MILLISECOND..=max))
            .unwrap_or(default)
    };
    Limits {
        body_max,
        header_max,
        connections_max,
        header_timeout: time("header_timeout", DAY, default.header_timeout),
        body_timeout: time("body_timeout", DAY, default.body_timeout),
        write_timeout: time("write_timeout", DAY, default.write_timeout),
        idle_timeout: time("idle_timeout", YEAR, default.idle_timeout),
    }
}

/// `[statsd]`, if it is there.
pub fn statsd(mut section: Section<'_>) -> Option<Statsd> {
    if !section.is_present() {
        return None;
    }
    let address = section.need("address", "address = \"127.0.0.1:8125\"");
    let address = address.and_then(|entry| host_port(&entry));
    let prefix = section.get("prefix").and_then(|entry| entry.name("prefix"));
    let every = section.get("every");
    let every = every.and_then(|entry| entry.duration(SECOND..=DAY));
    section.finish();
    Some(Statsd {
        address: address?,
        prefix: prefix.unwrap_or_else(|| "katamari".to_owned()),
        every: every.unwrap_or(STATSD_EVERY),
    })
}

/// A protocol's view of its table.
struct Own<'s, 'p> {
    section: &'s mut Section<'p>,
    folder: &'s Path,
}

impl<'p> Own<'_, 'p> {
    fn get(&mut self, key: &'static str) -> Option<Entry<'p>> {
        self.section.get(key)
    }
}

impl Keys for Own<'_, '_> {
    fn has(&mut self, key: &'static str) -> bool {
        self.get(key).is_some()
    }

    fn text(&mut self, key: &'static str) -> Option<String> {
        self.get(key)?.text()
    }

    fn texts(
        &mut self,
        key: &'static str,
        what: &str,
        max: usize,
        check: &dyn Fn(&str) -> Result<(), String>,
    ) -> Option<Vec<String>> {
        let entries = self.get(key)?.list(what, max)?;
        let text = |entry: &Entry<'_>| {
            let text = entry.text()?;
            let checked = check(&text).map_err(|problem| entry.report(problem));
            checked.is_ok().then_some(text)
        };
        entries.iter().map(text).collect()
    }

    fn pairs(
        &mut self,
        key: &'static str,
        max: usize,
        take: &mut dyn FnMut(&str, &str) -> Result<(), String>,
    ) {
        let Some(table) = self.get(key) else { return };
        let section = table.section();
        for (count, (name, entry)) in section.entries().enumerate() {
            if count == max {
                table.report(format!("expected at most {max} entries, got more"));
                return;
            }
            let taken = entry.text().map(|text| take(name, &text));
            if let Some(Err(problem)) = taken {
                entry.report(problem);
            }
        }
    }

    fn path(&self, text: &str) -> PathBuf {
        self.folder.join(text)
    }

    fn integer(&mut self, key: &'static str, min: u64, max: u64) -> Option<u64> {
        self.get(key)?.integer(min..=max)
    }

    fn boolean(&mut self, key: &'static str) -> Option<bool> {
        self.get(key)?.boolean()
    }

    fn choice(&mut self, key: &'static str, words: &[&str]) -> Option<usize> {
        let words: Vec<_> = words.iter().copied().zip(0..).collect();
        self.get(key)?.choice(&words)
    }

    fn report(&mut self, key: &'static str, message: String) {
        match self.get(key) {
            Some(entry) => entry.report(message),
            None => self.section.report(format!("{key}: {message}")),
        }
    }
}
