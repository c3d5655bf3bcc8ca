//! The way to a node on another machine: where it is, whether it is who it says, and the token that
//! it asks for.

use super::client::Client;
use anyhow::{Context, bail};
use faceplate::Trust;
use http::{HeaderValue, Uri};
use std::path::PathBuf;
use tokio::net::TcpStream;

/// The variable that has a secret. There is no option for it: others can read command lines.
const TOKEN_VARIABLE: &str = "KATAMARI_TOKEN";

/// How a node is found and addressed over the network.
#[derive(Debug, clap::Args)]
pub struct NetworkArgs {
    /// Talk to the node at this URL, such as https://10.0.0.1:7480, in place of the control socket
    #[arg(long, value_name = "URL", env = "KATAMARI_AT")]
    at: Option<Uri>,
    /// Certificates to trust, in PEM: the node's own or its authority's; https needs it
    #[arg(long, value_name = "FILE", env = "KATAMARI_CA")]
    ca: Option<PathBuf>,
    /// A file with the secret of an access token; or set KATAMARI_TOKEN to the secret
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

impl NetworkArgs {
    /// Connects, if a node on the network is asked for.
    pub async fn connect(&self) -> anyhow::Result<Option<Client>> {
        let Some(at) = &self.at else {
            return Ok(None);
        };
        let (Some(authority), "/", None) = (at.authority(), at.path(), at.query()) else {
            bail!("expected a URL such as https://10.0.0.1:7480, without a path, got {at}");
        };
        let (trust, default_port) = match (at.scheme_str(), &self.ca) {
            (Some("https"), Some(ca)) => (Some(Trust::load(ca)?), 443),
            (Some("https"), None) => {
                bail!("https needs --ca FILE: the certificate of the node, or of its authority")
            }
            (Some("http"), _) => (None, 80),
            _ => bail!("expected a URL that begins with https:// or http://, got {at}"),
        };
        let token = self.token()?;
        // Brackets tell an IPv6 address from a port; they are no part of it.
        let name = authority.host().trim_matches(['[', ']']);
        let port = authority.port_u16().unwrap_or(default_port);
        let stream = TcpStream::connect((name, port))
            .await
            .with_context(|| format!("cannot connect to {at}"))?;
        let client = match trust {
            Some(trust) => {
                let shaken = trust.connect(name, stream).await;
                let stream = shaken.with_context(|| {
                    format!("no TLS with {at}; is its certificate one that --ca vouches for?")
                })?;
                Client::over(stream, at.to_string(), authority.as_str(), token).await?
            }
            None => Client::over(stream, at.to_string(), authority.as_str(), token).await?,
        };
        Ok(Some(client))
    }

    /// The authorization header, if there is a token.
    fn token(&self) -> anyhow::Result<Option<HeaderValue>> {
        let (secret, place) = match &self.token_file {
            Some(file) => {
                let place = file.display().to_string();
                let read = std::fs::read_to_string(file);
                (read.with_context(|| format!("cannot read {place}"))?, place)
            }
            None => match std::env::var(TOKEN_VARIABLE) {
                Ok(secret) => (secret, TOKEN_VARIABLE.to_owned()),
                Err(_) => return Ok(None),
            },
        };
        let header = HeaderValue::from_str(&format!("Bearer {}", secret.trim()));
        let mut header = header.with_context(|| {
            format!("{place}: expected a secret as `katamari token new` has it")
        })?;
        header.set_sensitive(true);
        Ok(Some(header))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_url_names_a_scheme_and_a_host_and_no_more() {
        for (at, expected) in [
            ("localhost:7480", "expected a URL"),
            (
                "ftp://localhost",
                "expected a URL that begins with https:// or http://",
            ),
            ("http://localhost/status", "without a path"),
            ("http://localhost/?a", "without a path"),
            ("https://localhost", "https needs --ca FILE"),
        ] {
            let args = NetworkArgs {
                at: Some(at.parse().expect("a URI")),
                ca: None,
                token_file: None,
            };
            let error = args.connect().await.err().expect("it is not served");
            assert!(error.to_string().contains(expected), "{at}: {error}");
        }
    }
}
