//! Who may come in: a web page must not be able to call a laptop's Katamari.
//!
//! A browser lets any page send requests to 127.0.0.1, and lets a page whose name is made to point
//! there (DNS rebinding) read the answers as well. Three checks close that door, for TCP:
//!
//! - `host` is an IP literal, `localhost`, the address listened on, or a configured name. A rebound
//!   name is none of them.
//! - `origin`, which browsers send with every request that can change anything, is this very host.
//! - a `POST` says a content type that no page can send to another origin without asking first
//!   (the safelist of the Fetch standard, "CORS-safelisted request-header"), even if its body is
//!   empty. This holds for browsers too old to send an origin.
//!
//! No web page reaches a Unix socket, so none of this applies there.

use super::problem::Problem;
use crate::desk::Desk;
use dispatch::Code;
use http::header::{CONTENT_TYPE, HOST, ORIGIN};
use http::{HeaderMap, Method, StatusCode, Version, request::Parts};
use std::net::IpAddr;

/// Content types that a web page may send anywhere.
const SAFELISTED: [&str; 3] = [
    "text/plain",
    "application/x-www-form-urlencoded",
    "multipart/form-data",
];

/// Checks one request that came over TCP.
pub(super) fn admit(parts: &Parts, hosts: &[String], desk: &Desk) -> Result<(), Problem> {
    let host = host(parts)?;
    if let Some(host) = host
        && !host.eq_ignore_ascii_case(&desk.address)
        && !is_local_name(host)
        && !is_one_of(hosts, host)
    {
        return Err(foreign_host(host));
    }
    if let Some(origin) = parts.headers.get(ORIGIN) {
        let scheme = match desk.tls {
            Some(_) => "https://",
            None => "http://",
        };
        let text = origin.to_str();
        let same = text.is_ok_and(|origin| is_same(origin, scheme, host));
        if !same {
            let message = "the origin is another site; web pages of other sites may not call";
            return Err(Problem::new(Code::NotAllowed, message));
        }
    }
    Ok(())
}

/// Checks that a request that changes something is none that a web page can send unasked. Routes
/// of the configuration take forms, and do without.
pub(super) fn check_content_type(parts: &Parts) -> Result<(), Problem> {
    if parts.method == Method::POST {
        check_safelist(&parts.headers)
    } else {
        Ok(())
    }
}

/// Checks that no other site's page makes this call. Browsers send no origin with a `GET`, which is
/// a call where a route says so, but newer ones say from what kind of site it comes (Fetch Metadata
/// Request Headers). That a user follows a link is no page's doing.
pub(super) fn check_site(headers: &HeaderMap) -> Result<(), Problem> {
    let is = |name: &str, value: &str| headers.get(name).is_some_and(|came| came == value);
    let is_foreign = is("sec-fetch-site", "cross-site") || is("sec-fetch-site", "same-site");
    if is_foreign && !is("sec-fetch-mode", "navigate") {
        let message = "the request comes from a page of another site; those may not call";
        return Err(Problem::new(Code::NotAllowed, message));
    }
    Ok(())
}

/// The one host that the request is for. Only HTTP/1.0 may leave it out.
fn host(parts: &Parts) -> Result<Option<&str>, Problem> {
    let bad = |message| Problem::new(Code::BadRequest, message);
    let mut hosts = parts.headers.get_all(HOST).iter();
    let header = match (hosts.next(), hosts.next()) {
        (_, Some(_)) => return Err(bad("expected one host header, got several")),
        (None, None) if parts.version >= Version::HTTP_11 => {
            return Err(bad("expected a host header"));
        }
        (None, None) => None,
        (Some(host), None) => Some(host.to_str().map_err(|_| bad("host is not ASCII"))?),
    };
    // A request for `http://name/path` is for that name, whatever the header says.
    Ok(parts
        .uri
        .authority()
        .map(http::uri::Authority::as_str)
        .or(header))
}

fn is_local_name(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(bracketed) => {
            let Some((address, port)) = bracketed.split_once(']') else {
                return false;
            };
            return address.parse::<std::net::Ipv6Addr>().is_ok() && is_port(port);
        }
        None => match host.split_once(':') {
            Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
            Some(_) => return false,
            None => host,
        },
    };
    name.eq_ignore_ascii_case("localhost") || matches!(name.parse(), Ok(IpAddr::V4(_)))
}

/// Whether this is one of these names, with or without a port.
fn is_one_of(names: &[String], host: &str) -> bool {
    let (name, port) = host.split_at(host.find(':').unwrap_or(host.len()));
    is_port(port) && names.iter().any(|known| known.eq_ignore_ascii_case(name))
}

fn is_port(text: &str) -> bool {
    text.is_empty()
        || text
            .strip_prefix(':')
            .is_some_and(|port| port.bytes().all(|b| b.is_ascii_digit()))
}

fn is_same(origin: &str, scheme: &str, host: Option<&str>) -> bool {
    let authority = origin.strip_prefix(scheme);
    matches!((authority, host), (Some(ours), Some(host)) if ours.eq_ignore_ascii_case(host))
}

fn check_safelist(headers: &HeaderMap) -> Result<(), Problem> {
    let came = headers
        .get(CONTENT_TYPE)
        .map(|value| value.to_str().unwrap_or_default());
    let essence = came.map(|value| value.split(';').next().unwrap_or_default().trim());
    match essence {
        Some(essence)
            if !essence.is_empty()
                && !SAFELISTED
                    .iter()
                    .any(|listed| listed.eq_ignore_ascii_case(essence)) =>
        {
            Ok(())
        }
        _ => Err(Problem::with_status(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Code::BadRequest,
            format!(
                "expected content-type: application/json, or another type that web pages cannot \
                 send unasked, got {}",
                came.unwrap_or("none")
            ),
        )),
    }
}

fn foreign_host(host: &str) -> Problem {
    let message = format!(
        "expected an IP address, localhost or a name of [faceplate.http] hosts as host, got {host:?}"
    );
    Problem::with_status(StatusCode::MISDIRECTED_REQUEST, Code::NotAllowed, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configured_names_have_any_port_and_no_more() {
        let names = ["api.example.org".to_owned()];
        for known in ["api.example.org", "API.example.org:443", "api.example.org:"] {
            assert!(is_one_of(&names, known), "{known}");
        }
        for foreign in [
            "",
            ":443",
            "example.org",
            "api.example.org.evil.example",
            "api.example.org:x",
            "api.example.org:1@evil.example",
        ] {
            assert!(!is_one_of(&names, foreign), "{foreign}");
        }
        assert!(!is_one_of(&[], ""));
    }

    #[test]
    fn local_names_are_literals_and_localhost() {
        for local in [
            "127.0.0.1",
            "127.0.0.1:80",
            "[::1]",
            "[::1]:7480",
            "localhost",
            "LOCALHOST:1",
            "10.1.2.3",
        ] {
            assert!(is_local_name(local), "{local}");
        }
        for foreign in [
            "",
            "example.com",
            "example.com:80",
            "localhost.example.com",
            "127.0.0.1.example.com",
            "[::1",
            "[::1]x",
            "[localhost]",
            "localhost:x",
            "127.1@example.com",
        ] {
            assert!(!is_local_name(foreign), "{foreign}");
        }
    }
}
