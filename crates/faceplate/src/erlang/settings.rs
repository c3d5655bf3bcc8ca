//! What a node among nodes of Erlang is called, and what it lets in: the keys of its table.

use crate::faceplate::Faceplate;
use crate::settings::Keys;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::fmt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use subtle::ConstantTimeEq;
use term::{Atom, Term, etf};

/// Where epmd listens unless it is told otherwise.
const EPMD: &str = "127.0.0.1:4369";

/// The node's name unless the configuration says.
const NAME: &str = "katamari@127.0.0.1";

/// Bytes of a name with its host: what an atom of ASCII may have.
const NAME_MAX: usize = 255;

/// Bytes of a cookie, which is an atom to Erlang.
const COOKIE_MAX: usize = 255;

/// Kinds that the configuration may list, as many as for a token.
const KINDS_MAX: usize = 1_000;

/// Seconds after which silent nodes are given up, as in Erlang.
const NET_TICKTIME_S: u64 = 60;

/// Bits of a file's mode that let others than its owner in.
const OTHERS: u32 = 0o077;

/// A node among nodes of Erlang.
#[derive(Debug)]
pub struct Erlang {
    /// As peers write it, `name@host`.
    pub(super) name: Atom,
    pub(super) cookie: Cookie,
    /// Host and port.
    pub(super) epmd: String,
    /// What may be called; none: all.
    pub(super) kinds: Option<BTreeSet<String>>,
    /// How long silence may last.
    pub(super) net_ticktime: Duration,
    life: Life,
}

impl Erlang {
    /// The part of the name that epmd knows.
    pub(super) fn alive(&self) -> &str {
        let (alive, _) = self.name.as_str().split_once('@').unwrap_or_default();
        alive
    }

    /// Tells this life of the node from those before, of which others may still have identifiers.
    pub(super) fn creation(&self) -> u32 {
        // Up to 3 is what old nodes have, and 0 fits any.
        *self.life.0.get_or_init(|| super::handshake::random() | 4)
    }

    /// A process of ours, by its number.
    pub(super) fn pid(&self, number: u32) -> Term {
        etf::pid(&self.name, number, 0, self.creation())
    }
}

/// Not a setting, and so not shown with them.
#[derive(Default)]
struct Life(OnceLock<u32>);

impl fmt::Debug for Life {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Life")
    }
}

/// What both nodes know, and never say.
pub(super) struct Cookie(String);

impl Cookie {
    /// What proves to whoever sent a challenge that the cookie is known.
    pub fn digest(&self, challenge: u32) -> [u8; 16] {
        let mut digest = md5::Md5::new();
        digest.update(self.0.as_bytes());
        digest.update(challenge.to_string().as_bytes());
        digest.finalize().into()
    }

    /// Whether that is the digest. Takes as long for any that is not.
    pub fn is_proven(&self, challenge: u32, digest: &[u8]) -> bool {
        self.digest(challenge)[..].ct_eq(digest).into()
    }
}

impl fmt::Debug for Cookie {
    /// Settings are compared by what this shows; the cookie itself is not to be seen.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hash = Sha256::digest(self.0.as_bytes());
        hash.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

pub(super) fn read(keys: &mut dyn Keys) -> Option<Arc<dyn Faceplate>> {
    let name = keys.text("name").unwrap_or_else(|| NAME.to_owned());
    let checked = check_name(&name);
    let name = checked.map_err(|problem| keys.report("name", problem));
    let cookie = cookie(keys);
    let epmd = keys.text("epmd").unwrap_or_else(|| EPMD.to_owned());
    let port = epmd.rsplit_once(':').map(|(_, port)| port.parse::<u16>());
    if !matches!(port, Some(Ok(_))) {
        let message = format!("expected host and port, such as \"{EPMD}\", got \"{epmd}\"");
        keys.report("epmd", message);
    }
    let kinds = keys.texts("kinds", "kinds such as \"parse\"", KINDS_MAX, &|kind| {
        if kind.is_empty() {
            return Err("expected a kind such as \"parse\", got \"\"".to_owned());
        }
        Ok(())
    });
    let seconds = keys.integer("net_ticktime", 1, 86_400);
    Some(Arc::new(Erlang {
        name: name.ok()?,
        cookie: cookie?,
        epmd,
        kinds: kinds.map(|kinds| kinds.into_iter().collect()),
        net_ticktime: Duration::from_secs(seconds.unwrap_or(NET_TICKTIME_S)),
        life: Life::default(),
    }))
}

fn check_name(name: &str) -> Result<Atom, String> {
    let parts = name.split_once('@');
    let is_word = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
    let is_good = parts.is_some_and(|(alive, host)| {
        !alive.is_empty() && alive.chars().all(is_word) && !host.is_empty() && {
            host.chars().all(|c| is_word(c) || ".:".contains(c))
        }
    });
    match Atom::new(name) {
        Ok(atom) if is_good && name.len() <= NAME_MAX => Ok(atom),
        _ => Err(format!(
            "expected a node's name, such as \"{NAME}\", of at most {NAME_MAX} bytes, got \"{name}\""
        )),
    }
}

fn cookie(keys: &mut dyn Keys) -> Option<Cookie> {
    let (key, found) = match (keys.text("cookie"), keys.text("cookie_file")) {
        (Some(cookie), None) => ("cookie", Ok(cookie)),
        (None, Some(file)) => ("cookie_file", cookie_of(&keys.path(&file))),
        (Some(_), Some(_)) => {
            let message = "expected cookie or cookie_file, got both".to_owned();
            ("cookie_file", Err(message))
        }
        (None, None) => {
            let message = "expected the cookie that all nodes share, or cookie_file with the path \
                           of a file that has it, such as \"/var/lib/erlang/.erlang.cookie\"";
            ("cookie", Err(message.to_owned()))
        }
    };
    let is_visible = |cookie: &str| cookie.bytes().all(|byte| byte.is_ascii_graphic());
    match found {
        Ok(text) if (1..=COOKIE_MAX).contains(&text.len()) && is_visible(&text) => {
            Some(Cookie(text))
        }
        Ok(_) => {
            let message = format!("expected a cookie of 1 to {COOKIE_MAX} visible ASCII bytes");
            keys.report(key, message);
            None
        }
        Err(message) => {
            keys.report(key, message);
            None
        }
    }
}

/// The cookie in a file that only its owner may read, as Erlang wants it.
fn cookie_of(file: &Path) -> Result<String, String> {
    let failed = |error: std::io::Error| format!("{}: {error}", file.display());
    let mode = std::fs::metadata(file).map_err(failed)?.mode();
    if mode & OTHERS != 0 {
        return Err(format!(
            "expected a file that nobody but its owner may read, got mode {:03o}; `chmod 400 {}`",
            mode & 0o777,
            file.display()
        ));
    }
    let text = std::fs::read_to_string(file).map_err(failed)?;
    // Erlang takes the first line.
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_that_of_the_cookie_and_the_challenge_as_text() {
        let cookie = Cookie("secret".to_owned());
        let hex: String = cookie
            .digest(4_294_967_295)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        // What `printf secret4294967295 | md5sum` says.
        assert_eq!(hex, "5dfd181e69aa587cc812eb333e6536b6");
        assert!(cookie.is_proven(7, &cookie.digest(7)));
        assert!(!cookie.is_proven(8, &cookie.digest(7)));
        assert!(!cookie.is_proven(7, &cookie.digest(7)[..15]));
        assert!(!format!("{cookie:?}").contains("secret"));
    }

    #[test]
    fn names_have_a_host() {
        for good in ["katamari@127.0.0.1", "k-1_a@host", "k@fe80::1"] {
            assert!(check_name(good).is_ok(), "{good}");
        }
        let long = format!("k@{}", "h".repeat(254));
        for bad in [
            "katamari", "@host", "k@", "k@h@i", "k k@h", "k@\u{e9}", &long,
        ] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }
}
