//! Changes of tokens.

use super::change::Refusal;
use super::limits::TOKENS_MAX;
use super::record::{AccessToken, Digest, JoinToken};
use super::{Hard, check};
use std::collections::BTreeMap;
use std::sync::Arc;

impl Hard {
    pub(super) fn put_join_token(
        &mut self,
        name: &Arc<str>,
        token: &JoinToken,
        now_unix_s: u64,
    ) -> Result<(), Refusal> {
        put(&mut self.join_tokens, name, token, |token| {
            token.expires_unix_s > now_unix_s
        })
    }

    pub(super) fn put_access_token(
        &mut self,
        name: &Arc<str>,
        token: &AccessToken,
        now_unix_s: u64,
    ) -> Result<(), Refusal> {
        check::access_token(token)?;
        self.is_secret_free(name, &token.secret)?;
        put(&mut self.access_tokens, name, token, |token| {
            token
                .expires_unix_s
                .is_none_or(|expires| expires > now_unix_s)
        })
    }

    /// Two names for one secret would make it a question of order what it grants.
    fn is_secret_free(&self, name: &Arc<str>, secret: &Digest) -> Result<(), Refusal> {
        let mut others = self.access_tokens.iter();
        let other = others.find(|(known, token)| *known != name && token.secret == *secret);
        other.map_or(Ok(()), |(known, _)| {
            Err(Refusal::SecretTaken(known.clone()))
        })
    }
}

/// Adds or replaces one, and drops those that are no longer valid.
fn put<T: Clone>(
    tokens: &mut BTreeMap<Arc<str>, T>,
    name: &Arc<str>,
    token: &T,
    is_valid: impl Fn(&T) -> bool,
) -> Result<(), Refusal> {
    check::name(name)?;
    let others = tokens
        .iter()
        .filter(|(known, token)| *known != name && is_valid(token));
    check::limit("tokens of a kind", others.count() + 1, TOKENS_MAX)?;
    tokens.retain(|_, token| is_valid(token));
    tokens.insert(name.clone(), token.clone());
    Ok(())
}

/// Removes one.
pub fn remove<T>(tokens: &mut BTreeMap<Arc<str>, T>, name: &Arc<str>) -> Result<(), Refusal> {
    let removed = tokens.remove(name);
    removed
        .map(drop)
        .ok_or_else(|| Refusal::UnknownToken(name.clone()))
}
