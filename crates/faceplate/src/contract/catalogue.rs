//! What the live pools declare, for all protocols at once: they ask with each call.
//!
//! The observer does not tell when declarations change, and to ask it is a round trip to the loop
//! that decides about calls. So one look holds for a moment, for all faceplates of the node; and
//! looks that saw the same declarations give the same [`Declarations`], with what the protocols
//! made of them.

use super::{Declared, Interface, answers, interfaces};
use crate::errors::stopping;
use crate::observer::Observer;
use dispatch::CallError;
use pool::{Description, Details, Function, PoolView};
use std::any::Any;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// How long a look holds. A call in which nobody looks takes a short lock and no round trip; a
/// change of declarations is noticed about as soon as it is rolled out.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// What a node's faceplates know of its pools' declarations.
pub(crate) struct Catalogue {
    observer: Arc<dyn Observer>,
    last: Mutex<Option<Look>>,
    /// Held by the one who looks; whoever comes meanwhile waits for what that one sees.
    looking: tokio::sync::Mutex<()>,
}

/// What there was to be seen at a time.
#[derive(Debug, Clone)]
pub(crate) struct Look {
    at: Instant,
    /// Whether more may come when programs have started.
    pub starting: bool,
    /// What the pools declared.
    pub declarations: Arc<Declarations>,
}

/// What the pools that answer calls declare, as long as it stays the same.
#[derive(Debug)]
pub(crate) struct Declarations {
    /// Grows when it does not.
    pub generation: u64,
    /// By kind.
    pub interfaces: Vec<Interface>,
    /// What they were made of.
    pools: Vec<Seen>,
    forms: Mutex<Vec<Arc<dyn Any + Send + Sync>>>,
}

/// What of a pool makes its kind's interface.
#[derive(Debug, PartialEq)]
struct Seen {
    description: Arc<Description>,
    weight: u32,
}

/// What a protocol makes of declarations.
pub(crate) trait Form: Send + Sync + 'static {
    /// Of the interfaces of all kinds, by name.
    fn of(interfaces: &[Interface]) -> Self;
}

impl Catalogue {
    /// Of the node that this observer shows.
    pub fn new(observer: Arc<dyn Observer>) -> Self {
        Self {
            observer,
            last: Mutex::default(),
            looking: tokio::sync::Mutex::default(),
        }
    }

    /// A function that calls of a kind can go to.
    pub async fn function(
        &self,
        kind: &str,
        name: &str,
    ) -> Result<Option<Arc<Function>>, CallError> {
        let (found, _) = self.find(|all| all.function(kind, name).cloned()).await?;
        Ok(found)
    }

    /// Whether calls of a kind may go as terms of Erlang, to whichever of its pools. Of a kind that
    /// nobody has declared yet they may not.
    pub async fn takes_terms(&self, kind: &str) -> Result<bool, CallError> {
        let terms = |all: &Declarations| all.interface(kind).map(|interface| interface.terms);
        let (found, _) = self.find(terms).await?;
        Ok(found.unwrap_or(false))
    }

    /// Finds something in what is declared. It is looked anew before it is said that it is not
    /// there.
    pub async fn find<T>(
        &self,
        find: impl Fn(&Declarations) -> Option<T>,
    ) -> Result<(Option<T>, Look), CallError> {
        let asked = Instant::now();
        let look = self
            .look(|at| asked.saturating_duration_since(at) < LOOK_INTERVAL)
            .await?;
        if let Some(found) = find(&look.declarations) {
            return Ok((Some(found), look));
        }
        let look = self.look(|at| at > asked).await?;
        Ok((find(&look.declarations), look))
    }

    /// What is declared now.
    pub async fn now(&self) -> Result<Arc<Declarations>, CallError> {
        let asked = Instant::now();
        let look = self.look(|at| at > asked).await?;
        Ok(look.declarations)
    }

    /// What was seen last if it was seen at a good time, or else what is there now.
    async fn look(&self, is_good: impl Fn(Instant) -> bool) -> Result<Look, CallError> {
        let known = || {
            let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
            last.as_ref().filter(|look| is_good(look.at)).cloned()
        };
        if let Some(look) = known() {
            return Ok(look);
        }
        let _looking = self.looking.lock().await;
        if let Some(look) = known() {
            return Ok(look);
        }
        let at = Instant::now();
        let status = self.observer.pools().await;
        let status = status.ok_or_else(stopping)?;
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let before = last.take().map(|look| look.declarations);
        let look = Look {
            at,
            starting: status.starting,
            declarations: Declarations::after(before, &status.pools),
        };
        *last = Some(look.clone());
        Ok(look)
    }
}

impl fmt::Debug for Catalogue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Catalogue").finish_non_exhaustive()
    }
}

impl Declarations {
    /// Those of before, if the pools declare the same.
    fn after(before: Option<Arc<Self>>, pools: &[PoolView]) -> Arc<Self> {
        let pools = pools.iter().filter(|pool| answers(pool)).map(|pool| Seen {
            description: pool.description.clone(),
            weight: pool.weight,
        });
        let pools: Vec<_> = pools.collect();
        let generation = match before {
            Some(before) if before.pools == pools => return before,
            Some(before) => before.generation + 1,
            None => 1,
        };
        tracing::debug!(generation, "the pools declare something else");
        let declared = pools.iter().map(|pool| Declared {
            description: &pool.description,
            weight: pool.weight,
        });
        Arc::new(Self {
            generation,
            interfaces: interfaces(declared),
            pools,
            forms: Mutex::default(),
        })
    }

    /// The interface of a kind.
    pub fn interface(&self, kind: &str) -> Option<&Interface> {
        let at = self
            .interfaces
            .binary_search_by(|interface| (*interface.kind).cmp(kind));
        at.ok().map(|at| &self.interfaces[at])
    }

    /// A function of a kind.
    pub fn function(&self, kind: &str, name: &str) -> Option<&Arc<Function>> {
        let functions = &self.interface(kind)?.functions;
        let at = functions.binary_search_by(|declared| (*declared.function.name).cmp(name));
        at.ok().map(|at| &functions[at].function)
    }

    /// A function of a kind, as the pools declare it that a call with these details goes to.
    pub fn function_for(&self, details: &Details, name: &str) -> Option<&Function> {
        let functions = &self.interface(details.kind.as_deref()?)?.functions;
        let at = functions.binary_search_by(|declared| (*declared.function.name).cmp(name));
        let declaration = &functions[at.ok()?];
        if !declaration.varies {
            return Some(&declaration.function);
        }
        let matching = self.pools.iter().filter_map(|pool| {
            let ours = &pool.description.details;
            let score = ours.score(details);
            let function = pool.description.function(name)?;
            (score > 0).then_some(((score, pool.weight, &ours.versions), function))
        });
        let best = matching.max_by(|(a, _), (b, _)| a.cmp(b));
        best.map(|(_, function)| function)
    }

    /// What a protocol makes of them, made when it is first asked for.
    pub fn form<T: Form>(&self) -> Arc<T> {
        let mut forms = self.forms.lock().unwrap_or_else(PoisonError::into_inner);
        let known = forms.iter().find_map(|form| form.clone().downcast().ok());
        known.unwrap_or_else(|| {
            let form = Arc::new(T::of(&self.interfaces));
            forms.push(form.clone());
            form
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dispatch::{Status, Trace};
    use futures_util::future::{BoxFuture, join_all, ready};
    use manager::ProgramStatus;
    use pool::{PoolId, Waiting};
    use std::collections::BTreeMap;

    /// Shows what the test says, and counts how often it was asked.
    #[derive(Default)]
    struct Scene {
        pools: Mutex<Vec<PoolView>>,
        asked: Mutex<usize>,
    }

    impl Scene {
        fn change(&self, change: impl FnOnce(&mut Vec<PoolView>)) {
            change(&mut self.pools.lock().expect("no test panics with it"));
        }

        fn asked(&self) -> usize {
            *self.asked.lock().expect("no test panics with it")
        }
    }

    impl Observer for Scene {
        fn pools(&self) -> BoxFuture<'_, Option<Status>> {
            *self.asked.lock().expect("no test panics with it") += 1;
            Box::pin(async {
                tokio::task::yield_now().await;
                let pools = self.pools.lock().expect("no test panics with it").clone();
                Some(Status {
                    pools,
                    lobby: 0,
                    starting: false,
                    calls: 0,
                    tallies: Vec::new(),
                })
            })
        }

        fn programs(&self) -> BoxFuture<'_, Vec<ProgramStatus>> {
            Box::pin(ready(Vec::new()))
        }

        fn why(&self, _: u64) -> BoxFuture<'_, Vec<Trace>> {
            Box::pin(ready(Vec::new()))
        }
    }

    fn pool(kind: &str, function: &str) -> PoolView {
        let json = format!(r#"{{"kind": "{kind}", "functions": [{{"name": "{function}"}}]}}"#);
        PoolView {
            id: PoolId(1),
            description: Arc::new(serde_json::from_str(&json).expect("a description")),
            programs: vec!["p".into()],
            weight: 1,
            workers: BTreeMap::new(),
            slots: 1,
            free: 1,
            running: 0,
            waiting: Waiting::default(),
            queue_max: 1,
        }
    }

    fn catalogue(pools: Vec<PoolView>) -> (Arc<Scene>, Catalogue) {
        let scene = Arc::new(Scene::default());
        scene.change(|all| *all = pools);
        (scene.clone(), Catalogue::new(scene))
    }

    struct Names(Vec<String>);

    impl Form for Names {
        fn of(interfaces: &[Interface]) -> Self {
            Self(interfaces.iter().map(|it| it.kind.to_string()).collect())
        }
    }

    #[tokio::test]
    async fn what_is_made_of_declarations_holds_until_they_change() -> Result<(), CallError> {
        let (scene, catalogue) = catalogue(vec![pool("a", "f")]);
        let first = catalogue.now().await?;
        let names = first.form::<Names>();
        assert_eq!(names.0, ["a"]);
        scene.change(|pools| {
            pools[0].free = 0;
            pools[0].description = pool("a", "f").description;
            let gone = pool("b", "f");
            pools.push(PoolView {
                programs: Vec::new(),
                ..gone
            });
        });
        let same = catalogue.now().await?;
        assert!(Arc::ptr_eq(&names, &same.form()), "nothing else answers");
        scene.change(|pools| pools[1].programs.push("p".into()));
        let next = catalogue.now().await?;
        assert_eq!(next.form::<Names>().0, ["a", "b"]);
        assert!(next.generation > same.generation && same.generation == first.generation);
        Ok(())
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_known_is_not_asked_for_again_for_a_moment() -> Result<(), CallError> {
        let (scene, catalogue) = catalogue(vec![pool("a", "f")]);
        for _ in 0..2 {
            let found = catalogue.function("a", "f").await?;
            assert_eq!(found.map(|found| found.name.clone()), Some("f".into()));
        }
        assert_eq!(scene.asked(), 1);
        scene.change(|pools| pools[0] = pool("a", "g"));
        tokio::time::advance(LOOK_INTERVAL).await;
        assert!(catalogue.function("a", "f").await?.is_none());
        Ok(())
    }

    #[tokio::test]
    async fn terms_go_to_a_kind_whose_pools_all_take_them() -> Result<(), CallError> {
        let taking = |function: &str| {
            let plain = pool("a", function);
            let description = Description {
                terms: true,
                ..(*plain.description).clone()
            };
            PoolView {
                description: Arc::new(description),
                ..plain
            }
        };
        let (_, catalogue) = catalogue(vec![taking("f"), taking("g"), pool("b", "f")]);
        assert!(catalogue.takes_terms("a").await?);
        assert!(!catalogue.takes_terms("b").await?);
        assert!(!catalogue.takes_terms("nobody").await?);
        let (_, catalogue) = self::catalogue(vec![taking("f"), pool("a", "g")]);
        assert!(!catalogue.takes_terms("a").await?, "one of them does not");
        Ok(())
    }

    #[tokio::test]
    async fn pools_that_differ_count_for_the_calls_that_go_to_them() -> Result<(), CallError> {
        let version = |version: &str, weight, input: bool| {
            let json = format!(
                r#"{{"kind": "a", "versions": {{"v": "{version}"}},
                    "functions": [{{"name": "f", "input": {input}}}]}}"#
            );
            PoolView {
                description: Arc::new(serde_json::from_str(&json).expect("a description")),
                weight,
                ..pool("a", "f")
            }
        };
        let wanted = |version: Option<&str>| Details {
            versions: version
                .map(|it| ("v".into(), it.into()))
                .into_iter()
                .collect(),
            ..Details::of_kind("a")
        };
        let (_, catalogue) = catalogue(vec![version("1", 9, false), version("2", 1, true)]);
        let all = catalogue.now().await?;
        let input = |version| Some(all.function_for(&wanted(version), "f")?.input);
        assert_eq!(input(None), Some(false), "most calls go there");
        assert_eq!(input(Some("1")), Some(false));
        assert_eq!(input(Some("2")), Some(true));
        assert_eq!(input(Some("3")), None);
        assert!(all.function_for(&wanted(None), "g").is_none());
        Ok(())
    }

    #[tokio::test]
    async fn what_is_new_is_found_at_once() -> Result<(), CallError> {
        let (scene, catalogue) = catalogue(Vec::new());
        assert!(catalogue.function("a", "f").await?.is_none());
        scene.change(|pools| pools.push(pool("a", "f")));
        assert!(catalogue.function("a", "f").await?.is_some());
        assert!(catalogue.function("a", "e").await?.is_none());
        assert!(catalogue.function("b", "f").await?.is_none());
        Ok(())
    }

    #[tokio::test]
    async fn those_who_ask_together_share_one_look() {
        let (scene, catalogue) = catalogue(vec![pool("a", "f")]);
        let all = join_all((0..10).map(|_| catalogue.function("a", "f"))).await;
        assert!(all.iter().all(|found| matches!(found, Ok(Some(_)))));
        assert_eq!(scene.asked(), 1);
    }
}
