//! `[faceplate.http]`: where and how HTTP is served, and what keeps strangers out.

use super::section::{Entry, Section};
use super::{DAY, MILLISECOND};
use faceplate::http::Risk;
use faceplate::{HttpLimits, Tls, TokenPolicy};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

/// Bytes of a body: a frame to a worker has room for 16 MiB.
const BODY_BOUNDS: RangeInclusive<u64> = 1_024..=16 << 20;

/// Bytes of headers: hyper needs 8 KiB at the least.
const HEADER_BOUNDS: RangeInclusive<u64> = 8 << 10..=1 << 20;

/// Connections at a time; each is a descriptor.
const CONNECTIONS_MAX: u64 = 100_000;

/// Names that one node is reached by.
const HOSTS_MAX: usize = 100;

/// Characters of a name in the DNS.
const HOST_MAX: usize = 253;

/// Where HTTP is served.
const LISTEN_DEFAULT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 7480);

/// `[faceplate.http]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Http {
    /// Where to listen; port 0 lets the system choose one.
    pub listen: SocketAddr,
    /// What clients may take up.
    pub limits: HttpLimits,
    /// None: plain HTTP.
    pub tls: Option<TlsFiles>,
    /// Whether clients need a token.
    pub tokens: TokenPolicy,
    /// Names that clients may reach it by, besides addresses and `localhost`.
    pub hosts: Vec<String>,
    /// What whoever wrote the file has said yes to.
    pub accepted: Option<Risk>,
}

/// Files that were readable, and fitted each other, when the configuration was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate, followed by those that lead to its authority.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// Reads the table. `has_tokens` says whether there is an access token in the file.
pub fn read(mut section: Section<'_>, folder: &Path, has_tokens: bool) -> Http {
    let listen = section.get("listen");
    let address = listen.as_ref().and_then(address);
    let limits = limits(&mut section);
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
    let hosts = section.get("hosts").map(|entry| hosts(&entry));
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
    Http {
        listen: address.unwrap_or(LISTEN_DEFAULT),
        limits,
        tls,
        tokens,
        hosts: hosts.unwrap_or_default(),
        accepted,
    }
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
    if let Err(error) = Tls::load(&certificate, &key) {
        entry.report(error.to_string());
    }
    Some(TlsFiles { certificate, key })
}

fn hosts(entry: &Entry<'_>) -> Vec<String> {
    let what = "an array of names, such as [\"api.example.org\"]";
    let entries = entry.list(what, HOSTS_MAX).unwrap_or_default();
    let host = |entry: &Entry<'_>| {
        let text = entry.text()?;
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.';
        if text.is_empty() || text.len() > HOST_MAX || !text.bytes().all(fits) {
            entry.report(format!(
                "expected a name without scheme and port, such as \"api.example.org\", got \"{text}\""
            ));
            return None;
        }
        Some(text)
    };
    entries.iter().filter_map(host).collect()
}

fn limits(section: &mut Section<'_>) -> HttpLimits {
    let default = HttpLimits::default();
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
    let mut time = |key, default| {
        let entry: Option<Entry<'_>> = section.get(key);
        entry
            .and_then(|entry| entry.duration(MILLISECOND..=DAY))
            .unwrap_or(default)
    };
    HttpLimits {
        body_max,
        header_max,
        connections_max,
        header_timeout: time("header_timeout", default.header_timeout),
        body_timeout: time("body_timeout", default.body_timeout),
        write_timeout: time("write_timeout", default.write_timeout),
    }
}
