//! The store alone: what is whole, what is damaged, what is left of a crash.

use crate::town::{noise, program};
use cluster::files::{ContentHash, Store, StoreError};
use std::fs;
use std::os::unix::fs::PermissionsExt;

#[test]
fn what_is_garbled_or_cut_off_is_not_kept() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store = Store::open(folder.path()).expect("a good folder");
    let text = noise(1_000, 1);
    let content = ContentHash::of(&text);
    let mut draft = store.begin(content, 1_000).expect("a good disk");
    draft.write(0, &text[..600]).expect("the first piece");
    assert!(matches!(
        draft.write(500, &text[500..]),
        Err(StoreError::Gap { .. })
    ));
    assert!(matches!(
        draft.write(600, &text),
        Err(StoreError::TooLong { .. })
    ));
    assert!(matches!(
        store.finish(draft),
        Err(StoreError::Damaged { .. })
    ));
    let mut draft = store.begin(content, 1_000).expect("a good disk");
    draft.write(0, &noise(1_000, 2)).expect("as many bytes");
    assert!(matches!(
        store.finish(draft),
        Err(StoreError::Damaged { .. })
    ));
    assert_eq!(store.size(content), None);
    assert_eq!(
        fs::read_dir(folder.path().join("files"))
            .expect("the folder")
            .count(),
        0
    );
    assert_eq!(store.put(&text).expect("a good disk"), content);
    assert_eq!(
        store.piece(content, 990, 100).expect("it is here").0,
        text[990..]
    );
}

#[test]
fn workers_find_files_that_they_cannot_change() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store = Store::open(folder.path()).expect("a good folder");
    let program = program(&[
        ("bin/run", b"#!/bin/sh"),
        ("data", b"x"),
        ("deep/er/x", b"x"),
    ]);
    for text in &program.texts {
        store.put(text).expect("a good disk");
    }
    let name = program.manifest.hash();
    let unpacked = store.unpack(name, &program.manifest).expect("all is here");
    let mode = |path: &str| {
        let meta = fs::metadata(unpacked.join(path)).expect(path);
        meta.permissions().mode() & 0o777
    };
    assert_eq!(["", "bin", "deep/er", "bin/run"].map(mode), [0o555; 4]);
    assert_eq!(["data", "deep/er/x"].map(mode), [0o444; 2]);
    assert!(store.remove_unpacked(name).expect("a good disk") && !unpacked.exists());
}

#[test]
fn damage_is_noticed_and_a_crash_leaves_nothing() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store = Store::open(folder.path()).expect("a good folder");
    let program = program(&[("a", b"good"), ("b", b"bad?")]);
    for text in &program.texts {
        store.put(text).expect("a good disk");
    }
    let name = program.manifest.hash();
    let unpacked = store.unpack(name, &program.manifest).expect("all is here");
    // What a worker that runs as root may do.
    let path = unpacked.join("b");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("a mode");
    fs::write(&path, "evil").expect("it can be written to");
    store
        .unpack(name, &program.manifest)
        .expect("it is built anew");
    assert_eq!(fs::read(&path).expect("it is there"), b"bad?");
    let stored = folder
        .path()
        .join("files")
        .join(ContentHash::of(b"good").to_string());
    fs::set_permissions(&stored, fs::Permissions::from_mode(0o644)).expect("a mode");
    fs::write(&stored, "evil").expect("it can be written to");
    store.remove_unpacked(name).expect("a good disk");
    let missing = store
        .unpack(name, &program.manifest)
        .expect_err("one is damaged");
    assert!(matches!(missing, StoreError::Missing(_)), "{missing}");
    assert!(
        !stored.exists() && !unpacked.exists(),
        "it is to be fetched again"
    );
    fs::write(folder.path().join("files/7.new"), "half").expect("a file");
    fs::create_dir_all(folder.path().join("programs/8.new/lib")).expect("a folder");
    Store::open(folder.path()).expect("a good folder");
    assert!(!folder.path().join("files/7.new").exists());
    assert_eq!(
        fs::read_dir(folder.path().join("programs"))
            .expect("the folder")
            .count(),
        0
    );
}

#[test]
fn a_folder_that_a_process_works_in_stays() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store = Store::open(folder.path()).expect("a good folder");
    let program = program(&[("a", b"x")]);
    store.put(b"x").expect("a good disk");
    let name = program.manifest.hash();
    let unpacked = store.unpack(name, &program.manifest).expect("all is here");
    let mut command = std::process::Command::new("sleep");
    let mut worker = command
        .arg("60")
        .current_dir(&unpacked)
        .spawn()
        .expect("sleep starts");
    assert!(!store.remove_unpacked(name).expect("a good disk"));
    worker.kill().expect("it is there");
    worker.wait().expect("it ends");
    assert!(store.remove_unpacked(name).expect("a good disk"));
}

#[test]
fn a_content_that_is_no_manifest_stays_whoever_takes_it_for_one() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store = Store::open(folder.path()).expect("a good folder");
    let model = vec![7; 5 << 20];
    let content = store.put(&model).expect("a good disk");
    let refused = store.manifest(content).expect_err("it is too large");
    assert!(
        refused.to_string().contains("expected a manifest"),
        "{refused}"
    );
    assert_eq!(store.size(content), Some(5 << 20));
}

#[test]
fn what_would_fill_the_disk_is_not_begun() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store = Store::open(folder.path()).expect("a good folder");
    let full = store
        .begin(ContentHash::of(b"x"), u64::MAX)
        .expect_err("no disk has that much");
    assert!(full.to_string().contains("make room"), "{full}");
}
