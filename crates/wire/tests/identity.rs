//! Keys, certificates and tokens: what is kept, and what is turned away.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::time::Duration;

use pool::NodeId;
use wire::{
    Authority, BadToken, Certificate, Identity, IdentityError, JoinToken, NodeKey, RecordError,
    VALIDITY,
};

/// Some time, in seconds of Unix time.
const NOW: u64 = 1_700_000_000;

fn signed(authority: &Authority, key: &NodeKey) -> Certificate {
    authority
        .sign(NodeId(7), "a b", key.public(), NOW, VALIDITY)
        .expect("signs")
}

#[test]
fn an_identity_is_kept_for_its_owner_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let authority = Authority::new("blue-7", NOW).expect("an authority");
    let key = NodeKey::generate().expect("a key");
    let identity = Identity::new(&key, signed(&authority, &key)).expect("an identity");
    identity.save(folder.path()).expect("is saved");
    identity.save(folder.path()).expect("is saved again");
    let path = folder.path().join("identity.pem");
    assert_eq!(fs::metadata(&path).expect("a file").mode() & 0o777, 0o600);

    let loaded = Identity::load(folder.path()).expect("is loaded");
    assert_eq!(
        (loaded.node(), loaded.cluster(), loaded.name()),
        (NodeId(7), "blue-7", "a b")
    );
    assert_eq!(loaded.expires_at(), NOW + 30 * 24 * 60 * 60);
    assert_eq!(loaded.fingerprint(), authority.fingerprint());

    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("changes the mode");
    let error = Identity::load(folder.path()).expect_err("others may read it");
    assert!(matches!(
        &error,
        IdentityError::Record(RecordError::Exposed { mode: 0o640, .. })
    ));
    assert!(error.to_string().contains("chmod 600"), "{error}");
}

#[test]
fn an_identity_is_due_for_renewal_when_two_thirds_are_over() {
    let authority = Authority::new("blue", NOW).expect("an authority");
    let key = NodeKey::generate().expect("a key");
    let identity = Identity::new(&key, signed(&authority, &key)).expect("an identity");
    let due = NOW + VALIDITY.as_secs() * 2 / 3;
    assert!(!identity.is_renewal_due(due - 1));
    assert!(identity.is_renewal_due(due));
}

#[test]
fn parts_that_do_not_belong_together_are_no_identity() {
    let authority = Authority::new("blue", NOW).expect("an authority");
    let key = NodeKey::generate().expect("a key");
    let good = signed(&authority, &key);
    let other_key = NodeKey::generate().expect("a key");
    let bad = [
        (&other_key, good.clone()),
        (
            &key,
            Certificate {
                node: NodeId(8),
                ..good.clone()
            },
        ),
        (
            &key,
            Certificate {
                cluster: "red".to_owned(),
                ..good.clone()
            },
        ),
    ];
    for (key, certificate) in bad {
        let error = Identity::new(key, certificate).expect_err("does not belong together");
        assert!(matches!(error, IdentityError::Mismatch(_)), "{error}");
    }
    let empty = Identity::new(
        &key,
        Certificate {
            chain: String::new(),
            ..good
        },
    );
    assert!(matches!(empty, Err(IdentityError::Mismatch(_))));
}

#[test]
fn a_damaged_file_is_an_error_that_says_what_is_missing() {
    let folder = tempfile::tempdir().expect("a folder");
    let authority = Authority::new("blue", NOW).expect("an authority");
    let key = NodeKey::generate().expect("a key");
    let identity = Identity::new(&key, signed(&authority, &key)).expect("an identity");
    identity.save(folder.path()).expect("is saved");
    let path = folder.path().join("identity.pem");
    let text = fs::read_to_string(&path).expect("text");
    let damages = [
        ("format: 1", "format: 2", "format 1, got 2"),
        ("node: 7", "node: x", "`node: ...`"),
        ("issued_at", "issued", "`issued_at: ...`"),
        ("BEGIN PRIVATE", "BEGIN SOME", "no PRIVATE KEY"),
        ("BEGIN CERTIFICATE", "BEGIN SOMETHING", "no CERTIFICATE"),
    ];
    for (part, damage, says) in damages {
        fs::write(&path, text.replace(part, damage)).expect("writes");
        let error = Identity::load(folder.path())
            .expect_err("is damaged")
            .to_string();
        assert!(error.contains(says), "{error}");
    }
    // Cut off anywhere, it is an error and not half an identity.
    for end in (0..text.len() - 1).step_by(7) {
        fs::write(&path, &text[..end]).expect("writes");
        assert!(Identity::load(folder.path()).is_err(), "cut at {end}");
    }
    fs::remove_file(&path).expect("removes");
    let error = Identity::load(folder.path())
        .expect_err("is gone")
        .to_string();
    assert!(error.contains("identity.pem"), "{error}");
}

#[test]
fn an_authority_is_kept_whole_or_not_at_all() {
    let folder = tempfile::tempdir().expect("a folder");
    let authority = Authority::new("blue", NOW).expect("an authority");
    authority.save(folder.path()).expect("is saved");
    let path = folder.path().join("authority.pem");
    assert_eq!(fs::metadata(&path).expect("a file").mode() & 0o777, 0o600);
    let loaded = Authority::load(folder.path()).expect("is loaded");
    assert_eq!(
        (loaded.cluster(), loaded.fingerprint()),
        ("blue", authority.fingerprint())
    );
    // What the one signs, the other's certificate vouches for.
    let key = NodeKey::generate().expect("a key");
    Identity::new(&key, signed(&loaded, &key)).expect("an identity");

    // The key of one and the certificate of another.
    let other = Authority::new("blue", NOW).expect("an authority").to_pem();
    let (start, key_start) = (authority.to_pem(), "-----BEGIN PRIVATE KEY-----");
    let (start, _) = start.split_once(key_start).expect("a key");
    let (_, end) = other.split_once(key_start).expect("a key");
    let mixed = Authority::from_pem(&format!("{start}{key_start}{end}"));
    assert!(matches!(mixed, Err(IdentityError::Mismatch(_))));
    let renamed = authority.to_pem().replace("cluster: blue", "cluster: red");
    assert!(matches!(
        Authority::from_pem(&renamed),
        Err(IdentityError::Mismatch(_))
    ));
}

#[test]
fn an_authority_signs_no_nonsense() {
    for cluster in ["", "Blue", "a.b", "-a", "a-", "ä", &"x".repeat(41)] {
        assert!(
            matches!(Authority::new(cluster, NOW), Err(IdentityError::Cluster(_))),
            "{cluster}"
        );
    }
    let authority = Authority::new("blue", NOW).expect("an authority");
    let sign =
        |name: &str, key: &[u8]| authority.sign(NodeId(1), name, key, NOW, Duration::from_secs(60));
    let key = NodeKey::generate().expect("a key");
    assert!(sign("n", key.public()).is_ok());
    assert!(matches!(
        sign("a\nnode: 2", key.public()),
        Err(IdentityError::Name(_))
    ));
    assert!(matches!(sign("n", b""), Err(IdentityError::PublicKey(0))));
    assert!(matches!(
        sign("n", &[4; 64]),
        Err(IdentityError::PublicKey(64))
    ));
}

#[test]
fn a_join_token_survives_copy_and_paste() {
    let token = JoinToken {
        cluster: "blue-7".to_owned(),
        fingerprint: [0xab; 32],
        secret: [9; 32],
    };
    let text = token.to_string();
    assert_eq!(text.len(), "katamari-blue-7--".len() + 128);
    assert_eq!(format!(" {text}\n").parse(), Ok(token.clone()));
    assert_eq!(
        text.to_uppercase()
            .replace("KATAMARI-BLUE", "katamari-blue")
            .parse(),
        Ok(token.clone())
    );
    assert!(!format!("{token:?}").contains("0909"));
    assert_ne!(token.hash(), token.secret);
    assert_ne!(
        token.hash(),
        JoinToken {
            secret: [8; 32],
            ..token.clone()
        }
        .hash()
    );

    let parse = |text: &str| text.parse::<JoinToken>();
    assert_eq!(parse(""), Err(BadToken::Form));
    assert_eq!(parse("katamari-blue"), Err(BadToken::Form));
    assert_eq!(
        parse(&text.replace("blue-7", "Blue")),
        Err(BadToken::Cluster)
    );
    let short = &text[..text.len() - 1];
    assert_eq!(
        parse(short),
        Err(BadToken::Part {
            part: "secret",
            length: 63
        })
    );
    let odd = text.replace("abab", "abxb");
    assert_eq!(
        parse(&odd),
        Err(BadToken::Part {
            part: "fingerprint",
            length: 64
        })
    );
    let wide = text.replace("0909", "é9é");
    assert!(matches!(
        parse(&wide),
        Err(BadToken::Part { part: "secret", .. })
    ));
}
