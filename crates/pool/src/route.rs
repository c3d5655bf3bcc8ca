//! The choice of a pool, made once when a call arrives: API, score, weight, key.

use crate::choose::draw;
use crate::core::{Core, Pool};
use crate::event::{Call, Rejection};
use crate::{Misfit, PoolId};

impl Core {
    /// The pool for this call, or the error that tells most about why there is none: that the
    /// arguments do not fit is more than that no function does, which is more than no pool.
    pub(crate) fn route(&self, call: &Call) -> Result<PoolId, Rejection> {
        let mut best_score = 0;
        let mut best: Vec<(PoolId, &Pool)> = Vec::new();
        let mut matched = false;
        let mut misfit: Option<Misfit> = None;
        for (id, pool) in &self.pools {
            let score = pool.score(call);
            if score <= 0 || !pool.open || call.avoid.pools.contains(id) {
                continue;
            }
            matched = true;
            if score < best_score {
                continue;
            }
            match pool.accepts(call) {
                None => {}
                Some(Err(why)) => misfit = Some(why),
                Some(Ok(())) => {
                    if score > best_score {
                        best.clear();
                        best_score = score;
                    }
                    best.push((*id, pool));
                }
            }
        }
        match (best.len(), misfit) {
            (1, _) => Ok(best[0].0),
            (0, Some(misfit)) => Err(Rejection::BadArguments(misfit)),
            (0, None) if matched => Err(Rejection::NoFunction),
            (0, None) => Err(Rejection::NoPool),
            _ => Ok(among_equals(call, &best)),
        }
    }
}

impl Pool {
    /// Whether its workers can run a call; none if they have no such function.
    fn accepts(&self, call: &Call) -> Option<Result<(), Misfit>> {
        let function = self.description.function(&call.function)?;
        if call.input
            && let Err(misfit) = function.takes_input(&call.shape)
        {
            return Some(Err(misfit));
        }
        Some(function.accepts(&call.shape, call.json.as_deref()))
    }

    /// How well it serves a call; not at all unless above zero. What is set apart for a program
    /// serves the calls that name it, and nothing else does.
    fn score(&self, call: &Call) -> i32 {
        match (&self.only, &call.only) {
            (None, None) => self.description.details.score(&call.details),
            (Some(program), Some(only)) => i32::from(program == only),
            (Some(_), None) | (None, Some(_)) => 0,
        }
    }
}

/// A sticky key chooses among all equal pools, so that a restart does not move it; other calls
/// only among those with a live worker, if there are any that may get calls at all.
fn among_equals(call: &Call, pools: &[(PoolId, &Pool)]) -> PoolId {
    let key = call.key.unwrap_or(call.seed);
    let is_live = |pool: &Pool| pool.slots > 0 && pool.settings.weight > 0;
    let any_live = call.key.is_none() && pools.iter().any(|(_, pool)| is_live(pool));
    let drawn = |pool: &Pool| draw(key, pool.hash, pool.settings.weight);
    pools
        .iter()
        .filter(|(_, pool)| !any_live || is_live(pool))
        .min_by(|(_, a), (_, b)| drawn(a).total_cmp(&drawn(b)))
        .map(|(id, _)| *id)
        .expect("the filter keeps a pool")
}
