//! `[access]`: tokens for those who call over the network.

use super::section::{Entry, Section};
use super::shared;
use faceplate::access::{Hash, Rate, Token};
use pool::Class;
use std::collections::BTreeMap;
use std::num::NonZeroU32;

/// Tokens of one node: as many as a file has room for.
const TOKENS_MAX: usize = 10_000;

/// Kinds of one token.
const KINDS_MAX: usize = 1_000;

/// Calls a second, and at once: more than a node can take.
const RATE_MAX: u64 = 1_000_000;

/// What stands before the hexadecimal digits of a hash, so that another one can come.
pub const HASH_PREFIX: &str = "sha256:";

/// Reads all tokens.
pub fn read(mut section: Section<'_>) -> Vec<Token> {
    let table = section.section("token");
    section.finish();
    let mut tokens: Vec<Token> = Vec::new();
    let mut names = BTreeMap::new();
    for (name, entry) in table.entries() {
        entry.key_is_name("token's name", name);
        let Some(token) = token(name, &entry) else {
            continue;
        };
        if let Some(other) = names.insert(token.hash, name) {
            entry.report(format!("the hash is that of the token \"{other}\" as well"));
        }
        tokens.push(token);
    }
    if tokens.len() > TOKENS_MAX {
        table.report(format!(
            "expected at most {TOKENS_MAX} tokens, got {}",
            tokens.len()
        ));
    }
    tokens
}

fn token(name: &str, entry: &Entry<'_>) -> Option<Token> {
    let mut section = entry.section();
    if !section.is_present() {
        return None;
    }
    let example = "hash = \"sha256:...\", as `katamari token new` prints it";
    let hash = section.need("hash", example).and_then(|entry| hash(&entry));
    let kinds = section.get("kinds");
    let kinds = kinds.map(|entry| shared(entry.names("kind", KINDS_MAX)));
    let words = [
        ("high", Class::High),
        ("normal", Class::Normal),
        ("low", Class::Low),
    ];
    let class = section.get("class");
    let class_max = class.and_then(|entry| entry.choice(&words));
    let rate = rate(&mut section);
    let observe = section.get("observe").and_then(|entry| entry.boolean());
    let expires = section.get("expires").and_then(|entry| entry.date());
    section.finish();
    Some(Token {
        name: name.into(),
        hash: hash?,
        kinds,
        class_max: class_max.unwrap_or_default(),
        rate,
        observe: observe.unwrap_or(false),
        expires_unix_s: expires,
    })
}

/// A burst is a second's worth unless it is said.
fn rate(section: &mut Section<'_>) -> Option<Rate> {
    let number = |entry: Entry<'_>| {
        let number = entry.integer(1..=RATE_MAX)?;
        u32::try_from(number).ok().and_then(NonZeroU32::new)
    };
    let rate = section.get("rate");
    let burst = section.get("burst");
    if let (None, Some(burst)) = (&rate, &burst) {
        burst.report_key("expected a rate beside it, such as rate = 100; or leave burst out");
    }
    let calls_per_second = rate.and_then(number)?;
    Some(Rate {
        calls_per_second,
        burst: burst.and_then(number).unwrap_or(calls_per_second),
    })
}

fn hash(entry: &Entry<'_>) -> Option<Hash> {
    let text = entry.text()?;
    let hash = text.strip_prefix(HASH_PREFIX).and_then(from_hex);
    if hash.is_none() {
        entry.report(format!(
            "expected \"{HASH_PREFIX}\" and 64 hexadecimal digits, as `katamari token new` prints \
             it; a secret has no place here"
        ));
    }
    hash
}

fn from_hex(text: &str) -> Option<Hash> {
    let digits = text.as_bytes();
    let mut hash = Hash::default();
    if digits.len() != 2 * hash.len() {
        return None;
    }
    for (byte, pair) in hash.iter_mut().zip(digits.chunks_exact(2)) {
        let digit = |digit: u8| char::from(digit).to_digit(16);
        let value = digit(pair[0])? * 16 + digit(pair[1])?;
        *byte = u8::try_from(value).ok()?;
    }
    Some(hash)
}
