//! Lists of events for the plan.

use super::*;
use crate::files::manifest::Entry;

fn content(name: &str) -> ContentHash {
    ContentHash::of(name.as_bytes())
}

/// A manifest with one file for each letter.
fn manifest(letters: &str) -> (ContentHash, Arc<Manifest>) {
    let entries = letters.chars().map(|letter| Entry {
        path: letter.to_string(),
        executable: false,
        size: 1 << 20,
        content: content(&letter.to_string()),
    });
    let manifest = Manifest::new(entries.collect()).expect("a good one");
    (manifest.hash(), Arc::new(manifest))
}

fn wants(keep: &[ContentHash], unpack: &[ContentHash]) -> Wants {
    Wants {
        keep: keep.iter().copied().collect(),
        unpack: unpack.iter().copied().collect(),
        masters: vec![NodeId(1)],
    }
}

fn second(seconds: u64) -> Time {
    Time::default().after(Duration::from_secs(seconds))
}

/// The manifests that are begun now.
fn begun(plan: &mut Plan, now: u64) -> Vec<ContentHash> {
    let jobs = plan.begin(second(now));
    jobs.into_iter().map(|job| job.manifest).collect()
}

fn job(manifest: ContentHash, unpack: bool) -> Job {
    Job {
        manifest,
        unpack,
        from: None,
        bytes_max: None,
    }
}

#[test]
fn what_is_wanted_is_got_once_and_unpacked_where_workers_are_to_run() {
    let (a, _) = manifest("a");
    let mut plan = Plan::default();
    plan.want(wants(&[a], &[]));
    assert_eq!(plan.begin(second(0)), [job(a, false)]);
    assert_eq!(begun(&mut plan, 9), [], "it is under way");
    plan.ended(second(9), job(a, false), Ok(()));
    assert_eq!(plan.stage(a).0, Stage::Whole);
    plan.want(wants(&[a], &[a]));
    assert_eq!(plan.begin(second(10)), [job(a, true)]);
    plan.ended(second(10), job(a, true), Ok(()));
    assert_eq!(plan.stage(a).0, Stage::Unpacked);
    assert_eq!(begun(&mut plan, 11), []);
}

#[test]
fn a_failure_is_tried_again_after_pauses_that_grow() {
    let (a, _) = manifest("a");
    let mut plan = Plan::default();
    plan.want(wants(&[], &[a]));
    let mut now = 0;
    for pause in [1, 2, 4, 8, 16, 30, 30] {
        assert_eq!(begun(&mut plan, now), [a]);
        plan.ended(second(now), job(a, true), Err("no".into()));
        assert_eq!(begun(&mut plan, now + pause - 1), []);
        now += pause;
    }
    assert_eq!(plan.stage(a), (Stage::Failed, Some("no".into()), 7));
    assert_eq!(begun(&mut plan, now), [a]);
    plan.ended(second(now), job(a, true), Ok(()));
    assert_eq!(plan.stage(a), (Stage::Unpacked, None, 0));
}

#[test]
fn others_have_what_versions_name_and_nothing_else() {
    let ((a, of_a), (b, of_b)) = (manifest("xy"), manifest("yz"));
    let mut plan = Plan::default();
    plan.want(wants(&[a], &[]));
    assert!(!plan.serves(a), "it is not known what is in it");
    plan.learn(a, of_a);
    for (name, is_served) in [("x", true), ("y", true), ("z", false)] {
        assert_eq!(plan.serves(content(name)), is_served, "{name}");
    }
    assert!(plan.serves(a));
    plan.hold(second(0), b, 9, Some(NodeId(7)), true)
        .expect("there is room");
    plan.learn(b, of_b);
    assert!(plan.serves(content("z")));
    let jobs = plan.begin(second(0));
    let held = jobs
        .iter()
        .find(|job| job.manifest == b)
        .expect("it is held");
    assert_eq!((held.from, held.bytes_max), (Some(NodeId(7)), Some(9)));
    plan.want(wants(&[], &[]));
    assert!(!plan.serves(content("x")));
}

#[test]
fn uploads_are_bounded_and_forgotten() {
    let ((a, of_a), (b, _)) = (manifest("a"), manifest("b"));
    let mut plan = Plan::default();
    plan.hold(second(0), a, HELD_BYTES_MAX, None, false)
        .expect("there is room");
    plan.learn(a, of_a);
    assert_eq!(begun(&mut plan, 0), [], "this node only passes it on");
    assert!(plan.hold(second(1), b, 1, None, false).is_err());
    plan.hold(second(1), a, HELD_BYTES_MAX, None, true)
        .expect("it is the same one");
    assert_eq!(begun(&mut plan, 1), [a]);
    plan.ended(second(1), job(a, false), Ok(()));
    plan.sweep(second(2 + HELD_MAX.as_secs()), [], []);
    assert!(!plan.serves(a));
    plan.hold(second(9_999), b, 1, None, false)
        .expect("there is room again");
}

#[test]
fn what_nobody_uses_goes_after_a_while() {
    let ((a, of_a), (b, of_b)) = (manifest("xy"), manifest("yz"));
    let mut plan = Plan::default();
    plan.want(wants(&[a, b], &[b]));
    plan.learn(a, of_a);
    let here = [a, b, content("x"), content("y"), content("z")];
    let sweep = |plan: &mut Plan, now: u64| plan.sweep(second(now), here, [a, b]);
    let unused = UNUSED_MAX.as_secs();
    assert_eq!(sweep(&mut plan, 0), Sweep::default());
    assert_eq!(
        sweep(&mut plan, unused),
        Sweep::default(),
        "b may name anything"
    );
    plan.learn(b, of_b);
    plan.want(wants(&[b], &[b]));
    assert_eq!(sweep(&mut plan, unused), Sweep::default());
    assert_eq!(sweep(&mut plan, 2 * unused - 1), Sweep::default());
    let mut gone = sweep(&mut plan, 2 * unused);
    gone.contents.sort();
    let mut expected = vec![a, content("x")];
    expected.sort();
    assert_eq!((gone.contents, gone.folders), (expected, vec![a]));
}

#[test]
fn what_was_lost_is_got_again() {
    let (a, of_a) = manifest("x");
    let mut plan = Plan::default();
    plan.want(wants(&[a], &[]));
    assert_eq!(begun(&mut plan, 0), [a]);
    plan.learn(a, of_a);
    plan.ended(second(0), job(a, false), Ok(()));
    plan.lost(content("other"));
    assert_eq!(begun(&mut plan, 1), []);
    plan.lost(content("x"));
    assert_eq!(begun(&mut plan, 1), [a]);
}

#[test]
fn a_node_that_wants_much_gets_some_at_a_time_and_failures_keep_no_other_from_its_turn() {
    let names: Vec<ContentHash> = "abcdefgh"
        .chars()
        .map(|letter| manifest(&letter.to_string()).0)
        .collect();
    let (kept, [.., workers_wait]) = names.split_at(7) else {
        panic!("there are eight");
    };
    let mut plan = Plan::default();
    plan.want(wants(kept, &[*workers_wait]));
    let first = begun(&mut plan, 0);
    assert_eq!((first.len(), first[0]), (ATTEMPTS_MAX, *workers_wait));
    assert_eq!(begun(&mut plan, 1), [], "four are under way");
    for name in &first {
        let unpack = name == workers_wait;
        plan.ended(second(1), job(*name, unpack), Err("no".into()));
    }
    let then = begun(&mut plan, 60);
    assert_eq!(then.len(), ATTEMPTS_MAX);
    assert!(then.iter().all(|name| !first.contains(name)), "{then:?}");
}

#[test]
fn lost_content_of_what_is_unpacked_is_fetched_again_for_others() {
    let (a, of_a) = manifest("x");
    let mut plan = Plan::default();
    plan.want(wants(&[a], &[a]));
    assert_eq!(begun(&mut plan, 0), [a]);
    plan.learn(a, of_a);
    plan.ended(second(0), job(a, true), Ok(()));
    plan.lost(content("x"));
    assert_eq!(plan.begin(second(1)), [job(a, true)]);
}
