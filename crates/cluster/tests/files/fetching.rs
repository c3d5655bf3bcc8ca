//! How files come to nodes.

use crate::town::{Node, eventually, keep, link, noise, problem, program, unpack, unpacked};
use cluster::files::ContentHash;
use pool::NodeId;
use std::fs;
use std::os::unix::fs::PermissionsExt;

/// Large enough for many pieces.
const LARGE: usize = 8 << 20;

#[tokio::test]
async fn a_manager_gets_what_it_lacks_and_unpacks_it() {
    let (master, manager) = (Node::new(1).await, Node::new(2).await);
    let large = noise(LARGE, 1);
    let one = program(&[("run", b"one"), ("lib/empty", b""), ("lib/model", &large)]);
    master.has(&one);
    let (at_master, at_manager) = (master.files(), manager.files());
    link(&[&master, &manager]).await;
    at_master.want(keep(&[&one], &[1])).await;
    at_manager.want(unpack(&[&one], &[1])).await;
    let folder = unpacked(&at_manager, &one).await;
    assert_eq!(
        fs::read(folder.join("lib/model")).expect("it is there"),
        large
    );
    assert_eq!(
        fs::read(folder.join("lib/empty")).expect("it is there"),
        b""
    );
    // Of the next version it fetches what is new alone: the large one is with nobody any more.
    let two = program(&[("run", b"two"), ("lib/model", &large)]);
    master.has(&two);
    fs::remove_file(master.content(ContentHash::of(&large))).expect("it was there");
    at_master.want(keep(&[&two], &[1])).await;
    at_manager.want(unpack(&[&one, &two], &[1])).await;
    let other = unpacked(&at_manager, &two).await;
    assert_eq!(fs::read(other.join("run")).expect("it is there"), b"two");
    assert_eq!(fs::read(folder.join("run")).expect("it is there"), b"one");
}

#[tokio::test]
async fn the_next_master_goes_on_where_one_died() {
    let (first, second, manager) = (Node::new(1).await, Node::new(2).await, Node::new(3).await);
    let files: Vec<(String, Vec<u8>)> = (0..20_u8)
        .map(|n| (format!("{n}"), noise(LARGE / 4, n)))
        .collect();
    let files: Vec<(&str, &[u8])> = files
        .iter()
        .map(|(path, text)| (&**path, &**text))
        .collect();
    let one = program(&files);
    for master in [&first, &second] {
        master.has(&one);
    }
    let (at_first, at_second, at_manager) = (first.files(), second.files(), manager.files());
    link(&[&first, &second, &manager]).await;
    for files in [&at_first, &at_second] {
        files.want(keep(&[&one], &[1, 2])).await;
    }
    // Both know what they may give away by the time they are asked.
    for (files, of) in [(&at_first, &first), (&at_second, &second)] {
        eventually_held(files, of.id, &one).await;
    }
    at_manager.want(unpack(&[&one], &[1, 2])).await;
    // The manager's number says that it asks the second first; it dies in the middle.
    let some = manager.folder.path().join("files");
    eventually("the first files", || {
        let files = fs::read_dir(&some).expect("the store").count();
        (files > 2).then_some(())
    })
    .await;
    second.mesh.clone().stop().await;
    let folder = unpacked(&at_manager, &one).await;
    for ((path, _), text) in files.iter().zip(&one.texts) {
        assert_eq!(&fs::read(folder.join(path)).expect("it is there"), text);
    }
}

/// Waits until a master has a program and says so.
async fn eventually_held(
    files: &cluster::files::Files,
    master: NodeId,
    program: &crate::town::Program,
) {
    let (name, bytes) = (program.manifest.hash(), program.manifest.bytes());
    loop {
        let held = files
            .hold_at(master, name, bytes)
            .await
            .expect("it is a master");
        if held.is_whole {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_source_that_sends_something_else_is_left_and_heals() {
    let (bad, good, manager) = (Node::new(1).await, Node::new(2).await, Node::new(4).await);
    let large = noise(LARGE, 1);
    let one = program(&[("model", &large)]);
    for master in [&bad, &good] {
        master.has(&one);
    }
    let content = ContentHash::of(&large);
    let path = bad.content(content);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("a mode");
    fs::write(&path, noise(LARGE, 2)).expect("as many bytes");
    let (at_bad, at_good, at_manager) = (bad.files(), good.files(), manager.files());
    link(&[&bad, &good, &manager]).await;
    for (files, of) in [(&at_bad, &bad), (&at_good, &good)] {
        files.want(keep(&[&one], &[1, 2])).await;
        eventually_held(files, of.id, &one).await;
    }
    at_manager.want(unpack(&[&one], &[1, 2])).await;
    let folder = unpacked(&at_manager, &one).await;
    assert!(fs::read(folder.join("model")).expect("it is there") == large);
    // It was told to look, and gets the content from the other one.
    eventually("the damage to be gone", || {
        let healed = fs::read(bad.content(content)).ok()? == large;
        healed.then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_no_version_names_is_given_to_nobody() {
    let (master, manager) = (Node::new(1).await, Node::new(2).await);
    let secret = program(&[("secret", b"of another program")]);
    master.has(&secret);
    let (at_master, at_manager) = (master.files(), manager.files());
    link(&[&master, &manager]).await;
    at_manager.want(unpack(&[&secret], &[1])).await;
    let why = problem(&at_manager, &secret).await;
    assert!(why.contains("no version of a program"), "{why}");
    // It is tried again, and comes once a version names it.
    at_master.want(keep(&[&secret], &[1])).await;
    unpacked(&at_manager, &secret).await;
}

#[tokio::test]
async fn older_nodes_are_neither_asked_nor_told() {
    let (old, manager) = (Node::speaking(1, 1).await, Node::new(2).await);
    let one = program(&[("a", b"a")]);
    let mut events = old.mesh.subscribe(wire::Service::Files);
    let files = manager.files();
    link(&[&old, &manager]).await;
    files.want(unpack(&[&one], &[1])).await;
    let why = problem(&files, &one).await;
    assert!(
        why.contains("no master is reached that can send files"),
        "{why}"
    );
    let held = files.hold_at(old.id, one.manifest.hash(), 1).await;
    assert!(held.expect_err("it is old").contains("upgrade"));
    while let Some(event) = events.try_recv() {
        assert!(!matches!(event, wire::MeshEvent::Frame(..)), "{event:?}");
    }
}

#[tokio::test]
async fn an_upload_comes_to_all_masters_before_it_is_applied() {
    let (first, second, door) = (Node::new(1).await, Node::new(2).await, Node::new(3).await);
    let large = noise(LARGE, 1);
    let one = program(&[("run", b"run"), ("model", &large)]);
    let masters = [first.id, second.id];
    let (at_first, at_second, at_door) = (first.files(), second.files(), door.files());
    link(&[&first, &second, &door]).await;
    for files in [&at_first, &at_second, &at_door] {
        files.want(keep(&[], &[1, 2])).await;
    }
    let mut missing = at_door
        .offer(one.manifest.clone(), &masters)
        .await
        .expect("it is taken");
    missing.sort();
    let mut all: Vec<ContentHash> = one
        .manifest
        .contents()
        .map(|(content, _)| content)
        .collect();
    all.sort();
    assert_eq!(missing, all);
    let stranger = ContentHash::of(b"stranger");
    let refused = at_door
        .put(stranger, 8, 0, b"stranger".as_slice().into())
        .await;
    assert!(
        refused
            .expect_err("no upload has it")
            .contains("apply again")
    );
    for text in &one.texts {
        let content = ContentHash::of(text);
        let (size, half) = (text.len() as u64, text.len() / 2);
        let put = |at: usize, piece: &[u8]| {
            let (files, piece) = (&at_door, piece.to_vec());
            async move { files.put(content, size, at as u64, piece.into()).await }
        };
        // A file that changes while it is sent.
        let evil = vec![0; text.len()];
        let changed = put(0, &evil).await.expect_err("it is another one");
        assert!(changed.contains("changed meanwhile"), "{changed}");
        let early = put(half, &text[half..]).await.expect_err("it begins there");
        assert!(early.contains("apply again"), "{early}");
        // Two command lines at once, of which one is ahead.
        for (at, piece) in [
            (0, &text[..half]),
            (0, &text[..half]),
            (half, &text[half..]),
            (half, &text[half..]),
        ] {
            put(at, piece).await.expect("it is taken, or known");
        }
    }
    for master in masters {
        eventually_held(&at_door, master, &one).await;
    }
    for node in [&first, &second] {
        assert!(node.content(ContentHash::of(&large)).exists());
    }
    let again = at_door.offer(one.manifest.clone(), &masters).await;
    assert_eq!(again, Ok(vec![]), "all are here");
    // A master that joins gets the files of what was applied from the others by itself.
    let third = Node::new(4).await;
    let at_third = third.files();
    link(&[&first, &second, &door, &third]).await;
    for files in [&at_first, &at_second, &at_third] {
        files.want(keep(&[&one], &[1, 2, 4])).await;
    }
    eventually_held(&at_third, third.id, &one).await;
    assert!(third.content(ContentHash::of(&large)).exists());
}

#[tokio::test]
async fn a_hostile_manifest_is_refused() {
    let (master, manager) = (Node::new(1).await, Node::new(2).await);
    // As `Manifest::encode` would write it, if it let such a path be.
    let good = program(&[("..x", b"a")]).manifest.encode();
    let evil: Vec<u8> = good
        .iter()
        .map(|byte| if *byte == b'x' { b'/' } else { *byte })
        .collect();
    let store = cluster::files::Store::open(master.folder.path()).expect("a good folder");
    let name = store.put(&evil).expect("a good disk");
    let files = manager.files();
    link(&[&master, &manager]).await;
    // A master that lies serves whatever it likes.
    let mut events = master.mesh.subscribe(wire::Service::Files);
    tokio::spawn(async move {
        while let Some(event) = events.recv().await {
            if let wire::MeshEvent::Frame(link, frame) = event {
                frame.answer(&link, &(evil.len() as u64), evil.clone().into());
            }
        }
    });
    let mut wants = unpack(&[], &[1]);
    wants.unpack.insert(name);
    files.want(wants).await;
    let mut unpacked = files.unpacked();
    let failed =
        unpacked.wait_for(|all| format!("{all:?}").contains("within the program's folder"));
    let failed = tokio::time::timeout(crate::town::PATIENCE, failed).await;
    failed
        .expect("it is refused in time")
        .expect("the node is there");
    assert_eq!(
        fs::read_dir(manager.folder.path().join("programs"))
            .expect("it is there")
            .count(),
        0
    );
}
