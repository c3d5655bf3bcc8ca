//! Who may do what: tokens, what they grant, and how fast. Pure: time comes in as a value.
//!
//! `guard` asks with each request that needs a token. Only the SHA-256 of a secret is kept, and a
//! presented one is looked up by its own: how long the search takes tells about the hash, from
//! which nobody gets to the secret. A secret is 32 random bytes, so a slow hash would protect
//! nothing more. `docs/access.md` tells it to whoever runs a node.

use pool::Class;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// What a secret's hash is: SHA-256 of its text.
pub type Hash = [u8; 32];

/// The authentication scheme (RFC 6750), in lower case; callers may write it in any.
const SCHEME: &[u8] = b"bearer ";

const SECOND_NS: u64 = 1_000_000_000;

/// A token as whoever runs the node describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// What people call it by; shown in errors and logs.
    pub name: Arc<str>,
    /// The [`hash`] of its secret. Of two tokens with one hash the last holds.
    pub hash: Hash,
    /// The kinds of workers that may be called; none: all.
    pub kinds: Option<BTreeSet<Arc<str>>>,
    /// The highest class a call may have.
    pub class_max: Class,
    /// How fast it may be used; none: as fast as it can.
    pub rate: Option<Rate>,
    /// Whether status, metrics and the stories of calls may be read.
    pub observe: bool,
    /// From when on it is worth nothing, in seconds since 1970; none: never.
    pub expires_unix_s: Option<u64>,
}

/// How fast a token may be used. Each call counts, also each of a batch, and each reading of the
/// node's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// In the long run.
    pub calls_per_second: NonZeroU32,
    /// At once, after a pause.
    pub burst: NonZeroU32,
}

/// The SHA-256 of a secret's text.
pub fn hash(secret: &[u8]) -> Hash {
    Sha256::digest(secret).into()
}

/// All tokens of a node.
#[derive(Debug, Default)]
pub(crate) struct Access {
    grants: BTreeMap<Hash, Arc<Grant>>,
}

/// A token in use.
#[derive(Debug)]
pub(crate) struct Grant {
    token: Token,
    /// When the bucket is full again, in nanoseconds.
    full_ns: AtomicU64,
}

/// Why somebody may not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Denied {
    /// No token was presented.
    Missing,
    /// There is an authorization header, but not one with a bearer token.
    Malformed,
    /// No such token.
    Unknown,
    /// The token of this name was good once.
    Expired(Arc<str>),
    /// The token of this name is not for this kind, or not for calls that name none.
    Kind(Arc<str>, Option<Arc<str>>),
    /// The token of this name is for lower classes.
    Class(Arc<str>, Class),
    /// The token of this name is for calls only.
    Observe(Arc<str>),
    /// The token of this name was used faster than its rate; when it may be used again.
    Rate(Arc<str>, Duration),
}

impl Access {
    /// These tokens from now on. One that was there already, by its hash, keeps its bucket as it
    /// is, so that a change of the others is no way around a rate.
    pub fn new(tokens: Vec<Token>, before: &Self) -> Self {
        let grants = tokens.into_iter().map(|token| {
            let hash = token.hash;
            let full_ns = before.grants.get(&hash).map_or(0, |grant| grant.full_ns());
            let full_ns = AtomicU64::new(full_ns);
            (hash, Arc::new(Grant { token, full_ns }))
        });
        Self {
            grants: grants.collect(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.grants.is_empty()
    }

    /// Finds the token of a secret. `now_unix_s` is asked for tokens that expire.
    pub fn check(
        &self,
        secret: Option<&[u8]>,
        now_unix_s: impl FnOnce() -> u64,
    ) -> Result<Arc<Grant>, Denied> {
        let secret = secret.ok_or(Denied::Missing)?;
        let grant = self.grants.get(&hash(secret.trim_ascii()));
        let grant = grant.ok_or(Denied::Unknown)?;
        if let Some(expires) = grant.token.expires_unix_s
            && now_unix_s() >= expires
        {
            return Err(Denied::Expired(grant.token.name.clone()));
        }
        Ok(grant.clone())
    }
}

/// The secret in an `authorization` header.
pub(crate) fn bearer(authorization: &[u8]) -> Result<&[u8], Denied> {
    let header = authorization.split_at_checked(SCHEME.len());
    let (scheme, secret) = header.ok_or(Denied::Malformed)?;
    if scheme.eq_ignore_ascii_case(SCHEME) {
        Ok(secret)
    } else {
        Err(Denied::Malformed)
    }
}

impl Grant {
    /// What people call the token by.
    pub fn name(&self) -> &Arc<str> {
        &self.token.name
    }

    /// Takes a call out of the bucket if it is within the grant, and says which class it has. Where
    /// the caller does not say, that is normal, or the highest allowed one below.
    pub fn call(
        &self,
        kind: Option<&Arc<str>>,
        class: Option<Class>,
        now: Duration,
    ) -> Result<Class, Denied> {
        let token = &self.token;
        if let Some(kinds) = &token.kinds
            && !kind.is_some_and(|kind| kinds.contains(kind))
        {
            return Err(Denied::Kind(token.name.clone(), kind.cloned()));
        }
        // Of classes, the higher one is the lesser.
        let class = class.unwrap_or(token.class_max.max(Class::default()));
        if class < token.class_max {
            return Err(Denied::Class(token.name.clone(), token.class_max));
        }
        self.take(now)?;
        Ok(class)
    }

    /// Takes a reading of the node's state out of the bucket, if it is within the grant.
    pub fn observe(&self, now: Duration) -> Result<(), Denied> {
        if !self.token.observe {
            return Err(Denied::Observe(self.token.name.clone()));
        }
        self.take(now)
    }

    /// Takes a look at the pools out of the bucket, as whoever calls may take.
    pub fn look(&self, now: Duration) -> Result<(), Denied> {
        self.take(now)
    }

    /// Whether pools of this kind may be called, and so known.
    pub fn knows(&self, kind: Option<&Arc<str>>) -> bool {
        let kinds = self.token.kinds.as_ref();
        kinds.is_none_or(|kinds| kind.is_some_and(|kind| kinds.contains(kind)))
    }

    /// A token bucket in one number, the time at which it will be full again (the generic cell
    /// rate algorithm of ITU-T I.371): to take one moves that time on by a call's worth, and there
    /// is none to take if it is more than a burst away.
    fn take(&self, now: Duration) -> Result<(), Denied> {
        let Some(rate) = self.token.rate else {
            return Ok(());
        };
        let call_ns = SECOND_NS / u64::from(rate.calls_per_second.get());
        let slack_ns = call_ns * u64::from(rate.burst.get() - 1);
        let now_ns = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
        let take = |full_ns: u64| {
            let is_one_left = full_ns <= now_ns.saturating_add(slack_ns);
            is_one_left.then(|| full_ns.max(now_ns).saturating_add(call_ns))
        };
        // One node is one thread; the loop inside is for whoever runs it on more.
        self.full_ns
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take)
            .map(drop)
            .map_err(|full_ns| {
                let wait_ns = full_ns.saturating_sub(now_ns.saturating_add(slack_ns));
                Denied::Rate(self.token.name.clone(), Duration::from_nanos(wait_ns))
            })
    }

    fn full_ns(&self) -> u64 {
        self.full_ns.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(name: &str, secret: &str) -> Token {
        Token {
            name: name.into(),
            hash: hash(secret.as_bytes()),
            kinds: None,
            class_max: Class::Normal,
            rate: None,
            observe: false,
            expires_unix_s: None,
        }
    }

    fn rate(calls_per_second: u32, burst: u32) -> Option<Rate> {
        let number = |number| NonZeroU32::new(number).expect("it is not zero");
        Some(Rate {
            calls_per_second: number(calls_per_second),
            burst: number(burst),
        })
    }

    fn access(tokens: Vec<Token>) -> Access {
        Access::new(tokens, &Access::default())
    }

    fn only(token: Token) -> Arc<Grant> {
        let access = access(vec![token]);
        let grant = access.grants.into_values().next();
        grant.expect("there is one")
    }

    const START: Duration = Duration::ZERO;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_header_is_read_as_the_standard_has_it() {
        let access = access(vec![token("ci", "kat_1")]);
        let check = |header: Option<&str>| {
            let secret = header.map(|header| bearer(header.as_bytes())).transpose()?;
            let found = access.check(secret, || unreachable!());
            found.map(|grant| grant.name().to_string())
        };
        for good in ["Bearer kat_1", "bearer kat_1", "BEARER  kat_1 "] {
            assert_eq!(check(Some(good)).as_deref(), Ok("ci"), "{good}");
        }
        assert_eq!(check(None), Err(Denied::Missing));
        for malformed in ["", "Bearer", "Basic kat_1", "kat_1", "Bearerkat_1"] {
            assert_eq!(
                check(Some(malformed)),
                Err(Denied::Malformed),
                "{malformed}"
            );
        }
        for unknown in ["Bearer ", "Bearer kat_", "Bearer kat_12", "Bearer KAT_1"] {
            assert_eq!(check(Some(unknown)), Err(Denied::Unknown), "{unknown}");
        }
    }

    #[test]
    fn the_hash_is_that_of_everybody_else() {
        let hex: String = hash(b"abc")
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        // The example of FIPS 180-2, appendix B.1.
        assert_eq!(
            hex,
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }

    #[test]
    fn a_token_ends_at_the_second_it_expires() {
        let mut expiring = token("ci", "s");
        expiring.expires_unix_s = Some(1_000);
        let access = access(vec![expiring]);
        let at = |now| access.check(Some(b"s"), || now).map(drop);
        assert_eq!(at(999), Ok(()));
        assert_eq!(at(1_000), Err(Denied::Expired("ci".into())));
    }

    #[test]
    fn each_of_ten_thousand_tokens_is_found() {
        let name = |number: u32| format!("kat_{number}");
        let tokens = (0..10_000).map(|number| token(&name(number), &name(number)));
        let access = access(tokens.collect());
        for number in 0..10_000 {
            let grant = access.check(Some(name(number).as_bytes()), || 0);
            assert_eq!(**grant.expect("it is there").name(), *name(number));
        }
        let other = access.check(Some(b"kat_10000"), || 0);
        assert_eq!(other.map(drop), Err(Denied::Unknown));
    }

    #[test]
    fn kinds_beyond_the_grant_are_denied() {
        let parse: Arc<str> = "parse".into();
        let mut some = token("ci", "s");
        some.kinds = Some([parse.clone()].into());
        let some = only(some);
        assert!(some.call(Some(&parse), None, START).is_ok());
        let other: Arc<str> = "other".into();
        assert_eq!(
            some.call(Some(&other), None, START),
            Err(Denied::Kind("ci".into(), Some(other.clone())))
        );
        assert_eq!(
            some.call(None, None, START),
            Err(Denied::Kind("ci".into(), None)),
            "what names no kind may find any"
        );
        let all = only(token("all", "s"));
        assert!(all.call(Some(&other), None, START).is_ok());
        assert!(all.call(None, None, START).is_ok());
    }

    #[test]
    fn a_class_above_the_grant_is_denied_and_an_unsaid_one_fits() {
        use Class::{High, Low, Normal};
        for (max, unsaid, denied) in [
            (High, Normal, &[][..]),
            (Normal, Normal, &[High]),
            (Low, Low, &[High, Normal]),
        ] {
            let mut some = token("ci", "s");
            some.class_max = max;
            let some = only(some);
            assert_eq!(some.call(None, None, START), Ok(unsaid));
            for class in [High, Normal, Low] {
                let expected = if denied.contains(&class) {
                    Err(Denied::Class("ci".into(), max))
                } else {
                    Ok(class)
                };
                assert_eq!(some.call(None, Some(class), START), expected);
            }
        }
    }

    #[test]
    fn a_bucket_gives_a_burst_and_then_its_rate() {
        let mut some = token("ci", "s");
        some.rate = rate(10, 3);
        let some = only(some);
        let take = |at| some.call(None, None, ms(at)).map(drop);
        let wait = |after| Err(Denied::Rate("ci".into(), ms(after)));
        for _ in 0..3 {
            assert_eq!(take(0), Ok(()));
        }
        assert_eq!(take(0), wait(100));
        assert_eq!(take(40), wait(60), "to be refused costs nothing");
        assert_eq!(take(100), Ok(()));
        assert_eq!(take(100), wait(100));
        let pause = 1_000_000;
        for _ in 0..3 {
            assert_eq!(take(pause), Ok(()), "a pause saves up a burst and no more");
        }
        assert_eq!(take(pause), wait(100));
    }

    #[test]
    fn what_is_beyond_the_grant_takes_nothing_from_the_bucket() {
        let mut some = token("ci", "s");
        some.rate = rate(1, 1);
        let some = only(some);
        assert!(some.call(None, Some(Class::High), START).is_err());
        assert_eq!(some.observe(START), Err(Denied::Observe("ci".into())));
        assert!(some.call(None, None, START).is_ok());
    }

    #[test]
    fn to_observe_counts_too() {
        let mut some = token("ci", "s");
        (some.rate, some.observe) = (rate(1, 1), true);
        let some = only(some);
        assert_eq!(some.observe(START), Ok(()));
        assert_eq!(
            some.observe(START),
            Err(Denied::Rate("ci".into(), ms(1_000)))
        );
    }

    #[test]
    fn a_bucket_outlives_a_change_of_the_tokens() {
        let mut some = token("ci", "s");
        some.rate = rate(1, 1);
        let first = access(vec![some.clone()]);
        let use_up = |access: &Access| {
            let grant = access.check(Some(b"s"), || 0)?;
            grant.call(None, None, START)
        };
        assert!(use_up(&first).is_ok());
        some.name = "renamed".into();
        let second = Access::new(vec![some], &first);
        assert_eq!(
            use_up(&second),
            Err(Denied::Rate("renamed".into(), ms(1_000)))
        );
    }
}
